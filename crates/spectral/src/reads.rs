//! Where all entries of pairs are read: the one thing that engines do in their own ways.

use crate::Error;
use crate::fused_pass::fused_pass;
use crate::kernels::Vectors;
use crate::source::{Operator, Source};

/// One operator of one pair, and vectors to multiply it with, each [`padded`](crate::fused_pass::padded).
#[derive(Clone, Copy)]
pub(crate) struct Active<'a> {
    /// Index of the pair.
    pub(crate) pair: usize,
    pub(crate) operator: Operator,
    pub(crate) vectors: Vectors<'a>,
}

/// Pairs that go through their passes side by side.
pub(crate) trait Reads: Sync {
    /// A pair's bytes, for what is computed on the CPU by any engine: dense decompositions.
    fn source(&self, pair: usize) -> &Source<'_>;

    /// MᵀM V for each, in f64 and in the unit of the operator's scale, by one read of the pairs.
    fn products(&self, active: &[Active<'_>]) -> Result<Vec<Vec<f64>>, Error>;
}

/// One pair on the CPU.
impl Reads for Source<'_> {
    fn source(&self, _pair: usize) -> &Source<'_> {
        self
    }

    fn products(&self, active: &[Active<'_>]) -> Result<Vec<Vec<f64>>, Error> {
        debug_assert!(active.iter().all(|active| active.pair == 0));
        let active: Vec<_> = active.iter().map(|active| (active.operator, active.vectors)).collect();
        fused_pass(self, &active)
    }
}
