//! Output folders: held against other runs, rid of what killed ones left, taken away again if nothing was written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::fs;
use std::path::Path;

use report::{Error, OutputFolder, Tables, write_file};

fn entries(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
#[cfg(unix)]
fn a_folder_belongs_to_one_run_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let tables = Tables::create(folder.path(), &[]).unwrap();
    // By another name too.
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path(), &link).unwrap();
    let error = OutputFolder::claim(&link).unwrap_err();
    assert!(matches!(&error, Error::InUse { path } if *path == link), "{error:?}");
    assert!(!error.hint().is_empty());
    OutputFolder::claim(folder.path().join("below")).unwrap();
    write_file(&folder.path().join("file"), b"replaces one at once").unwrap();
    drop(tables);
    OutputFolder::claim(folder.path()).unwrap();
    assert_eq!(entries(folder.path()), ["file", "link"], "and no lock is left");
}

#[test]
#[cfg(unix)]
fn a_run_that_ends_within_a_moment_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new");
    let first = OutputFolder::claim(&path).unwrap();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| OutputFolder::claim(&path));
        std::thread::sleep(std::time::Duration::from_millis(100));
        drop(first); // takes the folder away, since nothing was written
        let second = second.join().unwrap().unwrap();
        assert!(path.exists(), "the second one made it again");
        drop(second);
        assert!(!path.exists());
    });
}

#[test]
#[cfg(unix)]
fn what_killed_runs_left_is_removed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path(".model-diffs-aB3xYz.tmp"), "half a table").unwrap();
    fs::create_dir(path(".model-diffs-folder.tmp")).unwrap();
    std::os::unix::fs::symlink(folder.path(), path(".model-diffs-link.tmp")).unwrap();
    for name in [".model-diffs-note", "model-diffs-1.tmp", "own.tmp"] {
        fs::write(path(name), "").unwrap();
    }
    let others = [
        ".model-diffs-folder.tmp",
        ".model-diffs-link.tmp",
        ".model-diffs-note",
        "model-diffs-1.tmp",
        "own.tmp",
    ];
    let claimed = OutputFolder::claim(folder.path()).unwrap();
    assert_eq!(entries(folder.path()), others);

    fs::write(path(".model-diffs-now.tmp"), "of the run that holds the folder").unwrap();
    write_file(&path("file"), b"").unwrap();
    assert!(path(".model-diffs-now.tmp").exists());
    drop(claimed);
    write_file(&path("file"), b"").unwrap();
    assert!(!path(".model-diffs-now.tmp").exists());
}

#[test]
fn folders_that_were_made_for_it_go_with_an_abandoned_run_and_stay_with_results() {
    let parent = tempfile::tempdir().unwrap();
    let deep = parent.path().join("a/b");
    drop(OutputFolder::claim(&deep).unwrap());
    assert_eq!(entries(parent.path()), [""; 0]);
    write_file(&deep.join("file"), b"whole").unwrap();
    drop(OutputFolder::claim(&deep).unwrap());
    assert_eq!(fs::read(deep.join("file")).unwrap(), b"whole");
}

#[test]
fn a_set_that_ends_halfway_has_no_files_of_two_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("first"), "earlier").unwrap();
    fs::create_dir(path("second")).unwrap(); // cannot be replaced
    fs::write(path("third"), "earlier").unwrap();
    let mut files = Tables::create(folder.path(), &[]).unwrap();
    for name in ["first", "second", "third"] {
        files.stage_file(name, b"new").unwrap();
    }
    let error = files.finish().unwrap_err();
    assert!(matches!(&error, Error::File { path, .. } if path.ends_with("second")), "{error:?}");
    // The last one is the first to go: it stands for a complete set.
    assert_eq!(entries(folder.path()), ["first", "second"]);
    assert_eq!(fs::read(path("first")).unwrap(), b"earlier");
}
