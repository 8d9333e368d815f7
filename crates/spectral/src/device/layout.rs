//! How a matrix lies on a device: cut into tiles of columns and blocks of rows, so that sums in f32 are short.

use candle_core::{DType, Result, Tensor};

use crate::matrix::Dtype;

/// Columns of a tile at most, and rows of a block: so many terms are summed in f32.
const EDGE: usize = 256;
/// Columns of a tile are a multiple of this, which fast kernels want.
const STEP: usize = 8;

/// Whether elements of this dtype are uploaded as they are stored.
pub(super) fn is_stored(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F32 | Dtype::F16 | Dtype::Bf16)
}

/// candle's name of such a dtype.
pub(super) fn stored(dtype: Dtype) -> DType {
    match dtype {
        Dtype::F16 => DType::F16,
        Dtype::Bf16 => DType::BF16,
        _ => DType::F32,
    }
}

/// One side of a matrix in pieces of one length, the last one padded with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pieces {
    /// How many.
    pub(super) count: usize,
    /// Of how many entries.
    pub(super) length: usize,
}

impl Pieces {
    /// Of so many columns.
    pub(super) fn tiles(columns: usize) -> Self {
        let count = columns.div_ceil(EDGE).max(1);
        Self { count, length: columns.div_ceil(count).next_multiple_of(STEP) }
    }

    /// Of so many rows.
    pub(super) fn blocks(rows: usize) -> Self {
        let count = rows.div_ceil(EDGE).max(1);
        Self { count, length: rows.div_ceil(count).max(1) }
    }

    /// Entries with padding.
    pub(super) fn padded(self) -> usize {
        self.count * self.length
    }
}

/// From [pairs, rows, columns] to [pairs · tiles, rows with padding, columns of a tile].
pub(super) fn tiled(rows_first: &Tensor, tiles: Pieces, blocks: Pieces) -> Result<Tensor> {
    let (pairs, rows, columns) = rows_first.dims3()?;
    let mut padded = rows_first.clone();
    if tiles.padded() > columns {
        padded = padded.pad_with_zeros(2, 0, tiles.padded() - columns)?;
    }
    if blocks.padded() > rows {
        padded = padded.pad_with_zeros(1, 0, blocks.padded() - rows)?;
    }
    let split = padded.reshape((pairs, blocks.padded(), tiles.count, tiles.length))?;
    split.transpose(1, 2)?.contiguous()?.reshape((pairs * tiles.count, blocks.padded(), tiles.length))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn pieces_cover_a_side_with_little_padding() {
        for side in 1..2000 {
            for (pieces, step) in [(Pieces::tiles(side), STEP), (Pieces::blocks(side), 1)] {
                assert!(pieces.length <= EDGE && pieces.padded() >= side, "{side}: {pieces:?}");
                assert!(pieces.padded() - side < pieces.count * step, "{side}: {pieces:?}");
            }
        }
    }

    #[test]
    fn entries_find_their_tile() {
        let (pairs, rows, columns) = (2, 300, 700);
        let values: Vec<f32> = (0..pairs * rows * columns).map(|value| value as f32).collect();
        let matrix = Tensor::from_vec(values, (pairs, rows, columns), &Device::Cpu).unwrap();
        let (tiles, blocks) = (Pieces::tiles(columns), Pieces::blocks(rows));
        assert_eq!((tiles.count, tiles.length, blocks.count, blocks.length), (3, 240, 2, 150));
        let tiled = tiled(&matrix, tiles, blocks).unwrap().to_vec3::<f32>().unwrap();
        for (pair, row, column) in [(0, 0, 0), (1, 299, 699), (1, 17, 240), (0, 150, 479)] {
            let expected = ((pair * rows + row) * columns + column) as f32;
            assert_eq!(tiled[pair * 3 + column / 240][row][column % 240], expected);
        }
        assert_eq!(tiled[2][0][700 - 480..], [0.0; 20]);
    }
}
