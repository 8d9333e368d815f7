//! The real binary on real files: output, messages, exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../cli/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::Command;

use support::{fixtures, provenance, redacted, rounded, stderr, table};

/// Runs in `fixtures/`, so that paths in messages are the same everywhere.
fn command(model_a: &str, model_b: &str, outdir: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("collect-param-stats"));
    command.current_dir(fixtures()).args(["--model-a", model_a, "--model-b", model_b]);
    // What is no path could be a model of the Hub.
    command.env("HF_HUB_OFFLINE", "1").env("HF_HUB_CACHE", "no-cache");
    command.arg("--outdir").arg(outdir);
    command
}

#[test]
fn the_demo_pair() {
    let outdir = tempfile::tempdir().unwrap();
    let output = command("pairs/neox/a", "pairs/neox/b", outdir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!("summary", redacted(&output, outdir.path()));
    let folder = outdir.path().join("pairs_neox_a__to__pairs_neox_b");
    for name in ["per_matrix", "per_layer", "per_component", "ledger"] {
        insta::assert_snapshot!(name, rounded(&table(&folder, name), 6));
    }
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 8, "tables and nothing else");
}

#[test]
fn parquet_says_where_it_comes_from() {
    let outdir = tempfile::tempdir().unwrap();
    let output = command("pairs/mixed/a", "pairs/mixed/b", outdir.path())
        .args(["--seed", "5", "--tolerance", "1e-3", "--format", "parquet"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let file = outdir.path().join("pairs_mixed_a__to__pairs_mixed_b/per_layer.parquet");
    let get = provenance(&file);
    assert_eq!(get("version"), env!("CARGO_PKG_VERSION"));
    assert!(get("arguments").contains(r#""--seed","5""#));
    assert_eq!(
        (get("seed").as_str(), get("tolerance").as_str(), get("include").as_str()),
        ("5", "1e-3", "linear")
    );
    assert_eq!(get("model_b"), "pairs/mixed/b");
    for (side, count) in [("a", 1), ("b", 2)] {
        let shards = get(&format!("model_{side}_shards"));
        assert_eq!(shards.matches(r#""bytes":"#).count(), count, "{shards}");
        assert_eq!(shards.matches(r#""modified_unix_seconds":"#).count(), count, "{shards}");
    }
}

#[test]
fn gaps_are_listed_and_show_in_the_exit_code() {
    let outdir = tempfile::tempdir().unwrap();
    let output = command("pairs/ledger/a", "pairs/ledger/b", outdir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!("gaps", redacted(&output, outdir.path()));
    let ledger = outdir.path().join("pairs_ledger_a__to__pairs_ledger_b/ledger.csv");
    insta::assert_snapshot!("gaps_ledger", std::fs::read_to_string(ledger).unwrap());
}

#[test]
fn help_and_version() {
    for (name, text) in support::help_and_version(assert_cmd::cargo::cargo_bin!("collect-param-stats")) {
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn bad_models_are_named_with_cause_and_way_out() {
    for case in [
        "nowhere",
        "empty_folder",
        "missing_shards",
        "lfs_pointer_safetensors",
        "safetensors_data_cut",
        "pickle_entry_reduce",
        "index_parent_path",
        "html_bin",
    ] {
        let outdir = tempfile::tempdir().unwrap();
        let outdir = outdir.path().join("results");
        let output = command("pairs/neox/a", &format!("hostile/{case}"), &outdir).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{case}");
        insta::assert_snapshot!(format!("error_{case}"), stderr(&output));
        assert!(!outdir.exists(), "{case}: nothing is written");
    }
}

#[test]
#[cfg(not(feature = "cuda"))]
fn devices_that_were_not_built_are_named_with_their_feature() {
    let folder = tempfile::tempdir().unwrap();
    let outdir = folder.path().join("tables");
    for devices in ["cuda:0,cuda:1", "cuda:all"] {
        let output =
            command("pairs/neox/a", "pairs/neox/b", &outdir).args(["--device", devices]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        insta::assert_snapshot!("error_no_cuda", stderr(&output).replace("cuda:1", "cuda:0"));
        assert!(!outdir.exists(), "nothing is written");
    }
    let output =
        command("pairs/neox/a", "pairs/neox/b", &outdir).args(["--device", "cuda:all,cpu"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!("error_unknown_devices", stderr(&output));
}

#[test]
fn bad_usage_is_refused_before_any_work() {
    let outdir = tempfile::tempdir().unwrap();
    let results = outdir.path().join("results");
    for arguments in [
        &["--tolerance", "0"][..],
        &["--tolerance", "nan"],
        &["--tolerance", "1e-9"],
        &["--sr-iters", "0"],
        &["--sr-iters", "5", "--tolerance", "1e-3"],
        &["--format", "xlsx"],
        &["--threads", "0"],
        &["--quiet", "--verbose"],
        &["surplus"],
    ] {
        let output = command("pairs/neox/a", "pairs/neox/b", &results).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).starts_with("error: "), "{arguments:?}");
        assert!(!results.exists(), "{arguments:?}");
    }
    let binary = assert_cmd::cargo::cargo_bin!("collect-param-stats");
    assert_eq!(Command::new(binary).output().unwrap().status.code(), Some(2));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").unwrap();
    let output = command("pairs/neox/a", "pairs/neox/b", &file).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = redacted(&output, folder.path());
    assert!(message.contains("cannot write into [outdir]/file/"), "{message}");
    assert!(message.contains("hint: "), "{message}");
}

#[test]
fn quiet_is_silent_and_verbose_says_more() {
    let outdir = tempfile::tempdir().unwrap();
    let run =
        |flag: &str| command("pairs/ledger/a", "pairs/ledger/b", outdir.path()).arg(flag).output().unwrap();
    assert_eq!(stderr(&run("--quiet")), "");
    let verbose = stderr(&run("--verbose"));
    assert!(
        verbose.contains("model A: pairs/ledger/a/pytorch_model.bin, 14 tensors in 1 file\n"),
        "{verbose}"
    );
}

#[test]
fn of_several_formats_the_one_taken_is_said() {
    let outdir = tempfile::tempdir().unwrap();
    let output = command("formats/several_4", "formats/several_4", outdir.path()).output().unwrap();
    let message = stderr(&output);
    assert!(
        message.contains(
            "model A: took model.safetensors.index.json, \
             not model.safetensors, pytorch_model.bin.index.json, pytorch_model.bin"
        ),
        "{message}"
    );
}

#[test]
fn every_format_can_be_asked_for_and_a_stale_one_goes() {
    let outdir = tempfile::tempdir().unwrap();
    let folder = outdir.path().join("pairs_gpt2_a__to__pairs_gpt2_b");
    let run = |format: &str| {
        let mut command = command("pairs/gpt2/a", "pairs/gpt2/b", outdir.path());
        assert_eq!(command.args(["--format", format]).output().unwrap().status.code(), Some(0));
        let mut files: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().extension().unwrap().to_string_lossy().into_owned())
            .collect();
        files.sort();
        files.dedup();
        files.join(" ")
    };
    assert_eq!(run("csv,parquet,csv"), "csv parquet");
    assert_eq!(run("csv"), "csv");
    assert_eq!(run("parquet"), "parquet");
}
