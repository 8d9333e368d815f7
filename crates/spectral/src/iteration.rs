//! The iteration that bounds spectral norms: all operators of a pair side by side, each with one block product a read,
//! until its interval is narrow enough.
//!
//! **Leading singular values.** The i-th largest Ritz value θᵢ is a lower bound of σᵢ² (Cauchy's interlacing theorem).
//! For upper bounds, a second iteration with a start of its own bounds the norm μ of B on the complement of the k
//! leading Ritz vectors U. With the residuals BU = UΘ + VC, σᵢ² is at most the i-th eigenvalue of
//! [[Θ, Cᵀ], [C, μI]], since B on the complement is at most μI (Weyl's monotonicity theorem).
//!
//! **Leading singular vectors.** With R = VC and λ the (k+1)-th of those eigenvalues, the span of U is off the true one
//! by ‖sin Θ‖_F ≤ ‖R‖_F / (θₖ − λ) (Davis and Kahan 1970), if that is positive.

use faer::{Mat, Side};
use rayon::prelude::*;

use crate::Error;
use crate::certificate::{Certificate, threshold};
use crate::dense;
use crate::lanczos::Lanczos;
use crate::options::Certification;
use crate::quadrature;
use crate::random::Key;
use crate::reads::{Active, Reads};
use crate::source::Operator;
use crate::spectra::{Leading, Spectra, Spectrum, Stop};

/// Vectors a block. Fewer cannot be certified to 1e-4 in f32: the random start would have to be told apart from its
/// complement at a level below rounding.
pub(crate) const BLOCK: usize = 8;
/// Relative width to which the norm on the complement of the leading singular vectors is bounded, at least.
const COMPLEMENT_TOLERANCE: f64 = 1e-2;
/// Events that may fail for a pair: three operators, each with an iteration and one on the complement of its leading
/// singular vectors. Fixed, so that an interval does not depend on what else was asked for.
const EVENTS: f64 = 6.0;
/// Relative growth of the largest Ritz value below which it has settled.
const SETTLED: f64 = 1e-6;

/// One operator on its way.
pub(crate) struct Iteration<'a> {
    /// Index of the pair among those side by side.
    pair: usize,
    operator: Operator,
    key: Key<'a>,
    certification: &'a Certification,
    lanczos: Lanczos<BLOCK>,
    /// tr B, on the complement of what is locked.
    trace: f64,
    /// Bounds of the largest Ritz value so far.
    theta: (f64, f64),
    /// Singular values to keep.
    top: usize,
    /// What the first iteration found, while the second one runs.
    first: Option<(Spectrum, Top)>,
}

/// The leading Ritz pairs of the first iteration.
struct Top {
    /// θᵢ
    squares: Vec<f64>,
    /// Columns of C.
    residuals: Vec<[f64; BLOCK]>,
    residual_error: f64,
    vectors: Mat<f64>,
}

enum Step {
    Continue,
    Done(Spectrum),
    /// As many vectors as columns and still unsettled.
    Exhausted,
}

/// Runs until all are done. Adds what was found, and the reads that it took, to each pair's spectra.
pub(crate) fn iterate(
    reads: &dyn Reads,
    mut running: Vec<Iteration<'_>>,
    spectra: &mut [Spectra],
) -> Result<(), Error> {
    let mut passes = 0;
    while !running.is_empty() {
        let active: Vec<_> = running.iter().map(Iteration::active).collect();
        let products = reads.products(&active)?;
        passes += 1;
        let steps = running
            .par_iter_mut()
            .zip(&products)
            .map(|(iteration, product)| iteration.step(product, passes))
            .collect::<Result<Vec<_>, Error>>()?;
        let mut remaining = Vec::with_capacity(running.len());
        let mut of_pair = vec![false; spectra.len()];
        for (iteration, step) in running.into_iter().zip(steps) {
            let Iteration { pair, operator, top, .. } = iteration;
            let found = &mut spectra[pair];
            found.passes += u32::from(!std::mem::replace(&mut of_pair[pair], true));
            match step {
                Step::Continue => remaining.push(iteration),
                Step::Done(spectrum) => found.of[operator as usize] = Some(spectrum),
                Step::Exhausted => {
                    let source = reads.source(pair);
                    let spectrum = dense::by_gram(source, operator, top)?;
                    found.of[operator as usize] =
                        Some(Spectrum::dense(spectrum, dense::rounding(source), top, false));
                    found.passes += 1;
                }
            }
        }
        running = remaining;
    }
    Ok(())
}

impl<'a> Iteration<'a> {
    /// `norm` is ‖M‖_F in the unit of the operator's scale.
    pub(crate) fn new(
        (pair, operator): (usize, Operator),
        columns: usize,
        norm: f64,
        key: Key<'a>,
        certification: &'a Certification,
        top: usize,
    ) -> Self {
        Self {
            pair,
            operator,
            key,
            certification,
            lanczos: Lanczos::new(columns, key.generator(operator, 0)),
            trace: norm * norm,
            theta: (0.0, 0.0),
            top,
            first: None,
        }
    }

    fn active(&self) -> Active<'_> {
        Active { pair: self.pair, operator: self.operator, vectors: self.lanczos.newest() }
    }

    /// Takes a product; `passes` reads have been made so far.
    fn step(&mut self, product: &[f64], passes: u32) -> Result<Step, Error> {
        self.lanczos.absorb(product);
        let before = self.theta.0;
        self.theta = self.lanczos.tridiagonal().largest_eigenvalue(before);
        let residual_error = self.lanczos.residual_error(self.theta.1);
        let threshold =
            threshold::<BLOCK>(self.lanczos.dimension(), self.certification.failure_probability / EVENTS);
        let certificate =
            Certificate::new(self.lanczos.tridiagonal(), self.theta, self.trace, residual_error, threshold);
        let tolerance = match self.first {
            None => self.certification.tolerance,
            Some(_) => self.certification.tolerance.max(COMPLEMENT_TOLERANCE),
        };
        let (upper, stop) = if let Some(upper) = certificate.upper_within(tolerance) {
            (upper, Stop::Certified)
        } else if self.lanczos.is_exhausted() {
            match self.first {
                None => return Ok(Step::Exhausted),
                Some(_) => (certificate.upper(), Stop::RoundOff),
            }
        } else if passes >= self.certification.max_passes {
            (certificate.upper(), Stop::Budget)
        } else {
            // While θ₁ still grows, so does what rounding allows.
            let settled = self.theta.0 - before <= SETTLED * before;
            match certificate.upper_limited_by_rounding(tolerance).filter(|_| settled) {
                Some(upper) => (upper, Stop::RoundOff),
                None => return Ok(Step::Continue),
            }
        };
        let bounds = [certificate.lower(), upper];
        match self.first.take() {
            Some((spectrum, top)) => Ok(Step::Done(with_leading(spectrum, top, bounds[1])?)),
            None => self.settle(bounds.map(f64::sqrt), stop, residual_error),
        }
    }

    /// After the first iteration: the means over the spectrum, and on to the complement if leading values are asked for.
    fn settle(&mut self, norm: [f64; 2], stop: Stop, residual_error: f64) -> Result<Step, Error> {
        let ritz = self.lanczos.tridiagonal().ritz()?;
        let spectrum = Spectrum {
            norm,
            stop: Some(stop),
            ranks: Some(quadrature::estimate(&ritz, self.trace, self.lanczos.dimension())),
            values: Vec::new(),
            full: false,
            leading: None,
        };
        if self.top == 0 {
            return Ok(Step::Done(spectrum));
        }
        let count = self.top.min(ritz.values.len());
        let squares: Vec<f64> = ritz.values[..count].iter().map(|value| value.max(0.0)).collect();
        let (vectors, locked) = self.lanczos.combine(&ritz.vectors, count);
        self.lanczos = Lanczos::orthogonal_to(vectors.nrows(), locked, self.key.generator(self.operator, 1));
        // What is left of the trace, at most.
        let known: f64 = squares.iter().sum();
        self.trace = (self.trace - known).max(0.0) + count as f64 * residual_error;
        self.theta = (0.0, 0.0);
        let residuals = ritz.residual[..count].to_vec();
        self.first = Some((spectrum, Top { squares, residuals, residual_error, vectors }));
        Ok(Step::Continue)
    }
}

/// Adds the leading singular values, with the norm μ on the complement of their Ritz vectors bounded by `beyond`.
fn with_leading(mut spectrum: Spectrum, top: Top, beyond: f64) -> Result<Spectrum, Error> {
    let Top { squares, residuals, residual_error, vectors } = top;
    let count = squares.len();
    let size = count + BLOCK;
    let mut bordered = Mat::<f64>::zeros(size, size);
    for (i, (square, residual)) in squares.iter().zip(&residuals).enumerate() {
        bordered[(i, i)] = *square;
        for (j, entry) in residual.iter().enumerate() {
            bordered[(count + j, i)] = *entry;
        }
    }
    for j in 0..BLOCK {
        bordered[(count + j, count + j)] = beyond;
    }
    let mut above =
        bordered.self_adjoint_eigenvalues(Side::Lower).map_err(|_| Error::Eigenvalues { size })?;
    above.reverse();
    let slack = 2.0 * residual_error;
    spectrum.values = squares
        .iter()
        .zip(&above)
        .map(|(square, above)| {
            let upper = (above + slack).max(0.0).sqrt().min(spectrum.norm[1]);
            let lower = (square - residual_error).max(0.0).sqrt();
            [square.sqrt().clamp(lower, upper.max(lower)), lower, upper.max(lower)]
        })
        .collect();
    let gap = squares[count - 1] - residual_error - (above[count] + slack);
    let squares_of_residual: f64 = residuals.iter().flatten().map(|entry| entry * entry).sum();
    let residual = squares_of_residual.sqrt() + (count as f64).sqrt() * residual_error;
    spectrum.leading = Some(Leading { vectors, angle: (gap > 0.0).then(|| residual / gap) });
    Ok(spectrum)
}
