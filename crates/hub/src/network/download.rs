//! Fetches files into the cache: several at once, from where an earlier attempt ended, checked, whole or not at all.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::hash::Hash;
use super::http::Client;
use super::listing::{Content, Listing};
use super::lock::Lock;
use super::object::Object;
use super::retry::Patience;
use super::store::create_folder_of;
use crate::cache::Snapshot;
use crate::{Error, Observer};

/// Files that are fetched at once.
const AT_ONCE: usize = 4;

/// Makes these files of a listing be in the cache.
pub(crate) fn download(
    client: &Arc<Client>,
    cache: &Path,
    listing: &Listing,
    names: &[&str],
    observer: &dyn Observer,
) -> Result<(), Error> {
    let snapshot = Snapshot::at(cache, &listing.repository, &listing.commit);
    let missing: Vec<&str> = names.iter().copied().filter(|name| !snapshot.has(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let stop = AtomicBool::new(false);
    let download = Download { client, cache, listing, observer, stop: &stop };
    let mut files = Vec::with_capacity(missing.len());
    for name in missing {
        files.push((name, listing.content(client, name, observer)?));
    }
    let bytes = files.iter().map(|(_, content)| content.size).sum();
    let to_come = files.iter().map(|(_, content)| content.size - download.present(content)).sum();
    download.check_space(&listing.repository.to_string(), to_come)?;

    if let Some((name, _)) = files.first().filter(|_| listing.is_gated) {
        listing.head(client, name, observer)?; // a refusal is best known before anything is announced
    }
    observer.download_started(&listing.repository.to_string(), files.len(), bytes);
    let next = AtomicUsize::new(0);
    let failure: Mutex<Option<Error>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(files.len()) {
            scope.spawn(|| {
                while let Some((name, content)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let fetched = download.fetch(name, content);
                    if let Err(error) = fetched.and_then(|blob| snapshot.link(name, &blob)) {
                        // The first failure counts: it stops the others.
                        let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                        failure.get_or_insert(error);
                        stop.store(true, Ordering::Relaxed);
                    }
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
    });
    observer.download_finished();
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

struct Download<'a> {
    client: &'a Arc<Client>,
    cache: &'a Path,
    listing: &'a Listing,
    observer: &'a dyn Observer,
    /// Set when another file has failed.
    stop: &'a AtomicBool,
}

impl Download<'_> {
    fn is_stopped(&self) -> bool {
        self.client.is_interrupted() || self.stop.load(Ordering::Relaxed)
    }

    fn blob(&self, content: &Content) -> PathBuf {
        self.listing.repository.folder(self.cache).join("blobs").join(&content.etag)
    }

    /// Bytes of a content that are in the cache, be it from an earlier attempt.
    fn present(&self, content: &Content) -> u64 {
        let blob = self.blob(content);
        if is_complete(&blob, content) {
            return content.size;
        }
        std::fs::metadata(partial(&blob)).map_or(0, |metadata| metadata.len().min(content.size))
    }

    /// Makes a blob be there, and says where.
    fn fetch(&self, name: &str, content: &Content) -> Result<PathBuf, Error> {
        let blob = self.blob(content);
        if !is_complete(&blob, content) {
            let folder = self.cache.join(".locks").join(self.listing.repository.folder_name());
            let lock = folder.join(format!("{}.lock", content.etag));
            let waiting = || self.observer.waiting(&format!("another process fetches {name}"));
            let _lock = Lock::acquire(&lock, &|| self.is_stopped(), waiting)?;
            if !is_complete(&blob, content) {
                self.fetch_locked(name, content, &blob)?;
                return Ok(blob);
            }
        }
        self.observer.file_started(name, content.size, content.size);
        self.observer.file_finished(name);
        Ok(blob)
    }

    fn fetch_locked(&self, name: &str, content: &Content, blob: &Path) -> Result<(), Error> {
        create_folder_of(blob)?;
        let path = partial(blob);
        let unusable = |source: io::Error| self.disk_error(name, &path, source);
        let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = Arriving { file: open.map_err(unusable)?, length: 0, hash: Hash::of(content) };
        let mut once_more = true;
        loop {
            let result = self.fill(name, content, &mut file).map_err(|error| match error {
                Trouble::Disk(error) => unusable(error),
                Trouble::Other(error) => error,
            })?;
            let Some((what, found)) = result else { break };
            if !once_more {
                drop(file);
                std::fs::remove_file(&path).map_err(unusable)?;
                return Err(Error::Damaged {
                    file: format!("{} of {}", name, self.listing.repository),
                    what,
                    expected: content.etag.clone(),
                    found,
                });
            }
            once_more = false;
            file.cut(content, 0).map_err(unusable)?;
        }
        file.file.sync_all().map_err(unusable)?;
        std::fs::rename(&path, blob).map_err(unusable)?;
        self.observer.file_finished(name);
        Ok(())
    }

    /// Fetches what is missing of a file. Returns what its hash is and what it was found to be, if that is not right.
    fn fill(
        &self,
        name: &str,
        content: &Content,
        file: &mut Arriving,
    ) -> Result<Option<(&'static str, String)>, Trouble> {
        file.take_stock(content, &|| self.is_stopped())?;
        self.observer.file_started(name, content.size, file.length);
        let object = Object::new(self.client, self.listing, name, content.size);
        let (stopped, waiting) = (|| self.is_stopped(), |why: &str| self.observer.waiting(why));
        let mut patience = Patience::new(self.client.pause, &stopped, &waiting);
        let mut disk = None;
        let start = file.length;
        let read = object.read(start..content.size, true, &mut patience, &mut |at, bytes| {
            if self.is_stopped() {
                return Err(Error::Interrupted);
            }
            let result = if at == file.length { Ok(()) } else { self.begin_anew(name, content, file) };
            if let Err(error) = result.and_then(|()| file.add(bytes)) {
                disk = Some(error);
                return Err(Error::Interrupted);
            }
            self.observer.received(name, bytes.len() as u64);
            Ok(())
        });
        if let Some(error) = disk {
            return Err(Trouble::Disk(error));
        }
        read.map_err(Trouble::Other)?;
        let hash = std::mem::replace(&mut file.hash, Hash::Unknown).finish();
        Ok(hash.filter(|(_, found)| *found != content.etag.to_ascii_lowercase()))
    }

    /// The server knows no ranges: what was there is sent again.
    fn begin_anew(&self, name: &str, content: &Content, file: &mut Arriving) -> io::Result<()> {
        file.cut(content, 0)?;
        self.observer.file_started(name, content.size, 0);
        Ok(())
    }

    fn disk_error(&self, name: &str, path: &Path, source: io::Error) -> Error {
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            let needed = self.listing.content(self.client, name, &()).map_or(0, |content| content.size);
            let present = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
            return Error::DiskFull {
                file: format!("{name} of {}", self.listing.repository),
                cache: self.cache.into(),
                needed: needed.saturating_sub(present),
                free: None,
            };
        }
        Error::Cache { path: path.into(), source }
    }

    /// Says early that the disk is too small, where the system tells.
    fn check_space(&self, what: &str, needed: u64) -> Result<(), Error> {
        let free = free_space(self.cache);
        match free {
            Some(bytes) if bytes < needed => {
                Err(Error::DiskFull { file: what.into(), cache: self.cache.into(), needed, free })
            }
            _ => Ok(()),
        }
    }
}

/// What can go wrong while a file is filled.
enum Trouble {
    Disk(io::Error),
    Other(Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// A file that arrives, and the hash of what is there.
struct Arriving {
    file: File,
    length: u64,
    hash: Hash,
}

impl Arriving {
    /// Sums up what an earlier attempt left, and goes on behind it.
    fn take_stock(&mut self, content: &Content, stopped: &dyn Fn() -> bool) -> Result<(), Trouble> {
        if self.file.metadata()?.len() > content.size {
            self.cut(content, 0)?;
        }
        self.file.seek(SeekFrom::Start(0))?;
        (self.hash, self.length) = (Hash::of(content), 0);
        let mut chunk = vec![0; 1 << 20];
        loop {
            match self.file.read(&mut chunk)? {
                0 => return Ok(()),
                count => self.hash.update(&chunk[..count]),
            }
            self.length = self.file.stream_position()?;
            if stopped() {
                return Err(Trouble::Other(Error::Interrupted));
            }
        }
    }

    fn cut(&mut self, content: &Content, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.seek(SeekFrom::Start(length))?;
        (self.hash, self.length) = (Hash::of(content), length);
        Ok(())
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }
}

fn is_complete(blob: &Path, content: &Content) -> bool {
    std::fs::metadata(blob).is_ok_and(|metadata| metadata.is_file() && metadata.len() == content.size)
}

/// Where a blob is while it arrives, as Python has it.
fn partial(blob: &Path) -> PathBuf {
    let mut name = OsString::from(blob);
    name.push(".incomplete");
    name.into()
}

/// Bytes that may be written where a folder is or will be.
fn free_space(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|folder| folder.is_dir())?;
    #[cfg(unix)]
    return rustix::fs::statvfs(existing).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    #[cfg(not(unix))]
    return None;
}
