//! The one error type of this crate.

use std::path::PathBuf;

use crate::Side;

/// Why a task could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A checkpoint could not be opened, or a tensor of it not be read.
    #[error("model {side} cannot be read")]
    Model {
        /// Which one.
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
    /// Hidden states could not be computed.
    #[error(transparent)]
    Activations {
        /// Why; boxed, since it is larger than all else here.
        source: Box<activations::Error>,
    },
    /// No model was given.
    #[error("there is no model to measure")]
    NoModel,
    /// A model was given twice, to be measured by itself.
    #[error("model {} is given twice", path.display())]
    ModelTwice {
        /// The model.
        path: PathBuf,
    },
    /// No text was given.
    #[error("there is no text to measure models on")]
    NoText,
    /// Two texts have the same name.
    #[error("there are two texts of the name {}", name.escape_debug())]
    SplitTwice {
        /// The name.
        name: String,
    },
    /// Two models that should be compared token by token are not equally wide.
    #[error("hidden states of {} have {} elements and those of {} have {}: they have no difference", a.0, a.1, b.0, b.1)]
    Widths {
        /// The baseline and its width.
        a: (String, usize),
        /// The changed model and its width.
        b: (String, usize),
    },
    /// Two models that should be compared token by token do not see the same tokens.
    #[error(
        "the tokenizers of {a} and {b} give other tokens for {differing} of {samples} samples, which cannot be \
         compared token by token"
    )]
    TokensDiffer {
        /// The baseline.
        a: String,
        /// The changed model.
        b: String,
        /// Samples with other tokens.
        differing: usize,
        /// All samples.
        samples: usize,
    },
    /// The tables could not be written.
    #[error("the tables cannot be written")]
    Tables {
        /// Why.
        source: report::Error,
    },
    /// Pictures could not be made of tables, or not be written.
    #[error("the pictures cannot be made")]
    Plots {
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

impl From<activations::Error> for Error {
    fn from(source: activations::Error) -> Self {
        Self::Activations { source: Box::new(source) }
    }
}

impl Error {
    /// What the user can do about it, as one sentence; empty where the message says it all.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Model { source, .. } => source.hint(),
            Self::Activations { source } => source.hint(),
            Self::NoModel => "give models with --models, or two with --model-a and --model-b",
            Self::ModelTwice { .. } => "give each model once",
            Self::NoText => "give --forget-text, --retain-text or --split NAME=FILE",
            Self::SplitTwice { .. } => "give each text a name of its own",
            Self::Widths { .. } | Self::TokensDiffer { .. } => "measure them one by one with --models",
            Self::Tables { source } | Self::Plots { source } => source.hint(),
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
