//! What is written into the cache besides blobs.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::Error;
use crate::cache::{Snapshot, is_commit};
use crate::repository::Repository;

impl Snapshot {
    /// Makes a blob appear as a file of this commit.
    pub(crate) fn link(&self, name: &str, blob: &Path) -> Result<(), Error> {
        let blob_name = blob.file_name().unwrap_or_default();
        let mut target = PathBuf::from("../..");
        target.extend(name.matches('/').map(|_| ".."));
        target.extend([Path::new("blobs"), Path::new(blob_name)]);
        let file = self.folder.join(name);
        if std::fs::read_link(&file).is_ok_and(|present| present == target) {
            return Ok(());
        }
        whole(&file, |temporary| link(&target, blob, temporary))
    }

    /// Notes that the commit does not have a file, as Python does.
    pub(crate) fn note_absent(&self, name: &str) -> Result<(), Error> {
        whole(&self.absent.join(name), |temporary| std::fs::write(temporary, []))
    }

    /// Notes that a branch or tag is at this commit: the last thing that is written.
    pub(crate) fn name(&self, cache: &Path, repository: &Repository) -> Result<(), Error> {
        let reference = repository.folder(cache).join("refs").join(&repository.revision);
        let noted = || std::fs::read_to_string(&reference).is_ok_and(|commit| commit == self.commit);
        if is_commit(&repository.revision) || noted() {
            return Ok(());
        }
        whole(&reference, |temporary| std::fs::write(temporary, &self.commit))
    }
}

/// Makes a file under another name, and gives it its own once it is whole.
fn whole(file: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), Error> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut temporary = OsString::from(file);
    temporary.push(format!(".{}-{count}.incomplete", std::process::id()));
    let temporary = PathBuf::from(temporary);
    create_folder_of(file)?;
    make(&temporary).and_then(|()| std::fs::rename(&temporary, file)).map_err(|source| {
        let _ = std::fs::remove_file(&temporary);
        Error::Cache { path: file.into(), source }
    })
}

/// Creates the folder that a file is to be in.
pub(crate) fn create_folder_of(file: &Path) -> Result<(), Error> {
    let folder = file.parent().unwrap_or(file);
    std::fs::create_dir_all(folder).map_err(|source| Error::Cache { path: folder.into(), source })
}

/// A relative link to a blob, so that the cache can be moved; a copy where there are no links.
fn link(target: &Path, blob: &Path, file: &Path) -> io::Result<()> {
    #[cfg(unix)]
    let linked = std::os::unix::fs::symlink(target, file);
    #[cfg(windows)]
    let linked = std::os::windows::fs::symlink_file(target, file);
    #[cfg(not(any(unix, windows)))]
    let linked = Err::<(), _>(io::Error::from(io::ErrorKind::Unsupported));
    linked.or_else(|_| std::fs::copy(blob, file).map(|_| ()))
}
