//! A read-only memory map of a regular file: the only place of this crate with `unsafe`.
#![allow(unsafe_code)] // memory maps and their advice have no safe interface

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::{Advice, Mmap, UncheckedAdvice};

use crate::positioned::{Identity, regular};
use crate::source::within;
use crate::{Error, Source, Version};

/// A mapped file and what identifies it.
///
/// The file must not be changed or cut short while it is mapped: the operating system would then hand out other
/// bytes, or end the process. A change before a read is an error; one while the bytes are looked at cannot be.
#[derive(Debug)]
pub(crate) struct MappedFile {
    path: PathBuf,
    identity: Identity,
    map: Option<Mmap>, // None for an empty file, which cannot be mapped everywhere
}

impl MappedFile {
    /// Maps a regular file; symbolic links are followed to one. No descriptor stays open.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotARegularFile`] (without opening it, so a FIFO cannot block), [`Error::Io`].
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let (file, identity) = regular(path)?;
        let map = if identity.len == 0 {
            None
        } else {
            // SAFETY: the map is read-only and private to this struct; that nobody changes the file meanwhile is
            // the contract stated above, which no program can enforce on Unix.
            let map = unsafe { Mmap::map(&file) };
            Some(map.map_err(|source| Error::Io { path: path.into(), source })?)
        };
        Ok(Self { path: path.into(), identity, map })
    }

    /// The whole file.
    #[must_use]
    fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

impl Source for MappedFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> usize {
        self.bytes().len()
    }

    fn version(&self) -> Version {
        Version::Modified(self.identity.modified)
    }

    fn read(&self, range: Range<usize>) -> io::Result<Cow<'_, [u8]>> {
        within(&range, self.bytes().len())?;
        self.unchanged()?;
        Ok(Cow::Borrowed(&self.bytes()[range]))
    }

    fn unchanged(&self) -> io::Result<()> {
        self.identity.check(&std::fs::metadata(&self.path)?)
    }

    /// Asks the system to read a range ahead. Advice only: failure costs speed, not correctness.
    fn will_need(&self, range: Range<usize>) {
        // Linux reads no more than its read-ahead window for one such advice, 128 KiB unless told otherwise.
        const PIECE: usize = 128 << 10;
        if let Some(map) = &self.map {
            let end = range.end.min(map.len());
            for start in (range.start..end).step_by(PIECE) {
                let _ = map.advise_range(Advice::WillNeed, start, PIECE.min(end - start));
            }
        }
    }

    /// Gives the pages of a range back: they stay in the page cache but no longer count as this process's memory.
    fn give_back(&self, range: Range<usize>) {
        if let (Some(map), false) = (&self.map, range.is_empty()) {
            // SAFETY: the map is read-only and file-backed, so a dropped page is read again from the same file.
            let _ =
                unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
        }
    }
}
