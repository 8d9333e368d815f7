//! A regular file that is read range by range into memory of its own, without a map.

use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::source::within;
use crate::{Error, Source, Version};

/// A file that is opened anew for each read: a few microseconds, and no number of shards uses up descriptors.
#[derive(Debug)]
pub(crate) struct PositionedFile {
    path: PathBuf,
    len: usize,
    modified: Option<SystemTime>,
}

impl PositionedFile {
    /// Looks at a regular file; symbolic links are followed to one.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let (_, metadata) = regular(path)?;
        let len = length(&metadata).map_err(|source| Error::Io { path: path.into(), source })?;
        Ok(Self { path: path.into(), len, modified: metadata.modified().ok() })
    }
}

impl Source for PositionedFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> usize {
        self.len
    }

    fn version(&self) -> Version {
        Version::Modified(self.modified)
    }

    fn read(&self, range: Range<usize>) -> io::Result<Cow<'_, [u8]>> {
        within(&range, self.len)?;
        let mut file = File::open(&self.path)?;
        let metadata = file.metadata()?;
        if (length(&metadata)?, metadata.modified().ok()) != (self.len, self.modified) {
            return Err(io::Error::other("the file has changed since it was opened"));
        }
        let mut bytes = vec![0; range.len()];
        file.seek(SeekFrom::Start(range.start as u64))?;
        file.read_exact(&mut bytes)?;
        Ok(Cow::Owned(bytes))
    }
}

/// Opens a regular file; anything else is refused unopened, so that a FIFO cannot block.
pub(crate) fn regular(path: &Path) -> Result<(File, Metadata), Error> {
    use io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    let io = |source: io::Error| match source.kind() {
        // No file can have a name with a NUL in it, one that is too long, or one inside a file.
        NotFound | NotADirectory | InvalidFilename | InvalidInput => Error::NotFound { path: path.into() },
        _ => Error::Io { path: path.into(), source },
    };
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(Error::NotARegularFile { path: path.into() });
    }
    let file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    Ok((file, metadata))
}

fn length(metadata: &Metadata) -> io::Result<usize> {
    usize::try_from(metadata.len()).map_err(|_| io::ErrorKind::FileTooLarge.into())
}
