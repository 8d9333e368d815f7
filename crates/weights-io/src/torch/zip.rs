//! The zip format that torch.save writes since PyTorch 1.6: `data.pkl` and one entry a storage.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{Cursor, Read};

use zip::{CompressionMethod, ZipArchive};

use super::{Place, collect, foreign_calls, parse, state_dict_of};
use crate::checkpoint::ShardContents;
use crate::error::PickleError;
use crate::{Error, Source, source};

/// A pickle larger than this, once inflated, describes no model.
const MAX_INFLATED_PICKLE: u64 = 256 << 20;

/// Lists the tensors of a zip-format checkpoint.
pub(crate) fn read(file: &dyn Source, shard: usize) -> Result<ShardContents, Error> {
    let path = || file.path().to_path_buf();
    let zip_error = |source| Error::Zip { path: path(), source };
    let malformed = |detail: String| Error::Torch { path: path(), detail };
    let bytes = source::read(file, 0..file.len())?;
    let mut archive = ZipArchive::new(Cursor::new(&bytes)).map_err(|source| {
        // The directory stands at the end of the file, so a truncated archive has none.
        match source {
            zip::result::ZipError::InvalidArchive(_) => Error::Truncated {
                path: path(),
                detail: "the zip archive has no directory at its end".into(),
            },
            source => zip_error(source),
        }
    })?;
    if archive.has_duplicate_names() {
        return Err(malformed("two entries of the zip archive have one name".into()));
    }
    if archive.has_overlapping_files().map_err(zip_error)? {
        return Err(malformed("entries of the zip archive overlap".into()));
    }

    let mut places = HashMap::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(zip_error)?;
        let name = entry.name().map_err(zip_error)?.into_owned();
        let shown = name.escape_debug();
        let start = entry.data_start().and_then(|start| usize::try_from(start).ok());
        let end = start.and_then(|start| start.checked_add(usize::try_from(entry.compressed_size()).ok()?));
        let range = match (start, end) {
            (Some(start), Some(end)) if end <= file.len() => start..end,
            _ => {
                return Err(Error::Truncated {
                    path: path(),
                    detail: format!("entry {shown} ends beyond it"),
                });
            }
        };
        let place = match entry.compression() {
            _ if entry.encrypted() => return Err(malformed(format!("entry {shown} is encrypted"))),
            CompressionMethod::Stored => Place::Stored(range),
            CompressionMethod::Deflated => {
                let length = usize::try_from(entry.size()).unwrap_or(usize::MAX);
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
    if let Some(place) = places.get(&format!("{prefix}byteorder"))
        && inflate(file, place, 64)?.trim_ascii() != b"little"
    {
        return Err(Error::Unsupported { path: path(), what: "big-endian storage" });
    }
    let bytes = inflate(file, &places[&format!("{prefix}data.pkl")], MAX_INFLATED_PICKLE)?;
    let pickle = parse(file, &bytes)?;
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
fn inflate<'f>(file: &'f dyn Source, place: &Place, limit: u64) -> Result<Cow<'f, [u8]>, Error> {
    match place {
        Place::Stored(range) => source::read(file, range.clone()),
        Place::Deflated { compressed, .. } => {
            let mut bytes = Vec::new();
            let stored = source::read(file, compressed.clone())?;
            let inflated = flate2::read::DeflateDecoder::new(&*stored);
            inflated
                .take(limit + 1)
                .read_to_end(&mut bytes)
                .map_err(|source| Error::Io { path: file.path().into(), source })?;
            if bytes.len() as u64 > limit {
                let source = PickleError::TooLarge { limit: limit as usize, what: "inflated bytes" };
                return Err(Error::Pickle { path: file.path().into(), source });
            }
            Ok(Cow::Owned(bytes))
        }
    }
}

/// The bytes `start..start + length` of a deflated entry: what comes before is inflated and dropped.
pub(crate) fn inflate_range(
    compressed: &[u8],
    start: usize,
    length: usize,
) -> Result<Vec<u8>, std::io::Error> {
    let mut inflated = flate2::read::DeflateDecoder::new(compressed);
    std::io::copy(&mut inflated.by_ref().take(start as u64), &mut std::io::sink())?;
    let mut bytes = Vec::new(); // grows with what is really there, not with what the directory claims
    inflated.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() != length {
        return Err(std::io::Error::new(
            std::io::ErrorKind::UnexpectedEof,
            "the deflated entry is too short",
        ));
    }
    Ok(bytes)
}
