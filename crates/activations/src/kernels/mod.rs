//! Fused operations on the CPU in f32, in parallel over rows.
//!
//! Each gives `None` where its inputs are of another dtype, device or layout; the caller then composes the operation of
//! candle's own, which is also what the tests hold these to. Sums run along a row in a fixed order, so that the number of
//! threads does not show.

mod attention;
mod elementary;
mod rows;
#[cfg(test)]
mod tests;

use candle_core::{CpuStorage, Result, Storage, Tensor};

pub(crate) use attention::attend;
pub(crate) use rows::{activate, add, add_bias, norm, rotate};

/// The fused result if there is one, else the composed one.
pub(crate) fn or_composed(
    fused: Result<Option<Tensor>>,
    composed: impl FnOnce() -> Result<Tensor>,
) -> Result<Tensor> {
    fused?.map_or_else(composed, Ok)
}

/// Calls a function with the elements of a contiguous f32 tensor on the CPU.
fn with_elements<R>(x: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<Option<R>> {
    let (storage, layout) = x.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => f(&values[start..end]).map(Some),
        _ => Ok(None),
    }
}

/// Calls a function with the elements of `[rows, heads, width]` from the first on and the distance between rows, if
/// the heads of a row lie one after another; an f32 tensor on the CPU.
fn with_rows<R>(x: &Tensor, f: impl FnOnce(&[f32], usize) -> Result<R>) -> Result<Option<R>> {
    let (storage, layout) = x.storage_and_layout();
    match (&*storage, layout.dims(), layout.stride()) {
        (Storage::Cpu(CpuStorage::F32(values)), [_, _, width], [row, head, 1]) if head == width => {
            f(&values[layout.start_offset()..], *row).map(Some)
        }
        _ => Ok(None),
    }
}
