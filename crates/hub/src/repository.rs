//! One revision of one repository of the Hub.

use std::fmt;
use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo, RepoType};

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Model,
    Dataset,
}

impl Kind {
    #[cfg(feature = "network")]
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Dataset => "data set",
        }
    }
}

/// A repository and which of its revisions is meant: a branch, a tag or a commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Repository {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    pub(crate) revision: String,
}

impl Repository {
    pub(crate) fn new(kind: Kind, id: &str, revision: Option<&str>) -> Self {
        Self { kind, id: id.into(), revision: revision.unwrap_or("main").into() }
    }

    /// The same at another revision.
    pub(crate) fn at(&self, revision: &str) -> Self {
        Self { revision: revision.into(), ..self.clone() }
    }

    /// As hf-hub has it, which knows the layout of the cache and the addresses of the API.
    pub(crate) fn repo(&self, revision: String) -> Repo {
        let kind = match self.kind {
            Kind::Model => RepoType::Model,
            Kind::Dataset => RepoType::Dataset,
        };
        Repo::with_revision(self.id.clone(), kind, revision)
    }

    /// Its folder in the cache, by name.
    pub(crate) fn folder_name(&self) -> String {
        self.repo(String::new()).folder_name()
    }

    /// Its folder in the cache.
    pub(crate) fn folder(&self, cache: &Path) -> PathBuf {
        cache.join(self.folder_name())
    }

    /// Where the cache has the files of a commit.
    pub(crate) fn snapshot(&self, cache: &Path, commit: &str) -> PathBuf {
        Cache::new(cache.into()).repo(self.repo(String::new())).pointer_path(commit)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.id)?;
        if self.revision == "main" { Ok(()) } else { write!(formatter, "@{}", self.revision) }
    }
}
