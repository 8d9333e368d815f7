//! Finds a model: on disk, in the cache, or on the network.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use weights_io::{Checkpoint, Files};

use crate::cache::Snapshot;
use crate::repository::{Kind, Repository};
use crate::selection::TOKENIZER;
use crate::{Error, ModelReference, Observer, Settings, Target};

/// The Hub as one user sees it, and the cache of its files.
///
/// A revision that was resolved once stays the same for the lifetime of this value, so that all parts of a run see the
/// same model even if its branch moves on.
#[derive(Debug)]
pub struct Hub {
    pub(crate) settings: Settings,
    #[cfg_attr(not(feature = "network"), allow(dead_code))]
    pub(crate) interrupted: Arc<AtomicBool>,
    /// The commit of each revision that was resolved.
    pins: Mutex<HashMap<Repository, String>>,
    #[cfg(feature = "network")]
    pub(crate) client: Mutex<Option<Arc<crate::network::Client>>>,
    /// All streams share it, and its budget of memory.
    #[cfg(feature = "network")]
    pub(crate) prefetcher: Arc<crate::stream::Prefetcher>,
}

/// What a task needs of a model besides its weights and its configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The tokenizer.
    pub tokenizer: bool,
}

/// A model that was found.
#[derive(Clone, Debug)]
pub struct Located {
    /// Where its files are.
    pub place: Place,
    /// The weight file there, if one was named; the place's own is chosen otherwise.
    pub file: Option<String>,
    /// The commit of a repository of the Hub.
    pub commit: Option<String>,
}

/// Where a model's files are.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a folder, or in one weight file.
    Local(PathBuf),
    /// Elsewhere, to be read by range requests.
    Remote(Arc<dyn Files>),
}

impl Hub {
    /// Nothing is asked or read before a model is looked for. Downloads and streams end with [`Error::Interrupted`]
    /// once the flag is set.
    #[must_use]
    pub fn new(settings: Settings, interrupted: Arc<AtomicBool>) -> Self {
        Self {
            #[cfg(feature = "network")]
            prefetcher: Arc::new(crate::stream::Prefetcher::new(
                settings.read_ahead,
                Arc::clone(&interrupted),
            )),
            settings,
            interrupted,
            pins: Mutex::default(),
            #[cfg(feature = "network")]
            client: Mutex::default(),
        }
    }

    /// Finds a model. With `stream`, one that is not on disk is not downloaded, but read from where it is.
    ///
    /// # Errors
    /// Every [`Error`]. That a path does not exist is found out when it is opened.
    pub fn locate(
        &self,
        reference: &ModelReference,
        wanted: Wanted,
        stream: bool,
        observer: &dyn Observer,
    ) -> Result<Located, Error> {
        match reference.target() {
            Target::Path(path) => Ok(Located { place: Place::Local(path.into()), file: None, commit: None }),
            Target::Hub { id, revision } => {
                let repository = Repository::new(Kind::Model, id, revision);
                let located = self.model(&repository, wanted, stream, observer, reference)?;
                if let Some(commit) = &located.commit {
                    self.pin(repository, commit);
                }
                Ok(located)
            }
            Target::Url(url) if url.starts_with("hf://") => Err(Error::NoId { reference: url.into() }),
            Target::Url(url) => match self.reference_of_page(url) {
                Some(reference) => self.locate(&reference, wanted, stream, observer),
                None => self.at_url(url, reference),
            },
        }
    }

    /// The model whose page on the Hub this is, as copied from a browser: `…/org/name` or `…/org/name/tree/revision`.
    fn reference_of_page(&self, url: &str) -> Option<ModelReference> {
        let path = url.strip_prefix(&self.settings.endpoint)?.strip_prefix('/')?.trim_end_matches('/');
        let (id, revision) = path.split_once("/tree/").unwrap_or((path, "main"));
        let reference = ModelReference::from(format!("hf://{id}@{revision}"));
        matches!(reference.target(), Target::Hub { .. }).then_some(reference)
    }

    fn at_url(&self, url: &str, reference: &ModelReference) -> Result<Located, Error> {
        let known = ["s3://", "gs://", "https://", "http://"].iter().any(|scheme| url.starts_with(scheme));
        if !known {
            return Err(Error::Url { url: url.into(), reason: "is of an unknown kind".into() });
        }
        if self.settings.offline {
            return Err(Error::Offline {
                reference: reference.to_text(),
                missing: "what a URL names".into(),
                cache: self.settings.cache.clone(),
            });
        }
        #[cfg(feature = "object-store")]
        return self.model_at_url(url);
        #[cfg(not(feature = "object-store"))]
        Err(Error::NotBuilt { reference: reference.to_text(), feature: "object-store" })
    }

    fn model(
        &self,
        repository: &Repository,
        wanted: Wanted,
        stream: bool,
        observer: &dyn Observer,
        reference: &ModelReference,
    ) -> Result<Located, Error> {
        let mut repository = self.pinned(repository);
        let mut missing = "its weights";
        if let Some(snapshot) = Snapshot::of(&self.settings.cache, &repository)
            && snapshot.has_weights()
        {
            let small = snapshot.missing(wanted);
            // No model was ever unreadable without its configuration; the network is asked for it all the same.
            if small.is_empty() || self.settings.offline && !small.contains(&TOKENIZER) {
                let (place, commit) = (Place::Local(snapshot.folder), Some(snapshot.commit));
                return Ok(Located { place, file: None, commit });
            }
            missing = "its tokenizer.json";
            repository = repository.at(&snapshot.commit);
        }
        if self.settings.offline {
            return Err(Error::Offline {
                reference: reference.to_text(),
                missing: missing.into(),
                cache: self.settings.cache.clone(),
            });
        }
        #[cfg(feature = "network")]
        return self.model_from_network(&repository, wanted, stream, observer);
        #[cfg(not(feature = "network"))]
        {
            let _ = (repository, stream, observer);
            Err(Error::NotBuilt { reference: reference.to_text(), feature: "network" })
        }
    }

    /// The repository at the commit that its revision was resolved to before.
    pub(crate) fn pinned(&self, repository: &Repository) -> Repository {
        let pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        pins.get(repository).map_or_else(|| repository.clone(), |commit| repository.at(commit))
    }

    /// From now on this revision is this commit.
    pub(crate) fn pin(&self, repository: Repository, commit: &str) {
        let mut pins = self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        pins.insert(repository, commit.into());
    }
}

/// With the settings of the environment.
impl Default for Hub {
    fn default() -> Self {
        Self::new(Settings::from_environment(|name| std::env::var_os(name)), Arc::default())
    }
}

impl Located {
    /// Opens the weights.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub fn open(&self) -> Result<Checkpoint, weights_io::Error> {
        match &self.place {
            Place::Local(path) => Checkpoint::open(path),
            Place::Remote(files) => Checkpoint::open_in(Arc::clone(files), self.file.as_deref()),
        }
    }
}
