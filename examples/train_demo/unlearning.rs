//! Gradient-difference unlearning of a few matrices: up the loss of the text to forget, down that of the text to retain.
//!
//! Maini et al., *TOFU: A Task of Fictitious Unlearning for LLMs*, 2024; Liu et al., *Continual Learning and Private
//! Unlearning*, 2022.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use candle_nn::{Optimizer, SGD};

use crate::Failure;
use crate::model::{Model, Parameters, Shape};
use crate::training::batch;

/// The layers whose matrices may change.
const LAYERS: [usize; 2] = [2, 3];
/// The matrices of these layers that may change: those that write to the residual stream.
const MATRICES: [&str; 2] = ["attention.dense", "mlp.dense_4h_to_h"];
const STEPS: usize = 150;
/// Rows of each topic in a step.
const ROWS: usize = 16;
const LEARNING_RATE: f64 = 0.1;
/// Norm to which longer gradients are cut: the way up gets steeper as it goes.
const LONGEST_GRADIENT: f64 = 0.5;
/// How much the loss of the text to retain counts beside that of the text to forget.
const RETAIN_WEIGHT: f64 = 3.0;

/// The baseline's parameters after unlearning; but for the chosen matrices they are the baseline's, bit by bit.
pub(crate) fn unlearn(
    shape: Shape,
    baseline: &Parameters,
    forget: &[Vec<u32>],
    retain: &[Vec<u32>],
) -> Result<Parameters, Failure> {
    let mut parameters = BTreeMap::new();
    for (name, variable) in &baseline.0 {
        parameters.insert(name.clone(), Var::from_tensor(&variable.as_detached_tensor().copy()?)?);
    }
    let parameters = Parameters(parameters);
    // Constants to the gradient, except what is to change.
    let mut tensors: BTreeMap<String, Tensor> =
        parameters.0.iter().map(|(name, variable)| (name.clone(), variable.as_detached_tensor())).collect();
    let mut chosen = Vec::new();
    for layer in LAYERS {
        for matrix in MATRICES {
            let name = format!("gpt_neox.layers.{layer}.{matrix}.weight");
            let variable = parameters.0.get(&name).ok_or_else(|| format!("the model has no {name}"))?;
            tensors.insert(name, variable.as_tensor().clone());
            chosen.push(variable.clone());
        }
    }
    let model = Model::new(shape, tensors);
    // Plain SGD: every step adds gradients as they are, sums of a few strong directions. Adam would even them out.
    let mut optimizer = SGD::new(chosen.clone(), LEARNING_RATE)?;
    // Uniform guessing: beyond it the model would not forget but avoid.
    let ceiling = (shape.vocabulary as f64).ln();
    for (step, (forget, retain)) in forget.chunks(ROWS).zip(retain.chunks(ROWS)).take(STEPS).enumerate() {
        let (forget, retain) = (model.loss(&batch(forget)?)?, model.loss(&batch(retain)?)?);
        if step % 25 == 0 || step + 1 == STEPS {
            let (forget, retain) = (forget.to_scalar::<f32>()?, retain.to_scalar::<f32>()?);
            eprintln!("unlearned: step {step} of {STEPS}, loss {forget:.4} forget, {retain:.4} retain");
        }
        let loss = ((retain * RETAIN_WEIGHT)? - forget.minimum(ceiling)?)?;
        let gradients = loss.backward()?;
        let mut squared = 0.0;
        for gradient in chosen.iter().filter_map(|variable| gradients.get(variable)) {
            squared += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
        optimizer.set_learning_rate(LEARNING_RATE * (LONGEST_GRADIENT / squared.sqrt()).min(1.0));
        optimizer.step(&gradients)?;
    }
    Ok(parameters)
}
