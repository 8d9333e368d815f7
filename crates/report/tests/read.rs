//! Tables read back: what was written, what the Python scripts wrote, and what is no table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::error::Error as _;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use report::{Error, Format, LayerRow, Provenance, Row, Table, Tables};

fn rows() -> Vec<LayerRow> {
    let row = |layer, group, stable_rank| LayerRow {
        layer,
        group,
        delta_frobenius: 0.1 + f64::from(layer),
        delta_stable_rank_mean: stable_rank,
        count: 2,
        count_changed: 1,
        a_frobenius: 1e-300,
        delta_frobenius_relative: Some(1.0 / 3.0),
        delta_spectral_max: None,
        delta_spectral_relative_max: None,
    };
    vec![row(0, "attn", None), row(0, "mlp", Some(2.5)), row(11, "attn", Some(f64::MAX))]
}

#[test]
fn both_formats_give_back_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut provenance = Provenance::default();
    provenance.add("model_diffs.seed", "7");
    let mut tables = Tables::create(folder.path(), &[Format::Csv, Format::Parquet]).unwrap();
    tables.stage(&rows(), &provenance).unwrap();
    let files = tables.finish().unwrap();
    let tables = files.iter().map(|file| Table::read(file).unwrap());
    for table in tables.chain([Table::of(&rows(), provenance.clone()).unwrap()]) {
        let names: Vec<String> = LayerRow::fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(table.columns().collect::<Vec<_>>(), names);
        assert_eq!(table.rows(), 3);
        assert_eq!(table.numbers("layer").unwrap(), [Some(0.0), Some(0.0), Some(11.0)]);
        assert_eq!(table.numbers("mean_dW_stable_rank").unwrap(), [None, Some(2.5), Some(f64::MAX)]);
        assert_eq!(table.needed_numbers("dW_fro_layer_rel").unwrap(), [Some(1.0 / 3.0); 3]);
        assert_eq!(table.numbers("W_fro_layer").unwrap(), [Some(1e-300); 3]);
        assert_eq!(table.numbers("max_dW_spectral").unwrap(), [None; 3]);
        let groups = table.needed_texts("group").unwrap();
        assert_eq!(groups.iter().flatten().collect::<Vec<_>>(), ["attn", "mlp", "attn"]);
        assert!(table.is_numeric("layer") && !table.is_numeric("group") && !table.is_numeric("nothing"));
        assert_eq!(table.numbers("nothing"), None);
    }
    assert_eq!(Table::read(&files[1]).unwrap().provenance(), &provenance);
}

#[test]
fn tables_of_the_scripts_have_words_among_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("activation_norms.csv");
    std::fs::write(
        &file,
        "model,split,layer,mean_norm\nm,forget,0,1.5\nm,forget,1,nan\nm,forget,ALL_MEAN,inf\n",
    )
    .unwrap();
    let table = Table::read(&file).unwrap();
    assert_eq!(table.numbers("layer").unwrap(), [Some(0.0), Some(1.0), None]);
    assert_eq!(table.numbers("mean_norm").unwrap(), [Some(1.5), None, None]);
    assert!(!table.is_numeric("layer"));
    let error = table.needed_numbers("tokens").unwrap_err();
    let message = error.to_string();
    assert!(
        message.ends_with("activation_norms.csv has no column tokens, but model, split, layer, mean_norm")
    );
}

#[test]
fn what_is_no_table_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("blank.csv", &b"\n\n"[..]),
        ("cut.parquet", b"PAR1 and no more"),
        ("torn.csv", b"a,b\n1,2\n3\n"),
        ("binary.csv", b"\xff\xfe\x00\x01"),
        ("twice.csv", b"layer,layer\n0,1\n"),
    ] {
        let file = folder.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        let error = Table::read(&file).unwrap_err();
        assert!(matches!(error, Error::NotATable { .. }), "{name}: {error:?}");
        assert!(error.to_string().ends_with(&format!("{name} is no table")));
    }
    let error = Table::read(folder.path().join("none")).unwrap_err();
    assert!(matches!(error, Error::Read { .. }), "{error:?}");
}

/// Why a file cannot be read, and what to do about it.
fn refusal(file: &Path) -> (String, &'static str) {
    let error = Table::read(file).unwrap_err();
    (error.source().map(ToString::to_string).unwrap_or_default(), error.hint())
}

#[test]
fn what_stands_in_place_of_a_table_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (bytes, cause, hint) in [
        (&b"version https://git-lfs.github.com/spec/v1\noid"[..], "Git-LFS pointer", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "HTML page", "again"),
        (&[0; 5000], "filled with zeros", "again"),
        (b"", "empty", "again"),
    ] {
        for name in ["per_layer.csv", "per_layer.parquet"] {
            let file = folder.path().join(name);
            std::fs::write(&file, bytes).unwrap();
            let (found, advice) = refusal(&file);
            assert!(found.contains(cause) && advice.contains(hint), "{found}: {advice}");
        }
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_does_not_block() {
    let folder = tempfile::tempdir().unwrap();
    let (pipe, link) = (folder.path().join("pipe.csv"), folder.path().join("link.csv"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink(&link, &link).unwrap();
    for file in [&pipe, folder.path(), Path::new("/dev/zero")] {
        assert_eq!(refusal(file).0, "it is not a regular file");
    }
    assert!(!refusal(&link).0.is_empty());
}

#[test]
fn a_file_without_end_is_not_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("per_layer.csv");
    for begin in ["layer,group\n0,\"", "layer", "layer,group\n0,x"] {
        std::fs::write(&file, begin).unwrap();
        File::options().write(true).open(&file).unwrap().set_len(200 << 30).unwrap(); // a hole, which reads as NUL
        let (cause, _) = refusal(&file);
        assert!(cause.contains("a line of more than 64 MiB"), "{begin}: {cause}");
    }
}

/// Writes Parquet files of one kind of column, in whatever way.
fn parquet(file: &Path, batch: &RecordBatch, batches: usize, properties: WriterProperties) {
    let file = File::create(file).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    (0..batches).for_each(|_| writer.write(batch).unwrap());
    writer.close().unwrap();
}

#[test]
fn rows_out_of_proportion_to_the_file_are_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("per_layer.parquet");
    let name: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1000); 1024]));
    let batch = RecordBatch::try_from_iter([("group", name)]).unwrap();
    let properties = || WriterProperties::builder().set_dictionary_enabled(true).build();
    parquet(&file, &batch, 300, properties());
    assert!(file.metadata().unwrap().len() < 100_000, "one name and how often it stands there");
    let (cause, _) = refusal(&file);
    assert!(cause.contains("its rows take more than"), "{cause}");
    parquet(&file, &batch, 100, properties());
    assert_eq!(Table::read(&file).unwrap().rows(), 102_400);
}
