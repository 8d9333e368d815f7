//! Formats and constructs of `fixtures/formats` and `fixtures/hostile`, through a map and through single reads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

mod conformance;

use std::path::Path;

use weights_io::{Access, Checkpoint};

#[test]
fn every_format_reads_through_a_map_as_torch_reads_it() {
    conformance::formats(&|path| Checkpoint::open(path), true);
}

#[test]
fn every_format_reads_range_by_range_as_torch_reads_it() {
    conformance::formats(&|path| Checkpoint::open_with(path, Access::Read), false);
}

#[test]
fn every_hostile_file_is_refused_range_by_range_in_the_same_words() {
    conformance::hostile(&|path| Checkpoint::open_with(path, Access::Read), &Path::to_path_buf);
}

#[test]
fn tied_tensors_are_recognised_by_their_storage() {
    for case in ["torch_zip_tied", "torch_legacy_tied"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/formats").join(case);
        for access in [Access::Map, Access::Read] {
            let checkpoint = Checkpoint::open_with(&folder, access).unwrap();
            let embedding = checkpoint.get("embed.weight").unwrap();
            let shared = |name| checkpoint.get(name).unwrap().shares_storage_with(embedding);
            assert!(shared("lm_head.weight"), "{case}");
            assert!(
                !shared("rows") && !shared("flat"),
                "{case}: views of other shapes are parameters of their own"
            );
        }
    }
}

#[test]
fn a_file_that_changes_between_reads_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/formats/safetensors_single");
    let path = folder.path().join("model.safetensors");
    std::fs::copy(source.join("model.safetensors"), &path).unwrap();
    let checkpoint = Checkpoint::open_with(folder.path(), Access::Read).unwrap();
    let tensor = &checkpoint.tensors()[0];
    assert!(checkpoint.view(tensor).is_ok());
    let file = std::fs::File::options().append(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() + 1).unwrap();
    let error = checkpoint.view(tensor).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("changed"), "{error}: {cause}");
}
