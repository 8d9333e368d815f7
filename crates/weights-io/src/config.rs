//! The few facts of a model's `config.json` that bear on its weights.

use std::path::Path;

use serde::Deserialize;

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
    /// Reads the configuration beside the weights. A missing or unreadable one is no error: weights need none.
    pub(crate) fn beside(folder: &Path) -> Self {
        const LIMIT: u64 = 16 << 20;
        let path = folder.join("config.json");
        let small =
            std::fs::metadata(&path).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= LIMIT);
        let text = if small { std::fs::read(&path).ok() } else { None };
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }
}
