//! The fused operations against the same composed of candle's own.

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;

use crate::activation::Activation;
use crate::attention::Scores;
use crate::attention_blocks::attend_composed;
use crate::family::{NormKind, PositionKind};
use crate::mlp::activate_composed;
use crate::norm::Norm;
use crate::pack::{Pack, Rotation};

fn random(shape: &[usize]) -> Tensor {
    Tensor::randn(0f32, 1.0, shape, &Device::Cpu).unwrap()
}

fn largest(x: &Tensor) -> f32 {
    x.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

/// Largest difference, relative to the largest entry of what it should be.
fn difference(found: &Tensor, expected: &Tensor) -> f32 {
    assert_eq!(found.shape(), expected.shape());
    largest(&(found - expected).unwrap()) / largest(expected).max(1e-3)
}

fn rotation(tokens: usize, dimensions: usize, interleaved: bool) -> Rotation {
    let shape = [tokens, 1, dimensions / 2];
    Rotation { cosines: random(&shape), sines: random(&shape), dimensions, interleaved }
}

/// What candle 0.11 asks of the operands of cuBLAS (`gemm_config`): matrices without gaps, row by row or column by column,
/// at even distances.
pub(super) fn assert_fit_for_cuda(x: &Tensor, y: &Tensor) {
    for matrices in [x, y] {
        let ([.., rows, columns], [distances @ .., row, column]) = (matrices.dims(), matrices.stride())
        else {
            panic!("no matrix")
        };
        let by_rows = (*column == 1 || *columns == 1) && (*row == *columns || *rows == 1);
        let by_columns = (*row == 1 || *rows == 1) && (*column == *rows || *columns == 1);
        assert!(by_rows || by_columns, "{:?}", matrices.layout());
        assert!(distances.len() < 2, "{:?}", matrices.layout());
    }
}

#[test]
#[should_panic(expected = "Layout")]
fn gaps_between_rows_are_not_fit_for_cuda() {
    let x = random(&[4, 6]);
    assert_fit_for_cuda(&x.narrow(1, 0, 3).unwrap(), &random(&[3, 2]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn norms(rows in 1usize..40, width in 1usize..70, layer: bool, weighted: bool, biased: bool, heads in 1usize..4) {
        let kind = if layer { NormKind::Layer } else { NormKind::Rms };
        let shape = if heads == 1 { vec![width] } else { vec![heads, width] };
        let weights = |wanted: bool| wanted.then(|| random(&shape));
        let norm = Norm::new(kind, 1e-5, true, weights(weighted), weights(biased));
        let norm = norm.unwrap();
        let x = random(&[rows, heads, width]);
        let fused = super::norm(&norm, &x).unwrap().unwrap();
        prop_assert!(difference(&fused, &norm.apply_composed(&x).unwrap()) < 1e-5);
    }

    #[test]
    fn activations(rows in 1usize..40, half in 1usize..70, gated: bool) {
        let x = (random(&[rows, 2 * half]) * 4.0).unwrap();
        for name in ["gelu", "gelu_new", "quick_gelu", "silu", "relu", "relu2", "tanh", "sigmoid", "linear"] {
            let activation = Activation::named(name).unwrap();
            let fused = super::activate(&x, activation, gated).unwrap().unwrap();
            let composed = activate_composed(&x, activation, gated).unwrap();
            prop_assert_eq!(fused.shape(), composed.shape());
            // Of few elements all may be near zero, where Φ(x) is good to so much of x, not of x·Φ(x).
            let scale = largest(&composed).max(largest(&x));
            prop_assert!(largest(&(&fused - &composed).unwrap()) < 2e-6 * scale, "{name}");
        }
    }

    #[test]
    fn rotations(tokens in 1usize..20, heads in 1usize..5, pairs in 1usize..9, rest in 0usize..5, interleaved: bool) {
        let head_dim = 2 * pairs + rest;
        let rotation = rotation(tokens, 2 * pairs, interleaved);
        let x = random(&[tokens, heads + 2, head_dim]).narrow(1, 1, heads).unwrap();
        let fused = super::rotate(&rotation, &x).unwrap().unwrap();
        prop_assert!(difference(&fused, &rotation.apply_composed(&x).unwrap()) < 1e-6);
    }

    #[test]
    fn sums(rows in 1usize..40, width in 1usize..70) {
        let (x, y, bias) = (random(&[rows, width]), random(&[rows, width]), random(&[width]));
        let fused = super::add(&x, &y).unwrap().unwrap();
        prop_assert_eq!(difference(&fused, &(&x + &y).unwrap()), 0.0);
        let expected = x.broadcast_add(&bias).unwrap();
        prop_assert!(super::add_bias(&x, &bias).unwrap());
        prop_assert_eq!(difference(&x, &expected), 0.0);
    }

    #[test]
    fn attention(
        lengths in prop::collection::vec(1usize..150, 1..4),
        key_value_heads in 1usize..4,
        group in 1usize..4,
        head_dim in 1usize..20,
        window in prop::option::of(1usize..100),
        cap in prop::option::of(0.5f64..3.0),
        positions in prop::sample::select(vec![PositionKind::Rotary, PositionKind::Alibi, PositionKind::ScaledAlibi]),
        most_scores in prop::sample::select(vec![1usize, 1000, 10_000, 100_000, 1 << 24]),
    ) {
        let heads = key_value_heads * group;
        let scores = Scores { heads, key_value_heads, head_dim, scale: 0.4, cap, window, positions };
        let pack = Pack::without_rotation(lengths, heads, most_scores, &Device::Cpu).unwrap();
        let tokens = pack.lengths.iter().sum();
        let all = random(&[tokens, heads + 2 * key_value_heads, head_dim]);
        let part = |from, count| all.narrow(1, from, count).unwrap();
        let (queries, keys) = (part(0, heads), part(heads, key_value_heads));
        let values = part(heads + key_value_heads, key_value_heads);
        let expected = naive_attention(&scores, &queries, &keys, &values, &pack.lengths);
        let fused = super::attend(&scores, &queries, &keys, &values, &pack).unwrap().unwrap();
        let composed = attend_composed(&scores, &queries, &keys, &values, &pack).unwrap();
        prop_assert!(difference(&fused, &expected) < 2e-5);
        prop_assert!(difference(&composed, &expected) < 2e-5);
    }
}

/// Query by query, key by key, in f64.
fn naive_attention(
    scores: &Scores,
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    lengths: &[usize],
) -> Tensor {
    let elements = |x: &Tensor| x.to_dtype(DType::F64).unwrap().to_vec3::<f64>().unwrap();
    let (queries, keys, values) = (elements(queries), elements(keys), elements(values));
    let Scores { heads, key_value_heads, scale, cap, window, positions, .. } = *scores;
    let mut mixed = Vec::new();
    let mut start = 0;
    for length in lengths {
        for (query, head) in (0..*length).flat_map(|query| (0..heads).map(move |head| (query, head))) {
            let shared = head / (heads / key_value_heads);
            let seen = window.map_or(0, |window| (query + 1).saturating_sub(window))..=query;
            let weights: Vec<f64> = seen
                .clone()
                .map(|key| {
                    let pairs = queries[start + query][head].iter().zip(&keys[start + key][shared]);
                    let product: f64 = pairs.map(|(x, y)| x * y).sum();
                    let slope = f64::from(scores.slope(head, key));
                    let inner = if positions == PositionKind::ScaledAlibi { slope } else { 0.0 };
                    let score = (product + inner) * scale;
                    let score = cap.map_or(score, |cap| (score / cap).tanh() * cap);
                    (score + slope - inner).exp()
                })
                .collect();
            let sum: f64 = weights.iter().sum();
            let component = |index: usize| -> f64 {
                let terms = seen.clone().zip(&weights);
                terms.map(|(key, weight)| weight * values[start + key][shared][index]).sum()
            };
            mixed.extend((0..scores.head_dim).map(|index| (component(index) / sum) as f32));
        }
        start += length;
    }
    Tensor::from_vec(mixed, (start, heads * scores.head_dim), &Device::Cpu).unwrap()
}

#[test]
fn other_dtypes_are_left_to_candle() {
    let x = random(&[3, 4]).to_dtype(DType::BF16).unwrap();
    let norm = Norm::new(NormKind::Rms, 1e-5, false, None, None).unwrap();
    assert!(super::norm(&norm, &x).unwrap().is_none());
    assert!(super::activate(&x, Activation::Silu, true).unwrap().is_none());
    assert!(super::add(&x, &x).unwrap().is_none());
    assert!(!super::add_bias(&x, &random(&[4])).unwrap());
}
