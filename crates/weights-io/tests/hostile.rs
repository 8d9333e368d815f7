//! Every damaged or hostile file of `fixtures/hostile` ends in an error that names the file and the cause, or in a
//! listed entry; never in a panic, and never in a tensor that the file does not hold.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../../fuzz/src/invariants.rs"]
#[allow(unreachable_pub, dead_code)] // a module of another crate
mod invariants;

use std::collections::BTreeSet;
use std::error::Error as _;
use std::path::Path;

use serde_json::Value;
use weights_io::{Access, Checkpoint, Error, Selection, pairs};

fn full_message(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_lowercase()).collect()
}

/// Cases whose entry is listed as unsupported instead of refusing the whole file: nothing of it is expanded.
const LISTED: [(&str, &str); 6] = [
    ("pickle_nested_dicts", "not a tensor but a dict"),
    ("pickle_expanded_huge", "expanded view of"),
    ("pickle_storage_shared_often", "expanded view of"),
    ("zip_deflated_deep", "with the tensors before it, over 64 times"),
    ("zip_deflated_often", "with the tensors before it, over 64 times"),
    ("safetensors_65_axes", "65 axes"),
];

/// Cases that are refused in other words than the fixture's author expected.
const OTHER_WORDS: [(&str, &str); 8] = [
    ("pickle_two_roots", "goes on after its end"),
    ("pickle_legacy_key_missing", "storage 0 is of unknown type"),
    ("pickle_stack_global_memoized", "does not find what it needs on the stack"),
    ("pickle_storage_missing", "storage 7 is missing"),
    ("pickle_obj", "unknown instruction 0x6f"),
    ("pickle_inst", "unknown instruction 0x69"),
    ("zip_duplicate_pickle", "have one name"),
    ("zip_duplicate_entry", "have one name"),
];

fn look_up(table: &[(&str, &'static str)], case: &str) -> Option<&'static str> {
    table.iter().find(|(name, _)| *name == case).map(|(_, text)| *text)
}

#[test]
fn every_hostile_file_is_refused_by_name_and_cause() {
    let hostile = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/hostile");
    let mut failures = Vec::new();
    let mut cases = 0;
    for folder in std::fs::read_dir(hostile).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(expected) = std::fs::read(folder.join("expected.json")) else { continue };
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        let case = folder.file_name().unwrap().to_string_lossy().into_owned();
        cases += 1;
        // What opens can be used.
        let used = Checkpoint::open(&folder).and_then(|checkpoint| {
            for tensor in checkpoint.tensors() {
                let elements = checkpoint.view(tensor)?.to_contiguous().len() / tensor.dtype.size();
                assert_eq!(elements, tensor.element_count(), "{case}");
            }
            Ok(checkpoint)
        });
        let message = match used {
            Err(error) => {
                invariants::explains(&error);
                format!("{}; {}", full_message(&error), error.hint()).to_lowercase()
            }
            Ok(checkpoint) => {
                assert!(!pairs(&checkpoint, &checkpoint, Selection::AllMatrices).is_empty(), "{case}");
                if case == "index_unlisted_tensor" {
                    // As in transformers, a shard's tensors count whether the index lists them or not.
                    assert!(checkpoint.get("extra").is_some());
                    continue;
                }
                if let Some(reason) = look_up(&LISTED, &case) {
                    assert!(
                        checkpoint.unsupported().iter().any(|entry| entry.reason.starts_with(reason)),
                        "{case}"
                    );
                    continue;
                }
                if let Some(loads) = expected.get("or_loads") {
                    let names: BTreeSet<String> =
                        checkpoint.tensors().iter().map(|tensor| tensor.name.clone()).collect();
                    let wanted: BTreeSet<String> = serde_json::from_value(loads["tensors"].clone()).unwrap();
                    assert_eq!(names, wanted, "{case}");
                    continue;
                }
                failures.push(format!(
                    "{case}: opened; {:?} wanted; {:?}",
                    expected["error_kind"],
                    checkpoint.unsupported()
                ));
                continue;
            }
        };
        if let Some(words) = look_up(&OTHER_WORDS, &case) {
            assert!(message.contains(words), "{case}: {message}");
            continue;
        }
        for mention in texts(&expected["mentions"]) {
            if !message.contains(&mention) {
                failures.push(format!("{case}: `{mention}` not in: {message}"));
            }
        }
        for secret in texts(&expected["not_mentions"]) {
            if message.contains(&secret) {
                failures.push(format!("{case}: `{secret}` in: {message}"));
            }
        }
    }
    assert!(cases > 100, "only {cases} cases found");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn calls_outside_the_tensors_are_reported_and_not_made() {
    let hostile = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/hostile");
    for case in ["pickle_popped", "pickle_before_mark", "pickle_in_ignored_root", "pickle_in_parameter_state"]
    {
        let checkpoint = Checkpoint::open(hostile.join(case)).unwrap();
        assert!(checkpoint.ignored_calls().iter().any(|call| call.contains("system")), "{case}");
    }
}

/// Refused as what it is not, as a model's only file and as a shard; through links, which the Hub's cache is made of.
#[cfg(unix)]
#[test]
fn what_is_not_a_file_never_blocks() {
    use std::os::unix::fs::symlink;

    const SHARD: &str = "model-00001-of-00001.safetensors";
    let place = |name: &str, path: &Path| match name {
        "folder" => std::fs::create_dir(path).unwrap(),
        "FIFO" => assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success()),
        "socket" => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
        "link to itself" => symlink(path, path).unwrap(),
        "link to nothing" => symlink("nowhere", path).unwrap(),
        device => symlink(device, path).unwrap(),
    };
    for thing in
        ["folder", "FIFO", "socket", "link to itself", "link to nothing", "/dev/zero", "/dev/full", ".."]
    {
        let folder = tempfile::tempdir().unwrap();
        place(thing, &folder.path().join(SHARD));
        let index = format!(r#"{{"weight_map": {{"w": "{SHARD}"}}}}"#);
        std::fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
        for access in [Access::Map, Access::Read] {
            for path in [folder.path().to_owned(), folder.path().join(SHARD)] {
                let error = Checkpoint::open_with(&path, access).unwrap_err();
                let message = full_message(&error);
                assert!(message.contains(SHARD) || thing == ".." || thing == "folder", "{thing}: {message}");
                assert!(!error.hint().is_empty());
                let expected = match thing {
                    "link to itself" => matches!(error, Error::Io { .. }),
                    "link to nothing" => {
                        matches!(error, Error::NotFound { .. } | Error::MissingShards { .. })
                    }
                    // Given by its path, a folder is a model's folder, and this one is empty or the parent.
                    "folder" | ".." if path.ends_with(SHARD) => true,
                    _ => matches!(error, Error::NotARegularFile { .. }),
                };
                assert!(expected, "{thing}: {error:?}");
            }
        }
        // In place of a small file beside the weights.
        let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/formats/safetensors_single");
        std::fs::remove_file(folder.path().join("model.safetensors.index.json")).unwrap();
        std::fs::copy(weights.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
        place(thing, &folder.path().join("config.json"));
        match Checkpoint::open(folder.path()) {
            Ok(_) => assert_eq!(thing, "link to nothing"),
            Err(error) => assert!(full_message(&error).contains("config.json"), "{thing}: {error:?}"),
        }
    }
}

#[test]
fn a_path_that_is_no_model_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for access in [Access::Map, Access::Read] {
        let missing = Checkpoint::open_with(folder.path().join("nowhere"), access).unwrap_err();
        assert!(matches!(missing, Error::NotFound { .. }), "{missing:?}");
        let empty = Checkpoint::open_with(folder.path(), access).unwrap_err();
        assert!(matches!(empty, Error::NoWeights { .. }), "{empty:?}");
        std::fs::create_dir_all(folder.path().join("sub/model.safetensors")).unwrap();
        let directory = Checkpoint::open_with(folder.path().join("sub"), access).unwrap_err();
        assert!(matches!(directory, Error::NotARegularFile { .. }), "{directory:?}");
    }
}
