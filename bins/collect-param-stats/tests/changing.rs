//! Weight files that change while the real binary reads them: exit code 2, the file named, no table, no signal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails
#![cfg(unix)]

#[path = "../../cli/tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::change_while_read;

/// Eighteen gigabytes of zeros that occupy no disk, far more than is read before the change; the first matrix is larger than
/// what is held in memory, so it is read through.
fn model(path: &Path) {
    let mut tensors = vec![("embed.weight".to_owned(), vec![1 << 16, 4096])];
    tensors.extend((0..250).map(|index| (format!("layers.{index}.mlp.up_proj.weight"), vec![4096, 4096])));
    support::sparse_model(path, &tensors);
}

#[test]
fn a_file_that_changes_ends_the_run_whenever_it_does() {
    let mut seen = 0;
    for (round, how) in ["cut", "cut to nothing", "grown", "written", "replaced by a pipe", "removed"]
        .into_iter()
        .cycle()
        .take(12)
        .enumerate()
    {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a.safetensors"), folder.path().join("b.safetensors"));
        model(&a);
        model(&b);
        let outdir = folder.path().join("results");
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("collect-param-stats"));
        command.arg("--model-a").arg(&a).arg("--model-b").arg(&b).args(["--include", "all"]);
        command.arg("--outdir").arg(&outdir).stderr(Stdio::piped());
        let (changed, kept) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let delay = Duration::from_millis(37 * round as u64);
        let output = change_while_read(command, &outdir, delay, changed, how);
        let message = support::stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{how} after {delay:?}: {:?} {message}", output.status);
        assert!(message.contains(&*changed.to_string_lossy()), "{how}: {message}");
        assert!(!message.contains(&*kept.to_string_lossy()), "{how}: {message}");
        // One that changed before its header was read is what it is then: truncated, empty, no file.
        seen += usize::from(message.contains("changed while it was read"));
        // A file that is there again is the same one, so what was finished of it counts.
        let left: Vec<String> = std::fs::read_dir(&outdir)
            .into_iter()
            .flatten()
            .flat_map(|folder| support::files(&folder.unwrap().path()))
            .collect();
        assert!(left.is_empty() || how == "removed" && left == ["param_stats.journal"], "{how}: {left:?}");
    }
    assert!(seen > 0, "no file changed while it was read");
}
