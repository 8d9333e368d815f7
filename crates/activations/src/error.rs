//! The one error type of this crate.

use std::path::PathBuf;

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
    /// There is no text file at the path.
    #[error("{} does not exist", path.display())]
    TextNotFound {
        /// The path as given.
        path: PathBuf,
    },
    /// The path is a folder, FIFO, socket or device where a file is needed.
    #[error("{} is not a regular file", path.display())]
    NotARegularFile {
        /// The path.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The refusal.
        source: std::io::Error,
    },
    /// A line of a text file is not UTF-8.
    #[error("{}: line {line} is not UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// Where in the line, and what.
        source: std::str::Utf8Error,
    },
    /// A line of a text file is longer than a sample may be.
    #[error("{}: line {line} has more than {limit} bytes", path.display())]
    LineTooLong {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// Bytes that a line may have.
        limit: usize,
    },
    /// A text file is empty or has only blank lines.
    #[error("{} holds no sample, only blank lines or nothing", path.display())]
    NoSamples {
        /// The file.
        path: PathBuf,
    },
    /// The model brings no tokenizer along.
    #[error("{} does not exist", path.display())]
    NoTokenizer {
        /// Where its `tokenizer.json` would be.
        path: PathBuf,
    },
    /// The tokenizer is malformed or of a kind that the tokenizers crate does not know.
    #[error("{}: not a tokenizer that can be used", path.display())]
    Tokenizer {
        /// The `tokenizer.json`.
        path: PathBuf,
        /// What the tokenizers crate says.
        source: tokenizers::Error,
    },
    /// The tokenizer fails on a sample.
    #[error("{}: sample {sample} cannot be tokenized", path.display())]
    Encode {
        /// The `tokenizer.json`.
        path: PathBuf,
        /// Number of the sample, from 1.
        sample: usize,
        /// What the tokenizers crate says.
        source: tokenizers::Error,
    },
    /// The tokenizers crate panicked, which was contained.
    #[error("{}: the tokenizer broke down: {}", path.display(), message.escape_debug())]
    TokenizerPanic {
        /// The `tokenizer.json`.
        path: PathBuf,
        /// What the panic said.
        message: String,
    },
    /// Samples are cut to fewer tokens than the model's special tokens alone.
    #[error("{}: the tokenizer adds {special} special tokens, more than the maximum length {max_length}", path.display())]
    MaxLength {
        /// The `tokenizer.json`.
        path: PathBuf,
        /// The length asked for.
        max_length: usize,
        /// Number of special tokens that go with every sample.
        special: usize,
    },
}

impl Error {
    /// What the user can do about it, as one sentence; empty where the message says it all.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Weights { source } => source.hint(),
            Self::TextNotFound { .. } => {
                "check the path; `create-datasets` makes data/forget.txt and data/retain.txt"
            }
            Self::NotARegularFile { .. } => "give a file, not a folder, pipe or device",
            Self::Io { .. } => "check that the file is readable",
            Self::NotUtf8 { .. } => "save the text as UTF-8, one sample a line",
            Self::LineTooLong { .. } | Self::NoSamples { .. } => "give a text file with one sample a line",
            Self::NoTokenizer { .. } => {
                "in Python with transformers, make one: AutoTokenizer.from_pretrained(MODEL).save_pretrained(MODEL)"
            }
            Self::Tokenizer { .. } | Self::Encode { .. } | Self::TokenizerPanic { .. } => {
                "in Python with transformers, make it anew: AutoTokenizer.from_pretrained(MODEL).save_pretrained(MODEL)"
            }
            Self::MaxLength { .. } => "give a larger maximum length",
        }
    }
}
