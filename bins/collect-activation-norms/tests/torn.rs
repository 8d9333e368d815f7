//! Runs that do not end as they should leave no file that is not what it should be.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../cli/tests/support/mod.rs"]
mod support;
#[path = "../../cli/tests/support/torn.rs"]
mod torn;

use std::path::Path;
use std::process::Command;

use support::fixtures;
use torn::{Door, Torn};

/// Two models, once token by token, and once each by itself.
fn torn(outdir: &Path) -> Torn {
    let door = |models: &'static [&'static str]| -> Door {
        let outdir = outdir.to_path_buf();
        Box::new(move || {
            let mut command = Command::new(assert_cmd::cargo::cargo_bin!("collect-activation-norms"));
            command
                .current_dir(fixtures().join("activations/pair"))
                .args(models)
                .arg("--outdir")
                .arg(&outdir);
            command.args(["--forget-text", "forget.txt", "--max-samples", "2", "--max-length", "8"]);
            command.args(["--device", "cpu"]);
            command
        })
    };
    let pair = door(&["--model-a", "a", "--model-b", "b", "--per-sample"]);
    let alone = door(&["--models", "a", "b", "--format", "csv"]);
    Torn::new(outdir.to_path_buf(), [pair, alone], ["activation_summary"; 2])
}

#[test]
fn killed_and_interrupted_at_any_moment() {
    let outdir = tempfile::tempdir().unwrap();
    let torn = torn(outdir.path());
    torn.killed(30);
    torn.signalled(8);
}

#[test]
fn two_runs_at_once() {
    let outdir = tempfile::tempdir().unwrap();
    torn(outdir.path()).crowded(10);
}

#[test]
fn no_room_no_right_and_nobody_who_listens() {
    let outdir = tempfile::tempdir().unwrap();
    let torn = torn(outdir.path());
    torn.limited();
    torn.full();
    torn.read_only();
    torn.unheard();
}
