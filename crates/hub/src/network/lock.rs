//! One process at a time fetches a file; Python's obey the same locks.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

use super::store::create_folder_of;
use crate::Error;

/// How often a lock that another holds is tried.
const POLL: Duration = Duration::from_millis(50);

/// Held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code)] File);

impl Lock {
    /// Waits for a lock as long as it takes, or until `stopped`; `waiting` is called if it takes long. Where the file
    /// system has no locks there is none.
    pub(crate) fn acquire(
        path: &Path,
        stopped: &dyn Fn() -> bool,
        waiting: impl FnOnce(),
    ) -> Result<Self, Error> {
        let unusable = |source| Error::Cache { path: path.into(), source };
        let mut waiting = Some(waiting);
        create_folder_of(path)?;
        loop {
            let open = OpenOptions::new().create(true).truncate(false).write(true).open(path);
            let file = open.map_err(unusable)?;
            match file.try_lock() {
                Ok(()) if is_current(&file) => return Ok(Self(file)),
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                    return Ok(Self(file));
                }
                Err(TryLockError::Error(error)) => return Err(unusable(error)),
            }
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            if stopped() {
                return Err(Error::Interrupted);
            }
            std::thread::sleep(POLL);
        }
    }
}

/// Whether the file has a name still: Python removes lock files that nobody holds.
fn is_current(file: &File) -> bool {
    #[cfg(unix)]
    let has_name = |metadata: std::fs::Metadata| std::os::unix::fs::MetadataExt::nlink(&metadata) > 0;
    #[cfg(not(unix))]
    let has_name = |_| true;
    file.metadata().is_ok_and(has_name)
}
