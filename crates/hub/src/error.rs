//! The one error type of this crate.

use std::path::PathBuf;

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
    #[error("`{reference}` is no path that exists, and {missing} is not in {}", cache.display())]
    Offline {
        /// What was asked for.
        reference: String,
        /// What is missing.
        missing: String,
        /// The cache.
        cache: PathBuf,
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
    /// The task was asked to stop.
    #[error("interrupted")]
    Interrupted,
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
            Self::Offline { .. } => "unset HF_HUB_OFFLINE, or give the path of a model".into(),
            Self::NotBuilt { feature, .. } => format!("build it with --features {feature}"),
            Self::Interrupted => String::new(),
        }
    }
}
