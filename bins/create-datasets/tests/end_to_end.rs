//! The real binary on files: texts, records, messages, exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../cli/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::{files, fixtures, redacted, stderr};

/// Runs where the files are, so that their names in messages and records are the same everywhere.
fn create(arguments: &[&str], outdir: &Path) -> Output {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("create-datasets"));
    command.current_dir(fixtures().join("datasets/formats")).args(arguments).arg("--outdir").arg(outdir);
    command.env("HF_HUB_OFFLINE", "1").env("HF_HOME", "/nowhere").output().unwrap()
}

fn read(outdir: &Path, name: &str) -> String {
    std::fs::read_to_string(outdir.join(name)).unwrap()
}

#[test]
fn texts_of_files_and_what_they_are_made_of() {
    let outdir = tempfile::tempdir().unwrap();
    let sources = ["--forget", "zstd.parquet:text", "--retain", "texts.csv:text", "--limit", "9"];
    let output = create(&[&sources[..], &["--min-chars", "9"]].concat(), outdir.path());
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!("summary", redacted(&output, outdir.path()));
    assert_eq!(files(outdir.path()), ["forget.json", "forget.txt", "retain.json", "retain.txt"]);
    insta::assert_snapshot!("forget.txt", read(outdir.path(), "forget.txt"));
    assert_eq!(read(outdir.path(), "retain.txt"), read(outdir.path(), "forget.txt"));
    for name in ["forget.json", "retain.json"] {
        insta::assert_snapshot!(name, read(outdir.path(), name));
    }
    let summed = Command::new("sha256sum").arg(outdir.path().join("forget.txt")).output().unwrap();
    let sum = String::from_utf8(summed.stdout).unwrap();
    assert!(read(outdir.path(), "forget.json").contains(sum.split(' ').next().unwrap()));
}

#[test]
fn a_single_text_of_all_lines() {
    let outdir = tempfile::tempdir().unwrap();
    let arguments =
        ["--forget", "none", "--retain", "texts.txt", "--limit", "all", "--min-chars", "1", "--quiet"];
    let output = create(&arguments, outdir.path());
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert_eq!(files(outdir.path()), ["retain.json", "retain.txt"]);
    assert_eq!(read(outdir.path(), "retain.txt"), "first\nsecond\nthird\nGröße\n");
    insta::assert_snapshot!("retain_of_text.json", read(outdir.path(), "retain.json"));
}

#[test]
fn what_is_drawn_depends_on_the_seed_alone() {
    let draw = |format: &str, seed: &str| {
        let outdir = tempfile::tempdir().unwrap();
        let arguments = ["--retain", "none", "--limit", "4", "--shuffle", seed, "--forget", format];
        let output = create(&arguments, outdir.path());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        read(outdir.path(), "forget.txt")
    };
    let first = draw("zstd.parquet:text", "7");
    insta::assert_snapshot!("drawn", first);
    assert_eq!(draw("texts.jsonl:text", "7"), first);
    assert_eq!(draw("texts.csv:text", "7"), first);
    assert_ne!(draw("zstd.parquet:text", "8"), first);
}

#[test]
fn wrong_sources_are_named_with_cause_and_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let outdir = folder.path().join("data");
    let empty = folder.path().join("empty.txt");
    std::fs::write(&empty, "\n \n").unwrap();
    for (case, source) in [
        ("no_column_given", "texts.csv"),
        ("no_column", "zstd.parquet:question"),
        ("no_text", "zstd.parquet:choices"),
        ("no_source", "org/name:train:text"),
        ("no_file", "missing.jsonl:text"),
        ("no_parquet", "expected.parquet:text"),
        ("compression", "brotli.parquet:text"),
        ("no_object", "expected.json:text"),
        ("no_sample", empty.to_str().unwrap()),
        ("offline", "org/name:default:train:text"),
        ("none", "none"),
    ] {
        let output = create(&["--forget", source, "--retain", "none"], &outdir);
        assert_eq!(output.status.code(), Some(2), "{case}");
        insta::assert_snapshot!(format!("error_{case}"), redacted(&output, folder.path()));
        assert!(!outdir.exists(), "{case}: nothing is written");
    }
    // One text that could be made is not written without the other.
    let output = create(&["--forget", "texts.txt", "--retain", "missing.txt"], &outdir);
    assert_eq!(output.status.code(), Some(2));
    assert!(!outdir.exists());
}

#[test]
fn texts_of_an_earlier_run_stay_when_a_run_fails() {
    let outdir = tempfile::tempdir().unwrap();
    let output = create(&["--forget", "texts.txt", "--retain", "none"], outdir.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let earlier = read(outdir.path(), "forget.txt");
    let output = create(&["--forget", "zstd.parquet:text", "--retain", "missing.txt"], outdir.path());
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(read(outdir.path(), "forget.txt"), earlier);
    assert_eq!(files(outdir.path()), ["forget.json", "forget.txt"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = create(&["--forget", "texts.txt", "--retain", "none"], &file);
    assert_eq!(output.status.code(), Some(2));
    let message = redacted(&output, folder.path());
    assert!(message.contains("cannot write into [outdir]/file"), "{message}");
    assert!(message.contains("hint: "), "{message}");
}

#[test]
fn help_and_version() {
    for (name, text) in support::help_and_version(assert_cmd::cargo::cargo_bin!("create-datasets")) {
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn bad_usage_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let outdir = folder.path().join("data");
    for arguments in [
        &["--limit", "0"][..],
        &["--limit", "many"],
        &["--min-chars", "-1"],
        &["--shuffle", "yes"],
        &["--quiet", "--verbose"],
        &["surplus"],
    ] {
        let output = create(arguments, &outdir);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).starts_with("error: "), "{arguments:?}");
        assert!(!outdir.exists(), "{arguments:?}");
    }
}
