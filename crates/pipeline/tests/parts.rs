//! Parts of a comparison and their merge: the tables of one machine, or a refusal that names what is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails
#![cfg(unix)]

#[path = "common/pairs.rs"]
mod pairs;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use pipeline::{
    Error, Hub, Observer, ParamStats, ParamStatsOptions, Share, merge_param_stats, param_stats,
    take_over_param_stats,
};
use report::{Format, LedgerRow, Provenance, Tables, ZeroDeltas};
use sha2::{Digest as _, Sha256};
use spectral::Method;
use weights_io::Selection;

/// Parts of the sets below.
const COUNT: u32 = 3;

/// Hears what is said and what is compared.
#[derive(Default)]
struct Watcher {
    said: Mutex<Vec<String>>,
    compared: Mutex<Vec<String>>,
    flag: AtomicBool,
}

impl Observer for Watcher {
    fn resumed(&self, finished: usize, matrices: usize) {
        self.said.lock().unwrap().push(format!("{finished} of {matrices}"));
    }

    fn compared(&self, name: &str, _: u64) {
        self.compared.lock().unwrap().push(name.to_owned());
    }

    fn warned(&self, message: &str) {
        self.said.lock().unwrap().push(message.to_owned());
    }
}

impl Watcher {
    fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }
}

/// A pair of models of its own, with gaps, and a place for tables.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        pairs::copy("ledger", place.0.path());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn options(&self, out: &str) -> ParamStatsOptions {
        let mut options = ParamStatsOptions::new(self.path("a"), self.path("b"), self.path(out));
        options.name = Some("pair".into());
        options.numerics.top_k = 2;
        options.threads = 1;
        options
    }

    /// The folder of the comparison.
    fn folder(&self) -> PathBuf {
        self.path("out/pair")
    }

    fn part(&self, index: u32) -> PathBuf {
        self.folder().join(format!("parts/{index}-of-{COUNT}"))
    }

    /// A complete set of parts.
    fn with_parts() -> Self {
        let place = Self::new();
        (0..COUNT).for_each(|index| drop(make(&place.options("out"), index, COUNT)));
        place
    }

    /// What one machine writes.
    fn expected(&self, options: &ParamStatsOptions) -> BTreeMap<String, Vec<u8>> {
        let options = ParamStatsOptions { outdir: self.path("one"), ..options.clone() };
        param_stats(&options, &Hub::default(), &(), &AtomicBool::new(false)).unwrap();
        files(&options.folder())
    }

    fn merge(&self) -> (Result<ParamStats, Error>, Vec<String>) {
        let watcher = Watcher::default();
        let merged = merge_param_stats(&self.folder(), &watcher, &watcher.flag);
        (merged, watcher.said())
    }

    /// The merge fails and leaves nothing. The error and its causes, without the path of this place.
    #[track_caller]
    fn refused(&self) -> String {
        let error = self.merge().0.unwrap_err();
        assert!(files(&self.folder()).is_empty(), "nothing is written");
        assert_ne!(error.hint(), "");
        error.with_causes().replace(&self.0.path().display().to_string(), "")
    }
}

fn make(options: &ParamStatsOptions, index: u32, count: u32) -> ParamStats {
    let options = ParamStatsOptions { share: Share::new(index, count), ..options.clone() };
    param_stats(&options, &Hub::default(), &(), &AtomicBool::new(false)).unwrap()
}

/// The files of a folder, but for folders in it.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    entries.filter(|path| path.is_file()).map(|path| (name(&path), fs::read(path).unwrap())).collect()
}

#[track_caller]
fn assert_same(found: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, bytes) in found {
        assert!(*bytes == expected[name], "{name} differs");
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Replaces text in a `part.json` and seals it again, as somebody would who means harm.
fn forge(part: &Path, from: &str, to: &str) {
    let file = part.join("part.json");
    let text = fs::read_to_string(&file).unwrap();
    let changed = text.replacen(from, to, 1);
    assert_ne!(changed, text, "{from} is not there");
    let (_, inner) = changed.split_once("\"part\": ").unwrap();
    let (inner, _) = inner.rsplit_once(",\n  \"sha256\"").unwrap();
    // As JSON without spaces outside of text.
    let (mut compact, mut in_text, mut escaped) = (String::new(), false, false);
    for character in inner.chars() {
        if in_text || !character.is_whitespace() {
            compact.push(character);
        }
        in_text ^= character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
    }
    let hash = sha256(compact.as_bytes());
    fs::write(file, format!("{{\n  \"part\": {inner},\n  \"sha256\": \"{hash}\"\n}}")).unwrap();
}

#[test]
fn a_merge_gives_what_one_machine_gives() {
    let place = Place::with_parts();
    assert!(files(&place.folder()).is_empty(), "parts touch nothing but their own folders");
    for index in 0..COUNT {
        let tables = ["ledger.parquet", "part.json", "per_matrix.parquet", "singular_values.parquet"];
        assert_eq!(files(&place.part(index)).into_keys().collect::<Vec<_>>(), tables);
    }
    let one = param_stats(&place.options("one"), &Hub::default(), &(), &AtomicBool::new(false)).unwrap();
    let (merged, said) = place.merge();
    let merged = merged.unwrap();
    assert_eq!(said, [""; 0]);
    assert_same(&files(&place.folder()), &place.expected(&place.options("out")));
    assert_eq!((&merged.matrices, &merged.ledger), (&one.matrices, &one.ledger));
    assert_eq!(merged.singular_values, one.singular_values);
    assert_eq!((merged.folder.clone(), merged.share), (place.folder(), None));
    assert_eq!(merged.files.len(), one.files.len());
    assert!(merged.gaps().count() > 0);
    // Again, over what is there.
    place.merge().0.unwrap();
    assert_same(&files(&place.folder()), &place.expected(&place.options("out")));
}

#[test]
fn parts_have_every_name_once_and_the_numbers_of_the_whole() {
    let place = Place::new();
    let whole = param_stats(&place.options("one"), &Hub::default(), &(), &AtomicBool::new(false)).unwrap();
    let mut names = Vec::new();
    for index in 0..5 {
        let part = make(&place.options("out"), index, 5);
        assert_eq!(part.share, Share::new(index, 5));
        assert!(part.matrices.iter().all(|row| whole.matrices.contains(row)));
        names.extend(part.ledger.into_iter().map(|row| row.name));
    }
    names.sort();
    assert_eq!(names, whole.ledger.iter().map(|row| row.name.clone()).collect::<Vec<_>>());
}

/// Matrices large enough for an iteration, whose intervals depend on the failure probability that each has a share of.
#[test]
fn intervals_are_those_of_the_whole_run() {
    const SIDE: usize = 256;
    let place = Place::new();
    let mut state = 1u64;
    for model in ["a", "b"] {
        let bytes = SIDE * SIDE * 4;
        let tensors = (0..4).map(|index| {
            let offsets = [index * bytes, (index + 1) * bytes];
            format!(
                r#""model.layers.{index}.mlp.up_proj.weight":{{"dtype":"F32","shape":[{SIDE},{SIDE}],"data_offsets":{offsets:?}}}"#
            )
        });
        let head = format!("{{{}}}", tensors.collect::<Vec<_>>().join(","));
        let mut file = [&(head.len() as u64).to_le_bytes(), head.as_bytes()].concat();
        for _ in 0..4 * SIDE * SIDE {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            file.extend(((state >> 40) as f32 / (1 << 24) as f32 - 0.5).to_le_bytes());
        }
        fs::remove_file(place.path(model).join("pytorch_model.bin")).unwrap();
        fs::write(place.path(model).join("model.safetensors"), file).unwrap();
    }
    let mut options = place.options("out");
    options.numerics.top_k = 0;
    let Method::Certified(certification) = &mut options.numerics.method else { panic!() };
    certification.max_passes = 4;
    let expected = place.expected(&options);
    for index in 0..4 {
        let part = make(&options, index, 4);
        assert_eq!(part.matrices.len(), 1);
        assert_eq!(part.matrices[0].delta.stop, Some("budget"));
    }
    place.merge().0.unwrap();
    assert_same(&files(&place.folder()), &expected);
}

#[test]
fn what_is_missing_is_named() {
    let place = Place::new();
    let folder = "/out/pair";
    fs::create_dir_all(place.folder()).unwrap();
    assert_eq!(place.refused(), format!("{folder} has no parts of a comparison"));
    for index in [0, 4, 5, 7, 8, 9, 10] {
        make(&place.options("out"), index, 12);
    }
    assert_eq!(place.refused(), format!("parts 1 to 3, 6 and 11 of 12 are missing in {folder}"));
    for index in [1, 2, 11] {
        make(&place.options("out"), index, 12);
    }
    assert_eq!(place.refused(), format!("parts 3 and 6 of 12 are missing in {folder}"));
    make(&place.options("out"), 3, 12);
    assert_eq!(place.refused(), format!("part 6 of 12 is missing in {folder}"));
    // A run that is not finished.
    fs::create_dir(place.folder().join("parts/6-of-12")).unwrap();
    fs::write(place.folder().join("parts/6-of-12/param_stats.journal"), "").unwrap();
    assert_eq!(place.refused(), format!("part 6 of 12 is missing in {folder}"));
    make(&place.options("out"), 6, 12);
    fs::write(place.folder().join("parts/notes.txt"), "what else is there is in nobody's way").unwrap();
    place.merge().0.unwrap();

    // No list is longer than a message should be, no count takes forever.
    let place = Place::new();
    make(&place.options("out"), 1, 65_536);
    assert_eq!(place.refused(), format!("parts 0 and 2 to 65535 of 65536 are missing in {folder}"));
    (3..40).step_by(2).for_each(|index| drop(make(&place.options("out"), index, 65_536)));
    let said = "parts 0, 2, 4, 6, 8, 10, 12, 14 and 65508 more of 65536 are missing in /out/pair";
    assert_eq!(place.refused(), said);
    assert!(!place.path("nowhere").exists());
    assert!(merge_param_stats(&place.path("nowhere"), &(), &AtomicBool::new(false)).is_err());
    assert!(!place.path("nowhere").exists(), "no folder is made");
}

#[test]
fn parts_of_different_comparisons_are_not_mixed() {
    let differs = |what: &str, change: &dyn Fn(&Place, &mut ParamStatsOptions)| {
        let place = Place::with_parts();
        let mut options = place.options("out");
        change(&place, &mut options);
        make(&options, 1, COUNT);
        let parts = "/out/pair/parts";
        let expected =
            format!("{parts}/0-of-3 and {parts}/1-of-3 are of different comparisons: they differ in {what}");
        assert_eq!(place.refused(), expected);
    };
    differs("seed", &|_, options| options.numerics.seed = 1);
    differs("top_k", &|_, options| options.numerics.top_k = 0);
    differs("full_spectrum", &|_, options| options.numerics.full_spectrum = true);
    differs("method", &|_, options| {
        options.numerics.method = Method::PowerIteration { iterations: 5 };
    });
    differs("selection", &|_, options| options.selection = Selection::AllMatrices);
    differs("the formats of the tables", &|_, options| options.formats = vec![Format::Csv]);
    differs("how unchanged matrices count", &|_, options| options.zero_deltas = ZeroDeltas::Include);
    differs("/a/config.json", &|place, _| fs::write(place.path("a/config.json"), "{}").unwrap());
    differs("/b/pytorch_model.bin", &|place, _| {
        let file = fs::File::options().write(true).open(place.path("b/pytorch_model.bin")).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    });
    differs("/a/config.json", &|place, options| {
        options.model_a = place.path("b").into();
    });

    let place = Place::with_parts();
    make(&place.options("out"), 1, 4);
    assert_eq!(place.refused(), "/out/pair has parts of 3 and of 4 at once");
    make(&place.options("out"), 0, 1);
    assert_eq!(place.refused(), "/out/pair has parts of 1, 3 and of 4 at once");

    // Another version.
    let place = Place::with_parts();
    forge(&place.part(2), "\"version\": \"", "\"version\": \"9");
    let expected = "/out/pair/parts/0-of-3 and /out/pair/parts/2-of-3 are of different comparisons: they differ in version";
    assert_eq!(place.refused(), expected);
}

#[test]
fn a_part_of_another_way_to_share_is_warned_of_when_it_is_made() {
    let place = Place::with_parts();
    let watcher = Watcher::default();
    let options = ParamStatsOptions { share: Share::new(0, 1), ..place.options("out") };
    param_stats(&options, &Hub::default(), &watcher, &watcher.flag).unwrap();
    let parts = place.folder().join("parts");
    let warning = format!("{} has parts of 3 too, which cannot be merged with parts of 1", parts.display());
    assert_eq!(watcher.said(), [warning]);
}

#[test]
fn other_machines_and_commands_are_warned_of() {
    let place = Place::with_parts();
    let expected = place.expected(&place.options("out"));
    // Whoever copies or mounts a file changes its status, and no byte of it.
    let file = place.path("a/pytorch_model.bin");
    let (mode, copy) = (fs::metadata(&file).unwrap().permissions(), place.path("copy"));
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    fs::copy(&file, &copy).unwrap();
    fs::rename(&copy, &file).unwrap();
    fs::set_permissions(&file, mode).unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
    make(&place.options("out"), 1, COUNT);
    forge(&place.part(1), "\"engine\": \"", "\"engine\": \"other ");
    forge(&place.part(2), "\"engine\": \"", "\"engine\": \"other ");
    let options = ParamStatsOptions { arguments: vec!["--verbose".into()], ..place.options("out") };
    make(&options, 2, COUNT);
    let (merged, said) = place.merge();
    merged.unwrap();
    assert_eq!(said.len(), 2);
    let (machine, origin) = (&said[0], &said[1]);
    assert!(machine.starts_with("part 1 was made with another engine (other "), "{machine}");
    assert!(machine.ends_with("): last digits may differ from those of one machine"), "{machine}");
    assert_eq!(origin, "part 2 has other arguments than part 0; the tables tell those of part 0");
    assert_same(&files(&place.folder()), &expected);
}

#[test]
fn damaged_parts_are_named() {
    let place = Place::with_parts();
    for (name, whole) in files(&place.part(1)) {
        let file = place.part(1).join(&name);
        let shown = format!("/out/pair/parts/1-of-3/{name} cannot be merged: ");
        let cuts = [0, 1, whole.len() / 2, whole.len() - 1].map(|length| whole[..length].to_vec());
        let flips = (0..whole.len()).step_by(whole.len() / 97 + 1).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            bytes
        });
        for damaged in cuts.into_iter().chain(flips) {
            fs::write(&file, damaged).unwrap();
            let refused = place.refused();
            assert!(refused.starts_with(&shown), "{refused}");
        }
        fs::remove_file(&file).unwrap();
        if name != "part.json" {
            assert_eq!(place.refused(), format!("{shown}it is missing or not as it was written"));
        }
        fs::create_dir(&file).unwrap();
        let refused = place.refused();
        assert!(refused.starts_with(&shown), "{refused}");
        fs::remove_dir(&file).unwrap();
        // What would block who reads it.
        assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
        let refused = place.refused();
        assert!(refused.starts_with(&shown), "{refused}");
        fs::remove_file(&file).unwrap();
        fs::write(file, whole).unwrap();
    }
    // One part in the place of another.
    for (name, bytes) in files(&place.part(0)) {
        fs::write(place.part(1).join(name), bytes).unwrap();
    }
    let said = "/out/pair/parts/1-of-3/part.json cannot be merged: it is of another part than its folder's name says";
    assert_eq!(place.refused(), said);
}

#[test]
fn what_somebody_made_up_is_refused() {
    let hash = |path: &Path| sha256(&fs::read(path).unwrap());
    // One part in the place of another, with a note that says so.
    let place = Place::with_parts();
    for (name, bytes) in files(&place.part(0)) {
        fs::write(place.part(1).join(name), bytes).unwrap();
    }
    forge(&place.part(1), "\"index\": 0", "\"index\": 1");
    let said = "/out/pair cannot be merged: its parts together have other names than the two models";
    assert_eq!(place.refused(), said);

    let place = Place::with_parts();
    let unknown = [
        ("\"csv\"", "\"xlsx\"", "unknown variant `xlsx`, expected `csv` or `parquet`"),
        ("[\n      \"csv\",\n      \"parquet\"\n    ]", "[]", "it asks for no tables"),
        ("\"exclude\"", "\"perhaps\"", "unknown variant `perhaps`, expected `exclude` or `include`"),
        ("\"index\"", "\"number\"", "unknown field `number`"),
        ("\"count\": 3", "\"count\": -3", "invalid value: integer `-3`"),
        ("\"count\": 3", "\"count\": 4294967295", "it is of another part than its folder's name says"),
    ];
    let whole = fs::read(place.part(1).join("part.json")).unwrap();
    for (from, to, why) in unknown {
        forge(&place.part(1), from, to);
        let refused = place.refused();
        let expected = format!("/out/pair/parts/1-of-3/part.json cannot be merged: {why}");
        assert!(refused.starts_with(&expected), "{refused}");
        fs::write(place.part(1).join("part.json"), &whole).unwrap();
    }

    // Tables with other columns, and with words that stand in none.
    let table = place.part(1).join("ledger.parquet");
    let honest = hash(&table);
    fs::copy(place.part(1).join("per_matrix.parquet"), &table).unwrap();
    forge(&place.part(1), &honest, &hash(&table));
    let not_one =
        "a part cannot be merged: /out/pair/parts/1-of-3/ledger.parquet is no table ledger of this version: ";
    assert_eq!(place.refused(), format!("{not_one}Schema error: it has other columns"));

    let row = LedgerRow {
        name: "model.w".into(),
        status: "forgotten",
        reason: None,
        selected: true,
        layer: None,
        group: "other",
        component: "other",
        dtype_a: None,
        dtype_b: None,
        shape_a: None,
        shape_b: None,
        nan_a: None,
        inf_a: None,
        nan_b: None,
        inf_b: None,
        file_a: None,
        file_b: None,
    };
    let before = hash(&table);
    let forged = tempfile::tempdir().unwrap();
    let mut tables = Tables::create(forged.path(), &[Format::Parquet]).unwrap();
    tables.stage(&[row], &Provenance::default()).unwrap();
    tables.finish().unwrap();
    fs::copy(forged.path().join("ledger.parquet"), &table).unwrap();
    forge(&place.part(1), &before, &hash(&table));
    assert_eq!(place.refused(), format!("{not_one}Cast error: column status has forgotten"));

    // A name that leads out of the folder is never followed: files are asked for by the names of tables.
    forge(&place.part(2), "\"ledger.parquet\"", "\"../../../one/pair/ledger.parquet\"");
    fs::remove_dir_all(place.part(1)).unwrap();
    make(&place.options("out"), 1, COUNT);
    let said =
        "/out/pair/parts/2-of-3/ledger.parquet cannot be merged: it is missing or not as it was written";
    assert_eq!(place.refused(), said);
}

#[test]
fn a_finished_part_is_kept_if_it_is_the_same() {
    let place = Place::with_parts();
    let run = |change: &dyn Fn(&mut ParamStatsOptions)| {
        let mut options = place.options("out");
        (options.share, options.resume) = (Share::new(1, COUNT), true);
        change(&mut options);
        let watcher = Watcher::default();
        let found = param_stats(&options, &Hub::default(), &watcher, &watcher.flag).unwrap();
        (found, watcher.said(), watcher.compared.into_inner().unwrap())
    };
    let before = files(&place.part(1));
    let whole = make(&place.options("other"), 1, COUNT);
    // One of them has entries that are no numbers.
    let matrices = whole.matrices.len() + 1;
    assert!(matrices > 1);

    let journal = place.part(1).join("param_stats.journal");
    fs::write(&journal, "of a run that was killed before it could remove it").unwrap();
    let (kept, said, compared) = run(&|_| {});
    assert!(!journal.exists());
    assert_eq!((said, compared.len()), (vec![format!("{matrices} of {matrices}")], 0));
    assert_eq!((kept.matrices, kept.ledger), (whole.matrices, whole.ledger));
    assert_eq!((kept.folder, kept.share), (place.part(1), Share::new(1, COUNT)));
    let names: Vec<&str> =
        kept.files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["ledger.parquet", "per_matrix.parquet", "singular_values.parquet", "part.json"]);
    assert_same(&files(&place.part(1)), &before);

    let (_, said, compared) = run(&|options| options.resume = false);
    assert_eq!((said, compared.len()), (vec![], matrices));
    assert_same(&files(&place.part(1)), &before);

    let (_, said, compared) = run(&|options| options.numerics.seed = 1);
    let not_kept = "the finished part of an earlier run is not kept: ";
    assert_eq!((said, compared.len()), (vec![format!("{not_kept}seed changed")], matrices));
    assert!(files(&place.part(1)) != before);

    fs::write(place.part(1).join("ledger.parquet"), "damage").unwrap();
    let (_, said, compared) = run(&|options| options.numerics.seed = 1);
    let file = place.part(1).join("ledger.parquet");
    let why = format!("{} cannot be merged: it is missing or not as it was written", file.display());
    assert_eq!((said, compared.len()), (vec![format!("{not_kept}{why}")], matrices));
    run(&|_| {});
    assert_same(&files(&place.part(1)), &before);
}

#[test]
fn a_complete_set_of_the_same_comparison_is_taken_over() {
    let take_over = |options: &ParamStatsOptions| {
        let watcher = Watcher::default();
        let found = take_over_param_stats(options, &Hub::default(), &watcher, &watcher.flag).unwrap();
        assert_eq!(watcher.compared.lock().unwrap().len(), 0);
        (found, watcher.said())
    };
    let place = Place::new();
    let mut options = place.options("out");
    let (found, said) = take_over(&options);
    assert!(found.is_none() && said.is_empty() && !place.path("out").exists());

    for index in [0, 2] {
        make(&options, index, COUNT);
    }
    let (found, said) = take_over(&options);
    let not = "the parts of this comparison are not taken over: ";
    let missing = format!("{not}part 1 of 3 is missing in {}", place.folder().display());
    assert_eq!((found.is_none(), said), (true, vec![missing.clone()]));
    make(&options, 1, COUNT);

    // What makes tables of the same rows is for the options to say.
    options.arguments = vec!["run".into()];
    options.zero_deltas = ZeroDeltas::Include;
    options.formats = vec![Format::Parquet];
    let (found, said) = take_over(&options);
    assert_eq!(said, [""; 0]);
    assert_eq!(found.unwrap().folder, place.folder());
    assert_same(&files(&place.folder()), &place.expected(&options));

    let without = |change: &dyn Fn(&mut ParamStatsOptions), what: &str| {
        let before = files(&place.folder());
        let mut options = options.clone();
        change(&mut options);
        let (found, said) = take_over(&options);
        assert_eq!((found.is_none(), said), (true, vec![format!("{not}{what}")]));
        assert_same(&files(&place.folder()), &before);
    };
    without(&|options| options.numerics.seed = 1, "seed changed");
    without(&|options| options.selection = Selection::AllMatrices, "selection changed");
    without(&|options| std::mem::swap(&mut options.model_a, &mut options.model_b), "model A changed");
    let config = place.path("a/config.json");
    let was = fs::read(&config).ok();
    fs::write(&config, "{}").unwrap();
    without(&|_| {}, &format!("{} changed", config.display()));
    was.map_or_else(|| fs::remove_file(&config), |was| fs::write(&config, was)).unwrap();

    // A set that is complete counts, whatever else lies there.
    make(&options, 0, 7);
    let (found, said) = take_over(&options);
    assert_eq!((found.is_some(), said), (true, vec![]));
    make(&options, 0, 2);
    let (found, said) = take_over(&options);
    let missing = missing.replace("of 3", "of 2");
    assert_eq!((found.is_some(), said), (true, vec![missing]));

    // A model that is not there is an error, as it is for the comparison.
    let error = take_over_param_stats(
        &ParamStatsOptions { model_b: place.path("gone").into(), ..options },
        &Hub::default(),
        &(),
        &AtomicBool::new(false),
    );
    assert!(matches!(error, Err(Error::NotObtained { .. } | Error::Model { .. })), "{error:?}");
}

#[test]
fn an_interrupted_merge_writes_nothing() {
    let place = Place::with_parts();
    for interrupted in [true, false] {
        let flag = AtomicBool::new(interrupted);
        let merged = merge_param_stats(&place.folder(), &(), &flag);
        assert_eq!(matches!(merged, Err(Error::Interrupted)), interrupted);
        assert_eq!(files(&place.folder()).is_empty(), interrupted);
    }
}

/// Says so when it ends, with whatever.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Every merge is of whole parts while one of them is made again and again, each time with other bytes.
#[test]
fn a_part_that_is_made_again_meanwhile_is_never_half_read() {
    let place = Place::with_parts();
    let one = param_stats(&place.options("one"), &Hub::default(), &(), &AtomicBool::new(false)).unwrap();
    let (merging, mut merged, mut refused) = (AtomicBool::new(true), 0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut time = 0;
            while merging.load(Ordering::Relaxed) {
                let arguments = vec![format!("--time={time}")];
                make(&ParamStatsOptions { arguments, ..place.options("out") }, 1, COUNT);
                time += 1;
            }
        });
        let _ends = Ends(&merging);
        while merged < 20 || (refused < 3 && merged < 2000) {
            match place.merge().0 {
                Ok(found) => {
                    assert_eq!((&found.matrices, &found.ledger), (&one.matrices, &one.ledger));
                    merged += 1;
                }
                Err(Error::PartsMissing { missing, .. }) => {
                    assert_eq!(missing, [1]);
                    refused += 1;
                }
                Err(Error::Part { path, .. }) => {
                    assert!(path.starts_with(place.part(1)), "{}", path.display());
                    refused += 1;
                }
                Err(error) => panic!("{}", error.with_causes()),
            }
        }
    });
    println!("{merged} merged, {refused} refused");
}
