//! Every number of fixtures/activations/pair against transformers and numpy, and the promises of `activation_norms`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "common/altered.rs"]
mod altered;
mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use altered::altered;
use common::{Row, agrees, csv};
use pipeline::{
    ActivationNorms, ActivationNormsOptions, Error, Hub, Models, Observer, Split, activation_norms,
};
use serde_json::Value;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/activations")
}

fn pair(name: &str) -> PathBuf {
    fixtures().join("pair").join(name)
}

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(pair("expected.json")).unwrap()).unwrap()
}

fn lockstep(a: &Path, b: &Path) -> Models {
    Models::pair(a, b)
}

fn one_by_one(models: &[&Path]) -> Models {
    Models::OneByOne(models.iter().map(|model| (*model).into()).collect())
}

/// As the fixture was made.
fn options(models: Models, outdir: &Path) -> ActivationNormsOptions {
    let split = |name: &str| Split { name: name.to_owned(), path: pair(&format!("{name}.txt")) };
    let mut options = ActivationNormsOptions::new(models, vec![split("forget"), split("retain")], outdir);
    options.max_samples = 6;
    options.max_length = 16;
    options.per_sample = true;
    options
}

fn run(options: &ActivationNormsOptions) -> ActivationNorms {
    activation_norms(options, &Hub::default(), &(), &AtomicBool::new(false)).unwrap()
}

fn error(options: &ActivationNormsOptions) -> Error {
    activation_norms(options, &Hub::default(), &(), &AtomicBool::new(false)).unwrap_err()
}

/// Whether a row is of the hidden state that the fixture calls by a layer's number or `pre_norm`.
fn is_of(row: &Row, expected: &Value) -> bool {
    let layer = match &expected["layer"] {
        Value::String(_) => row["site"] == "pre_norm",
        layer => row["site"] != "pre_norm" && row["layer"].parse().ok() == layer.as_u64(),
    };
    layer && row["split"] == expected["split"].as_str().unwrap()
}

/// All numbers of the fixture's model in the tables of a run, where it is called `model`.
fn check_norms(folder: &Path, expected_model: &str, model: &str) {
    let (norms, per_sample) = (csv(folder, "activation_norms"), csv(folder, "per_sample"));
    let document = expected();
    let rows = document["norms"].as_array().unwrap().iter().filter(|row| row["model"] == expected_model);
    let mut checked = 0;
    for expected in rows {
        let found = norms.iter().find(|row| row["model"] == model && is_of(row, expected)).unwrap();
        for column in ["mean_norm", "mean_norm_l1", "std_norm", "min_norm", "max_norm", "tokens", "samples"] {
            let cell = &found[column];
            assert!(agrees(cell, &expected[column], 1e-5, 0.0), "{expected}: {column} is {cell}");
            checked += 1;
        }
        for column in ["mean_norm", "mean_norm_l1"] {
            let values = expected[format!("sample_{column}")].as_array().unwrap();
            for (sample, value) in values.iter().enumerate() {
                let is_sample = |row: &&Row| {
                    row["model"] == model && is_of(row, expected) && row["sample"] == sample.to_string()
                };
                let cell = &per_sample.iter().find(is_sample).unwrap()[column];
                assert!(agrees(cell, value, 1e-5, 0.0), "{expected}: {column} of sample {sample} is {cell}");
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 10 * (7 + 12));
}

#[test]
fn every_number_of_two_models_is_transformers() {
    let outdir = tempfile::tempdir().unwrap();
    let found = run(&options(lockstep(&pair("a"), &pair("b")), outdir.path()));
    for model in ["a", "b"] {
        check_norms(outdir.path(), model, &pair(model).to_string_lossy());
    }
    let differences = csv(outdir.path(), "activation_diffs");
    let document = expected();
    let rows = document["differences"].as_array().unwrap();
    assert_eq!((rows.len(), differences.len()), (10, 10));
    for expected in rows {
        let found = differences.iter().find(|row| is_of(row, expected)).unwrap();
        for (column, value) in expected.as_object().unwrap() {
            if column != "layer" {
                let cell = &found[column];
                assert!(agrees(cell, value, 1e-5, 0.0), "{expected}: {column} is {cell}");
            }
        }
    }
    let counts = |split: &str, key: &str| {
        let ids = document["token_ids"][split].as_array().unwrap();
        let lengths = ids.iter().map(|ids| ids.as_array().unwrap().len());
        if key == "tokens" { lengths.sum() } else { lengths.count() }
    };
    for text in &found.texts {
        assert_eq!(text.tokens, counts(&text.split, "tokens"));
        assert_eq!((text.samples, text.empty), (counts(&text.split, "samples"), 0));
    }
    assert_eq!(found.texts.iter().map(|text| text.truncated).collect::<Vec<_>>(), [4, 2, 4, 2]);
}

#[test]
fn rows_come_model_by_model_split_by_split_layer_by_layer() {
    let outdir = tempfile::tempdir().unwrap();
    run(&options(one_by_one(&[&pair("b"), &pair("a")]), outdir.path()));
    let rows = csv(outdir.path(), "activation_norms");
    let order: Vec<String> = rows
        .iter()
        .map(|row| {
            let model = &row["model"][row["model"].len() - 1..];
            format!("{model} {} {} {}", row["split"], row["layer"], row["site"])
        })
        .collect();
    let mut expected = Vec::new();
    for model in ["b", "a"] {
        for split in ["forget", "retain"] {
            for layer in ["0 embed", "1 resid_post", "2 resid_post", "3 final_norm", "3 pre_norm"] {
                expected.push(format!("{model} {split} {layer}"));
            }
        }
    }
    assert_eq!(order, expected);
    let summary = csv(outdir.path(), "activation_summary");
    assert_eq!(summary.iter().map(|row| row["layers"].as_str()).collect::<Vec<_>>(), ["4"; 4]);
}

#[test]
fn the_same_weights_in_another_format_give_the_same_numbers() {
    let outdir = tempfile::tempdir().unwrap();
    let found = run(&options(one_by_one(&[&pair("a-bin")]), outdir.path()));
    check_norms(outdir.path(), "a", &pair("a-bin").to_string_lossy());
    let mut same = run(&options(one_by_one(&[&pair("a")]), outdir.path())).norms;
    for row in &mut same {
        row.model = pair("a-bin").to_string_lossy().into_owned();
    }
    assert_eq!(found.norms, same);
}

#[test]
fn one_by_one_or_in_lockstep_on_one_thread_or_three_all_bits_are_the_same() {
    let outdir = tempfile::tempdir().unwrap();
    let (a, b) = (pair("a"), pair("b"));
    let together = run(&options(lockstep(&a, &b), outdir.path()));
    assert!(outdir.path().join("activation_diffs.csv").exists());
    let mut apart = options(one_by_one(&[&a, &b]), outdir.path());
    apart.per_sample = false;
    for threads in [1, 3] {
        apart.threads = threads;
        let apart = run(&apart);
        assert_eq!((&apart.norms, &apart.summary), (&together.norms, &together.summary));
        assert!(apart.differences.is_empty());
    }
    // What this run does not make is not left over from the one before.
    let mut files: Vec<_> = std::fs::read_dir(outdir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let tables = ["activation_norms", "activation_summary"];
    let expected = tables.map(|table| ["csv", "parquet"].map(|format| format!("{table}.{format}")));
    assert_eq!(files, expected.concat());
}

#[test]
fn pairs_of_one_baseline_are_measured_as_each_by_itself() {
    let outdir = tempfile::tempdir().unwrap();
    let (a, b) = (pair("a"), pair("b"));
    let copy = altered(outdir.path(), "b", "config.json", "llama", "llama");
    let pairs = [(&a, &b), (&a, &copy), (&copy, &a), (&a, &b)];
    let models = Models::Pairs(pairs.map(|(a, b)| (a.into(), b.into())).to_vec());
    let found = run(&options(models, &outdir.path().join("tables")));
    let names = [&a, &b, &copy].map(|path| path.to_string_lossy().into_owned());
    let mut seen: Vec<&str> = found.norms.iter().map(|row| row.model.as_str()).collect();
    seen.dedup();
    assert_eq!(seen, names, "each model once, though the copy and A go through two forward passes");
    assert_eq!((found.texts.len(), found.summary.len()), (6, 6));

    let mut expected = Vec::new();
    for (a, b) in &pairs[..3] {
        expected.extend(run(&options(lockstep(a, b), &outdir.path().join("pair"))).differences);
    }
    assert_eq!(found.differences, expected);
    let of_pair = |row: &&report::ActivationDifferenceRow| (row.model_a == names[0], row.model_b == names[2]);
    assert_eq!(found.differences.iter().filter(|row| of_pair(row) == (true, true)).count(), 10);
}

#[test]
fn several_windows_and_single_samples_give_the_same_numbers() {
    let outdir = tempfile::tempdir().unwrap();
    let mut settings = options(lockstep(&pair("a"), &pair("b")), outdir.path());
    let whole = run(&settings);
    assert_eq!(whole.windows, 1);
    settings.batch_size = Some(1);
    settings.memory_budget = Some(0);
    let refused = error(&settings);
    let Error::Activations { source } = refused else { panic!("{refused:?}") };
    let activations::Error::Budget { needed, .. } = *source else { panic!("{source:?}") };
    settings.memory_budget = Some(needed);
    let windows = run(&settings);
    assert!(windows.windows > 1, "{}", windows.windows);
    assert_eq!(windows.norms.len(), whole.norms.len());
    let close = |a: Option<f64>, b: Option<f64>| (a.unwrap() - b.unwrap()).abs() <= 1e-6 * b.unwrap().abs();
    for (a, b) in windows.norms.iter().zip(&whole.norms) {
        assert!(close(a.norm_mean, b.norm_mean) && close(a.norm_mean_upper, b.norm_mean_upper), "{a:?}");
    }
    for (a, b) in windows.differences.iter().zip(&whole.differences) {
        assert!(close(a.difference_l2_mean, b.difference_l2_mean), "{a:?}");
    }
}

#[test]
fn tokens_that_are_not_finite_are_counted_and_in_no_mean() {
    let outdir = tempfile::tempdir().unwrap();
    let broken = altered(outdir.path(), "a", "config.json", "llama", "llama");
    let path = broken.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let names: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let tensor = &names["model.layers.1.mlp.down_proj.weight"];
    let start = 8 + header + tensor["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[start..start + 2].copy_from_slice(&0x7fc0_u16.to_le_bytes()); // NaN in bf16
    std::fs::write(&path, bytes).unwrap();

    let found = run(&options(lockstep(&pair("b"), &broken), &outdir.path().join("tables")));
    let of_broken = found.norms.iter().filter(|row| row.model == broken.to_string_lossy());
    let counts: Vec<_> =
        of_broken.map(|row| (row.tokens, row.non_finite_tokens, row.norm_mean.is_some())).collect();
    let (whole, lost) = ((82, 0, true), (0, 82, false));
    assert_eq!(counts[..5], [whole, whole, lost, lost, lost]);
    assert_eq!(found.non_finite().map(|row| row.non_finite_tokens).collect::<Vec<_>>(), [82, 70]);
    assert_eq!((found.differences[2].tokens, found.differences[2].non_finite_tokens), (0, 82));
}

#[test]
fn samples_without_a_token_keep_their_place_and_count_for_nothing() {
    let outdir = tempfile::tempdir().unwrap();
    let model = altered(outdir.path(), "a", "config.json", "llama", "llama");
    let path = model.join("tokenizer.json");
    let mut tokenizer: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    // No special tokens, and every x is dropped.
    tokenizer["post_processor"] = Value::Null;
    tokenizer["normalizer"] =
        serde_json::json!({"type": "Replace", "pattern": {"String": "x"}, "content": ""});
    std::fs::write(&path, tokenizer.to_string()).unwrap();
    let found = run(&options(one_by_one(&[&model]), &outdir.path().join("tables")));
    let forget = &found.texts[0];
    assert_eq!((forget.samples, forget.empty), (5, 1));
    assert_eq!((found.norms[0].samples, found.norms[0].tokens), (5, forget.tokens as u64));
    let rows = csv(&outdir.path().join("tables"), "per_sample");
    let empty: Vec<&Row> = rows.iter().filter(|row| row["tokens"] == "0").collect();
    assert_eq!(empty.len(), 5);
    assert!(empty.iter().all(|row| row["mean_norm"].is_empty() && row["sample"] == empty[0]["sample"]));
}

#[test]
fn an_observer_hears_of_every_step_and_an_interrupted_run_writes_nothing() {
    #[derive(Default)]
    struct Steps {
        started: AtomicUsize,
        done: AtomicUsize,
        interrupt: Option<AtomicBool>,
    }
    impl Observer for Steps {
        fn forward_started(&self, steps: usize) {
            self.started.fetch_add(steps, Ordering::Relaxed);
        }
        fn forwarded(&self, steps: usize) {
            self.done.fetch_add(steps, Ordering::Relaxed);
            self.interrupt.iter().for_each(|flag| flag.store(true, Ordering::Relaxed));
        }
    }
    let outdir = tempfile::tempdir().unwrap();
    let mut settings = options(lockstep(&pair("a"), &pair("b")), &outdir.path().join("new"));
    settings.batch_size = Some(2);
    let steps = Steps::default();
    activation_norms(&settings, &Hub::default(), &steps, &AtomicBool::new(false)).unwrap();
    assert_eq!(steps.started.into_inner(), 2 * 3 * 12);
    assert_eq!(steps.done.into_inner(), 2 * 3 * 12);

    settings.outdir = outdir.path().join("newer");
    let steps = Steps { interrupt: Some(AtomicBool::new(false)), ..Steps::default() };
    let failed =
        activation_norms(&settings, &Hub::default(), &steps, steps.interrupt.as_ref().unwrap()).unwrap_err();
    assert!(matches!(failed, Error::Interrupted), "{failed:?}");
    assert_eq!(steps.done.into_inner(), 2, "the batch after the signal is not computed to its end");
    assert!(!settings.outdir.exists());
}

#[test]
fn what_cannot_be_measured_is_refused_before_a_folder_is_made() {
    let outdir = tempfile::tempdir().unwrap();
    let tables = outdir.path().join("tables");
    let (a, b) = (pair("a"), pair("b"));
    let check = |options: &ActivationNormsOptions, message: &str, hint: &str| {
        let error = error(options);
        assert!(error.to_string().contains(message), "{error}");
        assert!(error.hint().contains(hint), "{error}: {}", error.hint());
        assert!(!tables.exists());
    };
    check(&options(one_by_one(&[]), &tables), "no model", "--models");
    check(&options(one_by_one(&[&a, &b, &a]), &tables), "given twice", "once");
    let mut bad = options(lockstep(&a, &b), &tables);
    bad.splits.clear();
    check(&bad, "no text", "--split");
    let mut bad = options(lockstep(&a, &b), &tables);
    bad.splits[1].name = "forget".into();
    check(&bad, "forget", "name of its own");
    bad.splits[1] = Split { name: "retain".into(), path: outdir.path().join("retain.txt") };
    check(&bad, "does not exist", "create-datasets");
    let mut bad = options(lockstep(&a, &b), &tables);
    bad.memory_budget = Some(1000);
    check(&bad, "memory budget", "--memory-budget");

    let with = |from: &str, to: &str| altered(outdir.path(), "b", "tokenizer.json", from, to);
    // What counts is the ids, not the file.
    let same = with(r#""trim_offsets": true"#, r#""trim_offsets": false"#);
    assert_eq!(run(&options(lockstep(&a, &same), &outdir.path().join("same"))).norms.len(), 20);
    let other = with(r#""add_prefix_space": false"#, r#""add_prefix_space": true"#);
    check(&options(lockstep(&a, &other), &tables), "of 12 samples", "--models");

    let narrow = outdir.path().join("narrow");
    std::fs::create_dir(&narrow).unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(fixtures().join("families/llama").join(name), narrow.join(name)).unwrap();
    }
    check(&options(lockstep(&a, &narrow), &tables), "tokenizer.json does not exist", "AutoTokenizer");
    std::fs::copy(a.join("tokenizer.json"), narrow.join("tokenizer.json")).unwrap();
    check(&options(lockstep(&a, &narrow), &tables), "24 elements and those of", "--models");
}
