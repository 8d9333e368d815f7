//! The words that stand in tables, by column: what is read back is one of them.

const GROUPS: &[&str] = &["attn", "mlp", "other"];
const COMPONENTS: &[&str] =
    &["qkv", "proj", "mlp_expand", "mlp_contract", "lm_head", "embedding", "norm", "other"];
const DTYPES: &[&str] =
    &["f64", "f32", "f16", "bf16", "f8_e4m3", "f8_e5m2", "i64", "i32", "i16", "i8", "u8", "bool"];
const STATUSES: &[&str] =
    &["compared", "only_in_a", "only_in_b", "shapes_differ", "not_linear", "unsupported_dtype", "non_finite"];
const OPERATORS: &[&str] = &["dW", "W", "Wb"];
const STOPS: &[&str] = &["certified", "dense", "budget", "round_off"];

/// The word of a column that reads like this, if it is one.
pub(crate) fn word(column: &str, text: &str) -> Option<&'static str> {
    let words = match column {
        "group" => GROUPS,
        "component" => COMPONENTS,
        "dtype_a" | "dtype_b" => DTYPES,
        "status" => STATUSES,
        "operator" => OPERATORS,
        "stop" => STOPS,
        _ => &[],
    };
    words.iter().find(|word| **word == text).copied()
}
