//! An engine on a device of candle: the passes over all entries run there, the small algebra and the certificate here.
//!
//! Stored elements are uploaded as they are, a [`chunk`] of rows at a time through [`staging`] memory, widened to f32 and
//! subtracted there. [`layout`] cuts a matrix into tiles, so that products sum a few hundred terms in f32 and the rest in
//! f64, as on the CPU. Before a device is used, [`arithmetic`] compares its products with those in f64: hardware that
//! rounds more than the certificate allows for (TF32, for example) is refused.
//!
//! Small pairs of one shape go side by side as one batch, always of the same size, with zeros where there is none: so the
//! device runs the same kernels, and a pair's bits do not depend on what is computed beside it.
//!
//! What goes to the CPU instead: dense decompositions, other dtypes than bf16, f16 and f32, transposed matrices, pairs that
//! are not finite, entries so large or small that they have to be scaled, and matrices too large for the device.

mod arithmetic;
mod chunk;
mod layout;
mod pass;
#[cfg(feature = "cuda")]
mod pinned;
mod staging;
mod statistics;

use std::sync::{Mutex, PoisonError};

use candle_core::Device;

use self::pass::Loaded;
use self::staging::Staging;
use crate::Error;
use crate::engine::{Engine, NamedPair};
use crate::matrix::{Dtype, Matrix};
use crate::options::Options;
use crate::random::Key;
use crate::source::{Difference, Source};
use crate::spectra::{decomposition, spectra};
use crate::statistics::{exponent_for, finish, squared_deviations};
use crate::summary::{Outcome, pair_summary, summarize_pair};

/// Elements of a chunk, about, and of a batch of small pairs at most.
const CHUNK_ELEMENTS: usize = 1 << 24;
/// Pairs of a batch at most.
const BATCH: usize = 32;

/// Computes on a device of candle: CUDA, Metal, or the CPU as candle has it. One matrix, or one batch, at a time; several
/// engines with a stream each keep a GPU busy.
#[derive(Debug)]
pub struct DeviceEngine {
    device: Device,
    description: String,
    /// Bytes of the device's memory that may be used.
    memory: usize,
    chunk_elements: usize,
    staging: Mutex<Staging>,
}

impl DeviceEngine {
    /// An engine that uses up to so many bytes of the device's memory. It computes a few products first, to see that the
    /// device's arithmetic is as exact as intervals take for granted.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails, [`Error::DeviceArithmetic`] if it rounds too much.
    pub fn new(device: Device, memory: usize) -> Result<Self, Error> {
        let description = staging::description(&device);
        let engine =
            Self { device, description, memory, chunk_elements: CHUNK_ELEMENTS, staging: Mutex::default() };
        arithmetic::check(&engine)?;
        Ok(engine)
    }

    /// Reads a pair and copies it to the device, and nothing else: less time than this no comparison takes.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Memory`], [`Error::Device`].
    pub fn feed(&self, a: &Matrix<'_>, b: &Matrix<'_>) -> Result<(), Error> {
        let mut staging = self.take_staging();
        for matrix in
            [a, b].into_iter().filter(|matrix| layout::is_stored(matrix.dtype) && matrix.is_contiguous())
        {
            for rows in chunk::row_ranges(matrix.rows, matrix.columns, self.chunk_elements) {
                let shape = (1, rows.len(), matrix.columns);
                let fill = |bytes: &mut [u8]| matrix.copy_rows(&rows, bytes);
                staging.upload(&self.device, layout::stored(matrix.dtype), shape, fill)?;
            }
        }
        self.device.synchronize().map_err(pass::device_error)?;
        self.give_back(staging);
        Ok(())
    }

    /// Memory for uploads: that of the last one, if nobody else has it now.
    fn take_staging(&self) -> Staging {
        std::mem::take(&mut *self.staging.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn give_back(&self, staging: Staging) {
        *self.staging.lock().unwrap_or_else(PoisonError::into_inner) = staging;
    }

    /// Pairs of a batch.
    fn batch_of(&self, (rows, columns): (usize, usize)) -> usize {
        (self.chunk_elements / rows.saturating_mul(columns).max(1)).clamp(1, BATCH)
    }

    /// Whether a pair's passes run on the device.
    fn takes(&self, a: &Matrix<'_>, b: &Matrix<'_>, options: &Options) -> bool {
        let source = plain(*a, *b);
        [a, b].into_iter().all(|matrix| layout::is_stored(matrix.dtype) && matrix.is_contiguous())
            && a.element_count() > 0
            && decomposition(&source, options).is_none()
            && Loaded::needed(self, a, b) <= self.memory
    }

    fn summarize_batch(&self, pairs: &[NamedPair<'_>], options: &Options) -> Result<Vec<Outcome>, Error> {
        let sources: Vec<Source<'_>> = pairs.iter().map(|pair| plain(pair.a, pair.b)).collect();
        let mut loaded = Loaded::load(self, &sources, options.operators)?;
        let count = sources.first().map_or(0, |source| source.a.element_count());
        let (mut slots, mut statistics, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for (slot, (pair, sums)) in pairs.iter().zip(loaded.take_sums()).enumerate() {
            let is_finite = sums.squares.iter().all(|sum| sum.is_finite());
            if is_finite && sums.largest.map(exponent_for) == [0; 3] {
                let deviations = |mean| squared_deviations(&sources[slot], 0, mean);
                statistics.push(finish(&sums, count, [0; 3], 1, deviations)?);
                keys.push(Key { seed: options.seed, name: pair.name });
                slots.push(slot);
            }
        }
        let reads = pass::DeviceReads { loaded: &loaded, sources: &sources, slots: &slots };
        let spectra = spectra(&reads, &statistics, &keys, options)?;
        drop(loaded);
        let mut outcomes = vec![None; pairs.len()];
        for ((slot, statistics), spectra) in slots.into_iter().zip(&statistics).zip(spectra) {
            let summary = pair_summary(&sources[slot], statistics, spectra);
            outcomes[slot] = Some(Outcome::Finite(Box::new(summary)));
        }
        outcomes
            .into_iter()
            .zip(pairs)
            .map(|(outcome, pair)| outcome.map_or_else(|| on_the_cpu(pair, options), Ok))
            .collect()
    }
}

impl Engine for DeviceEngine {
    fn description(&self) -> String {
        format!("{}, {}", self.description, crate::instruction_set())
    }

    fn batch(&self, shape: (usize, usize), dtypes: [Dtype; 2], options: &Options) -> Option<usize> {
        let (rows, columns) = shape;
        let [a, b] = dtypes.map(|dtype| Matrix::shaped(rows, columns, dtype));
        self.takes(&a, &b, options).then(|| self.batch_of(shape))
    }

    fn summarize(&self, pairs: &[NamedPair<'_>], options: &Options) -> Result<Vec<Outcome>, Error> {
        options.check()?;
        let mut outcomes = vec![None; pairs.len()];
        let mut left: Vec<usize> = (0..pairs.len()).collect();
        while let Some(&first) = left.first() {
            let NamedPair { a, b, .. } = &pairs[first];
            let kind = |pair: &NamedPair<'_>| {
                (pair.a.rows, pair.a.columns, pair.a.dtype, pair.b.rows, pair.b.columns, pair.b.dtype)
            };
            if (a.rows, a.columns) != (b.rows, b.columns) || !self.takes(a, b, options) {
                outcomes[first] = Some(on_the_cpu(&pairs[first], options)?);
                left.remove(0);
                continue;
            }
            let alike = left.iter().copied().filter(|&index| {
                kind(&pairs[index]) == kind(&pairs[first])
                    && self.takes(&pairs[index].a, &pairs[index].b, options)
            });
            let batch: Vec<usize> = alike.take(self.batch_of((a.rows, a.columns))).collect();
            let members: Vec<NamedPair<'_>> = batch.iter().map(|&index| pairs[index]).collect();
            for (index, outcome) in batch.iter().zip(self.summarize_batch(&members, options)?) {
                outcomes[*index] = Some(outcome);
            }
            left.retain(|index| !batch.contains(index));
        }
        Ok(outcomes.into_iter().flatten().collect())
    }
}

/// A pair whose entries are used as they are.
fn plain<'a>(a: Matrix<'a>, b: Matrix<'a>) -> Source<'a> {
    Source { a, b, difference: Difference::F32, exponents: [0; 3] }
}

fn on_the_cpu(pair: &NamedPair<'_>, options: &Options) -> Result<Outcome, Error> {
    summarize_pair(&pair.a, &pair.b, pair.name, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of an f32 matrix with entries of all sizes up to one.
    fn bytes(seed: u32, count: usize) -> Vec<u8> {
        let mut state = seed;
        let entries = (0..count).flat_map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let value = f64::from(state) / f64::from(u32::MAX) - 0.5;
            ((value * value * value) as f32).to_le_bytes()
        });
        entries.collect()
    }

    fn outcome(engine: &DeviceEngine, (rows, columns): (usize, usize), options: &Options) -> Outcome {
        let [a, b] = [1, 2].map(|seed| bytes(seed, rows * columns));
        let [a, b] = [&a, &b].map(|bytes| Matrix::new(rows, columns, Dtype::F32, bytes).unwrap());
        assert!(engine.takes(&a, &b, options));
        engine.summarize(&[NamedPair { name: "w", a, b }], options).unwrap().remove(0)
    }

    fn engine(memory: usize, chunk_elements: usize) -> DeviceEngine {
        let staging = Mutex::default();
        DeviceEngine { device: Device::Cpu, description: String::new(), memory, chunk_elements, staging }
    }

    #[test]
    fn widened_once_or_in_every_pass_is_the_same() {
        let (shape, chunk) = ((300, 700), 40_000);
        let widened = engine(usize::MAX, chunk);
        let [a, b] = [(); 2].map(|()| Matrix::shaped(shape.0, shape.1, Dtype::F32));
        let least = Loaded::needed(&widened, &a, &b);
        let options = Options { top_k: 3, ..Options::default() };
        let expected = outcome(&widened, shape, &options);
        assert_eq!(outcome(&engine(least, chunk), shape, &options), expected);
        assert!(!engine(least - 1, chunk).takes(&a, &b, &options));
    }

    #[test]
    fn chunks_add_up() {
        let shape = (300, 700);
        let options = Options::default();
        let whole = outcome(&engine(usize::MAX, CHUNK_ELEMENTS), shape, &options);
        let Outcome::Finite(whole) = whole else { panic!("{whole:?}") };
        // Seven chunks, the last one shorter; one row a chunk.
        for chunk in [700 * 45, 700] {
            let found = outcome(&engine(usize::MAX, chunk), shape, &options);
            let Outcome::Finite(found) = found else { panic!("{found:?}") };
            assert_eq!((found.changed, found.delta_abs_max), (whole.changed, whole.delta_abs_max));
            assert!((found.delta.frobenius / whole.delta.frobenius - 1.0).abs() < 1e-14);
            let [found, whole] = [&found, &whole].map(|pair| pair.delta.spectral_interval.unwrap());
            assert!(found.lower <= whole.upper && whole.lower <= found.upper, "{found:?} {whole:?}");
            assert!((found.midpoint() / whole.midpoint() - 1.0).abs() < 1e-5, "{found:?} {whole:?}");
        }
    }

    #[test]
    fn what_the_cpu_does_better_stays_there() {
        let engine = engine(usize::MAX, CHUNK_ELEMENTS);
        let options = Options::default();
        let batch = |shape, dtype| engine.batch(shape, [dtype; 2], &options);
        assert_eq!(batch((4096, 11008), Dtype::Bf16), Some(1));
        assert_eq!(batch((1024, 4096), Dtype::F16), Some(4));
        assert_eq!(batch((256, 256), Dtype::F32), Some(32));
        for (shape, dtype) in [
            ((100, 100), Dtype::F32),
            ((512, 512), Dtype::F64),
            ((512, 512), Dtype::F8E4M3),
            ((0, 512), Dtype::F32),
        ] {
            assert_eq!(batch(shape, dtype), None, "{shape:?} {dtype:?}");
        }
        let full = Options { full_spectrum: true, ..options };
        assert_eq!(engine.batch((512, 512), [Dtype::F32; 2], &full), None);
        let bytes = bytes(1, 512 * 512);
        let transposed = Matrix::strided((512, 512), (1, 512), Dtype::F32, &bytes).unwrap();
        assert!(!engine.takes(&transposed, &transposed, &options));
    }
}
