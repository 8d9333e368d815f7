//! What the charts of weights show: matrices put together by layer and component, by layer and group, and by layer.

use std::collections::BTreeMap;

use serde::Serialize;

use super::columns::{Number, numbers};
use crate::findings_words::median;
use crate::summaries::root_sum_square;
use crate::{Error, Table};

/// Cells, column by column, sorted by layer and name. Sums and ratios are over the matrices of the cell.
#[derive(Serialize)]
pub(crate) struct Cells {
    /// Null outside the blocks.
    layer: Vec<Option<u32>>,
    name: Vec<String>,
    matrices: Vec<usize>,
    changed: Vec<usize>,
    /// √Σ‖ΔW‖².
    frobenius: Vec<Number>,
    /// √Σ‖ΔW‖² / √Σ‖W‖².
    relative: Vec<Number>,
    /// The largest σ₁(ΔW) / σ₁(W).
    spectral_relative: Vec<Number>,
    /// Median of the changed matrices.
    stable_rank: Vec<Number>,
    /// The lowest lower and the highest upper bound: of one matrix, its interval.
    stable_rank_lower: Vec<Number>,
    stable_rank_upper: Vec<Number>,
    /// Median of stable rank / min(shape).
    rank_share: Vec<Number>,
    changed_share: Vec<Number>,
}

/// The numbers of `per_matrix` that cells are made of.
struct Source {
    layer: Vec<Option<u32>>,
    delta: Vec<Option<f64>>,
    a: Vec<Option<f64>>,
    spectral_relative: Vec<Option<f64>>,
    rank: Vec<Option<f64>>,
    rank_lower: Vec<Option<f64>>,
    rank_upper: Vec<Option<f64>>,
    shorter: Vec<Option<f64>>,
    changed: Vec<Option<f64>>,
}

impl Source {
    fn of(table: &Table) -> Result<Self, Error> {
        let numbers = |column| table.optional_numbers(column);
        let delta = table.needed_numbers("dW_fro")?;
        let sides = numbers("shape0").into_iter().zip(numbers("shape1"));
        Ok(Self {
            layer: table.layers(),
            a: numbers("W_fro"),
            spectral_relative: numbers("dW_spectral_rel"),
            rank: numbers("dW_stable_rank"),
            rank_lower: numbers("dW_stable_rank_lo"),
            rank_upper: numbers("dW_stable_rank_hi"),
            shorter: sides.map(|(rows, columns)| Some(rows?.min(columns?))).collect(),
            changed: table.numbers("changed_fraction").unwrap_or_else(|| delta.clone()),
            delta,
        })
    }
}

/// Cells by layer and what `name` says of a row; rows of which it says nothing are in none.
pub(crate) fn cells(table: &Table, name: &dyn Fn(usize) -> Option<String>) -> Result<Cells, Error> {
    let source = Source::of(table)?;
    let mut members: BTreeMap<(Option<u32>, String), Vec<usize>> = BTreeMap::new();
    for row in 0..table.rows() {
        if let Some(name) = name(row) {
            let layer = source.layer.get(row).copied().flatten();
            members.entry((layer, name)).or_default().push(row);
        }
    }
    let of = |value: &dyn Fn(&[usize]) -> Option<f64>| numbers(members.values().map(|rows| value(rows)));
    let changed = |rows: &[usize]| rows.iter().filter(|row| at(&source.changed, **row) > Some(0.0)).count();
    let norm = |values: Vec<f64>| (!values.is_empty()).then(|| root_sum_square(values.into_iter()));
    let frobenius = |rows: &[usize]| norm(values(&source.delta, rows));
    let ranks = |rows: &[usize]| values(&source.rank, rows);
    Ok(Cells {
        layer: members.keys().map(|(layer, _)| *layer).collect(),
        name: members.keys().map(|(_, name)| name.clone()).collect(),
        matrices: members.values().map(Vec::len).collect(),
        changed: members.values().map(|rows| changed(rows)).collect(),
        frobenius: of(&frobenius),
        relative: of(&|rows| {
            let known: Vec<usize> =
                rows.iter().copied().filter(|row| at(&source.delta, *row).is_some()).collect();
            let size = norm(values(&source.a, &known)).filter(|size| *size > 0.0)?;
            Some(frobenius(rows)? / size)
        }),
        spectral_relative: of(&|rows| values(&source.spectral_relative, rows).into_iter().reduce(f64::max)),
        stable_rank: of(&|rows| median(&ranks(rows))),
        stable_rank_lower: of(&|rows| bounds(&source.rank_lower, &source.rank, rows).reduce(f64::min)),
        stable_rank_upper: of(&|rows| bounds(&source.rank_upper, &source.rank, rows).reduce(f64::max)),
        rank_share: of(&|rows| {
            let share = |row: &usize| Some(at(&source.rank, *row)? / at(&source.shorter, *row)?);
            median(&rows.iter().filter_map(share).collect::<Vec<_>>())
        }),
        changed_share: of(&|rows| Some(changed(rows) as f64 / rows.len() as f64)),
    })
}

fn at(values: &[Option<f64>], row: usize) -> Option<f64> {
    values.get(row).copied().flatten()
}

fn values(of: &[Option<f64>], rows: &[usize]) -> Vec<f64> {
    rows.iter().filter_map(|row| at(of, *row)).collect()
}

/// Bounds of stable ranks, or where there are none the stable ranks.
fn bounds(of: &[Option<f64>], or: &[Option<f64>], rows: &[usize]) -> impl Iterator<Item = f64> {
    rows.iter().filter_map(|row| at(of, *row).or_else(|| at(or, *row)))
}
