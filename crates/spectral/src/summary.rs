//! Everything this crate tells of a pair of matrices.

use crate::Error;
use crate::matrix::Matrix;
use crate::options::Options;
use crate::quadrature::Estimate;
use crate::random::Key;
use crate::source::{Operator, Source, scale};
use crate::spectra::{self, Spectra, Spectrum, Stop};
use crate::statistics::{self, NonFinite, Read, Statistics};

/// Bounds of a number. For a spectral norm they hold but for the failure probability asked for
/// ([`crate::Certification`]), given the allowance for f32 rounding.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Interval {
    /// At most the truth.
    pub lower: f64,
    /// At least the truth.
    pub upper: f64,
}

impl Interval {
    /// The middle.
    #[must_use]
    pub const fn midpoint(self) -> f64 {
        f64::midpoint(self.lower, self.upper)
    }

    /// upper / lower − 1; `None` if that is not defined, 0 for a zero.
    #[must_use]
    pub fn relative_width(self) -> Option<f64> {
        if self.upper == 0.0 {
            return Some(0.0);
        }
        (self.lower > 0.0).then(|| self.upper / self.lower - 1.0)
    }

    /// True if the number lies within.
    #[must_use]
    pub fn contains(self, number: f64) -> bool {
        self.lower <= number && number <= self.upper
    }
}

/// One singular value.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SingularValue {
    /// The Ritz value, from below; or the value of a dense decomposition.
    pub value: f64,
    /// Bounds of the singular value of this index, counted from the largest.
    pub interval: Interval,
}

/// What only all singular values together tell.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct FullSpectrum {
    /// Σσᵢ
    pub nuclear_norm: f64,
    /// Fewest singular values whose squares sum to 99 % of ‖M‖²_F; 0 for a zero matrix.
    pub empirical_rank: usize,
    /// Index, from 1, of the singular value farthest below the straight line from the first to the last: the elbow of
    /// the curve. `None` if all are equal.
    pub elbow_index: Option<usize>,
}

/// Norms and ranks of one matrix. What was not asked for is `None`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MatrixSummary {
    /// ‖M‖ in the Frobenius norm.
    pub frobenius: f64,
    /// σ₁(M), the spectral norm: the midpoint of its interval, or the estimate of
    /// [`crate::Method::PowerIteration`].
    pub spectral: Option<f64>,
    /// Bounds of σ₁; `None` for an estimate.
    pub spectral_interval: Option<Interval>,
    /// ‖M‖²_F / σ₁², at least 1, the midpoint of its interval; `None` for a zero matrix.
    pub stable_rank: Option<f64>,
    /// Bounds of the stable rank.
    pub stable_rank_interval: Option<Interval>,
    /// Why the computation of σ₁ stopped; `None` for an estimate.
    pub stop: Option<Stop>,
    /// (Σσ²)² / Σσ⁴, 1 to the rank; `None` for a zero matrix.
    pub participation_ratio: Option<Estimate>,
    /// exp(−Σ pᵢ ln pᵢ) with pᵢ = σᵢ² / Σσ², 1 to the rank; `None` for a zero matrix.
    pub entropy_effective_rank: Option<Estimate>,
    /// The largest [`Options::top_k`] singular values, descending; all of them where the full spectrum was computed.
    pub singular_values: Vec<SingularValue>,
    /// Where the full spectrum was computed.
    pub full_spectrum: Option<FullSpectrum>,
}

impl MatrixSummary {
    /// Bounds of the share of ‖M‖²_F in the largest `count` singular values; `None` if not so many were kept, or for a
    /// zero matrix.
    #[must_use]
    pub fn energy_share(&self, count: usize) -> Option<Interval> {
        if self.frobenius == 0.0 || count == 0 || self.singular_values.len() < count {
            return None;
        }
        let share = |bound: fn(&SingularValue) -> f64| {
            let values = self.singular_values[..count].iter();
            values.map(|value| (bound(value) / self.frobenius).powi(2)).sum::<f64>().min(1.0)
        };
        Some(Interval {
            lower: share(|value| value.interval.lower),
            upper: share(|value| value.interval.upper),
        })
    }
}

/// A pair of matrices of one shape: A, B and ΔW = B − A.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
    /// Mean squared cosine of the principal angles between the spans of the [`Options::top_k`] leading right singular
    /// vectors of A and of B: 1 for the same subspace, about k / columns for unrelated ones. The error is a bound.
    pub top_overlap: Option<Estimate>,
    /// Reads of the pair's data.
    pub passes: u32,
}

/// The result of [`summarize_pair`].
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Outcome {
    /// All entries of both matrices are finite.
    Finite(Box<PairSummary>),
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
/// Memory: 32 bytes times the row's length for each pass and operator, never a copy of a matrix (but for
/// [`Options::full_spectrum`]). Work is divided among the threads of the current rayon pool if the matrices are large.
///
/// # Errors
/// [`Error::ShapesDiffer`], those of [`Options::check`], [`Error::Eigenvalues`], [`Error::SingularValues`]; of a matrix that
/// is read, [`Error::Read`] and [`Error::Memory`].
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
    let (statistics, source) = match statistics::read(*a, *b)? {
        Read::Finite(statistics, source) => (statistics, source),
        Read::NonFinite([a, b]) => return Ok(Outcome::NonFinite { a, b }),
    };
    let key = Key { seed: options.seed, name };
    let spectra = spectra::spectra(&source, std::slice::from_ref(&statistics), &[key], options)?;
    let spectra = spectra.into_iter().next().unwrap_or_default();
    Ok(Outcome::Finite(Box::new(pair_summary(&source, &statistics, spectra))))
}

pub(crate) fn pair_summary(source: &Source<'_>, statistics: &Statistics, spectra: Spectra) -> PairSummary {
    let Spectra { mut of, overlap, passes } = spectra;
    let mut summary = |operator: Operator| {
        let unit = -source.exponent(operator);
        matrix_summary(statistics.frobenius[operator as usize], of[operator as usize].take(), unit)
    };
    PairSummary {
        a: summary(Operator::A),
        b: summary(Operator::B),
        delta: summary(Operator::Delta),
        cosine_similarity: statistics.cosine_similarity,
        delta_mean: statistics.mean,
        delta_standard_deviation: statistics.standard_deviation,
        delta_abs_mean: statistics.abs_mean,
        delta_abs_max: statistics.abs_max,
        changed: statistics.changed,
        top_overlap: overlap,
        passes: statistics.passes + passes,
    }
}

/// From the unit of the operator's scale, 2^−`unit`, to that of the entries.
fn matrix_summary(frobenius: f64, spectrum: Option<Spectrum>, unit: i32) -> MatrixSummary {
    let mut summary = MatrixSummary {
        frobenius,
        spectral: None,
        spectral_interval: None,
        stable_rank: None,
        stable_rank_interval: None,
        stop: None,
        participation_ratio: None,
        entropy_effective_rank: None,
        singular_values: Vec::new(),
        full_spectrum: None,
    };
    let Some(spectrum) = spectrum else { return summary };
    let [lower, upper] = spectrum.norm.map(|bound| scale(bound, unit));
    let norm = Interval { lower, upper };
    summary.spectral = Some(norm.midpoint());
    // The ratio first: squares of 1e200 overflow.
    let rank = |norm: f64| (frobenius / norm).powi(2).max(1.0);
    let ranks = (frobenius > 0.0).then(|| Interval { lower: rank(upper), upper: rank(lower) });
    summary.stable_rank = ranks.map(Interval::midpoint);
    if spectrum.stop.is_some() {
        summary.spectral_interval = Some(norm);
        summary.stable_rank_interval = ranks;
    }
    summary.stop = spectrum.stop;
    summary.participation_ratio = spectrum.ranks.map(|ranks| ranks.participation_ratio);
    summary.entropy_effective_rank = spectrum.ranks.map(|ranks| ranks.entropy);
    let value = |[value, lower, upper]: &[f64; 3]| SingularValue {
        value: scale(*value, unit),
        interval: Interval { lower: scale(*lower, unit), upper: scale(*upper, unit) },
    };
    summary.singular_values = spectrum.values.iter().map(value).collect();
    summary.full_spectrum = spectrum.full.then(|| full_spectrum(&summary.singular_values));
    summary
}

fn full_spectrum(values: &[SingularValue]) -> FullSpectrum {
    let values: Vec<f64> = values.iter().map(|value| value.value).collect();
    let largest = values.first().copied().unwrap_or(0.0);
    let energy: f64 = values.iter().map(|value| (value / largest).powi(2)).sum();
    let mut sum = 0.0;
    let below = values.iter().take_while(|value| {
        sum += (*value / largest).powi(2);
        sum < 0.99 * energy
    });
    let empirical_rank = if largest > 0.0 { below.count() + 1 } else { 0 };
    let last = values.last().copied().unwrap_or(0.0);
    let steps = values.len().saturating_sub(1).max(1) as f64;
    let depth = |(index, value): (usize, &f64)| {
        let line = largest + (last - largest) * index as f64 / steps;
        line - value
    };
    let depths = values.iter().enumerate().map(depth).enumerate();
    let deepest = depths.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
    FullSpectrum {
        nuclear_norm: values.iter().sum(),
        empirical_rank,
        elbow_index: deepest.filter(|_| largest > last).map(|(index, _)| index + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> FullSpectrum {
        let singular = |value: &f64| SingularValue {
            value: *value,
            interval: Interval { lower: *value, upper: *value },
        };
        full_spectrum(&values.iter().map(singular).collect::<Vec<_>>())
    }

    #[test]
    fn what_all_singular_values_tell() {
        let found = of(&[10.0, 9.0, 1.0, 0.5, 0.0]);
        assert_eq!((found.nuclear_norm, found.empirical_rank, found.elbow_index), (20.5, 2, Some(3)));
        assert_eq!(of(&[2.0, 2.0]).elbow_index, None);
        assert_eq!((of(&[0.0, 0.0]).empirical_rank, of(&[]).empirical_rank), (0, 0));
        assert_eq!(of(&[1e-200, 1e-200]).empirical_rank, 2);
    }
}
