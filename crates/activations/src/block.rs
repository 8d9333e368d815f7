//! One transformer block: where its norms stand and where its residual stream runs.

use candle_core::Tensor;

use crate::Error;
use crate::architecture::Architecture;
use crate::attention::Attention;
use crate::family::BlockShape;
use crate::hook::HookPoint;
use crate::kernels;
use crate::mlp::Mlp;
use crate::norm::Norm;
use crate::pack::Pack;
use crate::weights::{BlockWeights, NormWeights};

/// A block with its weights, ready to run.
#[derive(Debug)]
pub(crate) struct Block {
    index: usize,
    shape: BlockShape,
    residual_multiplier: f64,
    attention_norm: Option<Norm>,
    attention_post_norm: Option<Norm>,
    mlp_norm: Option<Norm>,
    mlp_post_norm: Option<Norm>,
    attention: Attention,
    mlp: Mlp,
}

/// Hands hidden states to whoever wants them and gives back those to go on with.
pub(crate) type Emit<'a> = dyn FnMut(HookPoint, Tensor) -> Result<Tensor, Error> + 'a;

impl Block {
    pub(crate) fn new(
        architecture: &Architecture,
        index: usize,
        weights: BlockWeights<Tensor>,
    ) -> candle_core::Result<Self> {
        let norm = |weights: Option<NormWeights<Tensor>>| architecture.norm(weights);
        let attention = Attention::new(
            architecture,
            &architecture.layers[index],
            weights.projections,
            weights.output,
            weights.query_norm,
            weights.key_norm,
        )?;
        Ok(Self {
            index,
            shape: architecture.family.block.shape,
            residual_multiplier: architecture.residual_multiplier,
            attention_norm: norm(weights.attention_norm)?,
            attention_post_norm: norm(weights.attention_post_norm)?,
            mlp_norm: norm(weights.mlp_norm)?,
            mlp_post_norm: norm(weights.mlp_post_norm)?,
            attention,
            mlp: Mlp::new(weights.mlp, architecture)?,
        })
    }

    /// The residual stream `[tokens, hidden]` after the block.
    pub(crate) fn apply(&self, x: Tensor, pack: &Pack, emit: &mut Emit<'_>) -> Result<Tensor, Error> {
        let index = self.index;
        let failed = |source| Error::compute(format!("block {index}"), source);
        let normed = |norm: &Option<Norm>, x: &Tensor| match norm {
            Some(norm) => norm.apply(x).map_err(failed),
            None => Ok(x.clone()),
        };
        let attention = |x: &Tensor| {
            let out = self.attention.apply(x, pack).map_err(failed)?;
            self.contribution(self.attention_post_norm.as_ref(), out).map_err(failed)
        };
        let mlp = |x: &Tensor| {
            let out = self.mlp.apply(x).map_err(failed)?;
            self.contribution(self.mlp_post_norm.as_ref(), out).map_err(failed)
        };
        let x = emit(HookPoint::ResidPre(index), x)?;
        let post = match self.shape {
            BlockShape::Parallel => {
                let read = normed(&self.attention_norm, &x)?;
                let attended = emit(HookPoint::AttnOut(index), attention(&read)?)?;
                let read = if self.mlp_norm.is_some() { normed(&self.mlp_norm, &x)? } else { read };
                let fed = emit(HookPoint::MlpOut(index), mlp(&read)?)?;
                sum(&sum(&x, &attended).map_err(failed)?, &fed).map_err(failed)?
            }
            BlockShape::Sequential => {
                let attended =
                    emit(HookPoint::AttnOut(index), attention(&normed(&self.attention_norm, &x)?)?)?;
                let middle = emit(HookPoint::ResidMid(index), sum(&x, &attended).map_err(failed)?)?;
                let fed = emit(HookPoint::MlpOut(index), mlp(&normed(&self.mlp_norm, &middle)?)?)?;
                sum(&middle, &fed).map_err(failed)?
            }
            BlockShape::NormAfterSum => {
                let attended = emit(HookPoint::AttnOut(index), attention(&x)?)?;
                let middle = normed(&self.attention_norm, &sum(&x, &attended).map_err(failed)?)?;
                let middle = emit(HookPoint::ResidMid(index), middle)?;
                let fed = emit(HookPoint::MlpOut(index), mlp(&middle)?)?;
                normed(&self.mlp_norm, &sum(&middle, &fed).map_err(failed)?)?
            }
            BlockShape::NormCarries => {
                let read = normed(&self.attention_norm, &x)?;
                let attended = emit(HookPoint::AttnOut(index), attention(&read)?)?;
                let middle = emit(HookPoint::ResidMid(index), sum(&read, &attended).map_err(failed)?)?;
                let read = normed(&self.mlp_norm, &middle)?;
                let fed = emit(HookPoint::MlpOut(index), mlp(&read)?)?;
                sum(&read, &fed).map_err(failed)?
            }
        };
        emit(HookPoint::ResidPost(index), post)
    }

    /// What attention or MLP add to the residual stream, from what they put out.
    fn contribution(&self, post_norm: Option<&Norm>, out: Tensor) -> candle_core::Result<Tensor> {
        let out = match post_norm {
            Some(norm) => norm.apply(&out)?,
            None => out,
        };
        if self.residual_multiplier == 1.0 { Ok(out) } else { out * self.residual_multiplier }
    }
}

fn sum(x: &Tensor, y: &Tensor) -> candle_core::Result<Tensor> {
    kernels::or_composed(kernels::add(x, y), || x + y)
}
