//! The real binary with data sets of the Hub.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../cli/tests/support/online.rs"]
mod online;
#[path = "../../cli/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Command, Output};

use loopback_hub::{Fault, Kind};

use online::{Online, fixture};
use support::{assert_interruptible, files, fixtures, stderr};

/// The two data sets of the original experiment, with invented texts.
fn online() -> Online {
    let online = Online::new();
    online.hub.add_dataset("cais/wmdp", fixture("datasets/wmdp"));
    online.hub.add_dataset("Salesforce/wikitext", fixture("datasets/wikitext"));
    online
}

fn command(mut command: Command, outdir: &Path) -> Command {
    command.arg("--outdir").arg(outdir);
    command
}

fn create(online: &Online, arguments: &[&str], outdir: &str) -> Output {
    let binary = assert_cmd::cargo::cargo_bin!("create-datasets");
    command(online.command(binary), &online.outdir(outdir)).args(arguments).output().unwrap()
}

fn read(outdir: &Path, name: &str) -> String {
    std::fs::read_to_string(outdir.join(name)).unwrap()
}

fn record(outdir: &Path, name: &str) -> serde_json::Value {
    serde_json::from_str(&read(outdir, name)).unwrap()
}

/// Whether the texts are those that the Python script made of the same data sets.
fn assert_as_the_scripts_made(outdir: &Path) {
    let made = std::fs::read(fixtures().join("datasets/scripts.json")).unwrap();
    let made: serde_json::Value = serde_json::from_slice(&made).unwrap();
    for name in ["forget", "retain"] {
        let record = record(outdir, &format!("{name}.json"));
        assert_eq!(record["sha256"], made[format!("{name}.txt")], "{name}");
        assert_eq!(record["rows"], made[format!("rows_of_{name}")], "{name}");
        assert_eq!(read(outdir, &format!("{name}.txt")).lines().count(), 500);
    }
}

#[test]
fn the_texts_of_the_original_experiment() {
    let online = online();
    let output = create(&online, &[], "data");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    insta::assert_snapshot!("downloaded", online.redacted(&output));
    let outdir = online.outdir("data");
    assert_eq!(files(&outdir), ["forget.json", "forget.txt", "retain.json", "retain.txt"]);
    assert_as_the_scripts_made(&outdir);
    for name in ["forget.json", "retain.json"] {
        insta::assert_snapshot!(name, read(&outdir, name));
    }

    // Once they are there, neither the files nor a network are needed.
    online.hub.forget_requests();
    let output = create(&online, &[], "again");
    assert_eq!((output.status.code(), online.hub.sent()), (Some(0), 0), "{}", stderr(&output));
    online.hub.forget_requests();
    let binary = assert_cmd::cargo::cargo_bin!("create-datasets");
    let outdir = online.outdir("offline");
    let output = command(online.command(binary), &outdir).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(online.hub.requests(), []);
    assert_as_the_scripts_made(&outdir);
    for name in ["forget.json", "retain.json"] {
        assert_eq!(read(&outdir, name), read(&online.outdir("data"), name));
    }
}

#[test]
fn a_revision_of_a_data_set() {
    let online = online();
    let commit = online.hub.add_revision(Kind::Dataset, "cais/wmdp", "v2", fixture("datasets/wmdp"));
    online.hub.add_dataset("cais/wmdp", [("README.md".to_owned(), b"emptied".to_vec())]);
    for revision in ["v2", &commit] {
        let source = format!("cais/wmdp@{revision}:wmdp-bio:test:question");
        let output = create(&online, &["--forget", &source, "--retain", "none", "--limit", "3"], revision);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let record = record(&online.outdir(revision), "forget.json");
        assert_eq!((&record["revision"], &record["source"]), (&commit.as_str().into(), &source.into()));
    }
}

#[test]
fn a_data_set_by_its_old_name_and_as_the_hub_converted_it() {
    let online = online();
    online.hub.add_alias("wikitext", "Salesforce/wikitext");
    let output =
        create(&online, &["--forget", "none", "--retain", "wikitext:wikitext-2-raw-v1:train:text"], "old");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));

    let files = fixture("datasets/wikitext").into_iter().filter(|(name, _)| name.ends_with(".parquet"));
    let files = files.enumerate().map(|(shard, (_, bytes))| (format!("raw/train/{shard:04}.parquet"), bytes));
    online.hub.add_dataset("org/csv", [("train.csv".to_owned(), b"text\n".to_vec())]);
    let commit = online.hub.add_revision(Kind::Dataset, "org/csv", "refs/convert/parquet", files);
    let output = create(&online, &["--forget", "none", "--retain", "org/csv:raw:train:text"], "converted");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let [old, converted] = ["old", "converted"].map(|outdir| read(&online.outdir(outdir), "retain.txt"));
    assert_eq!(old, converted);
    let record = record(&online.outdir("converted"), "retain.json");
    assert_eq!(record["revision"], commit.as_str());
    assert_eq!(record["files"], serde_json::json!(["raw/train/0000.parquet", "raw/train/0001.parquet"]));
}

#[test]
fn what_cannot_be_had_is_said_with_its_cause_and_the_way_out() {
    let online = online();
    online.hub.gate("cais/wmdp");
    online.hub.accept("cais/wmdp", "hf_accepted");
    for (case, source, token) in [
        ("gated", "cais/wmdp:wmdp-bio:test:question", None),
        ("gated_with_token", "cais/wmdp:wmdp-bio:test:question", Some("hf_mine")),
        ("unknown", "org/unknown:default:train:text", None),
        ("unknown_split", "Salesforce/wikitext:wikitext-2-raw-v1:trian:text", None),
        ("unknown_config", "Salesforce/wikitext:default:train:text", None),
        ("unknown_revision", "Salesforce/wikitext@v9:wikitext-2-raw-v1:train:text", None),
        ("unknown_column", "Salesforce/wikitext:wikitext-2-raw-v1:train:question", None),
    ] {
        let outdir = online.outdir(case);
        let mut command = command(online.command(assert_cmd::cargo::cargo_bin!("create-datasets")), &outdir);
        command.args(["--forget", source]).envs(token.map(|token| ("HF_TOKEN", token)));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{case}");
        insta::assert_snapshot!(format!("error_{case}"), online.redacted(&output));
        assert!(!outdir.exists(), "{case}: nothing is written");
    }
    let outdir = online.outdir("accepted");
    let mut command = command(online.command(assert_cmd::cargo::cargo_bin!("create-datasets")), &outdir);
    let output = command.env("HF_TOKEN", "hf_accepted").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_as_the_scripts_made(&outdir);
}

#[test]
#[cfg(unix)]
fn an_interrupted_download_leaves_no_text() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let online = online();
        online.hub.fail("wmdp", Fault::Stall, usize::MAX);
        let outdir = online.outdir("data");
        let mut command = command(online.command(assert_cmd::cargo::cargo_bin!("create-datasets")), &outdir);
        command.arg("--quiet");
        assert_interruptible(command, &outdir, signal, code);
    }
}
