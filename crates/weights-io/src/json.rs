//! JSON as it comes with models: objects whose keys must not repeat (parsers differ on which of two equal keys counts, so
//! neither does here), and what Python writes beyond the standard.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, Visitor};

use crate::shown::shown;

/// A map from the keys of a JSON object; a repeated key is an error that begins with [`REPEATED_KEY`].
pub(crate) struct UniqueMap<V>(pub(crate) BTreeMap<String, V>);

pub(crate) const REPEATED_KEY: &str = "repeated key ";

impl<'de, V: Deserialize<'de>> Deserialize<'de> for UniqueMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Entries<V> {
            type Value = BTreeMap<String, V>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, V>()? {
                    if let Some(key) = entries.contains_key(&key).then(|| shown(&key)) {
                        return Err(A::Error::custom(format!("{REPEATED_KEY}`{key}`")));
                    }
                    entries.insert(key, value);
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Entries(PhantomData)).map(Self)
    }
}

/// Parses JSON in which bare `NaN`, `Infinity` and `-Infinity` count as null: Python writes them.
pub(crate) fn from_python<T: DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(text).or_else(|error| {
        serde_json::from_slice(&without_bare_numbers(text)).map_err(|_| error) // offsets are those of the file
    })
}

fn without_bare_numbers(text: &[u8]) -> Vec<u8> {
    let (mut standard, mut rest, mut in_string) = (Vec::with_capacity(text.len()), text, false);
    while let Some((&byte, after)) = rest.split_first() {
        let word = [&b"NaN"[..], b"Infinity", b"-Infinity"].into_iter().find(|word| rest.starts_with(word));
        let taken = match (in_string, byte, word) {
            (false, _, Some(word)) => {
                standard.extend(b"null");
                rest = &rest[word.len()..];
                continue;
            }
            (true, b'\\', _) => 2.min(rest.len()),
            _ => 1,
        };
        in_string ^= byte == b'"';
        standard.extend(&rest[..taken]);
        rest = &after[taken - 1..];
    }
    standard
}
