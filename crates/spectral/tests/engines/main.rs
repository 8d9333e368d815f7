//! What every engine must give: the CPU's, candle's on its CPU device, and, in a build with CUDA on a machine that has it,
//! candle's on the GPU.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

mod conformance;
mod matrices;
#[path = "../stored/mod.rs"]
mod stored;

use candle_core::Device;
use spectral::{CpuEngine, DeviceEngine, Engine};

/// Room enough for all.
const MEMORY: usize = 1 << 30;

fn on(device: Device, memory: usize) -> DeviceEngine {
    DeviceEngine::new(device, memory).unwrap()
}

#[test]
fn the_cpu_conforms() {
    conformance::all(&CpuEngine);
}

#[test]
fn candle_on_the_cpu_conforms() {
    let engine = on(Device::Cpu, MEMORY);
    assert!(engine.description().starts_with("candle's cpu, "), "{}", engine.description());
    conformance::all(&engine);
}

/// Everything goes to the CPU.
#[test]
fn a_device_without_memory_gives_what_the_cpu_gives() {
    let engine = on(Device::Cpu, 0);
    for (case, pairs) in conformance::cases() {
        let named = matrices::named(&pairs);
        let options = case.options();
        let found = engine.summarize(&named, &options).unwrap();
        assert_eq!(found, CpuEngine.summarize(&named, &options).unwrap(), "{case:?}");
    }
}

#[test]
fn cuda_conforms() {
    if !candle_core::utils::cuda_is_available() {
        eprintln!("skipped: built without the feature cuda");
        return;
    }
    let Ok(device) = Device::new_cuda_with_stream(0) else {
        eprintln!("skipped: there is no CUDA device");
        return;
    };
    conformance::all(&on(device, MEMORY));
    // Two streams of one device at once.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                conformance::all(&on(Device::new_cuda_with_stream(0).unwrap(), MEMORY));
            });
        }
    });
}
