//! Operations on rows: norms, activations, rotations, sums.

use candle_core::{CpuStorage, DType, Device, InplaceOp2, Layout, Result, Tensor};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::elementary::{normal, sigmoid, tanh};
use super::{are_fused, with_elements, with_rows};
use crate::activation::Activation;
use crate::family::NormKind;
use crate::norm::Norm;
use crate::pack::Rotation;

/// Elements that one task handles, about: a task costs a microsecond.
const TASK: usize = 1 << 14;

/// Rows of this width that make a task.
fn rows_of(width: usize) -> usize {
    (TASK / width.max(1)).max(1)
}

/// [`Norm::apply`].
pub(crate) fn norm(norm: &Norm, x: &Tensor) -> Result<Option<Tensor>> {
    let shape = x.shape().clone();
    let Some(width) = shape.dims().last().copied().filter(|width| *width > 0) else { return Ok(None) };
    let floats = |weight: &Option<Tensor>| {
        weight.as_ref().map(|weight| weight.flatten_all()?.to_vec1::<f32>()).transpose()
    };
    with_elements(x, |values| {
        let (weight, bias) = (floats(&norm.weight)?, floats(&norm.bias)?);
        let mut out = vec![0f32; values.len()];
        let rows = rows_of(width);
        out.par_chunks_mut(rows * width).zip(values.par_chunks(rows * width)).enumerate().for_each(
            |(task, (out, values))| {
                for (row, (out, values)) in
                    out.chunks_exact_mut(width).zip(values.chunks_exact(width)).enumerate()
                {
                    let row = task * rows + row;
                    Arch::new().dispatch(NormRow {
                        kind: norm.kind,
                        epsilon: norm.epsilon as f32,
                        values,
                        weight: weight.as_deref().map(|weight| row_of(weight, row, width)),
                        bias: bias.as_deref().map(|bias| row_of(bias, row, width)),
                        out,
                    });
                }
            },
        );
        Tensor::from_vec(out, shape.clone(), &Device::Cpu)
    })
}

/// The weights of a row: there is one row of them, or one for each head in turn.
fn row_of(weights: &[f32], row: usize, width: usize) -> &[f32] {
    let count = weights.len() / width;
    let start = row % count.max(1) * width;
    &weights[start..start + width]
}

struct NormRow<'a> {
    kind: NormKind,
    epsilon: f32,
    values: &'a [f32],
    weight: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
    out: &'a mut [f32],
}

/// Σ f(x) over 16 sums side by side.
#[inline(always)]
fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0f32; 16];
    let (blocks, rest) = values.as_chunks::<16>();
    for block in blocks {
        for (sum, x) in sums.iter_mut().zip(block) {
            *sum += f(*x);
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        *sum += f(*x);
    }
    sums.iter().sum()
}

impl WithSimd for NormRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let count = self.values.len() as f32;
        let mean = match self.kind {
            NormKind::Rms => 0.0,
            NormKind::Layer => sum(self.values, |x| x) / count,
        };
        let mean_square = sum(self.values, |x| (x - mean) * (x - mean)) / count;
        let scale = 1.0 / (mean_square + self.epsilon).sqrt();
        match self.weight {
            Some(weight) => {
                for ((out, x), weight) in self.out.iter_mut().zip(self.values).zip(weight) {
                    *out = (x - mean) * scale * weight;
                }
            }
            None => {
                for (out, x) in self.out.iter_mut().zip(self.values) {
                    *out = (x - mean) * scale;
                }
            }
        }
        if let Some(bias) = self.bias {
            for (out, bias) in self.out.iter_mut().zip(bias) {
                *out += bias;
            }
        }
    }
}

/// [`crate::mlp::activate_composed`].
pub(crate) fn activate(x: &Tensor, activation: Activation, gated: bool) -> Result<Option<Tensor>> {
    let (rows, width) = x.dims2()?;
    let inner = if gated { width / 2 } else { width };
    with_elements(x, |values| {
        let mut out = vec![0f32; rows * inner];
        let rows_a_task = rows_of(width);
        out.par_chunks_mut((rows_a_task * inner).max(1))
            .zip(values.par_chunks((rows_a_task * width).max(1)))
            .for_each(|(out, values)| {
                for (out, values) in out.chunks_exact_mut(inner).zip(values.chunks_exact(width)) {
                    let (values, factors) = values.split_at(inner);
                    Arch::new().dispatch(ActivateRow { activation, values, factors, out });
                }
            });
        Tensor::from_vec(out, (rows, inner), &Device::Cpu)
    })
}

/// out = f(values) · factors; without factors f(values).
struct ActivateRow<'a> {
    activation: Activation,
    values: &'a [f32],
    factors: &'a [f32],
    out: &'a mut [f32],
}

impl ActivateRow<'_> {
    #[inline(always)]
    fn each(self, f: impl Fn(f32) -> f32) {
        if self.factors.is_empty() {
            for (out, x) in self.out.iter_mut().zip(self.values) {
                *out = f(*x);
            }
        } else {
            for ((out, x), factor) in self.out.iter_mut().zip(self.values).zip(self.factors) {
                *out = f(*x) * factor;
            }
        }
    }
}

impl WithSimd for ActivateRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match self.activation {
            Activation::Gelu => self.each(
                #[inline(always)]
                |x| x * normal(x),
            ),
            Activation::GeluTanh => self.each(
                #[inline(always)]
                |x| x * sigmoid(1.595_769 * (x + 0.044_715 * x * x * x)),
            ),
            Activation::QuickGelu => self.each(
                #[inline(always)]
                |x| x * sigmoid(1.702 * x),
            ),
            Activation::Silu => self.each(
                #[inline(always)]
                |x| x * sigmoid(x),
            ),
            Activation::Relu => self.each(
                #[inline(always)]
                |x| x.max(0.0),
            ),
            Activation::ReluSquared => self.each(
                #[inline(always)]
                |x| x.max(0.0) * x.max(0.0),
            ),
            Activation::Tanh => self.each(tanh),
            Activation::Sigmoid => self.each(sigmoid),
            Activation::Identity => self.each(
                #[inline(always)]
                |x| x,
            ),
        }
    }
}

/// [`Rotation::apply_composed`].
pub(crate) fn rotate(rotation: &Rotation, x: &Tensor) -> Result<Option<Tensor>> {
    let (tokens, heads, head_dim) = x.dims3()?;
    let width = heads * head_dim;
    let pairs = rotation.dimensions / 2;
    let turned = with_rows(x, |values, stride| {
        with_elements(&rotation.cosines, |cosines| {
            with_elements(&rotation.sines, |sines| {
                let mut out = vec![0f32; tokens * width];
                out.par_chunks_mut(width.max(1)).enumerate().for_each(|(token, out)| {
                    let values = &values[token * stride..token * stride + width];
                    let turns = token * pairs..(token + 1) * pairs;
                    let (cosines, sines) = (&cosines[turns.clone()], &sines[turns]);
                    for (out, values) in out.chunks_exact_mut(head_dim).zip(values.chunks_exact(head_dim)) {
                        turn(rotation.interleaved, values, cosines, sines, out);
                    }
                });
                Tensor::from_vec(out, (tokens, heads, head_dim), &Device::Cpu)
            })
        })
    })?;
    Ok(turned.flatten().flatten())
}

fn turn(interleaved: bool, values: &[f32], cosines: &[f32], sines: &[f32], out: &mut [f32]) {
    let pairs = cosines.len();
    out[2 * pairs..].copy_from_slice(&values[2 * pairs..]);
    if interleaved {
        for (((out, x), cosine), sine) in
            out.chunks_exact_mut(2).zip(values.chunks_exact(2)).zip(cosines).zip(sines)
        {
            (out[0], out[1]) = (x[0] * cosine - x[1] * sine, x[1] * cosine + x[0] * sine);
        }
        return;
    }
    let (first, second) = values[..2 * pairs].split_at(pairs);
    let (out_first, out_second) = out[..2 * pairs].split_at_mut(pairs);
    for pair in 0..pairs {
        out_first[pair] = first[pair] * cosines[pair] - second[pair] * sines[pair];
        out_second[pair] = second[pair] * cosines[pair] + first[pair] * sines[pair];
    }
}

/// x + y.
pub(crate) fn add(x: &Tensor, y: &Tensor) -> Result<Option<Tensor>> {
    if x.shape() != y.shape() {
        return Ok(None);
    }
    let sum = with_elements(x, |x_values| {
        with_elements(y, |y_values| {
            let mut out = vec![0f32; x_values.len()];
            let parts = x_values.par_chunks(TASK).zip(y_values.par_chunks(TASK));
            out.par_chunks_mut(TASK).zip(parts).for_each(|(out, (x, y))| {
                for ((out, x), y) in out.iter_mut().zip(x).zip(y) {
                    *out = x + y;
                }
            });
            Tensor::from_vec(out, x.shape().clone(), &Device::Cpu)
        })
    })?;
    Ok(sum.flatten())
}

/// Adds a bias to every row of a matrix that nobody else has seen yet; false if it did not.
pub(crate) fn add_bias(y: &Tensor, bias: &Tensor) -> Result<bool> {
    let fit = are_fused(y.device(), y.dtype()) && bias.dtype() == DType::F32;
    if fit && y.is_contiguous() && bias.is_contiguous() {
        y.inplace_op2(bias, &AddBias)?;
        return Ok(true);
    }
    Ok(false)
}

struct AddBias;

impl InplaceOp2 for AddBias {
    fn name(&self) -> &'static str {
        "add bias"
    }

    fn cpu_fwd(
        &self,
        y: &mut CpuStorage,
        layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<()> {
        let (CpuStorage::F32(y), CpuStorage::F32(bias)) = (y, bias) else {
            candle_core::bail!("a bias is added to f32 only")
        };
        let bias = &bias[bias_layout.start_offset()..][..bias_layout.shape().elem_count()];
        let y = &mut y[layout.start_offset()..][..layout.shape().elem_count()];
        let rows = rows_of(bias.len());
        y.par_chunks_mut((rows * bias.len()).max(1)).for_each(|rows| {
            for row in rows.chunks_exact_mut(bias.len()) {
                for (y, bias) in row.iter_mut().zip(bias) {
                    *y += bias;
                }
            }
        });
        Ok(())
    }
}
