//! A read-only memory map of a regular file: the only place of this crate with `unsafe`.
#![allow(unsafe_code)] // memory maps and their advice have no safe interface

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memmap2::{Advice, Mmap, UncheckedAdvice};

use crate::Error;

/// A mapped file and what identifies it.
///
/// The file must not be changed or cut short while it is mapped: the operating system would then hand out other
/// bytes, or end the process.
#[derive(Debug)]
pub struct MappedFile {
    path: PathBuf,
    modified: Option<SystemTime>,
    map: Option<Mmap>, // None for an empty file, which cannot be mapped everywhere
}

impl MappedFile {
    /// Maps a regular file; symbolic links are followed to one. No descriptor stays open.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotARegularFile`] (without opening it, so a FIFO cannot block), [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let io = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => Error::NotFound { path: path.into() },
            _ => Error::Io { path: path.into(), source },
        };
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(Error::NotARegularFile { path: path.into() });
        }
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        let map = if metadata.len() == 0 {
            None
        } else {
            // SAFETY: the map is read-only and private to this struct; that nobody changes the file meanwhile is
            // the contract stated above, which no program can enforce on Unix.
            Some(unsafe { Mmap::map(&file) }.map_err(io)?)
        };
        Ok(Self { path: path.into(), modified: metadata.modified().ok(), map })
    }

    /// Path it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Modification time when it was opened, where the file system keeps one.
    #[must_use]
    pub fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    /// Length in bytes when it was opened.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    /// True if the file has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_none()
    }

    /// The whole file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }

    /// Asks the system to read a range ahead. Advice only: failure costs speed, not correctness.
    pub fn will_need(&self, range: Range<usize>) {
        // Linux reads no more than its read-ahead window for one such advice, 128 KiB unless told otherwise.
        const PIECE: usize = 128 << 10;
        if let Some(map) = &self.map {
            for start in range.clone().step_by(PIECE) {
                let _ = map.advise_range(Advice::WillNeed, start, PIECE.min(range.end - start));
            }
        }
    }

    /// Gives the pages of a range back: they stay in the page cache but no longer count as this process's memory.
    pub fn give_back(&self, range: Range<usize>) {
        if let (Some(map), false) = (&self.map, range.is_empty()) {
            // SAFETY: the map is read-only and file-backed, so a dropped page is read again from the same file.
            let _ =
                unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
        }
    }
}
