//! The files of a folder on disk, and the two ways to read them.

use std::path::{Path, PathBuf};

use crate::mapping::MappedFile;
use crate::positioned::PositionedFile;
use crate::{Error, Files, Source};

/// How local files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Access {
    /// One read for each range, into memory of its own. A file that changes or shrinks meanwhile is an error.
    #[default]
    Read,
    /// Memory maps: nothing is copied, and pages come and go as the system sees fit. Only for files that nobody touches:
    /// if one is cut short while its bytes are looked at, the system ends the process (SIGBUS).
    Map,
}

/// The files of a folder.
#[derive(Clone, Debug)]
pub struct LocalFiles {
    folder: PathBuf,
    access: Access,
}

impl LocalFiles {
    /// The files of `folder`, which need not exist before one is opened.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, access: Access) -> Self {
        Self { folder: folder.into(), access }
    }
}

impl Files for LocalFiles {
    fn path_of(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.folder.clone() } else { self.folder.join(name) }
    }

    /// A dangling link counts as there: its target's absence is then reported, rather than another file taken.
    fn has(&self, name: &str) -> bool {
        std::fs::symlink_metadata(self.path_of(name)).is_ok()
    }

    fn open(&self, name: &str) -> Result<Box<dyn Source>, Error> {
        open(&self.path_of(name), self.access)
    }
}

/// Opens a regular file by its path.
pub(crate) fn open(path: &Path, access: Access) -> Result<Box<dyn Source>, Error> {
    Ok(match access {
        Access::Map => Box::new(MappedFile::open(path)?),
        Access::Read => Box::new(PositionedFile::open(path)?),
    })
}
