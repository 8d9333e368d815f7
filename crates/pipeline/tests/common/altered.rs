//! Models of fixtures/activations/pair that are not as they should be. Included by the tests of the tool, too.

use std::path::{Path, PathBuf};

/// A model of the pair under a path of its own, with some text of one of its JSON files replaced.
pub(crate) fn altered(folder: &Path, model: &str, file: &str, from: &str, to: &str) -> PathBuf {
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/activations/pair").join(model);
    let copy = folder.join(format!("altered_{model}"));
    std::fs::create_dir_all(&copy).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(original.join(name), copy.join(name)).unwrap();
    }
    let text = std::fs::read_to_string(copy.join(file)).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(copy.join(file), text.replace(from, to)).unwrap();
    copy
}
