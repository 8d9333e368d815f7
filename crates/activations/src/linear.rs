//! Linear maps of packed tokens.

use candle_core::{Result, Tensor};

use crate::kernels::product;
use crate::weights::Linear;

/// y = x·W + b for x of shape `[tokens, in]`.
#[derive(Debug)]
pub(crate) struct Projection {
    /// `[in, out]`, of any strides.
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Projection {
    /// From a stored weight `[out, in]`, or `[in, out]` if transposed.
    pub(crate) fn new(linear: Linear<Tensor>, transposed: bool) -> Result<Self> {
        let weight = if transposed { linear.weight } else { linear.weight.t()? };
        Ok(Self { weight, bias: linear.bias })
    }

    /// Several maps of one input as one, their outputs side by side.
    pub(crate) fn joint(mut linears: Vec<Linear<Tensor>>, transposed: bool) -> Result<Self> {
        if linears.len() == 1 {
            return Self::new(linears.remove(0), transposed);
        }
        let biases: Option<Vec<Tensor>> = linears.iter().map(|linear| linear.bias.clone()).collect();
        let weights: Vec<Tensor> = linears.into_iter().map(|linear| linear.weight).collect();
        let weight = Tensor::cat(&weights, usize::from(transposed))?;
        let bias = biases.map(|biases| Tensor::cat(&biases, 0)).transpose()?;
        Self::new(Linear { weight, bias }, transposed)
    }

    pub(crate) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let y = product(x, &self.weight)?;
        match &self.bias {
            Some(bias) if crate::kernels::add_bias(&y, bias)? => Ok(y),
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}
