//! One read of a pair: Y = MᵀM V for each active operator M among W_a, W_b and ΔW.
//!
//! Rows are cut into chunks that depend on the shape alone, each chunk sums in its own memory, and chunks are added in
//! the order of a fixed binary tree: the result has the same bits on any number of threads.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::Error;
use crate::kernels::{GROUP, LANES, TILE, Vectors, accumulate, dispatch, project};
use crate::source::{Buffers, Operator, PackedRows, Source, Tile};

/// Rows whose products are formed before they are used: they are read again from cache.
const BLOCK_ROWS: usize = 4 * GROUP;
/// Bytes of such rows, where that leaves more than one group of them.
const BLOCK_BYTES: usize = 8 << 20;
/// Elements of a chunk at least: a smaller matrix is one thread's work.
const CHUNK_ELEMENTS: usize = 1 << 21;
/// Chunks of a matrix at most.
const CHUNKS: usize = 32;
/// Rows whose update is summed in f32 before it is added to sums in f64.
const NARROW_ROWS: usize = 4 * BLOCK_ROWS;

/// A vector's length in memory.
pub(crate) fn padded(length: usize) -> usize {
    let padded = length.next_multiple_of(LANES);
    // Vectors a multiple of a page apart would share the same few lines of the cache.
    if padded.is_multiple_of(1024) { padded + LANES } else { padded }
}

/// The chunks of rows in which a matrix is summed.
pub(crate) fn row_chunks(rows: usize, columns: usize) -> Vec<Range<usize>> {
    let chunks = (rows * columns / CHUNK_ELEMENTS).clamp(1, CHUNKS);
    let step = rows.div_ceil(chunks).next_multiple_of(BLOCK_ROWS).max(1);
    (0..rows).step_by(step).map(|start| start..(start + step).min(rows)).collect()
}

/// Rows of a block: fewer where they are very long.
fn block_rows(source: &Source<'_>) -> usize {
    let row_bytes = source.a.columns * (source.a.dtype.size() + source.b.dtype.size());
    let groups = BLOCK_BYTES / (GROUP * row_bytes.max(1));
    (groups * GROUP).clamp(GROUP, BLOCK_ROWS)
}

/// MᵀM V for every operator and its vectors, each vector [`padded`].
pub(crate) fn fused_pass(
    source: &Source<'_>,
    active: &[(Operator, Vectors<'_>)],
) -> Result<Vec<Vec<f64>>, Error> {
    let chunks = row_chunks(source.a.rows, source.a.columns);
    sum_chunks(source, active, &chunks)
}

/// Halves are added when both are there, so that few partial sums exist at any time.
fn sum_chunks(
    source: &Source<'_>,
    active: &[(Operator, Vectors<'_>)],
    chunks: &[Range<usize>],
) -> Result<Vec<Vec<f64>>, Error> {
    if chunks.len() <= 1 {
        let rows = chunks.first().cloned().unwrap_or_default();
        return dispatch(ChunkPass { source, active, rows });
    }
    let (left, right) = chunks.split_at(chunks.len() / 2);
    let (sums, others) =
        rayon::join(|| sum_chunks(source, active, left), || sum_chunks(source, active, right));
    let (mut sums, others) = (sums?, others?);
    for (sum, other) in sums.iter_mut().flatten().zip(others.iter().flatten()) {
        *sum += other;
    }
    Ok(sums)
}

struct ChunkPass<'a> {
    source: &'a Source<'a>,
    active: &'a [(Operator, Vectors<'a>)],
    rows: Range<usize>,
}

impl WithSimd for ChunkPass<'_> {
    type Output = Result<Vec<Vec<f64>>, Error>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let block_rows = block_rows(self.source);
        let length = |(_, vectors): &(Operator, Vectors<'_>)| vectors.count * vectors.stride;
        let mut outputs: Vec<Vec<f32>> = self.active.iter().map(|active| vec![0.0; length(active)]).collect();
        let mut sums: Vec<Vec<f64>> = self.active.iter().map(|active| vec![0.0; length(active)]).collect();
        let mut products: Vec<Vec<f64>> =
            self.active.iter().map(|(_, vectors)| vec![0.0; block_rows * vectors.count]).collect();
        let mut weights: Vec<f32> = Vec::new();
        let mut narrow_rows = 0;
        let mut tile = Tile::new();
        let mut packed = PackedRows::new(self.source, block_rows);
        let mut buffers = Buffers::default();
        let (mut wanted, mut sides) = ([false; 3], [false; 2]);
        for (operator, _) in self.active {
            wanted[*operator as usize] = true;
            for (side, needed) in sides.iter_mut().zip(operator.sides()) {
                *side |= needed;
            }
        }
        for first in self.rows.clone().step_by(block_rows) {
            let rows = first..(first + block_rows).min(self.rows.end);
            packed.pack(&self.source.held(&rows, sides, &mut buffers)?, sides);
            for products in &mut products {
                products.fill(0.0);
            }
            for columns in tiles(self.source.a.columns) {
                let source = packed.tile(self.source, rows.len(), &columns);
                for (index, group) in groups(rows.len()) {
                    let width = columns.len().next_multiple_of(LANES);
                    tile.read(simd, &source, &group, width, wanted);
                    for ((operator, vectors), products) in self.active.iter().zip(&mut products) {
                        let rows = tile.rows(*operator);
                        let at = index * GROUP * vectors.count;
                        let products = &mut products[at..at + GROUP * vectors.count];
                        project(simd, &rows, *vectors, columns.start, products);
                    }
                }
            }
            for columns in tiles(self.source.a.columns) {
                let source = packed.tile(self.source, rows.len(), &columns);
                for (index, group) in groups(rows.len()) {
                    let width = columns.len().next_multiple_of(LANES);
                    tile.read(simd, &source, &group, width, wanted);
                    for (((operator, vectors), products), output) in
                        self.active.iter().zip(&products).zip(&mut outputs)
                    {
                        let rows = tile.rows(*operator);
                        let at = index * GROUP * vectors.count;
                        weights.clear();
                        weights.extend(
                            products[at..at + GROUP * vectors.count].iter().map(|product| *product as f32),
                        );
                        accumulate(simd, &rows, &weights, output, vectors.stride, columns.start);
                    }
                }
            }
            narrow_rows += rows.len();
            if narrow_rows >= NARROW_ROWS || rows.end == self.rows.end {
                narrow_rows = 0;
                simd.vectorize(Flush { outputs: &mut outputs, sums: &mut sums });
            }
        }
        Ok(sums)
    }
}

/// Moves sums in f32 to those in f64.
struct Flush<'a> {
    outputs: &'a mut [Vec<f32>],
    sums: &'a mut [Vec<f64>],
}

impl WithSimd for Flush<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (outputs, sums) in self.outputs.iter_mut().zip(self.sums) {
            for (sum, output) in sums.iter_mut().zip(outputs) {
                *sum += f64::from(*output);
                *output = 0.0;
            }
        }
    }
}

fn tiles(columns: usize) -> impl Iterator<Item = Range<usize>> {
    (0..columns).step_by(TILE).map(move |start| start..(start + TILE).min(columns))
}

fn groups(rows: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    (0..rows).step_by(GROUP).map(move |start| start..(start + GROUP).min(rows)).enumerate()
}

/// Takes the part of `vectors` that lies in the span of orthonormal `basis` vectors out of them, and returns what it
/// was: basis × vectors, in f64.
pub(crate) fn project_out(basis: Vectors<'_>, vectors: &mut [f32], count: usize) -> Vec<f64> {
    dispatch(ProjectOut { basis, vectors, count })
}

struct ProjectOut<'a> {
    basis: Vectors<'a>,
    vectors: &'a mut [f32],
    count: usize,
}

impl WithSimd for ProjectOut<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let Self { basis, vectors, count } = self;
        let zeros = [0f32; TILE];
        let mut products = vec![0f64; basis.count.next_multiple_of(GROUP) * count];
        for columns in tiles(basis.stride) {
            for (first, products) in (0..).step_by(GROUP).zip(products.chunks_mut(GROUP * count)) {
                let rows = group_of(basis, first, &columns, &zeros);
                let vectors = Vectors { values: vectors, stride: basis.stride, count };
                project(simd, &rows, vectors, columns.start, products);
            }
        }
        let weights: Vec<f32> = products.iter().map(|product| -*product as f32).collect();
        for columns in tiles(basis.stride) {
            for (first, weights) in (0..).step_by(GROUP).zip(weights.chunks(GROUP * count)) {
                let rows = group_of(basis, first, &columns, &zeros);
                accumulate(simd, &rows, weights, vectors, basis.stride, columns.start);
            }
        }
        products.truncate(basis.count * count);
        products
    }
}

/// Six basis vectors within a stretch; zeros beyond the last.
#[inline(always)]
fn group_of<'a>(
    basis: Vectors<'a>,
    first: usize,
    columns: &Range<usize>,
    zeros: &'a [f32; TILE],
) -> [&'a [f32]; GROUP] {
    let mut group = [&zeros[..columns.len()]; GROUP];
    for (row, out) in group.iter_mut().enumerate().take(basis.count - first) {
        *out = &basis.values[(first + row) * basis.stride + columns.start..][..columns.len()];
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{Dtype, Matrix};
    use crate::source::Difference;
    use proptest::prelude::*;

    /// MᵀM V in f64, entry by entry: the oracle.
    fn naive(source: &Source<'_>, operator: Operator, vectors: Vectors<'_>) -> Vec<f64> {
        let (rows, columns) = (source.a.rows, source.a.columns);
        let mut sums = vec![0.0; vectors.count * vectors.stride];
        let (mut row, mut other) = (vec![0.0; columns], vec![0.0; columns]);
        for index in 0..rows {
            source.row_f64(operator, index, 0, &mut row, &mut other);
            for (vector, sums) in vectors.values.chunks(vectors.stride).zip(sums.chunks_mut(vectors.stride)) {
                let product: f64 = row.iter().zip(vector).map(|(entry, v)| entry * f64::from(*v)).sum();
                for (sum, entry) in sums.iter_mut().zip(&row) {
                    *sum += entry * product;
                }
            }
        }
        sums
    }

    fn noise(length: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        })
        .take(length)
        .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]

        #[test]
        fn a_pass_is_the_naive_product(
            rows in 1usize..120, columns in 1usize..1200, count in 1usize..9, exponent in -40i32..40, seed: u32,
        ) {
            let stored = |seed| -> Vec<u8> {
                noise(rows * columns, seed).iter().flat_map(|value| value.to_le_bytes()).collect()
            };
            let (a, b) = (stored(seed), stored(seed ^ 1));
            let a = Matrix::new(rows, columns, Dtype::F32, &a).unwrap();
            let b = Matrix::new(rows, columns, Dtype::F32, &b).unwrap();
            let exponents = if exponent % 2 == 0 { [0; 3] } else { [exponent; 3] };
            let source = Source { a, b, difference: Difference::F32, exponents };
            let stride = padded(columns);
            let mut values = noise(count * stride, seed ^ 2);
            values.chunks_mut(stride).for_each(|vector| vector[columns..].fill(0.0));
            let vectors = Vectors { values: &values, stride, count };
            let active = Operator::ALL.map(|operator| (operator, vectors));
            // This machine's instructions, and registers of other widths spelled out.
            let pass = || ChunkPass { source: &source, active: &active, rows: 0..rows };
            let ways = [
                fused_pass(&source, &active),
                pass().with_simd(pulp::Scalar),
                pass().with_simd(pulp::Scalar128b),
                pass().with_simd(pulp::Scalar256b),
                pass().with_simd(pulp::Scalar512b),
            ];
            for (index, (operator, _)) in active.into_iter().enumerate() {
                let expected = naive(&source, operator, vectors);
                let size = expected.iter().fold(0.0f64, |size, entry| size.max(entry.abs()));
                for found in &ways {
                    let found = found.as_ref().unwrap();
                    for (found, expected) in found[index].iter().zip(&expected) {
                        prop_assert!((found - expected).abs() <= 1e-5 * size);
                    }
                }
            }
        }
    }

    #[test]
    fn chunks_tile_the_rows_whatever_the_shape() {
        for (rows, columns) in [(0, 5), (1, 1), (576, 1536), (4096, 11008), (100_000, 128), (3, 10_000_000)] {
            let chunks = row_chunks(rows, columns);
            assert!(chunks.len() <= CHUNKS);
            assert_eq!(chunks.iter().map(ExactSizeIterator::len).sum::<usize>(), rows);
            assert!(chunks.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
        assert_eq!(row_chunks(576, 1536).len(), 1);
        assert!(row_chunks(4096, 11008).len() > 16);
    }
}
