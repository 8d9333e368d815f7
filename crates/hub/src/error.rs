//! The one error type of this crate.

use std::io;
use std::path::PathBuf;

/// What went wrong in a library below.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a model or a data set could not be had. [`Error::hint`] names the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing of the name, here or there. The Hub says the same of private repositories that one may not see.
    #[error("`{reference}` is no path that exists, and {endpoint} shows no {kind} of that name")]
    NoSuchRepository {
        /// What was asked for.
        reference: String,
        /// model or data set.
        kind: &'static str,
        /// The Hub that was asked.
        endpoint: String,
    },
    /// The repository has no such branch, tag or commit.
    #[error("{repository} has no revision `{revision}`")]
    NoSuchRevision {
        /// Its id.
        repository: String,
        /// What was asked for.
        revision: String,
    },
    /// A licence must be accepted first.
    #[error("{repository} is gated: its licence must be accepted first")]
    Gated {
        /// Its id.
        repository: String,
        /// Where the licence can be accepted.
        page: String,
        /// Whether a token was sent.
        with_token: bool,
    },
    /// The token is not valid.
    #[error("{endpoint} does not accept the token")]
    Token {
        /// The Hub that was asked.
        endpoint: String,
    },
    /// The cache lacks something, and the network must not be used.
    #[error("`{reference}` is no path that exists, and the cache {} lacks {missing}", cache.display())]
    Offline {
        /// What was asked for.
        reference: String,
        /// What is missing.
        missing: String,
        /// The cache.
        cache: PathBuf,
    },
    /// After `hf://` stands something else than the id of a repository.
    #[error("`{reference}` names no repository of the Hub")]
    NoId {
        /// What was asked for.
        reference: String,
    },
    /// This program was built without the feature that could fetch it.
    #[error(
        "`{reference}` is no path that exists, and this program was built without the feature `{feature}`"
    )]
    NotBuilt {
        /// What was asked for.
        reference: String,
        /// The feature.
        feature: &'static str,
    },
    /// The repository has no such file.
    #[error("{repository} has no file {file}")]
    NoSuchFile {
        /// Its id.
        repository: String,
        /// What was looked for.
        file: String,
    },
    /// A repository or folder without weights in a known format.
    #[error("{place} has no weights: none of {}", weights_io::PREFERENCE.join(", "))]
    NoWeights {
        /// Id of the repository, or URL of the folder.
        place: String,
    },
    /// The index of a model's shards cannot be used.
    #[error("{file} of {repository} {reason}")]
    Index {
        /// Its id.
        repository: String,
        /// The index.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The data set has no Parquet files for a configuration and split.
    #[error("{dataset} has no Parquet files of configuration `{config}`, split `{split}`{}", listed(present))]
    NoParquet {
        /// Id of the data set.
        dataset: String,
        /// What was asked for.
        config: String,
        /// What was asked for.
        split: String,
        /// What is there, as configuration/split.
        present: Vec<String>,
    },
    /// No answer came.
    #[error("cannot reach {address}")]
    Unreachable {
        /// Where the request went, without its query.
        address: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// A server refused a request.
    #[error("{address} answered {status}{}", if message.is_empty() { "" } else { ": " }.to_owned() + message)]
    Status {
        /// Where the request went, without its query.
        address: String,
        /// Status code of HTTP.
        status: u16,
        /// What the server says about it.
        message: String,
    },
    /// A server's answer makes no sense.
    #[error("{address} {reason}")]
    Answer {
        /// Where the request went, without its query.
        address: String,
        /// What is wrong with its answer.
        reason: String,
    },
    /// A file came as another than the Hub says it is, twice.
    #[error("{file} arrived damaged: {what} is {found}, but should be {expected}")]
    Damaged {
        /// Repository and file.
        file: String,
        /// Which of its properties.
        what: &'static str,
        /// What the Hub says.
        expected: String,
        /// What was found.
        found: String,
    },
    /// The cache cannot be read or written.
    #[error("cannot use {} of the cache", path.display())]
    Cache {
        /// File or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The certificates that the environment names cannot be used.
    #[error("cannot read certificates from {}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The disk is too small.
    #[error("{file} does not fit on the disk of {}: {} MiB are needed{}", cache.display(),
        needed.div_ceil(1 << 20), free.map_or_else(String::new, |free| format!(", {} are free", free >> 20)))]
    DiskFull {
        /// Repository and file, or files.
        file: String,
        /// The cache.
        cache: PathBuf,
        /// Bytes that are still to come.
        needed: u64,
        /// Bytes that are free, where known.
        free: Option<u64>,
    },
    /// What is streamed as one does not fit into memory.
    #[error("there is no memory for {needed} bytes, which are read at once")]
    Memory {
        /// Bytes.
        needed: usize,
    },
    /// A URL that is no place of a model.
    #[error("`{url}` {reason}")]
    Url {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An object store could not be read.
    #[error("cannot read {url}")]
    Store {
        /// The object.
        url: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The task was asked to stop.
    #[error("interrupted")]
    Interrupted,
}

fn listed(present: &[String]) -> String {
    if present.is_empty() { String::new() } else { format!("; there are {}", present.join(", ")) }
}

impl Error {
    /// What the user can do about it, as one sentence; empty where the message says it all.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoSuchRepository { .. } => {
                "check the path, or the id as in org/name@revision; private repositories need HF_TOKEN".into()
            }
            Self::NoSuchRevision { .. } => "give a branch, a tag or a whole commit hash".into(),
            Self::Gated { page, with_token: true, .. } => format!("accept the licence at {page}"),
            Self::Gated { page, with_token: false, .. } => {
                format!("accept the licence at {page}, then set HF_TOKEN or run `hf auth login`")
            }
            Self::Token { .. } => "set HF_TOKEN to a valid token, or run `hf auth login` again".into(),
            Self::Offline { .. } => "unset HF_HUB_OFFLINE, or give a path".into(),
            Self::NoId { .. } => {
                "write hf://org/name or hf://org/name@revision, for all of a repository".into()
            }
            Self::NotBuilt { feature, .. } => format!("build it with --features {feature}"),
            Self::NoSuchFile { .. } => "the repository may have changed meanwhile: try again".into(),
            Self::NoWeights { .. } => {
                "name a repository of a whole model; adapters and other formats are not read".into()
            }
            Self::Index { .. } => "the repository is broken: tell its owner, or name another revision".into(),
            Self::NoParquet { .. } => "choose one of those, or download the data and give its path".into(),
            Self::Unreachable { .. } => {
                "check the path or id, and the network (HTTPS_PROXY, REQUESTS_CA_BUNDLE, HF_ENDPOINT); a \
                 download that broke off is kept"
                    .into()
            }
            Self::Status { status: 403, .. } => "check what the token (HF_TOKEN) may read".into(),
            Self::Status { status: 429, .. } => {
                "wait some minutes, or set HF_TOKEN for a higher limit".into()
            }
            Self::Status { .. } => "try again later; of a download, what has arrived is kept".into(),
            Self::Answer { .. } => {
                "check HF_ENDPOINT, and that no proxy or login page answers instead".into()
            }
            Self::Damaged { .. } => "try again; if it stays, the server or a proxy changes files".into(),
            Self::Cache { .. } => "set HF_HOME or HF_HUB_CACHE to a folder that you may write to".into(),
            Self::Certificates { .. } => {
                "correct or unset REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and SSL_CERT_FILE".into()
            }
            Self::DiskFull { .. } => {
                "free some space, set HF_HUB_CACHE to a larger disk, or use --stream, which stores nothing"
                    .into()
            }
            Self::Memory { .. } => {
                "leave out --stream: of a model on disk, tensors are never whole in memory".into()
            }
            Self::Url { .. } => "give s3://, gs:// or https:// and a folder or a weight file".into(),
            Self::Store { .. } => "check the URL and the credentials (AWS_*, GOOGLE_*)".into(),
            Self::Interrupted => String::new(),
        }
    }
}
