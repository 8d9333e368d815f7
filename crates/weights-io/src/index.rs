//! The index of a sharded checkpoint: which tensor lies in which file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::checkpoint::ShardContents;
use crate::json::UniqueMap;
use crate::sniff::refuse_impostor;
use crate::{Error, Files, Source, source};
use intake::shown;

/// A checked index: shard paths are inside the folder.
pub(crate) struct Index {
    pub(crate) path: PathBuf,
    /// Tensor name to position in `shards`.
    pub(crate) tensors: BTreeMap<String, usize>,
    pub(crate) shards: Vec<String>,
}

/// Bytes of the largest index that is read: 100,000 tensors take about ten million.
const LARGEST: usize = 32 << 20;

#[derive(Deserialize)]
struct IndexFile {
    weight_map: UniqueMap<String>,
}

/// Reads an index.
pub(crate) fn read(file: &dyn Source) -> Result<Index, Error> {
    let path = file.path();
    if file.len() > LARGEST {
        return Err(Error::TooLarge { path: path.into(), len: file.len(), limit: LARGEST });
    }
    let text = source::read(file, 0..file.len())?;
    refuse_impostor(path, &text)?;
    let invalid = |detail: String| Error::Index { path: path.into(), detail };
    let parsed: IndexFile = serde_json::from_slice(&text)
        .map_err(|error| invalid(format!("not a weight index: {}", shown(&error.to_string()))))?;
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
        // Every message about the shard would show it.
        if name.contains(char::is_control) {
            return Err(invalid(format!("shard name `{}` has control characters", shown(name))));
        }
    }
    let positions: BTreeMap<&str, usize> = names.iter().enumerate().map(|(i, name)| (*name, i)).collect();
    let tensors =
        weight_map.iter().map(|(tensor, shard)| (tensor.clone(), positions[shard.as_str()])).collect();
    Ok(Index { path: path.into(), tensors, shards: names.into_iter().map(str::to_owned).collect() })
}

/// The files that an index of shards names: paths within its folder, in order, each once.
///
/// # Errors
/// As for the index of a checkpoint that is opened.
pub fn shard_names(files: &dyn Files, index: &str) -> Result<Vec<String>, Error> {
    Ok(read(&*files.open(index)?)?.shards)
}

impl Index {
    /// Opens every shard, so that one message names all that are missing, and those of the others that are damaged.
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
        self.damaged(missing, &shards).map_or(Ok(shards), Err)
    }

    /// The one error for all shards that are missing, and for those of `present` that are damaged; `None` if there are none.
    pub(crate) fn damaged(&self, missing: Vec<String>, present: &[Box<dyn Source>]) -> Option<Error> {
        let errors = present.iter().filter_map(|file| ShardContents::read(&**file, 0).err());
        let mut damaged: Vec<Error> = errors.filter(Error::is_damage).collect();
        let (index, total) = (self.path.clone(), self.shards.len());
        match (missing.len(), damaged.len()) {
            (0, 0..=1) => damaged.pop(),
            (_, 0) => Some(Error::MissingShards { index, missing, total }),
            _ => Some(Error::DamagedShards { index, missing, damaged, total }),
        }
    }
}
