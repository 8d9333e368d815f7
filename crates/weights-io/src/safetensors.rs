//! The safetensors format: a JSON header, parsed by the safetensors crate, and data.

use std::borrow::Cow;
use std::collections::HashMap;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype as StoredDtype, Metadata, SafeTensorError};
use serde::de::{Error as _, IgnoredAny};

use crate::checkpoint::{ShardContents, UnsupportedTensor};
use crate::json::{REPEATED_KEY, UniqueMap};
use crate::tensor::{MAX_AXES, Storage, TensorInfo, row_major};
use crate::{Dtype, Error, Source, source};
use intake::shown;

const LENGTH_PREFIX: usize = 8;

/// Lists the tensors of a safetensors file, of which `head` is the beginning, in storage order.
pub(crate) fn read(file: &dyn Source, head: &[u8], shard: usize) -> Result<ShardContents, Error> {
    let Header { data_start, metadata, unknown_dtypes } = header(file, head)?;
    let mut contents = ShardContents::default();
    // In storage order; what has no bytes, by name, since the crate lists it in any order.
    let mut listed: Vec<_> = metadata.tensors().into_iter().collect();
    listed.sort_by(|(a, info_a), (b, info_b)| (info_a.data_offsets, a).cmp(&(info_b.data_offsets, b)));
    for (name, info) in listed {
        let unknown =
            unknown_dtypes.get(&name).map(|(dtype, shape)| (format!("dtype {dtype}"), shape.clone()));
        let unknown = unknown.or_else(|| too_many_axes(&info.shape).map(|reason| (reason, None)));
        match (unknown, dtype(info.dtype)) {
            (None, Some(dtype)) => contents.tensors.push(TensorInfo {
                dtype,
                strides: row_major(&info.shape),
                shape: info.shape.clone(),
                shard,
                storage: Storage::Stored { start: data_start + info.data_offsets.0 },
                name,
            }),
            (unknown, _) => {
                let (reason, shape) =
                    unknown.unwrap_or_else(|| (format!("dtype {:?}", info.dtype), Some(info.shape.clone())));
                contents.unsupported.push(UnsupportedTensor { name, shape, reason, shard });
            }
        }
    }
    Ok(contents)
}

fn too_many_axes(shape: &[usize]) -> Option<String> {
    (shape.len() > MAX_AXES).then(|| format!("{} axes, more than torch allows", shape.len()))
}

/// Dtypes that the safetensors crate does not know, by tensor name, with the shape if it is one.
type UnknownDtypes = HashMap<String, (String, Option<Vec<usize>>)>;

struct Header {
    /// First byte after the header.
    data_start: usize,
    metadata: Metadata,
    unknown_dtypes: UnknownDtypes,
}

fn header(file: &dyn Source, head: &[u8]) -> Result<Header, Error> {
    let path = || file.path().to_path_buf();
    let header_error = |source| Error::SafetensorsHeader { path: path(), source: printable(source) };
    let truncated = |detail: String| Error::Truncated { path: path(), detail };
    let Some(prefix) = head.first_chunk::<LENGTH_PREFIX>() else {
        return Err(truncated(format!("{} bytes are too few for a safetensors header", head.len())));
    };
    let claimed = u64::from_le_bytes(*prefix);
    let follow = file.len() - LENGTH_PREFIX;
    let length = usize::try_from(claimed).ok().filter(|length| *length <= follow);
    let length =
        length.ok_or_else(|| truncated(format!("its header claims {claimed} bytes, {follow} follow")))?;
    if let Err(source @ SafeTensorError::HeaderTooLarge) = SafeTensors::read_metadata(prefix) {
        return Err(header_error(source));
    }
    let data_start = LENGTH_PREFIX + length;
    let bytes = match head.get(..data_start) {
        Some(bytes) => Cow::Borrowed(bytes),
        None => source::read(file, 0..data_start)?,
    };
    let header = &bytes[LENGTH_PREFIX..];
    if let Err(error) = serde_json::from_slice::<UniqueMap<IgnoredAny>>(header)
        && error.to_string().starts_with(REPEATED_KEY)
    {
        return Err(header_error(SafeTensorError::InvalidHeaderDeserialization(error)));
    }
    let (metadata, unknown_dtypes) = match serde_json::from_slice(header) {
        Ok(metadata) => (metadata, UnknownDtypes::new()),
        Err(_) => without_unknown_dtypes(header).ok_or_else(|| {
            // With the whole file it would check the same, but for the length of the data.
            let source = SafeTensors::read_metadata(&bytes).err();
            header_error(source.unwrap_or(SafeTensorError::InvalidHeaderLength))
        })?,
    };
    let present = file.len() - data_start;
    match metadata.data_len() {
        claimed if claimed > present => {
            Err(truncated(format!("its tensors need {claimed} bytes of data, {present} follow the header")))
        }
        claimed if claimed < present => Err(header_error(SafeTensorError::MetadataIncompleteBuffer)),
        _ => Ok(Header { data_start, metadata, unknown_dtypes }),
    }
}

/// Parses a header with dtypes newer than the safetensors crate, by describing those tensors as plain bytes.
/// `None` if there are none such or the header is malformed anyway.
fn without_unknown_dtypes(header: &[u8]) -> Option<(Metadata, UnknownDtypes)> {
    let mut entries: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(header).ok()?;
    let mut unknown = UnknownDtypes::new();
    for (name, entry) in &mut entries {
        let Some(dtype) = entry.get("dtype").and_then(|dtype| dtype.as_str()) else { continue };
        if serde_json::from_value::<StoredDtype>(dtype.into()).is_ok() {
            continue;
        }
        let shape = entry.get("shape").and_then(|shape| serde_json::from_value(shape.clone()).ok());
        unknown.insert(name.clone(), (shown(dtype), shape));
        let offsets: [u64; 2] = serde_json::from_value(entry.get("data_offsets")?.clone()).ok()?;
        *entry = serde_json::json!({
            "dtype": "U8", "shape": [offsets[1].checked_sub(offsets[0])?], "data_offsets": offsets,
        });
    }
    let metadata = serde_json::from_value(entries.into()).ok()?;
    (!unknown.is_empty()).then_some((metadata, unknown))
}

/// What the safetensors crate says, with text of the file escaped and cut.
fn printable(error: SafeTensorError) -> SafeTensorError {
    let json = |error: serde_json::Error| serde_json::Error::custom(shown(&error.to_string()));
    match error {
        SafeTensorError::InvalidOffset(name) => SafeTensorError::InvalidOffset(shown(&name)),
        SafeTensorError::InvalidHeaderDeserialization(error) => {
            SafeTensorError::InvalidHeaderDeserialization(json(error))
        }
        SafeTensorError::JsonError(error) => SafeTensorError::JsonError(json(error)),
        error => error,
    }
}

fn dtype(stored: StoredDtype) -> Option<Dtype> {
    Some(match stored {
        StoredDtype::F64 => Dtype::F64,
        StoredDtype::F32 => Dtype::F32,
        StoredDtype::F16 => Dtype::F16,
        StoredDtype::BF16 => Dtype::Bf16,
        StoredDtype::F8_E4M3 => Dtype::F8E4M3,
        StoredDtype::F8_E5M2 => Dtype::F8E5M2,
        StoredDtype::I64 => Dtype::I64,
        StoredDtype::I32 => Dtype::I32,
        StoredDtype::I16 => Dtype::I16,
        StoredDtype::I8 => Dtype::I8,
        StoredDtype::U8 => Dtype::U8,
        StoredDtype::BOOL => Dtype::Bool,
        _ => return None,
    })
}
