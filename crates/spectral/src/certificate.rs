//! Upper bounds of λ₁(B), B = MᵀM (n × n), from k steps of block Lanczos with a random start: proof sketches.
//!
//! **Setting.** Q has orthonormal columns and begins with the start block V₁ = QE₁ (n × b), whose span is uniformly
//! distributed among b-dimensional subspaces; V is the next block, orthonormal and orthogonal to Q; and
//! BQ = QT + VβEₖᵀ + F, where ‖F‖₂ ≤ φ collects what rounding did. θ₁ is the largest eigenvalue of T.
//!
//! **Lower bound.** θ₁ is a Rayleigh quotient up to QᵀF, so λ₁ ≥ θ₁ − φ.
//!
//! **Bound D, deterministic.** In the basis (Q, V, rest), B has the leading block T, then β, then a positive
//! semidefinite remainder C whose trace is ρ = tr B − tr T, with tr B = ‖M‖²_F. As C ⪯ ρI, λ₁(B) is at most the largest
//! eigenvalue of [[T, Eₖβᵀ], [βEₖᵀ, ρI]]; F moves that by at most 2φ, and ρ by at most the size of T times φ. Sharp
//! once ρ < θ₁: spectra with a few directions.
//!
//! **Bound P, probabilistic, any spectrum.** Let Bx = λx, ‖x‖ = 1, λ = λ₁. By symmetry of the normal distribution,
//! ‖V₁ᵀx‖² is Beta(b/2, (n−b)/2) distributed, and for c = (n−b)/2 ≥ 1 its distribution function is at most
//! τ^(b/2) Γ(n/2) / (Γ(b/2+1) Γ(c)), since (1−t)^(c−1) ≤ 1. So ‖V₁ᵀx‖² > τ but for probability δ, where
//! τ = [δ Γ(b/2+1) Γ((n−b)/2) / Γ(n/2)]^(2/b). This is one event whatever the number of steps.
//!
//! Multiply the relation by xᵀ: with z = Qᵀx and y = Vᵀx, λz = Tz + Eₖβᵀy + Fᵀx. If λ > θ₁ then
//! z = z₀ + (λ−T)⁻¹Fᵀx, z₀ = (λ−T)⁻¹Eₖβᵀy. Here E₁ᵀz = V₁ᵀx, and ‖z‖² + ‖y‖² ≤ 1. With
//! g(λ) = max over y of ‖E₁ᵀz₀‖² / (‖y‖² + ‖z₀‖²), L(λ) = ‖E₁ᵀ(λ−T)⁻¹‖ and ‖z₀‖ ≤ ‖z‖ + φ/(λ−θ₁):
//! ‖V₁ᵀx‖ ≤ √g(λ) · (1 + φ/(λ−θ₁)) + L(λ) φ =: h(λ). Every λ with h(λ) ≤ √τ is excluded as an eigenvalue.
//!
//! **The march.** g is not monotone for b > 1, so all λ' ≥ λ must be excluded one by one. From
//! z₀(λ') = z₀(λ) − (λ'−λ)(λ'−T)⁻¹z₀(λ) and its mirror image,
//! √g(λ') ≤ (√g(λ) + sL(λ)) (1 + s/(λ−θ₁)), s = λ'−λ; L and φ/(λ−θ₁) decrease. So an excluded λ excludes a stretch to
//! its right, and the next point is taken near its end. Block elimination of λ − T gives E₁ᵀz₀ = C₁⁻ᵀN₂ᵀ⋯Nₖᵀ(Cₖ⁻¹βᵀ)y
//! (see [`Elimination`]); the product Φ(λ) of the factors' norms decreases as λ grows, since Schur complements do. Where
//! Φ + Lφ ≤ √τ all that is right of λ is excluded, and the march ends; it also ends at tr B.
//!
//! **Sources.** Block Lanczos: Golub and Underwood 1977. The case b = 1 of P: van Dorsselaer, Hochstenbach and van der
//! Vorst, SIAM J. Matrix Anal. Appl. 22 (2000) 837–852; Hochstenbach, J. Sci. Comput. 57 (2013) 464–476; a-priori form:
//! Kuczyński and Woźniakowski, SIAM J. Matrix Anal. Appl. 13 (1992) 1094–1122. The block form, the march and the
//! round-off terms were derived for this project; the tests below compare their violation rates with δ.
//!
//! **What is assumed.** φ is not bounded from the floating-point model, whose worst case is useless at these sizes. It
//! is an allowance of three times the largest residual that tests against f64 arithmetic have shown
//! ([`crate::lanczos`]).

use crate::tridiagonal::{Elimination, Tridiagonal};

/// Points of a march at most; beyond them nothing is claimed.
const MARCH: usize = 1000;
/// Halvings of the tolerance that an interval is narrowed by where that costs no further read.
const HALVINGS: i32 = 3;

/// √τ: a fixed eigenvector's part in the span of a random block is smaller with probability at most `failure`.
/// 0 if the dimension is too small for the closed form. B must be even.
pub(crate) fn threshold<const B: usize>(dimension: usize, failure: f64) -> f64 {
    const { assert!(B.is_multiple_of(2)) };
    if dimension < B + 2 {
        return 0.0;
    }
    let half = dimension as f64 / 2.0;
    // Γ(b/2+1) Γ(n/2−b/2) / Γ(n/2) = Π i / (n/2 − i), i = 1 … b/2
    let ratio: f64 = (1..=B / 2).map(|i| i as f64 / (half - i as f64)).product();
    (failure * ratio).powf(1.0 / B as f64).min(1.0)
}

/// Bounds of λ₁ after some steps.
pub(crate) struct Certificate<'a, const B: usize> {
    tridiagonal: &'a Tridiagonal<B>,
    /// Lower and upper bound of θ₁.
    theta: (f64, f64),
    /// tr B
    trace: f64,
    /// φ
    residual_error: f64,
    /// √τ
    threshold: f64,
}

impl<'a, const B: usize> Certificate<'a, B> {
    /// `theta` as [`Tridiagonal::largest_eigenvalue`] gives it; `residual_error` bounds ‖F‖₂.
    pub(crate) fn new(
        tridiagonal: &'a Tridiagonal<B>,
        theta: (f64, f64),
        trace: f64,
        residual_error: f64,
        threshold: f64,
    ) -> Self {
        Self { tridiagonal, theta, trace, residual_error, threshold }
    }

    /// A lower bound of λ₁.
    pub(crate) fn lower(&self) -> f64 {
        (self.theta.0 - self.residual_error).max(0.0)
    }

    /// An upper bound of λ₁ at most (1 + tolerance)² times the lower one, if it can be had.
    pub(crate) fn upper_within(&self, tolerance: f64) -> Option<f64> {
        let at = |halvings: i32| {
            let width = tolerance / f64::from(2).powi(halvings);
            self.lower() * (1.0 + width).powi(2)
        };
        if !self.may_hold_from(at(0)) {
            return None;
        }
        let narrow = (1..=HALVINGS).take_while(|halvings| self.may_hold_from(at(*halvings))).last();
        (0..=narrow.unwrap_or(0)).rev().map(at).find(|lambda| self.holds_from(*lambda))
    }

    /// The best upper bound of λ₁, to within a tenth of its distance from the lower one.
    pub(crate) fn upper(&self) -> f64 {
        let mut distance = 1e-6;
        loop {
            let lambda = self.lower() * (1.0 + distance);
            if lambda >= self.trace {
                return self.trace;
            }
            if self.holds_from(lambda) {
                return lambda;
            }
            distance *= 1.1;
        }
    }

    /// The best upper bound, if the allowance for rounding lets no number of further steps reach this relative width of
    /// √λ₁, nor make the bound much better.
    pub(crate) fn upper_limited_by_rounding(&self, tolerance: f64) -> Option<f64> {
        let allows = |distance: f64| {
            let elimination = Elimination::new(self.tridiagonal, self.lower() * (1.0 + distance));
            elimination.is_some_and(|it| it.response() * self.residual_error < self.threshold)
        };
        if allows((1.0 + tolerance).powi(2) - 1.0) {
            return None;
        }
        let mut distance = 1e-6;
        while !allows(distance) && distance < 1.0 {
            distance *= 1.2;
        }
        self.holds_from(self.lower() * (1.0 + 2.0 * distance)).then(|| self.upper())
    }

    /// A quick test that [`Self::holds_from`] cannot pass without.
    fn may_hold_from(&self, lambda: f64) -> bool {
        self.deterministic(lambda) || self.excluded(lambda, false).is_some()
    }

    /// True if λ₁ is at most this λ: for certain, or but for the failure probability.
    fn holds_from(&self, lambda: f64) -> bool {
        self.deterministic(lambda) || self.march(lambda)
    }

    /// Bound D.
    fn deterministic(&self, lambda: f64) -> bool {
        let size = self.tridiagonal.size() as f64;
        let rho = (self.trace - self.tridiagonal.trace()).max(0.0) + size * self.residual_error;
        let lambda = lambda - 2.0 * self.residual_error;
        if rho >= lambda {
            return false;
        }
        Elimination::new(self.tridiagonal, lambda)
            .is_some_and(|elimination| elimination.clears_border(lambda, rho))
    }

    /// Bound P.
    fn march(&self, from: f64) -> bool {
        let mut lambda = from;
        for step in 0..MARCH {
            match self.excluded(lambda, step % 3 == 0) {
                Some(Excluded::AllAbove) => return true,
                Some(Excluded::Stretch(length)) => lambda += length,
                None => return false,
            }
            if lambda >= self.trace {
                return true;
            }
        }
        false
    }

    /// What P excludes from λ on, if it excludes λ; all above only if that is looked for.
    fn excluded(&self, lambda: f64, all_above: bool) -> Option<Excluded> {
        let elimination = Elimination::new(self.tridiagonal, lambda)?;
        let response = elimination.response();
        let left = self.threshold - response * self.residual_error;
        // A distance of some rounding errors from θ₁ would make what follows meaningless.
        let distance = lambda - self.theta.1;
        if left <= 0.0 || distance <= 1e-9 * lambda {
            return None;
        }
        if all_above && elimination.product_bound() <= left {
            return Some(Excluded::AllAbove);
        }
        let overlap = elimination.overlap();
        let allowed = left / (1.0 + self.residual_error / distance);
        if overlap >= allowed {
            return None;
        }
        // (overlap + s·response)(1 + s/distance) = allowed, solved for s.
        let (a, b, c) = (response / distance, response + overlap / distance, overlap - allowed);
        let stretch = -2.0 * c / (b + (b * b - 4.0 * a * c).sqrt());
        Some(Excluded::Stretch(0.99 * stretch))
    }
}

enum Excluded {
    /// All that is larger.
    AllAbove,
    /// So much to the right.
    Stretch(f64),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanczos::Lanczos;
    use crate::random::Key;
    use crate::source::Operator;

    /// Lanczos on diag(values), with a start block of its own for each seed.
    fn run<const B: usize>(values: &[f64], seed: u64, steps: usize) -> Lanczos<B> {
        let random = Key { seed, name: "calibration" }.generator(Operator::A, 0);
        let mut lanczos = Lanczos::<B>::new(values.len(), random);
        for _ in 0..steps {
            lanczos.absorb_diagonal(values);
        }
        lanczos
    }

    fn certificate<'a, const B: usize>(
        lanczos: &'a Lanczos<B>,
        values: &[f64],
        failure: f64,
    ) -> Certificate<'a, B> {
        let theta = lanczos.tridiagonal().largest_eigenvalue(0.0);
        let threshold = threshold::<B>(values.len(), failure);
        let error = lanczos.residual_error(theta.1);
        Certificate::new(lanczos.tridiagonal(), theta, values.iter().sum(), error, threshold)
    }

    #[test]
    fn the_threshold_bounds_the_overlap_with_a_random_block() {
        // Closed form for n = 4, b = 2: ‖V₁ᵀx‖² is uniform on [0, 1], so τ = δ.
        assert!((threshold::<2>(4, 0.25).powi(2) - 0.25).abs() < 1e-15);
        assert_eq!(threshold::<8>(9, 0.1), 0.0);
        // How often a fixed coordinate's share of the block is smaller.
        for failure in [0.5, 0.1] {
            let threshold = threshold::<8>(60, failure);
            let trials = 1000;
            let below = (0..trials)
                .filter(|seed| {
                    let lanczos = run::<8>(&[1.0; 60], *seed, 0);
                    let block = lanczos.newest();
                    let share = |k: usize| f64::from(block.values[k * block.stride]).powi(2);
                    (0..8).map(share).sum::<f64>() <= threshold.powi(2)
                })
                .count() as f64;
            let rate = below / f64::from(trials as u32);
            assert!(rate <= failure + 0.05 && rate >= 0.2 * failure, "{rate} for {failure}");
        }
    }

    /// How often bound P alone excludes λ₁, over many start blocks. What it excludes from λ on it excludes from any
    /// larger λ on, so the best bound misses exactly if the march starts just below λ₁ and succeeds.
    fn violations<const B: usize>(values: &[f64], steps: usize, failure: f64, seeds: u64) -> f64 {
        let missed = (0..seeds).filter(|seed| {
            let lanczos = run::<B>(values, *seed, steps);
            let certificate = certificate(&lanczos, values, failure);
            certificate.march(values[0] * (1.0 - 1e-6))
        });
        missed.count() as f64 / seeds as f64
    }

    #[test]
    fn bound_p_fails_no_oftener_than_it_says() {
        let slow: Vec<f64> = (0..120).map(|i| (1.0 + f64::from(i)).powf(-0.3)).collect();
        let spike: Vec<f64> =
            (0..120).map(|i| if i == 0 { 1.0 } else { 0.7 - 0.005 * f64::from(i) }).collect();
        let edge: Vec<f64> = (0..200).map(|i| 1.0 - (f64::from(i) / 200.0).powf(0.7) * 0.9).collect();
        let (mut sharpest, mut sharpest_few) = (0.0f64, 0.0f64);
        for (failure, seeds) in [(0.5, 400), (0.1, 800), (0.01, 1500)] {
            let rates = [
                ("slow, b = 2", violations::<2>(&slow, 4, failure, seeds)),
                ("spike, b = 2", violations::<2>(&spike, 3, failure, seeds)),
                ("edge, b = 2", violations::<2>(&edge, 4, failure, seeds)),
                ("slow, b = 4", violations::<4>(&slow, 3, failure, seeds)),
                ("spike, b = 4", violations::<4>(&spike, 2, failure, seeds)),
                ("slow, b = 8", violations::<8>(&slow, 2, failure, seeds)),
                ("spike, b = 8", violations::<8>(&spike, 2, failure, seeds)),
            ];
            for (what, rate) in rates {
                println!("δ = {failure}: {what}: {rate:.4}");
                // Three standard deviations of the count above δ.
                let limit = failure + 3.0 * (failure * (1.0 - failure) / seeds as f64).sqrt();
                assert!(rate <= limit, "{what}: {rate} for {failure}");
                if failure == 0.1 {
                    sharpest = sharpest.max(rate);
                } else if failure == 0.01 {
                    sharpest_few = sharpest_few.max(rate);
                }
            }
        }
        // Sharp on some spectrum, not merely safe on all.
        assert!(sharpest > 0.06 && sharpest_few > 0.002, "{sharpest} {sharpest_few}");
    }

    #[test]
    fn the_truth_is_within_at_every_step_whatever_the_spectrum() {
        let spectra: [(&str, Vec<f64>); 9] = [
            ("flat", vec![2.0; 150]),
            ("clustered", (0..150).map(|i| 1.0 - 1e-5 * f64::from(i)).collect()),
            ("twenty equal at the top", (0..150).map(|i| if i < 20 { 1.0 } else { 0.5 }).collect()),
            ("rank 1", (0..150).map(|i| if i < 1 { 3.0 } else { 0.0 }).collect()),
            ("rank 3", (0..150).map(|i| if i < 3 { 3.0 } else { 0.0 }).collect()),
            ("rank 8", (0..150).map(|i| if i < 8 { 9.0 - f64::from(i) } else { 0.0 }).collect()),
            ("a spike on noise", (0..150).map(|i| if i < 1 { 1.0 } else { 1e-3 }).collect()),
            ("power law", (0..150).map(|i| 1.0 / (1.0 + f64::from(i))).collect()),
            ("edge", (0..150).map(|i| 1.0 - (f64::from(i) / 150.0).powf(0.7)).collect()),
        ];
        for (name, values) in &spectra {
            let (mut widest, mut settled) = (0.0f64, 0);
            for seed in 0..20 {
                for steps in [1, 2, 4, 8] {
                    let lanczos = run::<8>(values, seed, steps);
                    let certificate = certificate(&lanczos, values, 1e-6);
                    let (lower, upper) = (certificate.lower(), certificate.upper());
                    assert!(lower <= values[0] && values[0] <= upper, "{name}: [{lower}, {upper}]");
                    if let Some(upper) = certificate.upper_within(1e-4) {
                        settled += 1;
                        assert!(values[0] <= upper && upper <= lower * (1.0 + 1e-4f64).powi(2));
                    }
                    if steps == 8 {
                        widest = widest.max(upper / lower - 1.0);
                    }
                }
            }
            println!("{name}: {settled} of 80 settled, widest {widest:.1e}");
            assert!(widest < 0.05 && (settled > 0 || *name == "edge"), "{name}: {widest}");
        }
    }

    #[test]
    fn what_rounding_allows_is_noticed() {
        let values: Vec<f64> = (0..300).map(|i| 1.0 / (1.0 + f64::from(i))).collect();
        let lanczos = run::<8>(&values, 1, 12);
        let certificate = certificate(&lanczos, &values, 1e-9);
        let upper = certificate.upper_limited_by_rounding(2e-6).unwrap();
        assert!(upper > 1.0 && upper < 1.0 + 1e-4, "{upper}");
        assert!(certificate.upper_within(1e-4).is_some() && certificate.upper_within(2e-6).is_none());
        assert!(certificate.upper_limited_by_rounding(1e-4).is_none());
    }
}
