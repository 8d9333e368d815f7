//! Training by AdamW on rows of two topics.

use std::f64::consts::PI;

use candle_core::{Device, Tensor};
use candle_nn::{AdamW, Optimizer, ParamsAdamW};

use crate::Failure;
use crate::model::{Model, Parameters};

/// Steps of training.
pub(crate) const STEPS: usize = 800;
/// Rows of a step.
pub(crate) const ROWS: usize = 16;
const WARM_UP: usize = 40;
const LEARNING_RATE: f64 = 3e-3;

/// Trains in place, with a warm-up and a cosine decay of the learning rate. A step takes half of its rows from each
/// part of the curriculum, in order.
pub(crate) fn train(
    name: &str,
    model: &Model,
    parameters: &Parameters,
    curriculum: [&[Vec<u32>]; 2],
) -> Result<(), Failure> {
    let settings = ParamsAdamW { beta2: 0.95, weight_decay: 0.1, ..ParamsAdamW::default() };
    let mut optimizer = AdamW::new(parameters.0.values().cloned().collect(), settings)?;
    let [first, second] = curriculum.map(|rows| rows.chunks(ROWS / 2));
    for (step, (first, second)) in first.zip(second).take(STEPS).enumerate() {
        let warm = ((step + 1) as f64 / WARM_UP as f64).min(1.0);
        let decay = 0.5 * (1.0 + (PI * step as f64 / STEPS as f64).cos());
        optimizer.set_learning_rate(LEARNING_RATE * warm * (0.05 + 0.95 * decay));
        let loss = model.loss(&batch(&[first, second].concat())?)?;
        optimizer.backward_step(&loss)?;
        if step % 100 == 0 || step + 1 == STEPS {
            eprintln!("{name}: step {step} of {STEPS}, loss {:.4}", loss.to_scalar::<f32>()?);
        }
    }
    Ok(())
}

/// Rows of equal length as a tensor.
pub(crate) fn batch(rows: &[Vec<u32>]) -> Result<Tensor, Failure> {
    Ok(Tensor::from_vec(rows.concat(), (rows.len(), rows.first().map_or(0, Vec::len)), &Device::Cpu)?)
}
