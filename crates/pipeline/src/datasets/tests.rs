//! Every format against what Python makes of the same texts, and what becomes of files that are damaged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use hub::{Hub, Settings};
use serde_json::Value;

use super::{DatasetRecord, Datasets, DatasetsOptions, RowCounts, SampleSource, create_datasets};
use crate::{Error, Observer};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/datasets")
}

fn expected(file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixtures().join(file)).unwrap()).unwrap()
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// A Hub that nothing can be had from.
fn nowhere() -> Hub {
    let settings = Settings::from_environment(|name| {
        Some(if name == "HF_HUB_OFFLINE" { "1" } else { "/nowhere" }.into())
    });
    Hub::new(settings, Arc::default())
}

/// All samples of one source, into a folder of its own.
fn options(spec: &str, outdir: &Path) -> DatasetsOptions {
    let forget = SampleSource { spec: spec.parse().unwrap(), min_chars: 1 };
    DatasetsOptions { forget: Some(forget), retain: None, limit: None, ..DatasetsOptions::new(outdir) }
}

fn create(options: &DatasetsOptions) -> Result<Datasets, Error> {
    create_datasets(options, &nowhere(), &(), &AtomicBool::new(false))
}

/// What becomes of a file's column.
fn taken(spec: &str, change: impl FnOnce(&mut DatasetsOptions)) -> (Vec<String>, DatasetRecord) {
    let outdir = tempfile::tempdir().unwrap();
    let mut options = options(spec, outdir.path());
    change(&mut options);
    let found = create(&options).unwrap_or_else(|error| panic!("{spec}: {}", error.with_causes()));
    let text = std::fs::read_to_string(outdir.path().join("forget.txt")).unwrap();
    assert!(text.ends_with('\n'));
    (text.lines().map(str::to_owned).collect(), found.texts[0].0.clone())
}

/// Why nothing comes of it.
fn refused(spec: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let outdir = folder.path().join("data");
    let error = create(&options(spec, &outdir)).unwrap_err();
    assert!(!error.hint().is_empty(), "{error}");
    assert!(!outdir.exists(), "nothing is written");
    error.with_causes().replace(&format!("{}/", fixtures().join("formats").display()), "")
}

fn format(name: &str) -> String {
    fixtures().join("formats").join(name).to_str().unwrap().to_owned()
}

const PARQUET: [&str; 10] =
    ["snappy", "gzip", "lz4", "zstd", "none", "large", "view", "categories", "plain_pages", "foreign"];

#[test]
fn parquet_of_every_kind_has_the_same_samples() {
    let expected = expected("formats/expected.json");
    for name in PARQUET {
        let (samples, record) = taken(&format(&format!("{name}.parquet:text")), |_| {});
        assert_eq!(samples, strings(&expected["samples"]), "{name}");
        let counts = RowCounts { rows_read: 17, null: 2, empty: 2, taken: 13, ..RowCounts::default() };
        assert_eq!((record.counts, record.rows), (counts, Some(17)), "{name}");
        for count in ["rows_read", "null", "empty"] {
            assert_eq!(serde_json::to_value(record.counts).unwrap()[count], expected[count], "{name}");
        }
    }
}

#[test]
fn csv_and_json_lines_have_the_same_samples() {
    let expected = expected("formats/expected.json");
    let (samples, record) = taken(&format("texts.jsonl:text"), |_| {});
    assert_eq!(samples, strings(&expected["samples"]));
    assert_eq!((record.counts.null, record.counts.empty, record.rows), (2, 2, Some(17)));
    let (samples, record) = taken(&format("texts.csv:text"), |_| {});
    assert_eq!(samples, strings(&expected["samples"]));
    assert_eq!((record.counts.null, record.counts.empty, record.rows), (0, 4, Some(17)), "CSV knows no null");
}

#[test]
fn every_line_of_a_text_is_a_sample() {
    let expected = expected("formats/expected.json");
    let (samples, record) = taken(&format("texts.txt"), |_| {});
    assert_eq!(samples, strings(&expected["lines_of_texts_txt"]));
    assert_eq!(record.rows, expected["rows_of_texts_txt"].as_u64());
    assert_eq!(record.column, None);
}

#[test]
fn reading_ends_with_the_last_sample_unless_shuffled() {
    for (file, rows) in [("snappy.parquet", Some(17)), ("texts.jsonl", None), ("texts.csv", None)] {
        let spec = format(&format!("{file}:text"));
        let (samples, record) = taken(&spec, |options| options.limit = Some(2));
        assert_eq!(samples, ["plain", "two lines"], "{file}");
        assert_eq!((record.counts.rows_read, record.rows), (5, rows), "{file}");
        let shuffled =
            |seed| taken(&spec, |options| (options.limit, options.shuffle) = (Some(2), Some(seed)));
        let (samples, record) = shuffled(1);
        assert_eq!((record.counts.rows_read, record.rows, record.counts.taken), (17, Some(17), 2), "{file}");
        // Of what every format calls the same: the numbers depend on the row alone.
        assert_eq!(samples, strings(&expected("formats/expected.json")["two_with_seed_1"]), "{file}");
        assert_ne!(shuffled(2).0, samples);
    }
}

#[test]
fn characters_are_counted_as_python_does() {
    let most = |min_chars: usize| {
        taken(&format("zstd.parquet:text"), |options| {
            options.forget.as_mut().unwrap().min_chars = min_chars;
        })
    };
    let (samples, record) = most(51);
    assert_eq!(Some(samples.len() as u64), expected("formats/expected.json")["longer_than_50"].as_u64());
    assert_eq!((samples[0].chars().count(), samples[0].len()), (51, 102), "not bytes");
    assert_eq!((record.counts.too_short, record.min_chars), (12, 51));
    let (samples, _) = most(11);
    assert!(samples.contains(&"= Heading =".to_owned()), "eleven without the white space around it");
    assert!(!most(12).0.contains(&"= Heading =".to_owned()));
}

#[test]
fn columns_that_are_not_there_or_no_text_are_named() {
    for name in ["snappy.parquet", "texts.jsonl", "texts.csv"] {
        let message = refused(&format(&format!("{name}:txt")));
        let present = if name == "texts.jsonl" { "choices, id, text" } else { "id, text" };
        assert!(message.starts_with(&format!("{name} has no column `txt`, but {present}")), "{message}");
    }
    let is_no_text = |spec: &str, found: &str| {
        let (file, column) = spec.split_once(':').unwrap();
        assert_eq!(refused(&format(spec)), format!("{file}: column `{column}` is no text, but {found}"));
    };
    is_no_text("snappy.parquet:id", "Int64");
    is_no_text("snappy.parquet:choices", "List(Utf8, field: 'element')");
    is_no_text("snappy.parquet:none", "Null");
    is_no_text("texts.jsonl:id", "a number in line 1");
    is_no_text("texts.jsonl:choices", "a list in line 1");
}

#[test]
fn files_that_cannot_be_read_are_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, content: &[u8], column: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let message = refused(&format!("{}{column}", path.display()));
        message.replace(&format!("{}/", folder.path().display()), "")
    };
    assert_eq!(
        refused("a.csv", b"a,text\n1,x\n2\n", ":text"),
        "a.csv, line 3: 1 fields, but the header has 2"
    );
    let not_utf8 = "invalid utf-8 sequence of 1 bytes from index 0";
    assert_eq!(refused("b.csv", b"text\nx\n\xff\n", ":text"), "b.csv, line 3: field 1 is not UTF-8");
    assert_eq!(refused("c.txt", b"x\n\xffy\n", ""), format!("c.txt, line 2: {not_utf8}"));
    let message = refused("d.jsonl", b"[{\"text\": 1}]", ":text");
    assert_eq!(
        message,
        "d.jsonl, line 1: no JSON object: invalid type: sequence, expected an object, in column 0"
    );
    let message = refused("e.jsonl", b"{\"text\": \"x\"}\n\n{\"text\": \"x}\n", ":text");
    assert_eq!(message, "e.jsonl, line 3: no JSON object: EOF while parsing a string, in column 12");
    assert!(refused("f.parquet", b"PAR1PAR1", ":text").starts_with("f.parquet cannot be read as Parquet: "));
    let message = refused("h.jsonl", b"{\"text\": \"x\"}\n{\"text\": \"x\", \"text\": \"y\"}\n", ":text");
    assert_eq!(message, "h.jsonl, line 2: no JSON object: repeated key `text`, in column 26");
    let deep = format!("{{\"text\": {}", "[".repeat(1_000_000));
    assert!(
        refused("i.jsonl", deep.as_bytes(), ":text")
            .starts_with("i.jsonl, line 1: no JSON object: recursion")
    );
    let columns = ["x\u{1b}[2J"; 1000].join(",");
    let message = refused("j.csv", columns.as_bytes(), ":text");
    assert!(message.contains(r"x\u{1b}[2J, x") && message.len() < 400, "{message}");
    let brotli = super::tests::refused(&format("brotli.parquet:text"));
    assert!(brotli.contains("brotli"), "{brotli}");
    let missing = super::tests::refused("missing.csv:text");
    assert_eq!(missing, "cannot read missing.csv: No such file or directory (os error 2)");
}

#[test]
fn what_stands_in_place_of_a_file_is_named_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    for (content, cause, hint) in [
        (&pointer[..], "it is a Git-LFS pointer, not the file itself", "git lfs pull"),
        (b"<!DOCTYPE html>\n<title>404</title>", "it is an HTML page", "again"),
        (&[0; 5000], "it is filled with zeros", "again"),
        (b"", "it is empty", "again"),
    ] {
        for name in ["a.txt", "a.csv:text", "a.jsonl:text", "a.parquet:text"] {
            let spec = folder.path().join(name).to_str().unwrap().to_owned();
            let path = spec.strip_suffix(":text").unwrap_or(&spec);
            std::fs::write(path, content).unwrap();
            let error = create(&options(&spec, &folder.path().join("data"))).unwrap_err();
            assert_eq!(error.with_causes(), format!("cannot read {path}: {cause}"));
            assert!(error.hint().contains(hint), "{}", error.hint());
        }
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_does_not_block() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.txt", "a.csv", "a.jsonl", "a.parquet"] {
        let path = folder.path().join(name);
        let spec = format!("{}{}", path.display(), if name == "a.txt" { "" } else { ":text" });
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(refused(&spec).ends_with("it is not a regular file"));
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&path, &path).unwrap();
        assert!(refused(&spec).starts_with("cannot read"), "a link to itself");
    }
}

#[test]
fn a_row_without_end_is_not_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    for (name, begin) in [("a.csv", "text\n\""), ("a.txt", "x"), ("a.jsonl", "{\"text\": \"")] {
        let path = folder.path().join(name);
        std::fs::write(&path, begin).unwrap();
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_len(super::lines::LONGEST + (1 << 16)).unwrap(); // a hole, which reads as NUL
        let column = if name == "a.txt" { "" } else { ":text" };
        let message = refused(&format!("{}{column}", path.display()));
        assert!(message.ends_with(": longer than 64 MiB"), "{message}");
    }
}

#[test]
fn no_damage_to_a_parquet_file_is_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.parquet");
    let whole = std::fs::read(fixtures().join("formats/zstd.parquet")).unwrap();
    let spec = format!("{}:text", path.display());
    std::fs::write(&path, &whole).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x81;
        std::fs::write(&path, &damaged).unwrap();
        let _ = create(&options(&spec, &folder.path().join("data")));
        std::fs::write(&path, &whole[..at]).unwrap();
        let cut = create(&options(&spec, &folder.path().join("data")));
        assert!(matches!(cut, Err(Error::DatasetParquet { .. } | Error::DatasetFile { .. })), "{at}");
    }
}

#[test]
fn a_sample_that_no_model_could_read_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    let long = "x".repeat(activations::MAX_LINE);
    std::fs::write(&path, format!("{{\"text\": \"{long}x\"}}\n{{\"text\": \"{long}\"}}\n")).unwrap();
    let (samples, record) = taken(&format!("{}:text", path.display()), |_| {});
    assert_eq!((samples.len(), record.counts.too_long), (1, 1));
}

#[test]
fn no_sample_at_all_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let spec = format!("{}:text", path.display());
    std::fs::write(&path, "text,a\n").unwrap();
    assert_eq!(refused(&spec), format!("{spec} has no sample: no row"));
    std::fs::write(&path, "text,a\n,1\n ,2\n").unwrap();
    assert_eq!(refused(&spec), format!("{spec} has no sample: 2 empty"));
}

#[test]
fn few_samples_are_worth_a_warning() {
    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);
    impl Observer for Heard {
        fn warned(&self, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }
    }
    let outdir = tempfile::tempdir().unwrap();
    let spec = format("texts.txt");
    let mut options = options(&spec, outdir.path());
    let warnings = |options: &DatasetsOptions| {
        let heard = Heard::default();
        create_datasets(options, &nowhere(), &heard, &AtomicBool::new(false)).unwrap();
        heard.0.into_inner().unwrap()
    };
    assert!(warnings(&options).is_empty(), "all were asked for");
    options.limit = Some(4);
    assert!(warnings(&options).is_empty());
    options.limit = Some(5);
    assert_eq!(warnings(&options), [format!("forget: {spec} has 4 samples, not 5")]);
}

#[test]
fn an_interrupted_task_and_one_without_a_source_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let outdir = folder.path().join("data");
    let mut options = options(&format("texts.txt"), &outdir);
    let interrupted = create_datasets(&options, &nowhere(), &(), &AtomicBool::new(true));
    assert!(matches!(interrupted, Err(Error::Interrupted)));
    assert!(!outdir.exists());
    options.forget = None;
    assert!(matches!(create(&options), Err(Error::NoDataset)));
    assert!(!outdir.exists());
}
