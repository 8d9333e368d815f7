//! A model's folder in memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weights_io::{Checkpoint, Error, Files, Source, Version};

/// Files by name.
#[derive(Debug, Default)]
pub struct MemoryFiles {
    files: BTreeMap<String, Arc<[u8]>>,
    /// As of a server: gaps are read through and ranges asked for ahead.
    far_away: bool,
}

impl MemoryFiles {
    /// A folder of these files.
    pub fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>, far_away: bool) -> Self {
        let files = files.into_iter().map(|(name, bytes)| (name.to_owned(), Arc::from(bytes))).collect();
        Self { files, far_away }
    }

    /// Opens the checkpoint in this folder.
    pub fn open(self, file: Option<&str>) -> Result<Checkpoint, Error> {
        Checkpoint::open_in(Arc::new(self), file)
    }

    /// Bytes of all files.
    pub fn len(&self) -> usize {
        self.files.values().map(|bytes| bytes.len()).sum()
    }

    /// True if there is not one byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Files for MemoryFiles {
    fn path_of(&self, name: &str) -> PathBuf {
        Path::new("model").join(name)
    }

    fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    fn open(&self, name: &str) -> Result<Box<dyn Source>, Error> {
        let path = self.path_of(name);
        match self.files.get(name) {
            Some(bytes) => Ok(Box::new(MemoryFile { path, bytes: bytes.clone(), far_away: self.far_away })),
            None => Err(Error::NotFound { path }),
        }
    }
}

#[derive(Debug)]
struct MemoryFile {
    path: PathBuf,
    bytes: Arc<[u8]>,
    far_away: bool,
}

impl Source for MemoryFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn version(&self) -> Version {
        Version::Modified(None)
    }

    fn read(&self, range: Range<usize>) -> io::Result<Cow<'_, [u8]>> {
        // Readers must ask for what is there; that they never ask for more is checked here, not hidden by an error.
        let bytes = self.bytes.get(range.clone());
        Ok(Cow::Borrowed(bytes.unwrap_or_else(|| panic!("{range:?} of a file of {}", self.bytes.len()))))
    }

    fn worth_reading_through(&self) -> usize {
        if self.far_away { 64 } else { 0 }
    }
}
