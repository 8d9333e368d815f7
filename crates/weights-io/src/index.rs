//! The index of a sharded checkpoint: which tensor lies in which file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::json::UniqueMap;
use crate::shown::shown;
use crate::{Error, Files, Source, source};

/// A checked index: shard paths are inside the folder.
pub(crate) struct Index {
    pub(crate) path: PathBuf,
    /// Tensor name to position in `shards`.
    pub(crate) tensors: BTreeMap<String, usize>,
    pub(crate) shards: Vec<String>,
}

#[derive(Deserialize)]
struct IndexFile {
    weight_map: UniqueMap<String>,
}

/// Reads an index.
pub(crate) fn read(file: &dyn Source) -> Result<Index, Error> {
    let path = file.path();
    let text = source::read_small(file)?;
    if text.starts_with(b"version https://git-lfs") {
        return Err(Error::GitLfsPointer { path: path.into() });
    }
    let invalid = |detail: String| Error::Index { path: path.into(), detail };
    let parsed: IndexFile =
        serde_json::from_slice(&text).map_err(|error| invalid(format!("not a weight index: {}", shown(&error.to_string()))))?;
    let weight_map = parsed.weight_map.0;
    if weight_map.is_empty() {
        return Err(invalid("its weight_map is empty".into()));
    }
    let names: BTreeSet<&str> = weight_map.values().map(String::as_str).collect();
    for name in &names {
        let inside = !name.is_empty()
            && Path::new(name).components().all(|component| matches!(component, Component::Normal(_)))
            && !name.contains('\\');
        if !inside {
            return Err(Error::ShardOutsideFolder { index: path.into(), shard: (*name).into() });
        }
    }
    let positions: BTreeMap<&str, usize> = names.iter().enumerate().map(|(i, name)| (*name, i)).collect();
    let tensors =
        weight_map.iter().map(|(tensor, shard)| (tensor.clone(), positions[shard.as_str()])).collect();
    Ok(Index { path: path.into(), tensors, shards: names.into_iter().map(str::to_owned).collect() })
}

impl Index {
    /// Opens every shard, so that one message names all that are missing.
    pub(crate) fn open_shards(&self, files: &dyn Files) -> Result<Vec<Box<dyn Source>>, Error> {
        let mut shards = Vec::with_capacity(self.shards.len());
        let mut missing = Vec::new();
        for name in &self.shards {
            match files.open(name) {
                Ok(shard) => shards.push(shard),
                Err(Error::NotFound { .. }) => missing.push(name.clone()),
                Err(error) => return Err(error),
            }
        }
        if missing.is_empty() {
            return Ok(shards);
        }
        Err(Error::MissingShards { index: self.path.clone(), missing, total: self.shards.len() })
    }
}
