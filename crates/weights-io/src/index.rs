//! The index of a sharded checkpoint: which tensor lies in which file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::Error;
use crate::json::UniqueMap;
use crate::mapping::MappedFile;

/// A checked index: shard paths are inside the folder and all exist.
pub(crate) struct Index {
    pub(crate) path: PathBuf,
    /// Tensor name to position in `shards`.
    pub(crate) tensors: BTreeMap<String, usize>,
    pub(crate) shards: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct IndexFile {
    weight_map: UniqueMap<String>,
}

/// Reads an index and looks at every shard once, so that one message names all that are missing.
pub(crate) fn read(path: &Path) -> Result<Index, Error> {
    let file = MappedFile::open(path)?;
    if file.bytes().starts_with(b"version https://git-lfs") {
        return Err(Error::GitLfsPointer { path: path.into() });
    }
    let invalid = |detail: String| Error::Index { path: path.into(), detail };
    let parsed: IndexFile = serde_json::from_slice(file.bytes())
        .map_err(|error| invalid(format!("not a weight index: {error}")))?;
    let weight_map = parsed.weight_map.0;
    if weight_map.is_empty() {
        return Err(invalid("its weight_map is empty".into()));
    }
    let names: BTreeSet<&str> = weight_map.values().map(String::as_str).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut shards = Vec::with_capacity(names.len());
    let mut missing = Vec::new();
    for name in &names {
        let inside = !name.is_empty()
            && Path::new(name).components().all(|component| matches!(component, Component::Normal(_)))
            && !name.contains('\\');
        if !inside {
            return Err(Error::ShardOutsideFolder { index: path.into(), shard: (*name).into() });
        }
        let shard = folder.join(name);
        if !shard.exists() {
            missing.push((*name).to_owned());
        }
        shards.push(shard);
    }
    if !missing.is_empty() {
        return Err(Error::MissingShards { index: path.into(), missing, total: names.len() });
    }
    let positions: BTreeMap<&str, usize> = names.iter().enumerate().map(|(i, name)| (*name, i)).collect();
    let tensors =
        weight_map.iter().map(|(tensor, shard)| (tensor.clone(), positions[shard.as_str()])).collect();
    Ok(Index { path: path.into(), tensors, shards })
}
