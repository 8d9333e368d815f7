//! The fixed power iteration of the Python scripts, for comparison with their results.

use crate::Error;
use crate::fused_pass::{fused_pass, padded};
use crate::kernels::Vectors;
use crate::random;
use crate::source::{Operator, Source};
use crate::vectors::normalise;

/// σ₁ estimates ‖M v‖ after `iterations` steps v ← MᵀMv / ‖MᵀMv‖ from a random v, in the unit of each operator's
/// scale. One read a step, one more for the result, all operators together.
///
/// An estimate from below: five steps miss σ₁ by several per cent on ordinary weights.
pub(crate) fn spectral_norms(
    source: &Source<'_>,
    operators: &[Operator],
    iterations: u32,
    key: random::Key<'_>,
) -> Result<Vec<f64>, Error> {
    let stride = padded(source.a.columns);
    let mut vectors: Vec<Vec<f32>> = operators
        .iter()
        .map(|operator| {
            let mut vector = vec![0.0; stride];
            key.generator(*operator, 0).fill(&mut vector[..source.a.columns]);
            normalise(&mut vector);
            vector.iter().map(|value| *value as f32).collect()
        })
        .collect();
    let mut estimates = vec![0.0; operators.len()];
    for _ in 0..=iterations {
        let active: Vec<(Operator, Vectors<'_>)> = operators
            .iter()
            .zip(&vectors)
            .map(|(operator, values)| (*operator, Vectors { values, stride, count: 1 }))
            .collect();
        let products = fused_pass(source, &active)?;
        for ((vector, mut product), estimate) in vectors.iter_mut().zip(products).zip(&mut estimates) {
            // vᵀMᵀMv = ‖Mv‖²
            let square: f64 = vector.iter().zip(&product).map(|(v, y)| f64::from(*v) * y).sum();
            *estimate = square.max(0.0).sqrt();
            normalise(&mut product);
            for (narrow, wide) in vector.iter_mut().zip(product) {
                *narrow = wide as f32;
            }
        }
    }
    Ok(estimates)
}
