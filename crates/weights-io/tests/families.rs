//! Names of every family in `fixtures/families`: layer, group, component and linearity as the module types of
//! transformers and a reviewed table say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::path::Path;

use serde_json::Value;
use weights_io::naming::{Kind, classify};

#[test]
fn every_name_of_every_family_is_classified() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/families");
    let mut failures = Vec::new();
    let mut names = 0;
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let family: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        for tensor in family["tensors"].as_array().unwrap() {
            names += 1;
            let name = tensor["name"].as_str().unwrap();
            let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
            let role = classify(name, &shape);
            let kind = match role.kind {
                Kind::Linear => "true",
                Kind::FusedExperts => "\"fused_experts\"",
                Kind::NotLinear(_) => "false",
            };
            let found = (
                role.layer.map(u64::from),
                role.group.name().to_owned(),
                role.component.name().to_owned(),
                kind.to_owned(),
            );
            let mut wanted = (
                tensor["layer"].as_u64(),
                tensor["group"].as_str().unwrap().to_owned(),
                tensor["component"].as_str().unwrap().to_owned(),
                tensor["linear"].to_string(),
            );
            // That a head is tied cannot be told from its name; pairing finds out (see tests/pairing.rs).
            if found.2 == "lm_head" && wanted.2 == "embedding" {
                wanted.2.clone_from(&found.2);
                wanted.3.clone_from(&found.3);
            }
            if found != wanted {
                let family = file.file_name().unwrap().to_string_lossy().into_owned();
                failures.push(format!("{family} {name} {shape:?}: {found:?}, wanted {wanted:?}"));
            }
        }
    }
    assert!(names > 500, "only {names} names found");
    assert!(failures.is_empty(), "{} of {names}:\n{}", failures.len(), failures.join("\n"));
}
