//! What a model calls its tensors does nothing to a terminal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../cli/tests/support/mod.rs"]
mod support;

use std::process::Command;

use support::stderr;

#[test]
fn names_reach_the_terminal_as_text() {
    let folder = tempfile::tempdir().unwrap();
    let hostile = "model.layers.0.\u{1b}[2J\u{1b}]0;owned\u{7}\r\n\u{202e}\u{9b}.weight";
    let long = format!("model.layers.1.{}.weight", "long".repeat(25_000));
    // One name is in both models, one differs in shape, one cannot be compared at all.
    for (model, shape, dtype) in [("a", [2, 2], "F32"), ("b", [4, 1], "F8_E4M3")] {
        let tensors = serde_json::json!({
            hostile: {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
            &long: {"dtype": "F32", "shape": [2, 2], "data_offsets": [16, 32]},
            format!("shape {hostile}"): {"dtype": "F32", "shape": shape, "data_offsets": [32, 48]},
            format!("{model} {hostile}"): {"dtype": "F32", "shape": [2, 2], "data_offsets": [48, 64]},
            format!("dtype {hostile}"): {"dtype": dtype, "shape": [if dtype == "F32" { 4 } else { 16 }], "data_offsets": [64, 80]},
        });
        let header = tensors.to_string();
        let data: Vec<u8> =
            (0..80).map(|byte| if model == "a" { byte % 64 } else { 63 - byte % 64 }).collect();
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
        std::fs::write(folder.path().join(format!("{model}.safetensors")), bytes).unwrap();
    }
    let [a, b, outdir] = ["a.safetensors", "b.safetensors", "out"].map(|name| folder.path().join(name));
    let output = Command::new(assert_cmd::cargo::cargo_bin!("collect-param-stats"))
        .args(["--include", "all", "--verbose", "--model-a"])
        .arg(a)
        .arg("--model-b")
        .arg(b)
        .arg("--outdir")
        .arg(outdir)
        .output()
        .unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "there are gaps: {said}");
    let dangerous =
        |character: char| (character.is_control() && character != '\n') || character == '\u{202e}';
    assert!(!said.contains(dangerous), "{said:?}");
    assert!(said.contains(r"\u{1b}[2J\u{1b}]0;owned\u{7}\r\n\u{202e}"), "{said}");
    assert!(said.lines().all(|line| line.len() < 6000), "a long name is cut");
}
