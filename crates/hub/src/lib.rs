//! Models and data sets by name.
//!
//! A [`ModelReference`] is what users write: a path, or the id of a repository of the Hugging Face Hub. A [`Hub`] finds
//! it: on disk, in the cache that Python's `huggingface_hub` shares, or on the network.

mod cache;
mod dataset;
mod error;
mod locate;
#[cfg(feature = "network")]
mod network;
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
