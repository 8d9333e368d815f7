//! Hidden states of language models, layer by layer, observed by hooks.
//!
//! A [`Model`] is a checkpoint whose `config.json` names a family of decoders that this crate has a table of
//! ([`known_families`]) and whose every tensor is there in the right shape. A [`Stream`] sends samples through one model,
//! or through two in lockstep, layer by layer: all samples pass a block before the weights of the next are touched, so
//! that memory holds the hidden states in flight and one block of each model, whatever the size of the models. While two
//! models have the same weights and states, byte for byte, what they have in common is computed once.
//!
//! A [`Hook`] says at which [`HookPoint`]s it wants to see the hidden states, and may put others in their place. [`Norms`]
//! and [`Differences`] are such hooks: they measure how large hidden states are, and how far those of a changed model are
//! from the baseline's. Hidden states are those that transformers gives as `hidden_states`: the embeddings as they enter
//! block 0, the output of each block, and for the last block what the final norm makes of it ([`is_hidden_state`]).
//!
//! Samples are token ids, from a model's own [`Tokenizer`] and lines of a text ([`read_samples`]), or from anywhere else.
//! They lie one after another, without padding. Computation is candle's, with a few operations fused on the CPU
//! in f32; norms, softmax and all statistics are f32 or f64 whatever the dtype.
//!
//! Without fused operations, as on a GPU, batches are as large as the memory budget allows and of samples about as long,
//! the scores of attention are held for so many queries at a time as make 64 MiB (`attention_blocks`), and the next block
//! is read while one is computed. Of hidden states that are only measured a few numbers a token leave a GPU.
//!
//! ```
//! use activations::{HookPoint, Model, Norms, Stream, StreamOptions, Tokenizer, is_hidden_state, read_samples};
//! use weights_io::Checkpoint;
//!
//! # let pair = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/activations/pair");
//! let folder = pair.join("a");
//! let samples = Tokenizer::beside(&folder)?.encode(&read_samples(&pair.join("forget.txt"), 128)?, 512)?;
//!
//! let checkpoint = Checkpoint::open(&folder)?;
//! let models = [Model::open(&checkpoint)?];
//! let mut norms = Norms::new(is_hidden_state);
//! Stream::new(&models, &samples, StreamOptions::default())?.run(&mut [&mut norms])?;
//!
//! let first = norms.of(0, HookPoint::FinalNorm, 0).expect("every sample was seen");
//! assert_eq!(first.tokens as usize, samples[0].len());
//! println!("mean norm of the first sample's last hidden states: {}", first.l2 / first.tokens as f64);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Exactness
//!
//! In f32 on the CPU, hidden states are within 1e-4 of transformers' largest entry and their mean norms within 1e-5, for
//! every family and every switch of its configuration that changes them (`tests/families.rs`). Windows and the number of
//! threads do not change a bit, and models in lockstep have the bits of each alone; batches of another size may change
//! the last ones. With `dynamic` rope scaling a sample's own length counts; transformers keeps the frequencies of a longer
//! sample before it.
//!
//! What a GPU computes is held to that, within 1e-4 in f32 and 1e-2 in bf16, by the tests in `parity`: on the GPU of the
//! machine if there is one, else the same operations on candle's CPU device.

mod activation;
mod architecture;
mod attention;
mod attention_blocks;
mod batches;
mod block;
mod config;
mod device;
mod embedding;
mod error;
mod family;
mod hook;
mod kernels;
mod linear;
mod mlp;
mod model;
mod norm;
mod norms;
mod pack;
#[cfg(test)]
mod parity;
mod rope;
mod same_bytes;
mod stream;
mod text;
mod token_norms;
mod tokenizer;
mod tokenizer_limits;
mod weights;

pub use device::{DeviceChoice, DtypeChoice, free_memory};
pub use error::Error;
pub use family::known_families;
pub use hook::{Batch, BatchSample, Hook, HookError, HookPoint};
pub use model::Model;
pub use norms::{DifferenceSums, Differences, NormSums, Norms, is_hidden_state};
pub use stream::{Stream, StreamOptions};
pub use text::{MAX_LINE, read_samples};
pub use tokenizer::Tokenizer;
