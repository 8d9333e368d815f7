//! The format before PyTorch 1.6: a run of pickles, then raw storages.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::{MAX_PICKLE, Place, collect, foreign_calls, parse, state_dict_of};
use crate::checkpoint::ShardContents;
use crate::error::PickleError;
use crate::pickle::machine::{Node, Pickle};
use crate::pickle::state_dict::{self, Refusal};
use crate::planned::Planned;
use crate::{Error, Source, source};
use intake::shown;

/// Bytes of the length before each storage.
const LENGTH: usize = 8;

/// Lists the tensors of a checkpoint from before PyTorch 1.6, of which `head` is the beginning.
pub(crate) fn read(file: &dyn Source, head: &[u8], shard: usize) -> Result<ShardContents, Error> {
    let mut head = Cow::Borrowed(head);
    loop {
        match read_from(file, &head, shard) {
            // Nothing says how long the pickles are: where they are cut off, they go on.
            Err(Error::Pickle { source: PickleError::Truncated { .. }, .. }) if head.len() < file.len() => {
                if head.len() >= MAX_PICKLE {
                    let source = PickleError::TooLarge { limit: MAX_PICKLE, what: "bytes" };
                    return Err(Error::Pickle { path: file.path().into(), source });
                }
                head = source::read(file, 0..file.len().min(4 * head.len()))?;
            }
            contents => return contents,
        }
    }
}

/// Magic number, protocol version, system, state dict and storage keys are five pickles; then comes every storage as a
/// length and its elements.
fn read_from(file: &dyn Source, head: &[u8], shard: usize) -> Result<ShardContents, Error> {
    const MAGIC: &[u8] = &[0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
    let path = || file.path().to_path_buf();
    let malformed = |detail: &str| Error::Torch { path: path(), detail: detail.into() };
    let mut at = 0;
    let mut next = || -> Result<Pickle<'_>, Error> {
        let pickle = parse(file, &head[at..], file.len() - at)?;
        at += pickle.end;
        Ok(pickle)
    };

    let magic = next()?;
    if !matches!(magic.node(magic.root), Node::BigInt(range) if &magic.input[range.clone()] == MAGIC) {
        // A pickle, but not one that torch.save made: say so if it asks for code.
        return match state_dict::read(&magic) {
            Err(Refusal::Code(callable)) => Err(Error::PickledCode { path: path(), callable }),
            _ => Err(malformed("a pickle without PyTorch's magic number")),
        };
    }
    let version = next()?;
    if !matches!(version.node(version.root), Node::Int(1001)) {
        return Err(malformed("unknown version of the format before 1.6"));
    }
    let system = next()?;
    if is_big_endian(&system) {
        return Err(Error::Unsupported { path: path(), what: "big-endian storage" });
    }
    let main = next()?;
    let keys_pickle = next()?;
    let Node::List(keys) = keys_pickle.node(keys_pickle.root) else {
        return Err(malformed("the list of storage keys is missing"));
    };
    // Borrowed: a long key could be named a million times.
    let keys = keys.iter().map(|key| match keys_pickle.node(*key) {
        Node::Text(range) => std::str::from_utf8(&keys_pickle.input[range.clone()]).ok(),
        _ => None,
    });
    let keys: Vec<&str> =
        keys.collect::<Option<_>>().ok_or_else(|| malformed("a storage key is not text"))?;

    let dict = state_dict_of(file, &main)?;
    let units = storage_units(&main);
    let mut lengths = Planned::new(file, expected_lengths(at, &keys, &units));
    let mut places = HashMap::new();
    for key in keys {
        let truncated = || {
            let detail = format!("storage {} is cut off", shown(key));
            Error::Truncated { path: path(), detail }
        };
        let start = at.checked_add(LENGTH).filter(|start| *start <= file.len()).ok_or_else(truncated)?;
        let length = *lengths.read(at..start)?.first_chunk().ok_or_else(truncated)?;
        let length = usize::try_from(u64::from_le_bytes(length)).map_err(|_| truncated())?;
        let &(unit, _) =
            units.get(key).ok_or_else(|| malformed(&format!("storage {} is of unknown type", shown(key))))?;
        let end = length.checked_mul(unit).and_then(|size| size.checked_add(start));
        let end = end.filter(|end| *end <= file.len()).ok_or_else(truncated)?;
        if places.insert(key, Place::Stored(start..end)).is_some() {
            return Err(malformed("two storages have one key"));
        }
        at = end;
    }
    let mut contents = collect(file, shard, dict, &|key| places.get(key).cloned())?;
    for pickle in [&magic, &version, &system, &main, &keys_pickle] {
        contents.ignored_calls.extend(foreign_calls(pickle));
    }
    Ok(contents)
}

/// Where the lengths of the storages stand if they are what the pickle says; it ends where the pickle makes no sense.
fn expected_lengths(
    mut at: usize,
    keys: &[&str],
    units: &HashMap<&str, (usize, Option<usize>)>,
) -> Vec<Range<usize>> {
    keys.iter()
        .map_while(|key| {
            let (unit, length) = units.get(key)?;
            let expected = at..at.checked_add(LENGTH)?;
            at = length.as_ref()?.checked_mul(*unit)?.checked_add(expected.end)?;
            Some(expected)
        })
        .collect()
}

/// By key the unit size of every storage that a pickle names, in tensors of any kind, and its length in units.
fn storage_units<'p>(pickle: &'p Pickle<'_>) -> HashMap<&'p str, (usize, Option<usize>)> {
    pickle
        .nodes
        .iter()
        .filter_map(|node| {
            let Node::PersistentId(id) = node else { return None };
            let Node::Tuple(parts) = pickle.node(*id) else { return None };
            let Node::Text(key) = pickle.node(*parts.get(2)?) else { return None };
            let unit = state_dict::storage_unit(&pickle.callable_name(*parts.get(1)?))?;
            let length = match parts.get(4).map(|length| pickle.node(*length)) {
                Some(Node::Int(length)) => usize::try_from(*length).ok(),
                _ => None,
            };
            Some((std::str::from_utf8(&pickle.input[key.clone()]).ok()?, (unit, length)))
        })
        .collect()
}

fn is_big_endian(system: &Pickle<'_>) -> bool {
    let Node::Dict(entries) = system.node(system.root) else { return false };
    entries.iter().any(|(key, value)| {
        matches!(system.node(*key), Node::Text(range) if &system.input[range.clone()] == b"little_endian")
            && matches!(system.node(*value), Node::Bool(false))
    })
}
