//! The real binary with models of the Hub, downloaded and streamed.
#![cfg(feature = "network")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../cli/tests/support/online.rs"]
mod online;
#[path = "../../cli/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Command, Output};

use loopback_hub::Fault;

use online::{Files, Online, assert_same_tables, csv_files, fixture, with};
use support::{fixtures, stderr};

/// Measures two models on the texts of the pair, in CSV alone.
fn measure(online: &Online, models: [&str; 2], outdir: &Path) -> Command {
    let mut command = online.command(assert_cmd::cargo::cargo_bin!("collect-activation-norms"));
    let pair = fixtures().join("activations/pair");
    command.args(["--model-a", models[0], "--model-b", models[1], "--device", "cpu", "--format", "csv"]);
    command.args(["--max-samples", "6", "--max-length", "16", "--outdir"]).arg(outdir);
    for text in ["forget", "retain"] {
        command.arg(format!("--{text}-text")).arg(pair.join(format!("{text}.txt")));
    }
    command
}

fn tables(output: &Output, outdir: &Path) -> Vec<(String, String)> {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    csv_files(outdir)
}

/// The tables of these models on disk, where they have the same names.
fn tables_on_disk(online: &Online, names: [&str; 2], models: &[Files; 2]) -> Vec<(String, String)> {
    let outdir = online.outdir("local");
    let disk = online.disk(&[(names[0], &models[0]), (names[1], &models[1])]);
    tables(&measure(online, names, &outdir).current_dir(disk).output().unwrap(), &outdir)
}

/// Two models with more files than are needed.
fn pair(changed: &str) -> (Online, [Files; 2]) {
    let online = Online::new();
    let models = [fixture("activations/pair/a"), fixture(&format!("activations/pair/{changed}"))];
    for (name, files) in ["org/a", &format!("org/{changed}")].into_iter().zip(&models) {
        online
            .hub
            .add_model(name, with(files.clone(), &[("README.md", b"# A model"), ("rust_model.ot", b"no")]));
    }
    (online, models)
}

#[test]
fn models_are_downloaded_with_their_tokenizers() {
    let (online, models) = pair("b");
    let outdir = online.outdir("results");
    let output = measure(&online, ["org/a", "org/b"], &outdir).output().unwrap();
    let local = tables_on_disk(&online, ["org/a", "org/b"], &models);
    assert_same_tables(&tables(&output, &outdir), &local);
    insta::assert_snapshot!("downloaded", online.redacted(&output));
    let resolved = online.resolved();
    for needed in ["config.json", "model.safetensors", "tokenizer.json"] {
        assert!(resolved.iter().any(|name| name == needed), "{resolved:?}");
    }
    let needless = |name: &String| name == "README.md" || name == "rust_model.ot";
    assert!(!resolved.iter().any(needless), "{resolved:?}");
    online.assert_blobs_are(&[&models[0], &models[1]]);

    online.hub.forget_requests();
    let output = measure(&online, ["org/a", "org/b"], &online.outdir("again")).output().unwrap();
    assert_eq!((output.status.code(), online.hub.sent()), (Some(0), 0));
}

#[test]
fn models_are_streamed_and_read_once() {
    for changed in ["b", "a-bin"] {
        let (online, models) = pair(changed);
        let changed = format!("org/{changed}");
        let names = ["org/a", &changed];
        let outdir = online.outdir("results");
        let output = measure(&online, names, &outdir).arg("--stream").output().unwrap();
        assert_same_tables(&tables(&output, &outdir), &tables_on_disk(&online, names, &models));
        assert!(online.cached().is_empty(), "{:?}", online.cached());
        let is_weight = |name: &str| name.contains("model") && !name.ends_with(".index.json");
        let weights = models.iter().flatten().filter(|(name, _)| is_weight(name));
        let weights: u64 = weights.map(|(_, bytes)| bytes.len() as u64).sum();
        let sent: u64 = online.deliveries().iter().map(|request| request.sent).sum();
        assert!(sent <= weights, "{sent} of {weights} bytes");
    }
}

#[test]
fn errors_that_pass_are_waited_for() {
    let (online, models) = pair("b");
    let expected = tables_on_disk(&online, ["org/a", "org/b"], &models);
    for stream in [None, Some("--stream")] {
        online.hub.fail("tokenizer.json", Fault::Drop { after: 1000 }, 1);
        online.hub.fail("/cdn/", Fault::Status(503), 1);
        online.hub.fail("/cdn/", Fault::Drop { after: 1000 }, 2);
        online.hub.fail("/cdn/", Fault::RetryAfter(429, 0), 1);
        let outdir = online.outdir(stream.unwrap_or("downloaded"));
        // A stream would take what is in the cache from there.
        let home = online.outdir(if stream.is_some() { "no cache" } else { "cache" });
        let mut command = measure(&online, ["org/a", "org/b"], &outdir);
        let output = command.args(stream).env("HF_HOME", home).output().unwrap();
        assert_same_tables(&tables(&output, &outdir), &expected);
    }
}

#[test]
fn a_model_without_a_tokenizer_is_named() {
    for (case, stream) in [("no_tokenizer", None), ("no_tokenizer_streamed", Some("--stream"))] {
        let (online, [_, mut mute]) = pair("b");
        mute.retain(|(name, _)| !name.starts_with("tokenizer"));
        online.hub.add_model("org/mute", mute);
        let outdir = online.outdir("results");
        let output = measure(&online, ["org/a", "org/mute"], &outdir).args(stream).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        insta::assert_snapshot!(case, online.redacted(&output));
        assert!(!outdir.exists());
    }
}
