//! Exponential and error function, written so that a compiler can put them into vector instructions.

use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

/// eˣ to about 2 units in the last place (the polynomial of Cephes' `expf`). Arguments beyond ±87 count as ±87.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2²³: adding it leaves the nearest integer in the low bits
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.0, 87.0);
    let shifted = x * LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let r = (x - whole * LN_2_HIGH) - whole * LN_2_LOW;
    let mut p = 1.987_569_1e-4;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        p = p * r + coefficient;
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3F80_0000));
    ((p * r) * r + r + 1.0) * power
}

/// 1 / (1 + e⁻ˣ).
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, to about 2e-7.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    2.0 * sigmoid(2.0 * x) - 1.0
}

/// The normal distribution function Φ(x), to about 2e-7 (Abramowitz and Stegun 7.1.26).
#[inline(always)]
pub(super) fn normal(x: f32) -> f32 {
    let z = x.abs() * FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let mut p = 1.061_405_4;
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        p = p * t + coefficient;
    }
    let tail = 0.5 * p * t * exp(-z * z);
    if x < 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points() -> impl Iterator<Item = f32> {
        (-20_000..=20_000).map(|step| step as f32 * 1e-3)
    }

    #[test]
    fn the_exponential_is_good_to_two_units_in_the_last_place() {
        for x in points().map(|x| x * 4.3) {
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2.5e-7, "{x}: {error:e}");
        }
        assert!(exp(f32::NAN).is_nan());
    }

    /// Φ by the power series of its integral in f64, which shares nothing with the approximation.
    fn exact_normal(x: f64) -> f64 {
        let (mut term, mut sum, mut k) = (x, x, 0.0);
        while term.abs() > 1e-18 {
            k += 1.0;
            term *= -x * x / (2.0 * k);
            sum += term / (2.0 * k + 1.0);
        }
        0.5 + sum / (2.0 * std::f64::consts::PI).sqrt()
    }

    #[test]
    fn tanh_and_normal_are_good_to_a_few_units_of_one() {
        for x in points() {
            assert!((f64::from(tanh(x)) - f64::from(x).tanh()).abs() < 3e-7, "tanh {x}");
            if x.abs() < 5.0 {
                assert!((f64::from(normal(x)) - exact_normal(x.into())).abs() < 4e-7, "normal {x}");
            }
        }
        assert!(normal(-20.0) <= 1e-30);
        assert_eq!(normal(20.0), 1.0);
    }
}
