//! Tables read back: what was written, what the Python scripts wrote, and what is no table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

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
        ("empty.csv", &b""[..]),
        ("cut.parquet", b"PAR1 and no more"),
        ("torn.csv", b"a,b\n1,2\n3\n"),
        ("binary.csv", b"\xff\xfe\x00\x01"),
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
