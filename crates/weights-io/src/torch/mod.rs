//! PyTorch checkpoints: what the zip format and the one before it have in common.

pub(crate) mod legacy;
pub(crate) mod zip;
mod zip_directory;

use std::ops::Range;

use crate::checkpoint::{ShardContents, UnsupportedTensor};
use crate::pickle::machine::{self, Pickle};
use crate::pickle::state_dict::{self, Entry, Refusal, SavedTensor};
use crate::tensor::{MAX_AXES, Storage, TensorInfo, counts};
use crate::{Error, Source};
use intake::shown;

/// What the tensors of a file may come to, in multiples of its length: each element counts, wherever tensors share a
/// storage or one is expanded (stride 0), and so does every byte that is read or inflated on the way to them. Whatever
/// walks through all tensors then takes a time that the file's real size justifies.
const MAX_EXPANSION: usize = 64;
/// A smaller file counts as this long.
const SMALL_FILE: usize = 64 << 10;
/// The best that deflate can do.
const MAX_DEFLATION: usize = 1032;

/// A pickle larger than this, once inflated, describes no model.
const MAX_PICKLE: usize = 256 << 20;

/// Where a storage's bytes are.
#[derive(Clone)]
enum Place {
    Stored(Range<usize>),
    Deflated { compressed: Range<usize>, length: usize },
}

impl Place {
    /// The bytes of the file, deflated or not.
    fn stored(&self) -> &Range<usize> {
        match self {
            Self::Stored(range) | Self::Deflated { compressed: range, .. } => range,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Stored(range) => range.len(),
            Self::Deflated { length, .. } => *length,
        }
    }
}

/// Runs the pickle at the start of `bytes`, after which `available` bytes of the file could belong to it.
fn parse<'a>(file: &dyn Source, bytes: &'a [u8], available: usize) -> Result<Pickle<'a>, Error> {
    machine::parse(bytes, available).map_err(|source| Error::Pickle { path: file.path().into(), source })
}

/// What a pickle asked to call beyond the building of tensors.
fn foreign_calls(pickle: &Pickle<'_>) -> impl Iterator<Item = String> {
    pickle.calls.iter().filter(|name| !state_dict::is_ordinary_call(name)).cloned()
}

fn state_dict_of(file: &dyn Source, pickle: &Pickle<'_>) -> Result<Vec<(String, Entry)>, Error> {
    let path = || file.path().to_path_buf();
    let dict = state_dict::read(pickle).map_err(|refusal| match refusal {
        Refusal::Pickle(source) => Error::Pickle { path: path(), source },
        Refusal::Code(callable) => Error::PickledCode { path: path(), callable },
    })?;
    match dict.repeated {
        Some(tensor) => Err(Error::DuplicateTensor { tensor, first: path(), second: path() }),
        None => Ok(dict.entries),
    }
}

fn collect(
    file: &dyn Source,
    shard: usize,
    entries: Vec<(String, Entry)>,
    place: &dyn Fn(&str) -> Option<Place>,
) -> Result<ShardContents, Error> {
    let mut contents = ShardContents::default();
    let mut left = file.len().max(SMALL_FILE).saturating_mul(MAX_EXPANSION);
    for (name, entry) in entries {
        match entry {
            Entry::Code(callable) => return Err(Error::PickledCode { path: file.path().into(), callable }),
            Entry::Unsupported(reason) => {
                contents.unsupported.push(UnsupportedTensor { name, shape: None, reason, shard });
            }
            Entry::Tensor(saved) => {
                // One that is expanded beyond the file could not be held in memory where it has to be.
                let limit = left.min(file.len().max(SMALL_FILE * MAX_EXPANSION));
                if let Some(reason) = beyond_expansion(&saved, limit) {
                    let shape = Some(saved.shape);
                    contents.unsupported.push(UnsupportedTensor { name, shape, reason, shard });
                    continue;
                }
                let placed = placed(saved, name, shard, place);
                let tensor = placed.map_err(|detail| Error::Torch { path: file.path().into(), detail })?;
                if let Some(rest) = left.checked_sub(cost(&tensor)) {
                    left = rest;
                    contents.tensors.push(tensor);
                } else {
                    let reason = format!("with the tensors before it, over {MAX_EXPANSION} times its file");
                    let TensorInfo { name, shape, .. } = tensor;
                    contents.unsupported.push(UnsupportedTensor { name, shape: Some(shape), reason, shard });
                }
            }
        }
    }
    // Work happens in storage order; a stable sort keeps tied tensors in the order they were saved.
    contents.tensors.sort_by_key(|tensor| match tensor.storage {
        Storage::Stored { start } => (start, 0),
        Storage::Deflated { compressed_start, start, .. } => (compressed_start, start),
    });
    Ok(contents)
}

/// Bytes of all elements or, if they are more, of what lies between them; and what is read and inflated on the way.
fn cost(tensor: &TensorInfo) -> usize {
    let elements = tensor.element_count().saturating_mul(tensor.dtype.size());
    let on_the_way = match tensor.storage {
        Storage::Stored { .. } => 0,
        Storage::Deflated { compressed_len, start, .. } => compressed_len.saturating_add(start),
    };
    on_the_way.saturating_add(elements.max(tensor.extent()))
}

fn beyond_expansion(saved: &SavedTensor, limit: usize) -> Option<String> {
    let (elements, extent) = counts(&saved.shape, &saved.strides)?;
    let logical = elements.checked_mul(saved.dtype.size());
    (elements > extent && logical.is_none_or(|bytes| bytes > limit))
        .then(|| format!("expanded view of {elements} elements over {extent} stored ones"))
}

/// Checks a saved tensor against its storage; the error says what does not fit.
fn placed(
    saved: SavedTensor,
    name: String,
    shard: usize,
    place: &dyn Fn(&str) -> Option<Place>,
) -> Result<TensorInfo, String> {
    let misfit = |what: &str| format!("tensor `{}`: {what}", shown(&name));
    if saved.shape.len() > MAX_AXES {
        return Err(misfit("more axes than torch allows"));
    }
    if saved.shape.len() != saved.strides.len() {
        return Err(misfit("shape and strides differ in length"));
    }
    let size = saved.dtype.size();
    let overflow = || misfit("its size overflows");
    let (_, extent) = counts(&saved.shape, &saved.strides).ok_or_else(overflow)?;
    let needed = extent.checked_mul(size).ok_or_else(overflow)?;

    let storage = saved.storage;
    let (first_unit, units) = storage.part.unwrap_or((0, storage.length));
    let within = first_unit.checked_add(units).is_some_and(|end| end <= storage.length);
    if !within {
        return Err(misfit("its part of the storage lies outside it"));
    }
    let base = first_unit.checked_mul(storage.unit).ok_or_else(overflow)?;
    let limit = units.checked_mul(storage.unit).ok_or_else(overflow)?;
    let offset = saved.offset.checked_mul(size).ok_or_else(overflow)?;
    if needed > 0 && offset.checked_add(needed).is_none_or(|end| end > limit) {
        return Err(misfit("it reaches beyond its storage"));
    }
    let start = if needed == 0 { 0 } else { base.checked_add(offset).ok_or_else(overflow)? };

    let storage = match place(&storage.key) {
        None if needed == 0 => Storage::Stored { start: 0 },
        None => return Err(misfit(&format!("its storage {} is missing", shown(&storage.key)))),
        Some(place) => {
            if start.checked_add(needed).is_none_or(|end| end > place.len()) {
                return Err(misfit(&format!(
                    "it needs {} bytes of storage {}, which has {}",
                    start.saturating_add(needed),
                    shown(&storage.key),
                    place.len()
                )));
            }
            match place {
                Place::Stored(range) => Storage::Stored { start: range.start + start },
                Place::Deflated { compressed, .. } => Storage::Deflated {
                    compressed_start: compressed.start,
                    compressed_len: compressed.len(),
                    start,
                },
            }
        }
    };
    Ok(TensorInfo { name, dtype: saved.dtype, shape: saved.shape, strides: saved.strides, shard, storage })
}
