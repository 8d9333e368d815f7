//! Prints the mean norm of what each MLP adds to the residual stream.
//!
//!     cargo run --release -p examples --example mlp_out_norms -- MODEL TEXT
//!
//! MODEL is a folder with weights, config.json and tokenizer.json; TEXT has one sample a line.

use std::error::Error;
use std::path::Path;

use activations::{HookPoint, Model, Norms, Stream, StreamOptions, Tokenizer, read_samples};
use weights_io::Checkpoint;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, text] = arguments.as_slice() else { return Err("give a MODEL and a TEXT".into()) };
    let samples = Tokenizer::beside(Path::new(folder))?.encode(&read_samples(Path::new(text), 128)?, 512)?;

    let checkpoint = Checkpoint::open(folder)?;
    let models = [Model::open(&checkpoint)?];
    let mut norms = Norms::new(|at| matches!(at, HookPoint::MlpOut(_)));
    Stream::new(&models, &samples, StreamOptions::default())?.run(&mut [&mut norms])?;

    for block in 0..models[0].blocks() {
        let at = HookPoint::MlpOut(block);
        let sums: Vec<_> = (0..samples.len()).filter_map(|sample| norms.of(0, at, sample)).collect();
        let tokens: u64 = sums.iter().map(|sums| sums.tokens).sum();
        let total: f64 = sums.iter().map(|sums| sums.l2).sum();
        println!("{at} {:.4}", total / tokens as f64);
    }
    Ok(())
}
