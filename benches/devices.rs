//! How well engines on a device are fed: a comparison against reading the same files, in the system's cache, and copying
//! them to the device, which is the least that it can take. One engine alone, and four with a stream each, as
//! `collect-param-stats` has them on a GPU.
//!
//! `cargo bench -p benches --bench devices --features cuda` on a machine with a GPU; without one the device is candle's CPU
//! device, with small matrices, which says nothing of a GPU.
#![allow(missing_docs)] // criterion's macros make public functions

use std::hint::black_box;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::Device;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use half::bf16;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use spectral::{DeviceEngine, Dtype, Engine, Matrix, NamedPair, Options, ReadAt};
use weights_io::{Checkpoint, TensorInfo};

/// Bytes of the device's memory for each engine: one pair widened, and what its passes need.
const MEMORY: usize = 3 << 30;

type Done = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A safetensors file with some bf16 matrices, power-law rows, `change` times other noise added.
fn write_model(path: &Path, count: usize, (rows, columns): (usize, usize), change: f32) -> io::Result<()> {
    let mut generators = [1, 2].map(ChaCha8Rng::seed_from_u64);
    let mut entry = |row: usize| {
        let [w, edit] = generators.each_mut().map(|generator| -> f32 { StandardNormal.sample(generator) });
        let length = (1.0 + row as f32).sqrt();
        bf16::from_f32((0.02 * w + change * edit) / length).to_le_bytes()
    };
    let data: Vec<u8> = (0..rows * columns).flat_map(|index| entry(index / columns)).collect();
    let bytes = data.len();
    let tensors: Vec<String> = (0..count)
        .map(|index| {
            let [start, end] = [index * bytes, (index + 1) * bytes];
            format!(
                r#""w{index}":{{"dtype":"BF16","shape":[{rows},{columns}],"data_offsets":[{start},{end}]}}"#
            )
        })
        .collect();
    let header = format!("{{{}}}", tensors.join(","));
    let head = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    let mut file = std::fs::File::create(path)?;
    io::Write::write_all(&mut file, &head)?;
    // The same entries under every name: time does not depend on them.
    (0..count).try_for_each(|_| io::Write::write_all(&mut file, &data))
}

#[derive(Debug)]
struct Through<'a>(&'a Checkpoint, &'a TensorInfo);

impl ReadAt for Through<'_> {
    fn read_at(&self, start: usize, out: &mut [u8]) -> io::Result<()> {
        self.0.read_into(self.1, start, out).map_err(io::Error::other)
    }
}

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
