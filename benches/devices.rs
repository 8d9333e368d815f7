//! How well engines on a device are fed: a comparison against reading the same files, in the system's cache, and copying
//! them to the device, which is the least that it can take. One engine alone, and four with a stream each, as
//! `collect-param-stats` has them on a GPU.
//!
//! `cargo bench -p benches --bench devices --features cuda` on a machine with a GPU; without one the device is candle's CPU
//! device, with small matrices, which says nothing of a GPU.
#![allow(missing_docs)] // criterion's macros make public functions

mod models;

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::Device;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use spectral::{DeviceEngine, Dtype, Engine, Matrix, NamedPair, Options};
use weights_io::Checkpoint;

use models::{Through, write_model};

/// Bytes of the device's memory for each engine: one pair widened, and what its passes need.
const MEMORY: usize = 3 << 30;

type Done = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Every pair by one of the engines.
fn share(
    engines: &[DeviceEngine],
    models: &[Checkpoint; 2],
    (rows, columns): (usize, usize),
    take: impl Fn(&DeviceEngine, &NamedPair<'_>) -> Result<(), spectral::Error> + Sync,
) -> Done {
    let [a, b] = models;
    let next = AtomicUsize::new(0);
    let work = |engine: &DeviceEngine| -> Done {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let (Some(of_a), Some(of_b)) = (a.tensors().get(index), b.tensors().get(index)) else {
                return Ok(());
            };
            let (through_a, through_b) = (Through(a, of_a), Through(b, of_b));
            let a = Matrix::read_through(rows, columns, Dtype::Bf16, &through_a)?;
            let b = Matrix::read_through(rows, columns, Dtype::Bf16, &through_b)?;
            take(engine, &NamedPair { name: &of_a.name, a, b })?;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = engines.iter().map(|engine| scope.spawn(|| work(engine))).collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn devices(criterion: &mut Criterion) {
    if let Err(error) = on_the_device(criterion) {
        eprintln!("{error}");
    }
}

fn on_the_device(criterion: &mut Criterion) -> Done {
    let is_gpu = candle_core::utils::cuda_is_available();
    let (count, shape) = if is_gpu { (16, (4096, 11008)) } else { (2, (512, 1024)) };
    let folder = tempfile::tempdir()?;
    let paths = ["a", "b"].map(|side| folder.path().join(format!("{side}.safetensors")));
    write_model(&paths[0], count, shape, 0.0)?;
    write_model(&paths[1], count, shape, 0.001)?;
    let models = [Checkpoint::open(&paths[0])?, Checkpoint::open(&paths[1])?];
    let engine = || -> Result<DeviceEngine, Box<dyn std::error::Error + Send + Sync>> {
        let device = if is_gpu { Device::new_cuda_with_stream(0)? } else { Device::Cpu };
        Ok(DeviceEngine::new(device, MEMORY)?)
    };
    let bytes = models.iter().flat_map(Checkpoint::tensors).map(|tensor| tensor.extent() as u64).sum();
    for engines in [1, 4] {
        let engines = (0..engines).map(|_| engine()).collect::<Result<Vec<_>, _>>()?;
        println!("{} engines on {}", engines.len(), engines[0].description());
        let mut group = criterion.benchmark_group(format!("devices, {} engines", engines.len()));
        group.throughput(Throughput::Bytes(bytes)).sample_size(10);
        let shape_name = format!("bf16/{count}x{}x{}", shape.0, shape.1);
        group.bench_function(BenchmarkId::new("feed", &shape_name), |bencher| {
            bencher.iter(|| share(&engines, &models, shape, |engine, pair| engine.feed(&pair.a, &pair.b)));
        });
        group.bench_function(BenchmarkId::new("certified", &shape_name), |bencher| {
            let compare = |engine: &DeviceEngine, pair: &NamedPair<'_>| {
                black_box(engine.summarize(std::slice::from_ref(pair), &Options::default())?);
                Ok(())
            };
            bencher.iter(|| share(&engines, &models, shape, compare));
        });
        group.finish();
    }
    Ok(())
}

criterion_group!(benches, devices);
criterion_main!(benches);
