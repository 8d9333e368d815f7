//! From values to places along an axis, and the values that are written there.

/// Along an axis from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scale {
    kind: Kind,
    low: f64,
    high: f64,
    /// Values with a label.
    pub(super) ticks: Vec<(f64, String)>,
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

/// From this ratio of the largest value to the smallest on, an axis is logarithmic.
const DECADES: f64 = 100.0;
/// An axis that begins so near to zero, as a share of its end, may as well begin there.
const NEAR_ZERO: f64 = 0.3;
/// Room above and below the values, as a share of their range.
const MARGIN: f64 = 0.06;
/// Where zero stands on a logarithmic axis, where the axis is broken, and where its logarithmic part begins.
const ZERO_AT: f64 = 0.04;
const LOG_FROM: f64 = 0.13;
/// Labels of an axis of numbers, and of one of layers, at most.
const TICKS: f64 = 8.0;
const INTEGER_TICKS: f64 = 13.0;

impl Scale {
    /// An axis for these values, and for the ends of their intervals. It is logarithmic where the values span decades,
    /// else it begins at zero if asked to.
    pub(super) fn of(values: &[f64], ends: &[f64], from_zero: bool) -> Self {
        let positive = || values.iter().copied().filter(|value| *value > 0.0);
        let (least, most) = range(positive());
        if values.iter().all(|value| *value >= 0.0) && most / least >= DECADES {
            // An interval may reach down to nothing; the axis does not.
            let ends = ends.iter().copied().filter(|end| *end >= least / 10.0);
            let (low, high) = range(positive().chain(ends));
            return Self::log(low, high, values.contains(&0.0));
        }
        let (low, high) = range(values.iter().chain(ends).copied());
        let begins_at_zero = from_zero || (low > 0.0 && low < NEAR_ZERO * high);
        let low = if begins_at_zero { low.min(0.0) } else { low };
        Self::linear(low, high)
    }

    fn linear(low: f64, high: f64) -> Self {
        let span = if high > low { high - low } else { (high.abs() * 0.1).max(f64::MIN_POSITIVE) };
        let (low, high) = match (low.is_finite(), high > low) {
            (false, _) => (0.0, 1.0),
            (true, false) if low == 0.0 => (0.0, 1.0),
            (true, false) => (low - span, high + span),
            (true, true) => (if low == 0.0 { 0.0 } else { low - MARGIN * span }, high + MARGIN * span),
        };
        let step = step((high - low) / TICKS);
        let values = multiples(step, low, high);
        let greatest = low.abs().max(high.abs());
        let label = |value: f64| linear_label(value, step, greatest);
        let ticks = values.into_iter().map(|value| (value, label(value))).collect();
        Self { kind: Kind::Linear, low, high, ticks, minor: Vec::new() }
    }

    /// An axis without values.
    pub(super) const fn empty() -> Self {
        Self { kind: Kind::Linear, low: 0.0, high: 1.0, ticks: Vec::new(), minor: Vec::new() }
    }

    /// An axis of integers that are cells, without room beyond the first and the last.
    pub(super) fn cells(values: impl Iterator<Item = f64> + Clone) -> Self {
        let (low, high) = range(values.clone());
        Self { low: low - 0.5, high: high + 0.5, ..Self::integers(values) }
    }

    /// An axis of integers, such as layers.
    pub(super) fn integers(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = range(values);
        let step = step((high - low) / INTEGER_TICKS).max(1.0);
        let ticks = multiples(step, low, high).into_iter().map(|value| (value, format!("{value}")));
        let ticks = ticks.collect();
        let margin = (0.02 * (high - low)).max(0.5);
        Self { kind: Kind::Linear, low: low - margin, high: high + margin, ticks, minor: Vec::new() }
    }

    /// A logarithmic axis; with a place for zero below a break if asked for.
    pub(super) fn log(low: f64, high: f64, with_zero: bool) -> Self {
        let (low, high) = (low / 1.3, high * 1.3);
        let decades: Vec<i32> = (decade(low)..=decade(high)).collect();
        let every = (decades.len() as f64 / (TICKS + 1.0)).ceil().max(1.0) as i32;
        let in_range = |value: &f64| (low..=high).contains(value);
        let labelled = decades.iter().filter(|decade| *decade % every == 0 && in_range(&power(**decade)));
        let labelled: Vec<i32> = labelled.copied().collect();
        let small = labelled.iter().all(|decade| (-3..=3).contains(decade));
        let label = |decade: i32| {
            if small { format!("{}", power(decade)) } else { format!("10{}", superscript(decade)) }
        };
        let mut ticks: Vec<_> = labelled.into_iter().map(|decade| (power(decade), label(decade))).collect();
        let within = if every == 1 { 2..10 } else { 1..2 };
        let minor =
            decades.iter().flat_map(|decade| within.clone().map(|digit| f64::from(digit) * power(*decade)));
        let minor = minor.filter(in_range).collect();
        if with_zero {
            ticks.insert(0, (0.0, "0".into()));
        }
        Self { kind: Kind::Log { with_zero }, low, high, ticks, minor }
    }

    /// A logarithmic axis of indices from 1.
    pub(super) fn logarithmic_indices(last: f64) -> Self {
        let mut scale = Self::log(1.0, last, false);
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
                let share = (value.max(self.low) / self.low).log10() / (self.high / self.low).log10();
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

    #[cfg(test)]
    pub(super) fn is_log(&self) -> bool {
        self.kind != Kind::Linear
    }
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

/// The power of ten of the first digit.
fn decade(value: f64) -> i32 {
    // By its digits: a logarithm is not the same on every machine.
    format!("{value:e}").split('e').nth(1).and_then(|decade| decade.parse().ok()).unwrap_or_default()
}

fn power(decade: i32) -> f64 {
    format!("1e{decade}").parse().unwrap_or(1.0)
}

/// The next of 1, 2 and 5 times a power of ten.
fn step(least: f64) -> f64 {
    if !(least.is_finite() && least > 0.0) {
        return 1.0;
    }
    let unit = power(decade(least));
    [1.0, 2.0, 5.0].map(|digit| digit * unit).into_iter().find(|step| *step >= least).unwrap_or(10.0 * unit)
}

fn multiples(step: f64, low: f64, high: f64) -> Vec<f64> {
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|multiple| multiple as f64 * step).collect()
}

fn linear_label(value: f64, step: f64, greatest: f64) -> String {
    let minus = |text: String| text.replace('-', "−");
    if value == 0.0 {
        return "0".into();
    }
    let exponent = decade(greatest);
    if (-4..5).contains(&exponent) {
        return minus(format!("{value:.*}", usize::try_from(-decade(step)).unwrap_or(0)));
    }
    let digits = usize::try_from(exponent - decade(step)).unwrap_or(0);
    minus(format!("{:.digits$}×10{}", value / power(exponent), superscript(exponent)))
}

fn superscript(number: i32) -> String {
    let digit = |character: char| match character.to_digit(10) {
        Some(digit) => ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'][digit as usize],
        None => '⁻',
    };
    number.to_string().chars().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> String {
        scale.ticks.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn values_that_span_decades_have_a_logarithmic_axis() {
        let scale = Scale::of(&[1e-5, 3e-2], &[], true);
        assert_eq!((scale.is_log(), labels(&scale).as_str()), (true, "10⁻⁵ 10⁻⁴ 10⁻³ 10⁻²"));
        assert!(!Scale::of(&[1.0, 99.0], &[], true).is_log());
        assert!(!Scale::of(&[-1.0, 1e-5, 1.0], &[], true).is_log(), "a negative value has no logarithm");
        assert!(!Scale::of(&[1.0, 2.0], &[1e-9], false).is_log(), "an interval alone does not make it so");
        assert_eq!(labels(&Scale::of(&[0.05, 20.0], &[], true)), "0.1 1 10");
        assert_eq!(labels(&Scale::log(1e-20, 1.0, false)), "10⁻¹⁸ 10⁻¹⁵ 10⁻¹² 10⁻⁹ 10⁻⁶ 10⁻³ 10⁰");
    }

    #[test]
    fn zero_has_a_place_of_its_own_on_a_logarithmic_axis() {
        let scale = Scale::of(&[0.0, 1e-3, 1.0], &[], true);
        assert_eq!(labels(&scale), "0 0.001 0.01 0.1 1");
        assert!(scale.position(0.0) < scale.break_at().unwrap_or(0.0));
        assert!(scale.position(1e-9) > scale.break_at().unwrap_or(1.0), "small is not zero");
        assert!(!scale.joins(0.0, 1e-3) && scale.joins(1e-3, 1.0));
        assert_eq!(Scale::of(&[1e-3, 1.0], &[], true).break_at(), None);
    }

    #[test]
    fn linear_axes_have_round_labels() {
        assert_eq!(labels(&Scale::of(&[0.2, 1.0], &[], true)), "0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(labels(&Scale::of(&[10.0, 11.0], &[9.5], false)), "9.5 10.0 10.5 11.0");
        assert_eq!(labels(&Scale::of(&[2.0, 10.0], &[], false)), "0 2 4 6 8 10", "near zero is from zero");
        assert_eq!(
            labels(&Scale::of(&[0.0, 3e-7], &[], true)),
            "0 0.5×10⁻⁷ 1.0×10⁻⁷ 1.5×10⁻⁷ 2.0×10⁻⁷ 2.5×10⁻⁷ 3.0×10⁻⁷"
        );
        assert_eq!(labels(&Scale::of(&[1.0, 250_000.0 / 1000.0], &[], true)).matches("×").count(), 0);
        assert_eq!(labels(&Scale::of(&[-2.0, 1.0], &[], true)), "−2.0 −1.5 −1.0 −0.5 0 0.5 1.0");
        assert_eq!(labels(&Scale::of(&[0.99998, 0.99999], &[], false)).split(' ').count(), 6);
    }

    #[test]
    fn one_value_and_no_value_have_an_axis_too() {
        assert_eq!(Scale::of(&[5.0], &[], false).position(5.0), 0.5);
        assert_eq!(labels(&Scale::of(&[0.0, 0.0], &[], true)), "0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(labels(&Scale::of(&[], &[], true)), "0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(labels(&Scale::of(&[1.0], &[], false)).split(' ').count(), 5);
    }

    #[test]
    fn layers_are_integers() {
        let layers = |count: u32| labels(&Scale::integers((0..count).map(f64::from)));
        assert_eq!(layers(1), "0");
        assert_eq!(layers(6), "0 1 2 3 4 5");
        assert_eq!(layers(24), "0 2 4 6 8 10 12 14 16 18 20 22");
        assert_eq!(layers(100), "0 10 20 30 40 50 60 70 80 90");
    }
}
