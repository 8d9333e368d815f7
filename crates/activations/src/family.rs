//! Families of models as tables: what a family calls its parameters, and how its blocks are put together.
//!
//! A table may build on another one (`like`), says which keys of `config.json` stand for what (`config`), what
//! transformers assumes where a key is absent (`defaults`), which values change the table (`when`) and which are beyond
//! this crate (`refuse`). An empty name means that there is no such parameter.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

macro_rules! families {
    ($($name:literal),*) => {
        &[$(($name, include_str!(concat!("architectures/", $name, ".toml")))),*]
    };
}

/// Every family, by its `model_type`.
const TABLES: &[(&str, &str)] = families![
    "bloom",
    "cohere",
    "falcon",
    "gemma",
    "gemma2",
    "gemma3_text",
    "gpt2",
    "gpt_neo",
    "gpt_neox",
    "gptj",
    "granite",
    "llama",
    "mistral",
    "mixtral",
    "olmo",
    "olmo2",
    "opt",
    "phi",
    "phi3",
    "qwen2",
    "qwen2_moe",
    "qwen3",
    "qwen3_moe",
    "smollm3",
    "stablelm",
    "starcoder2"
];

/// The `model_type` of every family that can be computed, in string order.
pub fn known_families() -> impl Iterator<Item = &'static str> {
    TABLES.iter().map(|(name, _)| *name)
}

/// A family's table before a model's configuration has had its say.
#[derive(Debug, Deserialize)]
pub(crate) struct FamilyTable {
    /// What a quantity is called in `config.json`: the first name that is there counts.
    #[serde(default)]
    pub(crate) config: BTreeMap<String, Vec<String>>,
    /// Values of quantities that `config.json` does not mention.
    #[serde(default)]
    pub(crate) defaults: Table,
    #[serde(default)]
    pub(crate) when: Vec<When>,
    #[serde(default)]
    pub(crate) refuse: Vec<Refuse>,
    #[serde(flatten)]
    pub(crate) rest: Table,
}

/// A change to the table for models whose configuration has certain values.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct When {
    /// Values that must all be there; `"none"` stands for absent or null.
    pub(crate) config: Table,
    /// What they change.
    pub(crate) set: Table,
}

/// Values that this crate cannot compute with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refuse {
    pub(crate) config: Table,
    /// What such a model has that is not supported.
    pub(crate) why: String,
}

impl FamilyTable {
    /// The table of a family; `None` if it is not known.
    pub(crate) fn of(model_type: &str) -> Option<Result<Self, toml::de::Error>> {
        let merged = merged(model_type)?;
        Some(merged.and_then(|table| Value::Table(table).try_into()))
    }

    /// The family of a model whose configuration `holds` certain values.
    pub(crate) fn resolve(&self, holds: impl Fn(&Table) -> bool) -> Result<Family, toml::de::Error> {
        let mut table = self.rest.clone();
        for when in self.when.iter().filter(|when| holds(&when.config)) {
            merge(&mut table, when.set.clone());
        }
        Value::Table(table).try_into()
    }
}

fn merged(model_type: &str) -> Option<Result<Table, toml::de::Error>> {
    let (_, text) = TABLES.iter().find(|(name, _)| *name == model_type)?;
    let mut own: Table = match toml::from_str(text) {
        Ok(table) => table,
        Err(error) => return Some(Err(error)),
    };
    let Some(Value::String(base)) = own.remove("like") else { return Some(Ok(own)) };
    Some(merged(&base)?.map(|mut table| {
        merge(&mut table, own);
        table
    }))
}

/// Puts `over` over `table`: tables are merged, lists of tables go one after the other, all else is replaced.
fn merge(table: &mut Table, over: Table) {
    for (key, value) in over {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (Some(Value::Array(below)), Value::Array(above)) if above.iter().all(Value::is_table) => {
                below.extend(above);
            }
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

/// How the models of a family are put together.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Family {
    pub(crate) names: Names,
    pub(crate) norm: Norm,
    #[serde(default)]
    pub(crate) embedding: Embedding,
    pub(crate) block: Block,
    pub(crate) attention: Attention,
    #[serde(default)]
    pub(crate) rotary: Rotary,
    pub(crate) mlp: Mlp,
    #[serde(default)]
    pub(crate) experts: Option<Experts>,
}

/// Names outside the blocks.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Names {
    /// What stands before every name; the first for which the embedding is found counts.
    pub(crate) prefixes: Vec<String>,
    /// Token embedding, `[vocabulary, width]`.
    pub(crate) embedding: String,
    /// Learned positions, `[positions, hidden]`.
    #[serde(default)]
    pub(crate) positions: String,
    /// Norm of the embeddings.
    #[serde(default)]
    pub(crate) embedding_norm: String,
    /// From the width of the embedding to that of the blocks, where they differ.
    #[serde(default)]
    pub(crate) project_in: String,
    /// And back, after the final norm.
    #[serde(default)]
    pub(crate) project_out: String,
    /// The blocks' names are `<blocks>.<index>.`.
    pub(crate) blocks: String,
    #[serde(default)]
    pub(crate) final_norm: String,
    /// Weights of linear maps lie as `[in, out]` (GPT-2's Conv1D).
    #[serde(default)]
    pub(crate) transposed_linears: bool,
}

/// The norm that a family uses everywhere.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Norm {
    pub(crate) kind: NormKind,
    /// Whether it has weights at all.
    #[serde(default = "yes")]
    pub(crate) weight: bool,
    #[serde(default)]
    pub(crate) bias: bool,
    /// The stored weight is the deviation from one.
    #[serde(default)]
    pub(crate) unit_offset: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NormKind {
    /// x / √(mean(x²) + ε).
    Rms,
    /// (x − mean(x)) / √(var(x) + ε), with the biased variance.
    Layer,
}

fn yes() -> bool {
    true
}

/// What becomes of an embedding before the first block.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Embedding {
    #[serde(default)]
    pub(crate) scale: EmbeddingScale,
    /// Position p stands in this row after p.
    #[serde(default)]
    pub(crate) position_offset: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EmbeddingScale {
    #[default]
    One,
    SqrtHiddenSize,
    EmbeddingMultiplier,
}

/// Where a block has norms and where its residual stream runs.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Block {
    pub(crate) shape: BlockShape,
    /// Before the attention.
    #[serde(default)]
    pub(crate) attention_norm: String,
    /// On what the attention adds.
    #[serde(default)]
    pub(crate) attention_post_norm: String,
    /// Before the MLP; in a parallel block without one, the MLP reads what the attention reads.
    #[serde(default)]
    pub(crate) mlp_norm: String,
    /// On what the MLP adds.
    #[serde(default)]
    pub(crate) mlp_post_norm: String,
    /// What attention and MLP add is multiplied by `residual_multiplier` of the configuration.
    #[serde(default)]
    pub(crate) residual_multiplier: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BlockShape {
    /// m = x + attention(norm(x)); m + mlp(norm(m)).
    Sequential,
    /// x + attention(norm(x)) + mlp(norm(x)).
    Parallel,
    /// m = norm(x + attention(x)); norm(m + mlp(m)).
    NormAfterSum,
    /// n = norm(x), m = n + attention(n); n' = norm(m), n' + mlp(n').
    NormCarries,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "switches of a table, each by its name")]
pub(crate) struct Attention {
    pub(crate) layout: ProjectionLayout,
    /// Names of separate projections.
    #[serde(default)]
    pub(crate) query: String,
    #[serde(default)]
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) value: String,
    /// Name of the one projection that holds all three.
    #[serde(default)]
    pub(crate) fused: String,
    pub(crate) output: String,
    /// Queries, keys and values have biases.
    #[serde(default)]
    pub(crate) input_bias: bool,
    #[serde(default)]
    pub(crate) output_bias: bool,
    #[serde(default)]
    pub(crate) key_value_heads: KeyValueHeads,
    #[serde(default)]
    pub(crate) scale: AttentionScale,
    /// The scale is divided by the block's index plus one.
    #[serde(default)]
    pub(crate) scale_by_layer: bool,
    /// Scores are capped at `attention_logit_cap` of the configuration, if it has one.
    #[serde(default)]
    pub(crate) logit_cap: bool,
    /// Queries, keys and values are clamped to ±`clip_qkv`, if the configuration has one.
    #[serde(default)]
    pub(crate) clip: bool,
    #[serde(default)]
    pub(crate) positions: PositionKind,
    #[serde(default)]
    pub(crate) window: WindowRule,
    /// Norms of queries and keys before they are rotated.
    #[serde(default)]
    pub(crate) head_norm: Option<HeadNorm>,
}

/// How the rows of query, key and value projections are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProjectionLayout {
    /// Three tensors.
    Separate,
    /// One tensor: all queries, all keys, all values.
    Concatenated,
    /// One tensor: for each key-value head its queries, its key, its value.
    Grouped,
}

/// Whose word counts for the number of key-value heads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyValueHeads {
    /// The configuration's, or as many as there are heads.
    #[default]
    Configured,
    AsMany,
    One,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AttentionScale {
    #[default]
    InverseSqrtHeadDim,
    InverseSqrtQueryScalar,
    AttentionMultiplier,
    One,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PositionKind {
    #[default]
    Rotary,
    /// Scores grow with the key's position by a slope of each head.
    Alibi,
    /// The same in bf16, and scaled like the scores (Falcon).
    ScaledAlibi,
    /// Positions are in the embedding.
    Learned,
}

/// Which blocks attend to the last `sliding_window` positions only. A list `layer_types` in the configuration wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WindowRule {
    #[default]
    Never,
    All,
    /// If `use_sliding_window`: those from `max_window_layers` on.
    FromMaxWindowLayers,
    /// If `use_sliding_window`: the even ones before `max_window_layers`.
    EvenBeforeMaxWindowLayers,
    /// If `use_sliding_window`: all.
    IfUsed,
    /// If `use_sliding_window`: those without rotation.
    IfUsedWithoutRotation,
    /// Even ones.
    Even,
    /// All but every `sliding_window_pattern`-th.
    Pattern,
    /// As `attention_types` says (GPT-Neo).
    AttentionTypes,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeadNorm {
    pub(crate) query: String,
    pub(crate) key: String,
    pub(crate) over: HeadNormOver,
    #[serde(default)]
    pub(crate) bias: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HeadNormOver {
    /// Each head, with the same weights: `[head_dim]`.
    Head,
    /// Each head, with its own weights: `[heads, head_dim]`.
    HeadOwnWeights,
    /// Each head, its weights in a tensor of its own: `norms.<head>.weight`, `[head_dim]`.
    HeadOwnTensors,
    /// All heads together: `[heads · head_dim]`.
    Projection,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotary {
    /// Pairs are neighbours rather than halves apart.
    #[serde(default)]
    pub(crate) interleaved: bool,
    /// Blocks may go without, as `no_rope_layers` says.
    #[serde(default)]
    pub(crate) some_layers: bool,
    /// Blocks with a window have frequencies of their own (Gemma 3).
    #[serde(default)]
    pub(crate) local: bool,
    /// Other words for the type `longrope`.
    #[serde(default)]
    pub(crate) longrope_names: Vec<String>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mlp {
    #[serde(default)]
    pub(crate) gate: String,
    #[serde(default)]
    pub(crate) up: String,
    /// One tensor with the rows of gate and up.
    #[serde(default)]
    pub(crate) gate_up: String,
    pub(crate) down: String,
    #[serde(default)]
    pub(crate) bias: bool,
    /// Activations that the family's code takes for others.
    #[serde(default)]
    pub(crate) activation_means: BTreeMap<String, String>,
}

/// A mixture of experts in place of the MLP. `{}` in a name is the expert's index.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Experts {
    pub(crate) router: String,
    pub(crate) gate: String,
    pub(crate) up: String,
    pub(crate) down: String,
    /// An expert that sees every token: names of its gate, up and down.
    #[serde(default)]
    pub(crate) shared: Option<[String; 3]>,
    /// How much of it: `[1, hidden]`.
    #[serde(default)]
    pub(crate) shared_gate: String,
    /// The chosen experts' weights sum to one; else only if `norm_topk_prob`.
    #[serde(default)]
    pub(crate) always_normalize: bool,
    /// Some blocks have a plain MLP, as `mlp_only_layers` and `decoder_sparse_step` say.
    #[serde(default)]
    pub(crate) some_layers: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_sound_whatever_its_conditions() {
        for name in known_families() {
            let table = FamilyTable::of(name).unwrap().unwrap_or_else(|error| panic!("{name}: {error}"));
            for holds in [true, false] {
                table.resolve(|_| holds).unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
        assert!(FamilyTable::of("mamba").is_none());
    }
}
