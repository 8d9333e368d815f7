//! Singular values of the matrices that changed most, thinned out to what a chart can show.

use std::collections::BTreeMap;

use serde::Serialize;

use super::columns::{Number, numbers};
use crate::Table;

/// Matrices whose spectra are in the page.
const MOST_MATRICES: usize = 40;
/// Singular values of one matrix that are in the page: all up to half of these, then fewer and fewer.
const MOST_VALUES: usize = 160;

/// Spectra of the matrices that changed most, largest change first.
#[derive(Serialize)]
pub(crate) struct Spectra {
    /// Matrices that have singular values, in the page or not.
    matrices: usize,
    spectra: Vec<Spectrum>,
}

#[derive(Serialize)]
struct Spectrum {
    name: String,
    operator: String,
    index: Vec<Number>,
    value: Vec<Number>,
    lower: Vec<Number>,
    upper: Vec<Number>,
}

/// Index, value, lower and upper bound.
type Value = [Option<f64>; 4];

/// `None` if the table lacks a column.
pub(crate) fn spectra(singular_values: &Table, per_matrix: &Table) -> Option<Spectra> {
    let names = singular_values.texts("name")?;
    let operators = singular_values.texts("operator")?;
    let index = singular_values.numbers("index")?;
    let value = singular_values.numbers("value")?;
    let bound = |column| singular_values.numbers(column).unwrap_or_else(|| value.clone());
    let (lower, upper) = (bound("lower"), bound("upper"));

    let mut rows: BTreeMap<(String, String), Vec<Value>> = BTreeMap::new();
    let numbers = index.iter().zip(&value).zip(lower.iter().zip(&upper));
    for ((name, operator), ((index, value), (lower, upper))) in names.into_iter().zip(operators).zip(numbers)
    {
        let key = (name.unwrap_or_default(), operator.unwrap_or_default());
        rows.entry(key).or_default().push([*index, *value, *lower, *upper]);
    }
    let mut order: Vec<(f64, String)> = Vec::new();
    let relative = per_matrix.numbers("dW_fro_rel").or_else(|| per_matrix.numbers("dW_fro"))?;
    for (name, relative) in per_matrix.texts("name")?.into_iter().zip(relative) {
        let name = name.unwrap_or_default();
        if rows.contains_key(&(name.clone(), "dW".to_owned())) {
            order.push((relative.unwrap_or_default(), name));
        }
    }
    order.sort_by(|(a, name_a), (b, name_b)| b.total_cmp(a).then(name_a.cmp(name_b)));
    let matrices = order.len();
    order.truncate(MOST_MATRICES);
    let operators = ["dW", "W", "Wb"];
    let keys = order.into_iter().flat_map(|(_, name)| operators.map(|of| (name.clone(), of.to_owned())));
    let spectrum = |key: (String, String)| Some(Spectrum::of(rows.remove(&key)?, key));
    Some(Spectra { matrices, spectra: keys.filter_map(spectrum).collect() })
}

impl Spectrum {
    fn of(values: Vec<Value>, (name, operator): (String, String)) -> Self {
        let shown = thinned(values);
        let column = |at: usize| numbers(shown.iter().map(|value| value.get(at).copied().flatten()));
        Self { name, operator, index: column(0), value: column(1), lower: column(2), upper: column(3) }
    }
}

/// The first half of what may be shown as it is, then at growing distances to the last.
fn thinned<T: Copy>(values: Vec<T>) -> Vec<T> {
    let (all, dense) = (values.len(), MOST_VALUES / 2);
    if all <= MOST_VALUES {
        return values;
    }
    let ratio = ((all - 1) as f64 / dense as f64).powf(1.0 / (dense - 1) as f64);
    let far = (0..dense).map(|step| (dense as f64 * ratio.powf(step as f64)).round() as usize);
    let mut shown: Vec<usize> = (0..dense).chain(far).map(|at| at.min(all - 1)).collect();
    shown.dedup();
    shown.into_iter().filter_map(|at| values.get(at).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_spectra_keep_their_ends_and_their_head() {
        assert_eq!(thinned(vec![1, 2, 3]), [1, 2, 3]);
        let shown = thinned((0..2048).collect());
        assert!(shown.len() <= MOST_VALUES && shown.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!((shown[79], shown.first(), shown.last()), (79, Some(&0), Some(&2047)));
    }
}
