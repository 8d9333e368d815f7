//! Runs the example `list_tensors` on fixtures of each format and on bad input.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

mod support;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use assert_cmd::assert::OutputAssertExt;

fn list_tensors() -> Command {
    support::example("list_tensors")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn each_format_is_listed() {
    for case in
        ["safetensors_sharded", "several_4", "torch_zip_views", "torch_legacy_views", "torch_zip_unsupported"]
    {
        let ran = list_tensors().arg(format!("fixtures/formats/{case}")).assert().code(0);
        let output = ran.get_output();
        insta::assert_snapshot!(case, format!("{}\n{}", text(&output.stderr), text(&output.stdout)));
    }
}

#[test]
fn bad_input_is_one_message_with_a_hint() {
    for (case, path) in [
        ("missing_path", "fixtures/formats/no_such_model"),
        ("lfs_pointer", "fixtures/hostile/lfs_pointer_safetensors"),
        ("malformed_header", "fixtures/hostile/safetensors_not_json"),
    ] {
        let ran = list_tensors().arg(path).assert().code(2).stdout("");
        insta::assert_snapshot!(case, text(&ran.get_output().stderr));
    }
    for arguments in [&[][..], &["one", "two"]] {
        let ran = list_tensors().args(arguments).assert().code(2).stdout("");
        assert!(text(&ran.get_output().stderr).starts_with("usage: list_tensors PATH"));
    }
}

#[test]
fn names_reach_the_terminal_escaped() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("model.safetensors");
    let header = r#"{"\u001b[31mred":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
    std::fs::write(&path, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[7]].concat())
        .unwrap();
    list_tensors().arg(&path).assert().code(0).stdout("\\u{1b}[31mred  u8  [1]  model.safetensors\n");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let mut command = list_tensors();
    let mut child =
        command.arg("fixtures/pairs/neox/a").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
