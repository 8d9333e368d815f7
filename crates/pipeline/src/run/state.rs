//! What earlier runs into a folder did, so that nothing is done twice.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use report::write_file;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::fingerprint::{Inputs, content_hash};

/// The file in the run's folder.
const FILE: &str = "run-state.json";
/// No state is larger: a step of models with ten thousand files each has some megabytes.
const MAX_BYTES: u64 = 1 << 28;

/// Every finished step of a folder, by where its results are.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    steps: BTreeMap<String, Record>,
}

/// What a finished step read and wrote.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    inputs: BTreeMap<String, String>,
    /// Files below the run's folder, and their content's hashes.
    outputs: BTreeMap<PathBuf, String>,
    gaps: Option<String>,
}

/// The results of a finished step.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) files: Vec<PathBuf>,
    /// What could not be compared or measured, in words.
    pub(crate) gaps: Option<String>,
}

impl Written {
    /// Files that lack nothing.
    pub(crate) fn all(files: Vec<PathBuf>) -> Self {
        Self { files, gaps: None }
    }
}

impl State {
    /// The state of a folder: empty where there is none. One that cannot be read is an error to tell of, no more.
    pub(crate) fn read(outroot: &Path) -> Result<Self, Error> {
        let path = outroot.join(FILE);
        let refused = |source| Error::State { path: path.clone(), source };
        match intake::read(&path, MAX_BYTES) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| refused(error.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(refused(error)),
        }
    }

    /// The results of a step if they are there and would be the same, else why it has to be done.
    pub(crate) fn results(&self, step: &str, inputs: &Inputs, outroot: &Path) -> Result<Written, String> {
        let record = self.steps.get(step).ok_or("there is no earlier result")?;
        if let Some(name) = inputs.first_change(&record.inputs) {
            return Err(format!("{name} changed"));
        }
        let is_other = |(path, hash): &(&PathBuf, &String)| content_hash(&outroot.join(path)) != **hash;
        if let Some((path, _)) = record.outputs.iter().find(is_other) {
            return Err(format!("{} is missing or not as it was written", path.display()));
        }
        let files = record.outputs.keys().map(|path| outroot.join(path)).collect();
        Ok(Written { files, gaps: record.gaps.clone() })
    }

    /// Notes a finished step and writes the state. Files that an earlier run of the step wrote and this one did not are
    /// removed: they would look like results of now.
    pub(crate) fn finished(
        &mut self,
        step: &str,
        inputs: Inputs,
        written: &Written,
        outroot: &Path,
    ) -> Result<(), Error> {
        let output = |path: &PathBuf| {
            let below = path.strip_prefix(outroot).unwrap_or(path).to_path_buf();
            (below, content_hash(path))
        };
        let outputs = written.files.iter().map(output).collect();
        let record = Record { inputs: inputs.0, outputs, gaps: written.gaps.clone() };
        let earlier = self.steps.insert(step.to_owned(), record);
        let now = self.steps.get(step).map(|record| &record.outputs);
        for (path, hash) in earlier.into_iter().flat_map(|record| record.outputs) {
            let stale = now.is_some_and(|now| !now.contains_key(&path));
            let is_below = path.components().all(|component| matches!(component, Component::Normal(_)));
            let path = outroot.join(path);
            // One that somebody changed since is theirs.
            if stale && is_below && content_hash(&path) == hash {
                let _ = std::fs::remove_file(path);
            }
        }
        self.write(outroot)
    }

    fn write(&self, outroot: &Path) -> Result<(), Error> {
        let path = outroot.join(FILE);
        let bytes = serde_json::to_vec_pretty(self);
        let bytes = bytes.map_err(|error| Error::State { path: path.clone(), source: error.into() })?;
        write_file(&path, &bytes).map_err(|source| Error::Tables { source })
    }
}
