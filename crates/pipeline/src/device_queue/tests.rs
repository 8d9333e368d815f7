//! Engines on candle's CPU device stand in for those on GPUs.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use hub::Hub;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use report::MatrixRow;
use spectral::{DeviceEngine, Engine};

use crate::param_stats::compare_with;
use crate::{Error, Observer, ParamStats, ParamStatsOptions};

/// Name, dtype, rows, columns: two kinds of which there are several, one alone, and what goes to the CPU in any case.
const MATRICES: [(&str, &str, usize, usize); 9] = [
    ("w0", "BF16", 210, 208),
    ("w1", "F16", 208, 210),
    ("w2", "BF16", 210, 208),
    ("w3", "BF16", 210, 208),
    ("w4", "F16", 208, 210),
    ("large", "F32", 300, 400),
    ("small", "BF16", 20, 30),
    ("wide", "F64", 208, 210),
    ("vector", "F32", 1, 600),
];

fn write_model(path: &Path, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, dtype, rows, columns) in MATRICES {
        let start = data.len();
        for _ in 0..rows * columns {
            let value = (random.next_u32() >> 8) as f32 / (1u32 << 24) as f32 - 0.5;
            match dtype {
                "BF16" => data.extend_from_slice(&value.to_le_bytes()[2..]),
                // Subnormal and small: bits of an exponent below 15.
                "F16" => data.extend_from_slice(&((random.next_u32() as u16) & 0xbbff).to_le_bytes()),
                "F64" => data.extend_from_slice(&f64::from(value).to_le_bytes()),
                _ => data.extend_from_slice(&value.to_le_bytes()),
            }
        }
        let entry = serde_json::json!({
            "dtype": dtype, "shape": [rows, columns], "data_offsets": [start, data.len()],
        });
        header.insert(name.to_owned(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    std::fs::write(path, bytes).unwrap();
}

struct Models(tempfile::TempDir);

impl Models {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_model(&folder.path().join("a.safetensors"), 1);
        write_model(&folder.path().join("b.safetensors"), 2);
        Self(folder)
    }

    fn options(&self, outdir: &str) -> ParamStatsOptions {
        let path = |name: &str| self.0.path().join(name);
        ParamStatsOptions {
            selection: weights_io::Selection::AllMatrices,
            threads: 2,
            ..ParamStatsOptions::new(path("a.safetensors"), path("b.safetensors"), path(outdir))
        }
    }
}

fn engines(count: usize) -> Vec<Box<dyn Engine + Send>> {
    let engine = || Box::new(DeviceEngine::new(Device::Cpu, 1 << 30).unwrap()) as Box<dyn Engine + Send>;
    (0..count).map(|_| engine()).collect()
}

fn compare(options: &ParamStatsOptions, engines: &[Box<dyn Engine + Send>]) -> Result<ParamStats, Error> {
    compare_with(options, engines, &Hub::default(), &(), &AtomicBool::new(false))
}

#[test]
fn devices_find_what_the_cpu_finds() {
    let models = Models::new();
    let cpu = compare(&models.options("cpu"), &[]).unwrap();
    let one = compare(&models.options("one"), &engines(1)).unwrap();
    let three = compare(&models.options("three"), &engines(3)).unwrap();
    // The same bits, whoever takes what.
    assert_eq!(one.matrices, three.matrices);
    assert_eq!((cpu.matrices.len(), one.matrices.len()), (MATRICES.len(), MATRICES.len()));
    let mut differing = 0;
    for (cpu, device) in cpu.matrices.iter().zip(&one.matrices) {
        let close = |of: fn(&MatrixRow) -> Option<f64>, tolerance: f64| {
            let (expected, found) = (of(cpu).unwrap(), of(device).unwrap());
            assert!(
                (found - expected).abs() <= tolerance * expected.abs(),
                "{}: {found} {expected}",
                cpu.name
            );
        };
        close(|row| row.delta_frobenius, 1e-12);
        close(|row| row.a_frobenius, 1e-12);
        close(|row| row.cosine_similarity, 1e-11);
        close(|row| row.delta_std, 1e-9);
        close(|row| row.delta_stable_rank, 2e-4);
        close(|row| row.a_spectral, 1e-4);
        assert_eq!(cpu.changed_fraction, device.changed_fraction);
        assert_eq!((cpu.delta.stop, cpu.a.stop), (device.delta.stop, device.a.stop), "{}", cpu.name);
        assert!(cpu.delta.spectral_lower <= device.delta.spectral_upper);
        assert!(device.delta.spectral_lower <= cpu.delta.spectral_upper);
        differing += usize::from(cpu != device);
        // What goes to the CPU in any case.
        assert!(cpu == device || !["small", "wide", "vector"].contains(&cpu.name.as_str()), "{}", cpu.name);
    }
    assert!(differing > 0, "nothing ran on the devices");
    let says = |found: &ParamStats| {
        let table = report::Table::read(found.folder.join("per_matrix.parquet")).unwrap();
        table.provenance().get("model_diffs.engine").map(str::to_owned)
    };
    assert_eq!((says(&cpu), says(&one)), (None, Some(engines(1)[0].description())));
}

/// Cuts a file short once it was opened.
struct Cut<'a>(&'a Path);
impl Observer for Cut<'_> {
    fn started(&self, _matrices: usize, _bytes: u64) {
        let file = std::fs::File::options().write(true).open(self.0).unwrap();
        file.set_len(4000).unwrap();
    }
}

#[test]
fn a_file_cut_short_is_named() {
    let models = Models::new();
    let path = models.0.path().join("b.safetensors");
    let options = models.options("out");
    let never = AtomicBool::new(false);
    let error = compare_with(&options, &engines(3), &Hub::default(), &Cut(&path), &never).unwrap_err();
    let Error::Model { source: weights_io::Error::Changed { path: named, .. }, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(named, &path);
}

/// Interrupts as soon as a pair is done.
struct Once<'a>(&'a AtomicBool);
impl Observer for Once<'_> {
    fn compared(&self, _name: &str, _bytes: u64) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_was_finished_before_an_interruption_is_kept() {
    let models = Models::new();
    let interrupted = AtomicBool::new(false);
    let engines = engines(2);
    let mut options = models.options("out");
    let error =
        compare_with(&options, &engines, &Hub::default(), &Once(&interrupted), &interrupted).unwrap_err();
    let Error::ComparisonInterrupted { finished, .. } = error else { panic!("{error:?}") };
    assert!((1..MATRICES.len()).contains(&finished), "{finished}");
    options.resume = true;
    let resumed = compare(&options, &engines).unwrap();
    let whole = compare(&models.options("whole"), &engines).unwrap();
    assert_eq!(resumed.matrices, whole.matrices);
}
