//! A pair of matrices in memory: what one comparison costs, in bytes of both sides a second.
//!
//! `cargo bench -p benches`. The first row is the floor: reading the same bytes once.
#![allow(missing_docs)] // criterion's macros make public functions

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use half::bf16;
use spectral::{Dtype, Matrix, Method, Options, summarize_pair};

/// Values in [-0.5, 0.5) of a linear congruential generator, as stored bytes.
fn noise(count: usize, dtype: Dtype, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    match dtype {
        Dtype::Bf16 => (0..count).flat_map(|_| bf16::from_f32(next()).to_le_bytes()).collect(),
        _ => (0..count).flat_map(|_| next().to_le_bytes()).collect(),
    }
}

fn pair(criterion: &mut Criterion) {
    let (rows, columns) = (4096, 4096);
    for (label, dtype) in [("bf16", Dtype::Bf16), ("f32", Dtype::F32)] {
        let a = noise(rows * columns, dtype, 1);
        let b = noise(rows * columns, dtype, 2);
        let shape = format!("{label}/{rows}x{columns}");
        let mut group = criterion.benchmark_group("pair");
        group.throughput(Throughput::Bytes((a.len() + b.len()) as u64)).sample_size(10);
        group.bench_function(BenchmarkId::new("plain read", &shape), |bencher| {
            bencher.iter(|| {
                let words = a.as_chunks::<8>().0.iter().chain(b.as_chunks::<8>().0);
                words.fold(0, |sum, word| sum ^ u64::from_le_bytes(*word))
            });
        });
        let matrices = Matrix::new(rows, columns, dtype, &a).and_then(|a| {
            let b = Matrix::new(rows, columns, dtype, &b)?;
            Ok((a, b))
        });
        let Ok((a, b)) = matrices else { unreachable!("the bytes were made for this shape") };
        let methods = [
            ("statistics and one pass", Method::PowerIteration { iterations: 0 }),
            ("five power iterations", Method::PowerIteration { iterations: 5 }),
            ("Lanczos to 1e-2", Method::Lanczos { tolerance: 1e-2 }),
        ];
        for (name, method) in methods {
            let options = Options { method, seed: 0 };
            group.bench_function(BenchmarkId::new(name, &shape), |bencher| {
                bencher.iter(|| summarize_pair(&a, &b, "bench", &options));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, pair);
criterion_main!(benches);
