//! JSON as it comes with models: objects whose keys must not repeat (parsers differ on which of two equal keys counts, so
//! neither does here), and what Python writes beyond the standard.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use intake::shown;

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

/// Parses a JSON object in which no key repeats, at any depth. Bare `NaN` and infinities, which Python writes, count as
/// null.
///
/// # Errors
/// It is something else, or is nested more than 127 levels deep.
pub fn unique_object(text: &[u8]) -> serde_json::Result<Map<String, Value>> {
    let object: UniqueMap<UniqueValue> = from_python(text)?;
    Ok(object.0.into_iter().map(|(key, value)| (key, value.0)).collect())
}

/// Any JSON value in which no object has a key twice.
#[derive(Clone, Debug, Default)]
pub struct UniqueValue(
    /// The value.
    pub Value,
);

impl<'de> Deserialize<'de> for UniqueValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Value;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(value.into())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
                let mut list = Vec::new();
                while let Some(value) = values.next_element::<UniqueValue>()? {
                    list.push(value.0);
                }
                Ok(list.into())
            }
            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Value, A::Error> {
                let entries = serde::de::value::MapAccessDeserializer::new(entries);
                let object = UniqueMap::<UniqueValue>::deserialize(entries)?;
                Ok(Value::Object(object.0.into_iter().map(|(key, value)| (key, value.0)).collect()))
            }
        }
        deserializer.deserialize_any(Any).map(Self)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_writes_beyond_the_standard_is_null_outside_of_text() {
        let text = br#"{"a": "NaN \" Infinity \\", "b": [-Infinity, Infinity], "c": NaN}"#;
        let expected = br#"{"a": "NaN \" Infinity \\", "b": [null, null], "c": null}"#;
        assert_eq!(from_python::<Value>(text).unwrap(), serde_json::from_slice::<Value>(expected).unwrap());
        for malformed in [&br#"{"a": NaN"#[..], b"\"\\", b"-", b"NaNNaN"] {
            assert!(from_python::<Value>(malformed).is_err());
        }
    }

    #[test]
    fn an_object_without_repeated_keys_is_read_as_others_read_it() {
        let text = r#"{"a": [1, -1, 1.5, true, null, "é", {"b": {}}, []], "c": 18446744073709551615}"#;
        assert_eq!(
            Value::Object(unique_object(text.as_bytes()).unwrap()),
            serde_json::from_str::<Value>(text).unwrap()
        );
        assert_eq!(unique_object(b"{\"a\": NaN, \"b\": \"NaN\"}").unwrap()["a"], Value::Null);
        for (repeated, key) in
            [(r#"{"a": 1, "a": 1}"#, "a"), (r#"{"a": 1, "b": [{"c": {"d": 1, "e": 2, "\u0064": 3}}]}"#, "d")]
        {
            let error = unique_object(repeated.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{REPEATED_KEY}`{key}`")), "{error}");
        }
        for other in ["", "[]", "1", "{", r#"{"a": 1e400}"#, r#"{"a": 1} x"#] {
            assert!(unique_object(other.as_bytes()).is_err(), "{other}");
        }
        let deep = format!("{{\"a\": {}", "[".repeat(1_000_000));
        assert!(unique_object(deep.as_bytes()).unwrap_err().to_string().starts_with("recursion limit"));
    }
}
