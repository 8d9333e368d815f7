//! The functions between the two linear maps of an MLP, by the names that configurations give them.

use candle_core::{Result, Tensor};

/// An element-wise function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// x · Φ(x), by the error function.
    Gelu,
    /// The same by a hyperbolic tangent: ½x(1 + tanh(√(2/π)(x + 0.044715x³))).
    GeluTanh,
    /// x · σ(1.702x).
    QuickGelu,
    /// x · σ(x).
    Silu,
    Relu,
    /// max(x, 0)².
    ReluSquared,
    Tanh,
    Sigmoid,
    Identity,
}

impl Activation {
    /// The function of that name in a configuration.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "gelu" | "gelu_python" => Self::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_accurate" | "gelu_python_tanh" => {
                Self::GeluTanh
            }
            "quick_gelu" => Self::QuickGelu,
            "silu" | "swish" => Self::Silu,
            "relu" => Self::Relu,
            "relu2" => Self::ReluSquared,
            "tanh" => Self::Tanh,
            "sigmoid" => Self::Sigmoid,
            "linear" => Self::Identity,
            _ => return None,
        })
    }

    /// The function of every element, by candle's operations.
    pub(crate) fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Gelu => x.gelu_erf(),
            Self::GeluTanh => x.gelu(),
            Self::QuickGelu => x * candle_nn::ops::sigmoid(&(x * 1.702)?)?,
            Self::Silu => x.silu(),
            Self::Relu => x.relu(),
            Self::ReluSquared => x.relu()?.sqr(),
            Self::Tanh => x.tanh(),
            Self::Sigmoid => candle_nn::ops::sigmoid(x),
            Self::Identity => Ok(x.clone()),
        }
    }
}
