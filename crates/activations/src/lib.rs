//! Hidden states of language models, layer by layer, observed by hooks.

mod error;
mod text;
mod tokenizer;

pub use error::Error;
pub use text::{MAX_LINE, read_samples};
pub use tokenizer::Tokenizer;
