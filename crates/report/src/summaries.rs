//! From the rows of matrices to the rows of layers and components.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ComponentRow, LayerRow, MatrixRow};

/// How unchanged matrices enter the mean stable rank of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ZeroDeltas {
    /// Left out, since a zero matrix has no stable rank.
    #[default]
    Exclude,
    /// As 0, as the Python scripts did; the mean can then fall below 1, which no stable rank can.
    Include,
}

/// One row for each layer and group, in that order. Matrices outside the blocks, and those that have no finite
/// difference, do not enter.
#[must_use]
pub fn per_layer(matrices: &[MatrixRow], zero_deltas: ZeroDeltas) -> Vec<LayerRow> {
    let mut groups: BTreeMap<(u32, &'static str), Vec<&MatrixRow>> = BTreeMap::new();
    for row in matrices.iter().filter(|row| row.delta_frobenius.is_some()) {
        if let Some(layer) = row.layer {
            groups.entry((layer, row.group)).or_default().push(row);
        }
    }
    groups
        .into_iter()
        .map(|((layer, group), rows)| {
            let delta_frobenius = root_sum_square(rows.iter().filter_map(|row| row.delta_frobenius));
            let a_frobenius = root_sum_square(rows.iter().filter_map(|row| row.a_frobenius));
            let ranks = rows.iter().filter_map(|row| match zero_deltas {
                ZeroDeltas::Exclude => row.delta_stable_rank,
                ZeroDeltas::Include => Some(row.delta_stable_rank.unwrap_or(0.0)),
            });
            LayerRow {
                layer,
                group,
                delta_frobenius,
                delta_stable_rank_mean: Summary::of(ranks).mean,
                count: rows.len() as u64,
                count_changed: rows
                    .iter()
                    .filter(|row| row.changed_fraction.is_some_and(|share| share > 0.0))
                    .count() as u64,
                a_frobenius,
                delta_frobenius_relative: (a_frobenius > 0.0).then(|| delta_frobenius / a_frobenius),
                delta_spectral_max: Summary::of(rows.iter().filter_map(|row| row.delta_spectral)).max,
                delta_spectral_relative_max: Summary::of(
                    rows.iter().filter_map(|row| row.delta_spectral_relative),
                )
                .max,
            }
        })
        .collect()
}

/// One row for each component, in alphabetical order. Matrices that have no finite difference do not enter.
#[must_use]
pub fn per_component(matrices: &[MatrixRow]) -> Vec<ComponentRow> {
    let mut groups: BTreeMap<&'static str, Vec<&MatrixRow>> = BTreeMap::new();
    for row in matrices.iter().filter(|row| row.delta_frobenius.is_some()) {
        groups.entry(row.component).or_default().push(row);
    }
    groups
        .into_iter()
        .map(|(component, rows)| {
            let of =
                |value: fn(&MatrixRow) -> Option<f64>| Summary::of(rows.iter().filter_map(|row| value(row)));
            let frobenius = of(|row| row.delta_frobenius);
            let frobenius_relative = of(|row| row.delta_frobenius_relative);
            let stable_rank = of(|row| row.delta_stable_rank);
            let a_stable_rank = of(|row| row.a_stable_rank);
            let spectral = of(|row| row.delta_spectral);
            let spectral_relative = of(|row| row.delta_spectral_relative);
            let cosine = of(|row| row.cosine_similarity);
            let changed = of(|row| row.changed_fraction);
            ComponentRow {
                component,
                count: rows.len() as u64,
                delta_frobenius_mean: frobenius.mean,
                delta_frobenius_min: frobenius.min,
                delta_frobenius_max: frobenius.max,
                delta_frobenius_relative_mean: frobenius_relative.mean,
                delta_frobenius_relative_min: frobenius_relative.min,
                delta_frobenius_relative_max: frobenius_relative.max,
                delta_stable_rank_mean: stable_rank.mean,
                delta_stable_rank_min: stable_rank.min,
                delta_stable_rank_max: stable_rank.max,
                a_stable_rank_mean: a_stable_rank.mean,
                a_stable_rank_min: a_stable_rank.min,
                a_stable_rank_max: a_stable_rank.max,
                delta_spectral_mean: spectral.mean,
                delta_spectral_min: spectral.min,
                delta_spectral_max: spectral.max,
                delta_spectral_relative_mean: spectral_relative.mean,
                delta_spectral_relative_min: spectral_relative.min,
                delta_spectral_relative_max: spectral_relative.max,
                cosine_similarity_mean: cosine.mean,
                cosine_similarity_min: cosine.min,
                cosine_similarity_max: cosine.max,
                changed_fraction_mean: changed.mean,
                changed_fraction_min: changed.min,
                changed_fraction_max: changed.max,
            }
        })
        .collect()
}

/// √Σx², scaled so that neither 1e200 nor 1e-200 is lost.
pub(crate) fn root_sum_square(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = values.clone().fold(0.0f64, f64::max);
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    values.map(|value| (value / largest).powi(2)).sum::<f64>().sqrt() * largest
}

/// Mean, minimum and maximum; all absent for no values.
struct Summary {
    mean: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
}

impl Summary {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut count = 0u64;
        let (mut sum, mut min, mut max) = (0.0, f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            count += 1;
            sum += value;
            min = value.min(min);
            max = value.max(max);
        }
        let defined = |value: f64| (count > 0).then_some(value);
        Self { mean: defined(sum / count as f64), min: defined(min), max: defined(max) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SpectrumColumns;

    fn row(layer: Option<u32>, frobenius: Option<f64>, stable_rank: Option<f64>) -> MatrixRow {
        MatrixRow {
            name: "w".into(),
            layer,
            group: "attn",
            rows: 2,
            columns: 2,
            delta_frobenius: frobenius,
            delta_stable_rank: stable_rank,
            a_stable_rank: Some(2.0),
            component: "qkv",
            dtype_a: "f32",
            dtype_b: "f32",
            a_frobenius: Some(3.0),
            b_frobenius: Some(3.0),
            delta_frobenius_relative: frobenius.map(|value| value / 3.0),
            a_spectral: Some(2.0),
            b_spectral: Some(2.0),
            delta_spectral: frobenius,
            delta_spectral_relative: frobenius.map(|value| value / 2.0),
            b_stable_rank: Some(2.0),
            cosine_similarity: Some(1.0),
            delta_mean: Some(0.0),
            delta_std: Some(0.0),
            delta_abs_mean: Some(0.0),
            delta_abs_max: Some(0.0),
            changed_fraction: frobenius.map(|value| if value > 0.0 { 1.0 } else { 0.0 }),
            sigma_tolerance: None,
            passes: 1,
            top_overlap: None,
            top_overlap_error: None,
            delta: SpectrumColumns::default(),
            a: SpectrumColumns::default(),
            b: SpectrumColumns::default(),
        }
    }

    #[test]
    fn unchanged_matrices_do_not_enter_the_mean_stable_rank() {
        let rows = [
            row(Some(0), Some(3.0), Some(4.0)),
            row(Some(0), Some(0.0), None),
            row(None, Some(9.0), Some(9.0)),
        ];
        let excluded = &per_layer(&rows, ZeroDeltas::Exclude)[0];
        assert_eq!(
            (excluded.delta_stable_rank_mean, excluded.count, excluded.count_changed),
            (Some(4.0), 2, 1)
        );
        assert!((excluded.delta_frobenius - 3.0).abs() < 1e-15);
        assert!((excluded.a_frobenius - 18f64.sqrt()).abs() < 1e-15);
        assert_eq!(per_layer(&rows, ZeroDeltas::Include)[0].delta_stable_rank_mean, Some(2.0));
        assert_eq!(per_layer(&rows[1..2], ZeroDeltas::Exclude)[0].delta_stable_rank_mean, None);
    }

    #[test]
    fn matrices_without_a_finite_difference_do_not_enter() {
        let rows = [row(Some(0), Some(3.0), Some(4.0)), row(Some(0), None, None)];
        assert_eq!(per_layer(&rows, ZeroDeltas::Include)[0].count, 1);
        assert_eq!(per_component(&rows)[0].count, 1);
        assert!(per_layer(&rows[1..], ZeroDeltas::Exclude).is_empty());
    }

    #[test]
    fn norms_of_layers_neither_overflow_nor_underflow() {
        for scale in [1e200, 1e-200, 1.0] {
            let norm = root_sum_square([3.0 * scale, 4.0 * scale].into_iter());
            assert!((norm / scale - 5.0).abs() < 1e-14);
        }
        assert_eq!(root_sum_square(std::iter::empty()), 0.0);
    }

    #[test]
    fn components_summarise_only_what_is_defined() {
        let rows = [row(Some(0), Some(3.0), Some(4.0)), row(Some(1), Some(0.0), None)];
        let component = &per_component(&rows)[0];
        assert_eq!((component.component, component.count), ("qkv", 2));
        assert_eq!(component.delta_frobenius_mean, Some(1.5));
        assert_eq!(
            (component.delta_stable_rank_min, component.delta_stable_rank_max),
            (Some(4.0), Some(4.0))
        );
    }
}
