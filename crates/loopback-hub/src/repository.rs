//! Repositories: files by commit, commits by revision, and who may see them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha1::{Digest, Sha1};

use crate::content::{Content, hexadecimal};

/// The Hub's repositories that hold files for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `/org/name`, `/api/models/org/name`
    Model,
    /// `/datasets/org/name`, `/api/datasets/org/name`
    Dataset,
}

impl Kind {
    /// What messages of the Hub call it.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Kind::Model => "model",
            Kind::Dataset => "dataset",
        }
    }

    /// What stands before the name in the URL of a page or a file.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Kind::Model => "",
            Kind::Dataset => "datasets/",
        }
    }
}

pub(crate) type Files = BTreeMap<String, Arc<Content>>;

#[derive(Debug, Default)]
pub(crate) struct Repository {
    /// Commit of each branch, tag or other reference.
    revisions: BTreeMap<String, String>,
    commits: BTreeMap<String, Files>,
}

impl Repository {
    /// Commit and files of a revision, or of a commit.
    pub(crate) fn at(&self, revision: &str) -> Option<(&str, &Files)> {
        let commit = self.revisions.get(revision).map_or(revision, String::as_str);
        self.commits.get_key_value(commit).map(|(commit, files)| (commit.as_str(), files))
    }

    /// The names of branches, tags and other references.
    pub(crate) fn revisions(&self) -> impl Iterator<Item = &str> {
        self.revisions.keys().map(String::as_str)
    }
}

/// Who may see a repository.
#[derive(Debug, Default)]
pub(crate) struct Access {
    pub(crate) private_to: Option<String>,
    pub(crate) gated: bool,
    /// Tokens of those who accepted the licence.
    pub(crate) accepted: BTreeSet<String>,
}

/// All repositories by their names.
#[derive(Debug, Default)]
pub(crate) struct Repositories {
    by_name: BTreeMap<(Kind, String), Repository>,
    by_hash: BTreeMap<String, Arc<Content>>,
    access: BTreeMap<String, Access>,
    pub(crate) aliases: BTreeMap<String, String>,
}

impl Repositories {
    pub(crate) fn add(&mut self, kind: Kind, id: &str, revision: &str, files: Files) -> String {
        let mut hash = Sha1::new_with_prefix(format!("{} {id}", kind.noun()));
        for (name, content) in &files {
            hash.update(format!("\n{name} {}", content.sha256));
            self.by_hash.insert(content.sha256.clone(), Arc::clone(content));
        }
        let commit = hexadecimal(&hash.finalize());
        let repository = self.by_name.entry((kind, id.to_owned())).or_default();
        repository.revisions.insert(revision.to_owned(), commit.clone());
        repository.commits.insert(commit.clone(), files);
        commit
    }

    pub(crate) fn get(&self, kind: Kind, id: &str) -> Option<&Repository> {
        self.by_name.get(&(kind, id.to_owned()))
    }

    /// The file with this SHA-256.
    pub(crate) fn by_hash(&self, sha256: &str) -> Option<&Arc<Content>> {
        self.by_hash.get(sha256)
    }

    pub(crate) fn access(&self, id: &str) -> Option<&Access> {
        self.access.get(id)
    }

    pub(crate) fn access_mut(&mut self, id: &str) -> &mut Access {
        self.access.entry(id.to_owned()).or_default()
    }

    /// Whether the server would have given this token out: those it was told of, and all that look like the Hub's.
    pub(crate) fn knows_token(&self, token: &str) -> bool {
        let mut access = self.access.values();
        token.starts_with("hf_")
            || access
                .any(|access| access.private_to.as_deref() == Some(token) || access.accepted.contains(token))
    }
}
