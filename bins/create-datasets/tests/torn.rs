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

fn command(outdir: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("create-datasets"));
    command.current_dir(fixtures().join("datasets/formats")).arg("--outdir").arg(outdir);
    command
}

fn torn(outdir: &Path) -> Torn {
    let door = |forget: &'static str, retain: &'static str| -> Door {
        let outdir = outdir.to_path_buf();
        Box::new(move || {
            let mut command = command(&outdir);
            command.args(["--forget", forget, "--retain", retain, "--min-chars", "1", "--limit", "3"]);
            command
        })
    };
    let doors = [door("zstd.parquet:text", "texts.csv:text"), door("texts.txt", "texts.jsonl:text")];
    Torn::new(outdir.to_path_buf(), doors, ["retain.json"; 2])
}

#[test]
fn killed_at_any_moment() {
    let outdir = tempfile::tempdir().unwrap();
    torn(outdir.path()).killed(60);
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
fn a_signal_ends_the_run_without_output() {
    let folder = tempfile::tempdir().unwrap();
    // A data set without a sample, all its lines being too short, which takes far longer to read than the signal.
    std::fs::write(folder.path().join("short.txt"), "a\n".repeat(40 << 20)).unwrap();
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let outdir = folder.path().join("texts");
        let mut command = command(&outdir);
        command.current_dir(folder.path()).args(["--forget", "none", "--retain", "short.txt"]);
        support::assert_interruptible(command, &outdir, signal, code);
    }
}
