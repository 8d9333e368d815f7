//! Runs of the real binary that are stopped at any moment, by any means, and gone on with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails
#![cfg(unix)]

#[path = "../../cli/tests/support/mod.rs"]
mod support;
#[path = "../../cli/tests/support/synthetic.rs"]
mod synthetic;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::stderr;
use synthetic::{assert_correct, assert_same_files, results, synthetic_pair, uniform};

const MATRICES: usize = 160;
const GAPS: i32 = 1;

/// A pair of models, and where their tables go.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        synthetic_pair(folder.path(), MATRICES);
        Self { folder }
    }

    /// Takes about a second of one core.
    fn command(&self, threads: u8, out: &str) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("collect-param-stats"));
        command.current_dir(&self.folder).stderr(Stdio::piped());
        command.args(["--model-a", "a", "--model-b", "b", "--top-k", "3", "--threads", &threads.to_string()]);
        command.arg("--outdir").arg(out);
        command
    }

    fn tables(&self, out: &str) -> PathBuf {
        self.folder.path().join(out).join("a__to__b")
    }

    fn journal(&self) -> PathBuf {
        self.tables("out").join("param_stats.journal")
    }

    /// The files of a run that nothing happens to, and how long it takes.
    fn uninterrupted(&self, threads: u8) -> (BTreeMap<String, Vec<u8>>, Duration) {
        // The folder is one of the arguments, which tables tell.
        let start = Instant::now();
        let output = self.command(threads, "out").output().unwrap();
        let took = start.elapsed();
        assert_eq!(output.status.code(), Some(GAPS), "{}", stderr(&output));
        assert!(!self.journal().exists());
        let files = results(&self.tables("out"));
        assert_eq!(files.len(), 10);
        std::fs::remove_dir_all(self.folder.path().join("out")).unwrap();
        (files, took)
    }

    /// Starts a run and stops it once so many bytes of journal are there.
    fn signalled(&self, mut command: Command, signal: &str, bytes: u64) -> Output {
        let child = command.spawn().unwrap();
        let len = || std::fs::metadata(self.journal()).map_or(0, |metadata| metadata.len());
        let start = Instant::now();
        while len() < bytes {
            assert!(start.elapsed() < Duration::from_mins(1), "no journal is written");
            std::thread::sleep(Duration::from_millis(1));
        }
        Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        child.wait_with_output().unwrap()
    }
}

/// How many matrices a run took over, as far as it came to say so.
fn taken_over(message: &str) -> Option<usize> {
    let line = message.lines().find(|line| line.ends_with(" matrices were finished by an earlier run"))?;
    let (count, rest) = line.split_once(" of ")?;
    assert!(rest.starts_with(&MATRICES.to_string()), "{line}");
    count.parse().ok()
}

#[test]
fn a_run_that_is_killed_at_any_moment_goes_on_where_it_was() {
    const KILLS: u8 = 36;
    let place = Place::new();
    let expected = [1, 2].map(|threads| place.uninterrupted(threads));
    let mut random = uniform(7);
    let (mut kills, mut resumptions) = (0, 0);
    let mut finished = Vec::new(); // what each run took over, until one ends
    while kills < KILLS || place.tables("out").exists() {
        let threads = 1 + kills % 2;
        let (expected, took) = &expected[usize::from(threads - 1)];
        let mut child = place.command(threads, "out").arg("--resume").spawn().unwrap();
        if kills < KILLS {
            std::thread::sleep(took.mul_f32((random() + 1.0) * 0.2));
            child.kill().unwrap(); // -9, unless it has ended
        }
        let output = child.wait_with_output().unwrap();
        let message = stderr(&output);
        finished.extend(taken_over(&message));
        assert!(finished.is_sorted(), "nothing that was finished is lost: {finished:?}");
        assert_correct(&results(&place.tables("out")), expected);
        match output.status.code() {
            None => kills += 1,
            Some(code) => {
                assert_eq!(code, GAPS, "{message}");
                assert_same_files(&results(&place.tables("out")), expected);
                assert!(!place.journal().exists());
                std::fs::remove_dir_all(place.folder.path().join("out")).unwrap();
                println!("taken over: {finished:?}");
                resumptions += std::mem::take(&mut finished).len();
            }
        }
    }
    assert!(resumptions > 8, "of {kills} kills, {resumptions} left something to go on with");
}

#[test]
fn a_signal_says_what_is_finished_and_how_to_go_on() {
    let place = Place::new();
    let (expected, _) = place.uninterrupted(2);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut finished = 0;
        for (flags, bytes) in [(&[][..], 1), (&["--resume"], 40_000)] {
            let mut command = place.command(2, "out");
            command.args(flags);
            let output = place.signalled(command, signal, bytes);
            let message = stderr(&output);
            assert_eq!(output.status.code(), Some(code), "{message}");
            assert_eq!(taken_over(&message).unwrap_or(0), finished);
            let (_, error) = message.split_once("error: interrupted; ").unwrap();
            let (count, rest) = error.split_once(' ').unwrap();
            let hint = "hint: the same command with --resume goes on from there\n";
            assert_eq!(rest, format!("of {MATRICES} matrices are finished\n{hint}"));
            let count = count.parse().unwrap();
            assert!(count > finished, "{count}");
            finished = count;
            assert_eq!(support::files(&place.tables("out")), ["param_stats.journal"]);
        }
        let output = place.command(2, "out").arg("--resume").output().unwrap();
        assert_eq!(taken_over(&stderr(&output)), Some(finished));
        assert_same_files(&results(&place.tables("out")), &expected);
        assert!(!place.journal().exists());
        std::fs::remove_dir_all(place.folder.path().join("out")).unwrap();
    }
}

#[test]
fn a_run_that_is_not_to_be_resumed_says_what_it_does() {
    let place = Place::new();
    let (expected, _) = place.uninterrupted(2);
    place.signalled(place.command(2, "out"), "-KILL", 20_000);
    let say = |mut command: Command, flags: &[&str]| {
        let output = command.args(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(GAPS));
        stderr(&output)
    };
    let message = say(place.command(2, "out"), &[]);
    let ignored = "matrices; this one does not resume it\n";
    assert!(
        message.starts_with("warning: an earlier run finished ") && message.contains(ignored),
        "{message}"
    );
    assert_same_files(&results(&place.tables("out")), &expected);

    std::fs::remove_dir_all(place.folder.path().join("out")).unwrap();
    place.signalled(place.command(2, "out"), "-KILL", 20_000);
    let message = say(place.command(2, "out"), &["--resume", "--seed", "1"]);
    let cannot = "warning: an earlier run cannot be resumed: options changed\n";
    assert!(message.starts_with(cannot), "{message}");

    place.signalled(place.command(2, "out"), "-KILL", 20_000);
    let damaged = std::fs::read(place.journal()).unwrap();
    let middle = damaged.len() / 2;
    std::fs::write(place.journal(), [&damaged[..middle], b"\0\0\0\0", &damaged[middle + 4..]].concat())
        .unwrap();
    let message = say(place.command(2, "out"), &["--resume"]);
    assert!(message.starts_with("warning: the journal of the earlier run is damaged after "), "{message}");
    assert!(taken_over(&message) > Some(0), "{message}");
    assert_same_files(&results(&place.tables("out")), &expected);
}

/// A journal of these matrices has 96 KB, the largest table as Parquet 76 KB.
#[test]
fn a_journal_that_finds_no_room_stops_no_run() {
    let place = Place::new();
    let run = |blocks: &str, flags: &[&str]| {
        let inner = place.command(2, "out");
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -f {blocks}; exec \"$@\""), "sh"]).current_dir(&place.folder);
        shell.arg(inner.get_program()).args(inner.get_args()).args(["--format", "parquet"]).args(flags);
        shell.stderr(Stdio::piped());
        shell
    };
    let ended = |mut command: Command| {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(GAPS), "{}", stderr(&output));
        (stderr(&output), results(&place.tables("out")))
    };
    let (_, expected) = ended(run("unlimited", &[]));
    let (message, found) = ended(run("168", &[])); // of 512 bytes each
    let path = "out/a__to__b/param_stats.journal";
    let warning = format!("warning: this run cannot be resumed from here on: {path} cannot be written: ");
    assert_eq!(message.matches(&warning).count(), 1, "{message}");
    assert_same_files(&found, &expected);
    assert!(!place.journal().exists());

    place.signalled(run("168", &[]), "-KILL", 80_000);
    let (message, found) = ended(run("unlimited", &["--resume"]));
    assert!(!message.contains("warning"), "an end that is missing is no damage: {message}");
    assert_same_files(&found, &expected);
}
