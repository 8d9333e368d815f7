//! The one error type of this crate.

use std::path::PathBuf;

use intake::shown;

/// Why a checkpoint could not be opened or read. Every variant names the file; [`Error::hint`] names the way out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nothing exists at the path.
    #[error("{} does not exist", path.display())]
    NotFound {
        /// The path as given.
        path: PathBuf,
    },
    /// The folder holds none of the known weight files.
    #[error("no weights in {}", path.display())]
    NoWeights {
        /// The folder.
        path: PathBuf,
    },
    /// An index names shards that are not there.
    #[error("{}: {} of {total} shards missing: {}", index.display(), missing.len(), list(missing))]
    MissingShards {
        /// The index file.
        index: PathBuf,
        /// File names of the missing shards.
        missing: Vec<String>,
        /// Number of shards that the index names.
        total: usize,
    },
    /// Shards of an index are missing or damaged, as an interrupted download leaves them.
    #[error("{}: {} of {total} shards missing or damaged: {}", index.display(), missing.len() + damaged.len(), list_all(missing, damaged))]
    DamagedShards {
        /// The index file.
        index: PathBuf,
        /// File names of the missing shards.
        missing: Vec<String>,
        /// What is wrong with each damaged one.
        damaged: Vec<Error>,
        /// Number of shards that the index names.
        total: usize,
    },
    /// The path is a folder, FIFO, socket or device where a file is needed.
    #[error("{} is not a regular file", path.display())]
    NotARegularFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is a Git-LFS pointer: the content was never downloaded.
    #[error("{} is a Git-LFS pointer, not the file itself", path.display())]
    GitLfsPointer {
        /// The file.
        path: PathBuf,
    },
    /// The file is what a server says instead: usually a login or error page.
    #[error("{} is {what}, not the file itself", path.display())]
    ServerAnswer {
        /// The file.
        path: PathBuf,
        /// `an HTML page`, …
        what: &'static str,
    },
    /// The file is empty or begins with nothing but zeros, as an interrupted download leaves it.
    #[error("{} is empty or filled with zeros", path.display())]
    Blank {
        /// The file.
        path: PathBuf,
    },
    /// The file ends before its contents do.
    #[error("{} is truncated: {detail}", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// The content is of no known format.
    #[error("{} is neither safetensors nor a PyTorch checkpoint: {detail}", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        detail: String,
    },
    /// A known format that is refused on purpose.
    #[error("{}: {what} is not supported", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The construct.
        what: &'static str,
    },
    /// The operating system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The refusal.
        source: std::io::Error,
    },
    /// A file is not what it was when it was opened.
    #[error("{} changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A file that describes weights is far larger than any of its kind.
    #[error("{} has {len} bytes, more than the {limit} that are read of such a file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        len: usize,
        /// The most bytes that are read.
        limit: usize,
    },
    /// The safetensors header is malformed.
    #[error("{}: malformed safetensors header", path.display())]
    SafetensorsHeader {
        /// The file.
        path: PathBuf,
        /// What the safetensors crate says.
        source: safetensors::SafeTensorError,
    },
    /// The zip archive is malformed.
    #[error("{}: malformed zip archive", path.display())]
    Zip {
        /// The file.
        path: PathBuf,
        /// What the zip crate says.
        source: zip::result::ZipError,
    },
    /// An entry of the zip archive cannot be inflated.
    #[error("{}: a deflated entry is damaged", path.display())]
    Deflated {
        /// The file.
        path: PathBuf,
        /// What the inflater says.
        source: std::io::Error,
    },
    /// A PyTorch file is malformed outside its zip directory and its pickles.
    #[error("{}: malformed PyTorch file: {detail}", path.display())]
    Torch {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The pickle is malformed or exceeds the limits.
    #[error("{}: malformed pickle", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: PickleError,
    },
    /// The pickle asks for a call that no plain state dict needs. Nothing was called.
    #[error("{}: the pickle asks to call `{callable}`, which is code, not weights; nothing was run", path.display())]
    PickledCode {
        /// The file.
        path: PathBuf,
        /// The callable, as `module.name`.
        callable: String,
    },
    /// The index file is not what an index is.
    #[error("{}: {detail}", path.display())]
    Index {
        /// The index file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// `config.json` is not what a configuration is.
    #[error("{}: {detail}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The index points outside its folder.
    #[error("{}: shard path `{}` leaves the model's folder", index.display(), shown(shard))]
    ShardOutsideFolder {
        /// The index file.
        index: PathBuf,
        /// The path it names.
        shard: String,
    },
    /// The index promises a tensor that its shard does not hold.
    #[error("{}: tensor `{}` is not in shard {}, where the index places it", index.display(), shown(tensor), shown(shard))]
    NotInShard {
        /// The index file.
        index: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shard's file name.
        shard: String,
    },
    /// Two tensors of one name.
    #[error("tensor `{}` occurs twice: in {} and in {}", shown(tensor), first.display(), second.display())]
    DuplicateTensor {
        /// The tensor.
        tensor: String,
        /// File of the first.
        first: PathBuf,
        /// File of the second.
        second: PathBuf,
    },
    /// The file was read and holds no tensor.
    #[error("{} holds no tensors", path.display())]
    NoTensors {
        /// The file or folder.
        path: PathBuf,
    },
}

/// What is wrong with a pickle. Offsets are bytes from the start of the pickle.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PickleError {
    /// The stream ends inside an instruction.
    #[error("ends at byte {at}, in the middle of an instruction")]
    Truncated {
        /// Offset.
        at: usize,
    },
    /// An instruction that does not occur in protocols 2 to 5 as PyTorch writes them.
    #[error("unknown instruction 0x{opcode:02x} at byte {at}")]
    Opcode {
        /// The instruction.
        opcode: u8,
        /// Offset.
        at: usize,
    },
    /// An instruction finds less on the stack, or something else, than it needs.
    #[error("instruction 0x{opcode:02x} at byte {at} does not find what it needs on the stack")]
    Stack {
        /// The instruction.
        opcode: u8,
        /// Offset.
        at: usize,
    },
    /// The pickle claims more than the limits allow.
    #[error("exceeds the limit of {limit} {what}")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// What is limited.
        what: &'static str,
    },
    /// The lowered data could not be parsed.
    #[error("lowered data cannot be parsed")]
    Plain {
        /// What serde-pickle says.
        source: serde_pickle::Error,
    },
    /// The data is not a state dict.
    #[error("{0}")]
    NotAStateDict(String),
}

impl Error {
    /// An interrupted or failed download left the file like that.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(
            self,
            Self::Truncated { .. }
                | Self::Blank { .. }
                | Self::GitLfsPointer { .. }
                | Self::ServerAnswer { .. }
        )
    }

    /// What the user can do about it, as one sentence; empty where the message says it all.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "check the path; a model is a folder or a single weight file",
            Self::NoWeights { .. } => {
                "expected one of model.safetensors.index.json, model.safetensors, pytorch_model.bin.index.json, pytorch_model.bin"
            }
            Self::MissingShards { .. } => "the download is incomplete: fetch the missing files again",
            Self::NotARegularFile { .. } => {
                "give a folder with weights or a .safetensors, .bin, .pt or .pth file"
            }
            Self::DamagedShards { .. } => {
                "the download is incomplete: fetch these files again, Git-LFS pointers with `git lfs pull`"
            }
            Self::GitLfsPointer { .. } => "run `git lfs pull` in the model's folder",
            Self::ServerAnswer { .. } => {
                "download the file again; a gated model needs its licence accepted and a token"
            }
            Self::Blank { .. } | Self::Truncated { .. } => "the download is incomplete: fetch the file again",
            Self::UnknownFormat { .. } => {
                "save the weights as safetensors or with torch.save(model.state_dict(), path)"
            }
            Self::Unsupported { .. } | Self::NoTensors { .. } => {
                "re-save the weights with torch.save(model.state_dict(), path) or as safetensors"
            }
            Self::PickledCode { .. } => {
                "if you trust its origin, re-save it as safetensors or with torch.save(model.state_dict(), path)"
            }
            Self::Io { .. } => "check that the file is readable",
            Self::Changed { .. } => "wait until whatever writes the file is done, and start again",
            Self::SafetensorsHeader { .. }
            | Self::Zip { .. }
            | Self::Deflated { .. }
            | Self::Torch { .. }
            | Self::Pickle { .. }
            | Self::Config { .. }
            | Self::TooLarge { .. } => "the file is damaged or not what its name says: fetch it again",
            Self::ShardOutsideFolder { .. } => {
                "no honest index names files outside its folder: do not trust this download"
            }
            Self::Index { .. } | Self::NotInShard { .. } => {
                "the index does not fit the files beside it: fetch it again"
            }
            Self::DuplicateTensor { .. } => "remove the file that does not belong to this checkpoint",
        }
    }
}

fn list(names: &[String]) -> String {
    join(", ", names.len(), names.iter().map(|name| shown(name)))
}

fn list_all(missing: &[String], damaged: &[Error]) -> String {
    let absent = missing.iter().map(|name| format!("{} is missing", shown(name)));
    join("; ", missing.len() + damaged.len(), absent.chain(damaged.iter().map(ToString::to_string)))
}

fn join(separator: &str, count: usize, parts: impl Iterator<Item = String>) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = parts.take(SHOWN).collect();
    match count.saturating_sub(SHOWN) {
        0 => shown.join(separator),
        more => format!("{} and {more} more", shown.join(separator)),
    }
}
