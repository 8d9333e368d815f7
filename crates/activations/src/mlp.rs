//! The multi-layer perceptron of a block: plain, gated, or a mixture of experts.

use candle_core::{D, DType, Result, Tensor};

use crate::activation::Activation;
use crate::architecture::{Architecture, ExpertCounts};
use crate::kernels;
use crate::linear::Projection;
use crate::weights::{DenseWeights, MlpWeights};

#[derive(Debug)]
pub(crate) enum Mlp {
    Dense(Dense),
    Mixture(Mixture),
}

impl Mlp {
    pub(crate) fn new(weights: MlpWeights<Tensor>, architecture: &Architecture) -> Result<Self> {
        let dense = |weights| Dense::new(weights, architecture);
        match (weights, architecture.experts) {
            (MlpWeights::Dense(weights), _) => Ok(Self::Dense(dense(weights)?)),
            (MlpWeights::Mixture { router, experts, shared, shared_gate }, Some(counts)) => {
                Ok(Self::Mixture(Mixture {
                    counts,
                    router: router.t()?,
                    experts: experts.into_iter().map(dense).collect::<Result<_>>()?,
                    shared: shared.map(dense).transpose()?,
                    shared_gate: shared_gate.map(|gate| gate.t()).transpose()?,
                }))
            }
            (MlpWeights::Mixture { .. }, None) => {
                candle_core::bail!("experts that the configuration does not count")
            }
        }
    }

    /// What the MLP makes of `[tokens, hidden]`.
    pub(crate) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Dense(dense) => dense.apply(x),
            Self::Mixture(mixture) => mixture.apply(x),
        }
    }
}

/// down(f(gate(x)) · up(x)), or down(f(up(x))).
#[derive(Debug)]
pub(crate) struct Dense {
    inputs: Projection,
    gated: bool,
    activation: Activation,
    down: Projection,
}

impl Dense {
    fn new(weights: DenseWeights<Tensor>, architecture: &Architecture) -> Result<Self> {
        let transposed = architecture.family.names.transposed_linears;
        let gated = weights.inputs.len() == 2 || !architecture.family.mlp.gate_up.is_empty();
        Ok(Self {
            inputs: Projection::joint(weights.inputs, transposed)?,
            gated,
            activation: architecture.activation,
            down: Projection::new(weights.down, transposed)?,
        })
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let inner = self.inputs.apply(x)?;
        let fused = kernels::activate(&inner, self.activation, self.gated);
        let inner = kernels::or_composed(fused, || activate_composed(&inner, self.activation, self.gated))?;
        self.down.apply(&inner)
    }
}

/// f(x), or f(gate)·up for the halves of each row, by candle's operations.
pub(crate) fn activate_composed(x: &Tensor, activation: Activation, gated: bool) -> Result<Tensor> {
    if !gated {
        return activation.apply(x);
    }
    let width = x.dim(1)? / 2;
    activation.apply(&x.narrow(1, 0, width)?.contiguous()?)? * x.narrow(1, width, width)?.contiguous()?
}

/// Each token goes to a few of many experts, weighted by a softmax over all of them.
#[derive(Debug)]
pub(crate) struct Mixture {
    counts: ExpertCounts,
    router: Tensor,
    experts: Vec<Dense>,
    /// An expert for every token, with a gate of its own.
    shared: Option<Dense>,
    shared_gate: Option<Tensor>,
}

impl Mixture {
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let (dtype, device) = (x.dtype(), x.device());
        let logits = x.matmul(&self.router)?.to_dtype(DType::F32)?;
        let weights: Vec<Vec<f32>> = candle_nn::ops::softmax(&logits, D::Minus1)?.to_vec2()?;
        let mut chosen: Vec<(Vec<u32>, Vec<f32>)> = vec![Default::default(); self.counts.count];
        for (token, weights) in weights.iter().enumerate() {
            for (expert, weight) in choose(weights, self.counts) {
                chosen[expert].0.push(token as u32);
                chosen[expert].1.push(weight);
            }
        }
        let mut sum = x.zeros_like()?;
        for (expert, (tokens, weights)) in self.experts.iter().zip(chosen) {
            if tokens.is_empty() {
                continue;
            }
            let count = tokens.len();
            let tokens = Tensor::from_vec(tokens, count, device)?;
            let weights = Tensor::from_vec(weights, (count, 1), device)?.to_dtype(dtype)?;
            let out = expert.apply(&x.index_select(&tokens, 0)?)?.broadcast_mul(&weights)?;
            sum = sum.index_add(&tokens, &out, 0)?;
        }
        if let Some(shared) = &self.shared {
            let mut out = shared.apply(x)?;
            if let Some(gate) = &self.shared_gate {
                out = out.broadcast_mul(&candle_nn::ops::sigmoid(&x.matmul(gate)?)?)?;
            }
            sum = (sum + out)?;
        }
        Ok(sum)
    }
}

/// The experts of one token and their weights: the largest, the first of equal ones first.
fn choose(weights: &[f32], counts: ExpertCounts) -> Vec<(usize, f32)> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
    order.truncate(counts.per_token);
    let sum: f32 = if counts.normalize { order.iter().map(|expert| weights[*expert]).sum() } else { 1.0 };
    order.into_iter().map(|expert| (expert, weights[expert] / sum)).collect()
}
