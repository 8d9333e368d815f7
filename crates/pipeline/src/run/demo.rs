//! Three tiny models that come with this crate, and what there is to compare among them.

use std::path::Path;

use activations::DeviceChoice;
use report::Tables;

use crate::{Error, ModelPair, RunOptions, Split};

/// Files of a folder, by name.
type Files = &'static [(&'static str, &'static [u8])];

macro_rules! files {
    ($folder:literal: $($name:literal)*) => {
        ($folder, &[$(($name, include_bytes!(concat!("../../../../fixtures/demo/", $folder, $name)) as &[u8])),*])
    };
}

/// Folders, each with its files.
const FOLDERS: [(&str, Files); 4] = [
    files!("": "forget.txt" "retain.txt"),
    files!("baseline/": "config.json" "model.safetensors" "tokenizer.json"),
    files!("filtered/": "config.json" "model.safetensors" "tokenizer.json"),
    files!("unlearned/": "config.json" "model.safetensors" "tokenizer.json"),
];

impl RunOptions {
    /// Writes the demo's models and texts into `<outroot>/models`, where they are not there yet, and gives the settings to
    /// compare them: a baseline with a model that was trained without the text to forget, and with one that was made to
    /// forget it.
    ///
    /// # Errors
    /// [`Error::Tables`] if they cannot be written.
    pub fn demo(outroot: impl AsRef<Path>) -> Result<Self, Error> {
        let outroot = outroot.as_ref();
        let models = outroot.join("models");
        for (folder, files) in FOLDERS {
            unpack(&models.join(folder), files).map_err(|source| Error::Tables { source })?;
        }
        let pair = |changed: &str| ModelPair {
            name: Some(format!("baseline__to__{changed}")),
            ..ModelPair::new(models.join("baseline"), models.join(changed))
        };
        let split = |name: &str| Split { name: name.into(), path: models.join(format!("{name}.txt")) };
        let pairs = ["filtered", "unlearned"].map(pair).into();
        let mut options = Self::new(pairs, ["forget", "retain"].map(split).into(), outroot);
        options.param_stats.numerics.full_spectrum = true;
        // The same numbers everywhere.
        options.param_stats.devices = DeviceChoice::Cpu.into();
        options.activation_norms.device = DeviceChoice::Cpu;
        Ok(options)
    }
}

/// Writes the files of a folder that are not there or have another content.
fn unpack(folder: &Path, files: Files) -> Result<(), report::Error> {
    let is_other =
        |(name, bytes): &&(&str, &[u8])| std::fs::read(folder.join(name)).ok().as_deref() != Some(*bytes);
    let others: Vec<_> = files.iter().filter(is_other).collect();
    if others.is_empty() {
        return Ok(()); // their times are part of what tells whether anything changed
    }
    let mut tables = Tables::create(folder, &[])?;
    for (name, bytes) in others {
        tables.stage_file(name, bytes)?;
    }
    tables.finish().map(drop)
}
