//! The real binary with models and data sets of the Hub.
#![cfg(feature = "network")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../cli/tests/support/online.rs"]
mod online;
#[path = "../../cli/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::Command;

use online::{Online, assert_same_tables, csv_files, fixture};
use support::{fixtures, provenance, stderr};

fn command(online: &Online, arguments: &[&str]) -> Command {
    let mut command = online.command(assert_cmd::cargo::cargo_bin!("model-diffs"));
    command.args(["run", "--device", "cpu", "--picture-format", "svg"]).args(arguments);
    command
}

/// What was found is the report's to word.
fn without_findings(message: &str) -> String {
    let finding = |line| if str::starts_with(line, "  ") { "  (findings)" } else { line };
    let mut lines: Vec<&str> = message.lines().map(finding).collect();
    lines.dedup();
    lines.join("\n")
}

#[test]
fn models_of_the_hub_are_compared_as_those_on_disk_and_a_second_run_finds_all_done() {
    let online = Online::new();
    let models = ["a", "b"].map(|model| fixture(&format!("activations/pair/{model}")));
    for (id, files) in ["org/a", "org/b"].into_iter().zip(&models) {
        online.hub.add_model(id, files.clone());
    }
    let run = |outroot: &str, folder: &Path, more: Option<&str>| {
        let mut command = command(&online, &["--base", "org/a", "--unlearned", "org/b"]);
        for text in ["forget", "retain"] {
            let file = fixtures().join("activations/pair").join(format!("{text}.txt"));
            command.arg(format!("--{text}-text")).arg(file);
        }
        command.args(more).current_dir(folder).arg("--outroot").arg(online.outdir(outroot));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        online.redacted(&output)
    };
    let disk = online.disk(&[("org/a", &models[0]), ("org/b", &models[1])]);
    run("local", &disk, None);
    let local = csv_files(&online.outdir("local"));

    let streamed = || run("streamed", &online.work(), Some("--stream"));
    streamed();
    assert_same_tables(&csv_files(&online.outdir("streamed")), &local);
    assert!(online.cached().is_empty(), "{:?}", online.cached());
    online.hub.forget_requests();
    let again = streamed();
    assert_eq!(again.matches(": unchanged\n").count(), 5, "{again}");
    let weights = |request: &&loopback_hub::Request| request.path.starts_with("/cdn/");
    assert_eq!(online.hub.requests().iter().filter(weights).count(), 0);
    // A branch that has moved on is another model.
    online.hub.add_model("org/b", models[0].clone());
    let moved = streamed();
    assert!(moved.matches(": unchanged\n").count() <= 1, "{moved}");
    online.hub.add_model("org/b", models[1].clone());

    let message = run("downloaded", &online.work(), None);
    insta::assert_snapshot!("downloaded", without_findings(&message));
    assert_same_tables(&csv_files(&online.outdir("downloaded")), &local);
}

/// The models and data sets of the original experiment, small.
fn original_experiment() -> Online {
    let online = Online::new();
    for (name, model) in [("unfiltered", "a"), ("e2e-strong-filter", "b"), ("unfiltered-cb-lat", "a-bin")] {
        let files = fixture(&format!("activations/pair/{model}"));
        online.hub.add_model(&format!("EleutherAI/deep-ignorance-{name}"), files);
    }
    online.hub.add_dataset("cais/wmdp", fixture("datasets/wmdp"));
    online.hub.add_dataset("Salesforce/wikitext", fixture("datasets/wikitext"));
    online
}

fn samples(outroot: &Path, split: &str) -> usize {
    std::fs::read_to_string(outroot.join(format!("data/{split}.txt"))).unwrap().lines().count()
}

#[test]
fn without_any_argument_it_is_the_original_experiment() {
    let online = original_experiment();
    let run = || {
        let mut command = online.command(assert_cmd::cargo::cargo_bin!("model-diffs"));
        command.args(["run", "--picture-format", "svg", "--max-samples", "4", "--max-length", "16"]);
        command.output().unwrap()
    };
    let output = run();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    insta::assert_snapshot!("original_experiment", without_findings(&online.redacted(&output)));
    let outroot = online.work().join("outputs");
    assert_eq!(["forget", "retain"].map(|split| samples(&outroot, split)), [500, 500]);
    let get = provenance(&outroot.join("activation_norms/activation_norms.parquet"));
    assert!(get("splits").contains("forget.txt"), "{}", get("splits"));
    assert_eq!(std::fs::read_dir(outroot.join("param_stats")).unwrap().count(), 2);
    assert!(outroot.join("report.html").is_file());

    online.hub.forget_requests();
    let again = run();
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(online.hub.sent(), 0, "all is in the cache");
    let message = online.redacted(&again);
    assert_eq!(message.matches(": unchanged\n").count(), message.matches("\n[").count() + 1, "{message}");
}

#[test]
fn a_gated_baseline_is_said_and_texts_are_made_all_the_same() {
    let online = original_experiment();
    online.hub.gate("EleutherAI/deep-ignorance-unfiltered");
    let output = command(&online, &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let message = online.redacted(&output);
    let gated = "EleutherAI/deep-ignorance-unfiltered is gated: its licence must be accepted first\n\
                 hint: accept the licence at [endpoint]/EleutherAI/deep-ignorance-unfiltered, then set HF_TOKEN";
    assert!(message.contains(gated), "{message}");
    assert_eq!(samples(&online.work().join("outputs"), "forget"), 500);
    // Without it there is nothing to compare the others with.
    let others = |request: &loopback_hub::Request| {
        ["strong-filter", "cb-lat"].iter().any(|name| request.path.contains(name))
    };
    assert!(!online.hub.requests().iter().any(others), "{message}");
}

#[test]
fn texts_and_models_are_fetched_ahead_for_machines_without_a_network() {
    let online = original_experiment();
    let run = |steps: &str, offline: &str| {
        let mut command = command(&online, &["--max-samples", "4", "--max-length", "16", "--steps", steps]);
        let output = command.env("HF_HUB_OFFLINE", offline).output().unwrap();
        (output.status.code().unwrap(), online.redacted(&output))
    };
    assert_eq!(run("models", "1").0, 2, "nothing is there yet");
    let (code, message) = run("texts,models", "0");
    assert_eq!(code, 0, "{message}");
    assert!(message.starts_with("[1/9] texts\n") && message.contains("\n[2/9] models\n"), "{message}");
    let outroot = online.work().join("outputs");
    assert!(!outroot.join("param_stats").exists() && !outroot.join("activation_norms").exists());
    online.hub.forget_requests();
    let (code, message) = run("parameters,hidden-states,report", "1");
    assert_eq!(code, 0, "{message}");
    assert!(online.hub.requests().is_empty(), "{message}");
    assert!(outroot.join("report.html").is_file() && !outroot.join("plots").exists());
}
