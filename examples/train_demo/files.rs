//! A model's folder as transformers writes it: weights, configuration, tokenizer.

use std::collections::HashMap;
use std::path::Path;

use serde_json::json;

use crate::Failure;
use crate::model::{LAYER_NORM_EPSILON, Parameters, ROPE_THETA, Shape};
use crate::tokens::{END, ROW, Tokens};

pub(crate) fn write_model(
    folder: &Path,
    shape: &Shape,
    parameters: &Parameters,
    tokens: &Tokens,
) -> Result<(), Failure> {
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let weights = safetensors::serialize(parameters.tensors(), Some(format))?;
    write(&folder.join("model.safetensors"), &weights)?;
    write(&folder.join("config.json"), (serde_json::to_string_pretty(&config(shape))? + "\n").as_bytes())?;
    write(&folder.join("tokenizer.json"), tokens.json.as_bytes())
}

/// The keys of transformers' `GPTNeoXConfig`: those of release 5, and for older ones `rotary_pct`, `rotary_emb_base` and
/// `torch_dtype`.
fn config(shape: &Shape) -> serde_json::Value {
    let fraction = shape.rotary as f64 / (shape.hidden / shape.heads) as f64;
    json!({
        "architectures": ["GPTNeoXForCausalLM"],
        "attention_bias": true,
        "attention_dropout": 0.0,
        "bos_token_id": END,
        "dtype": "float32",
        "eos_token_id": END,
        "hidden_act": "gelu",
        "hidden_dropout": 0.0,
        "hidden_size": shape.hidden,
        "initializer_range": 0.02,
        "intermediate_size": shape.intermediate,
        "layer_norm_eps": f64::from(LAYER_NORM_EPSILON),
        "max_position_embeddings": 2 * ROW,
        "model_type": "gpt_neox",
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "rope_parameters": {
            "partial_rotary_factor": fraction, "rope_theta": f64::from(ROPE_THETA), "rope_type": "default"
        },
        "rotary_emb_base": f64::from(ROPE_THETA),
        "rotary_pct": fraction,
        "tie_word_embeddings": false,
        "torch_dtype": "float32",
        "use_cache": true,
        "use_parallel_residual": true,
        "vocab_size": shape.vocabulary,
    })
}

/// Writes a file, and its folder where there is none.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let failed = |source: std::io::Error| format!("cannot write {}: {source}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    Ok(std::fs::write(path, bytes).map_err(failed)?)
}
