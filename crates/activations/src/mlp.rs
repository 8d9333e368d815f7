//! The multi-layer perceptron of a block: plain, gated, or a mixture of experts.

use candle_core::{D, DType, Result, Tensor};

use crate::activation::Activation;
use crate::architecture::{Architecture, ExpertCounts};
use crate::kernels::{self, product};
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
        let logits = product(x, &self.router)?.to_dtype(DType::F32)?;
        let weights: Vec<Vec<f32>> = candle_nn::ops::softmax(&logits, D::Minus1)?.to_vec2()?;
        let mut sum = self.mix(x, &Choice::new(&weights, self.counts))?;
        if let Some(shared) = &self.shared {
            let mut out = shared.apply(x)?;
            if let Some(gate) = &self.shared_gate {
                out = out.broadcast_mul(&candle_nn::ops::sigmoid(&product(x, gate)?)?)?;
            }
            sum = (sum + out)?;
        }
        Ok(sum)
    }

    /// What the chosen experts add up to. A GPU gets the whole choice in three copies.
    fn mix(&self, x: &Tensor, choice: &Choice) -> Result<Tensor> {
        let (count, device) = (x.dim(0)?, x.device());
        let mut sum = x.zeros_like()?;
        if count == 0 {
            return Ok(sum);
        }
        let tokens = Tensor::from_slice(&choice.tokens, choice.tokens.len(), device)?;
        let (mut outs, mut first) = (Vec::new(), 0);
        for (expert, load) in self.experts.iter().zip(&choice.loads).filter(|(_, load)| **load > 0) {
            outs.push(expert.apply(&x.index_select(&tokens.narrow(0, first, *load)?, 0)?)?);
            first += load;
        }
        let outs = Tensor::cat(&outs, 0)?;
        let places = Tensor::from_slice(&choice.places, (choice.per_token, count), device)?;
        let weights = Tensor::from_slice(&choice.weights, (choice.per_token, count, 1), device)?;
        let weights = weights.to_dtype(x.dtype())?;
        for turn in 0..choice.per_token {
            let out = outs.index_select(&places.get(turn)?, 0)?;
            sum = (sum + out.broadcast_mul(&weights.get(turn)?)?)?;
        }
        Ok(sum)
    }
}

/// Which experts see which tokens.
struct Choice {
    /// Expert by expert, the tokens that it sees.
    tokens: Vec<u32>,
    /// How many each expert sees.
    loads: Vec<usize>,
    per_token: usize,
    /// For each turn and token, its place among `tokens`. In its turns a token comes to its experts in their order.
    places: Vec<u32>,
    /// What the expert counts there.
    weights: Vec<f32>,
}

impl Choice {
    /// From the softmax over all experts of each token.
    fn new(softmax: &[Vec<f32>], counts: ExpertCounts) -> Self {
        let mut chosen: Vec<Vec<(usize, f32)>> = vec![Vec::new(); counts.count];
        let per_token = counts.per_token.min(counts.count);
        for (token, weights) in softmax.iter().enumerate() {
            for (expert, weight) in choose(weights, counts) {
                chosen[expert].push((token, weight));
            }
        }
        let mut choice = Self {
            tokens: Vec::with_capacity(softmax.len() * per_token),
            loads: chosen.iter().map(Vec::len).collect(),
            per_token,
            places: vec![0; softmax.len() * per_token],
            weights: vec![0.0; softmax.len() * per_token],
        };
        let mut turns = vec![0; softmax.len()];
        for (token, weight) in chosen.into_iter().flatten() {
            let at = turns[token] * softmax.len() + token;
            choice.places[at] = choice.tokens.len() as u32;
            choice.weights[at] = weight;
            choice.tokens.push(token as u32);
            turns[token] += 1;
        }
        choice
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
