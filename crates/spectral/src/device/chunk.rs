//! Some rows of all pairs of a batch, on the device.

use std::ops::Range;

use candle_core::{DType, Result, Tensor};

use super::layout::Pieces;
use crate::source::Operator;

/// Rows of A, B and ΔW, each [pairs · tiles, rows with padding, columns of a tile].
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) blocks: Pieces,
    entries: Entries,
}

#[derive(Debug)]
enum Entries {
    /// A and B as stored; widened and subtracted anew in each pass.
    Stored([Tensor; 2]),
    /// The operators wanted, in f32.
    Widened([Option<Tensor>; 3]),
}

impl Chunk {
    /// As stored.
    pub(super) fn stored(sides: [Tensor; 2], blocks: Pieces) -> Self {
        Self { blocks, entries: Entries::Stored(sides) }
    }

    /// Keeps the operators wanted in f32 from now on.
    pub(super) fn widen(&mut self, wanted: [bool; 3]) -> Result<()> {
        let mut widened = [None, None, None];
        for operator in Operator::ALL.into_iter().filter(|operator| wanted[*operator as usize]) {
            widened[operator as usize] = Some(self.operator(operator)?);
        }
        self.entries = Entries::Widened(widened);
        Ok(())
    }

    /// An operator in f32.
    pub(super) fn operator(&self, operator: Operator) -> Result<Tensor> {
        match &self.entries {
            Entries::Stored([a, b]) => {
                let wide = |side: &Tensor| side.to_dtype(DType::F32);
                match operator {
                    Operator::A => wide(a),
                    Operator::B => wide(b),
                    Operator::Delta => wide(b)? - wide(a)?,
                }
            }
            Entries::Widened(operators) => operators[operator as usize]
                .clone()
                .ok_or_else(|| candle_core::Error::Msg("an operator that was not asked for".into())),
        }
    }
}

/// Rows of each chunk of a matrix: at most so many elements, or one row.
pub(super) fn row_ranges(rows: usize, columns: usize, elements: usize) -> Vec<Range<usize>> {
    let most = (elements / columns.max(1)).max(1);
    let step = rows.div_ceil(rows.div_ceil(most).max(1)).max(1); // all of about one size
    (0..rows).step_by(step).map(|start| start..(start + step).min(rows)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_all_rows_in_order() {
        for (rows, columns, elements) in
            [(1, 1, 1), (4, 10, 15), (1000, 1000, 1 << 18), (7, 1 << 20, 1 << 10), (4096, 11008, 1 << 24)]
        {
            let ranges = row_ranges(rows, columns, elements);
            assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, rows));
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert!(ranges.iter().all(|range| range.len() == 1 || range.len() * columns <= elements));
        }
    }
}
