//! Pinned memory of the host, from which a CUDA device copies while the CPU goes on.

use candle_core::cuda_backend::cudarc::driver::{
    CudaEvent, DeviceRepr, DriverError, PinnedHostSlice, ValidAsZeroBits, sys,
};
use candle_core::cuda_backend::{CudaDType, CudaStorage};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, DType, Storage, Tensor};
use half::{bf16, f16};

use super::pass::device_error;
use crate::Error;

/// A buffer of pinned memory.
#[derive(Debug)]
pub(super) struct Pinned {
    memory: PinnedHostSlice<u8>,
    /// Passed once what was last copied from here has arrived.
    copied: Option<CudaEvent>,
}

impl Pinned {
    /// Fills a buffer, a larger one if need be, and has the device copy it. Returns at once: the next work on the device's
    /// stream waits for the copy.
    pub(super) fn upload(
        buffer: &mut Option<Self>,
        device: &CudaDevice,
        dtype: DType,
        shape: (usize, usize, usize),
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Error>,
    ) -> Result<Tensor, Error> {
        let pinned = match buffer.take() {
            Some(pinned) if pinned.memory.len() >= length => pinned,
            smaller => {
                drop(smaller);
                Self::new(device, length)?
            }
        };
        let pinned = buffer.insert(pinned);
        pinned.wait()?;
        let bytes = &mut pinned.memory.as_mut_slice().map_err(driver_error)?[..length];
        fill(bytes)?;
        let storage = match dtype {
            DType::BF16 => copy::<bf16>(device, bytes),
            DType::F16 => copy::<f16>(device, bytes),
            _ => copy::<f32>(device, bytes),
        };
        // Whatever came of it, the device may be reading.
        pinned.copied = Some(device.cuda_stream().record_event(None).map_err(driver_error)?);
        Ok(Tensor::from_storage(Storage::Cuda(storage?), shape, BackpropOp::none(), false))
    }

    #[allow(unsafe_code)]
    fn new(device: &CudaDevice, length: usize) -> Result<Self, Error> {
        let context = device.cuda_stream().context().clone();
        // SAFETY: memory that was never written to is all that is asked about; it is filled with zeros before it is read.
        let memory = unsafe { context.alloc_pinned_with_flags::<u8>(length, sys::CU_MEMHOSTALLOC_PORTABLE) };
        let mut memory = memory.map_err(driver_error)?;
        memory.as_mut_slice().map_err(driver_error)?.fill(0);
        Ok(Self { memory, copied: None })
    }

    /// Waits until the device has read what it was told to.
    fn wait(&mut self) -> Result<(), Error> {
        self.copied.take().map_or(Ok(()), |copied| copied.synchronize()).map_err(driver_error)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // If it fails, so does all else on this device.
        let _ = self.wait();
    }
}

fn copy<T>(device: &CudaDevice, bytes: &[u8]) -> Result<CudaStorage, Error>
where
    T: CudaDType + DeviceRepr + ValidAsZeroBits + bytemuck::Pod,
{
    let elements: &[T] = bytemuck::try_cast_slice(bytes).map_err(|error| other(error.to_string()))?;
    let mut slice = device.alloc_zeros::<T>(elements.len()).map_err(device_error)?;
    device.memcpy_htod(elements, &mut slice).map_err(device_error)?;
    Ok(CudaStorage::wrap_cuda_slice(slice, device.clone()))
}

/// What kind of device it is: all of one kind give the same bits.
pub(super) fn name(device: &CudaDevice) -> String {
    let name = device.cuda_stream().context().name().unwrap_or_default();
    format!("cuda, {name}")
}

fn driver_error(error: DriverError) -> Error {
    other(error.to_string())
}

fn other(message: String) -> Error {
    device_error(candle_core::Error::Msg(message))
}
