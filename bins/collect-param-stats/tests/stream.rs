//! The real binary with models of the Hub, streamed: nothing is stored, and no more is fetched than is compared.
#![cfg(feature = "network")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../cli/tests/support/online.rs"]
mod online;
#[path = "../../cli/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::Command;

use loopback_hub::{Content, Fault};

use online::{Online, assert_same_tables, csv_files, fixture};
use support::{fixtures, stderr};

/// Bytes of requests that a tool may read to no purpose for each file: heads read in one go, gaps read through.
const SLACK: u64 = 256 << 10;

fn binary() -> &'static Path {
    static BINARY: std::sync::LazyLock<std::path::PathBuf> =
        std::sync::LazyLock::new(|| assert_cmd::cargo::cargo_bin!("collect-param-stats").to_path_buf());
    &BINARY
}

/// Compares two models in CSV alone.
fn compare(online: &Online, model_a: &str, model_b: &str, outdir: &Path) -> Command {
    let mut command = online.command(binary());
    command.args(["--model-a", model_a, "--model-b", model_b, "--format", "csv", "--outdir"]).arg(outdir);
    command
}

/// Puts the two models of a fixture on the Hub.
fn put(online: &Online, a: &str, b: &str) -> u64 {
    let models = [("org/a", fixture(a)), ("org/b", fixture(b))];
    let size = models.iter().flat_map(|(_, files)| files).map(|(_, bytes)| bytes.len() as u64).sum();
    for (id, files) in models {
        online.hub.add_model(id, files);
    }
    size
}

/// Streams a pair of fixtures; its tables have to be those of the files on disk. Returns what was said.
fn assert_streamed_as_local(online: &Online, a: &str, b: &str) -> String {
    let [local, streamed] = ["local", "streamed"].map(|name| online.outdir(name));
    let paths = [a, b].map(|model| fixtures().join(model).to_str().unwrap().to_owned());
    let expected = compare(online, &paths[0], &paths[1], &local).output().unwrap();
    assert!(expected.status.code().is_some_and(|code| code < 2), "{}", stderr(&expected));
    let output = compare(online, "org/a", "org/b", &streamed).arg("--stream").output().unwrap();
    assert_eq!(output.status.code(), expected.status.code(), "{}", stderr(&output));
    assert_same_tables(&csv_files(&streamed), &csv_files(&local));
    assert!(online.cached().is_empty(), "{:?}", online.cached());
    online.redacted(&output)
}

#[test]
fn every_format_is_streamed_and_nothing_stored() {
    for (a, b) in [
        ("pairs/neox/a", "pairs/neox/b"),
        ("pairs/mixed/a", "pairs/mixed/b"), // one safetensors file, several of PyTorch
        ("pairs/transposed/a", "pairs/transposed/b"),
        ("pairs/ledger/a", "pairs/ledger/b"),
        ("pairs/dtypes/a", "pairs/dtypes/b"),
        ("formats/safetensors_sharded", "formats/safetensors_single"),
        ("formats/torch_legacy_dtypes", "formats/torch_zip_deflated"),
    ] {
        let online = Online::new();
        let size = put(&online, a, b);
        assert_streamed_as_local(&online, a, b);
        // Read once: files this small may be read whole, but not twice.
        assert!(online.hub.sent() <= size, "{a}: {} of {size} bytes", online.hub.sent());
    }
}

#[test]
fn it_says_what_it_does() {
    let online = Online::new();
    put(&online, "pairs/neox/a", "pairs/neox/b");
    insta::assert_snapshot!(assert_streamed_as_local(&online, "pairs/neox/a", "pairs/neox/b"));
}

#[test]
fn errors_that_pass_are_waited_for() {
    for (a, b) in [("pairs/neox/a", "pairs/neox/b"), ("pairs/mixed/a", "pairs/mixed/b")] {
        let online = Online::new();
        put(&online, a, b);
        online.hub.fail("/api/models/", Fault::RetryAfter(502, 0), 1);
        online.hub.fail("/resolve/", Fault::RetryAfter(429, 1), 1);
        online.hub.fail("/resolve-cache/", Fault::Drop { after: 10 }, 1);
        online.hub.fail("/cdn/", Fault::RetryAfter(429, 0), 1);
        online.hub.fail("/cdn/", Fault::RetryAfter(503, 0), 1);
        online.hub.fail("/cdn/", Fault::Drop { after: 1000 }, 2);
        online.hub.fail("/cdn/", Fault::Expire, 1);
        online.hub.fail("/cdn/", Fault::WrongLength, 1);
        assert_streamed_as_local(&online, a, b);
    }
}

#[test]
fn errors_that_stay_end_the_run() {
    for (case, fault) in [("status", Fault::RetryAfter(500, 0)), ("ranges", Fault::IgnoreRange)] {
        let online = Online::new();
        put_vast(&online);
        online.hub.fail("/cdn/", fault, usize::MAX);
        let outdir = online.outdir("results");
        let output = compare(&online, "org/a", "org/b", &outdir).arg("--stream").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        insta::assert_snapshot!(format!("error_{case}"), online.redacted(&output));
        assert!(!outdir.exists(), "{case}: nothing is written");
    }
}

/// A safetensors file: a linear layer of half a megabyte, and then a terabyte of embeddings.
fn vast(scale: f32) -> Content {
    const SIDE: usize = 512;
    let layer = SIDE * SIDE * 2;
    let rows = 1 << 30;
    let end = layer + rows * SIDE * 2;
    let header = format!(
        r#"{{"model.layers.0.mlp.up_proj.weight":{{"dtype":"BF16","shape":[{SIDE},{SIDE}],"data_offsets":[0,{layer}]}},
        "model.embed_tokens.weight":{{"dtype":"BF16","shape":[{rows},{SIDE}],"data_offsets":[{layer},{end}]}}}}"#
    );
    let mut head = (header.len() as u64).to_le_bytes().to_vec();
    head.extend(header.as_bytes());
    for index in 0..SIDE * SIDE {
        let entry = scale * ((index % 1013) as f32 - 506.0);
        head.extend(&entry.to_bits().to_le_bytes()[2..]);
    }
    let length = 8 + header.len() + end;
    Content::with_zeros(head, length)
}

fn put_vast(online: &Online) {
    for (id, scale) in [("org/a", 1.0), ("org/b", 1.25)] {
        online.hub.add_model(id, [("model.safetensors".to_owned(), vast(scale))]);
    }
}

#[test]
fn a_model_larger_than_the_disk_is_compared_by_what_is_needed_of_it() {
    let online = Online::new();
    put_vast(&online);
    let outdir = online.outdir("results");
    let output = compare(&online, "org/a", "org/b", &outdir).arg("--stream").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let matrices = &csv_files(&outdir).into_iter().find(|(name, _)| name == "per_matrix.csv").unwrap().1;
    assert_eq!(matrices.lines().count(), 2, "{matrices}");
    let bound = 2 * (512 * 512 * 2 + SLACK);
    assert!(online.hub.sent() <= bound, "{} of {bound} bytes", online.hub.sent());
    assert!(online.cached().is_empty());
}

#[test]
fn a_streamed_model_that_is_in_the_cache_is_taken_from_there() {
    let online = Online::new();
    put(&online, "pairs/neox/a", "pairs/neox/b");
    let run = |arguments: &[&str], outdir: &str| {
        let outdir = online.outdir(outdir);
        let output = compare(&online, "org/a", "org/b", &outdir).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        csv_files(&outdir)
    };
    let downloaded = run(&[], "downloaded");
    online.hub.forget_requests();
    assert_same_tables(&run(&["--stream"], "streamed"), &downloaded);
    assert_eq!(online.hub.sent(), 0);
}
