//! What a run does, leaves out, goes on with, and survives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "common/altered.rs"]
mod altered;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::SystemTime;

use altered::altered;
use pipeline::{
    Error, Hub, ModelPair, Observer, ParamStatsOptions, PictureFormat, RunOptions, RunOutcome, Share, Split,
    StepKind, StepStatus, param_stats, run,
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

/// Each step's name and how it ended, in a letter: Done, Unchanged, Kept, Left out, Failed, Not run.
fn statuses(outcome: &RunOutcome) -> Vec<String> {
    let letter = |status: &StepStatus| match status {
        StepStatus::Done => "D",
        StepStatus::Unchanged => "U",
        StepStatus::Kept => "K",
        StepStatus::LeftOut { .. } => "L",
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
fn a_run_of_some_steps_uses_what_earlier_ones_left() {
    let place = Place::new();
    let only = |steps: &[StepKind]| RunOptions { steps: steps.to_vec(), ..place.options(&PAIR) };
    let report = done(&only(&[StepKind::Report]));
    assert_eq!(statuses(&report), ["L parameters, a → b", "L hidden states", "N report"]);
    assert!(!report.has_results() && !report.is_complete());

    let hidden_states = done(&only(&[StepKind::HiddenStates]));
    assert_eq!(statuses(&hidden_states), ["D hidden states"]);
    assert!(hidden_states.is_complete() && hidden_states.has_results());
    assert!(!place.path("out/param_stats").exists() && !place.path("out/report.html").exists());

    let rest = done(&only(&[StepKind::Parameters, StepKind::Pictures, StepKind::Report]));
    let expected = [
        "D parameters, a → b",
        "K hidden states",
        "D pictures of parameters, a → b",
        "D pictures of hidden states",
        "D report",
    ];
    assert_eq!(statuses(&rest), expected);
    assert!(rest.is_complete());
    assert_eq!(rest.headlines.len(), 2, "those of the hidden states too");
    let report = fs::read(place.path("out/report.html")).unwrap();
    assert_eq!(letters(&done(&place.options(&PAIR))), "UUUUU", "as one run would have left it");
    fs::remove_dir_all(place.path("out")).unwrap();
    assert_eq!(letters(&done(&place.options(&PAIR))), "DDDDD");
    assert!(fs::read(place.path("out/report.html")).unwrap() == report);
}

#[test]
fn results_that_an_earlier_run_would_not_leave_are_not_used() {
    let place = Place::new();
    done(&place.options(&PAIR));
    fs::write(place.path("forget.txt"), "another text\n").unwrap();
    let steps = vec![StepKind::Pictures, StepKind::Report];
    let outcome = done(&RunOptions { steps, ..place.options(&PAIR) });
    assert_eq!(letters(&outcome), "KLUND", "{:?}", statuses(&outcome));
    let StepStatus::LeftOut { why } = &outcome.steps[1].status else { panic!() };
    assert!(why.ends_with("forget.txt changed"), "{why}");
    assert!(!outcome.is_complete(), "pictures were asked for that could not be drawn");
    let outcome = done(&RunOptions { steps: vec![StepKind::Report], ..place.options(&PAIR) });
    assert_eq!(letters(&outcome), "KLD");
    assert!(outcome.is_complete(), "a report takes what there is");
}

#[test]
fn hidden_states_of_a_device_that_is_not_here_are_used_and_misfits_told_again() {
    let place = Place::new();
    let mut options = place.options(&[("a", "nowhere"), ("a", "b")]);
    options.steps = vec![StepKind::HiddenStates];
    assert_eq!(letters(&done(&options)), "FD");
    // As if they had been measured on a GPU, which the machine of the report lacks.
    let state = place.path("out/run-state.json");
    let text = fs::read_to_string(&state).unwrap();
    assert!(text.contains("device: Auto"));
    fs::write(&state, text.replace("device: Auto", "device: Cuda(7)")).unwrap();
    options.activation_norms.device = activations::DeviceChoice::Cuda(7);
    options.steps = vec![StepKind::Report];
    let report = done(&options);
    let expected = [
        "L parameters, a → nowhere",
        "L parameters, a → b",
        "F hidden states, a → nowhere",
        "K hidden states",
        "D report",
    ];
    assert_eq!(statuses(&report), expected);
}

#[test]
fn models_by_themselves_are_found_and_nothing_else_is_done() {
    let place = Place::new();
    let mut options = place.options(&PAIR);
    options.steps = vec![StepKind::Models];
    assert_eq!(statuses(&done(&options)), ["D models"]);
    assert!(!place.path("out/param_stats").exists());
    options.pairs = vec![ModelPair::new("s3://no/store", place.path("b"))];
    let outcome = done(&options);
    assert_eq!(statuses(&outcome), ["F models"]);
    assert!(!outcome.has_results());
}

/// Counts matrices and keeps warnings.
#[derive(Default)]
struct Watcher {
    compared: AtomicUsize,
    warnings: Mutex<Vec<String>>,
}

impl Observer for Watcher {
    fn compared(&self, _: &str, _: u64) {
        self.compared.fetch_add(1, Ordering::Relaxed);
    }

    fn warned(&self, message: &str) {
        self.warnings.lock().unwrap().push(message.to_owned());
    }
}

#[test]
fn parts_of_a_comparison_are_taken_over_if_they_are_those_of_this_one() {
    let place = Place::new();
    let options = RunOptions { steps: vec![StepKind::Parameters], ..place.options(&PAIR) };
    let tables = place.path("out/param_stats/a-b");
    let bytes = || {
        let files =
            times(&tables).into_iter().map(|(path, _)| path).filter(|path| path.parent() == Some(&tables));
        files.map(|path| (path.clone(), fs::read(path).unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(letters(&done(&options)), "D");
    let expected = bytes();
    assert_eq!(expected.len(), 8, "four tables, each twice");
    fs::remove_dir_all(place.path("out")).unwrap();

    let part = |index: u32| {
        let mut part =
            ParamStatsOptions::new(place.path("a"), place.path("b"), place.path("out/param_stats"));
        part.name = Some("a-b".into());
        part.share = Share::new(index, 3);
        param_stats(&part, &Hub::default(), &(), &AtomicBool::new(false)).unwrap();
    };
    let watched = |options: &RunOptions| {
        let watcher = Watcher::default();
        let outcome = run(options, &Hub::default(), &watcher, &AtomicBool::new(false)).unwrap();
        assert_eq!(letters(&outcome), "D");
        (watcher.compared.into_inner(), watcher.warnings.into_inner().unwrap().join("\n"))
    };
    (0..3).for_each(part);
    assert_eq!(watched(&options), (0, String::new()), "no matrix is compared again");
    assert!(bytes() == expected);
    assert_eq!(letters(&done(&options)), "U");

    let force = RunOptions { force: true, ..options.clone() };
    assert!(watched(&force).0 > 0);
    let mut other = options.clone();
    other.param_stats.numerics.seed = 7;
    let (compared, warnings) = watched(&other);
    assert!(compared > 0 && warnings.ends_with("are not taken over: seed changed"), "{warnings}");
    assert!(bytes() != expected);

    fs::remove_dir_all(place.path("out")).unwrap();
    [0, 2].into_iter().for_each(part);
    let (compared, warnings) = watched(&options);
    assert!(compared > 0 && warnings.contains("part 1 of 3 is missing"), "{warnings}");
    assert!(bytes() == expected);
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
