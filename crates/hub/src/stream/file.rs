//! One remote file, as a source of bytes.

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use weights_io::{Source, Version};

use super::prefetch::{Fetch, GAP, Prefetcher};

/// Files up to this length are read as one: no part of them is worth a request of its own.
const SMALL: usize = 1 << 20;

/// A file whose bytes come by range requests. What was asked for ahead and not used is dropped with it.
#[derive(Debug)]
pub(crate) struct RemoteFile {
    path: PathBuf,
    len: usize,
    etag: String,
    number: usize,
    object: Arc<dyn Fetch>,
    prefetcher: Arc<Prefetcher>,
    /// All bytes of a small file; who fetches them holds the lock.
    whole: OnceLock<Vec<u8>>,
    fetching: Mutex<()>,
}

impl RemoteFile {
    /// Nothing is asked before bytes are.
    pub(crate) fn new(
        path: PathBuf,
        size: u64,
        etag: String,
        object: Arc<dyn Fetch>,
        prefetcher: &Arc<Prefetcher>,
    ) -> io::Result<Self> {
        let len = usize::try_from(size).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let (number, prefetcher) = (prefetcher.number(), Arc::clone(prefetcher));
        let (whole, fetching) = (OnceLock::new(), Mutex::default());
        Ok(Self { path, len, etag, number, object, prefetcher, whole, fetching })
    }

    fn fetch(&self, range: &Range<usize>) -> io::Result<Vec<u8>> {
        self.prefetcher.read(self.number, &self.object, range).map_err(io::Error::other)
    }

    fn whole(&self) -> io::Result<&[u8]> {
        let _fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        if self.whole.get().is_none() {
            let _ = self.whole.set(self.fetch(&(0..self.len))?);
        }
        Ok(self.whole.get().map(Vec::as_slice).unwrap_or_default())
    }
}

impl Source for RemoteFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> usize {
        self.len
    }

    fn version(&self) -> Version {
        Version::Etag(self.etag.clone())
    }

    fn read(&self, range: Range<usize>) -> io::Result<Cow<'_, [u8]>> {
        if range.start > range.end || range.end > self.len {
            let detail = format!("bytes {} to {} of a file of {}", range.start, range.end, self.len);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, detail));
        }
        if self.len <= SMALL {
            return Ok(Cow::Borrowed(self.whole()?.get(range).unwrap_or_default()));
        }
        self.fetch(&range).map(Cow::Owned)
    }

    fn will_need(&self, range: Range<usize>) {
        let range = if self.len <= SMALL { 0..self.len } else { range.start..range.end.min(self.len) };
        if self.whole.get().is_none() {
            self.prefetcher.will_need(self.number, &self.object, range);
        }
    }

    fn give_back(&self, range: Range<usize>) {
        self.prefetcher.give_back(self.number, &range);
    }

    fn worth_reading_through(&self) -> usize {
        GAP
    }
}

impl Drop for RemoteFile {
    fn drop(&mut self) {
        self.prefetcher.give_back(self.number, &(0..self.len));
    }
}
