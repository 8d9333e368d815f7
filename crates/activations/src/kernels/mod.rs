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

use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor};

pub(crate) use attention::attend;
pub(crate) use rows::{activate, add, add_bias, norm, rotate};

/// The fused result if there is one, else the composed one.
pub(crate) fn or_composed(
    fused: Result<Option<Tensor>>,
    composed: impl FnOnce() -> Result<Tensor>,
) -> Result<Tensor> {
    fused?.map_or_else(composed, Ok)
}

/// True if a run has fused operations; without, it goes the way that a GPU goes.
pub(crate) fn are_fused(device: &Device, dtype: DType) -> bool {
    device.is_cpu() && dtype == DType::F32 && !as_on_gpu()
}

/// True if a tensor is where this process can look at it.
pub(crate) fn on_host(x: &Tensor) -> bool {
    x.device().is_cpu() && !as_on_gpu()
}

/// The matrix product. A GPU takes fewer layouts than the CPU, which the tests that pretend to be one see to.
pub(crate) fn product(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    #[cfg(test)]
    if as_on_gpu() {
        tests::assert_fit_for_cuda(x, y);
    }
    x.matmul(y)
}

#[cfg(not(test))]
const fn as_on_gpu() -> bool {
    false
}

#[cfg(test)]
thread_local! {
    static AS_ON_GPU: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

#[cfg(test)]
fn as_on_gpu() -> bool {
    AS_ON_GPU.get()
}

/// Has the CPU do all that `f` does on this thread as if it were a GPU.
#[cfg(test)]
pub(crate) fn pretending_to_be_a_gpu<R>(f: impl FnOnce() -> R) -> R {
    AS_ON_GPU.set(true);
    let result = f();
    AS_ON_GPU.set(false);
    result
}

/// Calls a function with the elements of a contiguous f32 tensor on the CPU.
fn with_elements<R>(x: &Tensor, f: impl FnOnce(&[f32]) -> Result<R>) -> Result<Option<R>> {
    if as_on_gpu() {
        return Ok(None);
    }
    let (storage, layout) = x.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => f(&values[start..end]).map(Some),
        _ => Ok(None),
    }
}

/// Calls a function with the elements of `[rows, heads, width]` from the first on and the distance between rows, if
/// the heads of a row lie one after another; an f32 tensor on the CPU.
fn with_rows<R>(x: &Tensor, f: impl FnOnce(&[f32], usize) -> Result<R>) -> Result<Option<R>> {
    if as_on_gpu() {
        return Ok(None);
    }
    let (storage, layout) = x.storage_and_layout();
    match (&*storage, layout.dims(), layout.stride()) {
        (Storage::Cpu(CpuStorage::F32(values)), [_, _, width], [row, head, 1]) if head == width => {
            f(&values[layout.start_offset()..], *row).map(Some)
        }
        _ => Ok(None),
    }
}
