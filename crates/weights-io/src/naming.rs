//! What a parameter's name says: its layer, its group, its component, and whether it is a linear layer's matrix.
//!
//! Names are read as data: tables of module names as the families on the Hub use them. The group follows the Python
//! scripts that these tools succeed (a substring of the name, attention first), completed for the families whose
//! names say neither `attn` nor `mlp`.

use std::fmt;

/// Part of a transformer block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// Self- or cross-attention.
    Attn,
    /// Feed-forward part, experts included.
    Mlp,
    /// Neither.
    Other,
}

/// What a parameter does within its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Component {
    /// Query, key and value projections, fused or not.
    Qkv,
    /// Output projection of the attention.
    Proj,
    /// From the residual stream into the feed-forward part: up and gate projections.
    MlpExpand,
    /// Back from the feed-forward part: down projection.
    MlpContract,
    /// Output head over the vocabulary.
    LmHead,
    /// Token, position or type table.
    Embedding,
    /// Normalisation.
    Norm,
    /// Anything else: routers, poolers, classifiers, …
    Other,
}

impl Group {
    /// Name in the tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attn => "attn",
            Self::Mlp => "mlp",
            Self::Other => "other",
        }
    }
}

impl Component {
    /// Name in the tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Qkv => "qkv",
            Self::Proj => "proj",
            Self::MlpExpand => "mlp_expand",
            Self::MlpContract => "mlp_contract",
            Self::LmHead => "lm_head",
            Self::Embedding => "embedding",
            Self::Norm => "norm",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl fmt::Display for Component {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// How the values of a parameter are laid out as matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One matrix of a linear layer (`nn.Linear`, or GPT-2's transposed `Conv1D`).
    Linear,
    /// The matrices of all experts stacked along the first axis.
    FusedExperts,
    /// No linear layer, and why.
    NotLinear(&'static str),
}

/// Everything that a name and a shape say about a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Role {
    /// Index of the transformer block; `None` outside the blocks.
    pub layer: Option<u32>,
    /// Part of the block.
    pub group: Group,
    /// Function within the part.
    pub component: Component,
    /// Matrix of a linear layer or not.
    pub kind: Kind,
}

/// Names that hold the blocks; the number that follows is the layer.
const BLOCKS: [&str; 5] = ["layers", "h", "blocks", "layer", "block"];

/// Names of parameters, and of wrappers, within a module.
const PARAMETERS: [&str; 14] = [
    "weight",
    "bias",
    "gamma",
    "beta",
    "qweight",
    "qzeros",
    "scales",
    "g_idx",
    "weight_scale",
    "weight_scale_inv",
    "lora_A",
    "lora_B",
    "base_layer",
    "default",
];
const PARAMETER_SUFFIXES: [&str; 3] = ["_bias", "_blocks", "_scales"];

const ATTENTION_HINTS: [&str; 2] = ["attn", "attention"];
const MLP_HINTS: [&str; 7] =
    ["mlp", "ffn", "feed_forward", "intermediate", "densereludense", "experts", "block_sparse_moe"];

/// Modules whose name alone tells the component.
const COMPONENTS: [(Component, &[&str]); 6] = [
    (
        Component::Qkv,
        &[
            "query_key_value",
            "qkv_proj",
            "q_proj",
            "k_proj",
            "v_proj",
            "qkv",
            "Wqkv",
            "c_attn",
            "q_attn",
            "query",
            "key",
            "value",
            "q_lin",
            "k_lin",
            "v_lin",
            "q_a_proj",
            "q_b_proj",
            "kv_a_proj_with_mqa",
            "kv_b_proj",
            "wq",
            "wk",
            "wv",
            "wqkv",
            "query_proj",
            "key_proj",
            "value_proj",
            "W_pack",
            "att_proj",
            "in_proj_weight",
        ],
    ),
    (Component::Proj, &["o_proj", "out_lin", "attn_out"]),
    (
        Component::MlpExpand,
        &[
            "gate_proj",
            "up_proj",
            "gate_up_proj",
            "c_fc",
            "dense_h_to_4h",
            "fc_in",
            "fc1",
            "w1",
            "w3",
            "v1",
            "lin1",
            "wi",
            "wi_0",
            "wi_1",
            "ff_proj",
            "input_linear",
        ],
    ),
    (
        Component::MlpContract,
        &["down_proj", "dense_4h_to_h", "fc_out", "fc2", "w2", "lin2", "ff_out", "output_linear"],
    ),
    (Component::LmHead, &["lm_head", "embed_out", "vocab_projector", "output_layer"]),
    (Component::Embedding, &["wte", "wpe", "shared", "relative_attention_bias"]),
];

/// Modules whose component depends on the part of the block that they stand in.
const IN_ATTENTION: [(Component, &[&str]); 2] = [
    (Component::Qkv, &["q", "k", "v"]),
    (Component::Proj, &["dense", "c_proj", "out_proj", "o", "wo", "Wo", "out"]),
];
const IN_MLP: [(Component, &[&str]); 2] =
    [(Component::MlpContract, &["c_proj", "wo", "Wo"]), (Component::MlpExpand, &["up", "gate_up", "Wi"])];

/// Reads a parameter's role from its name and shape.
#[must_use]
pub fn classify(name: &str, shape: &[usize]) -> Role {
    let segments: Vec<&str> = name.split('.').collect();
    let layer = layer(&segments);
    let hint = group_hint(name);
    let parameter = segments.last().copied().unwrap_or_default();
    let module = module(&segments);
    let component = component(&segments, module, hint, layer);
    let group = match (hint, component) {
        (Group::Other, Component::MlpExpand | Component::MlpContract) => Group::Mlp,
        (Group::Other, Component::Qkv | Component::Proj) => Group::Attn,
        (hint, _) => hint,
    };
    Role { layer, group, component, kind: kind(&segments, parameter, parameter == module, component, shape) }
}

/// The module that a parameter belongs to: the last segment that does not only say which parameter of it this is.
fn module<'a>(segments: &[&'a str]) -> &'a str {
    let last = segments.iter().rposition(|segment| !PARAMETERS.contains(segment)).unwrap_or_default();
    let module = segments.get(last).copied().unwrap_or_default();
    if last + 1 < segments.len() {
        return module;
    }
    // Fused expert tensors are bare parameters: `gate_up_proj`, `gate_up_proj_bias`, `gate_up_proj_blocks`, …
    PARAMETER_SUFFIXES.iter().find_map(|suffix| module.strip_suffix(suffix)).unwrap_or(module)
}

fn layer(segments: &[&str]) -> Option<u32> {
    segments.windows(2).find_map(|pair| BLOCKS.contains(&pair[0]).then(|| pair[1].parse().ok()).flatten())
}

fn group_hint(name: &str) -> Group {
    let name = name.to_ascii_lowercase();
    if ATTENTION_HINTS.iter().any(|hint| name.contains(hint)) {
        Group::Attn
    } else if MLP_HINTS.iter().any(|hint| name.contains(hint)) {
        Group::Mlp
    } else {
        Group::Other
    }
}

fn component(segments: &[&str], module: &str, hint: Group, layer: Option<u32>) -> Component {
    if is_norm(module) {
        return Component::Norm;
    }
    // Two names that mean something else in most families: the head of the first OLMo, and the second of the two up
    // projections of the first Qwen.
    if module == "ff_out" && layer.is_none() {
        return Component::LmHead;
    }
    if segments.ends_with(&["mlp", "w2", "weight"]) {
        return Component::MlpExpand;
    }
    let find = |table: &[(Component, &[&str])]| {
        table.iter().find(|(_, modules)| modules.contains(&module)).map(|(component, _)| *component)
    };
    let by_group = match hint {
        Group::Attn => find(&IN_ATTENTION),
        Group::Mlp => find(&IN_MLP),
        Group::Other => None,
    };
    if let Some(component) = by_group.or_else(|| find(&COMPONENTS)) {
        return component;
    }
    if module.contains("embed") || module == "embd" {
        return Component::Embedding;
    }
    let parent =
        segments.iter().rev().skip_while(|segment| **segment != module).nth(1).copied().unwrap_or("");
    match (parent, module) {
        // BERT: `intermediate.dense` expands, `output.dense` outside the attention contracts.
        ("intermediate", "dense") => Component::MlpExpand,
        ("output", "dense") if layer.is_some() => Component::MlpContract,
        // `cls.predictions.decoder`, RoBERTa's `lm_head.decoder`, the original LLaMA's `output`.
        ("predictions" | "lm_head", "decoder") | (_, "predictions") => Component::LmHead,
        ("" | "model", "output") if layer.is_none() => Component::LmHead,
        _ => Component::Other,
    }
}

fn is_norm(module: &str) -> bool {
    let lower = module.to_ascii_lowercase();
    lower.contains("norm") || lower == "ln" || lower.starts_with("ln_") || lower.ends_with("_ln")
}

/// `bare` for a parameter that stands for its module, as `experts.gate_up_proj` does.
fn kind(segments: &[&str], parameter: &str, bare: bool, component: Component, shape: &[usize]) -> Kind {
    let in_experts = segments.iter().any(|segment| matches!(*segment, "experts" | "parallel_experts"));
    let stacked =
        in_experts || segments.iter().any(|segment| matches!(*segment, "input_linear" | "output_linear"));
    let is_matrix = bare || parameter == "weight";
    let is_bias = parameter == "bias" || parameter.ends_with("_bias");
    match component {
        _ if is_bias => Kind::NotLinear("bias"),
        Component::Norm => Kind::NotLinear("norm"),
        Component::Embedding => Kind::NotLinear("embedding"),
        // Fused expert tensors are bare parameters in most families.
        Component::MlpExpand | Component::MlpContract if stacked && is_matrix && shape.len() == 3 => {
            Kind::FusedExperts
        }
        Component::MlpExpand | Component::MlpContract if in_experts && bare && shape.len() == 2 => {
            Kind::Linear
        }
        _ if parameter != "weight" && parameter != "in_proj_weight" => Kind::NotLinear("not a weight matrix"),
        _ if shape.len() != 2 => Kind::NotLinear("not two-dimensional"),
        _ => Kind::Linear,
    }
}
