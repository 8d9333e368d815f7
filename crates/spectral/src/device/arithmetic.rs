//! Whether a device computes as exactly as the certificate takes for granted.

use super::pass::{DeviceReads, Loaded};
use super::{DeviceEngine, plain};
use crate::Error;
use crate::fused_pass::padded;
use crate::kernels::Vectors;
use crate::lanczos::ROUND_OFF;
use crate::matrix::{Dtype, Matrix};
use crate::options::Operators;
use crate::random::Key;
use crate::reads::{Active, Reads as _};
use crate::source::Operator;
use crate::vectors::{dot, narrow};

/// Shape of the matrices tried: several tiles, the last of them not whole, and several blocks of rows.
const SHAPE: (usize, usize) = (700, 1000);
/// Vectors of a product.
const VECTORS: usize = 8;
/// Error that products may have, relative to their length: a product is half of what [`ROUND_OFF`] covers.
const ALLOWED: f64 = ROUND_OFF / 2.0;

/// Compares products on the device with those in f64.
pub(super) fn check(engine: &DeviceEngine) -> Result<(), Error> {
    judge(product_error(engine)?, &engine.description)
}

fn judge(error: f64, device: &str) -> Result<(), Error> {
    // What is not a number is not allowed either.
    if error <= ALLOWED {
        return Ok(());
    }
    Err(Error::DeviceArithmetic { device: device.to_owned(), error, allowed: ALLOWED })
}

/// The largest relative error of a product, of all three operators.
fn product_error(engine: &DeviceEngine) -> Result<f64, Error> {
    let (rows, columns) = SHAPE;
    let random = |name, count| {
        let mut values = vec![0f64; count];
        Key { seed: 0, name }.generator(Operator::A, 0).fill(&mut values);
        narrow(&values)
    };
    let [a, b] = ["a", "b"].map(|name| random(name, rows * columns));
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let (bytes_a, bytes_b) = (bytes(&a), bytes(&b));
    let matrix = |bytes| Matrix::new(rows, columns, Dtype::F32, bytes);
    let sources = [plain(matrix(&bytes_a)?, matrix(&bytes_b)?)];
    let loaded = Loaded::load(engine, &sources, Operators::ALL)?;
    let reads = DeviceReads { loaded: &loaded, sources: &sources, slots: &[0] };
    let stride = padded(columns);
    let mut values = random("vectors", VECTORS * stride);
    values.chunks_mut(stride).for_each(|vector| vector[columns..].fill(0.0));
    let vectors = Vectors { values: &values, stride, count: VECTORS };
    let active = Operator::ALL.map(|operator| Active { pair: 0, operator, vectors });
    let products = reads.products(&active)?;
    let delta: Vec<f32> = a.iter().zip(&b).map(|(a, b)| b - a).collect();
    let mut worst = 0f64;
    for (matrix, products) in [&a, &b, &delta].into_iter().zip(&products) {
        for (vector, product) in values.chunks(stride).zip(products.chunks(stride)) {
            let error = relative_error(matrix, &vector[..columns], &product[..columns]);
            if error.is_nan() {
                return Ok(error);
            }
            worst = worst.max(error);
        }
    }
    Ok(worst)
}

/// ‖found − MᵀMv‖ / ‖MᵀMv‖.
fn relative_error(matrix: &[f32], vector: &[f32], found: &[f64]) -> f64 {
    let mut expected = vec![0f64; vector.len()];
    for row in matrix.chunks(vector.len()) {
        let dot: f64 =
            row.iter().zip(vector).map(|(entry, value)| f64::from(*entry) * f64::from(*value)).sum();
        for (sum, entry) in expected.iter_mut().zip(row) {
            *sum += dot * f64::from(*entry);
        }
    }
    let error: Vec<f64> = found.iter().zip(&expected).map(|(found, expected)| found - expected).collect();
    (dot(&error, &error) / dot(&expected, &expected)).sqrt()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn f32_is_exact_enough_and_less_is_refused() {
        let engine = DeviceEngine::new(Device::Cpu, 1 << 30).unwrap();
        let error = product_error(&engine).unwrap();
        assert!((1e-9..ALLOWED).contains(&error), "{error}");
        assert!(judge(error, "").is_ok());
        // TF32 has 10 bits after the point, bf16 has 7.
        for error in [2f64.powi(-11), 2f64.powi(-8), 1.01 * ALLOWED, f64::NAN, f64::INFINITY] {
            assert!(matches!(judge(error, "gpu"), Err(Error::DeviceArithmetic { .. })), "{error}");
        }
    }

    #[test]
    fn errors_are_relative_to_the_product() {
        // M = [[1, 2], [3, 4]], v = (1, 1): MᵀMv = (24, 34).
        let (matrix, vector) = ([1.0, 2.0, 3.0, 4.0], [1.0, 1.0]);
        assert_eq!(relative_error(&matrix, &vector, &[24.0, 34.0]), 0.0);
        let off = relative_error(&matrix, &vector, &[24.0, 33.0]);
        assert!((off - 1.0 / 1732f64.sqrt()).abs() < 1e-15, "{off}");
    }
}
