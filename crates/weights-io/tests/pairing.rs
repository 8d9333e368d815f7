//! Every name of both sides comes out of the pairing, with the status that the fixtures' author gave it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use weights_io::naming::Component;
use weights_io::{Checkpoint, Selection, Side, Status, pairs};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/pairs").join(name)
}

fn open(name: &str) -> (Checkpoint, Checkpoint) {
    let folder = fixture(name);
    (Checkpoint::open(folder.join("a")).unwrap(), Checkpoint::open(folder.join("b")).unwrap())
}

fn expected_status(status: &str) -> Status {
    match status {
        "compared" | "non_finite" => Status::Comparable, // which of the two is known once the values are read
        "only_in_a" => Status::OnlyInA,
        "only_in_b" => Status::OnlyInB,
        "shapes_differ" => Status::ShapesDiffer,
        "not_linear" => Status::NotLinear,
        "unsupported_dtype" => Status::UnsupportedDtype,
        other => panic!("unknown status {other}"),
    }
}

#[test]
fn every_name_has_the_expected_status_and_role() {
    for case in ["dtypes", "extremes", "gpt2", "ledger", "mixed", "moe_fused", "neox", "transposed"] {
        let (a, b) = open(case);
        let expected: Value =
            serde_json::from_slice(&std::fs::read(fixture(case).join("expected.json")).unwrap()).unwrap();
        let mut found = BTreeMap::new();
        for pairing in pairs(&a, &b, Selection::Linear) {
            let name = pairing.name.split('[').next().unwrap().to_owned();
            assert_eq!(pairing.reason.is_empty(), pairing.status == Status::Comparable, "{case} {name}");
            found.insert(
                name,
                (pairing.status, pairing.role.group, pairing.role.component, pairing.role.layer),
            );
        }
        let ledger = expected["ledger"].as_array().unwrap();
        assert_eq!(found.len(), ledger.len(), "{case}");
        for row in ledger {
            let name = row["name"].as_str().unwrap();
            let (status, group, component, layer) = found[name];
            assert_eq!(status, expected_status(row["status"].as_str().unwrap()), "{case} {name}");
            assert_eq!(group.name(), row["group"].as_str().unwrap(), "{case} {name}");
            assert_eq!(component.name(), row["component"].as_str().unwrap(), "{case} {name}");
            assert_eq!(layer.map(u64::from), row["layer"].as_u64(), "{case} {name}");
        }
    }
}

#[test]
fn a_tied_head_counts_once_as_embedding() {
    let (a, b) = open("ledger");
    let pairings = pairs(&a, &b, Selection::Linear);
    let head = pairings.iter().find(|pairing| pairing.name == "lm_head.weight").unwrap();
    assert_eq!((head.status, head.role.component), (Status::NotLinear, Component::Embedding));
    assert_eq!(head.reason, "tied to the embedding");
}

#[test]
fn the_same_values_in_two_formats_are_equal_byte_for_byte() {
    let (a, b) = open("mixed");
    assert!(a.took().ends_with("model.safetensors") && b.took().ends_with("pytorch_model.bin.index.json"));
    let pairings = pairs(&a, &b, Selection::AllMatrices);
    let mut compared = 0;
    for pairing in pairings.iter().filter(|pairing| pairing.status == Status::Comparable) {
        let (in_a, in_b) = (pairing.a.tensor().unwrap(), pairing.b.tensor().unwrap());
        assert_eq!(in_a.dtype, in_b.dtype, "{}", pairing.name);
        let (view_a, view_b) = (a.view(in_a).unwrap(), b.view(in_b).unwrap());
        assert_eq!(view_a.to_contiguous(), view_b.to_contiguous(), "{}", pairing.name);
        compared += 1;
    }
    assert!(compared > 5, "only {compared} compared");
}

#[test]
fn fused_experts_are_paired_slice_by_slice() {
    let (a, b) = open("moe_fused");
    let pairings = pairs(&a, &b, Selection::Linear);
    let slices: Vec<_> = pairings.iter().filter(|pairing| pairing.name.ends_with(']')).collect();
    assert!(!slices.is_empty());
    for pairing in slices {
        let (Side::Tensor(a), Side::Tensor(b)) = (&pairing.a, &pairing.b) else { panic!("{}", pairing.name) };
        assert_eq!((a.shape.len(), b.shape.len()), (2, 2));
        assert_eq!((&a.name, &b.name), (&pairing.name, &pairing.name));
    }
}

#[test]
fn all_matrices_are_selected_whatever_their_names() {
    let (a, b) = open("neox");
    let count =
        |selection| pairs(&a, &b, selection).iter().filter(|p| p.status == Status::Comparable).count();
    let embeddings = a
        .tensors()
        .iter()
        .filter(|tensor| tensor.shape.len() == 2 && tensor.name.contains("embed_in"))
        .count();
    assert_eq!(count(Selection::AllMatrices), count(Selection::Linear) + embeddings);
    assert_eq!(embeddings, 1);
}

/// A folder with U8 tensors of the given names, shapes and values, and a config.json.
fn folder_with(tensors: &[(&str, &[usize], &[u8])], config: &str) -> tempfile::TempDir {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, shape, values) in tensors {
        let offsets = [data.len(), data.len() + values.len()];
        header.insert(
            (*name).into(),
            serde_json::json!({"dtype": "U8", "shape": shape, "data_offsets": offsets}),
        );
        data.extend_from_slice(values);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    folder
}

#[test]
fn codes_of_a_quantisation_are_not_taken_for_numbers() {
    for (codes, scale) in [
        ("weight", "SCB"),
        ("weight", "weight_scale_inv"),
        ("weight", "weight.absmax"),
        ("qweight", "scales"),
        ("weight_packed", "weight_scale"),
    ] {
        let (codes, scale) = (format!("h.0.mlp.c_fc.{codes}"), format!("h.0.mlp.c_fc.{scale}"));
        let folder = folder_with(&[(&codes, &[2, 2], &[1; 4]), (&scale, &[2], &[1; 2])], "{}");
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        let pairings = pairs(&checkpoint, &checkpoint, Selection::Linear);
        let pairing = pairings.iter().find(|pairing| pairing.name == codes).unwrap();
        assert_eq!((pairing.status, pairing.selected), (Status::UnsupportedDtype, true), "{codes}");
        assert!(pairing.reason.contains(&scale), "{}", pairing.reason);
        let pairing = pairings.iter().find(|pairing| pairing.name == scale).unwrap();
        assert_eq!((pairing.status, pairing.selected), (Status::NotLinear, false), "{scale}");
    }
}

#[test]
fn a_head_stored_beside_the_embedding_is_tied_by_its_values_not_by_the_config_alone() {
    let embedding: (&str, &[usize], &[u8]) = ("model.embed_tokens.weight", &[2, 2], &[1, 2, 3, 4]);
    let head = |values| -> (&str, &[usize], &[u8]) { ("lm_head.weight", &[2, 2], values) };
    let (tied, untied) = (r#"{"tie_word_embeddings": true}"#, r#"{"tie_word_embeddings": false}"#);
    for (values, config, status, component) in [
        (&[1, 2, 3, 4], tied, Status::NotLinear, Component::Embedding),
        (&[1, 2, 3, 5], tied, Status::Comparable, Component::LmHead),
        (&[1, 2, 3, 4], untied, Status::Comparable, Component::LmHead),
    ] {
        let folder = folder_with(&[embedding, head(values)], config);
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        let pairings = pairs(&checkpoint, &checkpoint, Selection::Linear);
        let pairing = pairings.iter().find(|pairing| pairing.name == "lm_head.weight").unwrap();
        assert_eq!((pairing.status, pairing.role.component), (status, component), "{values:?} {config}");
    }

    // Absent from A because it is tied there, a matrix of its own in B: a gap of the comparison, and said so.
    let (a, b) = (folder_with(&[embedding], tied), folder_with(&[embedding, head(&[5; 4])], untied));
    let (a, b) = (Checkpoint::open(a.path()).unwrap(), Checkpoint::open(b.path()).unwrap());
    let pairings = pairs(&a, &b, Selection::Linear);
    let pairing = pairings.iter().find(|pairing| pairing.name == "lm_head.weight").unwrap();
    assert_eq!((pairing.status, pairing.selected), (Status::OnlyInB, true));
}
