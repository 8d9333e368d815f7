//! Every family against transformers: fixtures/activations/families, made by fixtures/make_activations.py.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use activations::{Batch, Hook, HookError, HookPoint, Model, Norms, Stream, StreamOptions, is_hidden_state};
use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use weights_io::Checkpoint;

fn families() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/activations/families")
}

fn cases() -> Vec<String> {
    let mut cases: Vec<String> = std::fs::read_dir(families())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    cases.sort();
    assert!(cases.len() >= 70);
    cases
}

/// Keeps every point's hidden states of one sample.
struct Keep {
    sample: usize,
    seen: BTreeMap<HookPoint, Tensor>,
}

impl Hook for Keep {
    fn wants(&self, _: HookPoint) -> bool {
        true
    }

    fn observe(&mut self, at: HookPoint, hidden: &Tensor, batch: &Batch<'_>) -> Result<(), HookError> {
        if let Some(sample) = batch.samples.iter().find(|sample| sample.index == self.sample) {
            self.seen.insert(at, hidden.narrow(0, sample.start, sample.length)?);
        }
        Ok(())
    }
}

fn hidden_state(index: usize, blocks: usize) -> HookPoint {
    match index {
        0 => HookPoint::Embed,
        index if index == blocks => HookPoint::FinalNorm,
        index => HookPoint::ResidPost(index - 1),
    }
}

/// Differences from transformers, as text; empty if there are none.
fn compare(
    case: &str,
    checkpoint: &Checkpoint,
    options: &StreamOptions,
) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let folder = families().join(case);
    let expected: Value = serde_json::from_slice(&std::fs::read(folder.join("expected.json"))?)?;
    let elements = candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu)?;
    let samples: Vec<Vec<u32>> = serde_json::from_value(expected["samples"].clone())?;
    let models = [Model::open(checkpoint)?];
    let blocks = models[0].blocks();
    assert_eq!(blocks as u64, expected["layers"].as_u64().unwrap());

    let mut norms = Norms::new(is_hidden_state);
    let sample = expected["element_sample"].as_u64().unwrap() as usize;
    let mut keep = Keep { sample, seen: BTreeMap::new() };
    Stream::new(&models, &samples, options.clone())?.run(&mut [&mut norms, &mut keep])?;

    let mut wrong = Vec::new();
    let means = |at: HookPoint| {
        let sums: Vec<_> = (0..samples.len()).map(|sample| *norms.of(0, at, sample).unwrap()).collect();
        let tokens: u64 = sums.iter().map(|sums| sums.tokens).sum();
        assert_eq!(tokens as usize, samples.iter().map(Vec::len).sum::<usize>());
        let mean = |of: fn(&activations::NormSums) -> f64| sums.iter().map(of).sum::<f64>() / tokens as f64;
        (mean(|sums| sums.l2), mean(|sums| sums.l1))
    };
    let mut check_norm = |what: String, found: f64, expected: &Value| {
        let expected = expected.as_f64().unwrap();
        let error = (found - expected).abs() / expected.abs();
        if error.is_nan() || error > 1e-5 {
            wrong.push(format!("{case}: {what} {found} instead of {expected}"));
        }
    };
    for index in 0..=blocks {
        let (l2, l1) = means(hidden_state(index, blocks));
        check_norm(format!("mean_norm[{index}]"), l2, &expected["mean_norm"][index]);
        check_norm(format!("mean_norm_l1[{index}]"), l1, &expected["mean_norm_l1"][index]);
    }
    let (l2, l1) = means(HookPoint::ResidPost(blocks - 1));
    check_norm("pre_norm".into(), l2, &expected["pre_norm"]);
    check_norm("pre_norm_l1".into(), l1, &expected["pre_norm_l1"]);

    let mut check_elements = |at: HookPoint, name: String| {
        let expected = &elements[&name];
        let found = keep.seen[&at].to_dtype(DType::F32).unwrap();
        let largest =
            |x: &Tensor| x.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
        let error = largest(&(found - expected).unwrap()) / largest(expected);
        if error.is_nan() || error > 1e-4 {
            wrong.push(format!("{case}: {at} is off by {error:e} of {name}"));
        }
    };
    for index in 0..=blocks {
        check_elements(hidden_state(index, blocks), format!("hidden_states.{index}"));
    }
    check_elements(HookPoint::ResidPost(blocks - 1), "pre_norm".into());
    for block in 0..blocks {
        check_elements(HookPoint::ResidPre(block), format!("hidden_states.{block}"));
        check_elements(HookPoint::AttnOut(block), format!("attn_out.{block}"));
        check_elements(HookPoint::MlpOut(block), format!("mlp_out.{block}"));
    }
    Ok(wrong)
}

fn assert_equal(cases: &[String], open: impl Fn(&str) -> Checkpoint, options: &StreamOptions) {
    let mut wrong = Vec::new();
    for case in cases {
        match compare(case, &open(case), options) {
            Ok(found) => wrong.extend(found),
            Err(error) => wrong.push(format!("{case}: {error:?}")),
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn hidden_states_are_those_of_transformers() {
    assert_equal(
        &cases(),
        |case| Checkpoint::open(families().join(case)).unwrap(),
        &StreamOptions::default(),
    );
}

#[test]
fn samples_one_by_one_give_the_same() {
    let options = StreamOptions { batch_size: 1, ..StreamOptions::default() };
    assert_equal(&cases(), |case| Checkpoint::open(families().join(case)).unwrap(), &options);
}

/// Configurations as most checkpoints on the Hub have them: `rope_theta`, `rope_scaling`, no `layer_types`.
#[test]
fn old_configurations_mean_the_same() {
    let old = |case: &str| families().join(case).join("config_old_style.json");
    let cases: Vec<String> = cases().into_iter().filter(|case| old(case).exists()).collect();
    assert!(cases.len() >= 19);
    let folder = tempfile::tempdir().unwrap();
    let open = |case: &str| {
        let copy = folder.path().join(case);
        std::fs::create_dir(&copy).unwrap();
        std::fs::copy(old(case), copy.join("config.json")).unwrap();
        std::fs::copy(families().join(case).join("model.safetensors"), copy.join("model.safetensors"))
            .unwrap();
        Checkpoint::open(copy).unwrap()
    };
    assert_equal(&cases, open, &StreamOptions::default());
}
