//! Hidden states of language models, layer by layer, observed by hooks.

mod error;

pub use error::Error;
