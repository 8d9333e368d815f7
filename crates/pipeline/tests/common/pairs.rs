//! Models that tests may change.

use std::fs;
use std::path::Path;

/// Copies both models of `fixtures/pairs/<pair>`.
pub(crate) fn copy(pair: &str, to: &Path) {
    let pair = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/pairs").join(pair);
    for model in ["a", "b"] {
        fs::create_dir(to.join(model)).unwrap();
        for file in fs::read_dir(pair.join(model)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), to.join(model).join(file.file_name())).unwrap();
        }
    }
}
