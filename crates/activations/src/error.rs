//! The one error type of this crate.

use std::path::PathBuf;

use intake::{Foreign, shown};

use crate::device::out_of_memory;

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
    /// The configuration beside the weights cannot be read.
    #[error("cannot read {}", path.display())]
    ConfigUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The configuration is no JSON object.
    #[error("{} is no JSON object", path.display())]
    ConfigMalformed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A value of the configuration is missing, of the wrong kind or at odds with others.
    #[error("{}: {key} {problem}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The value's key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The model is of a family that this crate has no table of.
    #[error("{}: model_type `{}` is not known; known are {known}", path.display(), shown(model_type))]
    UnknownFamily {
        /// The configuration.
        path: PathBuf,
        /// What it says.
        model_type: String,
        /// Every family that can be computed.
        known: String,
    },
    /// The model has something that this crate cannot compute.
    #[error("{}: {what} is not supported", path.display())]
    Unsupported {
        /// The configuration.
        path: PathBuf,
        /// What it has.
        what: String,
    },
    /// A family's table makes no sense: a fault of this crate.
    #[error("the table of the family {model_type} is wrong")]
    Table {
        /// The family.
        model_type: String,
        /// Why.
        source: toml::de::Error,
    },
    /// A tensor that the configuration asks for is not among the weights.
    #[error("{}: tensor `{}` {reason}", path.display(), shown(name))]
    MissingTensor {
        /// The weight or index file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// That it is missing, or why it cannot be read.
        reason: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("{}: tensor `{}` has shape {found}, the configuration says {expected}", path.display(), shown(name))]
    TensorShape {
        /// The weight or index file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape.
        found: String,
        /// The shape it should have.
        expected: String,
    },
    /// A tensor cannot be loaded.
    #[error("{}: tensor `{}` cannot be loaded", path.display(), shown(name))]
    Load {
        /// The weight or index file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Why.
        source: Box<candle_core::Error>,
    },
    /// A token is beyond a model's vocabulary: the tokenizer is not the model's.
    #[error("token {id} is beyond the {vocabulary} embeddings of {}", path.display())]
    TokenId {
        /// The model.
        path: PathBuf,
        /// The token.
        id: u32,
        /// Number of embeddings.
        vocabulary: usize,
    },
    /// A sample has more tokens than a model with learned positions has positions.
    #[error("a sample of {length} tokens is too long for the {positions} positions of {}", path.display())]
    TooLong {
        /// The model.
        path: PathBuf,
        /// Tokens of the longest sample.
        length: usize,
        /// Positions of the model.
        positions: usize,
    },
    /// Models that should go in lockstep have different numbers of blocks.
    #[error(
        "{} has {} blocks and {} has {}: layer by layer they have no difference",
        first.0.display(), first.1, second.0.display(), second.1
    )]
    Depths {
        /// The first model and its number of blocks.
        first: (PathBuf, usize),
        /// The other.
        second: (PathBuf, usize),
    },
    /// One block of each model and one batch of samples are more than the memory budget.
    #[error(
        "a batch and a block of each model need {} MiB, the memory budget is {} MiB",
        needed.div_ceil(1 << 20), budget >> 20 // so that the first number is enough
    )]
    Budget {
        /// Bytes needed at least.
        needed: u64,
        /// Bytes allowed.
        budget: u64,
    },
    /// There is no device of this name.
    #[error("device `{}` is not known; known are auto, cpu, cuda, cuda:N and metal (or mps)", name.escape_debug())]
    UnknownDevice {
        /// The name.
        name: String,
    },
    /// There is no type of this name.
    #[error("dtype `{}` is not known; known are auto, fp32, fp16 and bf16", name.escape_debug())]
    UnknownDtype {
        /// The name.
        name: String,
    },
    /// This build cannot use such a device.
    #[error("this program was built without support for {device}")]
    DeviceNotBuilt {
        /// The device asked for.
        device: crate::DeviceChoice,
    },
    /// The machine has no such device, or does not let it be used.
    #[error("cannot use {device}")]
    Device {
        /// The device asked for.
        device: crate::DeviceChoice,
        /// Why.
        source: Box<candle_core::Error>,
    },
    /// A step of the forward pass failed.
    #[error("cannot compute {place}")]
    Compute {
        /// Where in the model.
        place: String,
        /// Why.
        source: Box<candle_core::Error>,
    },
    /// The device has less memory left than was counted on.
    #[error("the device has no memory left for {place}")]
    DeviceMemory {
        /// Where in the model.
        place: String,
        /// What it says.
        source: Box<candle_core::Error>,
    },
    /// A hook ended the run.
    #[error("a hook at {at} failed")]
    Hook {
        /// Where.
        at: crate::HookPoint,
        /// Why.
        source: crate::HookError,
    },
    /// There is no text file at the path.
    #[error("{} does not exist", path.display())]
    TextNotFound {
        /// The path as given.
        path: PathBuf,
    },
    /// The operating system refused, or it is plainly something else.
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
    #[error("{}: the tokenizer broke down: {}", path.display(), shown(message))]
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
    /// A step of the forward pass that failed.
    pub(crate) fn compute(place: impl Into<String>, source: candle_core::Error) -> Self {
        let (place, source) = (place.into(), Box::new(source));
        if out_of_memory(&source) {
            Self::DeviceMemory { place, source }
        } else {
            Self::Compute { place, source }
        }
    }

    /// What the user can do about it, as one sentence; empty where the message says it all.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Weights { source } => source.hint(),
            Self::ConfigUnreadable { source, .. } | Self::Io { source, .. }
                if let Some(foreign) = Foreign::behind(source) =>
            {
                foreign.hint()
            }
            Self::ConfigUnreadable { .. } => "put the model's config.json beside its weights",
            Self::TooLong { .. } => "give a --max-length that the model has positions for",
            Self::Depths { .. } => "measure them one by one, as collect-activation-norms does with --models",
            Self::Budget { .. } => "give a larger --memory-budget or a smaller --batch-size",
            Self::DeviceMemory { .. } => {
                "give a smaller --memory-budget or --batch-size, or see what else uses the device"
            }
            Self::DeviceNotBuilt { device: crate::DeviceChoice::Metal } => {
                "build it with `--features metal` on a Mac, or choose --device cpu"
            }
            Self::DeviceNotBuilt { .. } => "build it with `--features cuda`, or choose --device cpu",
            Self::Device { .. } => "choose a device that this machine has, or --device cpu",
            Self::TokenId { .. } => "put the tokenizer.json that belongs to the model beside its weights",
            Self::TextNotFound { .. } => {
                "check the path; `create-datasets` makes data/forget.txt and data/retain.txt"
            }
            Self::Io { .. } => "check that it is a file, and readable",
            Self::NotUtf8 { .. } => "save the text as UTF-8, one sample a line",
            Self::LineTooLong { .. } | Self::NoSamples { .. } => "give a text file with one sample a line",
            Self::NoTokenizer { .. } => {
                "in Python with transformers, make one: AutoTokenizer.from_pretrained(MODEL).save_pretrained(MODEL)"
            }
            Self::Tokenizer { .. } | Self::Encode { .. } | Self::TokenizerPanic { .. } => {
                "in Python with transformers, make it anew: AutoTokenizer.from_pretrained(MODEL).save_pretrained(MODEL)"
            }
            Self::MaxLength { .. } => "give a larger maximum length",
            Self::MissingTensor { .. } | Self::TensorShape { .. } => {
                "check that config.json belongs to these weights"
            }
            Self::ConfigMalformed { .. }
            | Self::Config { .. }
            | Self::UnknownFamily { .. }
            | Self::Unsupported { .. }
            | Self::Table { .. }
            | Self::Load { .. }
            | Self::UnknownDevice { .. }
            | Self::UnknownDtype { .. }
            | Self::Compute { .. }
            | Self::Hook { .. } => "",
        }
    }
}
