//! The real binary with a data set of three files of thirteen samples each: what is fetched, and what can be had later.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../cli/tests/support/online.rs"]
mod online;
#[path = "../../cli/tests/support/mod.rs"]
mod support;

use std::process::Output;

use online::{Online, fixture};
use support::stderr;

fn name(number: usize) -> String {
    format!("c/train-{number:05}-of-00003.parquet")
}

fn online() -> Online {
    let online = Online::new();
    let mut formats = fixture("datasets/formats").into_iter();
    let mut bytes = |format: &str| formats.find(|(file, _)| file == format).unwrap().1;
    let files = ["gzip.parquet", "none.parquet", "zstd.parquet"].map(&mut bytes);
    online
        .hub
        .add_dataset("org/set", files.into_iter().enumerate().map(|(number, file)| (name(number), file)));
    online
}

fn run(online: &Online, arguments: &[&str], offline: bool) -> Output {
    online.hub.forget_requests();
    let mut command = online.command(assert_cmd::cargo::cargo_bin!("create-datasets"));
    command.args(["--forget", "org/set:c:train:text", "--retain", "none"]).args(arguments);
    command.arg("--outdir").arg(online.outdir("data")).env("HF_HUB_OFFLINE", if offline { "1" } else { "0" });
    command.output().unwrap()
}

/// The text and its record.
fn create(online: &Online, arguments: &[&str], offline: bool) -> [String; 2] {
    let output = run(online, arguments, offline);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    ["forget.txt", "forget.json"]
        .map(|name| std::fs::read_to_string(online.outdir("data").join(name)).unwrap())
}

#[test]
fn files_are_fetched_until_there_are_enough_samples() {
    for (arguments, samples, files) in [
        (&["--limit", "13"][..], 13, 1),
        (&["--limit", "14"], 14, 2),
        (&["--limit", "500"], 39, 3),
        (&["--limit", "all"], 39, 3),
        (&["--limit", "2", "--shuffle", "1"], 2, 3),
    ] {
        let online = online();
        let made = create(&online, arguments, false);
        let names: Vec<String> = (0..files).map(name).collect();
        assert_eq!(online.resolved(), names, "{arguments:?}");
        let record: serde_json::Value = serde_json::from_str(&made[1]).unwrap();
        assert_eq!(record["files"], serde_json::json!(names), "{arguments:?}");
        let rows = (files == 3).then_some(51);
        assert_eq!((made[0].lines().count(), record["rows"].as_u64()), (samples, rows), "{arguments:?}");

        assert_eq!((create(&online, arguments, false), online.hub.sent()), (made.clone(), 0));
        assert_eq!((create(&online, arguments, true), online.hub.requests()), (made, vec![]));
    }
}

#[test]
fn offline_samples_that_would_need_more_files_are_refused() {
    let online = online();
    let made = create(&online, &["--limit", "13"], false);
    for arguments in [&["--limit", "14"][..], &["--limit", "all"], &["--limit", "2", "--shuffle", "1"]] {
        let output = run(&online, arguments, true);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let lacks = format!(" lacks Parquet of configuration `c`, split `train` after {}\n", name(0));
        assert!(stderr(&output).contains(&lacks), "{}", stderr(&output));
    }
    assert_eq!(create(&online, &["--limit", "13"], true), made);
    // What is missing is fetched, and no more.
    create(&online, &["--limit", "2", "--shuffle", "1"], false);
    assert_eq!(online.resolved(), [name(1), name(2)]);
}
