//! Which of a repository's files are needed.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path};

use serde::Deserialize;
use weights_io::PREFERENCE;

use crate::Wanted;

/// What a model's configuration is called.
pub(crate) const CONFIG: &str = "config.json";
/// What a fast tokenizer is called.
pub(crate) const TOKENIZER: &str = "tokenizer.json";

/// The small files that belong to a model, whether or not it has them.
pub(crate) fn small_files(wanted: Wanted) -> impl Iterator<Item = &'static str> {
    std::iter::once(CONFIG).chain(wanted.tokenizer.then_some(TOKENIZER))
}

/// The weight file, or index of weight files, that counts among those that are there.
pub(crate) fn weights(is_there: impl Fn(&str) -> bool) -> Option<&'static str> {
    PREFERENCE.into_iter().find(|name| is_there(name))
}

/// Whether a file lists weight files, rather than being one.
pub(crate) fn is_index(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "json")
}

/// The weight files that an index names, in order; or what is wrong with it.
pub(crate) fn shards(index: &[u8]) -> Result<BTreeSet<String>, String> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: HashMap<String, String>,
    }
    let index: Index = serde_json::from_slice(index).map_err(|error| format!("is no index: {error}"))?;
    let shards: BTreeSet<_> = index.weight_map.into_values().collect();
    match shards.iter().find(|shard| !is_plain(shard)) {
        Some(shard) => Err(format!("names `{shard}`, which is no plain file name")),
        None if shards.is_empty() => Err("names no files".into()),
        None => Ok(shards),
    }
}

/// Whether a name stays within its folder, on every system.
fn is_plain(name: &str) -> bool {
    is_relative(name) && !name.contains('/')
}

/// Whether a path stays below its folder, on every system.
pub(crate) fn is_relative(name: &str) -> bool {
    let normal = |component| matches!(component, Component::Normal(_));
    !name.is_empty() && !name.contains(['\\', ':', '\0']) && Path::new(name).components().all(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_of_an_index_are_plain_names() {
        let shards = |map: &str| shards(format!(r#"{{"weight_map": {map}}}"#).as_bytes());
        let names = shards(r#"{"a": "2.bin", "b": "1.bin", "c": "2.bin"}"#).unwrap();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["1.bin", "2.bin"]);
        for name in ["../x", "/x", "a/b", "", "..", ".", "a\\\\b", "c:x"] {
            let error = shards(&format!(r#"{{"a": "{name}"}}"#)).unwrap_err();
            assert!(error.contains("no plain file name"), "{name}: {error}");
        }
        assert!(shards("{}").unwrap_err().contains("no files"));
        assert!(shards("[]").unwrap_err().contains("is no index"));
    }
}
