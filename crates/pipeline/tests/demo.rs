//! The demo models tell the story that they were trained for (`examples/train_demo`): filtering changes every matrix,
//! with high rank; unlearning changes a few, with low rank, and moves hidden states of the text to forget.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use pipeline::{
    ActivationNormsOptions, Hub, Models, ParamStats, ParamStatsOptions, Split, activation_norms, param_stats,
};
use report::{ActivationDifferenceRow, MatrixRow};
use weights_io::Checkpoint;

/// What gradient-difference unlearning was given to change; all else is frozen.
const UNLEARNED: [&str; 4] = [
    "gpt_neox.layers.2.attention.dense.weight",
    "gpt_neox.layers.2.mlp.dense_4h_to_h.weight",
    "gpt_neox.layers.3.attention.dense.weight",
    "gpt_neox.layers.3.mlp.dense_4h_to_h.weight",
];

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/demo").join(name)
}

fn compared_with_baseline(model: &str) -> ParamStats {
    let outdir = tempfile::tempdir().unwrap();
    let options = ParamStatsOptions::new(demo("baseline"), demo(model), outdir.path());
    let found = param_stats(&options, &Hub::default(), &(), &AtomicBool::new(false)).unwrap();
    assert_eq!((found.matrices.len(), found.gaps().count()), (25, 0));
    found
}

/// The bounds of the stable rank of ΔW, relative to the most it could be.
fn relative_stable_rank(row: &MatrixRow) -> (f64, f64) {
    let most = row.rows.min(row.columns) as f64;
    (row.delta.stable_rank_lower.unwrap() / most, row.delta.stable_rank_upper.unwrap() / most)
}

#[test]
fn filtering_changes_every_matrix_with_high_stable_rank() {
    let found = compared_with_baseline("filtered");
    assert!(found.matrices.iter().all(|row| row.changed_fraction > Some(0.99)));
    assert!(found.matrices.iter().all(|row| row.delta_frobenius_relative > Some(0.3)));
    let mut lower: Vec<f64> = found.matrices.iter().map(|row| relative_stable_rank(row).0).collect();
    lower.sort_by(f64::total_cmp);
    assert!(lower[lower.len() / 2] > 0.2, "{lower:?}");
}

#[test]
fn unlearning_changes_the_chosen_matrices_alone_with_low_stable_rank() {
    let found = compared_with_baseline("unlearned");
    let changed: Vec<&MatrixRow> =
        found.matrices.iter().filter(|row| row.changed_fraction > Some(0.0)).collect();
    assert_eq!(changed.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), UNLEARNED);
    for row in changed {
        let (_, upper) = relative_stable_rank(row);
        assert!(upper < 0.05, "{}: {upper}", row.name);
    }

    let (a, b) = (Checkpoint::open(demo("baseline")).unwrap(), Checkpoint::open(demo("unlearned")).unwrap());
    let bytes = |checkpoint: &Checkpoint, name: &str| {
        checkpoint.view(checkpoint.get(name).unwrap()).unwrap().bytes.to_vec()
    };
    for tensor in a.tensors().iter().filter(|tensor| !UNLEARNED.contains(&tensor.name.as_str())) {
        assert_eq!(bytes(&a, &tensor.name), bytes(&b, &tensor.name), "{} was frozen", tensor.name);
    }
}

#[test]
fn unlearning_moves_hidden_states_of_the_text_to_forget_and_hardly_those_to_retain() {
    let outdir = tempfile::tempdir().unwrap();
    let split = |name: &str| Split { name: name.to_owned(), path: demo(&format!("{name}.txt")) };
    let models = Models::pair(demo("baseline"), demo("unlearned"));
    let mut options =
        ActivationNormsOptions::new(models, vec![split("forget"), split("retain")], outdir.path());
    options.max_samples = 48; // half of the texts: debug builds are slow
    let found = activation_norms(&options, &Hub::default(), &(), &AtomicBool::new(false)).unwrap();
    let of = |name: &'static str| found.differences.iter().filter(move |row| row.split == name);
    let relative = |row: &ActivationDifferenceRow| row.relative_difference_mean.unwrap();

    assert!(of("forget").chain(of("retain")).all(|row| row.samples == 48));
    let (untouched, moved): (Vec<_>, Vec<_>) =
        of("forget").zip(of("retain")).partition(|(forget, _)| forget.layer <= 2);
    assert_eq!((untouched.len(), moved.len()), (3, 5)); // with the embeddings, and pre_norm
    assert!(untouched.iter().all(|(forget, retain)| relative(forget) == 0.0 && relative(retain) == 0.0));
    for (forget, retain) in &moved {
        assert_eq!((forget.layer, forget.site), (retain.layer, retain.site));
        assert!(relative(forget) > 3.0 * relative(retain), "layer {}", forget.layer);
        assert!(forget.relative_difference_mean_lower > retain.relative_difference_mean_upper);
    }
}
