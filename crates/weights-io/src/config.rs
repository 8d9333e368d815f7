//! The few facts of a model's `config.json` that bear on its weights.

use serde::Deserialize;

use crate::sniff::refuse_impostor;
use crate::{Error, Files, json};
use intake::shown;

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
    /// Reads the configuration beside the weights. A missing one is no error: weights need none. But one that is there and
    /// cannot be read is, or a damaged download would change what is compared.
    pub(crate) fn of(files: &dyn Files) -> Result<Self, Error> {
        let Some(text) = files.read("config.json")? else { return Ok(Self::default()) };
        let path = files.path_of("config.json");
        refuse_impostor(&path, &text)?;
        json::from_python(&text).map_err(|error| Error::Config {
            path,
            detail: format!("not a model's configuration: {}", shown(&error.to_string())),
        })
    }
}
