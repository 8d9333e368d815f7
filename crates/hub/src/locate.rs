//! Finds a model: on disk, in the cache, or on the network.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use weights_io::Checkpoint;

use crate::{Error, ModelReference, Observer, Settings, Target};

/// The Hub as one user sees it, and the cache of its files.
///
/// A revision that was resolved once stays the same for the lifetime of this value, so that all parts of a run see the
/// same model even if its branch moves on.
#[derive(Debug)]
pub struct Hub {
    #[allow(dead_code)]
    settings: Settings,
    #[allow(dead_code)]
    interrupted: Arc<AtomicBool>,
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
    /// The commit of a repository of the Hub.
    pub commit: Option<String>,
}

/// Where a model's files are.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a folder, or in one weight file.
    Local(PathBuf),
}

impl Hub {
    /// Nothing is asked or read before a model is looked for. Downloads and streams end with [`Error::Interrupted`]
    /// once the flag is set.
    #[must_use]
    pub fn new(settings: Settings, interrupted: Arc<AtomicBool>) -> Self {
        Self { settings, interrupted }
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
        let _ = (wanted, stream, observer);
        match reference.target() {
            Target::Path(path) => Ok(Located { place: Place::Local(path.into()), commit: None }),
            Target::Hub { .. } => Err(Error::NotBuilt { reference: reference.to_text(), feature: "network" }),
            Target::Url(_) => {
                Err(Error::NotBuilt { reference: reference.to_text(), feature: "object-store" })
            }
        }
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
        }
    }
}
