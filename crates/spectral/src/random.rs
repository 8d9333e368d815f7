//! Start vectors that depend on the run's seed, the tensor's name and the operator, and on nothing else.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use crate::source::Operator;

/// What a matrix's random vectors are keyed by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key<'a> {
    pub(crate) seed: u64,
    pub(crate) name: &'a str,
}

impl Key<'_> {
    /// The random vectors of one operator's first, second, … run.
    pub(crate) fn generator(self, operator: Operator, run: u8) -> Gaussian {
        // FNV-1a: a stable hash, where the standard library's may change from release to release.
        let hash = self
            .name
            .bytes()
            .chain([0, operator as u8 + 3 * run])
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&hash.to_le_bytes());
        Gaussian(ChaCha8Rng::from_seed(seed))
    }
}

/// A stream of independent standard normal numbers.
pub(crate) struct Gaussian(ChaCha8Rng);

impl Gaussian {
    pub(crate) fn fill(&mut self, out: &mut [f64]) {
        for value in out {
            *value = StandardNormal.sample(&mut self.0);
        }
    }
}
