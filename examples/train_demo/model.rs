//! A GPT-NeoX language model that candle can differentiate: every operation has a gradient.

use std::collections::BTreeMap;

use candle_core::{D, Device, Tensor, Var};
use candle_nn::ops::{layer_norm_slow, softmax};
use rand_distr::{Distribution, Normal};

use crate::Failure;
use crate::corpus::generator;

/// Sizes, as `config.json` names them.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) vocabulary: usize,
    pub(crate) hidden: usize,
    pub(crate) intermediate: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    /// Components of each head that positions rotate, a quarter.
    pub(crate) rotary: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self { vocabulary: 512, hidden: 64, intermediate: 192, layers: 6, heads: 4, rotary: 4 }
    }
}

pub(crate) const LAYER_NORM_EPSILON: f32 = 1e-5;
pub(crate) const ROPE_THETA: f32 = 10_000.0;

/// Trainable tensors by their names in a checkpoint.
pub(crate) struct Parameters(pub(crate) BTreeMap<String, Var>);

impl Parameters {
    /// As GPT-NeoX starts: normal, with variance 2 / 5h, and where a block adds to the residual stream with standard
    /// deviation 2 / L√h.
    pub(crate) fn random(shape: &Shape, seed: u64) -> Result<Self, Failure> {
        let (h, m, v) = (shape.hidden, shape.intermediate, shape.vocabulary);
        let mut random = generator(seed, "weights");
        let small = (2.0 / (5.0 * h as f64)).sqrt();
        let residual = 2.0 / (shape.layers as f64 * (h as f64).sqrt());
        let mut parameters = BTreeMap::new();
        let mut matrix = |name: String, rows: usize, columns: usize, deviation: f64| {
            let normal = Normal::new(0.0, deviation)?;
            let values: Vec<f32> = (0..rows * columns).map(|_| normal.sample(&mut random) as f32).collect();
            parameters.insert(name, Var::from_vec(values, (rows, columns), &Device::Cpu)?);
            Ok::<_, Failure>(())
        };
        matrix("gpt_neox.embed_in.weight".into(), v, h, small)?;
        for layer in 0..shape.layers {
            let at = |name: &str| format!("gpt_neox.layers.{layer}.{name}.weight");
            matrix(at("attention.query_key_value"), 3 * h, h, small)?;
            matrix(at("attention.dense"), h, h, residual)?;
            matrix(at("mlp.dense_h_to_4h"), m, h, small)?;
            matrix(at("mlp.dense_4h_to_h"), h, m, residual)?;
        }
        matrix("embed_out.weight".into(), v, h, small)?;

        let mut vector = |name: String, length: usize, value: f32| {
            parameters.insert(name, Var::from_vec(vec![value; length], length, &Device::Cpu)?);
            Ok::<_, Failure>(())
        };
        for layer in 0..shape.layers {
            let at = |name: &str| format!("gpt_neox.layers.{layer}.{name}");
            for norm in ["input_layernorm", "post_attention_layernorm"] {
                vector(at(&format!("{norm}.weight")), h, 1.0)?;
                vector(at(&format!("{norm}.bias")), h, 0.0)?;
            }
            vector(at("attention.query_key_value.bias"), 3 * h, 0.0)?;
            vector(at("attention.dense.bias"), h, 0.0)?;
            vector(at("mlp.dense_h_to_4h.bias"), m, 0.0)?;
            vector(at("mlp.dense_4h_to_h.bias"), h, 0.0)?;
        }
        vector("gpt_neox.final_layer_norm.weight".into(), h, 1.0)?;
        vector("gpt_neox.final_layer_norm.bias".into(), h, 0.0)?;
        Ok(Self(parameters))
    }

    /// The tensors themselves: they change as training goes on.
    pub(crate) fn tensors(&self) -> BTreeMap<String, Tensor> {
        self.0.iter().map(|(name, variable)| (name.clone(), variable.as_tensor().clone())).collect()
    }
}

/// The forward pass.
pub(crate) struct Model {
    shape: Shape,
    tensors: BTreeMap<String, Tensor>,
}

/// What a forward pass yields for `[batch, length]` tokens.
pub(crate) struct Output {
    /// The embeddings, what each block but the last adds up to, and the final norm's output: `[batch, length, hidden]`.
    pub(crate) hidden_states: Vec<Tensor>,
    /// `[batch, length, vocabulary]`.
    pub(crate) logits: Tensor,
}

impl Model {
    pub(crate) fn new(shape: Shape, tensors: BTreeMap<String, Tensor>) -> Self {
        Self { shape, tensors }
    }

    pub(crate) fn forward(&self, ids: &Tensor) -> Result<Output, Failure> {
        let (batch, length) = ids.dims2()?;
        let embedding = self.tensor("gpt_neox.embed_in.weight")?;
        let mut hidden = embedding.index_select(&ids.flatten_all()?, 0)?.reshape((batch, length, ()))?;
        let positions = Positions::new(length, self.shape.rotary)?;
        let mut hidden_states = vec![hidden.clone()];
        for layer in 0..self.shape.layers {
            let at = format!("gpt_neox.layers.{layer}");
            let normed = self.norm(&format!("{at}.input_layernorm"), &hidden)?;
            let attention = self.attention(&format!("{at}.attention"), &normed, &positions)?;
            let normed = self.norm(&format!("{at}.post_attention_layernorm"), &hidden)?;
            let inner = self.linear(&format!("{at}.mlp.dense_h_to_4h"), &normed)?.gelu_erf()?;
            let mlp = self.linear(&format!("{at}.mlp.dense_4h_to_h"), &inner)?;
            hidden = ((hidden + attention)? + mlp)?;
            hidden_states.push(hidden.clone());
        }
        hidden_states.pop(); // transformers shows the last block's output after the final norm
        let last = self.norm("gpt_neox.final_layer_norm", &hidden)?;
        let logits = times(&last, self.tensor("embed_out.weight")?)?;
        hidden_states.push(last);
        Ok(Output { hidden_states, logits })
    }

    /// Mean negative log likelihood of each token but the first, given those before it.
    pub(crate) fn loss(&self, ids: &Tensor) -> Result<Tensor, Failure> {
        let length = ids.dim(1)? - 1;
        let logits = self.forward(&ids.narrow(1, 0, length)?)?.logits;
        let next = ids.narrow(1, 1, length)?.flatten_all()?;
        Ok(candle_nn::loss::cross_entropy(&logits.flatten_to(1)?, &next)?)
    }

    fn attention(&self, at: &str, normed: &Tensor, positions: &Positions) -> Result<Tensor, Failure> {
        let (batch, length, width) = normed.dims3()?;
        let (heads, head) = (self.shape.heads, width / self.shape.heads);
        let fused = self.linear(&format!("{at}.query_key_value"), normed)?;
        let fused = fused.reshape((batch, length, heads, 3 * head))?.transpose(1, 2)?;
        let part = |index: usize| fused.narrow(D::Minus1, index * head, head);
        let query = positions.rotate(&part(0)?)?.contiguous()?;
        let key = positions.rotate(&part(1)?)?.transpose(2, 3)?.contiguous()?;
        let scores = (query.matmul(&key)? / (head as f64).sqrt())?.broadcast_add(&positions.mask)?;
        let mixed = softmax(&scores, D::Minus1)?.matmul(&part(2)?.contiguous()?)?;
        self.linear(&format!("{at}.dense"), &mixed.transpose(1, 2)?.reshape((batch, length, width))?)
    }

    fn norm(&self, at: &str, hidden: &Tensor) -> Result<Tensor, Failure> {
        let (weight, bias) = (self.tensor(&format!("{at}.weight"))?, self.tensor(&format!("{at}.bias"))?);
        Ok(layer_norm_slow(hidden, weight, bias, LAYER_NORM_EPSILON)?)
    }

    fn linear(&self, at: &str, input: &Tensor) -> Result<Tensor, Failure> {
        let (weight, bias) = (self.tensor(&format!("{at}.weight"))?, self.tensor(&format!("{at}.bias"))?);
        Ok(times(input, weight)?.broadcast_add(bias)?)
    }

    fn tensor(&self, name: &str) -> Result<&Tensor, Failure> {
        self.tensors.get(name).ok_or_else(|| format!("the model has no {name}").into())
    }
}

/// X Wᵀ as one matrix product.
fn times(input: &Tensor, weight: &Tensor) -> Result<Tensor, Failure> {
    let (batch, length, _) = input.dims3()?;
    Ok(input.flatten_to(1)?.matmul(&weight.t()?)?.reshape((batch, length, ()))?)
}

/// What depends on the length alone.
struct Positions {
    cosines: Tensor,
    sines: Tensor,
    /// 0 where a query may look, minus infinity where it may not.
    mask: Tensor,
}

impl Positions {
    fn new(length: usize, rotary: usize) -> Result<Self, Failure> {
        let pairs = rotary / 2;
        let frequency = |pair: usize| ROPE_THETA.powf(-2.0 * pair as f32 / rotary as f32);
        let angles: Vec<f32> = (0..length)
            .flat_map(|position| (0..pairs).map(move |pair| position as f32 * frequency(pair)))
            .collect();
        let angles = Tensor::from_vec(angles, (length, pairs), &Device::Cpu)?;
        let mask: Vec<f32> = (0..length)
            .flat_map(|query| (0..length).map(move |key| if key > query { f32::NEG_INFINITY } else { 0.0 }))
            .collect();
        let mask = Tensor::from_vec(mask, (length, length), &Device::Cpu)?;
        Ok(Self { cosines: angles.cos()?, sines: angles.sin()?, mask })
    }

    /// Turns the first components of each head, the i-th with the i-th of their second half.
    fn rotate(&self, heads: &Tensor) -> Result<Tensor, Failure> {
        let pairs = self.cosines.dim(1)?;
        let first = heads.narrow(D::Minus1, 0, pairs)?;
        let second = heads.narrow(D::Minus1, pairs, pairs)?;
        let rest = heads.narrow(D::Minus1, 2 * pairs, heads.dim(D::Minus1)? - 2 * pairs)?;
        let (cosines, sines) = (&self.cosines, &self.sines);
        let turned = (first.broadcast_mul(cosines)? - second.broadcast_mul(sines)?)?;
        let other = (second.broadcast_mul(cosines)? + first.broadcast_mul(sines)?)?;
        Ok(Tensor::cat(&[&turned, &other, &rest], D::Minus1)?)
    }
}
