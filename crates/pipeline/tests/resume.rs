//! A comparison that was stopped goes on where it was: nothing is computed twice, and tables are the same bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "common/pairs.rs"]
mod pairs;

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use pipeline::{Error, Hub, Observer, ParamStats, ParamStatsOptions, Side, param_stats};
use weights_io::Selection;

/// Matrices of the pair.
const MATRICES: usize = 13;

/// A folder with a pair of models of its own.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        pairs::copy("neox", place.0.path());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// One thread, so that a run stops where it is told to.
    fn options(&self, out: &str) -> ParamStatsOptions {
        let mut options = ParamStatsOptions::new(self.path("a"), self.path("b"), self.path(out));
        options.name = Some("pair".into());
        options.numerics.top_k = 2;
        options.threads = 1;
        options.resume = true;
        options
    }

    fn journal(&self) -> PathBuf {
        self.path("out/pair/param_stats.journal")
    }

    /// Stops a run after so many matrices.
    fn stopped_after(&self, matrices: usize) {
        let watcher = Watcher { stop_after: Some(matrices), ..Watcher::default() };
        let error = watcher.run(&self.options("out")).unwrap_err();
        assert!(matches!(error, Error::ComparisonInterrupted { finished, .. } if finished == matrices));
    }

    /// The files of a run that is not interrupted.
    fn files(&self, options: &ParamStatsOptions) -> BTreeMap<String, Vec<u8>> {
        let watcher = Watcher::default();
        let options = ParamStatsOptions { outdir: self.path("uninterrupted"), ..options.clone() };
        watcher.run(&options).unwrap();
        assert_eq!(watcher.compared().len(), MATRICES);
        files(&options.folder())
    }
}

/// All files of a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
        .collect()
}

#[track_caller]
fn assert_same(found: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, bytes) in found {
        assert!(*bytes == expected[name], "{name} differs");
    }
}

/// Sees what is computed and said, and stops a run.
#[derive(Default)]
struct Watcher {
    stop_after: Option<usize>,
    flag: AtomicBool,
    compared: Mutex<Vec<String>>,
    said: Mutex<Vec<String>>,
}

impl Watcher {
    fn run(&self, options: &ParamStatsOptions) -> Result<ParamStats, Error> {
        param_stats(options, &Hub::default(), self, &self.flag)
    }

    fn compared(&self) -> Vec<String> {
        self.compared.lock().unwrap().clone()
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    fn stop(&self, compared: usize) {
        self.flag.store(self.stop_after == Some(compared), Ordering::Relaxed);
    }
}

impl Observer for Watcher {
    fn resumed(&self, finished: usize, matrices: usize) {
        self.said.lock().unwrap().push(format!("{finished} of {matrices}"));
    }

    fn started(&self, _: usize, _: u64) {
        self.stop(0);
    }

    fn compared(&self, name: &str, _: u64) {
        let mut compared = self.compared.lock().unwrap();
        compared.push(name.to_owned());
        self.stop(compared.len());
    }

    fn warned(&self, message: &str) {
        self.said.lock().unwrap().push(message.to_owned());
    }
}

#[test]
fn wherever_a_run_stops_another_does_the_rest_and_no_more() {
    let place = Place::new();
    let expected = place.files(&place.options("out"));
    for stop in 1..=MATRICES {
        let first = Watcher { stop_after: Some(stop), ..Watcher::default() };
        let error = first.run(&place.options("out")).unwrap_err();
        assert_eq!(error.to_string(), format!("interrupted; {stop} of 13 matrices are finished"));
        assert_eq!(error.hint(), "the same command with --resume goes on from there");
        assert_eq!(files(place.journal().parent().unwrap()).len(), 1, "the journal and nothing else");

        let second = Watcher::default();
        let options = ParamStatsOptions { threads: 3, ..place.options("out") };
        second.run(&options).unwrap();
        assert_eq!(second.said(), format!("{stop} of 13"));
        let mut all = [first.compared(), second.compared()].concat();
        all.sort();
        all.dedup();
        assert_eq!((second.compared().len(), all.len()), (MATRICES - stop, MATRICES));
        assert_same(&files(&options.folder()), &expected);
        fs::remove_dir_all(&options.outdir).unwrap();
    }
}

#[test]
fn a_run_may_be_stopped_after_every_matrix() {
    let place = Place::new();
    let expected = place.files(&place.options("out"));
    for finished in 0..MATRICES {
        let watcher = Watcher { stop_after: Some(1), ..Watcher::default() };
        let error = watcher.run(&place.options("out")).unwrap_err();
        assert_eq!(error.to_string(), format!("interrupted; {} of 13 matrices are finished", finished + 1));
        assert_eq!(watcher.compared().len(), 1);
        // One that is stopped before it finished anything leaves all as it was.
        let journal = fs::read(place.journal()).unwrap();
        let watcher = Watcher { stop_after: Some(0), ..Watcher::default() };
        assert!(watcher.run(&place.options("out")).is_err());
        assert!(fs::read(place.journal()).unwrap() == journal);
    }
    let last = Watcher::default();
    last.run(&place.options("out")).unwrap();
    assert!(last.compared().is_empty(), "all is there");
    assert_same(&files(&place.options("out").folder()), &expected);
}

#[test]
fn nothing_is_left_of_a_run_that_finished_no_matrix() {
    let place = Place::new();
    let watcher = Watcher { stop_after: Some(0), ..Watcher::default() };
    let error = watcher.run(&place.options("out")).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error}");
    assert!(!place.path("out").exists());
}

/// What another run of the same folder says and computes, and that its tables are right.
#[track_caller]
fn assert_starts_anew(place: &Place, options: &ParamStatsOptions, said: &str) {
    let watcher = Watcher::default();
    watcher.run(options).unwrap();
    assert_eq!(watcher.said(), said);
    assert_eq!(watcher.compared().len(), MATRICES, "nothing is taken over");
    assert_same(&files(&options.folder()), &place.files(options));
}

#[test]
fn what_was_not_asked_for_is_not_taken_over() {
    let place = Place::new();
    place.stopped_after(5);
    let options = ParamStatsOptions { resume: false, ..place.options("out") };
    let said = "an earlier run finished 5 of 13 matrices; this one does not resume it";
    assert_starts_anew(&place, &options, said);
}

#[test]
fn other_numerics_are_another_comparison() {
    let place = Place::new();
    let change = |change: fn(&mut spectral::Options)| {
        place.stopped_after(5);
        let mut options = place.options("out");
        change(&mut options.numerics);
        assert_starts_anew(&place, &options, "an earlier run cannot be resumed: options changed");
    };
    change(|numerics| numerics.seed = 1);
    change(|numerics| numerics.top_k = 3);
    change(|numerics| numerics.full_spectrum = true);
    change(|numerics| numerics.operators.b = false);
    change(|numerics| {
        let spectral::Method::Certified(certification) = &mut numerics.method else { panic!() };
        certification.tolerance = 2e-4;
    });
}

#[test]
fn what_changes_no_matrix_is_no_other_comparison() {
    let place = Place::new();
    place.stopped_after(5);
    let mut options = place.options("out");
    options.selection = Selection::AllMatrices;
    options.zero_deltas = report::ZeroDeltas::Include;
    options.formats = vec![report::Format::Csv];
    let watcher = Watcher::default();
    watcher.run(&options).unwrap();
    assert_eq!((watcher.said().as_str(), watcher.compared().len()), ("5 of 14", 9));
    let uninterrupted = ParamStatsOptions { outdir: place.path("uninterrupted"), ..options.clone() };
    Watcher::default().run(&uninterrupted).unwrap();
    assert_same(&files(&options.folder()), &files(&uninterrupted.folder()));
}

#[test]
fn changed_files_are_another_comparison() {
    let changed = |what: &str, change: &dyn Fn(&Path)| {
        let place = Place::new();
        place.stopped_after(5);
        change(place.0.path());
        let path = place.path(what);
        let said = format!("an earlier run cannot be resumed: {} changed", path.display());
        assert_starts_anew(&place, &place.options("out"), &said);
    };
    let weights =
        |folder: &Path| File::options().write(true).open(folder.join("b/model.safetensors")).unwrap();
    let length = |file: &File| file.metadata().unwrap().len();
    changed("b/model.safetensors", &|folder| {
        let file = weights(folder);
        file.write_all_at(&[0, 0], length(&file) - 2).unwrap();
    });
    // Other numbers, and the time as it was.
    changed("b/model.safetensors", &|folder| {
        let file = weights(folder);
        let time = file.metadata().unwrap().modified().unwrap();
        file.write_all_at(&[0, 0], length(&file) - 2).unwrap();
        file.set_times(FileTimes::new().set_modified(time)).unwrap();
    });
    changed("a/config.json", &|folder| fs::write(folder.join("a/config.json"), "{}").unwrap());

    let place = Place::new();
    place.stopped_after(5);
    let options = place.options("out");
    let swapped =
        ParamStatsOptions { model_a: options.model_b.clone(), model_b: options.model_a.clone(), ..options };
    assert_starts_anew(&place, &swapped, "an earlier run cannot be resumed: model A changed");
}

#[test]
fn damage_costs_the_matrices_from_there_on() {
    let place = Place::new();
    let expected = place.files(&place.options("out"));
    place.stopped_after(9);
    let nine = fs::read(place.journal()).unwrap();
    let middle = nine.len() / 2;
    let mut damaged = nine.clone();
    damaged[middle] ^= 1;
    fs::write(place.journal(), damaged).unwrap();
    let watcher = Watcher::default();
    watcher.run(&place.options("out")).unwrap();
    let finished = MATRICES - watcher.compared().len();
    let said =
        format!("the journal of the earlier run is damaged after {finished} matrices\n{finished} of 13");
    assert_eq!(watcher.said(), said);
    assert!((1..9).contains(&finished), "{finished}");
    assert_same(&files(&place.options("out").folder()), &expected);

    // What is cut off is what a run that was killed leaves.
    fs::write(place.journal(), &nine[..nine.len() - 1]).unwrap();
    let watcher = Watcher::default();
    watcher.run(&place.options("out")).unwrap();
    assert_eq!((watcher.said().as_str(), watcher.compared().len()), ("8 of 13", 5));
    assert_same(&files(&place.options("out").folder()), &expected);

    fs::write(place.journal(), "notes of somebody, which begin otherwise").unwrap();
    let path = place.journal();
    let said = format!("{} is no journal of an earlier run: it does not begin like one", path.display());
    assert_starts_anew(&place, &place.options("out"), &said);
}

#[test]
fn a_journal_that_cannot_be_written_is_no_reason_to_fail() {
    let place = Place::new();
    let options = place.options("out");
    fs::create_dir_all(place.journal()).unwrap();
    let watcher = Watcher::default();
    watcher.run(&options).unwrap();
    let said = watcher.said();
    let path = place.journal();
    let (is_none, cannot) = said.split_once('\n').unwrap();
    assert_eq!(is_none, format!("{} is no journal of an earlier run: it is no regular file", path.display()));
    let cannot_be_written = format!("{} cannot be written: ", path.display());
    assert!(cannot.contains(&cannot_be_written) && !cannot.contains('\n'), "said once: {cannot}");
    fs::remove_dir(&path).unwrap();
    assert_same(&files(&options.folder()), &place.files(&options));
}

/// Does something to a model after the fifth matrix.
struct Meddler<'a>(&'a (dyn Fn() + Sync), Watcher);

impl Observer for Meddler<'_> {
    fn compared(&self, name: &str, bytes: u64) {
        Observer::compared(&self.1, name, bytes);
        if self.1.compared().len() == 5 {
            self.0();
        }
    }

    fn warned(&self, message: &str) {
        self.1.warned(message);
    }
}

#[test]
fn a_model_that_is_away_for_a_while_can_be_gone_on_with() {
    let place = Place::new();
    let expected = place.files(&place.options("out"));
    let meddler = Meddler(&|| fs::rename(place.path("b"), place.path("away")).unwrap(), Watcher::default());
    let error = param_stats(&place.options("out"), &Hub::default(), &meddler, &AtomicBool::new(false));
    assert!(matches!(error.unwrap_err(), Error::Model { side: Side::B, .. }));
    assert_eq!(meddler.1.said(), "5 of 13 matrices are kept for a run that resumes this one");
    fs::rename(place.path("away"), place.path("b")).unwrap();
    let watcher = Watcher::default();
    watcher.run(&place.options("out")).unwrap();
    assert_eq!((watcher.said().as_str(), watcher.compared().len()), ("5 of 13", 8));
    assert_same(&files(&place.options("out").folder()), &expected);
}

#[test]
fn nothing_is_kept_of_a_model_that_changed_meanwhile() {
    let place = Place::new();
    let cut =
        || File::options().write(true).open(place.path("b/model.safetensors")).unwrap().set_len(100).unwrap();
    let meddler = Meddler(&cut, Watcher::default());
    let error = param_stats(&place.options("out"), &Hub::default(), &meddler, &AtomicBool::new(false));
    let Err(Error::Model { side: Side::B, source: weights_io::Error::Changed { .. } }) = error else {
        panic!()
    };
    assert_eq!(meddler.1.said(), "");
    assert!(!place.path("out").exists());
}
