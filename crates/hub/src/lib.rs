//! Models and data sets by name.
//!
//! A [`ModelReference`] is what users write: a path, the id of a repository of the Hugging Face Hub, or a URL. A [`Hub`]
//! finds it, in this order: on disk; in the cache, whose layout is that of Python's `huggingface_hub`, so that both share
//! what either has fetched; on the network. [`Settings::from_environment`] reads the variables that Python reads.
//!
//! What a task does not need is not fetched: a model is its configuration, its tokenizer if that is [`Wanted`], and one
//! format of weights, in the order of [`weights_io::PREFERENCE`]. Files arrive several at once, go on where an earlier
//! attempt ended, are checked for size and hash, and take their names only when they are whole. Dropped connections,
//! silence and errors that pass are got over; two processes, be one of them Python's, fetch a file once.
//!
//! With `stream`, nothing is stored: [`Place::Remote`] is read by range requests, what
//! [`will_need`](weights_io::Source::will_need) announces ahead of its use and within [`Settings::read_ahead`] bytes. So a
//! model may be larger than the disk. URLs (`s3://`, `gs://`, `https://`) go the same road; they need the feature
//! `object-store`. Ranges cannot be checked against a hash of the whole file: what TLS and the commit promise has to do.
//!
//! Without the feature `network` only disk and cache are looked at.
//!
//! ```
//! use hub::{Hub, ModelReference, Place, Settings, Wanted};
//!
//! # let cache = tempfile::tempdir()?;
//! # let variable = |name: &str| (name == "HF_HUB_CACHE").then(|| cache.path().into());
//! # let commit = "0123456789012345678901234567890123456789";
//! # let repository = cache.path().join("models--org--name");
//! # std::fs::create_dir_all(repository.join("refs"))?;
//! # std::fs::create_dir_all(repository.join("snapshots").join(commit))?;
//! # std::fs::write(repository.join("refs/main"), commit)?;
//! # for file in ["config.json", "model.safetensors"] {
//! #     std::fs::write(repository.join("snapshots").join(commit).join(file), "")?;
//! # }
//! let settings = Settings { offline: true, ..Settings::from_environment(variable) };
//! let hub = Hub::new(settings, Default::default());
//! let located = hub.locate(&ModelReference::from("org/name"), Wanted::default(), false, &())?;
//! let Place::Local(folder) = &located.place else { unreachable!("nothing is streamed") };
//! println!("{} is {} in {}", "org/name", located.commit.unwrap_or_default(), folder.display());
//!
//! let error = hub.locate(&"org/other".into(), Wanted::default(), false, &()).unwrap_err();
//! println!("{error} ({})", error.hint());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cache;
mod dataset;
mod error;
mod locate;
#[cfg(feature = "network")]
mod network;
#[cfg(feature = "object-store")]
mod objects;
mod observer;
mod reference;
mod repository;
mod selection;
mod settings;
#[cfg(feature = "network")]
mod stream;

pub use dataset::DatasetFiles;
pub use error::{Cause, Error};
pub use locate::{Hub, Located, Place, Wanted};
pub use observer::Observer;
pub use reference::{ModelReference, Target};
pub use settings::Settings;
