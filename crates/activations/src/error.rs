//! The one error type of this crate.

/// Why hidden states could not be computed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Weights could not be opened or read.
    #[error("weights cannot be read")]
    Weights {
        /// Why.
        #[from]
        source: weights_io::Error,
    },
}

impl Error {
    /// What the user can do about it, as one sentence; empty where the message says it all.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Weights { source } => source.hint(),
        }
    }
}
