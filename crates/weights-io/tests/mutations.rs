//! Valid models of the fixtures, cut and changed in thousands of ways: each ends in an error with a way out, or in tensors
//! that are all within their file and readable. The fuzz targets in `fuzz/` look deeper and share what must hold; this runs
//! with the tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../../fuzz/src/invariants.rs"]
#[allow(unreachable_pub)] // a module of another crate
mod invariants;
#[path = "../../../fuzz/src/memory.rs"]
#[allow(unreachable_pub, dead_code)] // a module of another crate
mod memory;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use memory::MemoryFiles;

type Folder = BTreeMap<String, Vec<u8>>;

/// Bytes of the largest file that is changed: larger ones are more of the same, and slower.
const LARGEST: usize = 16 << 10;

/// Every valid model of the fixtures, with all its files in memory.
fn models() -> Vec<(PathBuf, Folder)> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let folders = |path: PathBuf| std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let pairs = folders(fixtures.join("pairs")).flat_map(|pair| [pair.join("a"), pair.join("b")]);
    let mut paths: Vec<PathBuf> = folders(fixtures.join("formats")).chain(pairs).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let files = folders(path.clone()).filter(|file| !file.ends_with("expected.json"));
        let named = files.map(|file| {
            (file.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(&file).unwrap())
        });
        (path, named.collect::<Folder>())
    };
    let models = paths.into_iter().map(read);
    models.filter(|(_, files)| files.values().all(|bytes| bytes.len() <= LARGEST)).collect()
}

/// Opens a folder, or the one file of a folder that holds no file with a name to look for; true if it opened.
fn opens(folder: &Folder, far_away: bool) -> bool {
    let files = MemoryFiles::new(folder.iter().map(|(name, bytes)| (name.as_str(), &**bytes)), far_away);
    let known = weights_io::PREFERENCE.iter().any(|name| folder.contains_key(*name));
    let file = if known { None } else { folder.keys().next().map(String::as_str) };
    let opened = files.open(file);
    let is_open = opened.is_ok();
    invariants::hold_and_pair(opened);
    is_open
}

struct Mutator(ChaCha8Rng);

impl Mutator {
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.0.next_u64() % end.max(1) as u64).unwrap()
    }

    /// A place in a file: more often in its first or last bytes, where headers and directories are.
    fn place(&mut self, len: usize) -> usize {
        match self.below(4) {
            0 => self.below(len.min(256)),
            1 => len - 1 - self.below(len.min(512)),
            _ => self.below(len),
        }
    }

    fn stretch(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.place(len);
        start..len.min(start + 1 + self.below(64))
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        const NUMBERS: [u64; 8] = [0, 1, 0x7f, 0xff, 0xffff, 0xffff_ffff, u64::MAX / 2, u64::MAX - 7];
        if bytes.is_empty() {
            return;
        }
        let at = self.place(bytes.len());
        match self.below(9) {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << self.below(8),
            2 => bytes[at] = self.0.next_u64().to_le_bytes()[0],
            3 => {
                let number = NUMBERS[self.below(NUMBERS.len())].to_le_bytes();
                let length = [1, 2, 4, 8][self.below(4)].min(bytes.len() - at);
                bytes[at..at + length].copy_from_slice(&number[..length]);
            }
            4 => {
                let inserted = self.0.next_u64().to_le_bytes();
                let length = self.below(9);
                bytes.splice(at..at, inserted.into_iter().take(length));
            }
            5 => {
                let copied = bytes[self.stretch(bytes.len())].to_vec();
                bytes.splice(at..at, copied);
            }
            6 => {
                let (one, other) = (self.stretch(bytes.len()), self.stretch(bytes.len()));
                for (one, other) in one.zip(other) {
                    bytes.swap(one, other);
                }
            }
            7 => drop(bytes.drain(self.stretch(bytes.len()))),
            _ => {
                let stretch = self.stretch(bytes.len());
                bytes[stretch].fill(0);
            }
        }
    }
}

#[test]
fn changed_files_are_refused_with_a_way_out_or_hold_what_they_list() {
    const TRIALS: usize = if cfg!(miri) { 1 } else { 300 };
    let models = models();
    assert!(models.len() > 40, "only {} models found", models.len());
    let (mut opened, mut refused) = (0, 0);
    for (number, (path, folder)) in models.into_iter().enumerate() {
        let mut mutator = Mutator(ChaCha8Rng::seed_from_u64(number as u64));
        let names: Vec<&String> = folder.keys().collect();
        for trial in 0..TRIALS {
            let mut changed = folder.clone();
            let bytes = changed.get_mut(names[mutator.below(names.len())]).unwrap();
            for _ in 0..=mutator.below(3) {
                mutator.mutate(bytes);
            }
            let outcome = std::panic::catch_unwind(|| opens(&changed, trial % 2 == 1));
            let is_open = outcome.unwrap_or_else(|_| panic!("trial {trial} of {}", path.display()));
            *(if is_open { &mut opened } else { &mut refused }) += 1;
        }
    }
    // Neither is the rule, or the changes would not reach what they are meant to.
    assert!(cfg!(miri) || opened > 1000 && refused > 1000, "{opened} opened, {refused} refused");
}

#[test]
fn no_file_that_is_cut_short_opens_as_if_it_were_whole() {
    const CUTS: usize = if cfg!(miri) { 1 } else { 60 };
    let mut cuts = 0;
    for (path, folder) in models() {
        assert_eq!(opens(&folder, false), !path.ends_with("torch_zip_big_endian"), "{}", path.display());
        for (name, bytes) in &folder {
            // An older .bin beside the chosen weights is not read, and the pickle of a file that is not looked into may be cut.
            let counts = name != "config.json" && folder.len() <= 2;
            for cut in (0..CUTS).map(|cut| bytes.len() * cut / CUTS).chain([bytes.len() - 1]) {
                let mut changed = folder.clone();
                changed.get_mut(name).unwrap().truncate(cut);
                let is_open = opens(&changed, cut % 2 == 1);
                assert!(!(is_open && counts), "{name} of {} cut at {cut} opens", path.display());
                cuts += 1;
            }
        }
    }
    assert!(cfg!(miri) || cuts > 3000, "only {cuts} cuts");
}
