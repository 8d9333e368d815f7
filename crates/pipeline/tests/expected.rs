//! Every number of every fixture pair against numpy's (f64 SVD), and the tables' promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

mod common;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use common::Row;
use pipeline::{Error, Hub, Observer, ParamStats, ParamStatsOptions, Side, param_stats};
use report::{Format, ZeroDeltas};
use serde_json::Value;
use spectral::{Certification, Method, Operators};
use weights_io::{Checkpoint, Selection};

const PAIRS: [&str; 8] = ["dtypes", "extremes", "gpt2", "ledger", "mixed", "moe_fused", "neox", "transposed"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/pairs").join(name)
}

fn options(name: &str, outdir: &Path) -> ParamStatsOptions {
    ParamStatsOptions::new(fixture(name).join("a"), fixture(name).join("b"), outdir)
}

fn run(options: &ParamStatsOptions) -> ParamStats {
    param_stats(options, &Hub::default(), &(), &AtomicBool::new(false)).unwrap()
}

/// A table that was written.
fn csv(found: &ParamStats, table: &str) -> Vec<Row> {
    common::csv(&found.folder, table)
}

/// Equal up to rounding.
fn agrees(cell: &str, expected: &Value, scale: f64) -> bool {
    common::agrees(cell, expected, 1e-9, 1e-3 * scale)
}

fn check(table: &str, found: &[Row], expected: &Value, key: &[&str]) {
    let expected = expected.as_array().unwrap();
    assert_eq!(found.len(), expected.len(), "{table}");
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for row in expected {
        let found = found
            .iter()
            .find(|found| key.iter().all(|key| found[*key] == text(&row[*key])))
            .unwrap_or_else(|| panic!("{table}: no row for {row}"));
        for (column, value) in row.as_object().unwrap() {
            if column == "shape" {
                assert_eq!(value.to_string(), format!("[{},{}]", found["shape0"], found["shape1"]));
                continue;
            }
            let scale = row.get("dW_abs_max").and_then(Value::as_f64).unwrap_or(0.0);
            let cell = &found[column];
            assert!(agrees(cell, value, scale), "{table} {row}: {column} is {cell}");
        }
    }
}

#[test]
fn every_number_is_numpys() {
    let outdir = tempfile::tempdir().unwrap();
    for name in PAIRS {
        let expected: Value =
            serde_json::from_slice(&std::fs::read(fixture(name).join("expected.json")).unwrap()).unwrap();
        let found = run(&options(name, outdir.path()));
        check(name, &csv(&found, "per_matrix"), &expected["matrices"], &["name"]);
        check(name, &csv(&found, "per_layer"), &expected["layers"], &["layer", "group"]);

        let components = csv(&found, "per_component");
        for row in expected["components"].as_array().unwrap() {
            let component = row["component"].as_str().unwrap();
            let found = components.iter().find(|found| found["component"] == component).unwrap();
            for part in ["mean", "min", "max"] {
                let cell = &found[&format!("{part}_{}", row["metric"].as_str().unwrap())];
                assert!(agrees(cell, &row[part], 0.0), "{name} {row}: {part} is {cell}");
            }
        }

        let counts = |key: &str, row: &Value| row.get(key).and_then(Value::as_u64);
        let rows = expected["ledger"].as_array().unwrap();
        for row in rows {
            let whole = row["name"].as_str().unwrap();
            let slices = found.ledger.iter().filter(|found| found.name.split('[').next().unwrap() == whole);
            for found in slices {
                assert_eq!(found.status, row["status"].as_str().unwrap(), "{name} {whole}");
                assert_eq!(found.reason.is_none(), found.status == pipeline::COMPARED, "{name} {whole}");
                if found.status == pipeline::NON_FINITE {
                    assert_eq!(found.nan_a, counts("nan_a", row));
                    assert_eq!(found.inf_a, counts("inf_a", row));
                    assert_eq!(found.nan_b, counts("nan_b", row));
                    assert_eq!(found.inf_b, counts("inf_b", row));
                }
            }
        }
        let names: std::collections::BTreeSet<&str> =
            found.ledger.iter().map(|row| row.name.split('[').next().unwrap()).collect();
        assert_eq!(names.len(), rows.len(), "{name}: every name once");
        assert!(found.matrices.is_sorted_by(|a, b| a.name < b.name));
        assert!(found.ledger.is_sorted_by(|a, b| a.name < b.name));
    }
}

#[test]
fn the_same_values_in_another_format_differ_by_exactly_nothing() {
    let outdir = tempfile::tempdir().unwrap();
    let found = run(&options("mixed", outdir.path()));
    assert!(!found.matrices.is_empty());
    for row in &found.matrices {
        assert_eq!((row.delta_frobenius, row.delta_spectral), (Some(0.0), Some(0.0)), "{}", row.name);
        assert_eq!((row.delta_stable_rank, row.changed_fraction), (None, Some(0.0)), "{}", row.name);
        assert_eq!(
            (row.a_frobenius, row.a_spectral, row.a_stable_rank),
            (row.b_frobenius, row.b_spectral, row.b_stable_rank),
            "{}",
            row.name
        );
    }
}

/// Singular values, and what follows from them, by the dense route that small matrices take.
#[test]
fn by_products_are_there_when_asked_for() {
    let outdir = tempfile::tempdir().unwrap();
    let mut options = options("neox", outdir.path());
    let plain = run(&options);
    assert!(plain.singular_values.is_empty() && !plain.folder.join("singular_values.csv").exists());
    options.numerics.top_k = 3;
    let top = run(&options);
    assert_eq!(csv(&top, "singular_values").len(), top.matrices.len() * 3 * 3);
    options.numerics.full_spectrum = true;
    let full = run(&options);
    for ((row, top), plain) in full.matrices.iter().zip(&top.matrices).zip(&plain.matrices) {
        for (operator, columns, top, frobenius) in
            [("dW", &row.delta, &top.delta, row.delta_frobenius), ("W", &row.a, &top.a, row.a_frobenius)]
        {
            let values: Vec<_> = full
                .singular_values
                .iter()
                .filter(|value| value.name == row.name && value.operator == operator)
                .collect();
            assert_eq!(values.len() as u64, row.rows.min(row.columns), "{}", row.name);
            assert!(values.iter().zip(1..).all(|(value, index)| value.index == index));
            let squares: f64 = values.iter().map(|value| value.value.powi(2)).sum();
            let energy = frobenius.unwrap().powi(2);
            assert!((squares - energy).abs() <= 1e-12 * energy, "{}", row.name);
            let nuclear: f64 = values.iter().map(|value| value.value).sum();
            assert_eq!(columns.nuclear_norm, Some(nuclear));
            assert_eq!(columns.stop, Some("dense"));
            if energy > 0.0 {
                let share = values[..3].iter().map(|value| value.value.powi(2)).sum::<f64>() / energy;
                assert!(top.top_energy_lower.unwrap() <= share * (1.0 + 1e-12), "{}", row.name);
                assert!(top.top_energy_upper.unwrap() >= share * (1.0 - 1e-12), "{}", row.name);
                let fourth: f64 = values.iter().map(|value| value.value.powi(4)).sum();
                let ratio = columns.participation_ratio.unwrap();
                assert!((ratio - squares * squares / fourth).abs() <= 1e-9 * ratio);
            } else {
                assert_eq!((columns.participation_ratio, columns.empirical_rank), (None, Some(0)));
            }
        }
        let changed = row.changed_fraction > Some(0.0);
        assert_eq!(
            top.top_overlap == Some(1.0) && top.top_overlap_error == Some(0.0),
            !changed,
            "{}",
            row.name
        );
        assert_eq!((plain.top_overlap, plain.a.nuclear_norm), (None, None));
    }
    // A run without them takes the table of the one before away.
    options.numerics = spectral::Options::default();
    run(&options);
    assert!(!plain.folder.join("singular_values.csv").exists());
    assert!(!plain.folder.join("singular_values.parquet").exists());
}

#[test]
fn only_the_operators_asked_for_have_spectra() {
    let outdir = tempfile::tempdir().unwrap();
    let mut options = options("neox", outdir.path());
    let all = run(&options);
    options.numerics.operators = Operators { a: false, b: false, delta: true };
    for (row, all) in run(&options).matrices.iter().zip(&all.matrices) {
        assert_eq!((row.a_spectral, row.b_stable_rank, row.delta_spectral_relative), (None, None, None));
        assert_eq!((row.a.stop, row.b.spectral_lower), (None, None));
        assert_eq!((row.a_frobenius, row.cosine_similarity), (all.a_frobenius, all.cosine_similarity));
        assert_eq!((row.delta_spectral, &row.delta), (all.delta_spectral, &all.delta));
    }
}

#[test]
fn a_matrix_has_the_same_row_whatever_else_is_compared() {
    let outdir = tempfile::tempdir().unwrap();
    let mut options = options("neox", outdir.path());
    let linear = run(&options);
    options.selection = Selection::AllMatrices;
    let all = run(&options);
    assert!(all.matrices.len() > linear.matrices.len());
    for row in &linear.matrices {
        assert!(all.matrices.contains(row), "{}", row.name);
    }
}

#[test]
fn tables_are_the_same_bytes_on_any_number_of_threads() {
    let outdir = tempfile::tempdir().unwrap();
    let on = |threads: usize| {
        let mut options = options("neox", &outdir.path().join(threads.to_string()));
        options.threads = threads;
        let found = run(&options);
        let mut files: Vec<Vec<u8>> = found.files.iter().map(|file| std::fs::read(file).unwrap()).collect();
        assert_eq!(files.len(), 8);
        files.sort();
        files
    };
    assert_eq!(on(1), on(3));
}

#[test]
fn selection_formats_method_and_zero_deltas_are_honoured() {
    let outdir = tempfile::tempdir().unwrap();
    let mut all = options("neox", &outdir.path().join("all"));
    all.selection = Selection::AllMatrices;
    all.formats = vec![Format::Csv];
    let found = run(&all);
    assert_eq!((found.matrices.len(), found.files.len()), (14, 4));
    assert!(found.files.iter().all(|file| file.extension().unwrap() == "csv"));

    let mut scripts = options("neox", &outdir.path().join("scripts"));
    scripts.numerics.method = Method::PowerIteration { iterations: 5 };
    scripts.zero_deltas = ZeroDeltas::Include;
    let found = run(&scripts);
    let exact = run(&options("neox", &outdir.path().join("exact")));
    for (power, exact) in found.matrices.iter().zip(&exact.matrices) {
        assert!(power.a_spectral.unwrap() <= exact.a_spectral.unwrap() * (1.0 + 1e-6));
        assert_eq!((power.sigma_tolerance, power.a_frobenius), (None, exact.a_frobenius));
    }
    let unchanged = |found: &ParamStats| csv(found, "per_layer")[0]["mean_dW_stable_rank"].clone();
    assert_eq!((unchanged(&found).as_str(), unchanged(&exact).as_str()), ("0.0", ""));
}

#[test]
fn an_interrupted_run_writes_nothing() {
    struct InterruptAtOnce<'a>(&'a AtomicBool);
    impl Observer for InterruptAtOnce<'_> {
        fn started(&self, _: usize, _: u64) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let outdir = tempfile::tempdir().unwrap();
    let flag = AtomicBool::new(false);
    let options = options("neox", &outdir.path().join("new"));
    let error = param_stats(&options, &Hub::default(), &InterruptAtOnce(&flag), &flag).unwrap_err();
    assert!(matches!(error, Error::Interrupted), "{error:?}");
    assert_eq!(std::fs::read_dir(outdir.path()).unwrap().count(), 0);
}

#[test]
fn an_observer_hears_of_everything_once() {
    #[derive(Default)]
    struct Log(Mutex<Vec<String>>);
    impl Observer for Log {
        fn opened(&self, side: Side, checkpoint: &Checkpoint) {
            self.0.lock().unwrap().push(format!("{side} {}", checkpoint.took().display()));
        }
        fn started(&self, matrices: usize, bytes: u64) {
            self.0.lock().unwrap().push(format!("{matrices} {bytes}"));
        }
        fn compared(&self, name: &str, bytes: u64) {
            self.0.lock().unwrap().push(format!("{name} {bytes}"));
        }
    }
    let outdir = tempfile::tempdir().unwrap();
    let log = Log::default();
    let options = options("neox", outdir.path());
    let found = param_stats(&options, &Hub::default(), &log, &AtomicBool::new(false)).unwrap();
    let events = log.0.into_inner().unwrap();
    assert_eq!(events.len(), 3 + found.matrices.len());
    let total: u64 = found.matrices.iter().map(|row| row.rows * row.columns * 2 * 2).sum();
    assert_eq!(events[2], format!("{} {total}", found.matrices.len()));
}

#[test]
fn bad_settings_and_bad_models_leave_no_folder() {
    let outdir = tempfile::tempdir().unwrap();
    let mut bad = options("neox", &outdir.path().join("new"));
    let good = Certification::default();
    for method in [
        Certification { tolerance: 0.0, ..good },
        Certification { failure_probability: 0.7, ..good },
        Certification { max_passes: 0, ..good },
    ] {
        bad.numerics.method = Method::Certified(method);
        let error = param_stats(&bad, &Hub::default(), &(), &AtomicBool::new(false)).unwrap_err();
        assert!(matches!(error, Error::Settings { .. }) && !error.hint().is_empty(), "{error:?}");
    }
    bad.numerics = spectral::Options { top_k: 65, ..spectral::Options::default() };
    let error = param_stats(&bad, &Hub::default(), &(), &AtomicBool::new(false)).unwrap_err();
    assert!(error.hint().contains("--top-k"), "{error:?}");
    let mut missing = options("neox", &outdir.path().join("new"));
    missing.model_b = outdir.path().join("nowhere").into();
    let error = param_stats(&missing, &Hub::default(), &(), &AtomicBool::new(false)).unwrap_err();
    assert!(matches!(error, Error::Model { side: Side::B, .. }), "{error:?}");
    assert!(!error.hint().is_empty());
    assert_eq!(std::fs::read_dir(outdir.path()).unwrap().count(), 0);
}
