//! Hooks: who wants to see or change hidden states on their way through a model.

use candle_core::Tensor;

/// A place in the forward pass. The vocabulary is TransformerLens's, where it has a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HookPoint {
    /// The embeddings as they enter block 0: scaled, normed and with positions added where a family does so.
    Embed,
    /// The residual stream before block i.
    ResidPre(usize),
    /// What the attention of block i adds to the residual stream.
    AttnOut(usize),
    /// The residual stream between attention and MLP of block i. Parallel blocks have no such place.
    ResidMid(usize),
    /// What the MLP of block i adds to the residual stream.
    MlpOut(usize),
    /// The residual stream after block i.
    ResidPost(usize),
    /// The last block's output after the final norm.
    FinalNorm,
}

impl std::fmt::Display for HookPoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embed => formatter.pad("embed"),
            Self::ResidPre(block) => write!(formatter, "blocks.{block}.resid_pre"),
            Self::AttnOut(block) => write!(formatter, "blocks.{block}.attn_out"),
            Self::ResidMid(block) => write!(formatter, "blocks.{block}.resid_mid"),
            Self::MlpOut(block) => write!(formatter, "blocks.{block}.mlp_out"),
            Self::ResidPost(block) => write!(formatter, "blocks.{block}.resid_post"),
            Self::FinalNorm => formatter.pad("final_norm"),
        }
    }
}

/// Samples that are computed together; their tokens lie one after another in the hidden states, without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// Index of the model among those of the stream.
    pub model: usize,
    /// The samples, in order.
    pub samples: &'a [BatchSample],
}

/// Where a sample's tokens are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchSample {
    /// Index of the sample among those of the stream.
    pub index: usize,
    /// Row of its first token.
    pub start: usize,
    /// Number of its tokens, at least one.
    pub length: usize,
}

/// What a hook may fail with; [`crate::Stream::run`] hands it through.
pub type HookError = Box<dyn std::error::Error + Send + Sync>;

/// Observes hidden states, and may put others in their place.
///
/// For each batch of samples the points of a block come in the order of [`HookPoint`], for one model after the other.
/// Where models have not parted yet, a point of the first is followed by the same point of the others.
pub trait Hook {
    /// Whether the hook is to see this point. Asked before every use; nothing is kept or copied for points that nobody
    /// wants.
    fn wants(&self, at: HookPoint) -> bool;

    /// Sees the hidden states `[tokens, width]` of a batch, in the dtype and on the device of the computation.
    ///
    /// # Errors
    /// What the hook finds wrong; it ends the run.
    fn observe(&mut self, at: HookPoint, hidden: &Tensor, batch: &Batch<'_>) -> Result<(), HookError>;

    /// Whether the hook may want to [`replace`](Self::replace) hidden states at this point. By default it does not.
    fn replaces(&self, at: HookPoint) -> bool {
        let _ = at;
        false
    }

    /// Other hidden states to go on with, of the same shape, dtype and device; `None` to leave them. Hooks come in
    /// their order, each after its `observe`, and see what those before them put in place.
    ///
    /// # Errors
    /// What the hook finds wrong; it ends the run.
    fn replace(
        &mut self,
        at: HookPoint,
        hidden: &Tensor,
        batch: &Batch<'_>,
    ) -> Result<Option<Tensor>, HookError> {
        let _ = (at, hidden, batch);
        Ok(None)
    }
}
