//! Singular values of the matrices that changed most, thinned out to what a chart can show.

use std::collections::{BTreeMap, BTreeSet};

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

    let changes: BTreeSet<&str> = names
        .iter()
        .flatten()
        .zip(&operators)
        .filter(|(_, of)| of.as_deref() == Some("dW"))
        .map(|(name, _)| name.as_str())
        .collect();
    let relative = per_matrix.numbers("dW_fro_rel").or_else(|| per_matrix.numbers("dW_fro"))?;
    let mut order: Vec<(f64, String)> = per_matrix
        .texts("name")?
        .into_iter()
        .zip(relative)
        .filter_map(|(name, relative)| Some((relative.unwrap_or_default(), name?)))
        .filter(|(_, name)| changes.contains(name.as_str()))
        .collect();
    order.sort_by(|(a, name_a), (b, name_b)| b.total_cmp(a).then(name_a.cmp(name_b)));
    let matrices = order.len();
    order.truncate(MOST_MATRICES);
    let shown: BTreeSet<&str> = order.iter().map(|(_, name)| name.as_str()).collect();

    let mut rows: BTreeMap<(String, String), Vec<Value>> = BTreeMap::new();
    let numbers = index.iter().zip(&value).zip(lower.iter().zip(&upper));
    for ((name, operator), ((index, value), (lower, upper))) in names.iter().zip(&operators).zip(numbers) {
        if let (Some(name), Some(operator)) = (name, operator)
            && shown.contains(name.as_str())
        {
            let values = rows.entry((name.clone(), operator.clone())).or_default();
            values.push([*index, *value, *lower, *upper]);
        }
    }
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
    // Whole numbers only, so that every machine shows the same ones.
    let far = |growth: usize| {
        let next = move |at: &usize| Some(at + 1 + at * growth / 1000).filter(|next| *next < all - 1);
        std::iter::successors(Some(dense), next)
    };
    let growth = (1..=1000).find(|&growth| far(growth).take(dense).count() < dense).unwrap_or_default();
    (0..dense).chain(far(growth)).chain([all - 1]).filter_map(|at| values.get(at).copied()).collect()
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
        assert!(shown.len() > MOST_VALUES / 4 * 3, "{}", shown.len());
    }
}
