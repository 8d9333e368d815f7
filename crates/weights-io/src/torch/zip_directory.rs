//! The directory of a zip archive, which the zip crate reads through windows of the file, and where each entry's data is.

use std::borrow::Cow;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use zip::ZipArchive;
use zip::read::ZipArchiveMetadata;
use zip::result::ZipError;

use crate::planned::Planned;
use crate::{Error, Source};
use intake::shown;

/// Bytes that are read at once: most directories of a model, which stand at the end.
const WINDOW: usize = 64 << 10;
/// Bytes that are read in all; a directory has about a hundred an entry.
const MAX_READ: usize = 256 << 20;
/// Length of a local header before its name and its extra field, whose lengths are its last four bytes.
const LOCAL_HEADER: usize = 30;

/// What the directory says of each entry, and the bytes of its data.
pub(super) struct Directory {
    pub(super) entries: Arc<ZipArchiveMetadata>,
    pub(super) data: Vec<Range<usize>>,
}

/// Reads the directory and each entry's local header, which alone says where the data begins.
pub(super) fn read(file: &dyn Source) -> Result<Directory, Error> {
    let path = || file.path().to_path_buf();
    let zip_error = |source| Error::Zip { path: path(), source };
    let malformed = |detail: &str| Error::Torch { path: path(), detail: detail.into() };
    let mut windows = Windows { file, at: 0, start: 0, bytes: Cow::Borrowed(&[]), read: 0, failure: None };
    let opened =
        ZipArchive::new(&mut windows).map(|archive| (archive.metadata(), archive.central_directory_start()));
    // The zip crate may go on after a failure, as if the archive lacked what could not be read.
    if let Some(source) = windows.failure {
        return Err(Error::Io { path: path(), source });
    }
    let (entries, directory_start) = opened.map_err(|source| match source {
        // The directory stands at the end of the file, so a truncated archive has none.
        ZipError::InvalidArchive(_) => {
            Error::Truncated { path: path(), detail: "the zip archive has no directory at its end".into() }
        }
        source => zip_error(source),
    })?;
    if entries.has_duplicate_names() {
        return Err(malformed("two entries of the zip archive have one name"));
    }

    let beyond = |index: usize| {
        let entry = entries.entry(index).map_err(zip_error)?;
        let detail = format!("entry {} ends beyond it", shown(&entry.name().map_err(zip_error)?));
        Err(Error::Truncated { path: path(), detail })
    };
    let mut headers = Vec::with_capacity(entries.len());
    for index in 0..entries.len() {
        let start = entries.entry(index).map_err(zip_error)?.header_start();
        match usize::try_from(start).ok().and_then(|start| Some(start..start.checked_add(LOCAL_HEADER)?)) {
            Some(header) if header.end <= file.len() => headers.push((header, index)),
            _ => return beyond(index),
        }
    }
    headers.sort_unstable_by_key(|(header, _)| header.start);
    let mut planned = Planned::new(file, headers.iter().map(|(header, _)| header.clone()).collect());
    let mut data = vec![0..0; entries.len()];
    let mut occupied = 0;
    for (header, index) in headers {
        let end = header.end;
        let &[b'P', b'K', 3, 4, .., name_low, name_high, extra_low, extra_high] = planned.read(header)?
        else {
            return Err(zip_error(ZipError::InvalidArchive(
                "no local header where the directory says".into(),
            )));
        };
        let [name, extra] = [[name_low, name_high], [extra_low, extra_high]].map(u16::from_le_bytes);
        let start = end + usize::from(name) + usize::from(extra);
        let length = entries.entry(index).map_err(zip_error)?.compressed_size();
        let range = start..start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX));
        if !range.is_empty() && (range.start < occupied || range.end as u64 > directory_start) {
            return Err(malformed("entries of the zip archive overlap"));
        }
        if range.end > file.len() {
            return beyond(index);
        }
        occupied = occupied.max(range.end);
        data[index] = range;
    }
    Ok(Directory { entries, data })
}

/// A source as the zip crate wants it: a stream with a position.
struct Windows<'s> {
    file: &'s dyn Source,
    at: u64,
    /// Where the current window begins.
    start: usize,
    bytes: Cow<'s, [u8]>,
    /// Bytes read so far.
    read: usize,
    /// What kept the source from being read.
    failure: Option<io::Error>,
}

impl Windows<'_> {
    /// The bytes of the current window from the position on; none at the end of the file.
    fn ahead(&mut self) -> io::Result<&[u8]> {
        let len = self.file.len();
        let at = usize::try_from(self.at).unwrap_or(usize::MAX).min(len);
        if at < len && (at < self.start || at >= self.start + self.bytes.len()) {
            self.start = at.min(len.saturating_sub(WINDOW));
            let window = self.start..len.min(self.start + WINDOW);
            self.read += window.len();
            if self.read > MAX_READ {
                return Err(io::Error::other("its directory is longer than that of any model"));
            }
            self.bytes = self.file.read(window).map_err(|failure| {
                let told = io::Error::from(failure.kind());
                self.failure = Some(failure);
                told
            })?;
        }
        Ok(self.bytes.get(at.wrapping_sub(self.start)..).unwrap_or_default())
    }
}

impl Read for Windows<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.ahead()?.read(into)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Windows<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, distance) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::Current(distance) => (self.at, distance),
            SeekFrom::End(distance) => (self.file.len() as u64, distance),
        };
        self.at = base.checked_add_signed(distance).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
