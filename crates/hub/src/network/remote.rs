//! A repository that is read where it is.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use weights_io::{Files, Source};

use super::{Client, Listing, Object, Patience};
use crate::Error;
use crate::stream::{Fetch, Prefetcher, RemoteFile};

/// The files of one commit, to be read by range requests.
#[derive(Debug)]
pub(crate) struct RemoteFiles {
    pub(crate) client: Arc<Client>,
    pub(crate) listing: Listing,
    pub(crate) prefetcher: Arc<Prefetcher>,
}

impl Files for RemoteFiles {
    /// `hf://org/name@revision/file`
    fn path_of(&self, name: &str) -> PathBuf {
        let place = PathBuf::from(format!("hf://{}", self.listing.repository));
        if name.is_empty() { place } else { place.join(name) }
    }

    fn has(&self, name: &str) -> bool {
        self.listing.has(name)
    }

    fn open(&self, name: &str) -> Result<Box<dyn Source>, weights_io::Error> {
        let path = self.path_of(name);
        if !self.has(name) {
            return Err(weights_io::Error::NotFound { path });
        }
        let failed = |source| weights_io::Error::Io { path: path.clone(), source };
        let content =
            self.listing.content(&self.client, name, &()).map_err(|e| failed(io::Error::other(e)))?;
        let object = Arc::new(Object::new(&self.client, &self.listing, name, content.size));
        let file = RemoteFile::new(path.clone(), content.size, content.etag, object, &self.prefetcher);
        Ok(Box::new(file.map_err(failed)?))
    }
}

impl Fetch for Object {
    fn fetch(
        &self,
        range: Range<u64>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let stopped = || self.client.is_interrupted();
        let mut patience = Patience::new(self.client.pause, &stopped, &|_| {});
        self.read(range, false, &mut patience, &mut |_, bytes| sink(bytes))
    }
}
