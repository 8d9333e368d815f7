//! The zip format that torch.save writes since PyTorch 1.6: `data.pkl` and one entry a storage.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{ErrorKind, Read};

use zip::CompressionMethod;

use super::{
    MAX_DEFLATION, MAX_EXPANSION, MAX_PICKLE, Place, collect, foreign_calls, parse, state_dict_of,
    zip_directory,
};
use crate::checkpoint::ShardContents;
use crate::error::PickleError;
use crate::{Error, Source, source};
use intake::shown;

/// A deflated pickle of this length is read, however short its file.
const SMALL_PICKLE: usize = 1 << 20;

/// Lists the tensors of a zip-format checkpoint.
pub(crate) fn read(file: &dyn Source, shard: usize) -> Result<ShardContents, Error> {
    let path = || file.path().to_path_buf();
    let zip_error = |source| Error::Zip { path: path(), source };
    let malformed = |detail: String| Error::Torch { path: path(), detail };
    let directory = zip_directory::read(file)?;
    let mut places = HashMap::new();
    for (index, range) in directory.data.into_iter().enumerate() {
        let entry = directory.entries.entry(index).map_err(zip_error)?;
        let name = entry.name().map_err(zip_error)?.into_owned();
        let shown = shown(&name);
        let place = match entry.compression() {
            _ if entry.encrypted() => return Err(malformed(format!("entry {shown} is encrypted"))),
            CompressionMethod::Stored if entry.size() != range.len() as u64 => {
                return Err(malformed(format!("entry {shown} is stored, but of two sizes")));
            }
            CompressionMethod::Stored => Place::Stored(range),
            CompressionMethod::Deflated => {
                let length = usize::try_from(entry.size()).unwrap_or(usize::MAX);
                if length > range.len().saturating_mul(MAX_DEFLATION) {
                    let claim = format!("{} deflated bytes claim to hold {length}", range.len());
                    return Err(malformed(format!("entry {shown}: {claim}")));
                }
                Place::Deflated { compressed: range, length }
            }
            method => return Err(malformed(format!("entry {shown} is compressed with {method}"))),
        };
        places.insert(name, place);
    }

    let prefix = archive_prefix(&places).ok_or_else(|| malformed("it has no data.pkl".into()))?.to_owned();
    if places.contains_key(&format!("{prefix}constants.pkl")) {
        return Err(Error::Unsupported { path: path(), what: "a TorchScript archive" });
    }
    let byte_order = places.get(&format!("{prefix}byteorder"));
    let pickle = &places[&format!("{prefix}data.pkl")];
    for place in byte_order.into_iter().chain([pickle]) {
        file.will_need(place.stored().clone());
    }
    if let Some(place) = byte_order
        && content(file, place, 64)?.trim_ascii() != b"little"
    {
        return Err(Error::Unsupported { path: path(), what: "big-endian storage" });
    }
    // Its values take tens of times its length, which must be what the file's real size justifies.
    let limit = MAX_PICKLE.min(SMALL_PICKLE.max(file.len().saturating_mul(MAX_EXPANSION)));
    let bytes = content(file, pickle, limit)?;
    let pickle = parse(file, &bytes, bytes.len())?;
    if pickle.end != bytes.len() {
        return Err(malformed("data.pkl goes on after its end".into()));
    }
    let entries = state_dict_of(file, &pickle)?;
    let mut contents =
        collect(file, shard, entries, &|key| places.get(&format!("{prefix}data/{key}")).cloned())?;
    contents.ignored_calls.extend(foreign_calls(&pickle));
    Ok(contents)
}

/// `archive/` of `archive/data.pkl`.
fn archive_prefix(places: &HashMap<String, Place>) -> Option<&str> {
    let mut prefixes = places.keys().filter_map(|name| {
        let prefix = name.strip_suffix("data.pkl")?;
        (prefix.is_empty() || (prefix.ends_with('/') && prefix.matches('/').count() == 1)).then_some(prefix)
    });
    let prefix = prefixes.next()?;
    prefixes.next().is_none().then_some(prefix)
}

/// The bytes of a small entry, no more than `limit` of them.
fn content<'f>(file: &'f dyn Source, place: &Place, limit: usize) -> Result<Cow<'f, [u8]>, Error> {
    let too_large = |what| {
        let source = PickleError::TooLarge { limit, what };
        Error::Pickle { path: file.path().into(), source }
    };
    if place.stored().len() > limit {
        return Err(too_large("bytes"));
    }
    let stored = source::read(file, place.stored().clone())?;
    if let Place::Stored(_) = place {
        return Ok(stored);
    }
    let mut bytes = Vec::new();
    flate2::read::DeflateDecoder::new(&*stored)
        .take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| damaged(file, error))?;
    if bytes.len() > limit { Err(too_large("inflated bytes")) } else { Ok(Cow::Owned(bytes)) }
}

/// The bytes `start..start + length` of a deflated entry: what comes before is inflated and dropped.
pub(crate) fn inflate_range(
    file: &dyn Source,
    compressed: &[u8],
    start: usize,
    length: usize,
) -> Result<Vec<u8>, Error> {
    let mut inflated = flate2::read::DeflateDecoder::new(compressed);
    let mut bytes = Vec::new(); // grows with what is really there, not with what the directory claims
    std::io::copy(&mut inflated.by_ref().take(start as u64), &mut std::io::sink())
        .and_then(|_| inflated.take(length as u64).read_to_end(&mut bytes))
        .and_then(|read| if read == length { Ok(bytes) } else { Err(ErrorKind::UnexpectedEof.into()) })
        .map_err(|error| damaged(file, error))
}

fn damaged(file: &dyn Source, source: std::io::Error) -> Error {
    Error::Deflated { path: file.path().into(), source }
}
