//! From files to the device: memory that is filled while the device still copies what was filled before.

use candle_core::{DType, Device, Tensor};

use super::pass::device_error;
#[cfg(feature = "cuda")]
use super::pinned::Pinned;
use crate::Error;

/// Memory on the way to a device, used again and again.
#[derive(Debug, Default)]
pub(super) struct Staging {
    /// For devices that copy before they return.
    bytes: Vec<u8>,
    /// Pinned memory, from which a GPU copies by itself: one buffer is filled while the other is copied.
    #[cfg(feature = "cuda")]
    pinned: [Option<Pinned>; 2],
}

impl Staging {
    /// Uploads a tensor whose bytes, little-endian, are filled in by `fill`.
    pub(super) fn upload(
        &mut self,
        device: &Device,
        dtype: DType,
        shape: (usize, usize, usize),
        fill: impl FnOnce(&mut [u8]) -> Result<(), Error>,
    ) -> Result<Tensor, Error> {
        let length = shape.0 * shape.1 * shape.2 * dtype.size_in_bytes();
        #[cfg(feature = "cuda")]
        if let Device::Cuda(cuda) = device {
            self.pinned.swap(0, 1);
            let [pinned, _] = &mut self.pinned;
            return Pinned::upload(pinned, cuda, dtype, shape, length, fill);
        }
        if self.bytes.len() < length {
            let more = length - self.bytes.len();
            self.bytes.try_reserve_exact(more).map_err(|_| Error::Memory { bytes: length })?;
            self.bytes.resize(length, 0);
        }
        let bytes = &mut self.bytes[..length];
        fill(bytes)?;
        let shape = [shape.0, shape.1, shape.2];
        Tensor::from_raw_buffer(bytes, dtype, &shape, device).map_err(device_error)
    }
}

/// What kind of device it is.
pub(super) fn description(device: &Device) -> String {
    match device {
        Device::Cpu => "candle's cpu".to_owned(),
        #[cfg(feature = "cuda")]
        Device::Cuda(cuda) => super::pinned::name(cuda),
        other => format!("{:?}", other.location()),
    }
}
