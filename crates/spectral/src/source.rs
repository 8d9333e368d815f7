//! W_a, W_b and ΔW = W_b − W_a of a pair of matrices as f32 rows, widened and subtracted a tile at a time.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::Error;
use crate::kernels::{GROUP, TILE};
use crate::matrix::Matrix;
use crate::widen;

/// One of the three matrices that a pair gives rise to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    A,
    B,
    /// B − A.
    Delta,
}

impl Operator {
    /// All of them, in the order of their indices.
    pub(crate) const ALL: [Self; 3] = [Self::A, Self::B, Self::Delta];

    /// Whether A and whether B is needed for it.
    pub(crate) fn sides(self) -> [bool; 2] {
        [self != Self::B, self != Self::A]
    }
}

/// Memory for rows of A and of B that are read.
pub(crate) type Buffers = [Vec<u8>; 2];

/// Bytes of a stretch of rows that are read at once.
const STRETCH_BYTES: usize = 1 << 20;

/// How ΔW is formed from the stored elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    F32,
    F64,
}

/// A pair of matrices and the powers of two that bring each operator's largest entry near 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) a: Matrix<'a>,
    pub(crate) b: Matrix<'a>,
    pub(crate) difference: Difference,
    /// Powers of two by which A, B and ΔW are multiplied; all 1 for weights of ordinary size.
    pub(crate) exponents: [i32; 3],
}

impl Source<'_> {
    pub(crate) fn exponent(&self, operator: Operator) -> i32 {
        self.exponents[operator as usize]
    }

    /// Some rows of A and of B, each if wanted, in memory.
    pub(crate) fn held<'b>(
        &'b self,
        rows: &Range<usize>,
        wanted: [bool; 2],
        buffers: &'b mut Buffers,
    ) -> Result<Source<'b>, Error> {
        let [buffer_a, buffer_b] = buffers;
        let side = |matrix: &Matrix<'b>, wanted: bool, buffer: &'b mut Vec<u8>| {
            if wanted {
                return matrix.held(rows, buffer);
            }
            Ok(Matrix { rows: rows.len(), bytes: &[], reader: None, ..*matrix })
        };
        let [wants_a, wants_b] = wanted;
        Ok(Source { a: side(&self.a, wants_a, buffer_a)?, b: side(&self.b, wants_b, buffer_b)?, ..*self })
    }

    /// Visits rows in memory, some at a time, in order.
    pub(crate) fn for_each_stretch(
        &self,
        rows: &Range<usize>,
        wanted: [bool; 2],
        mut visit: impl FnMut(&Source<'_>),
    ) -> Result<(), Error> {
        let mut buffers = Buffers::default();
        let is_read = self.a.reader.is_some() || self.b.reader.is_some();
        let row_bytes = self.a.columns * self.a.dtype.size().max(self.b.dtype.size());
        let step = if is_read { (STRETCH_BYTES / row_bytes.max(1)).max(1) } else { rows.len().max(1) };
        for start in rows.clone().step_by(step) {
            visit(&self.held(&(start..rows.end.min(start + step)), wanted, &mut buffers)?);
        }
        Ok(())
    }

    /// Visits rows of an operator, in order: [`Source::row_f64`] of each.
    pub(crate) fn for_each_row_f64(
        &self,
        operator: Operator,
        mut visit: impl FnMut(&[f64]),
    ) -> Result<(), Error> {
        let columns = self.a.columns;
        let (mut row, mut other) = (vec![0.0; columns], vec![0.0; columns]);
        self.for_each_stretch(&(0..self.a.rows), operator.sides(), |stretch| {
            for index in 0..stretch.a.rows {
                stretch.row_f64(operator, index, 0, &mut row, &mut other);
                visit(&row);
            }
        })
    }

    /// True if widening to f32 and subtracting there is all there is to do.
    fn is_plain(&self) -> bool {
        self.a.dtype.fits_f32()
            && self.b.dtype.fits_f32()
            && self.difference == Difference::F32
            && self.exponents == [0; 3]
    }

    /// A stretch of one row of an operator, scaled, in f64; `other` is scratch of the same length.
    pub(crate) fn row_f64(
        &self,
        operator: Operator,
        row: usize,
        start: usize,
        out: &mut [f64],
        other: &mut [f64],
    ) {
        match operator {
            Operator::A => widen::to_f64(&self.a, row, start, out),
            Operator::B => widen::to_f64(&self.b, row, start, out),
            Operator::Delta => {
                widen::to_f64(&self.b, row, start, out);
                widen::to_f64(&self.a, row, start, other);
                for (b, a) in out.iter_mut().zip(other) {
                    *b = self.subtract(*a, *b);
                }
            }
        }
        let exponent = self.exponent(operator);
        if exponent != 0 {
            for value in out {
                *value = scale(*value, exponent);
            }
        }
    }

    pub(crate) fn subtract(&self, a: f64, b: f64) -> f64 {
        match self.difference {
            Difference::F32 => f64::from(b as f32 - a as f32),
            Difference::F64 => b - a,
        }
    }
}

/// value·2^exponent, in two steps: the power itself may overflow where the product does not.
pub(crate) fn scale(value: f64, exponent: i32) -> f64 {
    let half = exponent / 2;
    value * power_of_two(half) * power_of_two(exponent - half)
}

fn power_of_two(exponent: i32) -> f64 {
    f64::from(2).powi(exponent)
}

/// Some whole rows of a pair, copied tile by tile: a tile of many rows is then one run of memory. Where rows are a
/// power of two apart, as weights' rows are, their tiles would otherwise fall into the same few lines of the cache.
pub(crate) struct PackedRows {
    bytes: [Vec<u8>; 2],
    capacity: usize,
}

impl PackedRows {
    /// Room for so many rows.
    pub(crate) fn new(source: &Source<'_>, capacity: usize) -> Self {
        let size =
            |matrix: &Matrix<'_>| matrix.columns.div_ceil(TILE) * TILE * capacity * matrix.dtype.size();
        Self { bytes: [vec![0; size(&source.a)], vec![0; size(&source.b)]], capacity }
    }

    /// Packs all rows of A and of B, each if asked for.
    pub(crate) fn pack(&mut self, source: &Source<'_>, wanted: [bool; 2]) {
        for ((bytes, matrix), wanted) in self.bytes.iter_mut().zip([&source.a, &source.b]).zip(wanted) {
            if !wanted {
                continue;
            }
            let tile_bytes = TILE * matrix.dtype.size();
            for row in 0..matrix.rows {
                for (tile, start) in (0..matrix.columns).step_by(TILE).enumerate() {
                    let columns = start..(start + TILE).min(matrix.columns);
                    let at = (tile * self.capacity + row) * tile_bytes;
                    matrix.copy(row, &columns, &mut bytes[at..at + columns.len() * matrix.dtype.size()]);
                }
            }
        }
    }

    /// The packed rows within one tile, as a pair of small matrices.
    #[inline(always)]
    pub(crate) fn tile<'t>(&'t self, source: &Source<'_>, rows: usize, columns: &Range<usize>) -> Source<'t> {
        let [a, b] = &self.bytes;
        let matrix = |stored: &Matrix<'_>, bytes: &'t [u8]| {
            let tile_bytes = TILE * stored.dtype.size() * self.capacity;
            let start = columns.start / TILE * tile_bytes;
            Matrix {
                rows,
                columns: columns.len(),
                row_stride: TILE,
                column_stride: 1,
                dtype: stored.dtype,
                bytes: &bytes[start..start + tile_bytes],
                reader: None,
            }
        };
        Source { a: matrix(&source.a, a), b: matrix(&source.b, b), ..*source }
    }
}

/// A group of rows of each operator within one tile, as f32.
pub(crate) struct Tile {
    /// Indices are those of [`Operator`].
    rows: [Vec<f32>; 3],
    width: usize,
    wide: [Vec<f64>; 2],
}

impl Tile {
    pub(crate) fn new() -> Self {
        let zeros = || vec![0.0; GROUP * TILE];
        Self { rows: [zeros(), zeros(), zeros()], width: 0, wide: [vec![0.0; TILE], vec![0.0; TILE]] }
    }

    /// Reads a group of rows of a [`PackedRows::tile`] for the operators wanted. `width` is the tile's padded width;
    /// rows and columns beyond the tile are zero.
    #[inline(always)]
    pub(crate) fn read<S: Simd>(
        &mut self,
        simd: S,
        source: &Source<'_>,
        rows: &Range<usize>,
        width: usize,
        wanted: [bool; 3],
    ) {
        self.width = width;
        if source.is_plain() {
            simd.vectorize(Widen { source, rows, width, wanted, out: &mut self.rows });
            return;
        }
        let columns = source.a.columns;
        for operator in Operator::ALL.into_iter().filter(|operator| wanted[*operator as usize]) {
            let buffer = &mut self.rows[operator as usize];
            for (index, out) in buffer.chunks_mut(width).take(GROUP).enumerate() {
                out.fill(0.0);
                if index < rows.len() {
                    let [wide, other] = &mut self.wide;
                    let (wide, other) = (&mut wide[..columns], &mut other[..columns]);
                    source.row_f64(operator, rows.start + index, 0, wide, other);
                    for (narrow, wide) in out.iter_mut().zip(wide) {
                        *narrow = *wide as f32;
                    }
                }
            }
        }
    }

    /// The rows last read.
    #[inline(always)]
    pub(crate) fn rows(&self, operator: Operator) -> [&[f32]; GROUP] {
        let buffer = &self.rows[operator as usize];
        let mut rows: [&[f32]; GROUP] = [&[]; GROUP];
        for (row, out) in rows.iter_mut().enumerate() {
            *out = &buffer[row * self.width..(row + 1) * self.width];
        }
        rows
    }
}

/// Widens a group of rows and subtracts them; compiled once for each instruction set.
struct Widen<'a> {
    source: &'a Source<'a>,
    rows: &'a Range<usize>,
    width: usize,
    wanted: [bool; 3],
    out: &'a mut [Vec<f32>; 3],
}

impl WithSimd for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { source, rows, width, wanted, out } = self;
        let columns = source.a.columns;
        let [a, b, delta] = out;
        let [wants_a, wants_b, wants_delta] = wanted;
        for index in 0..GROUP {
            let place = index * width..(index + 1) * width;
            let (a, b, delta) = (&mut a[place.clone()], &mut b[place.clone()], &mut delta[place]);
            if index >= rows.len() {
                a.fill(0.0);
                b.fill(0.0);
                delta.fill(0.0);
                continue;
            }
            for row in [&mut *a, &mut *b, &mut *delta] {
                row[columns..].fill(0.0);
            }
            let (a, b, delta) = (&mut a[..columns], &mut b[..columns], &mut delta[..columns]);
            let row = rows.start + index;
            match (wants_delta, wants_b) {
                (false, false) => widen::to_f32(&source.a, row, 0, a),
                (false, true) => {
                    if wants_a {
                        widen::to_f32(&source.a, row, 0, a);
                    }
                    widen::to_f32(&source.b, row, 0, b);
                }
                (true, false) => widen::with_difference(&source.a, &source.b, row, a, delta),
                (true, true) => {
                    widen::with_difference(&source.a, &source.b, row, a, delta);
                    widen::to_f32(&source.b, row, 0, b);
                }
            }
        }
    }
}
