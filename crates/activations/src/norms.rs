//! Hooks that measure: norms of hidden states, and differences between two models, token by token.

use std::collections::{BTreeMap, HashMap};

use candle_core::Tensor;

use crate::hook::{Batch, Hook, HookError, HookPoint};
use crate::token_norms::{TokenPair, norms, pairs};

/// Where hidden states are measured: transformers' `hidden_states`, and the last block's raw output.
///
/// Embeddings, the output of every block and what the final norm makes of the last one's.
#[must_use]
pub fn is_hidden_state(at: HookPoint) -> bool {
    matches!(at, HookPoint::Embed | HookPoint::ResidPost(_) | HookPoint::FinalNorm)
}

/// Sums over the tokens of one sample at one place, in f64. Norms are taken of f32 components; on a GPU they are f32 too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormSums {
    /// Tokens with finite norms; the others enter nothing else.
    pub tokens: u64,
    /// Tokens with an infinite or undefined norm.
    pub non_finite_tokens: u64,
    /// Σ‖h‖₂.
    pub l2: f64,
    /// Σ‖h‖₂².
    pub l2_squared: f64,
    /// Σ‖h‖₁.
    pub l1: f64,
    /// Smallest ‖h‖₂; infinite without tokens.
    pub min_l2: f64,
    /// Largest ‖h‖₂; minus infinity without tokens.
    pub max_l2: f64,
}

impl Default for NormSums {
    fn default() -> Self {
        let (min_l2, max_l2) = (f64::INFINITY, f64::NEG_INFINITY);
        Self { tokens: 0, non_finite_tokens: 0, l2: 0.0, l2_squared: 0.0, l1: 0.0, min_l2, max_l2 }
    }
}

impl NormSums {
    fn add(&mut self, (l1, l2): (f64, f64)) {
        if !(l1 + l2).is_finite() {
            self.non_finite_tokens += 1;
            return;
        }
        self.tokens += 1;
        self.l1 += l1;
        self.l2 += l2;
        self.l2_squared += l2 * l2;
        self.min_l2 = self.min_l2.min(l2);
        self.max_l2 = self.max_l2.max(l2);
    }
}

/// Measures the norms of hidden states, or of whatever points it is asked for.
#[derive(Debug)]
pub struct Norms {
    wanted: fn(HookPoint) -> bool,
    sums: BTreeMap<(usize, HookPoint, usize), NormSums>,
}

impl Norms {
    /// Measures at every point for which the function says so; [`is_hidden_state`] is the usual one.
    #[must_use]
    pub fn new(wanted: fn(HookPoint) -> bool) -> Self {
        Self { wanted, sums: BTreeMap::new() }
    }

    /// The sums of a sample, by model, point and sample; `None` if it was not seen there.
    #[must_use]
    pub fn of(&self, model: usize, at: HookPoint, sample: usize) -> Option<&NormSums> {
        self.sums.get(&(model, at, sample))
    }

    /// All sums: (model, point, sample) in that order.
    pub fn all(&self) -> impl Iterator<Item = (&(usize, HookPoint, usize), &NormSums)> {
        self.sums.iter()
    }
}

impl Hook for Norms {
    fn wants(&self, at: HookPoint) -> bool {
        (self.wanted)(at)
    }

    fn observe(&mut self, at: HookPoint, hidden: &Tensor, batch: &Batch<'_>) -> Result<(), HookError> {
        let norms = norms(hidden)?;
        for sample in batch.samples {
            let sums = self.sums.entry((batch.model, at, sample.index)).or_default();
            for norms in &norms[sample.start..sample.start + sample.length] {
                sums.add(*norms);
            }
        }
        Ok(())
    }
}

/// Sums over the tokens of one sample at one place of models A and B, in f64. Differences are taken in f32.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DifferenceSums {
    /// Tokens with finite norms in both models; the others enter nothing else.
    pub tokens: u64,
    /// Tokens with an infinite or undefined norm in either model.
    pub non_finite_tokens: u64,
    /// Σ‖h_a‖₁.
    pub a_l1: f64,
    /// Σ‖h_a‖₂.
    pub a_l2: f64,
    /// Σ‖h_b‖₁.
    pub b_l1: f64,
    /// Σ‖h_b‖₂.
    pub b_l2: f64,
    /// Σ‖h_b − h_a‖₁.
    pub difference_l1: f64,
    /// Σ‖h_b − h_a‖₂.
    pub difference_l2: f64,
    /// Σ cos(h_a, h_b), over `cosine_tokens`.
    pub cosine: f64,
    /// Tokens at which neither is zero.
    pub cosine_tokens: u64,
    /// Σ‖h_b − h_a‖₂ / ‖h_a‖₂, over `relative_tokens`.
    pub relative: f64,
    /// Tokens at which h_a is not zero.
    pub relative_tokens: u64,
}

impl DifferenceSums {
    fn add(&mut self, token: &TokenPair) {
        let TokenPair { a: (a_l1, a_l2), b: (b_l1, b_l2), difference, product } = *token;
        let (difference_l1, difference_l2) = difference;
        if !(a_l1 + b_l1 + difference_l1 + a_l2 + b_l2 + difference_l2 + product).is_finite() {
            self.non_finite_tokens += 1;
            return;
        }
        self.tokens += 1;
        self.a_l1 += a_l1;
        self.a_l2 += a_l2;
        self.b_l1 += b_l1;
        self.b_l2 += b_l2;
        self.difference_l1 += difference_l1;
        self.difference_l2 += difference_l2;
        if a_l2 > 0.0 {
            self.relative += difference_l2 / a_l2;
            self.relative_tokens += 1;
            if b_l2 > 0.0 {
                self.cosine += product / a_l2 / b_l2;
                self.cosine_tokens += 1;
            }
        }
    }
}

/// Measures how far the hidden states of one model, B, are from those of another, A, in the same run.
#[derive(Debug)]
pub struct Differences {
    a: usize,
    b: usize,
    wanted: fn(HookPoint) -> bool,
    /// States of A that wait for those of B; they are the run's own, no copies.
    waiting: HashMap<(HookPoint, usize), Tensor>,
    sums: BTreeMap<(HookPoint, usize), DifferenceSums>,
}

impl Differences {
    /// Measures between two models of the stream, A before B, at every point for which the function says so.
    #[must_use]
    pub fn between(a: usize, b: usize, wanted: fn(HookPoint) -> bool) -> Self {
        Self { a, b, wanted, waiting: HashMap::new(), sums: BTreeMap::new() }
    }

    /// The sums of a sample, by point and sample; `None` if it was not seen there in both models.
    #[must_use]
    pub fn of(&self, at: HookPoint, sample: usize) -> Option<&DifferenceSums> {
        self.sums.get(&(at, sample))
    }
}

impl Hook for Differences {
    fn wants(&self, at: HookPoint) -> bool {
        (self.wanted)(at)
    }

    fn observe(&mut self, at: HookPoint, hidden: &Tensor, batch: &Batch<'_>) -> Result<(), HookError> {
        let Some(first) = batch.samples.first() else { return Ok(()) };
        let key = (at, first.index);
        if batch.model == self.a {
            self.waiting.insert(key, hidden.clone());
        }
        if batch.model != self.b {
            return Ok(());
        }
        let Some(other) = self.waiting.remove(&key) else { return Ok(()) };
        let (_, width) = hidden.dims2()?;
        if other.dims() != hidden.dims() {
            return Err(
                format!("hidden states of width {width} and {} have no difference", other.dim(1)?).into()
            );
        }
        let tokens = pairs(&other, hidden)?;
        for sample in batch.samples {
            let sums = self.sums.entry((at, sample.index)).or_default();
            tokens[sample.start..sample.start + sample.length].iter().for_each(|token| sums.add(token));
        }
        Ok(())
    }
}
