//! A whole run that is killed within the comparison of parameters goes on where it was, without being told to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails
#![cfg(unix)]

#[path = "../../cli/tests/support/mod.rs"]
mod support;
#[path = "../../cli/tests/support/synthetic.rs"]
mod synthetic;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::stderr;
use synthetic::{assert_same_files, results, synthetic_pair};

const MATRICES: usize = 120;

/// Runs in a folder of its own, so that paths in results are the same.
fn command(folder: &Path, models: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("model-diffs"));
    command.env_clear().current_dir(folder).stderr(Stdio::piped());
    command.args(["run", "--compare"]).arg(format!("{0}/a={0}/b", models.display()));
    command
        .args(["--outroot", "out", "--picture-format", "svg", "--top-k", "3", "--threads", "2"])
        .args(flags);
    command
}

#[test]
fn a_run_that_is_killed_within_a_step_goes_on_within_it() {
    let models = tempfile::tempdir().unwrap();
    synthetic_pair(models.path(), MATRICES);
    let (uninterrupted, killed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // The folder's name is made of the models' paths.
    let tables = |folder: &Path| {
        let mut pairs = std::fs::read_dir(folder.join("out/param_stats")).into_iter().flatten();
        pairs.next().map(|entry| entry.unwrap().path())
    };
    let finished = |message: &str| {
        let line = message.lines().find(|line| line.ends_with(" matrices were finished by an earlier run"));
        line.map_or(0, |line| line.split(' ').next().unwrap().parse::<usize>().unwrap())
    };
    let output = command(uninterrupted.path(), models.path(), &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "some matrices are not finite: {}", stderr(&output));

    let mut taken_over = Vec::new();
    for bytes in [1, 20_000, 40_000] {
        let mut child = command(killed.path(), models.path(), &[]).spawn().unwrap();
        let start = Instant::now();
        let journal = || Some(tables(killed.path())?.join("param_stats.journal"));
        let len =
            || journal().and_then(|journal| std::fs::metadata(journal).ok()).map_or(0, |file| file.len());
        while len() < bytes {
            assert!(start.elapsed() < Duration::from_mins(1), "no journal is written");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        taken_over.push(finished(&stderr(&child.wait_with_output().unwrap())));
    }
    let output = command(killed.path(), models.path(), &[]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    taken_over.push(finished(&stderr(&output)));
    assert!(taken_over[0] == 0 && taken_over.is_sorted_by(|a, b| a < b), "{taken_over:?}");

    let found = tables(killed.path()).unwrap();
    assert!(!found.join("param_stats.journal").exists());
    assert_same_files(&results(&found), &results(&tables(uninterrupted.path()).unwrap()));
    let report = |folder: &Path| std::fs::read(folder.join("out/report.html")).unwrap();
    assert!(report(killed.path()) == report(uninterrupted.path()));
}

#[test]
fn what_is_forced_starts_anew() {
    let models = tempfile::tempdir().unwrap();
    synthetic_pair(models.path(), MATRICES);
    let folder = tempfile::tempdir().unwrap();
    let mut child = command(folder.path(), models.path(), &[]).spawn().unwrap();
    let is_there = |name: &str| {
        let mut pairs = std::fs::read_dir(folder.path().join("out/param_stats")).into_iter().flatten();
        pairs.any(|pair| pair.unwrap().path().join(name).exists())
    };
    while !is_there("param_stats.journal") && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let output = command(folder.path(), models.path(), &["--force"]).output().unwrap();
    let message = stderr(&output);
    assert!(message.contains("matrices; this one does not resume it\n"), "{message}");
    assert!(!message.contains("were finished by an earlier run"), "{message}");
    assert!(is_there("per_matrix.csv") && !is_there("param_stats.journal"));
}
