//! Where a run's numbers come from: what its Parquet files say about themselves.

use std::time::UNIX_EPOCH;

use report::Provenance;
use serde_json::json;
use spectral::Method;
use weights_io::{Checkpoint, MappedFile, Selection};

use crate::param_stats::ParamStatsOptions;

pub(crate) fn of_param_stats(options: &ParamStatsOptions, a: &Checkpoint, b: &Checkpoint) -> Provenance {
    let mut provenance = Provenance::default();
    let mut add = |key: &str, value: String| provenance.add(format!("model_diffs.{key}"), value);
    add("version", env!("CARGO_PKG_VERSION").into());
    add("task", "param_stats".into());
    add("arguments", json!(options.arguments).to_string());
    for (side, checkpoint) in [("a", a), ("b", b)] {
        add(&format!("model_{side}"), checkpoint.path().to_string_lossy().into_owned());
        add(&format!("model_{side}_took"), checkpoint.took().to_string_lossy().into_owned());
        let shards: Vec<_> = checkpoint.shards().iter().map(shard).collect();
        add(&format!("model_{side}_shards"), json!(shards).to_string());
    }
    let selection = match options.selection {
        Selection::Linear => "linear",
        Selection::AllMatrices => "all",
    };
    add("include", selection.into());
    match options.numerics.method {
        Method::Certified(certification) => {
            add("tolerance", format!("{:e}", certification.tolerance));
            add("failure_probability", format!("{:e}", certification.failure_probability));
            add("max_passes", certification.max_passes.to_string());
        }
        Method::PowerIteration { iterations } => add("sr_iters", iterations.to_string()),
    }
    let spectral::Operators { a, b, delta } = options.numerics.operators;
    let operators = [(delta, "delta"), (a, "a"), (b, "b")];
    let operators: Vec<&str> =
        operators.iter().filter(|(wanted, _)| *wanted).map(|(_, name)| *name).collect();
    add("operators", operators.join(","));
    add("top_k", options.numerics.top_k.to_string());
    add("full_spectrum", options.numerics.full_spectrum.to_string());
    add("seed", options.numerics.seed.to_string());
    provenance
}

/// Path, size and time of last change of a weight file.
fn shard(file: &MappedFile) -> serde_json::Value {
    let modified = file.modified().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    json!({
        "path": file.path().to_string_lossy(),
        "bytes": file.len(),
        "modified_unix_seconds": modified.map(|time| time.as_secs_f64()),
    })
}
