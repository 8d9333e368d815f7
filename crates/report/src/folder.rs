//! An output folder: made if need be, held against other runs, and rid of what killed ones left in it.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;

use crate::Error;

/// What the names of unfinished files begin and end with.
const UNFINISHED: (&str, &str) = (".model-diffs-", ".tmp");

/// How long a folder may be in use before this run gives up: a killed run takes a moment to end, and so does one that
/// writes pictures.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// A folder that no other run writes into for as long as this lives.
///
/// The lock is on the folder itself: no file is left behind, and the operating system lifts it however a run ends. Where a
/// file system knows no locks, there is none.
#[derive(Debug)]
pub struct OutputFolder {
    path: PathBuf,
    /// Folders that did not exist before, deepest first; taken away again if nothing was written.
    created: Vec<PathBuf>,
    /// Open for as long as the lock is held.
    file: File,
}

impl OutputFolder {
    /// Makes the folder, waits a moment for another run that writes into it, removes unfinished files of runs that were
    /// killed, and tries that a file can be written, before the work whose results are to go there.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Folder`].
    pub fn claim(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let folder = Self::open(path.into(), true)?;
        let probed = folder.temporary().and_then(|file| file.as_file().write_all(&[0; 4096]));
        probed.map_err(|source| Error::Folder { path: folder.path.clone(), source })?;
        Ok(folder)
    }

    /// The folder of a file by itself: it takes the place of another at once, whatever else is written there meanwhile.
    pub(crate) fn share(path: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::open(path.into(), false)
    }

    fn open(mut path: PathBuf, alone: bool) -> Result<Self, Error> {
        if path.as_os_str().is_empty() {
            path.push(".");
        }
        let start = Instant::now();
        loop {
            let is_late = start.elapsed() > PATIENCE;
            match Self::attempt(&path, alone) {
                Ok(Some(folder)) => return Ok(folder),
                Ok(None) if is_late => return Err(Error::InUse { path }),
                // A run that had nothing to write may have taken away the folder that it made.
                Err(source) if is_late || source.kind() != ErrorKind::NotFound => {
                    return Err(Error::Folder { path, source });
                }
                _ => std::thread::sleep(PAUSE),
            }
        }
    }

    /// None if another run writes into the folder.
    fn attempt(path: &Path, alone: bool) -> io::Result<Option<Self>> {
        let mut created = make(path)?;
        let file = File::open(path)?;
        match file.try_lock() {
            Ok(()) if !is_at(&file, path)? => return Err(ErrorKind::NotFound.into()),
            Ok(()) => remove_unfinished(path),
            Err(TryLockError::WouldBlock) if alone => return Ok(None),
            Err(TryLockError::WouldBlock) => created.clear(), // it is the other run's now
            Err(TryLockError::Error(_)) => {}
        }
        Ok(Some(Self { path: path.to_path_buf(), created, file }))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new file under a name that says that it is unfinished, gone when it is dropped.
    pub(crate) fn temporary(&self) -> io::Result<NamedTempFile> {
        // As any new file: temporary ones are private by default, and tell their random names in errors.
        let create = |path: &Path| File::options().write(true).create_new(true).open(path);
        tempfile::Builder::new().prefix(UNFINISHED.0).suffix(UNFINISHED.1).make_in(&self.path, create)
    }

    /// Flushes to disk which names are in the folder.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.file.sync_all().map_err(|source| Error::Folder { path: self.path.clone(), source })
    }

    /// Something was written: the folder stays, and so do those above it that were made for it.
    pub(crate) fn keep(&mut self) -> Result<(), Error> {
        for folder in std::mem::take(&mut self.created) {
            // One above may be none that this user can open.
            let _ = File::open(folder_of(&folder)).and_then(|above| above.sync_all());
        }
        self.sync()
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        for folder in &self.created {
            let _ = std::fs::remove_dir(folder); // only if empty
        }
    }
}

/// The folder that a file or folder is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a folder and those above it. Returns those that were not there, deepest first.
fn make(path: &Path) -> io::Result<Vec<PathBuf>> {
    let folders: Vec<&Path> = path.ancestors().filter(|folder| !folder.as_os_str().is_empty()).collect();
    let mut made = Vec::new();
    for folder in folders.into_iter().rev() {
        match std::fs::create_dir(folder) {
            Ok(()) => made.insert(0, folder.to_path_buf()),
            Err(_) if folder.is_dir() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(made)
}

/// Whether an open folder still has its name.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        return Ok(identity(file.metadata()?) == identity(std::fs::metadata(path)?));
    }
    #[allow(unreachable_code)]
    Ok(true)
}

/// Removes what killed runs left in a folder that is locked.
fn remove_unfinished(folder: &Path) {
    let is_unfinished = |entry: &std::fs::DirEntry| {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        let named = name.starts_with(UNFINISHED.0.as_bytes()) && name.ends_with(UNFINISHED.1.as_bytes());
        named && entry.file_type().is_ok_and(|kind| kind.is_file())
    };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().filter(is_unfinished) {
        let _ = std::fs::remove_file(entry.path()); // one that stays is in nobody's way
    }
}
