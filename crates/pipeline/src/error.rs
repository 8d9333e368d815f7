//! The one error type of this crate.

use crate::Side;

/// Why a task could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A checkpoint could not be opened, or a tensor of it not be read.
    #[error("model {side} cannot be read")]
    Model {
        /// Which of the two.
        side: Side,
        /// Why.
        source: weights_io::Error,
    },
    /// A pair of matrices could not be compared.
    #[error("cannot compare `{}`", name.escape_debug())]
    Matrix {
        /// The parameter.
        name: String,
        /// Why.
        source: spectral::Error,
    },
    /// The settings of the numerics make no sense.
    #[error("bad settings")]
    Settings {
        /// Why.
        source: spectral::Error,
    },
    /// The tables could not be written.
    #[error("the tables cannot be written")]
    Tables {
        /// Why.
        source: report::Error,
    },
    /// The threads could not be started.
    #[error("cannot start {threads} threads")]
    Threads {
        /// How many were asked for; 0 for one a core.
        threads: usize,
        /// Why.
        source: rayon::ThreadPoolBuildError,
    },
    /// The task was interrupted; nothing was written.
    #[error("interrupted; nothing was written")]
    Interrupted,
}

impl Error {
    /// What the user can do about it, as one sentence; empty where the message says it all.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Model { source, .. } => source.hint(),
            Self::Tables { source } => source.hint(),
            Self::Threads { .. } => "ask for fewer threads with --threads",
            Self::Settings { source } => match source {
                spectral::Error::FailureProbability(_) => "give --failure-probability a value such as 1e-9",
                spectral::Error::TopK { .. } => "give --top-k at most 64, or ask for --full-spectrum",
                spectral::Error::MaxPasses => "give --max-passes a value such as 128",
                _ => "give --tolerance a value such as 1e-4",
            },
            Self::Matrix { .. } | Self::Interrupted => "",
        }
    }
}
