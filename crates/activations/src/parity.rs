//! What a GPU computes against what the CPU does, for every family: the same models and samples go the GPU's way, whose
//! batches, operations, hooks and reading ahead are others, and the CPU's, in f32; transformers' norms are the third.
//!
//! The GPU is the one that `MODEL_DIFFS_TEST_DEVICE` names (`cuda:1`), else the first one that this build can use; without
//! one, candle's CPU device goes the GPU's way. `cargo test -p activations --features cuda parity -- --nocapture` says which.

#![allow(clippy::unwrap_used, clippy::panic)] // a panic is how a test fails

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use weights_io::Checkpoint;

use crate::kernels::pretending_to_be_a_gpu;
use crate::{
    Batch, DeviceChoice, DifferenceSums, Differences, Hook, HookError, HookPoint, Model, NormSums, Norms,
    Stream, StreamOptions, is_hidden_state,
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/activations")
}

fn device() -> Device {
    let choice = std::env::var("MODEL_DIFFS_TEST_DEVICE").unwrap_or_else(|_| "auto".to_owned());
    let device = choice.parse::<DeviceChoice>().unwrap().open().unwrap();
    println!("parity is tested on {}", DeviceChoice::from(&device));
    device
}

/// Models, their samples, and what transformers says of the first model.
struct Case {
    name: String,
    checkpoints: Vec<Checkpoint>,
    samples: Vec<Vec<u32>>,
    expected: Option<Value>,
}

/// One for each family and switch, and a pair in lockstep with samples of more than one length.
fn cases() -> Vec<Case> {
    let families = fixtures().join("families");
    let mut cases: Vec<Case> = std::fs::read_dir(&families)
        .unwrap()
        .map(|entry| {
            let folder = entry.unwrap().path();
            let expected: Value =
                serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
            Case {
                name: folder.file_name().unwrap().to_string_lossy().into_owned(),
                samples: serde_json::from_value(expected["samples"].clone()).unwrap(),
                checkpoints: vec![Checkpoint::open(&folder).unwrap()],
                expected: Some(expected),
            }
        })
        .collect();
    assert!(cases.len() >= 70);
    let sample = |length: u32| (0..length).map(|i| (i * i + 7 * length) % 290).collect();
    cases.push(Case {
        name: "pair".into(),
        samples: [70, 1, 0, 13, 66, 40, 68, 40, 41].map(sample).to_vec(),
        checkpoints: ["a", "b", "b"]
            .map(|name| Checkpoint::open(fixtures().join("pair").join(name)).unwrap())
            .into(),
        expected: None,
    });
    cases
}

/// Keeps all that it sees, sample by sample.
#[derive(Default)]
struct Keep(BTreeMap<(usize, HookPoint, usize), Tensor>);

impl Hook for Keep {
    fn wants(&self, _: HookPoint) -> bool {
        true
    }

    fn observe(&mut self, at: HookPoint, hidden: &Tensor, batch: &Batch<'_>) -> Result<(), HookError> {
        for sample in batch.samples {
            let states = hidden.narrow(0, sample.start, sample.length)?;
            let states = states.to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
            self.0.insert((batch.model, at, sample.index), states);
        }
        Ok(())
    }
}

struct Run {
    norms: Norms,
    differences: Differences,
    states: Keep,
}

fn run(case: &Case, device: &Device, dtype: DType) -> Run {
    let models: Vec<Model<'_>> = case.checkpoints.iter().map(|model| Model::open(model).unwrap()).collect();
    let options = StreamOptions { device: device.clone(), dtype, ..StreamOptions::default() };
    let mut run = Run {
        norms: Norms::new(is_hidden_state),
        differences: Differences::between(0, 1, is_hidden_state),
        states: Keep::default(),
    };
    let stream = Stream::new(&models, &case.samples, options).unwrap();
    stream.run(&mut [&mut run.norms, &mut run.differences, &mut run.states]).unwrap();
    run
}

fn of_norms(sums: &NormSums) -> [f64; 5] {
    [sums.l1, sums.l2, sums.l2_squared, sums.min_l2, sums.max_l2]
}

fn of_differences(sums: &DifferenceSums) -> [f64; 8] {
    let [a_l1, a_l2, b_l1, b_l2] = [sums.a_l1, sums.a_l2, sums.b_l1, sums.b_l2];
    [a_l1, a_l2, b_l1, b_l2, sums.difference_l1, sums.difference_l2, sums.cosine, sums.relative]
}

/// What is further from what it should be than so many parts of it.
fn compare(what: &str, found: &[f64], expected: &[f64], tolerance: f64, wrong: &mut Vec<String>) {
    for (found, expected) in found.iter().zip(expected) {
        let error = (found - expected).abs() / expected.abs().max(1e-9);
        if error.is_nan() || error > tolerance {
            wrong.push(format!("{what}: {found} instead of {expected}, off by {error:.1e}"));
        }
    }
}

/// Mean norms of all tokens, L1 and L2, as tables have them: by model and point.
fn means_of_all(norms: &Norms) -> BTreeMap<(usize, HookPoint), [f64; 2]> {
    let mut sums: BTreeMap<(usize, HookPoint), (u64, [f64; 2])> = BTreeMap::new();
    for ((model, at, _), of_sample) in norms.all() {
        let (tokens, sums) = sums.entry((*model, *at)).or_default();
        *tokens += of_sample.tokens;
        sums[0] += of_sample.l1;
        sums[1] += of_sample.l2;
    }
    sums.into_iter().map(|(key, (tokens, sums))| (key, sums.map(|sum| sum / tokens as f64))).collect()
}

/// Mean norms against the CPU's and transformers'.
fn compare_means(case: &Case, found: &Norms, exact: &Norms, tolerance: f64, wrong: &mut Vec<String>) {
    let (found, exact) = (means_of_all(found), means_of_all(exact));
    assert!(found.keys().eq(exact.keys()));
    for (key, exact) in exact {
        compare(&format!("{} {key:?}", case.name), &found[&key], &exact, tolerance, wrong);
    }
    let Some(expected) = &case.expected else { return };
    let blocks = expected["layers"].as_u64().unwrap() as usize;
    for index in 0..=blocks {
        let at = match index {
            0 => HookPoint::Embed,
            index if index == blocks => HookPoint::FinalNorm,
            index => HookPoint::ResidPost(index - 1),
        };
        let expected = ["mean_norm_l1", "mean_norm"].map(|key| expected[key][index].as_f64().unwrap());
        compare(
            &format!("{} {at} of transformers", case.name),
            &found[&(0, at)],
            &expected,
            tolerance,
            wrong,
        );
    }
}

/// In f32 every sample's norms and differences and every element are the CPU's.
fn compare_samples(case: &Case, found: &Run, exact: &Run, tolerance: f64, wrong: &mut Vec<String>) {
    let name = &case.name;
    for ((key, found), (of, exact)) in found.norms.all().zip(exact.norms.all()) {
        assert_eq!((key, found.tokens), (of, exact.tokens));
        compare(&format!("{name} {key:?}"), &of_norms(found), &of_norms(exact), tolerance, wrong);
    }
    assert_eq!(found.states.0.len(), exact.states.0.len());
    for (key, exact) in &exact.states.0 {
        let largest = |x: &Tensor| {
            f64::from(x.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap())
        };
        let error = largest(&(&found.states.0[key] - exact).unwrap()) / largest(exact).max(1e-9);
        if error.is_nan() || error > tolerance {
            wrong.push(format!("{name} {key:?}: elements are off by {error:.1e}"));
        }
    }
    for (_, at, sample) in exact.norms.all().map(|(key, _)| *key) {
        let of = |run: &Run| run.differences.of(at, sample).map(of_differences);
        let (found, exact) = (of(found), of(exact));
        assert_eq!(found.is_some(), exact.is_some());
        let what = format!("{name} {at} of sample {sample}, differences");
        compare(&what, &found.unwrap_or_default(), &exact.unwrap_or_default(), tolerance, wrong);
    }
}

fn assert_parity(dtype: DType, tolerance: f64) {
    let device = device();
    let mut wrong = Vec::new();
    for case in cases() {
        let exact = run(&case, &Device::Cpu, DType::F32);
        let found = pretending_to_be_a_gpu(|| run(&case, &device, dtype));
        compare_means(&case, &found.norms, &exact.norms, tolerance, &mut wrong);
        if dtype == DType::F32 {
            compare_samples(&case, &found, &exact, tolerance, &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_gpu_in_f32_gives_what_the_cpu_gives() {
    assert_parity(DType::F32, 1e-4);
}

#[test]
fn a_gpu_in_bf16_stays_within_a_hundredth() {
    assert_parity(DType::BF16, 1e-2);
}
