//! A matrix: shape, strides, element type, and bytes that are borrowed, or read a few rows at a time.

use std::fmt::Debug;
use std::io;
use std::ops::Range;

use crate::Error;

/// Element type of a matrix, as stored (little-endian).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dtype {
    /// IEEE 754 double precision.
    F64,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// bfloat16: the upper half of an f32.
    Bf16,
    /// 8-bit float with 4 exponent bits, no infinities (`torch.float8_e4m3fn`).
    F8E4M3,
    /// 8-bit float with 5 exponent bits (`torch.float8_e5m2`).
    F8E5M2,
    /// Signed 64-bit integer.
    I64,
    /// Signed 32-bit integer.
    I32,
    /// Signed 16-bit integer.
    I16,
    /// Signed 8-bit integer.
    I8,
    /// Unsigned 8-bit integer.
    U8,
    /// Boolean in one byte.
    Bool,
}

impl Dtype {
    /// Bytes of one element.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::F8E4M3 | Self::F8E5M2 | Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// True if every value of this type is an f32 too.
    pub(crate) const fn fits_f32(self) -> bool {
        !matches!(self, Self::F64 | Self::I64 | Self::I32)
    }

    /// True if differences of this type are formed in f64: in f32 they could vanish.
    pub(crate) const fn needs_f64_difference(self) -> bool {
        matches!(self, Self::F64 | Self::I64)
    }
}

/// The bytes of a matrix that is larger than memory should hold. Several threads read at once, and every pass again.
pub trait ReadAt: Debug + Sync {
    /// The bytes from `start` on that fill `out`.
    ///
    /// # Errors
    /// Whatever keeps them from being read. [`crate::summarize_pair`] ends with [`Error::Read`] then.
    fn read_at(&self, start: usize, out: &mut [u8]) -> io::Result<()>;
}

/// A matrix whose elements lie in borrowed bytes of any alignment, or behind [`ReadAt`].
///
/// Element (i, j) lies at byte `(i·row_stride + j·column_stride)·dtype.size()`.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
    pub(crate) dtype: Dtype,
    /// None of a matrix that is read.
    pub(crate) bytes: &'a [u8],
    pub(crate) reader: Option<&'a dyn ReadAt>,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix without gaps.
    ///
    /// # Errors
    /// [`Error::TooFewBytes`], [`Error::Overflow`].
    pub fn new(rows: usize, columns: usize, dtype: Dtype, bytes: &'a [u8]) -> Result<Self, Error> {
        Self::strided((rows, columns), (columns, 1), dtype, bytes)
    }

    /// A matrix of `shape` (rows, columns) with `strides` of the same order, in elements: a transposed view has
    /// strides (1, rows).
    ///
    /// # Errors
    /// [`Error::TooFewBytes`], [`Error::Overflow`].
    pub fn strided(
        shape: (usize, usize),
        strides: (usize, usize),
        dtype: Dtype,
        bytes: &'a [u8],
    ) -> Result<Self, Error> {
        let (rows, columns) = shape;
        let needed = extent(shape, strides, dtype.size()).ok_or(Error::Overflow { rows, columns })?;
        if needed > bytes.len() {
            return Err(Error::TooFewBytes { rows, columns, needed, given: bytes.len() });
        }
        let (row_stride, column_stride) = strides;
        Ok(Self { rows, columns, row_stride, column_stride, dtype, bytes, reader: None })
    }

    /// A row-major matrix without gaps that is read rather than borrowed: by a few rows at a time, so that memory does not
    /// grow with it. The results are the same, bit for bit. Only a dense decomposition, of fewer than 2^25 elements or of a
    /// wide matrix with few rows, reads it whole.
    ///
    /// # Errors
    /// [`Error::Overflow`].
    pub fn read_through(
        rows: usize,
        columns: usize,
        dtype: Dtype,
        reader: &'a dyn ReadAt,
    ) -> Result<Self, Error> {
        extent((rows, columns), (columns, 1), dtype.size()).ok_or(Error::Overflow { rows, columns })?;
        let (row_stride, column_stride) = (columns, 1);
        Ok(Self { rows, columns, row_stride, column_stride, dtype, bytes: &[], reader: Some(reader) })
    }

    /// Some rows, as a matrix whose bytes are in memory: borrowed, or read into `buffer`.
    pub(crate) fn held<'b>(&self, rows: &Range<usize>, buffer: &'b mut Vec<u8>) -> Result<Matrix<'b>, Error>
    where
        'a: 'b,
    {
        let size = self.dtype.size();
        let start = rows.start * self.row_stride * size;
        let bytes = match self.reader {
            None => self.bytes.get(start..).unwrap_or_default(),
            Some(reader) => {
                let length = rows.len() * self.columns * size;
                if buffer.len() < length {
                    let more = length - buffer.len();
                    buffer.try_reserve_exact(more).map_err(|_| Error::Memory { bytes: length })?;
                    buffer.resize(length, 0);
                }
                let bytes = &mut buffer[..length];
                reader.read_at(start, bytes).map_err(|source| Error::Read { source })?;
                bytes
            }
        };
        Ok(Matrix { rows: rows.len(), bytes, reader: None, ..*self })
    }

    /// A matrix without data, where only shape and dtype matter.
    #[cfg(feature = "candle")]
    pub(crate) const fn shaped(rows: usize, columns: usize, dtype: Dtype) -> Self {
        Self { rows, columns, row_stride: columns, column_stride: 1, dtype, bytes: &[], reader: None }
    }

    /// True if rows follow each other without gaps.
    #[cfg(feature = "candle")]
    pub(crate) const fn is_contiguous(&self) -> bool {
        self.column_stride == 1 && self.row_stride == self.columns
    }

    /// Copies, or reads, the bytes of some rows of a matrix without gaps; several threads at once if there are many.
    #[cfg(feature = "candle")]
    pub(crate) fn copy_rows(&self, rows: &Range<usize>, out: &mut [u8]) -> Result<(), Error> {
        use rayon::prelude::*;
        const PIECE: usize = 4 << 20;
        let start = rows.start * self.columns * self.dtype.size();
        out.par_chunks_mut(PIECE).enumerate().try_for_each(|(piece, out)| {
            let start = start + piece * PIECE;
            if let Some(reader) = self.reader {
                return reader.read_at(start, out).map_err(|source| Error::Read { source });
            }
            out.copy_from_slice(&self.bytes[start..start + out.len()]);
            Ok(())
        })
    }

    /// Rows.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Columns.
    #[must_use]
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// Element type.
    #[must_use]
    pub const fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Copies the stored bytes of a stretch of a row.
    pub(crate) fn copy(&self, row: usize, columns: &Range<usize>, out: &mut [u8]) {
        let size = self.dtype.size();
        let first = (row * self.row_stride + columns.start * self.column_stride) * size;
        if self.column_stride == 1 {
            out.copy_from_slice(&self.bytes[first..first + out.len()]);
        } else {
            let step = self.column_stride * size;
            for (index, out) in out.chunks_exact_mut(size).enumerate() {
                out.copy_from_slice(&self.bytes[first + index * step..][..size]);
            }
        }
    }

    /// Number of elements.
    #[must_use]
    pub const fn element_count(&self) -> usize {
        self.rows * self.columns
    }
}

/// Bytes up to the end of the last element; `None` if that, or the number of elements, cannot be counted.
fn extent((rows, columns): (usize, usize), strides: (usize, usize), size: usize) -> Option<usize> {
    if rows.checked_mul(columns)? == 0 {
        return Some(0);
    }
    let last_row = (rows - 1).checked_mul(strides.0)?;
    let last_column = (columns - 1).checked_mul(strides.1)?;
    last_row.checked_add(last_column)?.checked_add(1)?.checked_mul(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked_against_the_bytes() {
        let bytes = [0u8; 24];
        assert!(Matrix::new(2, 3, Dtype::F32, &bytes).is_ok());
        assert!(matches!(
            Matrix::new(3, 3, Dtype::F32, &bytes),
            Err(Error::TooFewBytes { rows: 3, columns: 3, needed: 36, given: 24 })
        ));
        assert!(Matrix::strided((3, 2), (1, 3), Dtype::F32, &bytes).is_ok());
        assert!(Matrix::strided((3, 2), (1, 4), Dtype::F32, &bytes).is_err());
        assert!(Matrix::new(usize::MAX, 2, Dtype::U8, &bytes).is_err());
        assert!(Matrix::strided((2, 2), (usize::MAX, 1), Dtype::F64, &bytes).is_err());
        assert!(Matrix::new(0, usize::MAX, Dtype::F64, &[]).is_ok());
    }
}
