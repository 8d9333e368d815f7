//! Everything this crate tells of a pair of matrices.

use crate::Error;
use crate::dense;
use crate::fused_pass::fused_pass;
use crate::lanczos::{Estimate, Lanczos};
use crate::matrix::Matrix;
use crate::power;
use crate::random::Key;
use crate::source::{Operator, Source, scale};
use crate::statistics::{self, NonFinite, Statistics};

/// How spectral norms are computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// Block Lanczos until the estimated relative error of σ₁ is at most `tolerance` (1e-6 to 1).
    Lanczos {
        /// Relative error of σ₁.
        tolerance: f64,
    },
    /// A fixed number of power iterations, as the Python scripts ran them: an estimate from below, with no word on
    /// its error. For comparison with their results.
    PowerIteration {
        /// Steps v ← MᵀMv / ‖MᵀMv‖.
        iterations: u32,
    },
}

/// Settings of [`summarize_pair`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// How spectral norms are computed.
    pub method: Method,
    /// Seed of the start vectors, together with the matrix's name.
    pub seed: u64,
}

impl Default for Options {
    /// Lanczos to 1e-4, seed 0.
    fn default() -> Self {
        Self { method: Method::Lanczos { tolerance: 1e-4 }, seed: 0 }
    }
}

impl Options {
    /// Checks the settings, as [`summarize_pair`] does.
    ///
    /// # Errors
    /// [`Error::Tolerance`].
    pub fn check(&self) -> Result<(), Error> {
        match self.method {
            Method::Lanczos { tolerance } if !(1e-6..=1.0).contains(&tolerance) => {
                Err(Error::Tolerance(tolerance.to_string()))
            }
            _ => Ok(()),
        }
    }
}

/// Norms of one matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatrixSummary {
    /// ‖M‖ in the Frobenius norm.
    pub frobenius: f64,
    /// σ₁(M), the spectral norm.
    pub spectral: f64,
    /// ‖M‖²_F / σ₁², at least 1; `None` for a zero matrix.
    pub stable_rank: Option<f64>,
    /// Relative error of σ₁, estimated from residuals; `None` where σ₁ comes from a dense decomposition or from a
    /// closed form, and where nothing was estimated ([`Method::PowerIteration`]).
    pub relative_error: Option<f64>,
}

/// A pair of matrices of one shape: A, B and ΔW = B − A.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairSummary {
    /// A.
    pub a: MatrixSummary,
    /// B.
    pub b: MatrixSummary,
    /// ΔW = B − A, formed in f32 from the stored elements, or in f64 if either side is f64 or i64.
    pub delta: MatrixSummary,
    /// ⟨A, B⟩ / (‖A‖ ‖B‖); `None` if either is zero.
    pub cosine_similarity: Option<f64>,
    /// Mean entry of ΔW.
    pub delta_mean: f64,
    /// Population standard deviation of the entries of ΔW.
    pub delta_standard_deviation: f64,
    /// Mean absolute entry of ΔW.
    pub delta_abs_mean: f64,
    /// Largest absolute entry of ΔW.
    pub delta_abs_max: f64,
    /// Entries of ΔW that are not zero.
    pub changed: u64,
    /// Reads of the pair's data.
    pub passes: u32,
}

/// The result of [`summarize_pair`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// All entries of both matrices are finite.
    Finite(PairSummary),
    /// Entries that are no finite numbers: norms are not defined.
    NonFinite {
        /// Of A.
        a: NonFinite,
        /// Of B.
        b: NonFinite,
    },
}

/// Compares two matrices of one shape. `name` keys the random start vectors: the same name, seed and data give the
/// same bits, on any number of threads.
///
/// Memory: a few vectors of a row's length for each pass, never a copy of a matrix. Work is divided among the threads
/// of the current rayon pool if the matrices are large.
///
/// # Errors
/// [`Error::ShapesDiffer`], [`Error::Tolerance`], [`Error::Eigenvalues`].
pub fn summarize_pair(
    a: &Matrix<'_>,
    b: &Matrix<'_>,
    name: &str,
    options: &Options,
) -> Result<Outcome, Error> {
    options.check()?;
    if (a.rows, a.columns) != (b.rows, b.columns) {
        return Err(Error::ShapesDiffer { a: (a.rows, a.columns), b: (b.rows, b.columns) });
    }
    let (statistics, source) = match statistics::read(*a, *b) {
        Ok(found) => found,
        Err([a, b]) => return Ok(Outcome::NonFinite { a, b }),
    };
    let key = Key { seed: options.seed, name };
    let Spectra { norms, passes } = spectra(&source, &statistics, key, options.method)?;
    let of = |operator: Operator| {
        let frobenius = statistics.frobenius[operator as usize];
        let Norm { value, relative_error } = norms[operator as usize];
        let spectral = scale(value, -source.exponent(operator));
        // The ratio first: squares of 1e200 overflow.
        let stable_rank = (frobenius > 0.0).then(|| (frobenius / spectral).powi(2).max(1.0));
        MatrixSummary { frobenius, spectral, stable_rank, relative_error }
    };
    Ok(Outcome::Finite(PairSummary {
        a: of(Operator::A),
        b: of(Operator::B),
        delta: of(Operator::Delta),
        cosine_similarity: statistics.cosine_similarity,
        delta_mean: statistics.mean,
        delta_standard_deviation: statistics.standard_deviation,
        delta_abs_mean: statistics.abs_mean,
        delta_abs_max: statistics.abs_max,
        changed: statistics.changed,
        passes: statistics.passes + passes,
    }))
}

/// σ₁ in the unit of the operator's scale.
#[derive(Clone, Copy, Default)]
struct Norm {
    value: f64,
    relative_error: Option<f64>,
}

struct Spectra {
    norms: [Norm; 3],
    passes: u32,
}

fn spectra(
    source: &Source<'_>,
    statistics: &Statistics,
    key: Key<'_>,
    method: Method,
) -> Result<Spectra, Error> {
    let mut norms = [Norm::default(); 3];
    // A zero matrix has σ₁ = 0; an unchanged B has A's.
    let unchanged = statistics.changed == 0;
    let operators: Vec<Operator> = Operator::ALL
        .into_iter()
        .filter(|operator| statistics.frobenius[*operator as usize] > 0.0)
        .filter(|operator| !(unchanged && *operator == Operator::B))
        .collect();
    let (rows, columns) = (source.a.rows, source.a.columns);
    let mut passes = 0;
    if rows.min(columns) == 1 {
        // A vector: its only singular value is its length.
        for operator in operators {
            let frobenius = statistics.frobenius[operator as usize];
            norms[operator as usize].value = scale(frobenius, source.exponent(operator));
        }
    } else {
        match method {
            Method::PowerIteration { iterations } if !operators.is_empty() => {
                let values = power::spectral_norms(source, &operators, iterations, key);
                for (operator, value) in operators.iter().zip(values) {
                    norms[*operator as usize].value = value;
                }
                passes = iterations + 1;
            }
            Method::PowerIteration { .. } => {}
            Method::Lanczos { .. } if dense::is_small(rows, columns) => {
                for operator in &operators {
                    norms[*operator as usize].value = dense::spectral_norm(source, *operator)?;
                }
                passes = u32::from(!operators.is_empty());
            }
            Method::Lanczos { tolerance } => {
                passes = lanczos(source, &operators, key, tolerance, &mut norms)?;
            }
        }
    }
    if unchanged {
        norms[Operator::B as usize] = norms[Operator::A as usize];
    }
    Ok(Spectra { norms, passes })
}

/// Reads of the pair after which the best estimate so far is taken, with its own, larger error.
const MAX_PASSES: u32 = 128;

/// Runs all operators side by side, each until it has converged. Returns the reads that it took.
fn lanczos(
    source: &Source<'_>,
    operators: &[Operator],
    key: Key<'_>,
    tolerance: f64,
    norms: &mut [Norm; 3],
) -> Result<u32, Error> {
    use rayon::prelude::*;

    let columns = source.a.columns;
    let mut running: Vec<(Operator, Lanczos)> = operators
        .par_iter()
        .map(|operator| (*operator, Lanczos::new(columns, key.generator(*operator))))
        .collect();
    let mut passes = 0;
    while !running.is_empty() {
        let active: Vec<_> = running.iter().map(|(operator, state)| (*operator, state.newest())).collect();
        let products = fused_pass(source, &active);
        passes += 1;
        let estimates: Vec<Result<Estimate, Error>> = running
            .par_iter_mut()
            .zip(&products)
            .map(|((_, state), product)| state.absorb(product))
            .collect();
        let mut remaining = Vec::with_capacity(running.len());
        for ((operator, state), estimate) in running.into_iter().zip(estimates) {
            let Estimate { square, relative_error } = estimate?;
            norms[operator as usize] = Norm { value: square.sqrt(), relative_error: Some(relative_error) };
            if relative_error > tolerance && state.is_exhausted() {
                // As many vectors as columns and still unsettled: a matter for the dense solver.
                let value = dense::spectral_norm(source, operator)?;
                norms[operator as usize] = Norm { value, relative_error: None };
                passes += 1;
            } else if relative_error > tolerance && passes < MAX_PASSES {
                remaining.push((operator, state));
            }
        }
        running = remaining;
    }
    Ok(passes)
}
