//! Attention of packed samples, block of queries by block of queries, over the keys they may see and no others.

use candle_core::{Device, Result, Tensor};
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::elementary::{exp, tanh};
use super::with_rows;
use crate::attention::Scores;
use crate::family::PositionKind;
use crate::pack::Pack;

/// Queries that one task handles: enough for the matrix product, few enough that little above the diagonal is computed.
const QUERIES: usize = 64;

/// [`crate::attention_blocks::attend_composed`].
pub(crate) fn attend(
    scores: &Scores,
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    pack: &Pack,
) -> Result<Option<Tensor>> {
    let mixed = with_rows(queries, |queries, queries_stride| {
        with_rows(keys, |keys, keys_stride| {
            with_rows(values, |values, values_stride| {
                let inputs = Inputs {
                    scores,
                    queries: Rows { elements: queries, stride: queries_stride },
                    keys: Rows { elements: keys, stride: keys_stride },
                    values: Rows { elements: values, stride: values_stride },
                };
                let width = scores.heads * scores.head_dim;
                let tokens: usize = pack.lengths.iter().sum();
                let mut out = vec![0f32; tokens * width];
                let mut tasks = Vec::new();
                let mut rest = out.as_mut_slice();
                for (start, length) in pack.samples() {
                    for first in (0..length).step_by(QUERIES) {
                        let end = (first + QUERIES).min(length);
                        let (own, others) = rest.split_at_mut((end - first) * width);
                        rest = others;
                        tasks.push((start, first, end, own));
                    }
                }
                tasks.into_par_iter().for_each(|(start, first, end, out)| inputs.mix(start, first, end, out));
                Tensor::from_vec(out, (tokens, width), &Device::Cpu)
            })
        })
    })?;
    Ok(mixed.flatten().flatten())
}

/// Rows of heads, one a token.
#[derive(Clone, Copy)]
struct Rows<'a> {
    elements: &'a [f32],
    stride: usize,
}

impl<'a> Rows<'a> {
    /// One head of so many tokens from `first` on, `[count, head_dim]`.
    fn head(self, first: usize, count: usize, head: usize, head_dim: usize) -> MatRef<'a, f32> {
        let start = first * self.stride + head * head_dim;
        let end = start + (count - 1) * self.stride + head_dim;
        let elements = &self.elements[start..end];
        MatRef::from_row_major_slice_with_stride(elements, count, head_dim, self.stride)
    }
}

struct Inputs<'a> {
    scores: &'a Scores,
    queries: Rows<'a>,
    keys: Rows<'a>,
    values: Rows<'a>,
}

impl Inputs<'_> {
    /// All heads of the queries `first..end` of the sample that begins at token `start`.
    fn mix(&self, start: usize, first: usize, end: usize, out: &mut [f32]) {
        let Scores { heads, key_value_heads, head_dim, window, .. } = *self.scores;
        let count = end - first;
        // The first key that any of these queries sees.
        let from = window.map_or(0, |window| (first + 1).saturating_sub(window));
        let seen = end - from;
        let mut weights = vec![0f32; count * seen];
        let width = heads * head_dim;
        let slopes = |head: usize| match self.scores.positions {
            PositionKind::Rotary | PositionKind::Learned => Vec::new(),
            PositionKind::Alibi | PositionKind::ScaledAlibi => {
                (from..end).map(|key| self.scores.slope(head, key)).collect()
            }
        };
        for head in 0..heads {
            let shared = head / (heads / key_value_heads);
            let queries = self.queries.head(start + first, count, head, head_dim);
            let keys = self.keys.head(start + from, seen, shared, head_dim);
            let products = MatMut::from_row_major_slice_mut(&mut weights, count, seen);
            matmul(products, Accum::Replace, queries, keys.transpose(), 1.0, Par::Seq);
            let slopes = slopes(head);
            for (row, weights) in weights.chunks_exact_mut(seen).enumerate() {
                let query = first + row;
                let hidden = window.map_or(0, |window| (query + 1).saturating_sub(window)) - from;
                let end = query + 1 - from;
                weights[..hidden].fill(0.0);
                weights[end..].fill(0.0);
                let slopes = slopes.get(hidden..end).unwrap_or_default();
                Arch::new().dispatch(Softmax { scores: self.scores, slopes, row: &mut weights[hidden..end] });
            }
            let weights = MatRef::from_row_major_slice(&weights, count, seen);
            let values = self.values.head(start + from, seen, shared, head_dim);
            let end = (count - 1) * width + (head + 1) * head_dim;
            let out = &mut out[head * head_dim..end];
            // As the transpose of columns: faer 0.24 confuses the strides of mutable rows and writes out of bounds.
            let out =
                MatMut::from_column_major_slice_with_stride_mut(out, head_dim, count, width).transpose_mut();
            matmul(out, Accum::Replace, weights, values, 1.0, Par::Seq);
        }
    }
}

/// Turns the products of one query with the keys it sees into weights that sum to one.
struct Softmax<'a> {
    scores: &'a Scores,
    /// What ALiBi adds for each key; empty without it.
    slopes: &'a [f32],
    row: &'a mut [f32],
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { scores, slopes, row } = self;
        let scale = scores.scale as f32;
        if scores.positions == PositionKind::ScaledAlibi {
            for (x, slope) in row.iter_mut().zip(slopes) {
                *x += slope;
            }
        }
        for x in row.iter_mut() {
            *x *= scale;
        }
        if let Some(cap) = scores.cap {
            let cap = cap as f32;
            for x in row.iter_mut() {
                *x = tanh(*x / cap) * cap;
            }
        }
        if scores.positions == PositionKind::Alibi {
            for (x, slope) in row.iter_mut().zip(slopes) {
                *x += slope;
            }
        }
        let mut largest = [f32::NEG_INFINITY; 16];
        for block in row.chunks(16) {
            for (largest, x) in largest.iter_mut().zip(block) {
                *largest = if *x > *largest { *x } else { *largest };
            }
        }
        let largest = largest.into_iter().fold(f32::NEG_INFINITY, f32::max);
        let mut sums = [0f32; 16];
        for block in row.chunks_mut(16) {
            for (sum, x) in sums.iter_mut().zip(block) {
                *x = exp(*x - largest);
                *sum += *x;
            }
        }
        let share = 1.0 / sums.iter().sum::<f32>();
        for x in row {
            *x *= share;
        }
    }
}
