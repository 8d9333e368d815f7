//! The scripts of a run's jobs: what they are, that bash reads them as meant, and their submission. `tests/slurm/run.sh`
//! runs them on a real Slurm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails
#![cfg(unix)]

#[path = "../../cli/tests/support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{files, fixtures};

/// A folder with the programs, one of them in name only, and an sbatch that notes what it is asked for.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self { folder };
        for name in ["programs", "cluster", "work"] {
            fs::create_dir(place.path(name)).unwrap();
        }
        let program = assert_cmd::cargo::cargo_bin!("model-diffs");
        let beside = place.path("programs/model-diffs");
        fs::hard_link(program, &beside).or_else(|_| fs::copy(program, &beside).map(drop)).unwrap();
        // Says what it was called with, one argument a line.
        place.script("programs/collect-param-stats", "printf '%s\\n' \"$PWD\" \"$@\"\nexit ${ENDS_WITH:-0}");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/bash\n{text}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// With an sbatch that gives ids from 101 on, refuses a job if told so, and notes what is cancelled.
    fn with_cluster(&self) {
        self.script(
            "cluster/sbatch",
            r#"[ "$1" != --version ] || exit 0
cd "$(dirname "$0")" && last="${@: -1}"
[ "$last" != "${REFUSED:-}" ] || { echo "sbatch: error: no such partition" >&2; exit 1; }
echo "$@" >> submitted
echo "$((100 + $(wc -l < submitted)));somewhere""#,
        );
        self.script("cluster/scancel", r#"echo "$@" >> "$(dirname "$0")/cancelled""#);
    }

    fn noted(&self, name: &str) -> String {
        fs::read_to_string(self.path("cluster").join(name)).unwrap_or_default()
    }

    /// Runs where a pair and its texts are.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("programs/model-diffs"));
        let path = format!("{}:/usr/bin:/bin", self.path("cluster").display());
        command.env_clear().env("PATH", path).current_dir(fixtures().join("activations/pair"));
        command.arg("slurm").args(arguments);
        command
    }

    fn slurm(&self, arguments: &[&str]) -> Output {
        self.command(arguments).arg("--outroot").arg(self.path("out")).output().unwrap()
    }

    fn read(&self, script: &str) -> String {
        fs::read_to_string(self.path("out/slurm").join(script)).unwrap()
    }

    /// Paths of this machine by what they are.
    fn redacted(&self, text: &str) -> String {
        let here = fs::canonicalize(fixtures().join("activations/pair")).unwrap();
        text.replace(&*self.folder.path().to_string_lossy(), "[folder]")
            .replace(&*here.to_string_lossy(), "[here]")
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const MODELS: [&str; 6] = ["--base", "a", "--filtered", "b", "--unlearned", "a-bin"];
const TEXTS: [&str; 4] = ["--forget-text", "forget.txt", "--retain-text", "retain.txt"];

#[test]
fn every_script_of_a_run() {
    let place = Place::new();
    let asked = [
        "--partition=cpu",
        "--account=lab",
        "--time=4:00:00",
        "--tasks=16",
        "--cpus-per-task=32",
        "--mem=64G",
        "--gpus=h100:1",
        "--gpu-partition=gpu",
        "--sbatch=--qos=long",
        "--prologue=module load cuda",
        "--top-k=5",
        "--seed=7",
        "--dtype=bf16",
    ];
    let output = place.slurm(&[&MODELS[..], &TEXTS, &asked].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
    let said = stderr(&output);
    // Only if it is built with CUDA it does not say this.
    let said: String =
        said.lines().filter(|line| !line.contains("built without CUDA")).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!("slurm_said", place.redacted(&said));
    let scripts = [
        "hidden-states.sbatch",
        "logs",
        "parameters-1.sbatch",
        "parameters-2.sbatch",
        "report.sbatch",
        "run.toml",
        "submit.sh",
    ];
    assert_eq!(files(&place.path("out/slurm")), scripts);
    for script in scripts.into_iter().filter(|name| *name != "logs") {
        insta::assert_snapshot!(format!("slurm_{script}"), place.redacted(&place.read(script)));
        if script != "run.toml" {
            let checked = Command::new("bash").arg("-n").arg(place.path("out/slurm").join(script)).status();
            assert!(checked.unwrap().success(), "{script}");
        }
    }

    // Fewer jobs: scripts of those that are no more would mislead.
    let output = place.slurm(&["--base", "a", "--unlearned", "b"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(
        files(&place.path("out/slurm")),
        ["logs", "parameters-1.sbatch", "report.sbatch", "run.toml", "submit.sh"]
    );
    insta::assert_snapshot!("slurm_bare_parameters", place.redacted(&place.read("parameters-1.sbatch")));
}

#[test]
fn what_is_elsewhere_is_fetched_first_and_by_one_job() {
    let place = Place::new();
    let environment = [
        ("HF_HOME", "/shared/it's here"),
        ("HF_TOKEN", "hf_secret"),
        ("HF_HUB_OFFLINE", "0"),
        ("AWS_SECRET_ACCESS_KEY", "aws_secret"),
    ];
    let slurm = |arguments: &[&str]| {
        let output = place
            .command(arguments)
            .envs(environment)
            .arg("--outroot")
            .arg(place.path("out"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    };
    slurm(&[]); // the original experiment
    insta::assert_snapshot!("slurm_prepare", place.redacted(&place.read("prepare.sbatch")));
    insta::assert_snapshot!("slurm_prepare_submit", place.read("submit.sh"));
    for script in files(&place.path("out/slurm")).iter().filter(|name| *name != "logs") {
        assert!(!place.read(script).contains("secret"), "{script}");
    }
    slurm(&["--compare", "org/base=b"]);
    assert!(place.read("prepare.sbatch").contains("--steps=models\n"));
    for arguments in [&["--compare", "org/base=b", "--stream"][..], &["--compare", "a=b"]] {
        slurm(arguments);
        assert!(!place.path("out/slurm/prepare.sbatch").exists(), "{arguments:?}");
        assert!(!place.read("submit.sh").contains("prepare"));
    }
}

#[test]
fn the_settings_are_those_of_flags_environment_and_file() {
    let place = Place::new();
    let file = place.path("run.toml");
    fs::write(
        &file,
        "base = 'a'\nunlearned = 'nowhere'\ninclude = 'all'\nzero_deltas = 'include'\nsr_iters = 7\nthreads = 3\n\
         [slurm]\npartition = 'of the file'\ntasks = 3\nmem = '1G'\n[[compare]]\na = 'b'\nb = 'a'\nname = 'back again'\n",
    )
    .unwrap();
    let mut command = place.command(&["--config", file.to_str().unwrap(), "--mem=2G", "--unlearned", "b"]);
    let output = command.env("OUTROOT", place.path("out")).env("UNLEARNED", "a-bin").output().unwrap();
    assert_eq!(
        (output.status.code(), stderr(&output).contains("warning")),
        (Some(0), false),
        "{}",
        stderr(&output)
    );
    let script = place.read("parameters-2.sbatch");
    for line in [
        "#SBATCH --partition=\"of the file\"\n",
        "#SBATCH --array=0-2\n",
        "#SBATCH --mem=2G\n",
        "  --model-a=b \\\n  --model-b=a \\\n",
        "  --name='back again' \\\n  --include=all \\\n  --sr-iters=7 \\\n  --zero-deltas=include \\\n  --threads=3 \\\n",
        "  --shard=slurm \\\n  --resume\n",
    ] {
        assert!(script.contains(line), "{line}\n{script}");
    }
    assert!(place.read("parameters-1.sbatch").contains("--model-b=b"));
    let settings = place.read("run.toml");
    assert!(settings.contains("unlearned = \"b\"") && settings.contains("sr_iters = 7"), "{settings}");
    assert!(!settings.contains("slurm"), "{settings}");
}

#[test]
fn bash_reads_paths_as_they_are() {
    let place = Place::new();
    let work = place.path("work/it's a \"place\" $HOME `id` \\ #1 *");
    fs::create_dir(&work).unwrap();
    for model in ["--a b", "c'd$(id)"] {
        fs::create_dir(work.join(model)).unwrap();
    }
    let run = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.current_dir(&work).env("HF_HOME", "/a b/$x").output().unwrap()
    };
    let output =
        run(&["--base=--a b", "--unlearned=c'd$(id)", "--outroot=out put", "--prologue=echo \"$HF_HOME\""]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!stderr(&output).contains("warning"), "{}", stderr(&output));
    let script = work.join("out put/slurm/parameters-1.sbatch");
    let bash = |code: &str| {
        Command::new("bash").arg(&script).current_dir("/").env("ENDS_WITH", code).output().unwrap()
    };
    let output = bash("0");
    let expected = [
        "/a b/$x",
        work.to_str().unwrap(),
        "--model-a=--a b",
        "--model-b=c'd$(id)",
        "--outdir=out put/param_stats",
        "--shard=slurm",
        "--resume",
    ];
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().collect::<Vec<_>>(), expected);
    // Gaps are no failure of a task, all else is.
    assert_eq!(
        ["0", "1", "2", "130", "143"].map(|code| bash(code).status.code().unwrap()),
        [0, 0, 2, 130, 143]
    );

    for arguments in [
        &["--base=a\nb", "--unlearned=b"][..],
        &["--base=a", "--unlearned=b", "--outroot=o\tut"],
        &["--base=a", "--unlearned=b", "--retain-text=x\ny"],
        &["--base=a", "--unlearned=b", "--prologue=a\nb"],
        &["--base=a", "--unlearned=b", "--sbatch=exclusive"],
        &["--base=a", "--unlearned=b", "--partition="],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = stderr(&output);
        assert!(said.contains("cannot stand in a script") || said.contains("makes no sense"), "{said}");
        assert!(!work.join("outputs").exists(), "{arguments:?}");
    }
}

#[test]
fn jobs_are_submitted_all_or_none() {
    let place = Place::new();
    let arguments = [&MODELS[..], &TEXTS, &["--submit"]].concat();
    let mut command = place.command(&arguments); // where there is no program at all
    let output =
        command.env("PATH", place.path("cluster")).arg("--outroot").arg(place.path("out")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!("slurm_no_sbatch", stderr(&output));
    assert!(!place.path("out").exists(), "nothing is written");

    place.with_cluster();
    let output = place.slurm(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let ids = "parameters-1 101\nparameters-2 102\nhidden-states 103\nreport 104\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), ids);
    let submitted = "--parsable parameters-1.sbatch\n--parsable parameters-2.sbatch\n--parsable hidden-states.sbatch\n\
                     --parsable --dependency=afterok:101:102,afterany:103 report.sbatch\n";
    assert_eq!(place.noted("submitted"), submitted);
    assert_eq!(place.noted("cancelled"), "");

    let output = place
        .command(&arguments)
        .env("REFUSED", "hidden-states.sbatch")
        .arg("--outroot")
        .arg(place.path("out"))
        .output()
        .unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    insta::assert_snapshot!("slurm_refused", place.redacted(&stderr(&output)));
    assert_eq!(place.noted("cancelled"), "105 106\n");
}

#[test]
fn what_no_job_could_do_is_refused() {
    let place = Place::new();
    let refused = |arguments: &[&str]| {
        let output = place.slurm(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!place.path("out").exists(), "{arguments:?}");
        stderr(&output)
    };
    assert!(refused(&["--base", "a"]).contains("nothing to compare a with"));
    assert!(refused(&["--compare", "a=b", "--compare", "a=b"]).contains("same folder"));
    assert!(refused(&["--compare", "a=b", "--tasks=0"]).starts_with("error: "));
    fs::remove_file(place.path("programs/collect-param-stats")).unwrap();
    let message = refused(&["--compare", "a=b"]);
    insta::assert_snapshot!("slurm_no_program", place.redacted(&message));

    let place = Place::new();
    let output = place.slurm(&["--compare", "a=./nowhere", "--retain-text", "retain.txt"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stderr(&output).starts_with("warning: ./nowhere does not exist, as seen from here\n"),
        "{}",
        stderr(&output)
    );
    assert!(Path::new(&place.path("out/slurm/submit.sh")).is_file());
}
