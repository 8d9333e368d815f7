//! How findings say numbers, lists and ranges.

use std::collections::BTreeSet;

/// Three significant digits.
pub(crate) fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let exponent =
        format!("{value:.2e}").split_once('e').and_then(|(_, exponent)| exponent.parse::<i32>().ok());
    match exponent.unwrap_or_default() {
        exponent @ -3..=2 => format!("{value:.*}", (2 - exponent).unsigned_abs() as usize),
        3..=5 => format!("{value:.0}"),
        _ => format!("{value:.2e}"),
    }
}

/// A share as per cent.
pub(crate) fn percent(share: f64) -> String {
    format!("{} %", number(share * 100.0))
}

/// `1 matrix`, `3 matrices`.
pub(crate) fn count(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Layers as ranges: `layer 3`, `layers 1–2, 5 and 8–20`; many scattered ones as `23 layers between 0 and 47`.
pub(crate) fn layers(layers: &BTreeSet<u32>) -> String {
    const MOST_RANGES: usize = 5;
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &layer in layers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(layer) => *last = layer,
            _ => ranges.push((layer, layer)),
        }
    }
    match ranges.as_slice() {
        [] => String::new(),
        [(first, last)] if first == last => format!("layer {first}"),
        [(first, _), .., (_, last)] if ranges.len() > MOST_RANGES => {
            format!("{} layers between {first} and {last}", layers.len())
        }
        ranges => {
            let range = |&(first, last): &(u32, u32)| {
                if first == last { first.to_string() } else { format!("{first}–{last}") }
            };
            format!("layers {}", list(&ranges.iter().map(range).collect::<Vec<_>>()))
        }
    }
}

/// The middle value, or the mean of the two middle ones; `None` of no values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(*sorted.get(middle - 1)?, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let said = [0.0, 1.0, 0.521_49, 9.999, 22.3445, 999.9, 123_456.0, 4.07e-5, 1e9].map(number);
        assert_eq!(said, ["0", "1.00", "0.521", "10.0", "22.3", "1000", "123456", "4.07e-5", "1.00e9"]);
        assert_eq!(percent(0.0975), "9.75 %");
    }

    #[test]
    fn layers_are_ranges() {
        let said = |of: &[u32]| layers(&of.iter().copied().collect());
        assert_eq!(said(&[]), "");
        assert_eq!(said(&[3]), "layer 3");
        assert_eq!(said(&[2, 1]), "layers 1–2");
        assert_eq!(said(&[1, 2, 5, 8, 9, 10]), "layers 1–2, 5 and 8–10");
        assert_eq!(said(&[0, 2, 4, 6, 8, 47]), "6 layers between 0 and 47");
        assert_eq!(said(&[u32::MAX - 1, u32::MAX]), "layers 4294967294–4294967295");
    }

    #[test]
    fn lists_and_medians() {
        assert_eq!(list(&["a".into(), "b".into(), "c".into()]), "a, b and c");
        assert_eq!((median(&[]), median(&[3.0]), median(&[4.0, 1.0])), (None, Some(3.0), Some(2.5)));
        assert_eq!(count(1, "matrix", "matrices"), "1 matrix");
    }
}
