//! Causal self-attention of packed samples.

use candle_core::{Result, Tensor};

use crate::architecture::{Architecture, Layer};
use crate::attention_blocks::attend_composed;
use crate::family::{HeadNormOver, PositionKind, ProjectionLayout};
use crate::kernels;
use crate::linear::Projection;
use crate::norm::Norm;
use crate::pack::Pack;
use crate::weights::{HeadNormWeights, Linear};

/// The attention of one block.
#[derive(Debug)]
pub(crate) struct Attention {
    /// To `[queries | keys | values]`, head by head.
    input: Projection,
    output: Projection,
    query_norm: Option<HeadNorm>,
    key_norm: Option<HeadNorm>,
    pub(crate) scores: Scores,
    clip: Option<f64>,
    rotates: bool,
}

/// How queries and keys become scores.
#[derive(Clone, Debug)]
pub(crate) struct Scores {
    pub(crate) heads: usize,
    pub(crate) key_value_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) scale: f64,
    pub(crate) cap: Option<f64>,
    pub(crate) window: Option<usize>,
    pub(crate) positions: PositionKind,
}

impl Attention {
    pub(crate) fn new(
        architecture: &Architecture,
        layer: &Layer,
        projections: Vec<Linear<Tensor>>,
        output: Linear<Tensor>,
        query_norm: Option<HeadNormWeights<Tensor>>,
        key_norm: Option<HeadNormWeights<Tensor>>,
    ) -> Result<Self> {
        let transposed = architecture.family.names.transposed_linears;
        let mut projections = projections;
        if architecture.family.attention.layout == ProjectionLayout::Grouped {
            for linear in &mut projections {
                linear.weight = ungroup(&linear.weight, architecture)?;
                linear.bias = linear.bias.take().map(|bias| ungroup(&bias, architecture)).transpose()?;
            }
        }
        let head_norm = |weights: Option<HeadNormWeights<Tensor>>, heads| {
            weights.map(|weights| HeadNorm::new(architecture, weights, heads)).transpose()
        };
        Ok(Self {
            input: Projection::joint(projections, transposed)?,
            output: Projection::new(output, transposed)?,
            query_norm: head_norm(query_norm, architecture.heads)?,
            key_norm: head_norm(key_norm, architecture.key_value_heads)?,
            scores: Scores {
                heads: architecture.heads,
                key_value_heads: architecture.key_value_heads,
                head_dim: architecture.head_dim,
                scale: layer.scale,
                cap: architecture.logit_cap,
                window: layer.window,
                positions: architecture.family.attention.positions,
            },
            clip: architecture.clip,
            rotates: layer.rotates,
        })
    }

    /// What attention makes of `[tokens, hidden]`.
    pub(crate) fn apply(&self, x: &Tensor, pack: &Pack) -> Result<Tensor> {
        let Scores { heads, key_value_heads, head_dim, .. } = self.scores;
        let tokens = x.dim(0)?;
        let mut joint = self.input.apply(x)?;
        if let Some(clip) = self.clip {
            joint = joint.clamp(-clip, clip)?;
        }
        let all = joint.reshape((tokens, heads + 2 * key_value_heads, head_dim))?;
        let prepared = |from: usize, count: usize, norm: Option<&HeadNorm>| -> Result<Tensor> {
            let mut part = all.narrow(1, from, count)?;
            if let Some(norm) = norm {
                part = norm.apply(&part)?;
            }
            match pack.rotation(self.scores.window.is_some()).filter(|_| self.rotates) {
                Some(rotation) => {
                    let fused = kernels::rotate(rotation, &part);
                    kernels::or_composed(fused, || rotation.apply_composed(&part))
                }
                None => Ok(part),
            }
        };
        let queries = prepared(0, heads, self.query_norm.as_ref())?;
        let keys = prepared(heads, key_value_heads, self.key_norm.as_ref())?;
        let values = all.narrow(1, heads + key_value_heads, key_value_heads)?;
        let fused = kernels::attend(&self.scores, &queries, &keys, &values, pack);
        let mixed =
            kernels::or_composed(fused, || attend_composed(&self.scores, &queries, &keys, &values, pack))?;
        self.output.apply(&mixed)
    }
}

impl Scores {
    /// What ALiBi adds to the score of a key at this position (Press et al., 2022); zero without it.
    pub(crate) fn slope(&self, head: usize, key: usize) -> f32 {
        let rounded = |x: f32| half::bf16::from_f32(x).to_f32();
        match self.positions {
            PositionKind::Alibi => alibi_slope(head, self.heads) * key as f32,
            PositionKind::ScaledAlibi => rounded(rounded(alibi_slope(head, self.heads)) * key as f32),
            PositionKind::Rotary | PositionKind::Learned => 0.0,
        }
    }
}

/// A geometric series over the heads, filled up from the next finer one where their number is no power of two.
fn alibi_slope(head: usize, heads: usize) -> f32 {
    let power = 1usize << heads.ilog2();
    let base = |count: usize| (2f64.powf(-(2f64.powf(-((count as f64).log2() - 3.0))))) as f32;
    let slope = |base: f32, exponent: usize| base.powf(exponent as f32);
    if head < power { slope(base(power), head + 1) } else { slope(base(2 * power), 2 * (head - power) + 1) }
}

/// From rows by key-value head (its queries, its key, its value) to all queries, all keys, all values.
fn ungroup(rows: &Tensor, architecture: &Architecture) -> Result<Tensor> {
    let Architecture { heads, key_value_heads, head_dim, .. } = *architecture;
    let group = heads / key_value_heads;
    let split = rows.reshape((key_value_heads, group + 2, head_dim, ()))?;
    let part = |from: usize, count: usize| {
        split.narrow(1, from, count)?.contiguous()?.reshape((key_value_heads * count * head_dim, ()))
    };
    let all = Tensor::cat(&[part(0, group)?, part(group, 1)?, part(group + 1, 1)?], 0)?;
    all.reshape(rows.dims())
}

/// The norm of queries or keys.
#[derive(Debug)]
struct HeadNorm {
    norm: Norm,
    /// Over all heads together.
    joint: bool,
}

impl HeadNorm {
    fn new(architecture: &Architecture, weights: HeadNormWeights<Tensor>, heads: usize) -> Result<Self> {
        let family = &architecture.family;
        let joint =
            family.attention.head_norm.as_ref().is_some_and(|norm| norm.over == HeadNormOver::Projection);
        let weight = match weights.weights.as_slice() {
            [one] => one.clone(),
            each => Tensor::stack(each, 0)?.reshape((heads, architecture.head_dim))?,
        };
        let norm = &family.norm;
        let norm = Norm::new(norm.kind, architecture.epsilon, norm.unit_offset, Some(weight), weights.bias)?;
        Ok(Self { norm, joint })
    }

    /// The norm of `[tokens, heads, head_dim]`.
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let (tokens, heads, head_dim) = x.dims3()?;
        let x = x.contiguous()?;
        if !self.joint {
            return self.norm.apply(&x);
        }
        self.norm.apply(&x.reshape((tokens, heads * head_dim))?)?.reshape((tokens, heads, head_dim))
    }
}
