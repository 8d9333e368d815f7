//! The files of one folder of a store.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::path::{Path as Location, PathPart};
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt};
use weights_io::{Files, Source};

use super::failed;
use crate::Error;
use crate::stream::{Fetch, Prefetcher, RemoteFile};

/// Files that are looked for when they are asked for: only their names tell what a folder has.
#[derive(Debug)]
pub(crate) struct StoredFiles {
    url: String,
    folder: Location,
    store: Arc<dyn ObjectStore>,
    prefetcher: Arc<Prefetcher>,
    /// What is known of a name.
    known: Mutex<HashMap<String, Option<ObjectMeta>>>,
}

impl StoredFiles {
    pub(crate) fn new(
        url: String,
        folder: Location,
        store: Arc<dyn ObjectStore>,
        prefetcher: Arc<Prefetcher>,
    ) -> Self {
        Self { url, folder, store, prefetcher, known: Mutex::default() }
    }

    fn url_of(&self, name: &str) -> String {
        if name.is_empty() { self.url.clone() } else { format!("{}/{name}", self.url) }
    }

    /// Asks for a file's size and tag, once; `None` if it is not there.
    pub(crate) fn look(&self, name: &str) -> Result<Option<ObjectMeta>, Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(name) {
            return Ok(known.clone());
        }
        let found = match PathPart::parse(name) {
            Ok(part) => wait(self.store.head(&self.folder.clone().join(part))),
            Err(_) => return Ok(None), // a name that no file of a folder has
        };
        let found = match found {
            Ok(found) => Some(found),
            Err(object_store::Error::NotFound { .. }) => None,
            Err(error) => return Err(failed(&self.url_of(name), error)),
        };
        known.insert(name.into(), found.clone());
        Ok(found)
    }
}

impl Files for StoredFiles {
    fn path_of(&self, name: &str) -> PathBuf {
        self.url_of(name).into()
    }

    /// What cannot be asked for is not there.
    fn has(&self, name: &str) -> bool {
        self.look(name).is_ok_and(|found| found.is_some())
    }

    fn open(&self, name: &str) -> Result<Box<dyn Source>, weights_io::Error> {
        let path = self.path_of(name);
        let failed = |source| weights_io::Error::Io { path: path.clone(), source };
        let found = self.look(name).map_err(|error| failed(io::Error::other(error)))?;
        let Some(found) = found else { return Err(weights_io::Error::NotFound { path }) };
        // Without a tag the time of the last change tells contents apart.
        let etag = found.e_tag.clone().unwrap_or_else(|| found.last_modified.to_rfc3339());
        let size = found.size;
        let object = StoredObject { url: self.url_of(name), store: Arc::clone(&self.store), found };
        let file = RemoteFile::new(path.clone(), size, etag, Arc::new(object), &self.prefetcher);
        Ok(Box::new(file.map_err(failed)?))
    }
}

/// One file as it was when it was found.
#[derive(Debug)]
struct StoredObject {
    url: String,
    store: Arc<dyn ObjectStore>,
    found: ObjectMeta,
}

impl Fetch for StoredObject {
    fn fetch(
        &self,
        range: Range<u64>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let ObjectMeta { location, e_tag, .. } = &self.found;
        let length = range.end - range.start;
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: e_tag.clone().filter(|tag| !tag.starts_with("W/")), // weak tags never match
            ..GetOptions::default()
        };
        let bytes = wait(async { self.store.get_opts(location, options).await?.bytes().await });
        let bytes = bytes.map_err(|error| failed(&self.url, error))?;
        if bytes.len() as u64 != length {
            let reason = format!("sent {} bytes where {length} were asked for", bytes.len());
            return Err(Error::Answer { address: self.url.clone(), reason });
        }
        sink(&bytes)
    }
}

/// Waits for a request, on this thread.
fn wait<T>(request: impl Future<Output = object_store::Result<T>>) -> object_store::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime
        .map_err(|source| object_store::Error::Generic { store: "runtime", source: Box::new(source) })?;
    runtime.block_on(request)
}
