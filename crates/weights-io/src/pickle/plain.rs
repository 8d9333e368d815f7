//! Lowers one node to a plain pickle (numbers, strings, lists, tuples, dicts) and lets serde-pickle parse it.
//!
//! Shared nodes are written out again, so the size is bounded; nesting is bounded because serde-pickle recurses.
//! A global becomes `("global", "module.name")`, a persistent id `("persistent", id)`, a call
//! `("call", callable, arguments)`: data that somebody could write by hand, and no more than that.

use serde_pickle::{DeOptions, Value};

use super::machine::{Node, NodeId, Pickle};
use crate::error::PickleError;

/// Nesting of a lowered entry; a tensor needs five.
const MAX_DEPTH: usize = 64;
/// Bytes of one lowered entry; a tensor needs about two hundred.
const MAX_ENTRY: usize = 64 * 1024;

/// Bytes that all lowered entries of one pickle may take together: keeps time linear in the file's real size.
pub(crate) struct Budget {
    left: usize,
    limit: usize,
}

impl Budget {
    pub(crate) fn for_pickle(length: usize) -> Self {
        let limit = length.saturating_mul(16).saturating_add(MAX_ENTRY);
        Self { left: limit, limit }
    }
}

/// The value of a node as plain data.
pub(crate) fn value(pickle: &Pickle<'_>, id: NodeId, budget: &mut Budget) -> Result<Value, PickleError> {
    let mut bytes = vec![0x80, 2];
    write(pickle, id, 0, &mut bytes)?;
    bytes.push(b'.');
    budget.left = budget
        .left
        .checked_sub(bytes.len())
        .ok_or(PickleError::TooLarge { limit: budget.limit, what: "bytes of lowered pickle" })?;
    serde_pickle::value_from_slice(&bytes, DeOptions::new()).map_err(|source| PickleError::Plain { source })
}

fn write(pickle: &Pickle<'_>, id: NodeId, depth: usize, out: &mut Vec<u8>) -> Result<(), PickleError> {
    if depth > MAX_DEPTH {
        return Err(PickleError::TooLarge { limit: MAX_DEPTH, what: "levels of nesting" });
    }
    match pickle.node(id) {
        Node::None | Node::Set => out.push(b'N'),
        Node::Bool(value) => out.push(if *value { 0x88 } else { 0x89 }),
        Node::Int(value) => {
            out.extend([0x8a, 8]);
            out.extend(value.to_le_bytes());
        }
        Node::BigInt(_) => tagged(out, "integer", |_| Ok(()))?,
        Node::Float(value) => {
            out.push(b'G');
            out.extend(value.to_be_bytes());
        }
        Node::Text(range) => text(out, &pickle.text(range))?,
        Node::Bytes => tagged(out, "bytes", |_| Ok(()))?,
        Node::Tuple(items) => {
            out.push(b'(');
            all(pickle, items, depth, out)?;
            out.push(b't');
        }
        Node::List(items) => {
            out.extend(b"](");
            all(pickle, items, depth, out)?;
            out.push(b'e');
        }
        Node::Dict(entries) => {
            out.extend(b"}(");
            for (key, value) in entries {
                // Only text and numbers can be keys of plain data. What is left out counts too, or a long dict of such
                // keys, named again and again, would cost time without limit.
                if matches!(pickle.node(*key), Node::Text(_) | Node::Int(_) | Node::Bool(_)) {
                    all(pickle, &[*key, *value], depth, out)?;
                } else {
                    out.extend(b"NN");
                    within_entry(out)?;
                }
            }
            out.push(b'u');
        }
        Node::Global { .. } => tagged(out, "global", |out| text(out, &pickle.callable_name(id)))?,
        Node::PersistentId(inner) => tagged(out, "persistent", |out| write(pickle, *inner, depth + 1, out))?,
        Node::Call { callable, arguments } => tagged(out, "call", |out| {
            write(pickle, *callable, depth + 1, out)?;
            write(pickle, *arguments, depth + 1, out)
        })?,
    }
    within_entry(out)
}

fn all(pickle: &Pickle<'_>, ids: &[NodeId], depth: usize, out: &mut Vec<u8>) -> Result<(), PickleError> {
    ids.iter().try_for_each(|id| write(pickle, *id, depth + 1, out))
}

fn tagged(
    out: &mut Vec<u8>,
    tag: &str,
    rest: impl FnOnce(&mut Vec<u8>) -> Result<(), PickleError>,
) -> Result<(), PickleError> {
    out.push(b'(');
    text(out, tag)?;
    rest(out)?;
    out.push(b't');
    Ok(())
}

fn text(out: &mut Vec<u8>, text: &str) -> Result<(), PickleError> {
    let length = u32::try_from(text.len()).ok().filter(|length| (*length as usize) < MAX_ENTRY);
    let length = length.ok_or(PickleError::TooLarge { limit: MAX_ENTRY, what: "bytes an entry" })?;
    out.push(b'X');
    out.extend(length.to_le_bytes());
    out.extend(text.as_bytes());
    within_entry(out)
}

fn within_entry(out: &[u8]) -> Result<(), PickleError> {
    if out.len() > MAX_ENTRY {
        return Err(PickleError::TooLarge { limit: MAX_ENTRY, what: "bytes an entry" });
    }
    Ok(())
}
