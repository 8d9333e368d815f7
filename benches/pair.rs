//! What one pair of matrices in memory costs, in bytes of both sides a second.
//!
//! `cargo bench -p benches` runs all of it; a filter picks, as in `cargo bench -p benches -- fused`. The group `floor`
//! reads the same bytes and does nothing with them, on one thread and on all.
#![allow(missing_docs)] // criterion's macros make public functions

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use half::{bf16, f16};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use spectral::passes::{FusedPass, statistics_pass};
use spectral::{Certification, Dtype, Matrix, Method, Operators, Options, summarize_pair};

const SCRIPTS_WORK: Operators = Operators { a: true, b: false, delta: true };

/// Bytes of a matrix and of a successor of it.
struct Pair {
    rows: usize,
    columns: usize,
    dtype: Dtype,
    a: Vec<u8>,
    b: Vec<u8>,
}

/// How the rows of W shrink, and what is added to them.
#[derive(Clone, Copy)]
enum Kind {
    /// Gaussian entries; so are those of the change.
    Flat,
    /// Singular values about i^-½ on both.
    PowerLaw,
    /// The same W with a change of rank 8.
    LowRank,
}

fn pair(kind: Kind, rows: usize, columns: usize, dtype: Dtype) -> Pair {
    let mut generator = ChaCha8Rng::seed_from_u64(1);
    let mut gaussian =
        |count: usize| -> Vec<f32> { (0..count).map(|_| StandardNormal.sample(&mut generator)).collect() };
    let mut a = gaussian(rows * columns);
    let mut change = match kind {
        Kind::LowRank => {
            let (left, right) = (gaussian(8 * rows), gaussian(8 * columns));
            let entry = |at: usize| {
                let (i, j) = (at / columns, at % columns);
                (0..8).map(|k| left[k * rows + i] * right[k * columns + j] / (1 + k) as f32).sum::<f32>()
            };
            (0..rows * columns).into_par_iter().map(entry).collect()
        }
        Kind::Flat | Kind::PowerLaw => gaussian(rows * columns),
    };
    let shrink = |values: &mut [f32]| {
        for (row, values) in values.chunks_mut(columns).enumerate() {
            let length = (1.0 + row as f32).sqrt();
            for value in values {
                *value /= length;
            }
        }
    };
    match kind {
        Kind::Flat => {}
        Kind::PowerLaw => [&mut a, &mut change].into_iter().for_each(|values| shrink(values)),
        Kind::LowRank => shrink(&mut a),
    }
    for value in &mut a {
        *value *= 0.02;
    }
    let store = |values: &mut dyn Iterator<Item = f32>| -> Vec<u8> {
        match dtype {
            Dtype::Bf16 => values.flat_map(|value| bf16::from_f32(value).to_le_bytes()).collect(),
            Dtype::F16 => values.flat_map(|value| f16::from_f32(value).to_le_bytes()).collect(),
            _ => values.flat_map(f32::to_le_bytes).collect(),
        }
    };
    let b = store(&mut a.iter().zip(&change).map(|(a, change)| a + 0.001 * change));
    Pair { rows, columns, dtype, a: store(&mut a.iter().copied()), b }
}

impl Pair {
    fn matrices(&self) -> [Matrix<'_>; 2] {
        [&self.a, &self.b].map(|bytes| match Matrix::new(self.rows, self.columns, self.dtype, bytes) {
            Ok(matrix) => matrix,
            Err(error) => unreachable!("the bytes were made for this shape: {error}"),
        })
    }

    fn bytes(&self) -> Throughput {
        Throughput::Bytes((self.a.len() + self.b.len()) as u64)
    }

    fn label(&self) -> String {
        let dtype = match self.dtype {
            Dtype::Bf16 => "bf16",
            Dtype::F16 => "f16",
            _ => "f32",
        };
        format!("{dtype}/{}x{}", self.rows, self.columns)
    }
}

fn read(bytes: &[u8]) -> u64 {
    let mut sums = [0u64; 8];
    for line in bytes.as_chunks::<64>().0 {
        for (sum, word) in sums.iter_mut().zip(line.as_chunks::<8>().0) {
            *sum ^= u64::from_le_bytes(*word);
        }
    }
    sums.iter().fold(0, |sum, word| sum ^ word)
}

fn passes(criterion: &mut Criterion) {
    for dtype in [Dtype::Bf16, Dtype::F16, Dtype::F32] {
        let pair = pair(Kind::Flat, 4096, 11008, dtype);
        let [a, b] = pair.matrices();
        let mut group = criterion.benchmark_group("pass");
        group.throughput(pair.bytes()).sample_size(10);
        group.bench_function(BenchmarkId::new("floor, one thread", pair.label()), |bencher| {
            bencher.iter(|| read(black_box(&pair.a)) ^ read(black_box(&pair.b)));
        });
        group.bench_function(BenchmarkId::new("floor", pair.label()), |bencher| {
            let sides = [&pair.a, &pair.b];
            let pieces: Vec<&[u8]> = sides.iter().flat_map(|side| side.chunks(1 << 20)).collect();
            bencher.iter(|| pieces.par_iter().map(|piece| read(black_box(piece))).reduce(|| 0, |a, b| a ^ b));
        });
        group.bench_function(BenchmarkId::new("statistics", pair.label()), |bencher| {
            bencher.iter(|| statistics_pass(&a, &b));
        });
        for (label, operators) in [
            ("W", Operators { a: true, b: false, delta: false }),
            ("W and dW", SCRIPTS_WORK),
            ("W, Wb and dW", Operators::ALL),
        ] {
            for count in [1, 4, 8, 16] {
                let Ok(pass) = FusedPass::new(&a, &b, operators, count) else { continue };
                let name = format!("fused, {label}, b = {count}");
                group.bench_function(BenchmarkId::new(name, pair.label()), |bencher| {
                    bencher.iter(|| pass.run());
                });
            }
        }
        group.finish();
    }
}

fn norms(criterion: &mut Criterion) {
    let certified = Method::Certified(Certification::default());
    for (rows, columns) in [(4096, 4096), (4096, 11008), (16384, 4096)] {
        for (kind, name) in
            [(Kind::Flat, "flat"), (Kind::PowerLaw, "power law"), (Kind::LowRank, "LoRA-like")]
        {
            let pair = pair(kind, rows, columns, Dtype::Bf16);
            let [a, b] = pair.matrices();
            let mut group = criterion.benchmark_group("norms of W and dW");
            group.throughput(pair.bytes()).sample_size(10);
            for (label, method) in
                [("certified", certified), ("five iterations", Method::PowerIteration { iterations: 5 })]
            {
                let options = Options { method, operators: SCRIPTS_WORK, ..Options::default() };
                group.bench_function(BenchmarkId::new(format!("{label}, {name}"), pair.label()), |bencher| {
                    bencher.iter(|| summarize_pair(&a, &b, "bench", &options));
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, passes, norms);
criterion_main!(benches);
