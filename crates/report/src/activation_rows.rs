//! The rows of the activation norms. ‖h‖₂ and ‖h‖₁ are the norms of one token's hidden state; means are over tokens,
//! Σ over tokens / number of tokens, so that a long sample weighs more than a short one.
//!
//! `_lo` and `_hi` are the ends of a 95 % interval of the mean, by [`Bootstrap`](crate::Bootstrap) over samples. Tokens
//! with a norm that is not finite are in `non_finite_tokens` and nowhere else. A value that is not defined is null. The
//! first columns of `activation_norms` and `activation_diffs` bear the names, and stand in the order, of the Python
//! scripts that these tools succeed.

use crate::Site;
use crate::column::table;

table! {
    /// One layer of one model on one split.
    pub struct ActivationNormRow = "activation_norms" {
        /// The model.
        model: String = "model",
        /// Name of the text, such as forget or retain.
        split: String = "split",
        /// Index as transformers counts hidden states: 0 for the embeddings, i for the output of block i − 1.
        layer: u32 = "layer",
        /// Mean ‖h‖₂.
        norm_mean: Option<f64> = "mean_norm",
        /// embed, resid_post, final_norm or pre_norm.
        site: Site = "site",
        /// Mean ‖h‖₁.
        norm_l1_mean: Option<f64> = "mean_norm_l1",
        /// Population standard deviation of ‖h‖₂ over tokens. From sums of squares: below a millionth of
        /// the mean it is rounding.
        norm_std: Option<f64> = "std_norm",
        /// Smallest ‖h‖₂.
        norm_min: Option<f64> = "min_norm",
        /// Largest ‖h‖₂.
        norm_max: Option<f64> = "max_norm",
        /// Tokens with finite norms.
        tokens: u64 = "tokens",
        /// Samples with at least one of these tokens.
        samples: u64 = "samples",
        /// Lower end of the interval of the mean ‖h‖₂.
        norm_mean_lower: Option<f64> = "mean_norm_lo",
        /// Upper end of it.
        norm_mean_upper: Option<f64> = "mean_norm_hi",
        /// Lower end of the interval of the mean ‖h‖₁.
        norm_l1_mean_lower: Option<f64> = "mean_norm_l1_lo",
        /// Upper end of it.
        norm_l1_mean_upper: Option<f64> = "mean_norm_l1_hi",
        /// Tokens with a norm that is not finite.
        non_finite_tokens: u64 = "non_finite_tokens",
    }
}

table! {
    /// One layer of models A and B on one split, compared token by token.
    pub struct ActivationDifferenceRow = "activation_diffs" {
        /// Index as transformers counts hidden states: 0 for the embeddings, i for the output of block i − 1.
        layer: u32 = "layer",
        /// Name of the text, such as forget or retain.
        split: String = "split",
        /// Mean ‖h_a‖₁.
        a_l1_mean: Option<f64> = "model_a_l1_norm",
        /// Mean ‖h_a‖₂.
        a_l2_mean: Option<f64> = "model_a_l2_norm",
        /// Mean ‖h_b‖₁.
        b_l1_mean: Option<f64> = "model_b_l1_norm",
        /// Mean ‖h_b‖₂.
        b_l2_mean: Option<f64> = "model_b_l2_norm",
        /// Mean ‖h_b − h_a‖₁.
        difference_l1_mean: Option<f64> = "mean_diff_l1",
        /// Mean ‖h_b − h_a‖₂.
        difference_l2_mean: Option<f64> = "mean_diff_l2",
        /// Mean ⟨h_a, h_b⟩ / (‖h_a‖₂ ‖h_b‖₂), over the tokens at which neither is zero.
        cosine_mean: Option<f64> = "mean_cosine",
        /// Mean ‖h_b − h_a‖₂ / ‖h_a‖₂, over the tokens at which h_a is not zero.
        relative_difference_mean: Option<f64> = "relative_diff",
        /// Tokens with finite norms.
        tokens: u64 = "tokens",
        /// embed, resid_post, final_norm or pre_norm.
        site: Site = "site",
        /// Samples with at least one of these tokens.
        samples: u64 = "samples",
        /// Lower end of the interval of the mean ‖h_a‖₁.
        a_l1_mean_lower: Option<f64> = "model_a_l1_norm_lo",
        /// Upper end of it.
        a_l1_mean_upper: Option<f64> = "model_a_l1_norm_hi",
        /// Lower end of the interval of the mean ‖h_a‖₂.
        a_l2_mean_lower: Option<f64> = "model_a_l2_norm_lo",
        /// Upper end of it.
        a_l2_mean_upper: Option<f64> = "model_a_l2_norm_hi",
        /// Lower end of the interval of the mean ‖h_b‖₁.
        b_l1_mean_lower: Option<f64> = "model_b_l1_norm_lo",
        /// Upper end of it.
        b_l1_mean_upper: Option<f64> = "model_b_l1_norm_hi",
        /// Lower end of the interval of the mean ‖h_b‖₂.
        b_l2_mean_lower: Option<f64> = "model_b_l2_norm_lo",
        /// Upper end of it.
        b_l2_mean_upper: Option<f64> = "model_b_l2_norm_hi",
        /// Lower end of the interval of the mean ‖h_b − h_a‖₁.
        difference_l1_mean_lower: Option<f64> = "mean_diff_l1_lo",
        /// Upper end of it.
        difference_l1_mean_upper: Option<f64> = "mean_diff_l1_hi",
        /// Lower end of the interval of the mean ‖h_b − h_a‖₂.
        difference_l2_mean_lower: Option<f64> = "mean_diff_l2_lo",
        /// Upper end of it.
        difference_l2_mean_upper: Option<f64> = "mean_diff_l2_hi",
        /// Lower end of the interval of the mean cosine.
        cosine_mean_lower: Option<f64> = "mean_cosine_lo",
        /// Upper end of it.
        cosine_mean_upper: Option<f64> = "mean_cosine_hi",
        /// Lower end of the interval of the mean ‖h_b − h_a‖₂ / ‖h_a‖₂.
        relative_difference_mean_lower: Option<f64> = "relative_diff_lo",
        /// Upper end of it.
        relative_difference_mean_upper: Option<f64> = "relative_diff_hi",
        /// Tokens at which a norm of h_a, h_b or h_b − h_a is not finite.
        non_finite_tokens: u64 = "non_finite_tokens",
        /// Model A.
        model_a: String = "model_a",
        /// Model B.
        model_b: String = "model_b",
    }
}

table! {
    /// All layers of one model on one split, `pre_norm` left out. Null the means if one layer has no finite token.
    pub struct ActivationSummaryRow = "activation_summary" {
        /// The model.
        model: String = "model",
        /// Name of the text, such as forget or retain.
        split: String = "split",
        /// Mean over the layers of the mean ‖h‖₂; each layer weighs the same. The Python scripts' ALL_MEAN.
        norm_mean: Option<f64> = "mean_norm",
        /// Lower end of its interval: of this mean over layers, resampled as a whole.
        norm_mean_lower: Option<f64> = "mean_norm_lo",
        /// Upper end of it.
        norm_mean_upper: Option<f64> = "mean_norm_hi",
        /// Mean over the layers of the mean ‖h‖₁.
        norm_l1_mean: Option<f64> = "mean_norm_l1",
        /// Lower end of its interval.
        norm_l1_mean_lower: Option<f64> = "mean_norm_l1_lo",
        /// Upper end of it.
        norm_l1_mean_upper: Option<f64> = "mean_norm_l1_hi",
        /// Layers, the embeddings among them.
        layers: u64 = "layers",
        /// Tokens with finite norms, at the layer with the fewest.
        tokens: u64 = "tokens",
        /// Samples with at least one token of finite norms, at the layer with the fewest.
        samples: u64 = "samples",
        /// Tokens with a norm that is not finite, at the layer with the most.
        non_finite_tokens: u64 = "non_finite_tokens",
    }
}

table! {
    /// One sample at one layer of one model.
    pub struct SampleNormRow = "per_sample" {
        /// The model.
        model: String = "model",
        /// Name of the text, such as forget or retain.
        split: String = "split",
        /// Index of the sample in its split, from 0.
        sample: u64 = "sample",
        /// Index as transformers counts hidden states: 0 for the embeddings, i for the output of block i − 1.
        layer: u32 = "layer",
        /// embed, resid_post, final_norm or pre_norm.
        site: Site = "site",
        /// Mean ‖h‖₂ over the sample's tokens.
        norm_mean: Option<f64> = "mean_norm",
        /// Mean ‖h‖₁ over the sample's tokens.
        norm_l1_mean: Option<f64> = "mean_norm_l1",
        /// Tokens with finite norms.
        tokens: u64 = "tokens",
        /// Tokens with a norm that is not finite.
        non_finite_tokens: u64 = "non_finite_tokens",
    }
}
