//! Where bytes come from: one file ([`Source`]), and the place with all files of a model ([`Files`]).
//!
//! Readers of formats see nothing else, so that a checkpoint in memory maps, behind system calls or across the network
//! is read by the same code.

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::Error;
use crate::positioned::is_change;

/// The bytes of one file, which should not change while it is open.
///
/// All offsets and lengths are bytes. Several threads may read at once.
pub trait Source: std::fmt::Debug + Send + Sync {
    /// What messages call the file.
    fn path(&self) -> &Path;

    /// Length when it was opened.
    fn len(&self) -> usize;

    /// True if the file has no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What tells this content from an earlier or later one under the same name.
    fn version(&self) -> Version;

    /// Exactly these bytes.
    ///
    /// # Errors
    /// Whatever keeps the bytes from being read; [`io::ErrorKind::UnexpectedEof`] for a range beyond the end.
    fn read(&self, range: Range<usize>) -> io::Result<Cow<'_, [u8]>>;

    /// The bytes from `start` on that fill `out`.
    ///
    /// # Errors
    /// As [`Source::read`].
    fn read_into(&self, start: usize, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.read(start..start.saturating_add(out.len()))?;
        out.copy_from_slice(bytes.get(..out.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    /// True if many reads of parts cost little more than one of the whole, in whatever order and however often.
    fn reads_in_parts(&self) -> bool {
        false
    }

    /// Sees that the file is still what was opened, where it can be another.
    ///
    /// # Errors
    /// It is not, or it cannot be told.
    fn unchanged(&self) -> io::Result<()> {
        Ok(())
    }

    /// Advice that this very range will be read soon; where bytes take long to arrive, now is the time to ask for them.
    /// What lies beyond the end counts for nothing.
    fn will_need(&self, _range: Range<usize>) {}

    /// Advice that a range is not needed any more.
    fn give_back(&self, _range: Range<usize>) {}

    /// Length of a gap between two ranges up to which it is cheaper to read through than to skip.
    fn worth_reading_through(&self) -> usize {
        0
    }
}

/// What tells one content of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Version {
    /// Time of the last change, where the file system keeps one.
    Modified(Option<SystemTime>),
    /// The entity tag of a server.
    Etag(String),
}

/// A place with the files of one model: a folder on disk, a repository on the Hub.
pub trait Files: std::fmt::Debug + Send + Sync {
    /// What messages call a file of this place, and the place itself for the empty name.
    fn path_of(&self, name: &str) -> PathBuf;

    /// True if a file of this name is listed, whether or not it can be opened.
    fn has(&self, name: &str) -> bool;

    /// Opens a file of this place. All shards of a checkpoint are opened before any is read, so this should be cheap.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is not there; [`Error::NotARegularFile`], [`Error::Io`].
    fn open(&self, name: &str) -> Result<Box<dyn Source>, Error>;

    /// A small file, such as `config.json`; `None` if it is not there.
    ///
    /// # Errors
    /// [`Error::NotARegularFile`], [`Error::Io`]; [`Error::TooLarge`] for more than 256 MiB.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        match self.open(name) {
            Ok(file) => Ok(Some(read_small(&*file)?.into_owned())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Reads a range, with the file's name in the error.
pub(crate) fn read(source: &dyn Source, range: Range<usize>) -> Result<Cow<'_, [u8]>, Error> {
    source.read(range).map_err(|error| named(source, error))
}

/// A failure to read a source as the error that names it.
pub(crate) fn named(source: &dyn Source, error: io::Error) -> Error {
    let path = source.path().into();
    if is_change(&error) { Error::Changed { path } } else { Error::Io { path, source: error } }
}

/// Reads a whole file that describes weights: an index, a configuration, a tokenizer.
pub(crate) fn read_small(source: &dyn Source) -> Result<Cow<'_, [u8]>, Error> {
    const LIMIT: usize = 256 << 20;
    match source.len() {
        len if len > LIMIT => Err(Error::TooLarge { path: source.path().into(), len, limit: LIMIT }),
        len => read(source, 0..len),
    }
}

/// Refuses a range that is not within a file.
pub(crate) fn within(range: &Range<usize>, len: usize) -> io::Result<()> {
    if range.start <= range.end && range.end <= len {
        return Ok(());
    }
    let detail = format!("bytes {} to {} of a file of {len}", range.start, range.end);
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, detail))
}
