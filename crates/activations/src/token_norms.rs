//! Norms of single tokens, and how far those of two models are apart: on the CPU row by row, elsewhere on the device, of
//! which only these few numbers a token come back.

use candle_core::{D, DType, Device, Result, Storage, Tensor};
use rayon::prelude::*;

use crate::kernels;

/// Elements that a device measures at once, so that their copies in f32 stay small.
const AT_ONCE: usize = 1 << 24;

/// ‖h‖₁ and ‖h‖₂.
pub(crate) type TokenNorms = (f64, f64);

/// One token in both models.
pub(crate) struct TokenPair {
    pub(crate) a: TokenNorms,
    pub(crate) b: TokenNorms,
    pub(crate) difference: TokenNorms,
    pub(crate) product: f64,
}

/// The norms of every row of `[tokens, width]`. Components are f32, and so are the sums of each row on a device.
pub(crate) fn norms(hidden: &Tensor) -> Result<Vec<TokenNorms>> {
    let (_, width) = hidden.dims2()?;
    if kernels::on_host(hidden) {
        return with_elements(hidden, |hidden| hidden.par_chunks(width.max(1)).map(norms_of_row).collect());
    }
    by_parts(hidden, hidden, |x, _| Ok(l1_and_l2(x)?.to_vec()), |sums| (sums[0], sums[1].sqrt()))
}

/// What two models make of every token: rows of `[tokens, width]` of the same shape.
pub(crate) fn pairs(a: &Tensor, b: &Tensor) -> Result<Vec<TokenPair>> {
    let (_, width) = a.dims2()?;
    if kernels::on_host(a) {
        let width = width.max(1);
        let rows = |a: &[f32], b: &[f32]| {
            a.par_chunks(width).zip(b.par_chunks(width)).map(|(a, b)| pair_of_rows(a, b)).collect()
        };
        return with_elements(a, |a| with_elements(b, |b| rows(a, b)))?;
    }
    let sums = |a: &Tensor, b: &Tensor| {
        let product = (a * b)?.sum_keepdim(D::Minus1)?;
        Ok([&l1_and_l2(a)?[..], &l1_and_l2(b)?, &l1_and_l2(&(b - a)?)?, &[product]].concat())
    };
    by_parts(a, b, sums, |sums| TokenPair {
        a: (sums[0], sums[1].sqrt()),
        b: (sums[2], sums[3].sqrt()),
        difference: (sums[4], sums[5].sqrt()),
        product: sums[6],
    })
}

/// Sums of rows on the device, some rows at a time: those of both tensors in f32 become columns `[rows, 1]`, these one copy
/// to the host, and each row of it what is asked for.
fn by_parts<T>(
    a: &Tensor,
    b: &Tensor,
    sums: impl Fn(&Tensor, &Tensor) -> Result<Vec<Tensor>>,
    of_token: impl Fn(&[f64]) -> T,
) -> Result<Vec<T>> {
    let (tokens, width) = a.dims2()?;
    let rows = (AT_ONCE / width.max(1)).max(1);
    let parts = (0..tokens).step_by(rows).map(|first| {
        let part =
            |x: &Tensor| x.narrow(0, first, rows.min(tokens - first))?.to_dtype(DType::F32)?.contiguous();
        Tensor::cat(&sums(&part(a)?, &part(b)?)?, 1)
    });
    let parts: Vec<Tensor> = parts.collect::<Result<_>>()?;
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let found: Vec<Vec<f32>> = Tensor::cat(&parts, 0)?.to_vec2()?;
    let wide = |row: Vec<f32>| -> Vec<f64> { row.into_iter().map(f64::from).collect() };
    Ok(found.into_iter().map(|row| of_token(&wide(row))).collect())
}

/// Σ|x| and Σx² of each row.
fn l1_and_l2(x: &Tensor) -> Result<[Tensor; 2]> {
    Ok([x.abs()?.sum_keepdim(D::Minus1)?, x.sqr()?.sum_keepdim(D::Minus1)?])
}

fn norms_of_row(row: &[f32]) -> TokenNorms {
    (sum(row, row, |x, _| x.abs()), sum(row, row, |x, _| x * x).sqrt())
}

fn pair_of_rows(a: &[f32], b: &[f32]) -> TokenPair {
    let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| b - a).collect();
    TokenPair {
        a: norms_of_row(a),
        b: norms_of_row(b),
        difference: norms_of_row(&difference),
        product: sum(a, b, |a, b| a * b),
    }
}

/// Σ f(x, y), over eight sums side by side that do not wait for each other.
fn sum(x: &[f32], y: &[f32], f: impl Fn(f64, f64) -> f64) -> f64 {
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<8>(), y.as_chunks::<8>());
    let mut sums = [0f64; 8];
    let mut add = |x: &[f32], y: &[f32]| {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += f((*x).into(), (*y).into());
        }
    };
    x.iter().zip(y).for_each(|(x, y)| add(x, y));
    add(x_rest, y_rest);
    sums.iter().sum()
}

/// Calls a function with the elements of a tensor, in f32 on the CPU.
fn with_elements<R>(x: &Tensor, f: impl FnOnce(&[f32]) -> R) -> Result<R> {
    let x = x.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?;
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else { candle_core::bail!("a tensor on the CPU is elsewhere") };
    let elements = &storage.as_slice::<f32>()?[layout.start_offset()..][..layout.shape().elem_count()];
    Ok(f(elements))
}
