//! A model's folder whose `config.json` changes while its weights stay open.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use weights_io::{Checkpoint, Error, Files, Source};

use crate::memory::MemoryFiles;

/// The folder.
#[derive(Debug)]
pub struct ChangingConfig {
    weights: MemoryFiles,
    config: Config,
}

/// The content of `config.json`, to be replaced.
pub type Config = Arc<Mutex<Vec<u8>>>;

impl ChangingConfig {
    /// Opens the weights.
    pub fn open(weights: &[u8], config: &[u8]) -> Result<(Checkpoint, Config), Error> {
        let config = Arc::new(Mutex::new(config.to_vec()));
        let weights = MemoryFiles::new([("model.safetensors", weights)], false);
        let files = Self { weights, config: Arc::clone(&config) };
        Ok((Checkpoint::open_in(Arc::new(files), None)?, config))
    }
}

impl Files for ChangingConfig {
    fn path_of(&self, name: &str) -> PathBuf {
        self.weights.path_of(name)
    }

    fn has(&self, name: &str) -> bool {
        name == "config.json" || self.weights.has(name)
    }

    fn open(&self, name: &str) -> Result<Box<dyn Source>, Error> {
        if name != "config.json" {
            return Files::open(&self.weights, name);
        }
        let config = self.config.lock().expect("no thread panics with it");
        Files::open(&MemoryFiles::new([(name, &**config)], false), name)
    }
}
