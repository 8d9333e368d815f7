//! Losses and norms of hidden states on held-out text, in two ways that must agree: by the forward pass that was
//! trained, and by `activations` from the files that were written.

use std::path::Path;

use activations::{
    Batch, Hook, HookError, HookPoint, Norms, Stream, StreamOptions, Tokenizer, is_hidden_state,
};
use candle_core::{D, Device, Tensor};
use candle_nn::loss::cross_entropy;
use weights_io::Checkpoint;

use crate::Failure;
use crate::model::Model;
use crate::tokens::Tokens;

/// Relative difference that rounding may leave.
const TOLERANCE: f64 = 1e-5;

/// A text that no model was trained on.
pub(crate) struct HeldOut<'a> {
    name: &'a str,
    sentences: &'a [String],
    ids: Vec<Vec<u32>>,
}

/// What one model makes of one text.
struct Measured {
    /// Mean negative log likelihood of each sentence's tokens but its first, in nats.
    loss: f64,
    /// Mean ‖h‖₂ over tokens, of transformers' `hidden_states` in order.
    norms: Vec<f64>,
}

impl<'a> HeldOut<'a> {
    pub(crate) fn new(name: &'a str, sentences: &'a [String], tokens: &Tokens) -> Result<Self, Failure> {
        Ok(Self { name, sentences, ids: tokens.encode(sentences)? })
    }

    /// The loss that `activations` finds in the files, after checking that the model in memory has the same loss and the
    /// same hidden states.
    pub(crate) fn loss_both_ways(&self, model: &Model, folder: &Path) -> Result<f64, Failure> {
        let (own, found) = (self.by_own_forward(model)?, self.by_activations(folder)?);
        // Not the largest difference: a maximum would pass over NaN.
        let agree = |(own, found): (&f64, &f64)| (own / found - 1.0).abs() <= TOLERANCE;
        let norms = own.norms.len() == found.norms.len() && own.norms.iter().zip(&found.norms).all(agree);
        if !norms || !agree((&own.loss, &found.loss)) {
            let (name, folder) = (self.name, folder.display());
            return Err(format!("activations finds other losses or norms for {name} in {folder}").into());
        }
        Ok(found.loss)
    }

    fn by_own_forward(&self, model: &Model) -> Result<Measured, Failure> {
        let (mut losses, mut norms) = (Mean::default(), Vec::new());
        for ids in &self.ids {
            let output = model.forward(&Tensor::new(&ids[..], &Device::Cpu)?.unsqueeze(0)?)?;
            losses.add_loss(&output.logits.squeeze(0)?, ids)?;
            norms.resize_with(output.hidden_states.len(), Mean::default);
            for (mean, hidden) in norms.iter_mut().zip(&output.hidden_states) {
                let sum = hidden.sqr()?.sum(D::Minus1)?.sqrt()?.sum_all()?.to_scalar::<f32>()?;
                mean.add(f64::from(sum), ids.len());
            }
        }
        Ok(Measured { loss: losses.value(), norms: norms.iter().map(Mean::value).collect() })
    }

    fn by_activations(&self, folder: &Path) -> Result<Measured, Failure> {
        let ids = Tokenizer::beside(folder)?.encode(self.sentences, usize::MAX)?;
        let checkpoint = Checkpoint::open(folder)?;
        let models = [activations::Model::open(&checkpoint)?];
        let mut tensors = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu)?;
        let head = tensors.remove("embed_out.weight").ok_or("no embed_out.weight was written")?;
        let mut losses = Losses { head, ids: &ids, mean: Mean::default() };
        let mut norms = Norms::new(is_hidden_state);
        Stream::new(&models, &ids, StreamOptions::default())?.run(&mut [&mut norms, &mut losses])?;
        let last = models[0].blocks() - 1;
        let points = std::iter::once(HookPoint::Embed)
            .chain((0..last).map(HookPoint::ResidPost))
            .chain([HookPoint::FinalNorm]);
        let mean_norm = |at: HookPoint| {
            let mut mean = Mean::default();
            for sums in (0..ids.len()).filter_map(|sample| norms.of(0, at, sample)) {
                mean.add(sums.l2, sums.tokens as usize);
            }
            mean.value()
        };
        Ok(Measured { loss: losses.mean.value(), norms: points.map(mean_norm).collect() })
    }
}

/// A hook that goes on from the last hidden states to the loss.
struct Losses<'a> {
    head: Tensor,
    ids: &'a [Vec<u32>],
    mean: Mean,
}

impl Hook for Losses<'_> {
    fn wants(&self, at: HookPoint) -> bool {
        at == HookPoint::FinalNorm
    }

    fn observe(&mut self, _: HookPoint, hidden: &Tensor, batch: &Batch<'_>) -> Result<(), HookError> {
        let logits = hidden.matmul(&self.head.t()?)?;
        for sample in batch.samples {
            self.mean.add_loss(&logits.narrow(0, sample.start, sample.length)?, &self.ids[sample.index])?;
        }
        Ok(())
    }
}

/// A mean over tokens.
#[derive(Default)]
struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    fn add(&mut self, sum: f64, count: usize) {
        self.sum += sum;
        self.count += count;
    }

    /// Adds the loss of a sample's tokens but the first, from `[tokens, vocabulary]` logits.
    fn add_loss(&mut self, logits: &Tensor, ids: &[u32]) -> Result<(), Failure> {
        let predictions = ids.len().saturating_sub(1);
        if predictions > 0 {
            let next = Tensor::new(&ids[1..], &Device::Cpu)?;
            let loss = cross_entropy(&logits.narrow(0, 0, predictions)?, &next)?.to_scalar::<f32>()?;
            self.add(f64::from(loss) * predictions as f64, predictions);
        }
        Ok(())
    }

    fn value(&self) -> f64 {
        self.sum / self.count as f64
    }
}
