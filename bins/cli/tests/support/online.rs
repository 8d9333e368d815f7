//! Tools whose Hub is a server in the test, and whose cache is a folder of its own.
#![allow(dead_code)] // no tool needs all of it

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use loopback_hub::{LoopbackHub, Request, folder_files};
use tempfile::TempDir;

use super::support::{fixtures, stderr};

/// What a repository is made of.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

/// The files of a folder of `fixtures/`.
pub(crate) fn fixture(folder: &str) -> Files {
    folder_files(fixtures().join(folder)).unwrap()
}

/// Files with more files, in whose place they come if they have their names.
pub(crate) fn with(mut files: Files, more: &[(&str, &[u8])]) -> Files {
    for (name, bytes) in more {
        files.retain(|(other, _)| other != name);
        files.push(((*name).to_owned(), bytes.to_vec()));
    }
    files
}

pub(crate) fn size(files: &Files, name: &str) -> u64 {
    files.iter().find(|(file, _)| file == name).unwrap().1.len() as u64
}

/// A server, and a folder with the cache, the results and the empty folder that tools run in.
pub(crate) struct Online {
    pub(crate) hub: LoopbackHub,
    folder: TempDir,
}

impl Online {
    pub(crate) fn new() -> Self {
        let online = Self { hub: LoopbackHub::start().unwrap(), folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(online.work()).unwrap();
        online
    }

    /// `HF_HOME`
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Where tools run.
    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// A folder with these repositories as folders, to run in: there a name of the Hub is a path that exists.
    pub(crate) fn disk(&self, repositories: &[(&str, &Files)]) -> PathBuf {
        let disk = self.folder.path().join("disk");
        for (id, files) in repositories {
            let folder = disk.join(id);
            std::fs::create_dir_all(&folder).unwrap();
            for (name, bytes) in *files {
                std::fs::write(folder.join(name), bytes).unwrap();
            }
        }
        disk
    }

    /// A new place for results.
    pub(crate) fn outdir(&self, name: &str) -> PathBuf {
        self.folder.path().join("results").join(name)
    }

    /// A tool with this Hub and this cache, and nothing else from the environment.
    pub(crate) fn command(&self, binary: &Path) -> Command {
        let mut command = Command::new(binary);
        command.env_clear().current_dir(self.work());
        command.env("HF_ENDPOINT", self.hub.endpoint()).env("HF_HOME", self.home());
        command
    }

    /// What a tool said, without ports, temporary names, and what systems call the same error.
    pub(crate) fn redacted(&self, output: &Output) -> String {
        let endpoint = self.hub.endpoint();
        let delivery = endpoint.replace("127.0.0.1", "localhost");
        let message = stderr(output).replace(&endpoint, "[endpoint]").replace(&delivery, "[delivery]");
        let message = message.replace(&*self.folder.path().to_string_lossy(), "[folder]");
        let cut = |line: &str| line.split(" (os error ").next().unwrap_or(line).to_owned() + "\n";
        message.lines().map(cut).collect()
    }

    /// All files and links in the cache, with what links point at, but for locks and notes.
    pub(crate) fn cached(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.home().join("hub"), &mut found);
        let mut names: Vec<_> = found
            .iter()
            .map(|path| {
                let name = path.strip_prefix(self.home()).unwrap().to_string_lossy().into_owned();
                match path.read_link() {
                    Ok(target) => format!("{name} -> {}", target.display()),
                    Err(_) => name,
                }
            })
            .filter(|name| !name.contains(".lock") && !name.ends_with("CACHEDIR.TAG"))
            .collect();
        names.sort();
        names
    }

    /// Whether each blob in the cache has the bytes of one of these files. Unfinished ones have a name with a dot.
    pub(crate) fn assert_blobs_are(&self, files: &[&Files]) {
        let blobs =
            self.cached().into_iter().filter(|name| name.contains("/blobs/") && !name.contains(" -> "));
        for blob in blobs.filter(|name| !name.rsplit('/').next().unwrap().contains('.')) {
            let bytes = std::fs::read(self.home().join(&blob)).unwrap();
            let is_whole = files.iter().any(|files| files.iter().any(|(_, file)| *file == bytes));
            assert!(is_whole, "{blob} has {} bytes of no file", bytes.len());
        }
    }

    /// The names of the files that were asked for, each once.
    pub(crate) fn resolved(&self) -> Vec<String> {
        let requests = self.hub.requests();
        let files = requests.iter().filter_map(|request| request.path.split_once("/resolve/"));
        let mut files: Vec<_> = files.map(|(_, file)| file.split_once('/').unwrap().1.to_owned()).collect();
        files.sort();
        files.dedup();
        files
    }

    /// Requests for files in LFS, where their bytes are.
    pub(crate) fn deliveries(&self) -> Vec<Request> {
        let requests = self.hub.requests();
        requests.into_iter().filter(|request| request.path.starts_with("/cdn/")).collect()
    }
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() { walk(&path, found) } else { found.push(path) }
    }
}

/// All tables of a folder and its folders as CSV, by their names.
pub(crate) fn csv_files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(folder, &mut found);
    let csv = found.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "csv"));
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let mut files: Vec<_> = csv.map(|path| (name(&path), std::fs::read_to_string(&path).unwrap())).collect();
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

/// Says which line of which table differs, not all of them.
pub(crate) fn assert_same_tables(found: &[(String, String)], expected: &[(String, String)]) {
    let names = |tables: &[(String, String)]| tables.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(found), names(expected));
    for ((name, found), (_, expected)) in found.iter().zip(expected) {
        for (found, expected) in found.lines().zip(expected.lines()) {
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(found.len(), expected.len(), "{name}");
    }
}

/// Waits for something that another process brings about.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_mins(1), "waited for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
