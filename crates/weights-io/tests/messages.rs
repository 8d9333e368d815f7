//! What the user reads when a checkpoint cannot be opened: message, causes and hint, kept as snapshots.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::error::Error as _;
use std::path::Path;

use weights_io::Checkpoint;

/// Paths are relative to this crate's folder, where cargo runs its tests, so that no snapshot names a machine.
fn message(path: impl AsRef<Path>) -> String {
    let error = Checkpoint::open(path).unwrap_err();
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |&cause| cause.source()) {
        text.push_str("\ncaused by: ");
        text.push_str(&cause.to_string());
    }
    format!("{text}\nhint: {}", error.hint())
}

#[test]
fn every_refusal_names_file_cause_and_way_out() {
    for case in [
        "missing_folder",
        "empty_folder",
        "missing_shards",
        "missing_shard_bin",
        "lfs_pointer_safetensors",
        "lfs_pointer_bin",
        "lfs_pointer_shard",
        "safetensors_length_cut",
        "safetensors_header_cut",
        "safetensors_data_cut",
        "zip_cut_end",
        "legacy_cut_pickle",
        "legacy_cut_keys",
        "legacy_cut_storage",
        "pickle_root_reduce",
        "pickle_entry_reduce",
        "pickle_control_characters",
        "pickled_module",
        "index_parent_path",
        "index_absolute_path",
        "index_hidden_parent_path",
        "index_etc_passwd",
        "index_control_characters",
        "index_wrong_type_long",
        "damaged_shards",
        "truncated_shards",
        "git_config",
        "config_cut",
        "xml_answer",
        "json_answer",
        "gzip_bin",
        "safetensors_control_characters",
        "zip_claims_too_much",
        "zip_pickle_bomb",
    ] {
        insta::assert_snapshot!(case, message(format!("../../fixtures/hostile/{case}")));
    }
}
