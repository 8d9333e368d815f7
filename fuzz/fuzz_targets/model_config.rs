#![no_main]
//! A `config.json` as the forward pass reads it, beside the weights of one of several families (first byte): checked against
//! the tensors before anything is allocated, and a model that opens takes three tokens.

use std::sync::OnceLock;

use activations::{Error, Model, Norms, Stream, StreamOptions, is_hidden_state};
use fuzz::changing_config::{ChangingConfig, Config};
use fuzz::{invariants, peak};
use libfuzzer_sys::fuzz_target;
use weights_io::Checkpoint;

macro_rules! families {
    ($($name:literal),*) => {
        [$((
            &include_bytes!(concat!("../../fixtures/activations/families/", $name, "/model.safetensors"))[..],
            &include_bytes!(concat!("../../fixtures/activations/families/", $name, "/config.json"))[..],
        )),*]
    };
}

/// In the order of `make_seeds.py`.
fn families() -> &'static [(Checkpoint, Config)] {
    static FAMILIES: OnceLock<Vec<(Checkpoint, Config)>> = OnceLock::new();
    FAMILIES.get_or_init(|| {
        let models = families!(
            "llama",
            "gpt_neox",
            "gpt2",
            "gemma3_text",
            "mixtral",
            "falcon_new",
            "bloom",
            "phi3_longrope"
        );
        let open =
            |(weights, config): (&[u8], &[u8])| ChangingConfig::open(weights, config).expect("a sound model");
        models.into_iter().map(open).collect()
    })
}

fuzz_target!(|input: &[u8]| {
    let Some((selector, text)) = input.split_first() else { return };
    let families = families();
    let (checkpoint, config) = &families[usize::from(*selector) % families.len()];
    *config.lock().expect("one thread") = text.to_vec();
    let opened = peak::at_most((8 << 20) + 512 * text.len(), || Model::open(checkpoint));
    if let Err(error) = opened.and_then(|model| forward(&[model])) {
        invariants::is_printable(&error);
    }
});

fn forward(models: &[Model<'_>]) -> Result<(), Error> {
    assert!(models[0].blocks() <= models[0].hidden_size() * 1000, "more blocks than there are tensors");
    let samples = [vec![0, 1, 2]];
    let mut norms = Norms::new(is_hidden_state);
    Stream::new(models, &samples, StreamOptions { memory_budget: 64 << 20, ..StreamOptions::default() })?
        .run(&mut [&mut norms])
}
