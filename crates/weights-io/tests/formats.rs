//! Formats and constructs of `fixtures/formats` and `fixtures/hostile`, through a map and through single reads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

mod conformance;

use std::path::Path;

use weights_io::{Access, Checkpoint, Error};

#[test]
fn every_format_reads_through_a_map_as_torch_reads_it() {
    conformance::formats(&|path| Checkpoint::open_with(path, Access::Map), true);
}

#[test]
fn every_format_reads_range_by_range_as_torch_reads_it() {
    conformance::formats(&|path| Checkpoint::open_with(path, Access::Read), false);
}

#[test]
fn every_hostile_file_is_refused_through_a_map_in_the_same_words() {
    conformance::hostile(&|path| Checkpoint::open_with(path, Access::Map), &Path::to_path_buf);
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
fn what_was_asked_for_ahead_and_given_back_reads_the_same_again() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/formats/safetensors_sharded");
    for access in [Access::Map, Access::Read] {
        let checkpoint = Checkpoint::open_with(&folder, access).unwrap();
        let all = || {
            let views = checkpoint.tensors().iter().map(|tensor| {
                checkpoint.will_need(tensor);
                let bytes = checkpoint.view(tensor).unwrap().bytes.into_owned();
                checkpoint.give_back(tensor);
                bytes
            });
            views.collect::<Vec<_>>()
        };
        let first = all();
        assert!(first.iter().any(|bytes| !bytes.is_empty()));
        assert_eq!(all(), first, "{access:?}");
        for file in checkpoint.shards() {
            // Advice beyond the end, or about nothing, is heard without harm.
            for range in [file.len()..file.len(), 0..file.len() + 4096, file.len() + 1..usize::MAX] {
                file.will_need(range.clone());
                file.give_back(range);
            }
        }
        assert_eq!(all(), first, "{access:?}");
    }
}

#[test]
fn a_file_that_changes_between_reads_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/formats/safetensors_single");
    let path = folder.path().join("model.safetensors");
    for access in [Access::Map, Access::Read] {
        std::fs::copy(source.join("model.safetensors"), &path).unwrap();
        let checkpoint = Checkpoint::open_with(folder.path(), access).unwrap();
        let tensor = &checkpoint.tensors()[0];
        let mut bytes = vec![0; tensor.extent()];
        checkpoint.read_into(tensor, 0, &mut bytes).unwrap();
        assert_eq!(checkpoint.view(tensor).unwrap().bytes, bytes);
        checkpoint.unchanged().unwrap();
        let file = std::fs::File::options().append(true).open(&path).unwrap();
        file.set_len(file.metadata().unwrap().len() + 1).unwrap();
        let errors = [
            checkpoint.view(tensor).unwrap_err(),
            checkpoint.read_into(tensor, 0, &mut bytes).unwrap_err(),
            checkpoint.unchanged().unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(&error, Error::Changed { path: named } if *named == path), "{error:?}");
        }
    }
}

#[test]
fn a_part_of_a_tensor_ends_where_the_tensor_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/formats/safetensors_single");
    let checkpoint = Checkpoint::open(folder).unwrap();
    for tensor in checkpoint.tensors() {
        let whole = checkpoint.view(tensor).unwrap().bytes.into_owned();
        let half = whole.len() / 2;
        let mut part = vec![0; whole.len() - half];
        checkpoint.read_into(tensor, half, &mut part).unwrap();
        assert_eq!(part, whole[half..], "{}", tensor.name);
        for start in [half + 1, usize::MAX] {
            assert!(checkpoint.read_into(tensor, start, &mut part).is_err() || part.is_empty());
        }
    }
}
