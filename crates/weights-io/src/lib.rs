//! Checkpoints of language models as named, typed, borrowed tensors.
//!
//! A [`Checkpoint`] is a folder or a file with one model's weights: safetensors or PyTorch's `.bin`, single or sharded,
//! the zip format of PyTorch since 1.6 or the run of pickles before it. Opening one reads headers only;
//! a tensor's data is read when a [`TensorView`] is asked for, or part by part ([`Checkpoint::read_into`]). So a checkpoint
//! of hundreds of gigabytes opens in milliseconds, and a walk through it occupies the memory of a tensor, or of a part of
//! one.
//!
//! Bytes come through one narrow trait, [`Source`]: a range of a file. [`LocalFiles`] has a read of each range behind it or,
//! with [`Access::Map`], a memory map; [`Checkpoint::open_in`] takes any other [`Files`], such as those of a server.
//! Every format is read by ranges: the header or directory in one request or two, where the data of zip entries and of
//! legacy storages begins in requests that are asked for ahead of their use ([`Source::will_need`]) and merged where that
//! is cheaper ([`Source::worth_reading_through`]), then each tensor, or slice of one, in one.
//!
//! Nothing in a checkpoint is ever run. A pickle is read by a machine that has no callable to call; what is neither a
//! tensor nor plain data is named in an error or listed as [`UnsupportedTensor`].
//!
//! [`pairs`] puts two checkpoints side by side, name by name, and [`naming`] tells each name's layer, group and
//! component for the families on the Hub.
//!
//! With the feature `candle`, `var_builder` hands all of this to candle's models.
//!
//! ```
//! use weights_io::{Checkpoint, Selection, pairs};
//!
//! # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/pairs/neox");
//! let a = Checkpoint::open(format!("{folder}/a"))?;
//! let b = Checkpoint::open(format!("{folder}/b"))?;
//! for pairing in pairs(&a, &b, Selection::Linear) {
//!     println!("{} {} {:?} {}", pairing.name, pairing.role.component, pairing.status, pairing.reason);
//! }
//! let tensor = a.get("gpt_neox.layers.0.attention.dense.weight").expect("in the fixture");
//! assert_eq!(a.view(tensor)?.bytes.len(), tensor.element_count() * tensor.dtype.size());
//! # Ok::<(), weights_io::Error>(())
//! ```

#[cfg(feature = "candle")]
mod candle_backend;
mod checkpoint;
mod config;
mod dtype;
mod error;
mod index;
mod json;
mod local;
mod mapping;
pub mod naming;
mod pair;
mod pickle;
mod planned;
mod positioned;
mod safetensors;
mod sniff;
mod source;
mod tensor;
mod torch;

#[cfg(feature = "candle")]
pub use candle_backend::{CandleBackend, var_builder};
pub use checkpoint::{Checkpoint, PREFERENCE, UnsupportedTensor};
pub use config::ModelConfig;
pub use dtype::Dtype;
pub use error::{Error, PickleError};
pub use index::shard_names;
pub use json::{UniqueValue, unique_object};
pub use local::{Access, LocalFiles};
pub use pair::{Pairing, Selection, Side, Status, pairs};
pub use source::{Files, Source, Version};
pub use tensor::{TensorInfo, TensorView};
