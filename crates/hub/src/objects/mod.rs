//! Models in object stores and on web servers, by URL. They are always read where they are.
//!
//! object_store knows the stores' ways to name, sign and read; its requests go through the client of this crate, so that
//! there is one set of rules for proxies, certificates, time limits and interruption.

mod connector;
mod files;

use std::sync::Arc;

use object_store::aws::AmazonS3Builder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::path::Path as Location;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use weights_io::{Files, PREFERENCE};

use self::connector::Connector;
use self::files::StoredFiles;
use crate::{Error, Hub, Located, Place};

/// What weight files and indexes are called; another name is a folder's.
const EXTENSIONS: [&str; 6] = [".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".index.json"];

impl Hub {
    /// Finds a model by URL: a folder with weights, or one weight file. Web servers cannot be asked what a folder has, so
    /// it is asked for the names that weights usually have.
    pub(crate) fn model_at_url(&self, url: &str) -> Result<Located, Error> {
        let (store, folder) = self.store(url)?;
        let (folder, file) = match folder.as_ref().rsplit_once('/') {
            Some((folder, file)) if is_weights(file) => (Location::from(folder), Some(file.to_owned())),
            None if is_weights(folder.as_ref()) => (Location::default(), Some(folder.to_string())),
            _ => (folder, None),
        };
        let shown = file.as_ref().and_then(|file| url.strip_suffix(file)).unwrap_or(url);
        let url = shown.trim_end_matches('/').to_owned();
        let files = StoredFiles::new(url.clone(), folder, store, Arc::clone(&self.prefetcher));
        let mut failure = None;
        let names = file.as_deref().map_or(PREFERENCE.to_vec(), |file| vec![file]);
        for name in names {
            match files.look(name) {
                Ok(Some(_)) => {
                    let place = Place::Remote(Arc::new(files) as Arc<dyn Files>);
                    return Ok(Located { place, file, commit: None });
                }
                Ok(None) => {}
                // Stores refuse to tell of files that are not there, unless one may list the folder.
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(match (failure, file) {
            (Some(error), _) => error,
            (None, Some(file)) => Error::NoSuchFile { repository: url, file },
            (None, None) => Error::NoWeights { place: url },
        })
    }

    /// The store that a URL names, and the path in it.
    fn store(&self, url: &str) -> Result<(Arc<dyn ObjectStore>, Location), Error> {
        let malformed = |reason: &str| Error::Url { url: url.into(), reason: reason.into() };
        let (scheme, rest) = url.split_once("://").ok_or_else(|| malformed("is no URL"))?;
        if rest.contains(['?', '#']) {
            return Err(malformed("has a query, which a folder or file cannot have"));
        }
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() {
            return Err(malformed("names no bucket or host"));
        }
        let path = Location::from_url_path(path).map_err(|_| malformed("has a path that cannot be read"))?;
        let connector = Connector(self.client()?);
        let backoff = BackoffConfig { init_backoff: self.settings.pause, ..BackoffConfig::default() };
        let retry = RetryConfig { backoff, ..RetryConfig::default() };
        let store: Result<Arc<dyn ObjectStore>, _> = match scheme {
            "s3" => AmazonS3Builder::from_env()
                .with_bucket_name(host)
                .with_retry(retry)
                .with_http_connector(connector)
                .build()
                .map(|store| Arc::new(store) as _),
            "gs" => GoogleCloudStorageBuilder::from_env()
                .with_bucket_name(host)
                .with_retry(retry)
                .with_http_connector(connector)
                .build()
                .map(|store| Arc::new(store) as _),
            _ => HttpBuilder::new()
                .with_url(format!("{scheme}://{host}"))
                .with_retry(retry)
                .with_http_connector(connector)
                .build()
                .map(|store| Arc::new(store) as _),
        };
        Ok((store.map_err(|error| failed(url, error))?, path))
    }
}

fn is_weights(name: &str) -> bool {
    EXTENSIONS.iter().any(|extension| name.ends_with(extension))
}

fn failed(url: &str, source: object_store::Error) -> Error {
    Error::Store { url: url.into(), source: Box::new(source) }
}
