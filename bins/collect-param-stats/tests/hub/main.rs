//! The real binary with models of the Hub, which is a server in the test.
#![cfg(feature = "network")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

mod downloads;
mod faults;
mod object_stores;
#[path = "../../../cli/tests/support/online.rs"]
mod online;
mod refusals;
mod streams;
#[path = "../../../cli/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::Command;

use loopback_hub::Kind;

use online::{Files, Online, csv_files, fixture, with};
use support::{fixtures, stderr};

/// Compares two models in CSV alone.
fn compare(online: &Online, model_a: &str, model_b: &str, outdir: &Path) -> Command {
    let mut command = online.command(assert_cmd::cargo::cargo_bin!("collect-param-stats"));
    command.args(["--model-a", model_a, "--model-b", model_b, "--format", "csv", "--outdir"]).arg(outdir);
    command
}

/// The tables of two fixtures on disk, which those of the same models on the Hub have to equal.
fn tables_on_disk(online: &Online, a: &str, b: &str) -> (Option<i32>, Vec<(String, String)>) {
    let [a, b] = [a, b].map(|model| fixtures().join(model).to_str().unwrap().to_owned());
    let output = compare(online, &a, &b, &online.outdir("local")).output().unwrap();
    assert!(output.status.code().is_some_and(|code| code < 2), "{}", stderr(&output));
    (output.status.code(), csv_files(&online.outdir("local")))
}

fn tables_of_pair(online: &Online) -> Vec<(String, String)> {
    tables_on_disk(online, "pairs/neox/a", "pairs/neox/b").1
}

/// The pair of the other tests on the Hub, the second at a branch, with more than is needed of the first. Returns the
/// files of both that are needed.
fn pair() -> (Online, [Files; 2]) {
    let online = Online::new();
    let [a, b] = [fixture("pairs/neox/a"), fixture("pairs/neox/b")];
    let more: [(&str, &[u8]); 6] = [
        (".gitattributes", b"*.safetensors filter=lfs"),
        ("README.md", b"# A model"),
        ("pytorch_model.bin", b"the same weights in another format"),
        ("tf_model.h5", b"and another"),
        ("tokenizer.json", b"{}"),
        ("original/consolidated.safetensors", b"of another program"),
    ];
    online.hub.add_model("org/base", with(a.clone(), &more));
    online.hub.add_revision(Kind::Model, "org/tuned", "main", with(a.clone(), &[("README.md", b"untuned")]));
    online.hub.add_revision(Kind::Model, "org/tuned", "step-2", b.clone());
    (online, [a, b])
}

fn compare_pair(online: &Online, outdir: &str) -> Command {
    compare(online, "org/base", "org/tuned@step-2", &online.outdir(outdir))
}
