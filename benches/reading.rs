//! What it costs to read files instead of mapping them, which a file that is cut short meanwhile makes deadly.
//!
//! The same pair of files, in the system's cache, on the way into the same comparison: mapped; read once into buffers that
//! are used again, as `collect-param-stats` does with matrices that fit; and read anew in every pass, as it does with those
//! that do not. `cargo bench -p benches --bench reading`.
#![allow(missing_docs)] // criterion's macros make public functions

mod models;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rayon::prelude::*;
use spectral::passes::statistics_pass;
use spectral::{Dtype, Matrix, Options, summarize_pair};
use weights_io::{Access, Checkpoint};

use models::{Through, write_model};

fn read_into(checkpoint: &Checkpoint, buffer: &mut Vec<u8>) -> Result<(), weights_io::Error> {
    const PIECE: usize = 4 << 20;
    let tensor = &checkpoint.tensors()[0];
    buffer.resize(tensor.extent(), 0);
    let pieces = buffer.par_chunks_mut(PIECE).enumerate();
    pieces.into_par_iter().try_for_each(|(index, piece)| checkpoint.read_into(tensor, index * PIECE, piece))
}

type Done = Result<(), Box<dyn std::error::Error>>;

fn reading(criterion: &mut Criterion) {
    for (rows, columns) in [(1024, 1024), (4096, 11008)] {
        if let Err(error) = reading_of(criterion, rows, columns) {
            eprintln!("{rows}x{columns}: {error}");
        }
    }
}

fn reading_of(criterion: &mut Criterion, rows: usize, columns: usize) -> Done {
    type Compare = dyn Fn(&Matrix<'_>, &Matrix<'_>) -> Result<(), spectral::Error>;
    let statistics: &Compare = &|a, b| {
        black_box(statistics_pass(a, b)?);
        Ok(())
    };
    let certified: &Compare = &|a, b| {
        black_box(summarize_pair(a, b, "w", &Options::default())?);
        Ok(())
    };
    let folder = tempfile::tempdir()?;
    let paths = ["a", "b"].map(|side| folder.path().join(format!("{side}.safetensors")));
    write_model(&paths[0], 1, (rows, columns), 0.0)?;
    write_model(&paths[1], 1, (rows, columns), 0.001)?;
    let open = |path, access| Checkpoint::open_with(path, access);
    let (mapped_a, mapped_b) = (open(&paths[0], Access::Map)?, open(&paths[1], Access::Map)?);
    let (read_a, read_b) = (open(&paths[0], Access::Read)?, open(&paths[1], Access::Read)?);
    let (through_a, through_b) =
        (Through(&read_a, &read_a.tensors()[0]), Through(&read_b, &read_b.tensors()[0]));
    let dtype = Dtype::Bf16;
    let (mut buffer_a, mut buffer_b) = (Vec::new(), Vec::new());
    for (what, compare) in [("statistics", statistics), ("certified", certified)] {
        let mapped = || -> Done {
            let (a, b) = (mapped_a.view(&mapped_a.tensors()[0])?, mapped_b.view(&mapped_b.tensors()[0])?);
            compare(
                &Matrix::new(rows, columns, dtype, &a.bytes)?,
                &Matrix::new(rows, columns, dtype, &b.bytes)?,
            )?;
            mapped_a.give_back(&mapped_a.tensors()[0]);
            mapped_b.give_back(&mapped_b.tensors()[0]);
            Ok(())
        };
        let mut held = || -> Done {
            read_into(&read_a, &mut buffer_a)?;
            read_into(&read_b, &mut buffer_b)?;
            let (a, b) = (
                Matrix::new(rows, columns, dtype, &buffer_a)?,
                Matrix::new(rows, columns, dtype, &buffer_b)?,
            );
            Ok(compare(&a, &b)?)
        };
        let through = || -> Done {
            let a = Matrix::read_through(rows, columns, dtype, &through_a)?;
            let b = Matrix::read_through(rows, columns, dtype, &through_b)?;
            Ok(compare(&a, &b)?)
        };
        let mut group = criterion.benchmark_group(format!("reading for {what}"));
        group.throughput(Throughput::Bytes((4 * rows * columns) as u64)).sample_size(10);
        let shape = format!("bf16/{rows}x{columns}");
        group.bench_function(BenchmarkId::new("mapped", &shape), |bencher| bencher.iter(mapped));
        group.bench_function(BenchmarkId::new("held", &shape), |bencher| bencher.iter(&mut held));
        group.bench_function(BenchmarkId::new("read through", &shape), |bencher| bencher.iter(through));
        group.finish();
    }
    Ok(())
}

criterion_group!(benches, reading);
criterion_main!(benches);
