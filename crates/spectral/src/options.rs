//! What is computed of a pair, and how carefully.

use crate::Error;
use crate::source::Operator;

/// How spectral norms are computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Block Lanczos until an interval is narrow enough; small matrices get a dense decomposition.
    Certified(Certification),
    /// A fixed number of power iterations, as the Python scripts ran them: an estimate from below, with no word on
    /// its error. For comparison with their results.
    PowerIteration {
        /// Steps v ← MᵀMv / ‖MᵀMv‖.
        iterations: u32,
    },
}

/// When an interval of σ₁ is good enough, and when to give up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Certification {
    /// Relative width of the interval, upper / lower − 1; 1e-6 to 1. What f32 arithmetic allows lies near 5e-5 and
    /// depends on the spectrum; a matrix that cannot be bounded as closely stops with [`crate::Stop::RoundOff`].
    pub tolerance: f64,
    /// Probability that any interval of the pair misses the truth: above 0, at most 0.5.
    pub failure_probability: f64,
    /// Reads of the pair's data for spectral norms at most.
    pub max_passes: u32,
}

impl Default for Certification {
    /// 1e-4, 1e-9, and 128 reads.
    fn default() -> Self {
        Self { tolerance: 1e-4, failure_probability: 1e-9, max_passes: 128 }
    }
}

/// Of which matrices the spectrum is looked at; Frobenius norms are free and always given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operators {
    /// A.
    pub a: bool,
    /// B.
    pub b: bool,
    /// ΔW = B − A.
    pub delta: bool,
}

impl Operators {
    /// All three.
    pub const ALL: Self = Self { a: true, b: true, delta: true };

    pub(crate) fn contains(self, operator: Operator) -> bool {
        match operator {
            Operator::A => self.a,
            Operator::B => self.b,
            Operator::Delta => self.delta,
        }
    }
}

/// Settings of [`crate::summarize_pair`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// How spectral norms are computed.
    pub method: Method,
    /// Seed of the start vectors, together with the matrix's name.
    pub seed: u64,
    /// Of which matrices.
    pub operators: Operators,
    /// So many of the largest singular values, with intervals, at most [`Options::MOST_TOP`]. More than 0 costs a second
    /// iteration for each matrix. Not together with [`Method::PowerIteration`].
    pub top_k: usize,
    /// All singular values of matrices that [`Options::fits_full_spectrum`], by a dense decomposition.
    pub full_spectrum: bool,
}

impl Default for Options {
    /// Certified to 1e-4 with failure probability 1e-9, seed 0, all operators, nothing kept of the spectrum.
    fn default() -> Self {
        Self {
            method: Method::Certified(Certification::default()),
            seed: 0,
            operators: Operators::ALL,
            top_k: 0,
            full_spectrum: false,
        }
    }
}

impl Options {
    /// Largest [`Options::top_k`].
    pub const MOST_TOP: usize = 64;
    /// Longest shorter side of a matrix whose full spectrum is computed.
    pub const FULL_SPECTRUM_SIDE: usize = 2048;
    /// Most elements of such a matrix: 256 MiB as f64.
    pub const FULL_SPECTRUM_ELEMENTS: usize = 1 << 25;

    /// True if [`Options::full_spectrum`] reaches a matrix of this shape.
    #[must_use]
    pub fn fits_full_spectrum(rows: usize, columns: usize) -> bool {
        rows.min(columns) <= Self::FULL_SPECTRUM_SIDE
            && rows.checked_mul(columns).is_some_and(|elements| elements <= Self::FULL_SPECTRUM_ELEMENTS)
    }

    /// Checks the settings, as [`crate::summarize_pair`] does.
    ///
    /// # Errors
    /// [`Error::Tolerance`], [`Error::FailureProbability`], [`Error::MaxPasses`], [`Error::TopK`].
    pub fn check(&self) -> Result<(), Error> {
        if self.top_k > Self::MOST_TOP {
            return Err(Error::TopK { given: self.top_k });
        }
        let Method::Certified(certification) = self.method else { return Ok(()) };
        let Certification { tolerance, failure_probability, max_passes } = certification;
        if !(1e-6..=1.0).contains(&tolerance) {
            return Err(Error::Tolerance(tolerance.to_string()));
        }
        if !(failure_probability > 0.0 && failure_probability <= 0.5) {
            return Err(Error::FailureProbability(failure_probability.to_string()));
        }
        if max_passes == 0 {
            return Err(Error::MaxPasses);
        }
        Ok(())
    }
}
