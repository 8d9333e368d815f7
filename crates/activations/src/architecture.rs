//! One model's architecture: its family's table with the numbers of its configuration filled in.

use std::collections::HashSet;

use intake::shown;
use serde_json::Value;

use crate::Error;
use crate::activation::Activation;
use crate::config::Config;
use crate::family::{AttentionScale, EmbeddingScale, Family, KeyValueHeads, PositionKind, WindowRule};
use crate::rope::Rope;

/// Everything that the forward pass must know but the weights.
#[derive(Debug, PartialEq)]
pub(crate) struct Architecture {
    pub(crate) family: Family,
    pub(crate) hidden: usize,
    /// Width of the token embedding where it is not that of the blocks.
    pub(crate) embedding_width: usize,
    pub(crate) heads: usize,
    pub(crate) key_value_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) intermediate: usize,
    pub(crate) experts: Option<ExpertCounts>,
    pub(crate) activation: Activation,
    pub(crate) epsilon: f64,
    pub(crate) embedding_scale: f64,
    pub(crate) residual_multiplier: f64,
    pub(crate) logit_cap: Option<f64>,
    pub(crate) clip: Option<f64>,
    pub(crate) rope: Option<Rope>,
    pub(crate) local_rope: Option<Rope>,
    pub(crate) layers: Vec<Layer>,
}

/// What is particular to one block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Layer {
    /// A token attends to so many positions, its own included; to all before it if `None`.
    pub(crate) window: Option<usize>,
    pub(crate) rotates: bool,
    /// The MLP is a mixture of experts.
    pub(crate) mixture: bool,
    /// Scores are the products of queries and keys times this.
    pub(crate) scale: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ExpertCounts {
    pub(crate) count: usize,
    pub(crate) per_token: usize,
    pub(crate) intermediate: usize,
    pub(crate) shared_intermediate: usize,
    /// The weights of the chosen ones are divided by their sum.
    pub(crate) normalize: bool,
}

impl Architecture {
    /// Fills in the numbers. What the weights have bounds what is believed before it is held against each of them:
    /// `most_layers`, the number of tensors, and `widest`, their longest axis.
    pub(crate) fn new(config: &Config, most_layers: usize, widest: usize) -> Result<Self, Error> {
        let family = config.table().resolve(|conditions| config.holds(conditions));
        let family =
            family.map_err(|source| Error::Table { model_type: config.model_type().to_owned(), source })?;
        let hidden = config.required("hidden_size")?;
        let heads = config.required("num_attention_heads")?;
        let key_value_heads = match family.attention.key_value_heads {
            KeyValueHeads::Configured => config.positive("num_key_value_heads")?.unwrap_or(heads),
            KeyValueHeads::AsMany => heads,
            KeyValueHeads::One => 1,
        };
        if !heads.is_multiple_of(key_value_heads) {
            let problem = format!("does not divide the {heads} heads");
            return Err(config.error("num_key_value_heads", problem));
        }
        let head_dim = match config.positive("head_dim")? {
            Some(head_dim) => head_dim,
            None if hidden.is_multiple_of(heads) => hidden / heads,
            None => return Err(config.error("num_attention_heads", "does not divide the hidden size")),
        };
        if head_dim > widest {
            let problem = format!("is {head_dim}, and no tensor of the weights is that wide");
            return Err(config.error("head_dim", problem));
        }
        let count = config.required("num_hidden_layers")?;
        if count > most_layers {
            let problem = format!("is {count}, and the weights have only {most_layers} tensors");
            return Err(config.error("num_hidden_layers", problem));
        }
        let intermediate = match config.positive("intermediate_size")? {
            Some(intermediate) => intermediate,
            None => 4 * hidden,
        };
        let word = config.word("activation")?;
        let meaning = family.mlp.activation_means.get(&word).unwrap_or(&word);
        let activation = Activation::named(meaning).ok_or_else(|| {
            config.error("activation", format!("is `{}`, which is not known", shown(&word)))
        })?;
        let rotates = family.attention.positions == PositionKind::Rotary;
        let rope = rotates.then(|| Rope::global(config, &family.rotary, head_dim)).transpose()?;
        let local_rope = (rotates && family.rotary.local)
            .then(|| Rope::local(config, &family.rotary, head_dim))
            .transpose()?;
        let embedding_width = match config.positive("word_embed_proj_dim")? {
            Some(width) if !family.names.project_in.is_empty() => width,
            _ => hidden,
        };
        let embedding_scale = match family.embedding.scale {
            EmbeddingScale::One => 1.0,
            EmbeddingScale::SqrtHiddenSize => (hidden as f64).sqrt(),
            EmbeddingScale::EmbeddingMultiplier => config.required_number("embedding_multiplier")?,
        };
        let residual_multiplier = if family.block.residual_multiplier {
            config.required_number("residual_multiplier")?
        } else {
            1.0
        };
        let given = |asked: bool, quantity| if asked { config.number(quantity) } else { Ok(None) };
        Ok(Self {
            hidden,
            embedding_width,
            heads,
            key_value_heads,
            head_dim,
            intermediate,
            experts: expert_counts(config, &family, intermediate)?,
            activation,
            epsilon: config.required_number("norm_epsilon")?,
            embedding_scale,
            residual_multiplier,
            logit_cap: given(family.attention.logit_cap, "attention_logit_cap")?,
            clip: given(family.attention.clip, "clip_qkv")?,
            rope,
            local_rope,
            layers: layers(config, &family, head_dim, count)?,
            family,
        })
    }

    /// Rows of the joint projection to queries, keys and values.
    pub(crate) fn projected(&self) -> usize {
        (self.heads + 2 * self.key_value_heads) * self.head_dim
    }
}

fn expert_counts(
    config: &Config,
    family: &Family,
    intermediate: usize,
) -> Result<Option<ExpertCounts>, Error> {
    let Some(experts) = &family.experts else { return Ok(None) };
    let count = config.required("num_experts")?;
    let per_token = config.required("num_experts_per_tok")?;
    if per_token > count {
        return Err(config.error("num_experts_per_tok", format!("is {per_token} of only {count} experts")));
    }
    Ok(Some(ExpertCounts {
        count,
        per_token,
        intermediate: config.positive("moe_intermediate_size")?.unwrap_or(intermediate),
        shared_intermediate: match experts.shared {
            Some(_) => config.required("shared_expert_intermediate_size")?,
            None => 0,
        },
        normalize: experts.always_normalize || config.flag("norm_topk_prob")?,
    }))
}

fn layers(config: &Config, family: &Family, head_dim: usize, count: usize) -> Result<Vec<Layer>, Error> {
    let scale = match family.attention.scale {
        AttentionScale::InverseSqrtHeadDim => (head_dim as f64).sqrt().recip(),
        AttentionScale::InverseSqrtQueryScalar => {
            config.required_number("query_pre_attn_scalar")?.sqrt().recip()
        }
        AttentionScale::AttentionMultiplier => config.required_number("attention_multiplier")?,
        AttentionScale::One => 1.0,
    };
    let rotates = rotating(config, family, count)?;
    let windows = windows(config, family, &rotates)?;
    let mixtures = mixtures(config, family, count)?;
    Ok((0..count)
        .map(|index| Layer {
            window: windows[index],
            rotates: rotates[index],
            mixture: mixtures[index],
            scale: if family.attention.scale_by_layer { scale / (index + 1) as f64 } else { scale },
        })
        .collect())
}

/// Which blocks turn their queries and keys.
fn rotating(config: &Config, family: &Family, count: usize) -> Result<Vec<bool>, Error> {
    if family.attention.positions != PositionKind::Rotary {
        return Ok(vec![false; count]);
    }
    if !family.rotary.some_layers {
        return Ok(vec![true; count]);
    }
    match config.list("no_rope_layers")? {
        Some(list) if list.len() == count => {
            Ok(list.iter().map(|rotates| rotates.as_u64() != Some(0)).collect())
        }
        Some(list) => {
            Err(config.error("no_rope_layers", format!("has {} entries for {count} blocks", list.len())))
        }
        None => {
            let interval = config.required("no_rope_layer_interval")?;
            Ok((0..count).map(|index| !(index + 1).is_multiple_of(interval)).collect())
        }
    }
}

/// The window of each block.
fn windows(config: &Config, family: &Family, rotates: &[bool]) -> Result<Vec<Option<usize>>, Error> {
    let count = rotates.len();
    let rule = family.attention.window;
    if rule == WindowRule::Never {
        return Ok(vec![None; count]);
    }
    let has_switch = matches!(
        rule,
        WindowRule::FromMaxWindowLayers
            | WindowRule::EvenBeforeMaxWindowLayers
            | WindowRule::IfUsed
            | WindowRule::IfUsedWithoutRotation
    );
    if has_switch && !config.flag("use_sliding_window")? {
        return Ok(vec![None; count]);
    }
    let Some(window) = config.positive("sliding_window")? else {
        return Ok(vec![None; count]);
    };
    let chosen: Vec<bool> = match (rule, config.list("layer_types")?) {
        (WindowRule::AttentionTypes, _) => local_attention(config, count)?,
        (WindowRule::All | WindowRule::Never, _) | (WindowRule::IfUsed, None) => vec![true; count],
        (_, Some(types)) => {
            if types.len() != count {
                let problem = format!("has {} entries for {count} blocks", types.len());
                return Err(config.error("layer_types", problem));
            }
            types
                .iter()
                .map(|kind| match kind.as_str() {
                    Some("sliding_attention") => Ok(true),
                    Some("full_attention") => Ok(false),
                    _ => Err(config.error(
                        "layer_types",
                        format!("has {}, which is not known", shown(&kind.to_string())),
                    )),
                })
                .collect::<Result<_, _>>()?
        }
        (WindowRule::FromMaxWindowLayers, None) => {
            let first = config.count("max_window_layers")?.unwrap_or(0);
            (0..count).map(|index| index >= first).collect()
        }
        (WindowRule::EvenBeforeMaxWindowLayers, None) => {
            let end = config.count("max_window_layers")?.unwrap_or(0);
            (0..count).map(|index| index % 2 == 0 && index < end).collect()
        }
        (WindowRule::IfUsedWithoutRotation, None) => rotates.iter().map(|rotates| !rotates).collect(),
        (WindowRule::Even, None) => (0..count).map(|index| index % 2 == 0).collect(),
        (WindowRule::Pattern, None) => {
            let pattern = config.required("sliding_window_pattern")?;
            (0..count).map(|index| !(index + 1).is_multiple_of(pattern)).collect()
        }
    };
    Ok(chosen.into_iter().map(|chosen| chosen.then_some(window)).collect())
}

/// GPT-Neo: `[[[kinds…], repeats], …]`, written out.
fn local_attention(config: &Config, count: usize) -> Result<Vec<bool>, Error> {
    let malformed =
        || config.error("attention_types", format!("does not give {count} blocks global or local"));
    let Some(types) = config.list("attention_types")? else {
        return Ok((0..count).map(|index| index % 2 == 1).collect());
    };
    let mut local = Vec::new();
    for item in &types {
        let kinds = item.get(0).and_then(Value::as_array).ok_or_else(malformed)?;
        let repeats = item.get(1).and_then(Value::as_u64).ok_or_else(malformed)?;
        if kinds.is_empty() {
            return Err(malformed());
        }
        for _ in 0..repeats.min(count as u64) {
            for kind in kinds {
                local.push(match kind.as_str() {
                    Some("local") => true,
                    Some("global") => false,
                    _ => return Err(malformed()),
                });
            }
            if local.len() > count {
                return Err(malformed());
            }
        }
    }
    if local.len() == count { Ok(local) } else { Err(malformed()) }
}

/// Which blocks have a mixture of experts.
fn mixtures(config: &Config, family: &Family, count: usize) -> Result<Vec<bool>, Error> {
    let Some(experts) = &family.experts else { return Ok(vec![false; count]) };
    if !experts.some_layers {
        return Ok(vec![true; count]);
    }
    let step = config.required("decoder_sparse_step")?;
    let plain = config.list("mlp_only_layers")?.unwrap_or_default();
    let plain: HashSet<u64> = plain.iter().filter_map(Value::as_u64).collect();
    Ok((0..count).map(|index| !plain.contains(&(index as u64)) && (index + 1).is_multiple_of(step)).collect())
}
