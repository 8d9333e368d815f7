//! Files that benchmarks read.

use std::io::{self, Write as _};
use std::path::Path;

use half::bf16;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use spectral::ReadAt;
use weights_io::{Checkpoint, TensorInfo};

/// A safetensors file with some bf16 matrices, power-law rows, `change` times other noise added. All have the same entries.
pub(crate) fn write_model(
    path: &Path,
    count: usize,
    (rows, columns): (usize, usize),
    change: f32,
) -> io::Result<()> {
    let mut generators = [1, 2].map(ChaCha8Rng::seed_from_u64);
    let mut entry = |row: usize| {
        let [w, edit] = generators.each_mut().map(|generator| -> f32 { StandardNormal.sample(generator) });
        let length = (1.0 + row as f32).sqrt();
        bf16::from_f32((0.02 * w + change * edit) / length).to_le_bytes()
    };
    let data: Vec<u8> = (0..rows * columns).flat_map(|index| entry(index / columns)).collect();
    let tensor = |index: usize| {
        let [start, end] = [index, index + 1].map(|index| index * data.len());
        format!(r#""w{index}":{{"dtype":"BF16","shape":[{rows},{columns}],"data_offsets":[{start},{end}]}}"#)
    };
    let header = format!("{{{}}}", (0..count).map(tensor).collect::<Vec<_>>().join(","));
    let mut file = std::fs::File::create(path)?;
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(header.as_bytes())?;
    (0..count).try_for_each(|_| file.write_all(&data))
}

/// A tensor that is read in every pass.
#[derive(Debug)]
pub(crate) struct Through<'a>(pub(crate) &'a Checkpoint, pub(crate) &'a TensorInfo);

impl ReadAt for Through<'_> {
    fn read_at(&self, start: usize, out: &mut [u8]) -> io::Result<()> {
        self.0.read_into(self.1, start, out).map_err(io::Error::other)
    }
}
