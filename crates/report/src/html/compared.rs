//! What was compared: models and texts, how much of them, with which settings.

use std::collections::BTreeSet;

use arrow::temporal_conversions::timestamp_s_to_datetime;
use serde_json::Value;

use super::{Activations, Comparison, HtmlReport};
use crate::Table;
use crate::escape::text;
use crate::findings_words::{count, list};

/// One block for each pair, and one for hidden states.
pub(crate) fn section(report: &HtmlReport, short: &dyn Fn(&str) -> String) -> String {
    let mut html: String = report.comparisons.iter().map(|pair| of_pair(pair, short)).collect();
    if let Some(activations) = &report.activations {
        html += &of_activations(activations);
    }
    html
}

fn of_pair(comparison: &Comparison, short: &dyn Fn(&str) -> String) -> String {
    let table = &comparison.per_matrix;
    let model = |path: &str, key: &str| {
        let files = shards(table, key).map(|files| format!("<br><span class=\"quiet\">{files}</span>"));
        format!("<code>{}</code>{}", text(path), files.unwrap_or_default())
    };
    let tensors = format!(
        "{} compared, of {} in the ledger",
        count(table.rows(), "matrix", "matrices"),
        count(comparison.ledger.rows(), "tensor", "tensors")
    );
    let mut rows = vec![
        ("A, the baseline", model(&comparison.a, "model_a")),
        ("B, the changed model", model(&comparison.b, "model_b")),
        ("Compared", tensors),
    ];
    rows.extend(settings(table));
    block(&comparison.heading(short), &rows)
}

fn of_activations(activations: &Activations) -> String {
    let norms = &activations.norms;
    let distinct = |column| -> BTreeSet<String> {
        norms.texts(column).into_iter().flatten().flatten().map(|name| text(&name)).collect()
    };
    let models = distinct("model").into_iter().map(|model| format!("<code>{model}</code>"));
    let splits = norms.texts("split").unwrap_or_default();
    let most = |column: &str, split: &str| {
        let values = norms.numbers(column)?;
        let of_split = splits.iter().zip(values).filter(|(of, _)| of.as_deref() == Some(split));
        of_split.filter_map(|(_, value)| value).reduce(f64::max)
    };
    let said = |split: &String| {
        let sizes = [("samples", most("samples", split)), ("tokens", most("tokens", split))];
        let sizes = sizes.iter().filter_map(|(what, number)| Some(format!("{} {what}", (*number)?)));
        let sizes: Vec<String> = sizes.collect();
        if sizes.is_empty() { text(split) } else { format!("{}: {}", text(split), sizes.join(", ")) }
    };
    let names: BTreeSet<String> = splits.iter().flatten().cloned().collect();
    let mut rows = vec![
        ("Models", models.collect::<Vec<_>>().join("<br>")),
        ("Texts", names.iter().map(said).collect::<Vec<_>>().join("<br>")),
    ];
    rows.extend(settings(norms));
    block("Hidden states", &rows)
}

fn block(heading: &str, rows: &[(&str, String)]) -> String {
    let row = |(key, value): &(&str, String)| format!("<dt>{key}</dt><dd>{value}</dd>");
    let rows: String = rows.iter().map(row).collect();
    format!("<article><h3>{}</h3><dl>{rows}</dl></article>\n", text(heading))
}

/// What a table's provenance says under a key of model-diffs.
fn entry<'a>(table: &'a Table, key: &str) -> Option<&'a str> {
    table.provenance().get(&format!("model_diffs.{key}"))
}

/// Number of files of a model, their size, and when the last of them changed.
fn shards(table: &Table, model: &str) -> Option<String> {
    let shards: Vec<Value> = serde_json::from_str(entry(table, &format!("{model}_shards"))?).ok()?;
    let number = |shard: &Value, key: &str| shard.get(key).and_then(Value::as_f64);
    let bytes: f64 = shards.iter().filter_map(|shard| number(shard, "bytes")).sum();
    let changed = shards.iter().filter_map(|shard| number(shard, "modified_unix_seconds")).reduce(f64::max);
    let mut parts = vec![count(shards.len(), "file", "files"), size(bytes)];
    if let Some(time) = changed.and_then(|seconds| timestamp_s_to_datetime(seconds as i64)) {
        parts.push(format!("last changed {} UTC", text(&time.to_string())));
    }
    Some(parts.join(", "))
}

fn size(bytes: f64) -> String {
    let units = [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let unit = units.iter().find(|(unit, _)| bytes >= *unit);
    unit.map_or_else(|| format!("{bytes} bytes"), |(unit, name)| format!("{:.2} {name}", bytes / unit))
}

/// Settings in short; all of them are under provenance.
fn settings(table: &Table) -> Option<(&'static str, String)> {
    const KEYS: [&str; 12] = [
        "include",
        "operators",
        "tolerance",
        "failure_probability",
        "sr_iters",
        "top_k",
        "max_samples",
        "max_length",
        "device",
        "dtype",
        "seed",
        "version",
    ];
    let setting = |key: &&str| Some(format!("{} {}", key.replace('_', " "), text(entry(table, key)?)));
    let settings: Vec<String> = KEYS.iter().filter_map(setting).collect();
    (!settings.is_empty()).then(|| ("Settings", list(&settings)))
}
