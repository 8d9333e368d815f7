//! Means over the whole spectrum from a few Lanczos steps: stochastic Lanczos quadrature (Bai, Fahey and Golub 1996;
//! Ubaru, Chen and Saad 2017).
//!
//! For a random start block, tr f(B) is about n/b · Σ ‖E₁ᵀsᵢ‖² f(θᵢ) over the eigenpairs (θᵢ, sᵢ) of T. Ritz pairs that
//! have converged to a single eigenvalue are counted once each instead of by their weight, and the rest is scaled so that tr B = ‖M‖²_F holds
//! exactly. The b start vectors are b samples: leaving each out in turn (the jackknife) tells the standard error.

use crate::tridiagonal::Ritz;

/// A number and how well it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Two standard errors, or a bound where the documentation of the number says so; 0 where it was computed from all
    /// singular values.
    pub error: f64,
}

/// The two effective ranks of a spectrum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EffectiveRanks {
    /// (Σσ²)² / Σσ⁴
    pub(crate) participation_ratio: Estimate,
    /// exp(−Σ pᵢ ln pᵢ), pᵢ = σᵢ² / Σσ²
    pub(crate) entropy: Estimate,
}

/// A Ritz value may be taken for an eigenvalue if its residual is a smaller part of the gap to its neighbours, so that it
/// does not stand for several in between,
const SEPARATE: f64 = 0.5;
/// or a smaller part of itself,
const CONVERGED: f64 = 1e-3;
/// and if by its weight it does not stand for more eigenvalues than this.
const ONE: f64 = 2.5;

/// From all eigenvalues of B, whose sum is positive.
pub(crate) fn exact(eigenvalues: &[f64]) -> EffectiveRanks {
    let trace: f64 = eigenvalues.iter().sum();
    let sums = Sums::of(eigenvalues.iter().map(|value| (1.0, *value / trace)));
    let of = |value: f64| Estimate { value: value.max(1.0), error: 0.0 };
    EffectiveRanks { participation_ratio: of(sums.participation_ratio()), entropy: of(sums.entropy_rank()) }
}

/// From the Ritz pairs of a random start block in so many dimensions, and tr B > 0.
pub(crate) fn estimate<const B: usize>(ritz: &Ritz<B>, trace: f64, dimension: usize) -> EffectiveRanks {
    let norm = |coordinates: &[f64; B]| coordinates.iter().map(|entry| entry * entry).sum::<f64>();
    let (converged, rest): (Vec<usize>, Vec<usize>) = (0..ritz.values.len()).partition(|index| {
        let multiplicity = dimension as f64 / B as f64 * norm(&ritz.first[*index]);
        let residual = norm(&ritz.residual[*index]).sqrt();
        let value = ritz.values[*index];
        let neighbours = [index.wrapping_sub(1), index + 1].map(|other| ritz.values.get(other));
        let gap = neighbours.into_iter().flatten().map(|other| (other - value).abs()).fold(value, f64::min);
        residual <= (SEPARATE * gap).max(CONVERGED * value) && multiplicity <= ONE
    });
    let share = |index: usize| ritz.values[index].max(0.0) / trace;
    let known = Sums::of(converged.iter().map(|index| (1.0, share(*index))));
    let samples: Vec<Sums> = (0..B)
        .map(|column| Sums::of(rest.iter().map(|index| (ritz.first[*index][column].powi(2), share(*index)))))
        .collect();
    let without = |left_out: Option<usize>| {
        let mut total = Sums::default();
        for (column, sample) in samples.iter().enumerate() {
            if Some(column) != left_out {
                total.add(1.0, sample);
            }
        }
        let missing = (1.0 - known.share).max(0.0);
        let scale = if total.share > 0.0 { missing / total.share } else { 0.0 };
        let mut sums = known;
        sums.add(scale, &total);
        sums
    };
    let all = without(None);
    let left_out: Vec<Sums> = (0..B).map(|column| without(Some(column))).collect();
    let of = |rank: fn(&Sums) -> f64| {
        let value = rank(&all);
        let ranks: Vec<f64> = left_out.iter().map(rank).collect();
        let mean = ranks.iter().sum::<f64>() / B as f64;
        let spread: f64 = ranks.iter().map(|rank| (rank - mean).powi(2)).sum();
        let standard_error = ((B - 1) as f64 / B as f64 * spread).sqrt();
        Estimate { value: value.max(1.0), error: 2.0 * standard_error }
    };
    EffectiveRanks { participation_ratio: of(Sums::participation_ratio), entropy: of(Sums::entropy_rank) }
}

/// Sums over eigenvalues as shares p of the trace.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    /// Σp
    share: f64,
    /// Σp²
    square: f64,
    /// −Σ p ln p
    entropy: f64,
}

impl Sums {
    /// Of weights and shares.
    fn of(weighted: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut sums = Self::default();
        for (weight, share) in weighted.filter(|(_, share)| *share > 0.0) {
            sums.share += weight * share;
            sums.square += weight * share * share;
            sums.entropy -= weight * share * share.ln();
        }
        sums
    }

    fn add(&mut self, factor: f64, other: &Self) {
        self.share += factor * other.share;
        self.square += factor * other.square;
        self.entropy += factor * other.entropy;
    }

    fn participation_ratio(&self) -> f64 {
        1.0 / self.square
    }

    fn entropy_rank(&self) -> f64 {
        self.entropy.exp()
    }
}
