//! Where hidden states are computed and in which type, by the names that users give.

use std::fmt;
use std::str::FromStr;

use candle_core::utils::{cuda_is_available, metal_is_available};
use candle_core::{DType, Device, DeviceLocation};

use crate::Error;

/// A device as asked for: `auto`, `cpu`, `cuda`, `cuda:N`, `metal` (or PyTorch's `mps`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device, else Metal, else the CPU: what this build has and this machine offers.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device of this number.
    Cuda(usize),
    /// Apple's GPU.
    Metal,
}

impl DeviceChoice {
    /// The device, ready for use.
    ///
    /// # Errors
    /// [`Error::DeviceNotBuilt`] if this build has no such devices, [`Error::Device`] if the machine has no such one.
    /// `Auto` always finds the CPU.
    pub fn open(self) -> Result<Device, Error> {
        let not_built = Error::DeviceNotBuilt { device: self };
        let refused = |source| Error::Device { device: self, source: Box::new(source) };
        match self {
            Self::Auto => {
                let gpu = Self::Cuda(0).open().or_else(|_| Self::Metal.open());
                Ok(gpu.unwrap_or(Device::Cpu))
            }
            Self::Cpu => Ok(Device::Cpu),
            // These two tell what candle was built with.
            Self::Cuda(number) if cuda_is_available() => Device::new_cuda(number).map_err(refused),
            Self::Metal if metal_is_available() => Device::new_metal(0).map_err(refused),
            Self::Cuda(_) | Self::Metal => Err(not_built),
        }
    }
}

/// Bytes that are free on a CUDA device; `None` where memory is the machine's, or the device does not tell.
#[must_use]
pub fn free_memory(device: &Device) -> Option<u64> {
    #[cfg(feature = "cuda")]
    if let Device::Cuda(device) = device {
        let (free, _) = device.cuda_stream().context().mem_get_info().ok()?;
        return Some(free as u64);
    }
    let _ = device;
    None
}

/// True if a device refused memory that a computation needs.
pub(crate) fn out_of_memory(error: &candle_core::Error) -> bool {
    #[cfg(feature = "cuda")]
    {
        use candle_core::cuda_backend::CudaError;
        use candle_core::cuda_backend::cudarc::{cublas, driver};
        let mut error = error;
        loop {
            error = match error {
                candle_core::Error::WithBacktrace { inner, .. }
                | candle_core::Error::Context { inner, .. }
                | candle_core::Error::WithPath { inner, .. } => inner,
                candle_core::Error::Cuda(error) => {
                    return match error.downcast_ref() {
                        Some(CudaError::Cuda(driver::DriverError(code))) => {
                            *code == driver::sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY
                        }
                        Some(CudaError::Cublas(cublas::result::CublasError(code))) => {
                            *code == cublas::sys::cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED
                        }
                        _ => false,
                    };
                }
                _ => return false,
            };
        }
    }
    #[cfg(not(feature = "cuda"))]
    {
        let _ = error;
        false
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" | "mps" => Ok(Self::Metal),
            _ => {
                let number = name.strip_prefix("cuda:").and_then(|number| number.parse().ok());
                number.map(Self::Cuda).ok_or_else(|| Error::UnknownDevice { name: name.to_owned() })
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.pad("auto"),
            Self::Cpu => formatter.pad("cpu"),
            Self::Cuda(number) => formatter.pad(&format!("cuda:{number}")),
            Self::Metal => formatter.pad("metal"),
        }
    }
}

impl From<&Device> for DeviceChoice {
    fn from(device: &Device) -> Self {
        match device.location() {
            DeviceLocation::Cpu => Self::Cpu,
            DeviceLocation::Cuda { gpu_id } => Self::Cuda(gpu_id),
            DeviceLocation::Metal { .. } => Self::Metal,
        }
    }
}

/// The type that a model computes in, as asked for: `auto`, `fp32`, `fp16` or `bf16`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DtypeChoice {
    /// bf16 on CUDA, fp16 on Metal, fp32 on the CPU.
    #[default]
    Auto,
    /// 32 bits.
    Fp32,
    /// 16 bits, 5 of them for the exponent: large activations overflow.
    Fp16,
    /// 16 bits with the exponent of 32.
    Bf16,
}

impl DtypeChoice {
    /// What `Auto` stands for on a device; any other choice stays.
    #[must_use]
    pub fn on(self, device: &Device) -> Self {
        match (self, device) {
            (Self::Auto, Device::Cuda(_)) => Self::Bf16,
            (Self::Auto, Device::Metal(_)) => Self::Fp16,
            (Self::Auto, Device::Cpu) => Self::Fp32,
            _ => self,
        }
    }

    /// candle's type; F32 for an `Auto` that was not asked [what it stands for](Self::on).
    #[must_use]
    pub const fn dtype(self) -> DType {
        match self {
            Self::Auto | Self::Fp32 => DType::F32,
            Self::Fp16 => DType::F16,
            Self::Bf16 => DType::BF16,
        }
    }
}

impl FromStr for DtypeChoice {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "auto" => Ok(Self::Auto),
            "fp32" => Ok(Self::Fp32),
            "fp16" => Ok(Self::Fp16),
            "bf16" => Ok(Self::Bf16),
            _ => Err(Error::UnknownDtype { name: name.to_owned() }),
        }
    }
}

impl fmt::Display for DtypeChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Auto => "auto",
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Bf16 => "bf16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood_and_given_back() {
        for name in ["auto", "cpu", "cuda:0", "cuda:17", "metal"] {
            assert_eq!(name.parse::<DeviceChoice>().unwrap().to_string(), name);
        }
        for (name, device) in [("cuda", DeviceChoice::Cuda(0)), ("mps", DeviceChoice::Metal)] {
            assert_eq!(name.parse::<DeviceChoice>().unwrap(), device);
        }
        for name in ["auto", "fp32", "fp16", "bf16"] {
            assert_eq!(name.parse::<DtypeChoice>().unwrap().to_string(), name);
        }
        for name in ["", "CPU", "cuda:", "cuda:-1", "cuda:x", "tpu", "fp64"] {
            assert!(name.parse::<DeviceChoice>().is_err() && name.parse::<DtypeChoice>().is_err(), "{name}");
        }
    }

    #[test]
    fn automatic_dtype_follows_the_device_and_others_stay() {
        assert_eq!(DtypeChoice::Auto.on(&Device::Cpu), DtypeChoice::Fp32);
        assert_eq!(DtypeChoice::Bf16.on(&Device::Cpu), DtypeChoice::Bf16);
    }

    #[test]
    fn a_device_that_the_build_lacks_is_refused_with_the_feature_to_build_with() {
        let cuda = (DeviceChoice::Cuda(1), "cuda", cuda_is_available());
        let metal = (DeviceChoice::Metal, "metal", metal_is_available());
        for (device, feature, _) in [cuda, metal].into_iter().filter(|(_, _, built)| !built) {
            let error = device.open().expect_err("this build has no such devices");
            assert!(matches!(error, Error::DeviceNotBuilt { .. }), "{error}");
            assert!(error.hint().contains(&format!("--features {feature}")), "{error}");
        }
        assert!(DeviceChoice::Auto.open().is_ok());
        assert_eq!(DeviceChoice::from(&DeviceChoice::Cpu.open().unwrap()), DeviceChoice::Cpu);
    }
}
