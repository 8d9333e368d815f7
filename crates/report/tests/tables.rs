//! Tables on disk: what they hold, and that they are there whole or not at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::StringArray;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use report::{
    ActivationDifferenceRow, ActivationNormRow, ActivationSummaryRow, ComponentRow, Error, Format, LayerRow,
    LedgerRow, MatrixRow, Provenance, Row, SampleNormRow, Site, Tables,
};

fn ledger_row(name: &str) -> LedgerRow {
    LedgerRow {
        name: name.into(),
        status: "shapes_differ",
        reason: Some("[1, 2] in A, \"[2, 1]\" in B".into()),
        selected: true,
        layer: None,
        group: "other",
        component: "other",
        dtype_a: Some("f32"),
        dtype_b: None,
        shape_a: Some("[1, 2]".into()),
        shape_b: Some("[2, 1]".into()),
        nan_a: None,
        inf_a: None,
        nan_b: Some(0),
        inf_b: Some(u64::MAX),
        file_a: Some("a.bin".into()),
        file_b: None,
    }
}

fn entries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn columns_are_an_interface() {
    fn header<R: Row>() -> String {
        let fields = R::fields();
        let columns = fields.iter().map(|field| {
            let nullable = if field.is_nullable() { "?" } else { "" };
            format!("  {} {}{nullable}\n", field.name(), field.data_type())
        });
        format!("{}\n{}", R::TABLE, columns.collect::<String>())
    }
    let tables =
        [header::<MatrixRow>(), header::<LayerRow>(), header::<ComponentRow>(), header::<LedgerRow>()];
    insta::assert_snapshot!("columns", tables.concat());
    let tables = [
        header::<ActivationNormRow>(),
        header::<ActivationDifferenceRow>(),
        header::<ActivationSummaryRow>(),
        header::<SampleNormRow>(),
    ];
    insta::assert_snapshot!("activation_columns", tables.concat());
}

#[test]
fn sites_are_text_and_undefined_means_are_empty_fields() {
    let folder = tempfile::tempdir().unwrap();
    let row = |site, norm_mean| SampleNormRow {
        model: "a".into(),
        split: "forget".into(),
        sample: 0,
        layer: 1,
        site,
        norm_mean,
        norm_l1_mean: norm_mean,
        tokens: 2,
        non_finite_tokens: 0,
    };
    let sites = [Site::Embed, Site::ResidPost, Site::FinalNorm];
    let mut rows: Vec<SampleNormRow> = sites.into_iter().map(|site| row(site, Some(0.5))).collect();
    rows.push(SampleNormRow { tokens: 0, non_finite_tokens: 2, ..row(Site::PreNorm, None) });
    let mut tables = Tables::create(folder.path(), &[Format::Csv]).unwrap();
    tables.stage(&rows, &Provenance::default()).unwrap();
    let text = std::fs::read_to_string(&tables.finish().unwrap()[0]).unwrap();
    let lines: Vec<&str> = text.lines().skip(1).collect();
    assert_eq!(
        lines,
        [
            "a,forget,0,1,embed,0.5,0.5,2,0",
            "a,forget,0,1,resid_post,0.5,0.5,2,0",
            "a,forget,0,1,final_norm,0.5,0.5,2,0",
            "a,forget,0,1,pre_norm,,,0,2",
        ]
    );
}

#[test]
fn hostile_names_survive_csv_and_parquet() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["plain", "comma, quote \" and\nnewline", "größe\u{1b}[2J", "=1+1"];
    let rows: Vec<LedgerRow> = names.into_iter().map(ledger_row).collect();
    let mut provenance = Provenance::default();
    provenance.add("key", "value, \"quoted\"");
    let mut tables = Tables::create(folder.path(), &[Format::Csv, Format::Parquet]).unwrap();
    tables.stage(&rows, &provenance).unwrap();
    let written = tables.finish().unwrap();
    insta::assert_snapshot!("quoting", std::fs::read_to_string(&written[0]).unwrap());

    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&written[1]).unwrap()).unwrap();
    let metadata = reader.metadata().file_metadata().key_value_metadata().unwrap().clone();
    let value = metadata.iter().find(|entry| entry.key == "key").unwrap().value.clone();
    assert_eq!(value.unwrap(), "value, \"quoted\"");
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.len(), 1);
    assert_eq!(batches[0].columns(), LedgerRow::batch(&rows).unwrap().columns());

    let schema = Arc::new(arrow::datatypes::Schema::new(LedgerRow::fields()));
    let file = File::open(&written[0]).unwrap();
    let mut reader = arrow::csv::ReaderBuilder::new(schema).with_header(true).build(file).unwrap();
    let read = reader.next().unwrap().unwrap();
    let column = read.column(0).as_any().downcast_ref::<StringArray>().unwrap();
    assert_eq!(column.iter().map(Option::unwrap).collect::<Vec<_>>(), names);
}

#[test]
fn nothing_appears_before_everything_is_written() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("new/results");
    let mut tables = Tables::create(&folder, &[Format::Csv]).unwrap();
    tables.stage(&[ledger_row("w")], &Provenance::default()).unwrap();
    assert!(entries(&folder).iter().all(|name| name.starts_with(".model-diffs-")));
    drop(tables);
    assert_eq!(entries(parent.path()), [""; 0], "an abandoned run leaves no trace");

    let mut tables = Tables::create(&folder, &[Format::Csv]).unwrap();
    tables.stage(&[ledger_row("w")], &Provenance::default()).unwrap();
    tables.finish().unwrap();
    assert_eq!(entries(&folder), ["ledger.csv"]);
}

#[test]
fn a_new_run_replaces_the_tables_of_an_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let write = |formats: &[Format], name: &str| {
        let mut tables = Tables::create(folder.path(), formats).unwrap();
        tables.stage(&[ledger_row(name)], &Provenance::default()).unwrap();
        tables.finish().unwrap();
    };
    write(&[Format::Csv, Format::Parquet], "old");
    write(&[Format::Csv], "new");
    assert_eq!(entries(folder.path()), ["ledger.csv"], "the other format would contradict this one");
    assert!(std::fs::read_to_string(folder.path().join("ledger.csv")).unwrap().contains("new"));
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Tables::create(file.join("results"), &[Format::Csv]).unwrap_err();
    assert!(matches!(&error, Error::Folder { path, .. } if path.ends_with("file/results")), "{error:?}");
    assert!(!error.hint().is_empty());
}
