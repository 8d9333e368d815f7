//! A Hub on 127.0.0.1, a cache of its own, and an observer that remembers.
#![allow(dead_code)] // not every test needs all of it

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hub::{Error, Hub, Located, ModelReference, Observer, Place, Settings, Wanted};
use loopback_hub::LoopbackHub;

/// A server and an empty cache.
pub(crate) struct World {
    pub(crate) server: LoopbackHub,
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { server: LoopbackHub::start().unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.folder.path().join("hub")
    }

    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::from_environment(|_| None);
        settings.cache = self.cache();
        settings.endpoint = self.server.endpoint();
        settings.token = None;
        settings.pause = Duration::from_millis(5);
        settings.timeout = Duration::from_secs(2);
        settings
    }

    pub(crate) fn hub(&self) -> Hub {
        Hub::new(self.settings(), Arc::default())
    }

    pub(crate) fn offline(&self) -> Hub {
        Hub::new(Settings { offline: true, ..self.settings() }, Arc::default())
    }

    pub(crate) fn hub_with_token(&self, token: &str) -> Hub {
        Hub::new(Settings { token: Some(token.into()), ..self.settings() }, Arc::default())
    }

    pub(crate) fn interruptible(&self) -> (Hub, Arc<AtomicBool>) {
        let flag = Arc::new(AtomicBool::new(false));
        (Hub::new(self.settings(), Arc::clone(&flag)), flag)
    }

    /// The folder of a model in the cache.
    pub(crate) fn model(&self, id: &str) -> PathBuf {
        self.cache().join(format!("models--{}", id.replace('/', "--")))
    }

    /// Paths of requests so far that contain this.
    pub(crate) fn requests(&self, part: &str) -> Vec<loopback_hub::Request> {
        self.server.requests().into_iter().filter(|request| request.path.contains(part)).collect()
    }
}

/// Downloads a model, weights and configuration only.
pub(crate) fn get(hub: &Hub, reference: &str) -> Result<Located, Error> {
    hub.locate(&ModelReference::from(reference), Wanted::default(), false, &())
}

/// Finds a model to be streamed.
pub(crate) fn stream(hub: &Hub, reference: &str) -> Result<Located, Error> {
    hub.locate(&ModelReference::from(reference), Wanted::default(), true, &())
}

pub(crate) fn local(located: &Located) -> &Path {
    match &located.place {
        Place::Local(path) => path,
        Place::Remote(files) => panic!("{} is not local", files.path_of("").display()),
    }
}

/// The files of a fixture.
pub(crate) fn fixture(name: &str) -> Vec<(String, Vec<u8>)> {
    loopback_hub::folder_files(fixture_folder(name)).unwrap()
}

pub(crate) fn fixture_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

pub(crate) fn file(name: &str, bytes: impl Into<Vec<u8>>) -> (String, Vec<u8>) {
    (name.into(), bytes.into())
}

/// Bytes that do not repeat.
pub(crate) fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// What an observer heard.
#[derive(Debug, Default)]
pub(crate) struct Ear {
    /// Files and bytes of each download.
    pub(crate) downloads: Mutex<Vec<(usize, u64)>>,
    /// Bytes that were present when a file was started, the last time.
    pub(crate) present: Mutex<BTreeMap<String, u64>>,
    /// Bytes that came after that.
    pub(crate) received: Mutex<BTreeMap<String, u64>>,
    pub(crate) finished: Mutex<Vec<String>>,
    pub(crate) waiting: Mutex<Vec<String>>,
}

impl Observer for Ear {
    fn download_started(&self, _: &str, files: usize, bytes: u64) {
        self.downloads.lock().unwrap().push((files, bytes));
    }

    fn file_started(&self, file: &str, _: u64, present: u64) {
        self.present.lock().unwrap().insert(file.into(), present);
        self.received.lock().unwrap().insert(file.into(), 0);
    }

    fn received(&self, file: &str, bytes: u64) {
        *self.received.lock().unwrap().get_mut(file).unwrap() += bytes;
    }

    fn file_finished(&self, file: &str) {
        self.finished.lock().unwrap().push(file.into());
    }

    fn waiting(&self, why: &str) {
        self.waiting.lock().unwrap().push(why.into());
    }
}
