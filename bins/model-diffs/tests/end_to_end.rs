//! The real binary on real files: output, messages, exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../cli/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::{fixtures, provenance, redacted, stderr};

/// Runs where a pair and its texts are, so that paths in messages are the same everywhere; nothing comes from the
/// environment of the tests.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("model-diffs"));
    for variable in
        ["BASE", "FILTERED", "UNLEARNED", "OUTROOT", "DEVICE", "DTYPE", "FORGET_TEXT", "RETAIN_TEXT"]
    {
        command.env_remove(variable);
    }
    command.current_dir(fixtures().join("activations/pair")).args(arguments);
    command
}

/// Runs into a folder, with pictures that are quick to draw.
fn run_into(outroot: &Path, arguments: &[&str]) -> Output {
    let mut command = command(&["run"]);
    command.args(arguments).args(["--device", "cpu", "--picture-format", "svg", "--outroot"]).arg(outroot);
    command.output().unwrap()
}

/// What was found is the report's to word, and its numbers' last digits depend on the processor's instruction set.
fn without_findings(message: &str) -> String {
    let finding = |line| if str::starts_with(line, "  ") { "  (findings)" } else { line };
    let mut lines: Vec<&str> = message.lines().map(finding).collect();
    lines.dedup();
    lines.join("\n")
}

const MODELS: [&str; 6] = ["--base", "a", "--filtered", "b", "--unlearned", "a-bin"];
const TEXTS: [&str; 4] = ["--forget-text", "forget.txt", "--retain-text", "retain.txt"];

#[test]
fn two_comparisons_and_the_same_again() {
    let outroot = tempfile::tempdir().unwrap();
    let all = [&MODELS[..], &TEXTS].concat();
    let output = run_into(outroot.path(), &all);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    insta::assert_snapshot!("run", without_findings(&redacted(&output, outroot.path())));
    for file in
        ["report.html", "param_stats/a__to__b/per_matrix.csv", "plots/a__to__a-bin", "plots/activation_norms"]
    {
        assert!(outroot.path().join(file).exists(), "{file}");
    }
    let get = provenance(&outroot.path().join("activation_norms/activation_norms.parquet"));
    assert!(get("arguments").starts_with(r#"["run","--base","a""#));

    let again = redacted(&run_into(outroot.path(), &all), outroot.path());
    assert_eq!(again.matches(": unchanged\n").count(), 7, "{again}");
    let force = redacted(&run_into(outroot.path(), &[&all[..], &["--force"]].concat()), outroot.path());
    assert_eq!(force.matches("unchanged").count(), 0, "{force}");
}

#[test]
fn some_steps_and_then_the_rest() {
    let outroot = tempfile::tempdir().unwrap();
    let all = [&MODELS[..2], &MODELS[4..], &TEXTS].concat();
    let run = |steps: &[&str]| {
        let output = run_into(outroot.path(), &[&all[..], steps].concat());
        (output.status.code().unwrap(), without_findings(&redacted(&output, outroot.path())))
    };
    let (code, message) = run(&["--steps", "report"]);
    insta::assert_snapshot!("steps_nothing_to_report", message);
    assert_eq!(code, 2);
    assert_eq!(run(&["--steps", "hidden-states"]).0, 0);
    assert!(!outroot.path().join("param_stats").exists() && !outroot.path().join("report.html").exists());
    let (code, message) = run(&["--steps", "parameters,pictures,report"]);
    insta::assert_snapshot!("steps_the_rest", message);
    assert_eq!(code, 0);
    let (code, message) = run(&[]);
    assert_eq!((code, message.matches(": unchanged\n").count()), (0, 5), "{message}");

    let (code, message) = run(&["--steps", "texts"]);
    insta::assert_snapshot!("steps_no_texts", message);
    assert_eq!((code, run(&["--steps", "plots"]).0), (2, 2));
}

#[test]
fn the_demo() {
    let folder = tempfile::tempdir().unwrap();
    let demo = |more: &[&str]| {
        let mut command = command(&["--demo"]);
        // Wherever it is run and whatever is set, the demo is the same.
        command.current_dir(folder.path()).args(more).env("BASE", "nowhere").env("OUTROOT", "elsewhere");
        command.output().unwrap()
    };
    let output = demo(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let message = stderr(&output);
    insta::assert_snapshot!("demo", without_findings(&message));
    for said in ["All 25 compared matrices changed", "4 of 25 compared matrices changed", "times as far"] {
        assert!(message.contains(said), "{message}");
    }
    for file in [
        "report.html",
        "models/unlearned/model.safetensors",
        "param_stats/baseline__to__filtered/singular_values.parquet",
        "plots/baseline__to__unlearned/stable_rank_mlp.png",
        "plots/activation_norms/activation_norms_forget.png",
    ] {
        assert!(folder.path().join("outputs/demo").join(file).is_file(), "{file}");
    }
    let again = stderr(&demo(&["--threads", "1"]));
    assert_eq!(again.matches(": unchanged\n").count(), 7, "{again}");
}

#[test]
fn help_and_version() {
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["--version"],
        &["run", "--help"],
        &["run", "-h"],
        &["slurm", "--help"],
        &["init", "--help"],
        &["completions", "--help"],
        &["man", "--help"],
    ] {
        let output = command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let name =
            arguments.iter().map(|argument| argument.trim_start_matches("--")).collect::<Vec<_>>().join("_");
        insta::assert_snapshot!(name, String::from_utf8(output.stdout).unwrap());
    }
    let nothing = command(&[]).output().unwrap();
    assert_eq!(nothing.status.code(), Some(2));
    assert!(stderr(&nothing).contains("model-diffs --demo"));
}

#[test]
fn a_file_of_settings_is_written_edited_and_run() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings/run.toml");
    let init = |more: &[&str]| command(&["init"]).arg(&file).args(more).output().unwrap();
    let written = init(&[]);
    assert_eq!(written.status.code(), Some(0));
    insta::assert_snapshot!("init", redacted(&written, folder.path()));
    let refused = init(&[]);
    assert_eq!(refused.status.code(), Some(2));
    insta::assert_snapshot!("init_again", redacted(&refused, folder.path()));

    let mut text = std::fs::read_to_string(&file).unwrap();
    for (from, to) in [
        ("models/base", "a"),
        ("models/filtered", "b"),
        ("unlearned = ", "# unlearned = "),
        ("data/forget.txt", "forget.txt"),
        ("retain_text = ", "# retain_text = "),
        ("#dtype = \"auto\"", "dtype = \"bf16\""),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    std::fs::write(&file, &text).unwrap();
    let outroot = folder.path().join("out");
    let output = run_into(&outroot, &["--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let get = provenance(&outroot.join("activation_norms/activation_norms.parquet"));
    assert_eq!(get("splits"), r#"[["forget","forget.txt"]]"#);
    assert_eq!(get("dtype"), "bf16");
    assert!(outroot.join("param_stats/a__to__b").exists());

    assert_eq!(init(&["--force"]).status.code(), Some(0));
    assert_ne!(std::fs::read_to_string(&file).unwrap(), text);
}

#[test]
fn the_scripts_environment_variables_are_heeded_and_flags_come_first() {
    let outroot = tempfile::tempdir().unwrap();
    let path = |name: &str| outroot.path().join(name);
    let run = |arguments: &[&str]| {
        let mut command = command(&["run", "--picture-format", "svg"]);
        command.args(arguments).envs([
            ("BASE", "a"),
            ("FILTERED", ""),
            ("UNLEARNED", "b"),
            ("RETAIN_TEXT", "retain.txt"),
        ]);
        command.envs([("DEVICE", "cpu"), ("DTYPE", "bf16")]).env("OUTROOT", path("env")).output().unwrap()
    };
    assert_eq!(run(&[]).status.code(), Some(0));
    let get = provenance(&path("env/activation_norms/activation_norms.parquet"));
    assert_eq!((get("splits").as_str(), get("dtype").as_str()), (r#"[["retain","retain.txt"]]"#, "bf16"));
    assert!(path("env/param_stats/a__to__b").exists());
    assert_eq!(std::fs::read_dir(path("env/param_stats")).unwrap().count(), 1, "an empty variable is none");

    let flags = ["--unlearned", "a-bin", "--dtype", "fp32", "--outroot", path("flag").to_str().unwrap()]
        .map(String::from);
    assert_eq!(run(&flags.each_ref().map(String::as_str)).status.code(), Some(0));
    let get = provenance(&path("flag/activation_norms/activation_norms.parquet"));
    assert_eq!(get("dtype"), "fp32");
    assert!(path("flag/param_stats/a__to__a-bin").exists());
    assert!(!path("flag/param_stats/a__to__b").exists());

    let compare = ["--compare", "b=a-bin", "--outroot", path("compare").to_str().unwrap()].map(String::from);
    assert_eq!(run(&compare.each_ref().map(String::as_str)).status.code(), Some(0));
    let pairs =
        std::fs::read_dir(path("compare/param_stats")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(pairs.collect::<Vec<_>>(), ["b__to__a-bin"], "and no pair of the environment");

    let output = command(&["run", "--base", "a", "--filtered", "b"]).env("DEVICE", "tpu").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!("error_variable", stderr(&output));
}

#[test]
fn what_could_not_be_done_is_said_at_the_end_and_shows_in_the_exit_code() {
    let outroot = tempfile::tempdir().unwrap();
    let arguments = ["--compare", "a=nowhere", "--compare", "a=b", "--retain-text", "retain.txt"];
    let output = run_into(outroot.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    let message = redacted(&output, outroot.path());
    insta::assert_snapshot!("failures", without_findings(&message));
    // The report lists them.
    let report = std::fs::read_to_string(outroot.path().join("report.html")).unwrap();
    assert!(report.contains("nowhere does not exist"));
    let quiet = stderr(&run_into(outroot.path(), &[&arguments[..], &["--quiet"]].concat()));
    assert!(quiet.contains("error: model B cannot be read: nowhere does not exist\nhint: "), "{quiet}");
    assert!(!quiet.contains("[1/"), "{quiet}");

    let output = run_into(&outroot.path().join("none"), &["--compare", "a=nowhere"]);
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!("nothing_done", redacted(&output, outroot.path()));
    assert!(!outroot.path().join("none").exists());
}

#[test]
fn bad_usage_is_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.toml");
    let results = folder.path().join("results");
    for (case, text) in [
        ("unknown_key", "base = 'a'\nfiltered = 'b'\n\n# what it is\nbases = 3\n"),
        ("unknown_key_of_a_pair", "[[compare]]\na = 'a'\nb = 'b'\nlabel = 'c'\n"),
        ("wrong_type", "base = 'a'\nfiltered = 'b'\nseed = 'x'\n"),
        ("no_such_value", "base = 'a'\nfiltered = 'b'\ndtype = 'fp8'\n"),
        ("no_such_choice", "base = 'a'\nfiltered = 'b'\npicture_formats = ['gif']\n"),
        ("no_toml", "base = a\n"),
        ("power_and_certified", "base = 'a'\nfiltered = 'b'\nsr_iters = 5\ntop_k = 3\n"),
        ("only_a_baseline", "base = 'a'\n"),
        ("no_baseline", "unlearned = 'a'\n"),
        ("same_folder", "[[compare]]\na = 'a'\nb = 'b'\n[[compare]]\na = 'a'\nb = 'b'\n"),
    ] {
        std::fs::write(&file, text).unwrap();
        let output = run_into(&results, &["--config", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{case}");
        insta::assert_snapshot!(format!("error_{case}"), redacted(&output, folder.path()));
        assert!(!results.exists(), "{case}: nothing is written");
    }
    let models = ["--base", "a", "--filtered", "b"];
    for arguments in [
        &["--config", "nowhere.toml"][..],
        &["--tolerance", "2"],
        &["--compare", "a"],
        &["--split", "forget.txt"],
        &["--picture-format", "gif"],
        &["--quiet", "--verbose"],
        &["surplus"],
        &["--demo"],
    ] {
        let output = run_into(&results, &[&models[..], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).starts_with("error: "), "{arguments:?}");
        assert!(!results.exists(), "{arguments:?}");
    }
    assert_eq!(command(&["--demo", "run"]).output().unwrap().status.code(), Some(2));
}

#[test]
#[cfg(unix)]
fn a_signal_ends_the_run_and_finished_steps_are_kept() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let folder = tempfile::tempdir().unwrap();
        let large = folder.path().join("large.safetensors");
        // 27 GB of zeros: far longer than the signal takes.
        let tensors: Vec<_> =
            (0..400).map(|index| (format!("layers.{index}.mlp.up_proj.weight"), vec![4096, 4096])).collect();
        support::sparse_model(&large, &tensors);
        let state = folder.path().join("out/run-state.json");
        let mut command = command(&["run", "--compare", "a=b", "--compare"]);
        command.arg(format!("{0}={0}", large.display())).arg("--outroot").arg(folder.path().join("out"));
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        while !state.exists() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        let message = stderr(&output);
        let end = "error: interrupted after 1 of 5 steps; the same command goes on from there\n";
        assert!(message.ends_with(end), "{message}");

        let goes_on = run_into(&folder.path().join("out"), &["--compare", "a=b"]);
        let message = stderr(&goes_on);
        assert!(message.contains("[1/3] parameters, a → b: unchanged\n"), "{message}");
    }
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = command(&["completions", shell]).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{shell}");
        let script = String::from_utf8(output.stdout).unwrap();
        for word in ["model-diffs", "completions", "unlearned", "forget-text"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(command(&["completions", "csh"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn man_pages_are_printed_or_written() {
    let output = command(&["man"]).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(page.contains(".TH model-diffs 1"), "{page}");

    let folder = tempfile::tempdir().unwrap();
    let output = command(&["man"]).arg(folder.path()).output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
    let mut names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let commands =
        ["completions", "init", "man", "run", "slurm"].map(|command| format!("model-diffs-{command}.1"));
    assert_eq!(names, [&commands[..], &["model-diffs.1".to_owned()]].concat());
    let run = std::fs::read_to_string(folder.path().join("model-diffs-run.1")).unwrap();
    assert!(run.contains("FORGET_TEXT") && run.contains(".TH model-diffs-run 1"), "{run}");
}

#[test]
fn quiet_is_silent_and_verbose_says_why() {
    let outroot = tempfile::tempdir().unwrap();
    let run = |more: &[&str]| stderr(&run_into(outroot.path(), &[&["--compare", "a=b"], more].concat()));
    assert_eq!(run(&["--quiet"]), "");
    let verbose = run(&["--verbose", "--tolerance", "1e-3"]);
    assert!(verbose.contains("[1/3] parameters, a → b\n      options changed\n"), "{verbose}");
    assert!(verbose.contains("model A: a/model.safetensors, 29 tensors in 1 file\n"), "{verbose}");
    assert!(verbose.contains(" s  parameters, a → b\n"), "{verbose}");
}
