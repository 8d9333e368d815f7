//! The real binary on real files: output, messages, exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../../crates/pipeline/tests/common/altered.rs"]
mod altered;
#[path = "../../cli/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::Command;

use altered::altered;
use support::{assert_interruptible, fixtures, provenance, redacted, rounded, stderr, table};

const PAIR: [&str; 4] = ["--model-a", "a", "--model-b", "b"];
const TEXTS: [&str; 4] = ["--forget-text", "forget.txt", "--retain-text", "retain.txt"];

/// Runs where the pair and its texts are, so that paths in messages are the same everywhere.
fn command(models: &[&str], outdir: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("collect-activation-norms"));
    command.current_dir(fixtures().join("activations/pair")).args(models);
    command.args(["--max-samples", "6", "--max-length", "16", "--device", "cpu", "--outdir"]).arg(outdir);
    command
}

#[test]
fn two_models_in_lockstep() {
    let outdir = tempfile::tempdir().unwrap();
    let output = command(&PAIR, outdir.path()).args(TEXTS).arg("--per-sample").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!("summary", redacted(&output, outdir.path()));
    for name in ["activation_norms", "activation_diffs", "activation_summary"] {
        insta::assert_snapshot!(name, rounded(&table(outdir.path(), name), 4));
    }
    assert_eq!(table(outdir.path(), "per_sample").lines().count(), 1 + 2 * 12 * 5);
    assert_eq!(std::fs::read_dir(outdir.path()).unwrap().count(), 8, "tables and nothing else");
}

#[test]
fn several_models_by_themselves() {
    let outdir = tempfile::tempdir().unwrap();
    let run = |kilobytes: u32| {
        let mut command = command(&["--models", "a-bin", "b"], outdir.path());
        command.args(["--split", "code=retain.txt", "--batch-size", "1", "--memory-budget"]);
        command.arg(format!("{kilobytes}kB")).output().unwrap()
    };
    // The smallest budget that is enough, which is not enough for all samples at once.
    let output = (5..500).step_by(5).map(run).find(|output| output.status.code() == Some(0)).unwrap();
    let summary = redacted(&output, outdir.path());
    assert!(summary.contains(" times, to keep to a memory budget of "), "{summary}");
    let lines: Vec<&str> = summary.lines().filter(|line| !line.contains("budget")).collect();
    insta::assert_snapshot!("summary_one_by_one", lines.join("\n"));
    assert_eq!(table(outdir.path(), "activation_norms").matches(",code,").count(), 2 * 5);
}

#[test]
fn what_is_equal_or_empty_is_said_to_be_so() {
    let outdir = tempfile::tempdir().unwrap();
    let output =
        command(&["--model-a", "a", "--model-b", "a-bin"], outdir.path()).args(TEXTS).output().unwrap();
    let summary = stderr(&output);
    assert!(summary.contains("no difference on forget\nno difference on retain\ntables:"), "{summary}");

    // A tokenizer that drops every x and adds no special tokens: the sample `x` has nothing left.
    let dropping = r#""normalizer": {"type": "Replace", "pattern": {"String": "x"}, "content": ""}"#;
    let model = altered(outdir.path(), "a", "tokenizer.json", r#""normalizer": null"#, dropping);
    let text = std::fs::read_to_string(model.join("tokenizer.json")).unwrap();
    let (before, rest) = text.split_once(r#""post_processor": "#).unwrap();
    let (_, after) = rest.split_once(r#""decoder": "#).unwrap();
    let text = format!(r#"{before}"post_processor": null, "decoder": {after}"#);
    std::fs::write(model.join("tokenizer.json"), text).unwrap();
    let output = command(&["--models", model.to_str().unwrap()], outdir.path()).args(TEXTS).output().unwrap();
    let summary = redacted(&output, outdir.path());
    assert!(
        summary.contains("left out: 1 sample without a token in forget, [outdir]/altered_a\n"),
        "{summary}"
    );
}

#[test]
fn parquet_says_where_it_comes_from() {
    let outdir = tempfile::tempdir().unwrap();
    let output = command(&PAIR, outdir.path())
        .args(TEXTS)
        .args(["--seed", "5", "--memory-budget", "1GB", "--dtype", "bf16", "--format", "parquet"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let get = provenance(&outdir.path().join("activation_norms.parquet"));
    assert!(get("arguments").contains(r#""--seed","5""#));
    for (key, value) in [
        ("task", "activation_norms"),
        ("model_b", "b"),
        ("model_a_took", "a/model.safetensors"),
        ("splits", r#"[["forget","forget.txt"],["retain","retain.txt"]]"#),
        ("max_samples", "6"),
        ("max_length", "16"),
        ("batch_size", "auto"),
        ("memory_budget", "1000000000"),
        ("device", "cpu"),
        ("dtype", "bf16"),
        ("seed", "5"),
    ] {
        assert_eq!(get(key), value, "{key}");
    }
}

#[test]
fn activations_that_are_not_finite_show_in_the_exit_code() {
    let outdir = tempfile::tempdir().unwrap();
    // The root of a negative number.
    let model =
        altered(outdir.path(), "b", "config.json", r#""rms_norm_eps": 1e-05"#, r#""rms_norm_eps": -1e9"#);
    let tables = outdir.path().join("tables");
    let output = command(&["--models", model.to_str().unwrap()], &tables).args(TEXTS).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    insta::assert_snapshot!("not_finite", redacted(&output, outdir.path()));
}

#[test]
fn a_tokenizer_that_breaks_down_is_an_error_and_no_backtrace() {
    let outdir = tempfile::tempdir().unwrap();
    let model =
        altered(outdir.path(), "a", "tokenizer.json", r#""normalizer": null"#, r#""normalizer": null"#);
    let text = std::fs::read_to_string(model.join("tokenizer.json")).unwrap();
    let (before, rest) = text.split_once(r#""pre_tokenizer": "#).unwrap();
    let (_, after) = rest.split_once(r#""post_processor": "#).unwrap();
    let breaking = r#"{"type": "FixedLength", "length": 0}"#;
    let text = format!(r#"{before}"pre_tokenizer": {breaking}, "post_processor": {after}"#);
    std::fs::write(model.join("tokenizer.json"), text).unwrap();
    let message = refused(&["--models", model.to_str().unwrap()], &TEXTS, outdir.path());
    let lines: Vec<&str> = message.lines().collect();
    assert!(
        lines[0].starts_with("error: [outdir]/altered_a/tokenizer.json: the tokenizer broke down"),
        "{message}"
    );
    assert!(lines.len() == 2 && lines[1].starts_with("hint: "), "{message}");
}

#[test]
fn help_and_version() {
    for (name, text) in support::help_and_version(assert_cmd::cargo::cargo_bin!("collect-activation-norms")) {
        insta::assert_snapshot!(name, text);
    }
}

/// Runs what must be refused, and gives the message.
fn refused(models: &[&str], arguments: &[&str], folder: &Path) -> String {
    let tables = folder.join("tables");
    let output = command(models, &tables).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
    assert!(!tables.exists(), "{arguments:?}: nothing is written");
    redacted(&output, folder)
}

#[test]
fn bad_models_are_named_with_cause_and_way_out() {
    for (case, file, from, to) in [
        ("unknown_model_type", "config.json", "\"llama\"", "\"martian\""),
        ("missing_tensor", "config.json", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4"),
        ("depths_differ", "config.json", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2"),
        ("tensor_shape", "config.json", "\"intermediate_size\": 28", "\"intermediate_size\": 32"),
        ("tokenizer_malformed", "tokenizer.json", "{", "["),
        ("tokens_differ", "tokenizer.json", "\"add_prefix_space\": false", "\"add_prefix_space\": true"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let model = altered(folder.path(), "b", file, from, to);
        let models = ["--model-a", "a", "--model-b", model.to_str().unwrap()];
        insta::assert_snapshot!(format!("error_{case}"), refused(&models, &TEXTS, folder.path()));
    }
    let folder = tempfile::tempdir().unwrap();
    let model = altered(folder.path(), "b", "config.json", "llama", "llama");
    std::fs::remove_file(model.join("tokenizer.json")).unwrap();
    let models = ["--models", "a", model.to_str().unwrap()];
    insta::assert_snapshot!("error_no_tokenizer", refused(&models, &TEXTS, folder.path()));
    let models = ["--models", "a", "nowhere"];
    insta::assert_snapshot!("error_nowhere", refused(&models, &TEXTS, folder.path()));
}

#[test]
fn bad_arguments_are_named_with_cause_and_way_out() {
    let folder = tempfile::tempdir().unwrap();
    for (case, arguments) in [
        ("no_text", &[][..]),
        ("missing_text", &["--forget-text", "data/forget.txt", "--retain-text", "retain.txt"]),
        ("small_budget", &["--forget-text", "forget.txt", "--memory-budget", "10KB"]),
        ("unknown_device", &["--forget-text", "forget.txt", "--device", "tpu"]),
        ("unknown_dtype", &["--forget-text", "forget.txt", "--dtype", "fp64"]),
        ("unknown_size", &["--forget-text", "forget.txt", "--memory-budget", "8 GiBit"]),
        ("split_without_file", &["--split", "forget.txt"]),
        ("split_twice", &["--forget-text", "forget.txt", "--split", "forget=retain.txt"]),
        ("short_length", &["--forget-text", "forget.txt", "--max-length", "0"]),
    ] {
        // A flag that is given twice is refused for that alone.
        let tables = folder.path().join("tables");
        let binary = assert_cmd::cargo::cargo_bin!("collect-activation-norms");
        let mut command = Command::new(binary);
        command.current_dir(fixtures().join("activations/pair")).args(PAIR).arg("--outdir").arg(&tables);
        let output = command.args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{case}");
        insta::assert_snapshot!(format!("error_{case}"), redacted(&output, folder.path()));
        assert!(!tables.exists(), "{case}: nothing is written");
    }
}

#[test]
#[cfg(not(any(feature = "cuda", feature = "metal")))]
fn a_device_that_was_not_built_is_named_with_its_feature() {
    let folder = tempfile::tempdir().unwrap();
    for (device, feature) in [("cuda:1", "cuda"), ("mps", "metal")] {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("collect-activation-norms"));
        command.current_dir(fixtures().join("activations/pair")).args(PAIR).args(TEXTS);
        let output = command.args(["--device", device, "--outdir"]).arg(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        insta::assert_snapshot!(format!("error_no_{feature}"), stderr(&output));
    }
}

#[test]
fn bad_usage_is_refused_before_any_work() {
    let folder = tempfile::tempdir().unwrap();
    for models in [
        &[][..],
        &["--models"],
        &["--models", "a", "a"],
        &["--model-a", "a"],
        &["--model-b", "b"],
        &["--models", "a", "--model-a", "a", "--model-b", "b"],
    ] {
        let message = refused(models, &TEXTS, folder.path());
        assert!(message.starts_with("error: "), "{models:?}: {message}");
    }
    for arguments in [
        &["--batch-size", "0"][..],
        &["--seed", "-1"],
        &["--format", "xlsx"],
        &["--quiet", "--verbose"],
        &["--split", "=x"],
        &["--device", "cuda:"],
        &["surplus"],
    ] {
        let arguments = [&TEXTS, arguments].concat();
        assert!(refused(&PAIR, &arguments, folder.path()).starts_with("error: "), "{arguments:?}");
    }
}

#[test]
fn quiet_is_silent_and_verbose_says_more() {
    let outdir = tempfile::tempdir().unwrap();
    let run =
        |models: &[&str], flag: &str| command(models, outdir.path()).args(TEXTS).arg(flag).output().unwrap();
    assert_eq!(stderr(&run(&PAIR, "--quiet")), "");
    let verbose = stderr(&run(&PAIR, "--verbose"));
    assert!(verbose.contains("model B: b/model.safetensors, 29 tensors in 1 file\n"), "{verbose}");
    assert!(verbose.contains("memory budget: "), "{verbose}");
    let verbose = stderr(&run(&["--models", "b", "a-bin"], "--verbose"));
    assert!(verbose.contains("model 2: a-bin/pytorch_model.bin.index.json, "), "{verbose}");
}

/// A Llama of zeros that occupies no disk and takes far longer than a signal.
#[cfg(unix)]
fn sparse_llama(folder: &Path) {
    let (blocks, width, inner) = (400, 512, 2048);
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![300, width]),
        ("model.norm.weight".to_owned(), vec![width]),
    ];
    for block in 0..blocks {
        let mut add = |name: &str, shape: &[usize]| {
            tensors.push((format!("model.layers.{block}.{name}.weight"), shape.to_vec()));
        };
        for projection in ["q", "k", "v", "o"] {
            add(&format!("self_attn.{projection}_proj"), &[width, width]);
        }
        add("mlp.gate_proj", &[inner, width]);
        add("mlp.up_proj", &[inner, width]);
        add("mlp.down_proj", &[width, inner]);
        add("input_layernorm", &[width]);
        add("post_attention_layernorm", &[width]);
    }
    support::sparse_model(&folder.join("model.safetensors"), &tensors);
    let config = format!(
        r#"{{"model_type": "llama", "hidden_size": {width}, "intermediate_size": {inner}, "vocab_size": 300,
            "num_hidden_layers": {blocks}, "num_attention_heads": 16, "num_key_value_heads": 16, "hidden_act": "silu",
            "rms_norm_eps": 1e-5, "max_position_embeddings": 64, "rope_theta": 10000.0, "tie_word_embeddings": true}}"#
    );
    std::fs::write(folder.join("config.json"), config).unwrap();
    std::fs::copy(fixtures().join("activations/pair/a/tokenizer.json"), folder.join("tokenizer.json"))
        .unwrap();
}

#[test]
#[cfg(unix)]
fn a_signal_ends_the_run_without_output() {
    let folder = tempfile::tempdir().unwrap();
    sparse_llama(folder.path());
    let models = ["--models", folder.path().to_str().unwrap()];
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let outdir = folder.path().join("results");
        let mut command = command(&models, &outdir);
        command.args(TEXTS);
        assert_interruptible(command, &outdir, signal, code);
    }
}

#[test]
#[cfg(unix)]
fn weights_that_change_end_the_run_without_output() {
    let mut seen = 0;
    for how in ["cut", "cut to nothing", "grown", "written", "replaced by a pipe", "removed"] {
        let folder = tempfile::tempdir().unwrap();
        sparse_llama(folder.path());
        let weights = folder.path().join("model.safetensors");
        let outdir = folder.path().join("results");
        let mut command = command(&["--models", folder.path().to_str().unwrap()], &outdir);
        command.args(TEXTS).stderr(std::process::Stdio::piped());
        let delay = std::time::Duration::from_millis(50);
        let output = support::change_while_read(command, &outdir, delay, &weights, how);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{how}: {message}");
        assert!(message.contains(&*weights.to_string_lossy()), "{how}: {message}");
        // One that changed before its header was read is what it is then: truncated, empty, no file.
        seen += usize::from(message.contains("changed while it was read"));
        assert!(!outdir.exists(), "{how}: nothing is written");
    }
    assert!(seen > 0, "no file changed while it was read");
}
