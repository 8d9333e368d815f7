//! The rows of the parameter statistics. W is the matrix of model A, Wb that of model B, dW = Wb − W.
//!
//! The first columns of `per_matrix` and `per_layer` bear the names, and stand in the order, of the Python scripts that
//! these tools succeed.

use crate::column::table;

table! {
    /// One matrix of a linear layer, in both models. A value that is not defined is null: the stable rank of a zero
    /// matrix, a ratio to zero, a norm of a matrix with non-finite entries.
    pub struct MatrixRow = "per_matrix" {
        /// Parameter name; `name[3]` for the fourth expert of a fused tensor.
        name: String = "name",
        /// Index of the transformer block; null outside the blocks.
        layer: Option<u32> = "layer",
        /// attn, mlp or other.
        group: &'static str = "group",
        /// Rows, as stored.
        rows: u64 = "shape0",
        /// Columns, as stored.
        columns: u64 = "shape1",
        /// ‖dW‖ in the Frobenius norm.
        delta_frobenius: Option<f64> = "dW_fro",
        /// ‖dW‖²_F / σ₁(dW)², at least 1: the midpoint of its interval.
        delta_stable_rank: Option<f64> = "dW_stable_rank",
        /// Stable rank of W.
        a_stable_rank: Option<f64> = "W_stable_rank",
        /// qkv, proj, mlp_expand, mlp_contract, lm_head, embedding, norm or other.
        component: &'static str = "component",
        /// Stored element type in A.
        dtype_a: &'static str = "dtype_a",
        /// Stored element type in B.
        dtype_b: &'static str = "dtype_b",
        /// ‖W‖ in the Frobenius norm.
        a_frobenius: Option<f64> = "W_fro",
        /// ‖Wb‖ in the Frobenius norm.
        b_frobenius: Option<f64> = "Wb_fro",
        /// ‖dW‖_F / ‖W‖_F.
        delta_frobenius_relative: Option<f64> = "dW_fro_rel",
        /// σ₁(W), the spectral norm: the midpoint of its interval.
        a_spectral: Option<f64> = "W_spectral",
        /// σ₁(Wb).
        b_spectral: Option<f64> = "Wb_spectral",
        /// σ₁(dW).
        delta_spectral: Option<f64> = "dW_spectral",
        /// σ₁(dW) / σ₁(W).
        delta_spectral_relative: Option<f64> = "dW_spectral_rel",
        /// Stable rank of Wb.
        b_stable_rank: Option<f64> = "Wb_stable_rank",
        /// ⟨W, Wb⟩ / (‖W‖_F ‖Wb‖_F).
        cosine_similarity: Option<f64> = "cosine_sim",
        /// Mean of the entries of dW.
        delta_mean: Option<f64> = "dW_mean",
        /// Population standard deviation of the entries of dW.
        delta_std: Option<f64> = "dW_std",
        /// Mean of the absolute entries of dW.
        delta_abs_mean: Option<f64> = "dW_abs_mean",
        /// Largest absolute entry of dW.
        delta_abs_max: Option<f64> = "dW_abs_max",
        /// Share of the entries that differ, 0 to 1.
        changed_fraction: Option<f64> = "changed_fraction",
        /// Largest relative width of the intervals of the spectral norms, hi / lo − 1; null for estimates without one.
        sigma_tolerance: Option<f64> = "sigma_tolerance",
        /// Reads of the matrix pair's data.
        passes: u32 = "passes",
        /// Mean squared cosine of the principal angles between the spans of the leading right singular vectors of W and
        /// of Wb, 0 to 1; null if no singular values were asked for.
        top_overlap: Option<f64> = "top_k_overlap",
        /// Bound of its error.
        top_overlap_error: Option<f64> = "top_k_overlap_error",
    } with {
        /// Bounds and by-products for dW.
        delta: SpectrumColumns = "dW",
        /// The same for W.
        a: SpectrumColumns = "W",
        /// The same for Wb.
        b: SpectrumColumns = "Wb",
    }
}

table! {
    /// What is known of the singular values σ of one of the matrices dW, W and Wb. Null what was not asked for, and for
    /// a zero matrix what is not defined for it.
    #[derive(Default)]
    pub struct SpectrumColumns = "" {
        /// Lower bound of σ₁.
        spectral_lower: Option<f64> = "spectral_lo",
        /// Upper bound of σ₁.
        spectral_upper: Option<f64> = "spectral_hi",
        /// Lower bound of the stable rank.
        stable_rank_lower: Option<f64> = "stable_rank_lo",
        /// Upper bound of the stable rank.
        stable_rank_upper: Option<f64> = "stable_rank_hi",
        /// Why the interval is as wide as it is: certified (as narrow as asked for), dense (computed in f64), budget (no
        /// reads left) or round_off (f32 tells no more).
        stop: Option<&'static str> = "stop",
        /// (Σσ²)² / Σσ⁴.
        participation_ratio: Option<f64> = "participation_ratio",
        /// Two standard errors of it; 0 where all singular values are known.
        participation_ratio_error: Option<f64> = "participation_ratio_error",
        /// exp(−Σ p ln p) with p = σ² / Σσ².
        effective_rank: Option<f64> = "effective_rank",
        /// Two standard errors of it; 0 where all singular values are known.
        effective_rank_error: Option<f64> = "effective_rank_error",
        /// Lower bound of the share of the squared Frobenius norm in the leading singular values.
        top_energy_lower: Option<f64> = "top_k_energy_lo",
        /// Upper bound of it.
        top_energy_upper: Option<f64> = "top_k_energy_hi",
        /// Σσ; only from the full spectrum, as the next two.
        nuclear_norm: Option<f64> = "nuclear_norm",
        /// Fewest singular values with 99 % of the squared Frobenius norm.
        empirical_rank: Option<u64> = "empirical_rank",
        /// Index from 1 of the singular value farthest below the straight line from the first to the last.
        elbow_index: Option<u64> = "elbow_index",
    }
}

table! {
    /// One singular value, where some were asked for.
    pub struct SingularValueRow = "singular_values" {
        /// Parameter name.
        name: String = "name",
        /// dW, W or Wb.
        operator: &'static str = "operator",
        /// From 1, the largest.
        index: u64 = "index",
        /// The Ritz value, from below; or the value of a dense decomposition.
        value: f64 = "value",
        /// Lower bound of the singular value of this index.
        lower: f64 = "lower",
        /// Upper bound of it.
        upper: f64 = "upper",
    }
}

table! {
    /// The compared matrices of one group in one transformer block.
    pub struct LayerRow = "per_layer" {
        /// Index of the transformer block.
        layer: u32 = "layer",
        /// attn, mlp or other.
        group: &'static str = "group",
        /// √Σ‖dW‖²_F.
        delta_frobenius: f64 = "dW_fro_layer",
        /// Mean stable rank of the dW that are not zero; null if all are.
        delta_stable_rank_mean: Option<f64> = "mean_dW_stable_rank",
        /// Matrices compared.
        count: u64 = "count_mats",
        /// Matrices with at least one changed entry.
        count_changed: u64 = "count_changed",
        /// √Σ‖W‖²_F.
        a_frobenius: f64 = "W_fro_layer",
        /// dW_fro_layer / W_fro_layer.
        delta_frobenius_relative: Option<f64> = "dW_fro_layer_rel",
        /// Largest σ₁(dW).
        delta_spectral_max: Option<f64> = "max_dW_spectral",
        /// Largest σ₁(dW) / σ₁(W).
        delta_spectral_relative_max: Option<f64> = "max_dW_spectral_rel",
    }
}

macro_rules! component_row {
    ($($mean:ident $min:ident $max:ident $of:literal $mean_column:literal $min_column:literal $max_column:literal,)*) => {
        table! {
            /// All compared matrices of one component; mean, minimum and maximum are over the values that are defined.
            pub struct ComponentRow = "per_component" {
                /// qkv, proj, mlp_expand, mlp_contract, lm_head or other.
                component: &'static str = "component",
                /// Matrices compared.
                count: u64 = "count",
                $(
                    #[doc = concat!("Mean of ", $of, ".")]
                    $mean: Option<f64> = $mean_column,
                    #[doc = concat!("Minimum of ", $of, ".")]
                    $min: Option<f64> = $min_column,
                    #[doc = concat!("Maximum of ", $of, ".")]
                    $max: Option<f64> = $max_column,
                )*
            }
        }
    };
}

component_row! {
    delta_frobenius_mean delta_frobenius_min delta_frobenius_max
        "‖dW‖_F" "mean_dW_fro" "min_dW_fro" "max_dW_fro",
    delta_frobenius_relative_mean delta_frobenius_relative_min delta_frobenius_relative_max
        "‖dW‖_F / ‖W‖_F" "mean_dW_fro_rel" "min_dW_fro_rel" "max_dW_fro_rel",
    delta_stable_rank_mean delta_stable_rank_min delta_stable_rank_max
        "the stable rank of dW" "mean_dW_stable_rank" "min_dW_stable_rank" "max_dW_stable_rank",
    a_stable_rank_mean a_stable_rank_min a_stable_rank_max
        "the stable rank of W" "mean_W_stable_rank" "min_W_stable_rank" "max_W_stable_rank",
    delta_spectral_mean delta_spectral_min delta_spectral_max
        "σ₁(dW)" "mean_dW_spectral" "min_dW_spectral" "max_dW_spectral",
    delta_spectral_relative_mean delta_spectral_relative_min delta_spectral_relative_max
        "σ₁(dW) / σ₁(W)" "mean_dW_spectral_rel" "min_dW_spectral_rel" "max_dW_spectral_rel",
    cosine_similarity_mean cosine_similarity_min cosine_similarity_max
        "the cosine similarity" "mean_cosine_sim" "min_cosine_sim" "max_cosine_sim",
    changed_fraction_mean changed_fraction_min changed_fraction_max
        "the share of changed entries" "mean_changed_fraction" "min_changed_fraction" "max_changed_fraction",
}

table! {
    /// What became of one name across the two checkpoints. Every name of either side has a row.
    pub struct LedgerRow = "ledger" {
        /// Parameter name.
        name: String = "name",
        /// compared, only_in_a, only_in_b, shapes_differ, not_linear, unsupported_dtype or non_finite.
        status: &'static str = "status",
        /// Why, in words; null for compared ones.
        reason: Option<String> = "reason",
        /// True if the selection asked for it: with another status than compared, it is a gap in the result.
        selected: bool = "selected",
        /// Index of the transformer block.
        layer: Option<u32> = "layer",
        /// attn, mlp or other.
        group: &'static str = "group",
        /// qkv, proj, mlp_expand, mlp_contract, lm_head, embedding, norm or other.
        component: &'static str = "component",
        /// Element type in A; null if absent or unreadable.
        dtype_a: Option<&'static str> = "dtype_a",
        /// Element type in B.
        dtype_b: Option<&'static str> = "dtype_b",
        /// Shape in A, as `[rows, columns]`.
        shape_a: Option<String> = "shape_a",
        /// Shape in B.
        shape_b: Option<String> = "shape_b",
        /// NaN entries in A; null if not read.
        nan_a: Option<u64> = "nan_a",
        /// Infinite entries in A.
        inf_a: Option<u64> = "inf_a",
        /// NaN entries in B.
        nan_b: Option<u64> = "nan_b",
        /// Infinite entries in B.
        inf_b: Option<u64> = "inf_b",
        /// File in A.
        file_a: Option<String> = "file_a",
        /// File in B.
        file_b: Option<String> = "file_b",
    }
}
