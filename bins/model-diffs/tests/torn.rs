//! Runs of the whole pipeline that do not end as they should go on as if nothing had happened.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../cli/tests/support/mod.rs"]
mod support;
#[path = "../../cli/tests/support/torn.rs"]
mod torn;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use support::{fixtures, stderr};
use torn::{Files, Random, files, is_unfinished};

fn command() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("model-diffs"));
    for variable in
        ["BASE", "FILTERED", "UNLEARNED", "OUTROOT", "DEVICE", "DTYPE", "FORGET_TEXT", "RETAIN_TEXT"]
    {
        command.env_remove(variable);
    }
    command.current_dir(fixtures().join("activations/pair"));
    command
}

/// A run of all steps.
fn run(outroot: &Path, seed: &str) -> Command {
    let mut command = command();
    command.args(["run", "--base", "a", "--filtered", "b", "--forget-text", "forget.txt", "--seed", seed]);
    command.args(["--top-k", "2", "--device", "cpu", "--picture-format", "svg", "--outroot"]).arg(outroot);
    command
}

/// Removes all that is in a folder.
fn clear(folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir(folder).unwrap();
}

/// What a run that nothing happened to leaves, and how long it takes.
fn undisturbed(outroot: &Path, seed: &str) -> (Files, Duration) {
    let start = Instant::now();
    let output = run(outroot, seed).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    (files(outroot), start.elapsed())
}

/// The files of each step. Accounts of what was done aside.
fn steps(files: &Files) -> BTreeMap<&str, Files> {
    let mut steps = BTreeMap::<&str, Files>::new();
    for (name, bytes) in files {
        let is_account = ["run-state.json", "param_stats.journal"].iter().any(|end| name.ends_with(end));
        if !is_account && !is_unfinished(name) {
            let step = name.rsplit_once('/').map_or("", |(step, _)| step);
            steps.entry(step).or_default().insert(name.clone(), bytes.clone());
        }
    }
    steps
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_with_the_same_files() {
    let outroot = tempfile::tempdir().unwrap();
    let (earlier, _) = undisturbed(outroot.path(), "1");
    clear(outroot.path());
    let (complete, time) = undisturbed(outroot.path(), "2");
    let mut random = Random(0x0a11);
    let (mut died, mut ended) = (0, 0);
    // Over nothing, and over the results of other settings.
    for before in [&Files::new(), &earlier] {
        for _ in 0..2 {
            clear(outroot.path());
            for (name, bytes) in before {
                let path = outroot.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
            // Each goes on where the one before was killed.
            for _ in 0..5 {
                let mut child = torn::quiet(&mut run(outroot.path(), "2")).spawn().unwrap();
                random.sleep(time / 20, time * 2 / 3);
                child.kill().unwrap();
                died += usize::from(child.wait().unwrap().signal() == Some(9));
                let found = files(outroot.path());
                for (step, files) in steps(&found) {
                    let is_of = |all: &Files| files.iter().all(|(name, bytes)| all.get(name) == Some(bytes));
                    assert!(is_of(before) || is_of(&complete), "{step}: {:?}", files.keys());
                }
            }
            let output = run(outroot.path(), "2").output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            let says = stderr(&output);
            assert!(!says.contains("warning"), "what was killed left nothing to complain of: {says}");
            let found = files(outroot.path());
            let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&found), names(&complete));
            assert!(found == complete, "the same bytes, run-state.json and report.html too");
            ended += 1;
        }
    }
    eprintln!("{died} of 20 runs died; {ended} went on to the end");
    assert!(died > 4, "{died}");
}

#[test]
fn two_runs_at_once_do_not_mix() {
    let outroot = tempfile::tempdir().unwrap();
    let (complete, time) = undisturbed(outroot.path(), "1");
    clear(outroot.path());
    let (other, _) = undisturbed(outroot.path(), "2");
    let mut random = Random(0x2);
    for _ in 0..3 {
        clear(outroot.path());
        let children = ["1", "2"].map(|seed| {
            random.sleep(Duration::ZERO, time / 4);
            torn::talking(&mut run(outroot.path(), seed)).spawn().unwrap()
        });
        let outputs = children.map(|child| child.wait_with_output().unwrap());
        for output in &outputs {
            let says = stderr(output);
            let code = output.status.code();
            assert!(code == Some(0) || code == Some(2) && says.contains("another run is writing"), "{says}");
        }
        assert!(outputs.iter().any(|output| output.status.success()));
        let found = files(outroot.path());
        let is_one = |all: &Files| {
            all.iter().all(|(name, bytes)| name == "run-state.json" || found.get(name) == Some(bytes))
        };
        assert!(is_one(&complete) || is_one(&other), "{:?}", found.keys());
    }
}

#[test]
fn no_room_no_right_and_nobody_who_listens() {
    let outroot = tempfile::tempdir().unwrap();
    let (complete, _) = undisturbed(outroot.path(), "1");
    let unread = |command: &mut Command| {
        let mut child = torn::talking(command).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        child.wait().unwrap().code()
    };
    clear(outroot.path());
    assert_eq!(unread(&mut run(outroot.path(), "1")), Some(0));
    assert!(files(outroot.path()) == complete);
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["run", "--help"],
        &["man"],
        &["completions", "bash"],
        &["completions", "zsh"],
    ] {
        assert_eq!(unread(command().args(arguments)), Some(0), "{arguments:?}");
    }
    assert_eq!(unread(command().arg("--nonsense")), Some(2));

    // A limit that some steps keep and others do not: those that fail leave nothing, and say why.
    let mut codes = Vec::new();
    for blocks in [0, 1, 4, 16, 64, 256, 1 << 20] {
        clear(outroot.path());
        let limit = format!(r#"ulimit -f {blocks}; exec "$@""#);
        let output = torn::within(&["sh", "-c", &limit, "sh"], &run(outroot.path(), "1"));
        let says = stderr(&output);
        let code = output.status.code().unwrap_or_else(|| panic!("{blocks}: {:?}: {says}", output.status));
        assert_eq!(code == 0, !says.contains("File too large"), "{blocks}: {says}");
        let found = files(outroot.path());
        assert!(found.keys().all(|name| !is_unfinished(name)), "{blocks}: {:?}", found.keys());
        for (step, files) in steps(&found) {
            let is_report = step.is_empty(); // it lists what failed
            let is_of = files.iter().all(|(name, bytes)| is_report || complete.get(name) == Some(bytes));
            assert!(is_of, "{blocks}: {step}: {:?}", files.keys());
        }
        codes.push(code);
    }
    assert_eq!((codes[0], *codes.last().unwrap()), (2, 0), "{codes:?}");

    if torn::has_namespaces() {
        let script = r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" || exit 99; exec "$@""#;
        let folder = outroot.path().to_str().unwrap();
        std::fs::remove_file(outroot.path().join("run-state.json")).unwrap();
        let output = torn::within(&["unshare", "-rm", "sh", "-c", script, folder], &run(outroot.path(), "1"));
        assert_eq!(output.status.code(), Some(2));
        insta::assert_snapshot!("read_only", support::redacted(&output, outroot.path()));
    }
}

#[test]
fn a_state_that_is_none_is_said_to_be_so_and_replaced() {
    let outroot = tempfile::tempdir().unwrap();
    let arguments = ["run", "--compare", "a=b", "--picture-format", "svg", "--outroot"];
    let again = || command().args(arguments).arg(outroot.path()).output().unwrap();
    assert_eq!(again().status.code(), Some(0));
    let state = outroot.path().join("run-state.json");
    let good = std::fs::read(&state).unwrap();
    let file = |bytes: &[u8]| std::fs::write(&state, bytes).unwrap();
    let pipe = || assert!(Command::new("mkfifo").arg(&state).status().unwrap().success());
    let huge = || std::fs::File::create(&state).unwrap().set_len(1 << 40).unwrap();
    let link = || std::os::unix::fs::symlink("/dev/zero", &state).unwrap();
    let cases: [(&str, &dyn Fn()); 7] = [
        ("empty", &|| file(b"")),
        ("half", &|| file(&good[..good.len() / 2])),
        ("garbage", &|| file(&[0xff; 1000])),
        ("zeros", &|| file(&vec![0; good.len()])),
        ("pipe", &pipe),
        ("huge", &huge),
        ("device", &link),
    ];
    for (case, make) in cases {
        std::fs::remove_file(&state).unwrap();
        make();
        let output = again();
        let says = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{case}: {says}");
        assert!(says.contains("warning: all steps are done again: "), "{case}: {says}");
        assert!(says.contains("run-state.json cannot be used: "), "{case}: {says}");
        assert!(std::fs::read(&state).unwrap() == good, "{case}");
        assert!(stderr(&again()).contains("[3/3] report: unchanged"), "{case}");
    }
    // A folder cannot be replaced: all is done, and the next run does it again.
    std::fs::remove_file(&state).unwrap();
    std::fs::create_dir(&state).unwrap();
    let output = again();
    assert_eq!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("warning: the next run does this step again: "));
}
