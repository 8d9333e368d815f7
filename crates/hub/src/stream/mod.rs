//! Files that are read from where they are, range by range, ahead of their use.

mod file;
mod prefetch;

pub(crate) use file::RemoteFile;
pub(crate) use prefetch::{Fetch, Prefetcher};
