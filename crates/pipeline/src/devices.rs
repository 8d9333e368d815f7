//! On which devices matrices are compared, by the names that users give.

use std::fmt;
use std::str::FromStr;

use activations::DeviceChoice;
use candle_core::{Device, DeviceLocation};
use spectral::{CpuEngine, DeviceEngine, Engine};

use crate::{Error, memory};

/// Devices that share the matrices of a comparison: one as hidden states have them ([`DeviceChoice`]), several CUDA devices
/// such as `cuda:0,cuda:1`, or `cuda:all`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Devices(Choice);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Choice {
    Some(Vec<DeviceChoice>),
    AllCuda,
}

/// Engines on each GPU, with a stream each: while one computes, others read and copy.
const ENGINES: u64 = 4;

impl Devices {
    /// The first of them, for what runs on one device.
    #[must_use]
    pub fn first(&self) -> DeviceChoice {
        match &self.0 {
            Choice::Some(devices) => devices.first().copied().unwrap_or_default(),
            Choice::AllCuda => DeviceChoice::Cuda(0),
        }
    }

    /// Engines on all of them; none for the CPU alone.
    ///
    /// # Errors
    /// [`Error::Activations`] for a device that is not there or that this build has not; [`Error::Device`].
    pub(crate) fn engines(&self) -> Result<Vec<Box<dyn Engine + Send>>, Error> {
        let open = |choice: DeviceChoice| choice.open().map_err(Error::from);
        let devices = match &self.0 {
            Choice::Some(choices) => choices.iter().copied().map(open).collect::<Result<Vec<_>, _>>()?,
            Choice::AllCuda => {
                let first = open(DeviceChoice::Cuda(0))?;
                let others = (1..).map_while(|number| DeviceChoice::Cuda(number).open().ok());
                std::iter::once(first).chain(others).collect()
            }
        };
        let devices: Vec<Device> = devices.into_iter().filter(|device| !device.is_cpu()).collect();
        // The same for all, and known before any of them takes some: whichever takes a matrix does so in the same way.
        let memory = devices.iter().map(memory::default_budget_on).min().unwrap_or(0) / ENGINES;
        let mut engines: Vec<Box<dyn Engine + Send>> = Vec::new();
        // In turn, so that the largest matrices are on different devices.
        for _ in 0..ENGINES {
            for device in &devices {
                engines.push(Box::new(engine(device, memory)?));
            }
        }
        Ok(engines)
    }
}

/// One of the engines on a device, with so many bytes of its memory.
fn engine(device: &Device, memory: u64) -> Result<DeviceEngine, Error> {
    let own = match device.location() {
        DeviceLocation::Cuda { gpu_id } => Device::new_cuda_with_stream(gpu_id),
        DeviceLocation::Metal { gpu_id } => Device::new_metal(gpu_id),
        DeviceLocation::Cpu => Ok(Device::Cpu),
    };
    let refused = |source| Error::Device { device: DeviceChoice::from(device).to_string(), source };
    let own = own.map_err(|source| refused(spectral::Error::Device { source: Box::new(source) }))?;
    DeviceEngine::new(own, usize::try_from(memory).unwrap_or(usize::MAX)).map_err(refused)
}

/// What the last bits of a comparison depend on.
pub(crate) fn description(engines: &[Box<dyn Engine + Send>]) -> String {
    let mut descriptions: Vec<String> = engines.iter().map(|engine| engine.description()).collect();
    descriptions.sort();
    descriptions.dedup();
    if descriptions.is_empty() { CpuEngine.description() } else { descriptions.join("; ") }
}

/// Whether that is the CPU alone.
pub(crate) fn is_cpu(description: &str) -> bool {
    description.starts_with("cpu, ")
}

/// The first CUDA device, else Metal, else the CPU.
impl Default for Devices {
    fn default() -> Self {
        Self::from(DeviceChoice::Auto)
    }
}

impl From<DeviceChoice> for Devices {
    fn from(device: DeviceChoice) -> Self {
        Self(Choice::Some(vec![device]))
    }
}

impl FromStr for Devices {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || Error::UnknownDevices { text: text.to_owned() };
        if text == "cuda:all" {
            return Ok(Self(Choice::AllCuda));
        }
        let devices = text.split(',').map(|name| name.parse().map_err(|_| unknown()));
        let devices = devices.collect::<Result<Vec<DeviceChoice>, Error>>()?;
        let is_cuda = |device: &DeviceChoice| matches!(device, DeviceChoice::Cuda(_));
        let is_twice = devices.iter().enumerate().any(|(index, device)| devices[..index].contains(device));
        if is_twice || (devices.len() > 1 && !devices.iter().all(is_cuda)) {
            return Err(unknown());
        }
        Ok(Self(Choice::Some(devices)))
    }
}

impl fmt::Display for Devices {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Choice::Some(devices) => {
                let names: Vec<String> = devices.iter().map(DeviceChoice::to_string).collect();
                formatter.pad(&names.join(","))
            }
            Choice::AllCuda => formatter.pad("cuda:all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood_and_given_back() {
        for name in ["auto", "cpu", "metal", "cuda:0", "cuda:0,cuda:1", "cuda:3,cuda:0,cuda:11", "cuda:all"] {
            assert_eq!(name.parse::<Devices>().unwrap().to_string(), name);
        }
        let first = |name: &str| name.parse::<Devices>().unwrap().first().to_string();
        assert_eq!(["metal", "cuda:3,cuda:0", "cuda:all"].map(first), ["metal", "cuda:3", "cuda:0"]);
        assert_eq!("cuda,cuda:1".parse::<Devices>().unwrap().to_string(), "cuda:0,cuda:1");
        for name in [
            "",
            "gpu",
            "cuda:0,",
            "cpu,cuda:0",
            "auto,auto",
            "cuda:1,cuda:1",
            "cuda,cuda:0",
            "cuda:all,cuda:0",
        ] {
            let error = name.parse::<Devices>().unwrap_err();
            assert!(matches!(error, Error::UnknownDevices { .. }), "{name}");
        }
    }

    #[test]
    fn the_cpu_needs_no_engine_of_its_own() {
        let none = Devices::from(DeviceChoice::Cpu).engines().unwrap();
        assert!(none.is_empty());
        assert!(is_cpu(&description(&none)));
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn devices_that_the_build_lacks_are_refused() {
        for name in ["cuda", "cuda:0,cuda:1", "cuda:all"] {
            let error = name.parse::<Devices>().unwrap().engines().unwrap_err();
            assert!(error.hint().contains("--features cuda"), "{name}: {error}");
        }
    }
}
