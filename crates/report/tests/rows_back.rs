//! Rows that were written as Parquet and come back, to the bit, and what is refused in their place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::error::Error as _;
use std::fmt::Debug;

use report::{
    ActivationNormRow, Error, Format, LayerRow, LedgerRow, MatrixRow, Provenance, Row, SingularValueRow,
    Site, SpectrumColumns, Table, Tables,
};

fn written<R: Row>(rows: &[R], format: Format) -> (tempfile::TempDir, Table) {
    let folder = tempfile::tempdir().unwrap();
    let mut tables = Tables::create(folder.path(), &[format]).unwrap();
    tables.stage(rows, &Provenance::default()).unwrap();
    let file = tables.finish().unwrap().remove(0);
    let table = Table::read(file).unwrap();
    (folder, table)
}

/// As text, in which -0 is not 0.
fn assert_come_back<R: Row + Debug>(rows: &[R]) {
    let (_folder, table) = written(rows, Format::Parquet);
    assert_eq!(format!("{:?}", table.rows_of::<R>().unwrap()), format!("{rows:?}"));
}

/// Every field has a value that no other field of its type has, or none has one.
fn matrix_row(name: &str, value: impl Fn(u32) -> Option<f64>) -> MatrixRow {
    let spectrum = |first: u32, stop| SpectrumColumns {
        spectral_lower: value(first),
        spectral_upper: value(first + 1),
        stable_rank_lower: value(first + 2),
        stable_rank_upper: value(first + 3),
        stop,
        participation_ratio: value(first + 4),
        participation_ratio_error: value(first + 5),
        effective_rank: value(first + 6),
        effective_rank_error: value(first + 7),
        top_energy_lower: value(first + 8),
        top_energy_upper: value(first + 9),
        nuclear_norm: value(first + 10),
        empirical_rank: value(0).map(|_| u64::MAX - u64::from(first)),
        elbow_index: value(0).map(|_| u64::from(first)),
    };
    MatrixRow {
        name: name.into(),
        layer: value(0).map(|_| u32::MAX),
        group: "mlp",
        rows: 1,
        columns: u64::MAX,
        delta_frobenius: value(1),
        delta_stable_rank: value(2),
        a_stable_rank: value(3),
        component: "mlp_expand",
        dtype_a: "bf16",
        dtype_b: "f8_e4m3",
        a_frobenius: value(4),
        b_frobenius: value(5),
        delta_frobenius_relative: value(6),
        a_spectral: value(7),
        b_spectral: value(8),
        delta_spectral: value(9),
        delta_spectral_relative: value(10),
        b_stable_rank: value(11),
        cosine_similarity: value(12),
        delta_mean: value(13),
        delta_std: value(14),
        delta_abs_mean: value(15),
        delta_abs_max: value(16),
        changed_fraction: value(17),
        sigma_tolerance: value(18),
        passes: 77,
        top_overlap: value(19),
        top_overlap_error: value(20),
        delta: spectrum(30, Some("certified")),
        a: spectrum(50, Some("round_off")),
        b: spectrum(70, None),
    }
}

fn ledger_row(reason: Option<&str>, count: Option<u64>) -> LedgerRow {
    LedgerRow {
        name: "line\nbreak, comma and \"quotes\" ü".into(),
        status: "non_finite",
        reason: reason.map(str::to_owned),
        selected: count.is_some(),
        layer: None,
        group: "other",
        component: "lm_head",
        dtype_a: None,
        dtype_b: Some("bool"),
        shape_a: Some("[]".into()),
        shape_b: None,
        nan_a: count,
        inf_a: count.map(|count| count - 1),
        nan_b: count.map(|count| count - 2),
        inf_b: None,
        file_a: Some(String::new()),
        file_b: None,
    }
}

#[test]
fn rows_come_back_to_the_bit() {
    let extremes = [-0.0, f64::MIN_POSITIVE, 5e-324, f64::MAX, 0.1 + 0.2, 1.0 / 3.0];
    let extreme = |index: u32| Some(extremes[index as usize % extremes.len()]);
    let distinct = |index: u32| Some(f64::from(index) + 0.1);
    assert_come_back(&[
        matrix_row("distinct", distinct),
        matrix_row("nothing", |_| None),
        matrix_row("", extreme),
    ]);
    assert_come_back(&[
        ledger_row(None, None),
        ledger_row(Some(""), Some(u64::MAX)),
        ledger_row(Some("why"), Some(2)),
    ]);
    let value = |operator, index| SingularValueRow {
        name: "w".into(),
        operator,
        index,
        value: 1.5,
        lower: -0.0,
        upper: f64::MAX,
    };
    assert_come_back(&[value("dW", 1), value("W", u64::MAX), value("Wb", 3)]);
    assert_come_back::<MatrixRow>(&[]);
    assert_come_back::<LedgerRow>(&[]);
}

/// More rows than Parquet puts into one batch or one page.
#[test]
fn many_rows_come_back_in_order() {
    let rows: Vec<LedgerRow> = (0..30_000)
        .map(|index| LedgerRow {
            name: format!("model.layers.{index}.weight"),
            ..ledger_row(None, Some(index + 2))
        })
        .collect();
    assert_come_back(&rows);
}

#[track_caller]
fn assert_refused<R: Row>(table: &Table, why: &str) {
    let error = table.rows_of::<R>().err().expect("it is refused");
    assert!(matches!(&error, Error::OtherRows { table: name, .. } if *name == R::TABLE));
    let path = table.path().display().to_string();
    assert_eq!(error.to_string(), format!("{path} is no table {} of this version", R::TABLE));
    assert_eq!(error.source().unwrap().to_string(), why);
    assert_eq!(error.hint(), "make it again with this version");
}

#[test]
fn words_that_stand_in_no_table_are_refused() {
    let whole = matrix_row("w", |_| None);
    let refused = |row: MatrixRow, why: &str| {
        let (_folder, table) = written(&[whole.clone(), row], Format::Parquet);
        assert_refused::<MatrixRow>(&table, &format!("Cast error: {why}"));
    };
    refused(MatrixRow { group: "qkv", ..whole.clone() }, "column group has qkv");
    refused(MatrixRow { component: "", ..whole.clone() }, "column component has ");
    refused(MatrixRow { dtype_b: "BF16", ..whole.clone() }, "column dtype_b has BF16");
    let part = SpectrumColumns { stop: Some("\u{1b}[31m"), ..whole.b.clone() };
    refused(MatrixRow { b: part, ..whole.clone() }, "column stop has \\u{1b}[31m");
    let (_folder, table) =
        written(&[LedgerRow { status: "dense", ..ledger_row(None, None) }], Format::Parquet);
    assert_refused::<LedgerRow>(&table, "Cast error: column status has dense");
    let (_folder, table) =
        written(&[LedgerRow { dtype_a: Some("f31"), ..ledger_row(None, None) }], Format::Parquet);
    assert_refused::<LedgerRow>(&table, "Cast error: column dtype_a has f31");
}

#[test]
fn other_tables_are_refused() {
    const OTHER: &str = "Schema error: it has other columns";
    let (_folder, table) = written(&[ledger_row(None, None)], Format::Parquet);
    assert_refused::<MatrixRow>(&table, OTHER);
    assert_refused::<LayerRow>(&table, OTHER);
    // In CSV, nothing tells null from empty text.
    let (_folder, table) = written(&[ledger_row(None, None)], Format::Csv);
    assert_refused::<LedgerRow>(&table, OTHER);
}

#[test]
fn sites_come_back_too() {
    let columns = <Site as report::Cell>::column([Site::PreNorm, Site::Embed].into_iter());
    assert_eq!(<Site as report::Cell>::values("site", &columns).unwrap(), [Site::PreNorm, Site::Embed]);
    let text = <String as report::Cell>::column(["attic".to_owned()].into_iter());
    assert!(<Site as report::Cell>::values("site", &text).is_err());
    assert!(<ActivationNormRow as Row>::rows(&mut [].iter()).is_err());
}
