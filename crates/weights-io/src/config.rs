//! The few facts of a model's `config.json` that bear on its weights.

use serde::Deserialize;

use crate::{Error, Files};

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
        match files.read("config.json") {
            Ok(text) => Ok(text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()),
            Err(error @ Error::Io { .. }) => Err(error),
            Err(_) => Ok(Self::default()),
        }
    }
}
