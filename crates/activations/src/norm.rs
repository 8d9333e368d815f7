//! Root-mean-square and layer norms, with and without weights.
//!
//! Computed in f32 whatever the dtype, as transformers does: x / √(mean(x²) + ε) · w, or
//! (x − mean(x)) / √(var(x) + ε) · w + b with the biased variance.

use candle_core::{D, DType, Result, Tensor};
use candle_nn::ops::rms_norm;

use crate::family::NormKind;
use crate::kernels;

/// A norm over the last axis.
#[derive(Debug)]
pub(crate) struct Norm {
    pub(crate) kind: NormKind,
    pub(crate) epsilon: f64,
    /// f32; broadcast over the leading axes.
    pub(crate) weight: Option<Tensor>,
    pub(crate) bias: Option<Tensor>,
}

impl Norm {
    pub(crate) fn new(
        kind: NormKind,
        epsilon: f64,
        unit_offset: bool,
        weight: Option<Tensor>,
        bias: Option<Tensor>,
    ) -> Result<Self> {
        let weight = weight.map(|weight| weight.to_dtype(DType::F32)).transpose()?;
        let weight = match weight {
            Some(weight) if unit_offset => Some((weight + 1.0)?),
            weight => weight,
        };
        let bias = bias.map(|bias| bias.to_dtype(DType::F32)).transpose()?;
        Ok(Self { kind, epsilon, weight, bias })
    }

    /// The norm of `[…, width]`, in the dtype it came in.
    pub(crate) fn apply(&self, x: &Tensor) -> Result<Tensor> {
        kernels::or_composed(kernels::norm(self, x), || self.apply_composed(x))
    }

    /// The same by candle's operations, on any device.
    pub(crate) fn apply_composed(&self, x: &Tensor) -> Result<Tensor> {
        let dtype = x.dtype();
        let x = x.to_dtype(DType::F32)?;
        if let (NormKind::Rms, Some(weight), None) = (self.kind, self.shared_weight(), &self.bias) {
            return rms_norm(&x.contiguous()?, weight, self.epsilon as f32)?.to_dtype(dtype);
        }
        let x = match self.kind {
            NormKind::Rms => x,
            NormKind::Layer => x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?,
        };
        let mean_square = x.sqr()?.mean_keepdim(D::Minus1)?;
        let mut x = x.broadcast_div(&(mean_square + self.epsilon)?.sqrt()?)?;
        if let Some(weight) = &self.weight {
            x = x.broadcast_mul(weight)?;
        }
        if let Some(bias) = &self.bias {
            x = x.broadcast_add(bias)?;
        }
        x.to_dtype(dtype)
    }

    /// The weight, if it is one for all rows.
    fn shared_weight(&self) -> Option<&Tensor> {
        self.weight.as_ref().filter(|weight| weight.rank() == 1)
    }
}
