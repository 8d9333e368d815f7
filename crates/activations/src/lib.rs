//! Hidden states of language models, layer by layer, observed by hooks.

mod activation;
mod architecture;
mod attention;
mod block;
mod config;
mod device;
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
mod rope;
mod stream;
mod text;
mod tokenizer;
mod weights;

pub use device::{DeviceChoice, DtypeChoice};
pub use error::Error;
pub use family::known_families;
pub use hook::{Batch, BatchSample, Hook, HookError, HookPoint};
pub use model::Model;
pub use norms::{DifferenceSums, Differences, NormSums, Norms, is_hidden_state};
pub use stream::{Stream, StreamOptions};
pub use text::{MAX_LINE, read_samples};
pub use tokenizer::Tokenizer;
