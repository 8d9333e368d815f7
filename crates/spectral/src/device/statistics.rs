//! The sums over all entries of a chunk, pair by pair, in f64 where the device has it.

use candle_core::{D, DType, Result, Tensor};

use super::chunk::Chunk;
use super::layout::Pieces;
use crate::source::Operator;
use crate::statistics::Sums;

/// Sums in the order in which they come back.
const SUMS: usize = 10;

/// Adds a chunk's sums to those of each pair.
pub(super) fn add(
    chunk: &Chunk,
    pairs: usize,
    tiles: Pieces,
    wide: DType,
    totals: &mut [Sums],
) -> Result<()> {
    let shape = (pairs, tiles.count, chunk.blocks.padded(), tiles.length);
    // Step by step: one sum over millions of entries would be one thread block's work.
    let sum = |entries: &Tensor| entries.reshape(shape)?.sum(D::Minus1)?.sum(D::Minus1)?.sum(D::Minus1);
    let largest = |entries: &Tensor| {
        let largest = entries.abs()?.reshape(shape)?.max(D::Minus1)?.max(D::Minus1)?.max(D::Minus1)?;
        largest.to_dtype(wide)
    };
    let [a, b, delta] = Operator::ALL.map(|operator| chunk.operator(operator));
    let (a, b, delta) = (a?, b?, delta?);
    let changed = sum(&delta.ne(0f32)?.to_dtype(wide)?)?;
    let most = [largest(&a)?, largest(&b)?, largest(&delta)?];
    let [a, b, delta] = [a.to_dtype(wide), b.to_dtype(wide), delta.to_dtype(wide)];
    let (a, b) = (a?, b?);
    let product = sum(&(&a * &b)?)?;
    let squares = [sum(&a.sqr()?)?, sum(&b.sqr()?)?];
    drop((a, b));
    let delta = delta?;
    let all: [Tensor; SUMS] = {
        let ([a, b], [most_a, most_b, most_delta]) = (squares, most);
        let of_delta = [sum(&delta.sqr()?)?, sum(&delta)?, sum(&delta.abs()?)?];
        let [squares, delta, delta_abs] = of_delta;
        [a, b, squares, product, delta, delta_abs, most_a, most_b, most_delta, changed]
    };
    let found = Tensor::stack(&all, 0)?.to_dtype(DType::F64)?.to_vec2::<f64>()?;
    for (pair, total) in totals.iter_mut().enumerate() {
        let of = |sum: usize| found[sum][pair];
        let chunk = Sums {
            squares: [of(0), of(1), of(2)],
            product: of(3),
            delta: of(4),
            delta_abs: of(5),
            largest: [of(6), of(7), of(8)],
            changed: of(9) as u64,
            ..Sums::default()
        };
        total.add(&chunk);
    }
    Ok(())
}
