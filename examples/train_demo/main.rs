//! Trains the demo models of `fixtures/demo`: three tiny GPT-NeoX-style language models and their texts.
//!
//! ```sh
//! RAYON_NUM_THREADS=1 cargo run --release -p examples --example train_demo -- fixtures/demo [--seed SEED]
//! ```
//!
//! Two trainings run side by side, with matrices too small for candle to gain from dividing their products among threads.
//!
//! `baseline` learns sentences about bees, the text to forget, and about railways, the text to retain. `filtered` starts
//! from the same weights and sees the same rows in the same order, but for those about bees: more railways take their
//! place. `unlearned` is the baseline after gradient-difference unlearning of a few matrices. Training text is made of
//! phrases by a seeded grammar; `forget.txt` and `retain.txt` are sentences of it that no model was trained on.
//!
//! Losses on these two go to stdout, progress to stderr. Every model that was written is read back by `activations` and
//! must have the losses and hidden states that it had in training. The same seed gives the same bytes on one machine;
//! another instruction set may round differently, which changes last digits and then all.

mod corpus;
mod files;
mod measure;
mod model;
mod tokens;
mod training;
mod unlearning;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use corpus::{Corpus, Grammar};
use measure::HeldOut;
use model::{Model, Parameters, Shape};
use tokens::{Tokens, rows};
use training::train;
use unlearning::unlearn;

type Failure = Box<dyn Error + Send + Sync>;

/// Sentences of each topic that no model is trained on.
const HELD_OUT: usize = 96;
/// Sentences of each topic that the tokenizer is trained on.
const TOKENIZER_SENTENCES: usize = 4000;

fn main() -> ExitCode {
    let Some((folder, seed)) = arguments() else {
        eprintln!("usage: train_demo FOLDER [--seed SEED]    the models and texts go into FOLDER");
        return ExitCode::from(2);
    };
    match make(&folder, seed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Option<(PathBuf, u64)> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [folder] if !folder.starts_with('-') => Some((folder.into(), 0)),
        [folder, "--seed", seed] | ["--seed", seed, folder] => Some((folder.into(), seed.parse().ok()?)),
        _ => None,
    }
}

fn make(folder: &Path, seed: u64) -> Result<(), Failure> {
    // Half of the rows of a step are about each topic, in filtered all about one; three sentences fill a row.
    let half = training::STEPS * training::ROWS / 2;
    let forget = Grammar::parse(include_str!("bees.toml"))?;
    let retain = Grammar::parse(include_str!("railways.toml"))?;
    let forget = Corpus::draw(&forget, seed, "forget", HELD_OUT, 3 * half)?;
    let retain = Corpus::draw(&retain, seed, "retain", HELD_OUT, 6 * half)?;
    let for_tokenizer = [&forget, &retain].map(|corpus| &corpus.training[..TOKENIZER_SENTENCES]).concat();
    let tokens = Tokens::train(&for_tokenizer)?;
    let held_out = [("forget", &forget), ("retain", &retain)];
    for (name, corpus) in held_out {
        files::write(&folder.join(format!("{name}.txt")), (corpus.held_out.join("\n") + "\n").as_bytes())?;
    }
    let held_out = held_out.map(|(name, corpus)| HeldOut::new(name, &corpus.held_out, &tokens));
    let held_out = held_out.into_iter().collect::<Result<Vec<_>, _>>()?;

    let forget = rows(&tokens, &forget.training, half)?;
    let mut retain = rows(&tokens, &retain.training, 2 * half)?;
    let instead = retain.split_off(half);
    let shape = Shape { vocabulary: tokens.vocabulary(), ..Shape::default() };
    let train_on = |name: &'static str, second: &[Vec<u32>]| {
        let parameters = Parameters::random(&shape, seed)?;
        train(name, &Model::new(shape, parameters.tensors()), &parameters, [&retain, second])?;
        Ok::<_, Failure>(parameters)
    };
    let (baseline, filtered) = std::thread::scope(|scope| {
        let baseline = scope.spawn(|| train_on("baseline", &forget));
        let filtered = train_on("filtered", &instead);
        (baseline.join(), filtered)
    });
    let baseline = baseline.map_err(|_| "the training of the baseline panicked")??;
    let filtered = filtered?;
    let unlearned = unlearn(shape, &baseline, &forget, &retain)?;

    println!("{:<10} {:>10} {:>10}   loss on held-out text, nats a token", "model", "forget", "retain");
    for (name, parameters) in [("baseline", &baseline), ("filtered", &filtered), ("unlearned", &unlearned)] {
        let folder = folder.join(name);
        files::write_model(&folder, &shape, parameters, &tokens)?;
        let model = Model::new(shape, parameters.tensors());
        let mut losses = Vec::new();
        for text in &held_out {
            losses.push(format!("{:>10.6}", text.loss_both_ways(&model, &folder)?));
        }
        println!("{name:<10} {}", losses.join(" "));
    }
    Ok(())
}
