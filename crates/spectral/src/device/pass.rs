//! Pairs on the device, and the products MᵀM V there.

use candle_core::{DType, Result, Tensor};

use super::chunk::{Chunk, row_ranges};
use super::layout::{Pieces, stored, tiled};
use super::{DeviceEngine, statistics};
use crate::Error;
use crate::kernels::Vectors;
use crate::matrix::{Dtype, Matrix};
use crate::options::Operators;
use crate::reads::{Active, Reads};
use crate::source::{Operator, Source};
use crate::statistics::Sums;

/// Bytes that the largest step of a chunk needs for each of its elements: ΔW and its square in f64, A and B in f32.
const SCRATCH: usize = 32;
/// Bytes of an element of A, B and ΔW in f32.
const WIDENED: usize = 12;

/// A batch of pairs of one shape.
#[derive(Debug)]
pub(super) struct Loaded<'a> {
    engine: &'a DeviceEngine,
    /// Pairs, those included that are zeros because there are no more.
    pairs: usize,
    columns: usize,
    tiles: Pieces,
    chunks: Vec<Chunk>,
    sums: Vec<Sums>,
}

impl<'a> Loaded<'a> {
    /// Bytes on the device that a pair needs at least, or the batch that it would be part of.
    pub(super) fn needed(engine: &DeviceEngine, a: &Matrix<'_>, b: &Matrix<'_>) -> usize {
        let elements = engine.batch_of((a.rows, a.columns)).saturating_mul(a.element_count());
        let chunk = elements.min(engine.chunk_elements.max(a.columns));
        elements.saturating_mul(a.dtype.size() + b.dtype.size()).saturating_add(chunk.saturating_mul(SCRATCH))
    }

    /// Uploads pairs, and sums over all their entries on the way.
    pub(super) fn load(
        engine: &'a DeviceEngine,
        sources: &[Source<'_>],
        operators: Operators,
    ) -> std::result::Result<Self, Error> {
        let Some(Source { a, b, .. }) = sources.first() else {
            return Ok(Self {
                engine,
                pairs: 0,
                columns: 0,
                tiles: Pieces::tiles(0),
                chunks: Vec::new(),
                sums: Vec::new(),
            });
        };
        let (rows, columns) = (a.rows, a.columns);
        let pairs = engine.batch_of((rows, columns));
        let tiles = Pieces::tiles(columns);
        let wide = wide(&engine.device);
        let wanted = Operator::ALL.map(|operator| operators.contains(operator));
        let elements = pairs * rows * columns;
        let widens =
            Self::needed(engine, a, b).saturating_add(elements.saturating_mul(WIDENED)) <= engine.memory;
        let mut staging = engine.take_staging();
        let mut sums = vec![Sums::default(); sources.len()];
        let mut chunks = Vec::new();
        for range in row_ranges(rows, columns.saturating_mul(pairs), engine.chunk_elements) {
            let blocks = Pieces::blocks(range.len());
            let mut upload = |dtype: Dtype, side: for<'s, 'b> fn(&'s Source<'b>) -> Matrix<'b>| {
                let size = range.len() * columns * dtype.size();
                let fill = |bytes: &mut [u8]| {
                    let (used, rest) = bytes.split_at_mut(size * sources.len());
                    rest.fill(0);
                    let mut parts = sources.iter().zip(used.chunks_exact_mut(size));
                    parts.try_for_each(|(source, out)| side(source).copy_rows(&range, out))
                };
                let shape = (pairs, range.len(), columns);
                let rows_first = staging.upload(&engine.device, stored(dtype), shape, fill)?;
                tiled(&rows_first, tiles, blocks).map_err(device_error)
            };
            let sides = [upload(a.dtype, |source| source.a)?, upload(b.dtype, |source| source.b)?];
            let mut chunk = Chunk::stored(sides, blocks);
            let mut finish = || {
                if widens {
                    chunk.widen([true; 3])?;
                }
                statistics::add(&chunk, pairs, tiles, wide, &mut sums)?;
                if widens { chunk.widen(wanted) } else { Ok(()) }
            };
            finish().map_err(device_error)?;
            chunks.push(chunk);
        }
        engine.give_back(staging);
        Ok(Self { engine, pairs, columns, tiles, chunks, sums })
    }

    /// The sums over all entries of each pair.
    pub(super) fn take_sums(&mut self) -> Vec<Sums> {
        std::mem::take(&mut self.sums)
    }

    /// MᵀM V of one operator: `vectors[pair]`, where there are any, for each pair. So many vectors each.
    fn products(
        &self,
        operator: Operator,
        vectors: &[Option<Vectors<'_>>],
        count: usize,
    ) -> Result<Vec<f64>> {
        let Self { engine, pairs, columns, tiles, .. } = self;
        let wide = wide(&engine.device);
        let padded = tiles.padded();
        // One row a column, one column a vector; zeros for pairs that are done.
        let mut values = vec![0f32; pairs * padded * count];
        for (vectors, out) in vectors.iter().zip(values.chunks_exact_mut(padded * count)) {
            for (index, vector) in
                vectors.iter().flat_map(|vectors| vectors.values.chunks(vectors.stride)).enumerate()
            {
                for (out, value) in out.chunks_exact_mut(count).zip(&vector[..*columns]) {
                    out[index] = *value;
                }
            }
        }
        let values = Tensor::from_vec(values, (pairs * tiles.count, tiles.length, count), &engine.device)?;
        let mut total: Option<Tensor> = None;
        for chunk in &self.chunks {
            let rows = chunk.blocks.padded();
            let matrix = chunk.operator(operator)?;
            let partial = matrix.matmul(&values)?.to_dtype(wide)?;
            let projected =
                partial.reshape((*pairs, tiles.count, rows, count))?.sum(1)?.to_dtype(DType::F32)?;
            let blocks = (*pairs, tiles.count, chunk.blocks.count, chunk.blocks.length, count);
            let projected = projected
                .reshape((*pairs, 1, chunk.blocks.count, chunk.blocks.length, count))?
                .broadcast_as(blocks)?
                .contiguous()?
                .reshape((pairs * tiles.count * chunk.blocks.count, chunk.blocks.length, count))?;
            let transposed = matrix
                .reshape((pairs * tiles.count * chunk.blocks.count, chunk.blocks.length, tiles.length))?
                .transpose(1, 2)?;
            let product = transposed
                .matmul(&projected)?
                .to_dtype(wide)?
                .reshape((pairs * tiles.count, chunk.blocks.count, tiles.length * count))?
                .sum(1)?;
            total = Some(match total {
                None => product,
                Some(total) => (total + product)?,
            });
        }
        match total {
            None => Ok(Vec::new()),
            Some(total) => total.flatten_all()?.to_dtype(DType::F64)?.to_vec1(),
        }
    }
}

/// The dtype of long sums on a device.
fn wide(device: &candle_core::Device) -> DType {
    if device.is_metal() { DType::F32 } else { DType::F64 } // Metal has no f64
}

pub(super) fn device_error(source: candle_core::Error) -> Error {
    Error::Device { source: Box::new(source) }
}

/// The pairs of a batch that go through the passes.
pub(super) struct DeviceReads<'a> {
    pub(super) loaded: &'a Loaded<'a>,
    pub(super) sources: &'a [Source<'a>],
    /// Where in the batch each pair is.
    pub(super) slots: &'a [usize],
}

impl Reads for DeviceReads<'_> {
    fn source(&self, pair: usize) -> &Source<'_> {
        &self.sources[self.slots[pair]]
    }

    fn products(&self, active: &[Active<'_>]) -> std::result::Result<Vec<Vec<f64>>, Error> {
        let mut products = vec![Vec::new(); active.len()];
        let (tiles, columns) = (self.loaded.tiles, self.loaded.columns);
        for operator in Operator::ALL {
            let mut vectors: Vec<Option<Vectors<'_>>> = vec![None; self.loaded.pairs];
            let of_operator = || active.iter().enumerate().filter(|(_, active)| active.operator == operator);
            for (_, active) in of_operator() {
                vectors[self.slots[active.pair]] = Some(active.vectors);
            }
            let Some(count) = vectors.iter().flatten().map(|vectors| vectors.count).next() else { continue };
            let found = self.loaded.products(operator, &vectors, count).map_err(device_error)?;
            for (index, active) in of_operator() {
                let slot = self.slots[active.pair];
                let found = &found[slot * tiles.padded() * count..][..columns * count];
                let mut product = vec![0.0; active.vectors.stride * count];
                for (vector, out) in product.chunks_exact_mut(active.vectors.stride).enumerate() {
                    for (out, found) in out.iter_mut().zip(found.chunks_exact(count)) {
                        *out = found[vector];
                    }
                }
                products[index] = product;
            }
        }
        Ok(products)
    }
}
