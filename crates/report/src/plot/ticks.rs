//! The values that are written along an axis: round ones, and as their labels short numbers.

/// Values with their labels.
pub(super) type Ticks = Vec<(f64, String)>;

/// Labels of an axis of numbers, and of one of layers, at most.
const MOST: f64 = 8.0;
const MOST_INTEGERS: f64 = 13.0;

pub(super) fn linear(low: f64, high: f64) -> Ticks {
    let step = step((high - low) / MOST);
    let greatest = low.abs().max(high.abs());
    multiples(step, low, high).into_iter().map(|value| (value, linear_label(value, step, greatest))).collect()
}

pub(super) fn integers(low: f64, high: f64) -> Ticks {
    let step = step((high - low) / MOST_INTEGERS).max(1.0);
    multiples(step, low, high).into_iter().map(|value| (value, format!("{value}"))).collect()
}

/// Of a logarithmic axis: powers of ten, and where there are few of them 2 and 5 times these, or round numbers. Then the
/// values with a short line only.
pub(super) fn logarithmic(low: f64, high: f64) -> (Ticks, Vec<f64>) {
    let decades: Vec<i32> = (decade(low)..=decade(high)).collect();
    let every = (decades.len() as f64 / (MOST + 1.0)).ceil().max(1.0) as i32;
    let in_range = |value: f64| (low..=high).contains(&value);
    let times = |digits: &[u8]| -> Vec<(u8, i32)> {
        let of_decade = |decade: &i32| digits.iter().map(|digit| (*digit, *decade)).collect::<Vec<_>>();
        decades
            .iter()
            .filter(|decade| *decade % every == 0)
            .flat_map(of_decade)
            .filter(|(digit, decade)| in_range(f64::from(*digit) * power(*decade)))
            .collect()
    };
    let value = |(digit, decade): &(u8, i32)| f64::from(*digit) * power(*decade);
    let mut labelled = times(&[1]);
    if labelled.len() < 3 {
        labelled = times(&[1, 2, 5]);
    }
    if labelled.len() < 2 {
        return (linear(low, high), Vec::new());
    }
    let small = labelled.iter().all(|(_, decade)| (-3..=3).contains(decade));
    let label = |(digit, decade): &(u8, i32)| match digit {
        _ if small => format!("{:.*}", usize::try_from(-decade).unwrap_or(0), value(&(*digit, *decade))),
        1 => format!("10{}", superscript(*decade)),
        digit => format!("{digit}×10{}", superscript(*decade)),
    };
    let ticks = labelled.iter().map(|tick| (value(tick), label(tick))).collect();
    let minor = if every == 1 { times(&[2, 3, 4, 5, 6, 7, 8, 9]) } else { Vec::new() };
    (ticks, minor.iter().map(value).collect())
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
    minus(format!("{:.digits$}", value / power(exponent))) + "×10" + &superscript(exponent)
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

    fn labels(ticks: &[(f64, String)]) -> String {
        ticks.iter().map(|(_, label)| label.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn linear_labels_are_round() {
        assert_eq!(labels(&linear(0.0, 1.05)), "0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(labels(&linear(9.4, 11.1)), "9.5 10.0 10.5 11.0");
        assert_eq!(labels(&linear(-2.1, 1.1)), "−2.0 −1.5 −1.0 −0.5 0 0.5 1.0");
        assert_eq!(labels(&linear(0.0, 3e-7)), "0 0.5×10⁻⁷ 1.0×10⁻⁷ 1.5×10⁻⁷ 2.0×10⁻⁷ 2.5×10⁻⁷ 3.0×10⁻⁷");
        assert_eq!(labels(&linear(-2e6, 0.0)), "−2.0×10⁶ −1.5×10⁶ −1.0×10⁶ −0.5×10⁶ 0");
        assert_eq!(
            labels(&linear(0.99998, 0.99999)),
            "0.999980 0.999982 0.999984 0.999986 0.999988 0.999990"
        );
    }

    #[test]
    fn layers_are_integers() {
        let layers = |count: u32| labels(&integers(0.0, f64::from(count - 1)));
        assert_eq!(layers(1), "0");
        assert_eq!(layers(6), "0 1 2 3 4 5");
        assert_eq!(layers(24), "0 2 4 6 8 10 12 14 16 18 20 22");
        assert_eq!(layers(100), "0 10 20 30 40 50 60 70 80 90");
    }

    #[test]
    fn logarithmic_labels_are_powers_of_ten_or_as_many_others_as_it_takes() {
        let of = |low, high| labels(&logarithmic(low, high).0);
        assert_eq!(of(1e-5, 3e-2), "10⁻⁵ 10⁻⁴ 10⁻³ 10⁻²");
        assert_eq!(of(1e-20, 1.0), "10⁻¹⁸ 10⁻¹⁵ 10⁻¹² 10⁻⁹ 10⁻⁶ 10⁻³ 10⁰");
        assert_eq!(of(0.05, 30.0), "0.1 1 10");
        assert_eq!(of(0.05, 0.7), "0.05 0.1 0.2 0.5");
        assert_eq!(of(3e-6, 4e-5), "5×10⁻⁶ 10⁻⁵ 2×10⁻⁵");
        assert_eq!(of(1.05, 1.8), "1.1 1.2 1.3 1.4 1.5 1.6 1.7 1.8");
        assert_eq!(logarithmic(1.0, 30.0).1, [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 20.0, 30.0]);
    }
}
