//! The cache on disk, in the layout of Python's `huggingface_hub`, which shares it:
//!
//! ```text
//! models--org--name/refs/main                    the commit that the branch main is at
//! models--org--name/snapshots/<commit>/…         its files: links to blobs
//! models--org--name/blobs/<etag>                 contents; <etag>.incomplete while they arrive
//! models--org--name/.no_exist/<commit>/…         empty files: those that the commit does not have
//! .locks/models--org--name/<etag>.lock           held while a blob is fetched
//! ```

use std::path::{Path, PathBuf};

use weights_io::{Access, LocalFiles, shard_names};

use crate::Wanted;
use crate::repository::Repository;
use crate::selection::{is_index, small_files, weights};

/// The files of one commit that are in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) commit: String,
    pub(crate) folder: PathBuf,
    /// Has an empty file for each file that the commit is known not to have.
    pub(crate) absent: PathBuf,
}

impl Snapshot {
    /// The commit that a revision is at, as far as the cache knows, and what there is of it.
    pub(crate) fn of(cache: &Path, repository: &Repository) -> Option<Self> {
        let revision = &repository.revision;
        let commit = if is_commit(revision) {
            revision.clone()
        } else {
            let reference = repository.folder(cache).join("refs").join(revision);
            String::from_utf8(intake::read(&reference, 1 << 10).ok()?).ok()?.trim().to_owned()
        };
        is_commit(&commit).then(|| Self::at(cache, repository, &commit))
    }

    /// What there is of a commit.
    pub(crate) fn at(cache: &Path, repository: &Repository, commit: &str) -> Self {
        Self {
            commit: commit.into(),
            folder: repository.snapshot(cache, commit),
            absent: repository.folder(cache).join(".no_exist").join(commit),
        }
    }

    /// Whether a file is there, behind whatever links.
    pub(crate) fn has(&self, name: &str) -> bool {
        std::fs::metadata(self.folder.join(name)).is_ok_and(|metadata| metadata.is_file())
    }

    /// Whether the commit is known not to have a file.
    pub(crate) fn lacks(&self, name: &str) -> bool {
        self.absent.join(name).exists()
    }

    /// Whether the weights are all there: the file or index that [`weights_io::Checkpoint`] would take, and the shards
    /// it names.
    pub(crate) fn has_weights(&self) -> bool {
        let listed = |name: &str| self.folder.join(name).symlink_metadata().is_ok();
        let Some(choice) = weights(listed).filter(|choice| self.has(choice)) else { return false };
        if !is_index(choice) {
            return true;
        }
        self.shards(choice).is_ok_and(|shards| shards.iter().all(|shard| self.has(shard)))
    }

    /// The weight files that an index names.
    pub(crate) fn shards(&self, index: &str) -> Result<Vec<String>, weights_io::Error> {
        shard_names(&LocalFiles::new(&self.folder, Access::Read), index)
    }

    /// What is missing besides the weights, and not known to be nowhere.
    pub(crate) fn missing(&self, wanted: Wanted) -> Vec<&'static str> {
        let settled = |name: &str| self.has(name) || self.lacks(name);
        small_files(wanted).filter(|name| !settled(name)).collect()
    }

    /// All files, as names with slashes.
    pub(crate) fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(prefix) = folders.pop() {
            for entry in std::fs::read_dir(self.folder.join(&prefix)).into_iter().flatten().flatten() {
                let Ok(name) = entry.file_name().into_string() else { continue };
                let name = format!("{prefix}{name}");
                match std::fs::metadata(entry.path()) {
                    Ok(metadata) if metadata.is_dir() => folders.push(name + "/"),
                    Ok(_) => files.push(name),
                    Err(_) => {} // a dangling link: its blob was removed
                }
            }
        }
        files.sort();
        files
    }
}

/// Whether a revision is a whole commit hash.
pub(crate) fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}
