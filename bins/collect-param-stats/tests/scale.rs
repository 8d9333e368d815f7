//! The real binary on inputs of sizes that exhaust memory, descriptors or patience where something grows with them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails
#![cfg(target_os = "linux")]

#[path = "../../cli/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Command, Output};

/// The tool under a limit of the shell, comparing a model with itself.
fn limited(limit: &str, model: &Path, outdir: &Path) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit {limit}; exec \"$@\""), "sh"]);
    shell.arg(assert_cmd::cargo::cargo_bin!("collect-param-stats")).args([
        "--threads",
        "2",
        "--format",
        "csv",
    ]);
    shell.arg("--model-a").arg(model).arg("--model-b").arg(model).arg("--outdir").arg(outdir);
    shell.output().unwrap()
}

/// Rows of the only `per_matrix` below a folder.
fn rows(outdir: &Path) -> usize {
    let folder = std::fs::read_dir(outdir).unwrap().next().unwrap().unwrap().path();
    std::fs::read_to_string(folder.join("per_matrix.csv")).unwrap().lines().count() - 1
}

fn name(index: usize) -> String {
    format!("layers.{index}.mlp.up_proj.weight")
}

/// 384 MiB of address space, and files of 2.6 GB with a matrix of 1.6 GB in each.
#[test]
fn models_and_matrices_larger_than_memory() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.safetensors");
    let mut tensors = vec![(name(0), vec![100_000, 4096])];
    tensors.extend((1..16).map(|index| (name(index), vec![4096, 4096])));
    support::sparse_model(&model, &tensors);
    let outdir = folder.path().join("results");
    let output = limited(&format!("-v {}", 384 << 10), &model, &outdir);
    assert_eq!(output.status.code(), Some(0), "{}", support::stderr(&output));
    assert_eq!(rows(&outdir), 16);
}

#[test]
fn a_hundred_thousand_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.safetensors");
    let tensors: Vec<_> = (0..100_000).map(|index| (name(index), vec![2, 3])).collect();
    support::sparse_model(&model, &tensors);
    let outdir = folder.path().join("results");
    let output = limited("-n 64", &model, &outdir);
    assert_eq!(output.status.code(), Some(0), "{}", support::stderr(&output));
    assert_eq!(rows(&outdir), 100_000);
}

#[test]
fn ten_thousand_shards_and_few_descriptors() {
    let folder = tempfile::tempdir().unwrap();
    let shard = |index: usize| format!("model-{index:05}-of-10000.safetensors");
    for index in 0..10_000 {
        support::sparse_model(&folder.path().join(shard(index)), &[(name(index), vec![2, 3])]);
    }
    let entries: Vec<String> =
        (0..10_000).map(|index| format!(r#""{}":"{}""#, name(index), shard(index))).collect();
    let index = format!(r#"{{"weight_map":{{{}}}}}"#, entries.join(","));
    std::fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
    let outdir = tempfile::tempdir().unwrap();
    let output = limited("-n 64", folder.path(), outdir.path());
    assert_eq!(output.status.code(), Some(0), "{}", support::stderr(&output));
    assert_eq!(rows(outdir.path()), 10_000);
}
