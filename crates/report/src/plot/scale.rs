//! From values to places along an axis.

use super::ticks::{self, Ticks};

/// Along an axis from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    kind: Kind,
    low: f64,
    high: f64,
    /// Values with a label.
    pub(super) ticks: Ticks,
    /// Values with a short line only.
    pub(super) minor: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Linear,
    /// A logarithm has no zero: values that are zero have a place of their own below a break of the axis.
    Log {
        with_zero: bool,
    },
}

/// What is known of the values of an axis before they are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// They are sizes: zero is a natural begin.
    Sizes,
    /// They may be far from zero, as cosines are from it.
    Any,
    /// They are differences, whose sign matters: never logarithmic.
    Signed,
}

/// From this ratio of the largest value to the smallest on, an axis is logarithmic.
const DECADES: f64 = 100.0;
/// An axis that begins so near to zero, as a share of its end, may as well begin there.
const NEAR_ZERO: f64 = 0.3;
/// Room above and below the values, as a share of their range, or as a factor.
const MARGIN: f64 = 0.06;
const LOG_MARGIN: f64 = 1.3;
/// Where a linear axis ends, so that its length is finite, and the largest ratio of the ends of a logarithmic one.
const GREATEST: f64 = 1e300;
/// Where zero stands on a logarithmic axis, and where its logarithmic part begins.
const ZERO_AT: f64 = 0.04;
const LOG_FROM: f64 = 0.13;

impl Scale {
    /// An axis for these values, and for the ends of their intervals; logarithmic where the values span decades.
    pub(super) fn of(values: &[f64], ends: &[f64], what: Values) -> Self {
        let positive = || values.iter().copied().filter(|value| *value > 0.0);
        let (least, most) = range(positive());
        let has_logarithms = what != Values::Signed && values.iter().all(|value| *value >= 0.0);
        if has_logarithms && most / least >= DECADES {
            // An interval may reach down to nothing; the axis does not.
            let ends = ends.iter().copied().filter(|end| *end >= least / 10.0);
            let (low, high) = range(positive().chain(ends));
            return Self::logarithmic(low, high, values.contains(&0.0));
        }
        let (low, high) = range(values.iter().chain(ends).copied());
        let from_zero = what == Values::Sizes || (low > 0.0 && low < NEAR_ZERO * high);
        Self::linear(if from_zero { low.min(0.0) } else { low }, high)
    }

    fn linear(low: f64, high: f64) -> Self {
        // The other way round, there are no values.
        let [low, high] =
            if low <= high { [low, high].map(|end| end.clamp(-GREATEST, GREATEST)) } else { [low, high] };
        let span = if high > low { high - low } else { (high.abs() * 0.1).max(f64::MIN_POSITIVE) };
        let (low, high) = match (low.is_finite(), high > low) {
            (false, _) => (0.0, 1.0),
            (true, false) if low == 0.0 => (0.0, 1.0),
            (true, false) => (low - span, high + span),
            (true, true) => (if low == 0.0 { 0.0 } else { low - MARGIN * span }, high + MARGIN * span),
        };
        Self { kind: Kind::Linear, low, high, ticks: ticks::linear(low, high), minor: Vec::new() }
    }

    /// An axis without values.
    pub(super) const fn empty() -> Self {
        Self { kind: Kind::Linear, low: 0.0, high: 1.0, ticks: Vec::new(), minor: Vec::new() }
    }

    /// An axis of integers, such as layers.
    pub(super) fn integers(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = range(values);
        let margin = (0.02 * (high - low)).max(0.5);
        let ticks = ticks::integers(low, high);
        Self { kind: Kind::Linear, low: low - margin, high: high + margin, ticks, minor: Vec::new() }
    }

    /// An axis of integers that are cells, without room beyond the first and the last.
    pub(super) fn cells(values: impl Iterator<Item = f64> + Clone) -> Self {
        let (low, high) = range(values.clone());
        Self { low: low - 0.5, high: high + 0.5, ..Self::integers(values) }
    }

    /// A logarithmic axis; with a place for zero below a break if asked for.
    pub(super) fn logarithmic(low: f64, high: f64, with_zero: bool) -> Self {
        let high = (high * LOG_MARGIN).min(f64::MAX);
        let low = (low / LOG_MARGIN).max(high / GREATEST);
        let (mut ticks, minor) = ticks::logarithmic(low, high);
        if with_zero {
            ticks.insert(0, (0.0, "0".into()));
        }
        Self { kind: Kind::Log { with_zero }, low, high, ticks, minor }
    }

    /// A logarithmic axis of indices from 1.
    pub(super) fn logarithmic_indices(last: f64) -> Self {
        let mut scale = Self::logarithmic(1.0, last, false);
        scale.minor.retain(|index| *index >= 1.0);
        scale
    }

    /// An axis of names, the first at the top.
    pub(super) fn categories(names: &[String]) -> Self {
        let high = names.len() as f64;
        let ticks = names.iter().enumerate().map(|(index, name)| (high - index as f64 - 0.5, name.clone()));
        Self { kind: Kind::Linear, low: 0.0, high, ticks: ticks.collect(), minor: Vec::new() }
    }

    /// Where a value stands, 0 to 1. What lies beyond the ends of the axis stands at its end.
    pub(super) fn position(&self, value: f64) -> f64 {
        match self.kind {
            Kind::Linear => ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0),
            Kind::Log { with_zero: true } if value == 0.0 => ZERO_AT,
            Kind::Log { with_zero } => {
                // Not the system's logarithm, which has other last digits on other machines.
                let share = libm::log10(value.max(self.low) / self.low) / libm::log10(self.high / self.low);
                let from = if with_zero { LOG_FROM } else { 0.0 };
                from + (1.0 - from) * share.clamp(0.0, 1.0)
            }
        }
    }

    /// True if a line may be drawn from one value to the next: not across the break of a logarithmic axis.
    pub(super) fn joins(&self, one: f64, other: f64) -> bool {
        self.kind == Kind::Linear || (one > 0.0 && other > 0.0)
    }

    /// Where a logarithmic axis is broken to have a place for zero.
    pub(super) fn break_at(&self) -> Option<f64> {
        (self.kind == Kind::Log { with_zero: true }).then_some(f64::midpoint(ZERO_AT, LOG_FROM))
    }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

#[cfg(test)]
mod tests {
    use super::Values::{Any, Signed, Sizes};
    use super::*;

    fn is_log(values: &[f64], ends: &[f64], what: Values) -> bool {
        Scale::of(values, ends, what).kind != Kind::Linear
    }

    fn labels(scale: &Scale) -> String {
        scale.ticks.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn values_that_span_decades_have_a_logarithmic_axis() {
        assert!(is_log(&[1e-5, 3e-2], &[], Sizes) && is_log(&[1.0, 100.0], &[], Any));
        assert!(!is_log(&[1.0, 99.0], &[], Sizes));
        assert!(!is_log(&[-1.0, 1e-5, 1.0], &[], Any), "a negative value has no logarithm");
        assert!(!is_log(&[0.0, 1e-5, 1.0], &[], Signed), "a difference keeps its sign");
        assert!(!is_log(&[1.0, 2.0], &[1e-9], Any), "an interval alone does not make it so");
    }

    #[test]
    fn zero_has_a_place_of_its_own_on_a_logarithmic_axis() {
        let scale = Scale::of(&[0.0, 1e-3, 1.0], &[], Sizes);
        assert_eq!(labels(&scale), "0 0.001 0.01 0.1 1");
        assert!(scale.position(0.0) < scale.break_at().unwrap_or(0.0));
        assert!(scale.position(1e-9) > scale.break_at().unwrap_or(1.0), "small is not zero");
        assert!(!scale.joins(0.0, 1e-3) && scale.joins(1e-3, 1.0));
        assert_eq!(Scale::of(&[1e-3, 1.0], &[], Sizes).break_at(), None);
    }

    #[test]
    fn sizes_begin_at_zero_and_others_where_it_is_near() {
        assert_eq!(Scale::of(&[5.0, 10.0], &[], Sizes).position(0.0), 0.0);
        assert_eq!(labels(&Scale::of(&[2.0, 10.0], &[], Any)), "0 2 4 6 8 10");
        assert_eq!(labels(&Scale::of(&[10.0, 11.0], &[9.5], Any)), "9.5 10.0 10.5 11.0");
        assert_eq!(labels(&Scale::of(&[-2.0, 1.0], &[], Signed)), "−2.0 −1.5 −1.0 −0.5 0 0.5 1.0");
    }

    #[test]
    fn one_value_and_no_value_have_an_axis_too() {
        assert_eq!(Scale::of(&[5.0], &[], Any).position(5.0), 0.5);
        assert_eq!(labels(&Scale::of(&[0.0, 0.0], &[], Sizes)), "0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(labels(&Scale::of(&[], &[], Sizes)), "0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(labels(&Scale::of(&[1.0], &[], Any)), "0.90 0.95 1.00 1.05 1.10");
    }
}
