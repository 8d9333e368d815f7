//! Where a run's numbers come from: what its Parquet files say about themselves.

use std::time::UNIX_EPOCH;

use report::Provenance;
use serde_json::json;
use spectral::Method;
use weights_io::{Selection, Source, Version};

use crate::setup::OpenModel;
use crate::{ActivationNorms, ActivationNormsOptions, ParamStatsOptions, Split, devices};

/// What every key begins with.
pub(crate) const PREFIX: &str = "model_diffs.";

pub(crate) fn of_param_stats(options: &ParamStatsOptions, models: &[OpenModel], engine: &str) -> Provenance {
    let mut provenance = of_task("param_stats", &options.arguments, models);
    let mut add = |key: &str, value: String| provenance.add(format!("{PREFIX}{key}"), value);
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
    // On CPUs numbers differ in their last digits at most.
    if !devices::is_cpu(engine) {
        add("engine", engine.to_owned());
    }
    provenance
}

pub(crate) fn of_activation_norms(
    options: &ActivationNormsOptions,
    models: &[OpenModel],
    found: &ActivationNorms,
) -> Provenance {
    let mut provenance = of_task("activation_norms", &options.arguments, models);
    let mut add = |key: &str, value: String| provenance.add(format!("{PREFIX}{key}"), value);
    let splits = options.splits.iter().map(|Split { name, path }| json!([name, path.to_string_lossy()]));
    add("splits", json!(splits.collect::<Vec<_>>()).to_string());
    add("max_samples", options.max_samples.to_string());
    add("max_length", options.max_length.to_string());
    add("batch_size", options.batch_size.map_or_else(|| "auto".to_owned(), |size| size.to_string()));
    add("memory_budget", found.memory_budget.to_string());
    add("device", found.device.to_string());
    add("dtype", found.dtype.to_string());
    add("seed", options.seed.to_string());
    provenance
}

/// What every task says: what ran, with which arguments, on which files.
fn of_task(task: &str, arguments: &[String], models: &[OpenModel]) -> Provenance {
    let mut provenance = Provenance::default();
    let mut add = |key: &str, value: String| provenance.add(format!("{PREFIX}{key}"), value);
    add("version", env!("CARGO_PKG_VERSION").into());
    add("task", task.into());
    add("arguments", json!(arguments).to_string());
    for OpenModel { side, reference, commit, checkpoint } in models {
        let model = format!("model_{side}").to_lowercase();
        add(&model, reference.to_text());
        if let Some(commit) = commit {
            add(&format!("{model}_commit"), commit.clone());
        }
        add(&format!("{model}_took"), checkpoint.took().to_string_lossy().into_owned());
        let shards: Vec<_> = checkpoint.shards().iter().map(|file| shard(&**file)).collect();
        add(&format!("{model}_shards"), json!(shards).to_string());
    }
    provenance
}

/// Path, size and version of a weight file.
fn shard(file: &dyn Source) -> serde_json::Value {
    let (key, version) = match file.version() {
        Version::Etag(tag) => ("etag", Some(json!(tag))),
        Version::Modified(time) => {
            let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            ("modified_unix_seconds", since.map(|since| json!(since.as_secs_f64())))
        }
        _ => ("version", None),
    };
    json!({ "path": file.path().to_string_lossy(), "bytes": file.len(), key: version })
}
