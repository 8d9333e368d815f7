//! Whatever is damaged in a file with samples: it is read or refused, without a panic or a word on stderr.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use arrow::array::{ArrayRef, DictionaryArray, RecordBatch};
use arrow::datatypes::Int8Type;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use pipeline::{DatasetsOptions, Hub, SampleSource, create_datasets};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const TRIALS: usize = 300;

fn below(random: &mut ChaCha8Rng, bound: usize) -> usize {
    (random.next_u64() % bound as u64) as usize
}

/// The file with some bytes changed or replaced by telling ones, or cut off.
fn damaged(whole: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    const TELLING: [u8; 9] = [0, 1, 0x7f, 0x80, 0xff, b',', b'"', b'\\', b'\n'];
    let mut bytes = whole.to_vec();
    for _ in 0..=below(random, 4) {
        let at = below(random, bytes.len());
        match below(random, 5) {
            0..=1 => bytes[at] ^= 1 << below(random, 8),
            2..=3 => bytes[at] = TELLING[below(random, TELLING.len())],
            _ => bytes.truncate(at + 1),
        }
    }
    bytes
}

#[test]
fn no_damage_is_a_panic_or_a_word() {
    let reports = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reports);
    std::panic::set_hook(Box::new(move |panic| {
        eprintln!("{panic}");
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/datasets/formats");
    let folder = tempfile::tempdir().unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (mut read, mut refused) = (0, 0);
    let hub = Hub::new(hub::Settings::from_environment(|_| Some("1".into())), Arc::default());
    for name in [
        "snappy.parquet",
        "gzip.parquet",
        "lz4.parquet",
        "zstd.parquet",
        "texts.jsonl",
        "texts.csv",
        "texts.txt",
    ] {
        let whole = std::fs::read(formats.join(name)).unwrap();
        let path = folder.path().join(name);
        let column = if name == "texts.txt" { "" } else { ":text" };
        let spec = format!("{}{column}", path.display()).parse().unwrap();
        let forget = SampleSource { spec, min_chars: 1 };
        let outdir = folder.path().join("data");
        let options = DatasetsOptions { forget: Some(forget), retain: None, ..DatasetsOptions::new(outdir) };
        for _ in 0..TRIALS {
            std::fs::write(&path, damaged(&whole, &mut random)).unwrap();
            match create_datasets(&options, &hub, &(), &AtomicBool::new(false)) {
                Ok(found) => {
                    assert!(found.texts[0].0.counts.taken <= 500);
                    read += 1;
                }
                Err(error) => {
                    assert!(error.with_causes().len() < 1000 && !error.hint().is_empty(), "{error}");
                    refused += 1;
                }
            }
        }
    }
    drop(std::panic::take_hook());
    assert_eq!(reports.load(Ordering::Relaxed), 0, "contained panics are silent");
    assert!(read > TRIALS && refused > TRIALS, "{read} read, {refused} refused");
}

/// A few pages may stand for far more text than memory holds.
#[test]
fn a_long_text_that_many_rows_share_costs_no_more_than_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.parquet");
    let long = "x".repeat(13 << 20);
    let rows = [vec![long.as_str(); 70], vec!["short"]].concat();
    let texts: ArrayRef = Arc::new(DictionaryArray::<Int8Type>::from_iter(rows));
    let batch = RecordBatch::try_from_iter([("text", texts)]).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_dictionary_page_size_limit(1 << 30)
        .set_data_page_row_count_limit(1 << 20)
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    assert!(path.metadata().unwrap().len() < 2 << 20);

    let spec = format!("{}:text", path.display()).parse().unwrap();
    let forget = SampleSource { spec, min_chars: 1 };
    let options = DatasetsOptions {
        forget: Some(forget),
        retain: None,
        ..DatasetsOptions::new(folder.path().join("data"))
    };
    let found = create_datasets(&options, &Hub::default(), &(), &AtomicBool::new(false)).unwrap();
    let counts = found.texts[0].0.counts;
    assert_eq!((counts.rows_read, counts.too_long, counts.taken), (71, 70, 1));
}
