//! How tests find the examples.

use std::path::Path;
use std::process::Command;

/// An example, run at the root of the workspace, so that messages hold relative paths.
pub(crate) fn example(name: &str) -> Command {
    // Cargo names binaries to a test, but not examples: they lie beside `deps`, where the test itself is.
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap().join("examples");
    let mut command = Command::new(folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    command
}
