//! The fixed power iteration of the Python scripts, for comparison with their results.

use crate::Error;
use crate::fused_pass::padded;
use crate::kernels::Vectors;
use crate::random::Key;
use crate::reads::{Active, Reads};
use crate::source::Operator;
use crate::vectors::normalise;

/// σ₁ estimates ‖M v‖ after `iterations` steps v ← MᵀMv / ‖MᵀMv‖ from a random v, in the unit of each operator's
/// scale. One read a step, one more for the result, all operators together.
///
/// An estimate from below: five steps miss σ₁ by several per cent on ordinary weights.
pub(crate) fn spectral_norms(
    reads: &dyn Reads,
    work: &[(usize, Operator)],
    iterations: u32,
    keys: &[Key<'_>],
) -> Result<Vec<f64>, Error> {
    let mut vectors: Vec<Vec<f32>> = work
        .iter()
        .map(|(pair, operator)| {
            let columns = reads.source(*pair).a.columns;
            let mut vector = vec![0.0; padded(columns)];
            keys[*pair].generator(*operator, 0).fill(&mut vector[..columns]);
            normalise(&mut vector);
            vector.iter().map(|value| *value as f32).collect()
        })
        .collect();
    let mut estimates = vec![0.0; work.len()];
    for _ in 0..=iterations {
        let active = work.iter().zip(&vectors).map(|(&(pair, operator), values)| {
            let vectors = Vectors { values, stride: values.len(), count: 1 };
            Active { pair, operator, vectors }
        });
        let products = reads.products(&active.collect::<Vec<_>>())?;
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
