//! Runs that do not end as they should leave no file that is not what it should be.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../cli/tests/support/mod.rs"]
mod support;
#[path = "../../cli/tests/support/torn.rs"]
mod torn;

use std::path::Path;
use std::process::Command;

use support::{fixtures, stderr};
use torn::{Door, Torn};

fn command(outdir: &Path, pair: &str) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("collect-param-stats"));
    command.current_dir(fixtures().join("pairs").join(pair)).args(["--model-a", "a", "--model-b", "b"]);
    command.arg("--outdir").arg(outdir);
    command
}

/// Two pairs of models, of which one gets tables that the other does not.
fn torn(outdir: &Path) -> Torn {
    let door = |pair: &'static str, more: &'static [&'static str]| -> Door {
        let outdir = outdir.to_path_buf();
        Box::new(move || {
            let mut command = command(&outdir, pair);
            command.args(more);
            command
        })
    };
    let doors = [door("neox", &["--top-k", "2"]), door("gpt2", &["--format", "csv"])];
    Torn::new(outdir.join("a__to__b"), doors, ["ledger", "ledger"]).besides("param_stats.journal")
}

#[test]
fn killed_at_any_moment() {
    let outdir = tempfile::tempdir().unwrap();
    torn(outdir.path()).killed(60);
}

#[test]
fn interrupted_at_any_moment() {
    let outdir = tempfile::tempdir().unwrap();
    torn(outdir.path()).signalled(12);
}

#[test]
fn two_runs_at_once() {
    let outdir = tempfile::tempdir().unwrap();
    torn(outdir.path()).crowded(20);
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

#[test]
fn a_run_that_takes_long_keeps_others_out() {
    let outdir = tempfile::tempdir().unwrap();
    let name = |index| format!("layers.{index}.mlp.up_proj.weight");
    let tensors: Vec<_> = (0..400).map(|index| (name(index), vec![4096, 4096])).collect();
    for model in ["a", "b"] {
        std::fs::create_dir(outdir.path().join(model)).unwrap();
        let file = outdir.path().join(model).join("model.safetensors");
        support::sparse_model(&file, &tensors); // 27 GB of zeros: far longer than this test takes
    }
    let mut long = command(outdir.path(), "neox");
    let mut long = torn::quiet(long.current_dir(outdir.path())).spawn().unwrap();
    while !outdir.path().join("a__to__b").exists() && long.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let output = command(outdir.path(), "neox").output().unwrap();
    long.kill().unwrap();
    long.wait().unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(support::redacted(&output, outdir.path()));
    let output = command(outdir.path(), "neox").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "a run that was killed keeps nobody out: {}", stderr(&output));
}
