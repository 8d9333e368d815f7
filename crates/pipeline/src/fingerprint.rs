//! What a step's result depends on, in a form that two runs can compare.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::time::UNIX_EPOCH;

use hub::{Located, ModelReference};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use weights_io::{Checkpoint, Source, Version};

use crate::ParamStatsOptions;
use crate::setup::OpenModel;

/// Of the code.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a file that is not there, or cannot be read, has instead of a hash.
const ABSENT: &str = "absent";

/// Everything that a step reads: by name what identifies it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inputs(pub(crate) BTreeMap<String, String>);

impl Inputs {
    /// The version of the code and the options, to which files are added.
    pub(crate) fn new(options: String) -> Self {
        Self([("version".to_owned(), VERSION.to_owned()), ("options".to_owned(), options)].into())
    }

    /// A small file, by its content.
    pub(crate) fn file(&mut self, path: &Path) {
        self.0.insert(path.to_string_lossy().into_owned(), content_hash(path));
    }

    /// A model: where it comes from a repository, by the commit; else its weights by size and version, since they are
    /// large, and what describes them by content.
    pub(crate) fn model(&mut self, reference: &ModelReference, located: &Located, with_tokenizer: bool) {
        if let Some(commit) = &located.commit {
            self.0.insert(reference.to_text(), format!("commit {commit}"));
            return;
        }
        // The step itself will say what is wrong with a model that cannot be opened.
        let Ok(checkpoint) = located.open() else { return };
        for shard in checkpoint.shards() {
            self.0.insert(shard.path().to_string_lossy().into_owned(), size_and_version(&**shard));
        }
        self.descriptions(&checkpoint, with_tokenizer);
    }

    /// What a comparison of matrices depends on. Here a file is another one as soon as anything at all was done to it:
    /// a comparison that starts anew costs time, a number of bytes that are gone is wrong.
    pub(crate) fn of_comparison(numerics: &spectral::Options, models: &[OpenModel], engine: &str) -> Self {
        let mut inputs = Self::new(format!("{numerics:?}"));
        inputs.0.insert("engine".to_owned(), engine.to_owned());
        inputs.open_models(models, |file| {
            format!("{}, {}", size_and_version(file), status_change(file.path()))
        });
        inputs
    }

    /// What the parts of one comparison have in common, on whatever machines they are made: another machine has other
    /// instructions, and the same file may have come to it at another time.
    pub(crate) fn of_parts<'a>(
        options: &ParamStatsOptions,
        models: &[OpenModel],
        names: impl Iterator<Item = &'a str>,
    ) -> Self {
        let spectral::Options { method, seed, operators, top_k, full_spectrum } = &options.numerics;
        let numerics: [(&str, &dyn fmt::Debug); 5] = [
            ("method", method),
            ("seed", seed),
            ("operators", operators),
            ("top_k", top_k),
            ("full_spectrum", full_spectrum),
        ];
        let mut inputs = Self::default();
        inputs.0.insert("version".to_owned(), VERSION.to_owned());
        inputs.0.insert("selection".to_owned(), format!("{:?}", options.selection));
        inputs.0.extend(numerics.map(|(name, value)| (name.to_owned(), format!("{value:?}"))));
        inputs.0.insert(NAMES.to_owned(), set_of_names(names));
        inputs.open_models(models, size_and_version);
        inputs
    }

    fn open_models(&mut self, models: &[OpenModel], version: impl Fn(&dyn Source) -> String) {
        for OpenModel { side, reference, commit, checkpoint } in models {
            let which = format!("model {side}");
            if let Some(commit) = commit {
                self.0.insert(which, format!("{} at commit {commit}", reference.to_text()));
                continue;
            }
            self.0.insert(which, checkpoint.took().to_string_lossy().into_owned());
            for shard in checkpoint.shards() {
                self.0.insert(shard.path().to_string_lossy().into_owned(), version(&**shard));
            }
            self.descriptions(checkpoint, false);
        }
    }

    /// What describes the weights.
    fn descriptions(&mut self, checkpoint: &Checkpoint, with_tokenizer: bool) {
        let took = checkpoint.took();
        let is_index = took.extension() == Some(OsStr::new("json"));
        let index = took.file_name().and_then(OsStr::to_str).filter(|_| is_index);
        let tokenizer = with_tokenizer.then_some("tokenizer.json");
        for name in ["config.json"].into_iter().chain(tokenizer).chain(index) {
            let content = checkpoint.file(name).ok().flatten();
            let content =
                content.map_or_else(|| ABSENT.to_owned(), |content| hexadecimal(&Sha256::digest(content)));
            self.0.insert(checkpoint.path_of(name).to_string_lossy().into_owned(), content);
        }
    }

    /// The first input that is not the same in both.
    pub(crate) fn first_change<'a>(&'a self, earlier: &'a BTreeMap<String, String>) -> Option<&'a str> {
        let differs = |name: &&String| self.0.get(*name) != earlier.get(*name);
        self.0.keys().chain(earlier.keys()).find(differs).map(String::as_str)
    }
}

/// What names of parameters are called among what identifies a part.
pub(crate) const NAMES: &str = "names of the parameters";

/// Names in any order: how many there are, and their hash.
pub(crate) fn set_of_names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    let mut hash = Sha256::new();
    for name in &names {
        hash.update((name.len() as u64).to_le_bytes()); // a name may hold any character
        hash.update(name);
    }
    format!("{}, SHA-256 {}", names.len(), hexadecimal(&hash.finalize()))
}

fn size_and_version(file: &dyn Source) -> String {
    let version = match file.version() {
        Version::Etag(tag) => format!("etag {tag}"),
        Version::Modified(time) => {
            let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            format!("changed {} ns", since.map_or(0, |since| since.as_nanos()))
        }
        version => format!("{version:?}"),
    };
    format!("{} bytes, {version}", file.len())
}

/// When anything about a file on disk changed last: unlike the time of its content's change, nobody can set it.
fn status_change(path: &Path) -> String {
    #[cfg(unix)]
    if let Ok(metadata) = std::fs::metadata(path) {
        use std::os::unix::fs::MetadataExt as _;
        return format!("{}.{:09}", metadata.ctime(), metadata.ctime_nsec());
    }
    let _ = path;
    String::new()
}

/// SHA-256 in hexadecimal, as `sha256sum` prints it.
pub(crate) fn content_hash(path: &Path) -> String {
    // A pipe could block.
    if !path.is_file() {
        return ABSENT.to_owned();
    }
    sha256(path).unwrap_or_else(|_| ABSENT.to_owned())
}

fn sha256(path: &Path) -> std::io::Result<String> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut hash = Sha256::new();
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            break;
        }
        hash.update(bytes);
        let read = bytes.len();
        file.consume(read);
    }
    Ok(hexadecimal(&hash.finalize()))
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        assert_eq!(content_hash(&path), ABSENT);
        assert_eq!(content_hash(folder.path()), ABSENT);
        std::fs::write(&path, "abc").unwrap();
        let of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; // FIPS 180-2, B.1
        assert_eq!(content_hash(&path), of_abc);
    }

    #[test]
    fn a_change_is_named() {
        let inputs = |options: &str, path: &str| {
            let mut inputs = Inputs::new(options.into());
            inputs.0.insert(path.into(), "1".into());
            inputs
        };
        let earlier = inputs("x", "a").0;
        assert_eq!(inputs("x", "a").first_change(&earlier), None);
        assert_eq!(inputs("y", "a").first_change(&earlier), Some("options"));
        assert_eq!(inputs("x", "b").first_change(&earlier), Some("b"));
        let fewer = Inputs::new("x".into());
        assert_eq!(fewer.first_change(&earlier), Some("a"));
    }
}
