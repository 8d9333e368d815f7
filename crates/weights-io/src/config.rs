//! The few facts of a model's `config.json` that bear on its weights.

use serde::Deserialize;

use crate::{Error, Files, source};

/// What `config.json` says of the weights; every field is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct ModelConfig {
    /// Family, as transformers names it: `llama`, `gpt_neox`, …
    #[serde(default)]
    pub model_type: Option<String>,
    /// True if the output head is the embedding matrix.
    #[serde(default)]
    pub tie_word_embeddings: Option<bool>,
}

impl ModelConfig {
    /// Reads the configuration beside the weights. A missing or malformed one is no error: weights need none. But one that
    /// is there and cannot be read is, or an interrupted connection would change what is compared.
    pub(crate) fn of(files: &dyn Files) -> Result<Self, Error> {
        let read = files
            .open("config.json")
            .and_then(|file| Ok(serde_json::from_slice(&source::read_small(&*file)?).unwrap_or_default()));
        match read {
            Err(error @ Error::Io { .. }) => Err(error),
            read => Ok(read.unwrap_or_default()),
        }
    }
}
