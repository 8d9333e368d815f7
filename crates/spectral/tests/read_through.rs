//! A matrix that is read through gives the very numbers of one in memory, and a failure to read ends in an error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use spectral::{Dtype, Error, Matrix, Method, Options, Outcome, ReadAt, summarize_pair};

/// Bytes that say how they were read.
#[derive(Debug)]
struct Reader {
    bytes: Vec<u8>,
    longest: AtomicUsize,
    /// Reads that succeed.
    left: AtomicUsize,
}

impl Reader {
    fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), longest: 0.into(), left: usize::MAX.into() }
    }
}

impl ReadAt for Reader {
    fn read_at(&self, start: usize, out: &mut [u8]) -> io::Result<()> {
        self.longest.fetch_max(out.len(), Ordering::Relaxed);
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map_err(|_| io::Error::other("the disk is gone"))?;
        out.copy_from_slice(&self.bytes[start..start + out.len()]);
        Ok(())
    }
}

/// Entries that shrink from row to row, with a seed of their own.
fn bytes(rows: usize, columns: usize, dtype: Dtype, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut entry = |index: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (state >> 8) as f32 / (1 << 24) as f32 - 0.5;
        noise / (1.0 + (index / columns) as f32).sqrt()
    };
    let values = (0..rows * columns).map(&mut entry);
    match dtype {
        Dtype::F64 => values.flat_map(|value| f64::from(value).to_le_bytes()).collect(),
        Dtype::Bf16 => values.flat_map(|value| half::bf16::from_f32(value).to_le_bytes()).collect(),
        _ => values.flat_map(f32::to_le_bytes).collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_bits_are_those_of_a_matrix_in_memory(
        rows in 1usize..700, columns in 1usize..700, which in 0usize..3, way in 0usize..4, only_a: bool, seed: u32,
    ) {
        let dtype = [Dtype::F32, Dtype::Bf16, Dtype::F64][which];
        let stored = [bytes(rows, columns, dtype, seed), bytes(rows, columns, dtype, seed ^ 1)];
        let readers = stored.each_ref().map(|bytes| Reader::new(bytes));
        let [a, b] = stored.each_ref().map(|bytes| Matrix::new(rows, columns, dtype, bytes).unwrap());
        let [read_a, read_b] =
            readers.each_ref().map(|reader| Matrix::read_through(rows, columns, dtype, reader).unwrap());
        let options = match way {
            0 => Options::default(),
            1 => Options { method: Method::PowerIteration { iterations: 3 }, ..Options::default() },
            2 => Options { top_k: 3, ..Options::default() },
            _ => Options { full_spectrum: true, ..Options::default() },
        };
        let expected = summarize_pair(&a, &b, "w", &options).unwrap();
        let found = summarize_pair(&read_a, if only_a { &b } else { &read_b }, "w", &options).unwrap();
        prop_assert_eq!(format!("{found:?}"), format!("{expected:?}"));
        prop_assert!(readers[0].longest.load(Ordering::Relaxed) > 0);
    }
}

#[test]
fn a_large_matrix_is_never_held_whole() {
    let (rows, columns) = (4096, 512);
    let stored = bytes(rows, columns, Dtype::F32, 1);
    let reader = Reader::new(&stored);
    let matrix = Matrix::read_through(rows, columns, Dtype::F32, &reader).unwrap();
    let outcome = summarize_pair(&matrix, &matrix, "w", &Options::default()).unwrap();
    assert!(matches!(outcome, Outcome::Finite(_)));
    let longest = reader.longest.load(Ordering::Relaxed);
    assert!(longest <= 1 << 20, "{longest} of {} bytes at once", stored.len());
}

#[test]
fn whichever_read_fails_the_comparison_ends_in_its_error() {
    let (rows, columns) = (600, 256);
    let (a, b) = (bytes(rows, columns, Dtype::F32, 1), bytes(rows, columns, Dtype::F32, 2));
    let b = Matrix::new(rows, columns, Dtype::F32, &b).unwrap();
    let ways = [
        Options::default(),
        Options { method: Method::PowerIteration { iterations: 2 }, ..Options::default() },
        Options { full_spectrum: true, ..Options::default() },
    ];
    for options in ways {
        let reader = Reader::new(&a);
        let matrix = Matrix::read_through(rows, columns, Dtype::F32, &reader).unwrap();
        summarize_pair(&matrix, &b, "w", &options).unwrap();
        let reads = usize::MAX - reader.left.load(Ordering::Relaxed);
        assert!(reads > 1, "{reads}");
        for allowed in [0, 1, reads / 2, reads - 1] {
            reader.left.store(allowed, Ordering::Relaxed);
            let error = summarize_pair(&matrix, &b, "w", &options).unwrap_err();
            assert!(matches!(&error, Error::Read { source } if source.to_string() == "the disk is gone"));
        }
    }
}

#[test]
fn a_size_that_cannot_be_counted_is_refused_and_one_that_does_not_fit_is_an_error() {
    let reader = Reader::new(&[]);
    assert!(matches!(Matrix::read_through(usize::MAX, 2, Dtype::U8, &reader), Err(Error::Overflow { .. })));
    // A wide matrix with few rows is decomposed in memory; this one is larger than any.
    let wide = Matrix::read_through(3, 1 << 60, Dtype::U8, &reader).unwrap();
    assert!(summarize_pair(&wide, &wide, "w", &Options::default()).is_err());
}
