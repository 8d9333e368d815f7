//! The real binary on shares of a comparison, as array tasks of a cluster run it, and the merge of their parts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails
#![cfg(unix)]

#[path = "../../cli/tests/support/mod.rs"]
mod support;
#[path = "../../cli/tests/support/synthetic.rs"]
mod synthetic;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::{fixtures, provenance, redacted, stderr};
use synthetic::{assert_correct, assert_same_files, results, synthetic_pair, uniform};

const GAPS: i32 = 1;

fn tool() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("collect-param-stats"));
    // What is no path could be a model of the Hub. A test may itself be a task of an array.
    command.env("HF_HUB_OFFLINE", "1").env("HF_HUB_CACHE", "no-cache");
    for name in ["ID", "COUNT", "MIN", "MAX", "STEP"] {
        command.env_remove(format!("SLURM_ARRAY_TASK_{name}"));
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Compares a pair of the fixtures, called from their folder. The tables' place, one of the arguments that they tell, is
/// the same for one machine and for several, since it is relative to a link.
struct Pair {
    name: &'static str,
    flags: &'static [&'static str],
    folder: tempfile::TempDir,
}

impl Pair {
    fn new(name: &'static str, flags: &'static [&'static str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(fixtures().canonicalize().unwrap(), folder.path().join("fixtures"))
            .unwrap();
        Self { name, flags, folder }
    }

    fn command(&self) -> Command {
        let mut command = tool();
        let model = |side: &str| format!("fixtures/pairs/{}/{side}", self.name);
        command.current_dir(&self.folder).args(["--model-a", &model("a"), "--model-b", &model("b")]);
        command.args(["--outdir", "out", "--name", "tables"]).args(self.flags);
        command
    }

    fn tables(&self) -> PathBuf {
        self.folder.path().join("out/tables")
    }

    fn part(&self, share: &str) -> Output {
        self.command().args(["--shard", share]).output().unwrap()
    }

    fn merge(&self) -> Output {
        tool().current_dir(&self.folder).args(["merge", "out/tables"]).output().unwrap()
    }

    /// What one machine says and writes, of which nothing is left.
    fn on_one_machine(&self) -> (Output, BTreeMap<String, Vec<u8>>) {
        let output = self.command().output().unwrap();
        let files = results(&self.tables());
        std::fs::remove_dir_all(self.folder.path().join("out")).unwrap();
        (output, files)
    }

    /// Has so many machines compare a pair, and sees that the merge is what one machine says and writes.
    fn assert_merged(&self, counts: &[u32]) {
        let (one, expected) = self.on_one_machine();
        let code = one.status.code().unwrap();
        assert!(code < 2, "{}", stderr(&one));
        for count in counts {
            let codes: Vec<i32> = (0..*count)
                .map(|index| self.part(&format!("{index}/{count}")).status.code().unwrap())
                .collect();
            assert!(results(&self.tables()).is_empty(), "parts are in folders of their own");
            assert_eq!(codes.iter().max(), Some(&code), "a gap is one of some part");
            let merged = self.merge();
            assert_eq!((merged.status.code(), stderr(&merged)), (Some(code), stderr(&one)), "{}", self.name);
            assert_same_files(&results(&self.tables()), &expected);
            std::fs::remove_dir_all(self.folder.path().join("out")).unwrap();
        }
    }
}

#[test]
fn any_number_of_machines_writes_what_one_writes() {
    for name in ["neox", "gpt2", "mixed", "transposed", "dtypes", "extremes", "moe_fused", "ledger"] {
        Pair::new(name, &[]).assert_merged(&[1, 2, 3, 7]);
    }
    // More parts than names.
    Pair::new("ledger", &[]).assert_merged(&[40]);
}

#[test]
fn whatever_is_asked_for_is_merged() {
    for (name, flags) in [
        ("neox", &["--top-k", "3"][..]),
        ("ledger", &["--top-k", "3", "--format", "parquet"]),
        ("mixed", &["--full-spectrum"]),
        ("extremes", &["--full-spectrum", "--top-k", "2", "--include", "all"]),
        ("ledger", &["--include", "all"]),
        ("gpt2", &["--include", "all", "--zero-deltas", "include"]),
        ("moe_fused", &["--format", "csv", "--operators", "delta"]),
        ("neox", &["--sr-iters", "5", "--seed", "9", "--zero-deltas", "include"]),
        ("transposed", &["--tolerance", "1e-2", "--max-passes", "2", "--threads", "2"]),
    ] {
        Pair::new(name, flags).assert_merged(&[2, 7]);
    }
}

#[test]
fn what_parts_and_merges_say() {
    let pair = Pair::new("ledger", &[]);
    let said = |output: &Output| {
        format!("exit code {}\n{}", output.status.code().unwrap(), redacted(output, pair.folder.path()))
    };
    insta::assert_snapshot!("part", said(&pair.part("0/3")));
    insta::assert_snapshot!("part_without_matrix", said(&pair.part("2/3")));
    insta::assert_snapshot!("missing", said(&pair.merge()));
    pair.part("1/3");
    insta::assert_snapshot!("merged", said(&pair.merge()));
    let quiet = tool().current_dir(&pair.folder).args(["merge", "--quiet", "out/tables"]).output().unwrap();
    assert_eq!((quiet.status.code(), stderr(&quiet).as_str()), (Some(GAPS), ""));

    pair.part("0/2");
    insta::assert_snapshot!("several", said(&pair.merge()));
    std::fs::remove_dir_all(pair.tables().join("parts/0-of-2")).unwrap();
    pair.command().args(["--shard", "1/3", "--seed", "1"]).output().unwrap();
    insta::assert_snapshot!("mixed", said(&pair.merge()));
    std::fs::write(pair.tables().join("parts/1-of-3/ledger.parquet"), "PAR1").unwrap();
    pair.command().args(["--shard", "0/3", "--seed", "1"]).output().unwrap();
    insta::assert_snapshot!("damaged", said(&pair.merge()));
    let nowhere = tool().current_dir(&pair.folder).args(["merge", "nowhere"]).output().unwrap();
    insta::assert_snapshot!("nowhere", said(&nowhere));
    // Tables of the merge before are still those.
    assert_eq!(results(&pair.tables()).len(), 8);
}

#[test]
fn help_of_merge() {
    let output = tool().args(["merge", "--help"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap());
}

#[test]
fn arguments_that_are_no_part_are_refused_before_any_work() {
    let pair = Pair::new("neox", &[]);
    for share in ["3/3", "-1/3", "1", "1/0", "01/3", "slurm", ""] {
        let output = pair.command().arg(format!("--shard={share}")).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{share}");
        assert!(
            stderr(&output).starts_with(&format!("error: invalid value '{share}' for '--shard <I/N>': "))
        );
    }
    for arguments in
        [&["merge"][..], &["merge", "a", "b"], &["merge", "a", "--seed", "1"], &["--seed", "1", "merge", "a"]]
    {
        let output = tool().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    assert!(!pair.folder.path().join("out").exists());
}

/// The provenance of the merged tables says what would make them on one machine.
#[test]
fn tables_do_not_tell_which_machines_made_them() {
    let pair = Pair::new("neox", &["--format", "parquet"]);
    let spelled = |arguments: &[&str]| pair.command().args(arguments).output().unwrap().status.code();
    assert_eq!(spelled(&["--shard", "0/2", "--resume"]), Some(0));
    assert_eq!(spelled(&["--resume", "--shard=1/2"]), Some(0));
    assert_eq!(stderr(&pair.merge()).matches("warning").count(), 0);
    let arguments = provenance(&pair.tables().join("ledger.parquet"))("arguments");
    let models = r#""--model-a","fixtures/pairs/neox/a","--model-b","fixtures/pairs/neox/b""#;
    let rest = r#""--outdir","out","--name","tables","--format","parquet""#;
    assert_eq!(arguments, format!("[{models},{rest}]"));
}

/// As `sbatch --array=SPEC` runs it: all tasks at once.
#[test]
fn tasks_of_a_slurm_array_are_merged() {
    let pair = Pair::new("ledger", &["--top-k", "2"]);
    let (_, expected) = pair.on_one_machine();
    let task = |id: usize, [count, first, last, step]: [usize; 4]| {
        let mut command = pair.command();
        command.args(["--shard", "slurm", "--resume"]);
        for (name, value) in [("ID", id), ("COUNT", count), ("MIN", first), ("MAX", last), ("STEP", step)] {
            command.env(format!("SLURM_ARRAY_TASK_{name}"), value.to_string());
        }
        command
    };
    for (array, [count, first, last, step]) in
        [("0-3", [4, 0, 3, 1]), ("1-4", [4, 1, 4, 1]), ("10-16:2", [4, 10, 16, 2])]
    {
        let ids = (first..=last).step_by(step);
        let tasks: Vec<_> = ids.map(|id| task(id, [count, first, last, step]).spawn().unwrap()).collect();
        for task in tasks {
            let output = task.wait_with_output().unwrap();
            assert!(output.status.code().unwrap() < 2, "{}", stderr(&output));
        }
        let parts = std::fs::read_dir(pair.tables().join("parts")).unwrap().count();
        assert_eq!((parts, pair.merge().status.code()), (4, Some(GAPS)), "{array}");
        assert_same_files(&results(&pair.tables()), &expected);
        std::fs::remove_dir_all(pair.folder.path().join("out")).unwrap();
    }
    // --array=0,1,2,6
    let output = task(1, [4, 0, 6, 1]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    let why = "no part follows from the Slurm array: task 1 is one of 4 whose ids are not evenly spaced; submit an array";
    assert!(message.contains(why), "{message}");
    assert!(!pair.folder.path().join("out").exists());
}

/// Models of some size in the place of fixtures.
fn synthetic() -> (tempfile::TempDir, impl Fn(&[&str]) -> Command) {
    const MATRICES: usize = 160;
    let folder = tempfile::tempdir().unwrap();
    synthetic_pair(folder.path(), MATRICES);
    let path = folder.path().to_owned();
    let command = move |flags: &[&str]| {
        let mut command = tool();
        command.current_dir(&path).args([
            "--model-a",
            "a",
            "--model-b",
            "b",
            "--top-k",
            "3",
            "--threads",
            "1",
        ]);
        command.args(["--outdir", "out"]).args(flags);
        command
    };
    (folder, command)
}

fn ended(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), stderr(&output))
}

/// Stops a run by a signal once it has kept so many bytes.
fn stopped(mut command: Command, journal: &Path, signal: &str, bytes: u64) -> Output {
    let child = command.spawn().unwrap();
    let start = Instant::now();
    while std::fs::metadata(journal).map_or(0, |metadata| metadata.len()) < bytes {
        assert!(start.elapsed() < Duration::from_mins(1), "no journal is written");
        std::thread::sleep(Duration::from_millis(1));
    }
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_part_that_was_stopped_goes_on_and_one_that_is_finished_stays() {
    let (folder, command) = synthetic();
    assert_eq!(ended(&mut command(&[])).0, Some(GAPS));
    let tables = folder.path().join("out/a__to__b");
    let expected = results(&tables);
    std::fs::remove_dir_all(&tables).unwrap();
    let merge = || ended(tool().current_dir(&folder).args(["merge", "out/a__to__b"]));
    let part = tables.join("parts/1-of-2");
    let journal = part.join("param_stats.journal");
    let resumed = |message: &str| {
        let line =
            message.lines().find(|line| line.ends_with(" of 80 matrices were finished by an earlier run"));
        line.map(|line| line.split(' ').next().unwrap().parse::<usize>().unwrap())
    };
    assert_eq!(ended(&mut command(&["--shard", "0/2", "--resume"])).0, Some(GAPS));

    // A node is lost, another one gets the task, which is stopped by hand, and started again.
    let killed = stopped(command(&["--shard", "1/2", "--resume"]), &journal, "-KILL", 8_000);
    assert_eq!(killed.status.code(), None);
    let (code, message) = merge();
    assert_eq!(code, Some(2));
    assert!(message.starts_with("error: part 1 of 2 is missing in out/a__to__b\n"), "{message}");
    assert!(results(&tables).is_empty());
    let interrupted = stopped(command(&["--shard", "1/2", "--resume"]), &journal, "-INT", 30_000);
    let message = stderr(&interrupted);
    assert_eq!(interrupted.status.code(), Some(130), "{message}");
    assert!(resumed(&message) > Some(0) && message.contains("error: interrupted; "), "{message}");
    assert_eq!(support::files(&part), ["param_stats.journal"]);
    let (code, message) = ended(&mut command(&["--shard", "1/2", "--resume"]));
    assert_eq!(code, Some(GAPS));
    assert!(resumed(&message) > Some(5), "{message}");
    assert!(!journal.exists());

    // Requeued once more, it has nothing to do.
    let before = results(&part);
    let time = || std::fs::metadata(part.join("part.json")).unwrap().modified().unwrap();
    let written = time();
    let (code, message) = ended(&mut command(&["--shard", "1/2", "--resume"]));
    assert_eq!((code, resumed(&message)), (Some(GAPS), Some(80)), "{message}");
    assert_same_files(&results(&part), &before);
    assert_eq!(time(), written);

    assert_eq!(merge().0, Some(GAPS));
    assert_same_files(&results(&tables), &expected);
}

#[test]
fn two_runs_of_one_part_keep_each_other_out() {
    let (folder, command) = synthetic();
    let journal = folder.path().join("out/a__to__b/parts/0-of-2/param_stats.journal");
    let mut first = command(&["--shard", "0/2"]).spawn().unwrap();
    while !journal.exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    Command::new("kill").args(["-STOP", &first.id().to_string()]).status().unwrap();
    let (code, message) = ended(&mut command(&["--shard", "0/2"]));
    assert_eq!(code, Some(2));
    assert!(message.contains("another run is writing into out/a__to__b/parts/0-of-2\n"), "{message}");
    assert_eq!(ended(&mut command(&["--shard", "1/2"])).0, Some(GAPS), "the other part is free");
    first.kill().unwrap();
    first.wait().unwrap();
}

/// What is there is of one set, whenever the merge is killed, and the next one makes it whole.
#[test]
fn a_merge_that_is_killed_leaves_no_half_tables() {
    const KILLS: usize = 40;
    let (folder, command) = synthetic();
    for share in ["0/2", "1/2"] {
        assert_eq!(ended(&mut command(&["--shard", share])).0, Some(GAPS));
    }
    let tables = folder.path().join("out/a__to__b");
    let merge = || {
        let mut merge = tool();
        merge.current_dir(&folder).args(["merge", "out/a__to__b"]);
        merge
    };
    let start = Instant::now();
    assert_eq!(ended(&mut merge()).0, Some(GAPS));
    let took = start.elapsed();
    let expected = results(&tables);
    assert_eq!(expected.len(), 10);
    let (mut random, mut killed) = (uniform(3), 0);
    for _ in 0..KILLS {
        let mut child = merge().spawn().unwrap();
        std::thread::sleep(took.mul_f32((random() + 1.0) * 0.6));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        killed += usize::from(output.status.code().is_none());
        assert_correct(&results(&tables), &expected);
        // The ledger is the last one: where it is, all are.
        if tables.join("ledger.parquet").exists() {
            assert_same_files(&results(&tables), &expected);
        }
    }
    assert!(killed > KILLS / 4, "{killed} of {KILLS} were killed");
    assert_eq!(ended(&mut merge()).0, Some(GAPS));
    assert_same_files(&results(&tables), &expected);
    let all = support::files(&tables);
    assert!(all.iter().all(|name| !name.starts_with('.')), "{all:?}");
}
