//! What a run does, leaves out, goes on with, and survives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "common/altered.rs"]
mod altered;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use altered::altered;
use pipeline::{
    Error, Hub, ModelPair, Observer, PictureFormat, RunOptions, RunOutcome, Split, StepStatus, run,
};

/// A folder with models of its own, to change and to break.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/activations/pair");
        for model in ["a", "b"] {
            altered(folder.path(), model, "config.json", "llama", "llama");
            fs::rename(folder.path().join(format!("altered_{model}")), folder.path().join(model)).unwrap();
        }
        for text in ["forget.txt", "retain.txt"] {
            fs::copy(fixtures.join(text), folder.path().join(text)).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pair(&self, a: &str, b: &str) -> ModelPair {
        ModelPair { name: Some(format!("{a}-{b}")), ..ModelPair::new(self.path(a), self.path(b)) }
    }

    fn options(&self, pairs: &[(&str, &str)]) -> RunOptions {
        let pairs = pairs.iter().map(|(a, b)| self.pair(a, b)).collect();
        let split = |name: &str| Split { name: name.into(), path: self.path(&format!("{name}.txt")) };
        let mut options = RunOptions::new(pairs, vec![split("forget"), split("retain")], self.path("out"));
        options.activation_norms.max_samples = 3;
        options.activation_norms.max_length = 8;
        options.picture_formats = vec![PictureFormat::Svg]; // quick to draw
        options
    }
}

fn done(options: &RunOptions) -> RunOutcome {
    run(options, &Hub::default(), &(), &AtomicBool::new(false)).unwrap()
}

/// Each step's name and how it ended, in a letter: Done, Unchanged, Failed, Not run.
fn statuses(outcome: &RunOutcome) -> Vec<String> {
    let letter = |status: &StepStatus| match status {
        StepStatus::Done => "D",
        StepStatus::Unchanged => "U",
        StepStatus::Failed(_) => "F",
        StepStatus::NotRun { .. } => "N",
    };
    outcome.steps.iter().map(|step| format!("{} {}", letter(&step.status), step.name)).collect()
}

/// The letters alone.
fn letters(outcome: &RunOutcome) -> String {
    statuses(outcome).iter().map(|step| &step[..1]).collect()
}

/// All files below a folder with their times.
fn times(folder: &Path) -> Vec<(PathBuf, SystemTime)> {
    let mut times = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            times.extend(self::times(&entry.path()));
        } else {
            times.push((entry.path(), entry.metadata().unwrap().modified().unwrap()));
        }
    }
    times.sort();
    times
}

const PAIR: [(&str, &str); 1] = [("a", "b")];

#[test]
fn a_run_makes_everything_and_the_next_one_nothing() {
    let place = Place::new();
    let outcome = done(&place.options(&PAIR));
    let steps = [
        "D parameters, a → b",
        "D hidden states",
        "D pictures of parameters, a → b",
        "D pictures of hidden states",
        "D report",
    ];
    assert_eq!(statuses(&outcome), steps);
    assert!(outcome.is_complete());
    assert_eq!(outcome.report, Some(place.path("out/report.html")));
    for file in [
        "param_stats/a-b/per_matrix.parquet",
        "activation_norms/activation_diffs.csv",
        "plots/a-b",
        "plots/activation_norms",
        "report.html",
    ] {
        assert!(place.path("out").join(file).exists(), "{file}");
    }
    let said: Vec<&str> = outcome.headlines.iter().map(|headlines| headlines.about.as_str()).collect();
    assert_eq!(said, ["parameters, a → b", "hidden states"]);
    assert!(outcome.headlines.iter().all(|headlines| !headlines.findings.is_empty()));

    let before = times(&place.path("out"));
    let again = done(&place.options(&PAIR));
    assert_eq!(letters(&again), "UUUUU");
    assert_eq!(times(&place.path("out")), before, "nothing is written");
    assert_eq!((again.report, again.headlines), (outcome.report, outcome.headlines));
    let files = |outcome: &RunOutcome| -> Vec<_> {
        outcome
            .steps
            .iter()
            .flat_map(|step| step.outputs.iter().cloned())
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect()
    };
    assert_eq!(files(&done(&place.options(&PAIR))).len(), before.len() - 1, "all but the state itself");

    let force = RunOptions { force: true, ..place.options(&PAIR) };
    assert_eq!(letters(&done(&force)), "DDDDD");
    let threads = RunOptions { threads: 1, arguments: vec!["x".into()], ..place.options(&PAIR) };
    assert_eq!(letters(&done(&threads)), "UUUUU", "what results do not depend on");
}

#[test]
fn what_depends_on_a_change_is_done_again_and_nothing_else() {
    let place = Place::new();
    let options = place.options(&PAIR);
    let again = |change: &dyn Fn(&mut RunOptions)| {
        let mut options = options.clone();
        change(&mut options);
        (letters(&done(&options)), letters(&done(&options)))
    };
    let unchanged = || "UUUUU".to_owned();
    done(&options);

    fs::write(place.path("forget.txt"), "another text\n").unwrap();
    assert_eq!(again(&|_| {}), ("UDUDD".into(), unchanged()), "a text");
    let weights = File::options().write(true).open(place.path("b/model.safetensors")).unwrap();
    weights.set_modified(SystemTime::now()).unwrap();
    assert_eq!(again(&|_| {}), ("DDDDD".into(), unchanged()), "the time of a weight file");
    let tokenizer = place.path("b/tokenizer.json");
    fs::write(&tokenizer, fs::read_to_string(&tokenizer).unwrap() + "\n").unwrap();
    assert_eq!(again(&|_| {}).0, "UDUUU", "a tokenizer that gives the same tokens");
    let config = place.path("a/config.json");
    fs::write(&config, fs::read_to_string(&config).unwrap() + "\n").unwrap();
    assert_eq!(again(&|_| {}).0.chars().take(2).collect::<String>(), "DD", "a configuration");

    assert_eq!(again(&|options| options.title = Some("title".into())), ("UUUDD".into(), unchanged()));
    assert_eq!(again(&|options| options.param_stats.numerics.seed = 7).0.chars().next(), Some('D'));
    done(&options);
    let activations = again(&|options| options.activation_norms.max_length = 6);
    assert_eq!(activations, ("UDUDD".into(), unchanged()), "an option of one task");
}

#[test]
fn a_missing_or_changed_output_is_made_again() {
    let place = Place::new();
    let outcome = done(&place.options(&PAIR));
    for step in &outcome.steps {
        let output = step.outputs.first().unwrap();
        let content = fs::read(output).unwrap();
        for damage in [None, Some("damaged")] {
            match damage {
                None => fs::remove_file(output).unwrap(),
                Some(damage) => fs::write(output, damage).unwrap(),
            }
            let again = done(&place.options(&PAIR));
            let mended =
                statuses(&again).into_iter().filter(|other| other.starts_with('D')).collect::<Vec<_>>();
            assert_eq!(mended, [format!("D {}", step.name)], "same input, same bytes: all else stays");
            assert_eq!(fs::read(output).unwrap(), content);
        }
    }
}

#[test]
fn files_that_a_step_no_longer_makes_are_removed_unless_somebody_changed_them() {
    let place = Place::new();
    let mut options = place.options(&PAIR);
    let made: Vec<PathBuf> = done(&options).steps[2].outputs.clone();
    assert!(made.len() > 2 && made.iter().all(|file| file.extension() == Some("svg".as_ref())), "{made:?}");
    fs::write(&made[0], "retouched").unwrap();
    options.picture_formats = vec![PictureFormat::Png];
    assert_eq!(letters(&done(&options)), "UUDDU");
    let left: Vec<&PathBuf> = made.iter().filter(|file| file.exists()).collect();
    assert_eq!(left, [&made[0]]);
    assert!(made.iter().all(|file| file.with_extension("png").exists()));
}

/// Sets the flag when a step starts, or when something was computed in it.
struct Interrupter<'a> {
    at: usize,
    within: bool,
    now: AtomicBool,
    flag: &'a AtomicBool,
}

impl Interrupter<'_> {
    fn computed(&self) {
        if self.now.load(Ordering::Relaxed) {
            self.flag.store(true, Ordering::Relaxed);
        }
    }
}

impl Observer for Interrupter<'_> {
    fn step_started(&self, number: usize, _: usize, _: &str, _: &str) {
        self.now.store(number == self.at, Ordering::Relaxed);
        if !self.within {
            self.computed();
        }
    }

    fn compared(&self, _: &str, _: u64) {
        self.computed();
    }

    fn forwarded(&self, _: usize) {
        self.computed();
    }
}

#[test]
fn an_interrupted_run_goes_on_where_it_stopped() {
    for (at, within, finished) in [(1, true, 0), (2, true, 1), (2, false, 1), (3, false, 2)] {
        let place = Place::new();
        let flag = AtomicBool::new(false);
        let interrupter = Interrupter { at, within, now: AtomicBool::new(false), flag: &flag };
        match run(&place.options(&PAIR), &Hub::default(), &interrupter, &flag) {
            Err(Error::RunInterrupted { finished: count, steps: 5 }) => assert!(count >= finished, "{at}"),
            other => panic!("{other:?}"),
        }
        let outcome = letters(&done(&place.options(&PAIR)));
        assert!(outcome.starts_with(&"U".repeat(finished)), "{at}: {outcome}");
        assert!(outcome.ends_with('D') && !outcome.contains(['F', 'N']), "{at}: {outcome}");
        assert_eq!(letters(&done(&place.options(&PAIR))), "UUUUU");
    }
    let place = Place::new();
    let interrupted = run(&place.options(&PAIR), &Hub::default(), &(), &AtomicBool::new(true));
    assert!(matches!(interrupted, Err(Error::RunInterrupted { finished: 0, steps: 5 })));
    assert!(!place.path("out").exists(), "nothing is written");
}

#[test]
fn a_pair_that_fails_does_not_stop_the_others() {
    let place = Place::new();
    // Another tokenizer: parameters can be compared, hidden states cannot.
    let other = altered(
        &place.path(""),
        "b",
        "tokenizer.json",
        "\"add_prefix_space\": false",
        "\"add_prefix_space\": true",
    );
    fs::rename(other, place.path("other")).unwrap();
    let pairs = [("a", "nowhere"), ("a", "other"), ("a", "b")];
    let outcome = done(&place.options(&pairs));
    let expected = [
        "F parameters, a → nowhere",
        "D parameters, a → other",
        "D parameters, a → b",
        "F hidden states, a → nowhere",
        "F hidden states, a → other",
        "D hidden states",
        "N pictures of parameters, a → nowhere",
        "D pictures of parameters, a → other",
        "D pictures of parameters, a → b",
        "D pictures of hidden states",
        "D report",
    ];
    assert_eq!(statuses(&outcome), expected);
    assert!(!outcome.is_complete() && outcome.has_results());
    let StepStatus::Failed(error) = &outcome.steps[4].status else { panic!() };
    assert!(matches!(error, Error::TokensDiffer { .. }), "{error}");
    let differences = fs::read_to_string(place.path("out/activation_norms/activation_diffs.csv")).unwrap();
    assert!(differences.contains(&*place.path("b").to_string_lossy()));
    assert!(!differences.contains("other"));
    let again = statuses(&done(&place.options(&pairs)));
    let expected: Vec<String> = expected.iter().map(|step| step.replacen("D ", "U ", 1)).collect();
    assert_eq!(again, expected, "failures are tried again, the rest is there");

    let alone = done(&place.options(&[("a", "nowhere")]));
    assert_eq!(letters(&alone), "FFNNN");
    assert!(!alone.has_results());
    let mut options = place.options(&PAIR);
    options.splits[0].path = place.path("no text");
    assert_eq!(letters(&done(&options)), "UFUND", "a text that is not there fails once");
    let mut options = place.options(&[("a", "other"), ("a", "b")]);
    options.activation_norms.device = activations::DeviceChoice::Cuda(99);
    assert_eq!(letters(&done(&options)), "UUFUUND", "a device that is not there fails once");
}

#[test]
fn gaps_stay_known_when_nothing_is_done() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/pairs/ledger");
    let folder = tempfile::tempdir().unwrap();
    let pair = ModelPair::new(fixtures.join("a"), fixtures.join("b"));
    let mut options = RunOptions::new(vec![pair], Vec::new(), folder.path());
    options.picture_formats = vec![PictureFormat::Svg];
    for letters in ["DDD", "UUU"] {
        let outcome = done(&options);
        assert_eq!(self::letters(&outcome), letters);
        assert!(!outcome.is_complete());
        let gaps = outcome.steps[0].gaps.as_deref().unwrap();
        assert!(gaps.ends_with("tensors could not be compared; the ledger says why"), "{gaps}");
    }
}

#[test]
fn pairs_share_their_baseline() {
    let place = Place::new();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/activations/pair/a-bin");
    let mut options = place.options(&[("a", "b"), ("a", "c")]);
    options.pairs[1].b = fixture.as_path().into();
    let outcome = done(&options);
    assert_eq!(letters(&outcome), "DDDDDDD");
    let norms = fs::read_to_string(place.path("out/activation_norms/activation_norms.csv")).unwrap();
    let of = |model: &Path| {
        norms.lines().filter(|line| line.starts_with(&format!("{},", model.display()))).count()
    };
    // Five places on two texts.
    assert_eq!((of(&place.path("a")), of(&place.path("b")), of(&fixture)), (10, 10, 10));
    let differences = fs::read_to_string(place.path("out/activation_norms/activation_diffs.csv")).unwrap();
    assert_eq!(differences.lines().count(), 1 + 20);
}

/// Keeps the warnings.
#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Observer for Warnings {
    fn warned(&self, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

#[test]
fn a_state_that_cannot_be_read_counts_as_none_and_is_said() {
    let place = Place::new();
    let options = place.options(&PAIR);
    for state in ["", "{", "[]", "{\"steps\": 3}"] {
        fs::create_dir_all(&options.outroot).unwrap();
        fs::write(options.outroot.join("run-state.json"), state).unwrap();
        let warnings = Warnings::default();
        let outcome = run(&options, &Hub::default(), &warnings, &AtomicBool::new(false)).unwrap();
        assert_eq!(letters(&outcome), "DDDDD", "{state}");
        let warnings = warnings.0.into_inner().unwrap();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("run-state.json cannot be used: "), "{warnings:?}");
    }
    assert_eq!(letters(&done(&options)), "UUUUU");
}

#[test]
fn without_texts_hidden_states_are_left_out_and_that_is_said() {
    let place = Place::new();
    let options = RunOptions { splits: Vec::new(), ..place.options(&PAIR) };
    let warnings = Warnings::default();
    let outcome = run(&options, &Hub::default(), &warnings, &AtomicBool::new(false)).unwrap();
    assert_eq!(statuses(&outcome), ["D parameters, a → b", "D pictures of parameters, a → b", "D report"]);
    assert!(outcome.is_complete());
    assert_eq!(warnings.0.into_inner().unwrap(), ["no text was given, so hidden states are not measured"]);
}

#[test]
fn what_no_step_could_work_with_is_refused_before_any_work() {
    let place = Place::new();
    let refused = |change: &dyn Fn(&mut RunOptions)| {
        let mut options = place.options(&PAIR);
        change(&mut options);
        let error = run(&options, &Hub::default(), &(), &AtomicBool::new(false)).unwrap_err();
        assert!(!place.path("out").exists(), "{error}");
        assert!(!error.hint().is_empty(), "{error}");
        error
    };
    assert!(matches!(refused(&|options| options.pairs.clear()), Error::NothingToCompare));
    let twice = |options: &mut RunOptions| options.pairs.push(options.pairs[0].clone());
    assert!(matches!(refused(&twice), Error::SameFolder { .. }));
    let name = |options: &mut RunOptions| options.pairs[0].name = Some("activation_norms".into());
    assert!(matches!(refused(&name), Error::SameFolder { .. }));
    let top_k = |options: &mut RunOptions| options.param_stats.numerics.top_k = 1000;
    assert!(matches!(refused(&top_k), Error::Settings { .. }));
    let split = |options: &mut RunOptions| options.splits[1].name = "forget".into();
    assert!(matches!(refused(&split), Error::SplitTwice { .. }));
}

#[test]
fn the_demo_is_unpacked_once_and_mended() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo");
    let options = RunOptions::demo(folder.path()).unwrap();
    let models = options.pairs.iter().flat_map(|pair| [&pair.a, &pair.b]);
    let models: Vec<&Path> = models.map(|model| Path::new(model.as_os_str())).collect();
    let names = models.iter().map(|model| model.file_name().unwrap().to_str().unwrap());
    assert_eq!(names.collect::<Vec<_>>(), ["baseline", "filtered", "baseline", "unlearned"]);
    let before = times(folder.path());
    assert_eq!(before.len(), 3 * 3 + 2);
    for (path, _) in &before {
        let name = path.strip_prefix(folder.path().join("models")).unwrap();
        assert_eq!(fs::read(path).unwrap(), fs::read(fixture.join(name)).unwrap());
    }
    RunOptions::demo(folder.path()).unwrap();
    assert_eq!(times(folder.path()), before, "nothing is written again");
    let text = &options.splits[0].path;
    fs::write(text, "edited").unwrap();
    RunOptions::demo(folder.path()).unwrap();
    assert_eq!(fs::read(text).unwrap(), fs::read(fixture.join("forget.txt")).unwrap());
    let changed: Vec<_> =
        times(folder.path()).into_iter().zip(before).filter(|(now, then)| now != then).collect();
    assert_eq!(changed.len(), 1, "the other files stay as they are");
}
