//! No table holds a number that is none: what is undefined is null, and what is not finite in a model is counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use arrow::array::AsArray as _;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pipeline::{
    ActivationNormsOptions, Hub, Models, ParamStatsOptions, Split, activation_norms, param_stats,
};
use spectral::Method;
use weights_io::Selection;

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

/// Looks at every cell of a table, and returns how many numbers there are.
fn numbers(file: &Path) -> usize {
    let mut count = 0;
    let mut seen = |number: f64, place: String| {
        assert!(number.is_finite(), "{}, {place}: {number}", file.display());
        count += 1;
    };
    if file.extension().unwrap() == "csv" {
        let mut reader = csv::Reader::from_path(file).unwrap();
        let header = reader.headers().unwrap().clone();
        for (line, record) in reader.records().enumerate() {
            for (column, cell) in header.iter().zip(&record.unwrap()) {
                // Rust takes every spelling of NaN and infinity for a number.
                cell.parse().into_iter().for_each(|number| seen(number, format!("line {line}, {column}")));
            }
        }
    } else {
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap().build().unwrap();
        for batch in reader.map(Result::unwrap) {
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                match column.data_type() {
                    DataType::Float64 => column
                        .as_primitive::<Float64Type>()
                        .iter()
                        .flatten()
                        .for_each(|number| seen(number, field.to_string())),
                    DataType::Float32 => column
                        .as_primitive::<Float32Type>()
                        .iter()
                        .flatten()
                        .for_each(|number| seen(number.into(), field.to_string())),
                    _ => {}
                }
            }
        }
    }
    count
}

fn all_finite(files: &[PathBuf]) {
    assert!(files.len() >= 4);
    let found: usize = files.iter().map(|file| numbers(file)).sum();
    assert!(found > 0, "{files:?}");
}

#[test]
fn no_comparison_of_parameters_leaves_a_number_that_is_none() {
    let outdir = tempfile::tempdir().unwrap();
    for pair in std::fs::read_dir(fixtures("pairs")).unwrap() {
        let pair = pair.unwrap().path();
        for variant in ["certified", "power", "spectrum"] {
            let mut options = ParamStatsOptions::new(pair.join("a"), pair.join("b"), outdir.path());
            options.selection = Selection::AllMatrices;
            match variant {
                "power" => options.numerics.method = Method::PowerIteration { iterations: 5 },
                "spectrum" => options.numerics.full_spectrum = true,
                _ => options.numerics.top_k = 4,
            }
            let found = param_stats(&options, &Hub::default(), &(), &AtomicBool::new(false)).unwrap();
            all_finite(&found.files);
        }
    }
}

/// A copy of a model whose first embedding, of which every sample has a token, holds a value in some places.
fn broken(folder: &Path, name: &str, value: u16) -> PathBuf {
    let (source, copy) = (fixtures("activations/pair/b"), folder.join(name));
    std::fs::create_dir(&copy).unwrap();
    for file in ["config.json", "tokenizer.json"] {
        std::fs::copy(source.join(file), copy.join(file)).unwrap();
    }
    let mut bytes = std::fs::read(source.join("model.safetensors")).unwrap();
    let header = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let parsed: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let tensor = &parsed["model.embed_tokens.weight"];
    assert_eq!(tensor["dtype"], "BF16");
    let [start, end] = [0, 1].map(|at| 8 + header + tensor["data_offsets"][at].as_u64().unwrap() as usize);
    // Every second row of 24 columns: some tokens stay as they are.
    for row in (start..end).step_by(2 * 48) {
        bytes[row..row + 2].copy_from_slice(&value.to_le_bytes());
    }
    std::fs::write(copy.join("model.safetensors"), bytes).unwrap();
    copy
}

#[test]
fn no_measurement_of_hidden_states_leaves_a_number_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [("nan", 0x7fc0), ("infinite", 0x7f80), ("largest", 0x7f7f), ("subnormal", 1), ("zero", 0)];
    for (name, value) in cases {
        let model = broken(folder.path(), name, value);
        let text = fixtures("activations/pair/forget.txt");
        let splits = vec![Split { name: "forget".into(), path: text }];
        let models = Models::pair(fixtures("activations/pair/a"), &model);
        let mut options = ActivationNormsOptions::new(models, splits, folder.path().join("out"));
        (options.max_samples, options.max_length, options.per_sample) = (6, 16, true);
        let found = activation_norms(&options, &Hub::default(), &(), &AtomicBool::new(false)).unwrap();
        all_finite(&found.files);
        let counted: u64 = found.non_finite().map(|row| row.non_finite_tokens).sum();
        assert_eq!(counted > 0, ["nan", "infinite"].contains(&name), "{name}: {counted}");
        assert!(found.norms.iter().any(|row| row.norm_mean.is_some_and(|mean| mean > 0.0)), "{name}");
    }
}
