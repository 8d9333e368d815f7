//! What users call a model by.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, Serializer};

/// A model as users name it: a path, `org/name`, `org/name@revision`, `hf://org/name@revision`, or the URL of a file or
/// folder in an object store.
///
/// A path that exists is a path, whatever else it could mean. Text that looks like an id of the Hub is one otherwise.
/// With `hf://` it is always an id, and may be one without an organisation, as the oldest models have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(from = "String")]
pub struct ModelReference(OsString);

/// What a reference stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A folder or file, which need not exist.
    Path(&'a Path),
    /// A repository of the Hub.
    Hub {
        /// `org/name`.
        id: &'a str,
        /// A branch, tag or commit; `None` for the branch main.
        revision: Option<&'a str>,
    },
    /// Something else with a scheme, such as `s3://bucket/folder`.
    Url(&'a str),
}

impl ModelReference {
    /// What it stands for, as far as text and the local file system can tell.
    #[must_use]
    pub fn target(&self) -> Target<'_> {
        let path = Target::Path(Path::new(&self.0));
        let Some(text) = self.0.to_str() else { return path };
        if let Some(id) = text.strip_prefix("hf://") {
            return hub_id(id, 0).unwrap_or(Target::Url(text));
        }
        if Path::new(&self.0).symlink_metadata().is_ok() {
            return path;
        }
        match text.split_once("://") {
            Some((scheme, _))
                if scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
            {
                Target::Url(text)
            }
            _ => hub_id(text, 1).unwrap_or(path),
        }
    }

    /// As it was given.
    #[must_use]
    pub fn as_os_str(&self) -> &OsStr {
        &self.0
    }

    /// As it was given; what is no Unicode in it is replaced.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.0.to_string_lossy().into_owned()
    }
}

/// An id with at least so many slashes, and its revision.
fn hub_id(text: &str, slashes: usize) -> Option<Target<'_>> {
    const LONGEST: usize = 96; // as huggingface_hub's validate_repo_id has it, and so are the other rules
    let (id, revision) = text.split_once('@').map_or((text, None), |(id, revision)| (id, Some(revision)));
    let is_part = |part: &str| {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let ends_well = |byte: Option<&u8>| byte.is_some_and(|byte| !matches!(byte, b'.' | b'-'));
        part.bytes().all(inside) && ends_well(part.as_bytes().first()) && ends_well(part.as_bytes().last())
    };
    let count = id.matches('/').count();
    let is_id = (slashes..=1).contains(&count)
        && id.len() <= LONGEST
        && id.split('/').all(is_part)
        && !id.contains("--")
        && !id.contains("..");
    let is_revision = |revision: &str| {
        let parts = |part: &str| !part.is_empty() && part != "." && part != "..";
        revision.split('/').all(parts)
            && !revision.contains(|c: char| c.is_control() || c == '\\' || c == ':')
    };
    (is_id && revision.is_none_or(is_revision)).then_some(Target::Hub { id, revision })
}

impl Serialize for ModelReference {
    /// As it was given; what is no Unicode cannot be written.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Path::new(&self.0).serialize(serializer)
    }
}

impl fmt::Display for ModelReference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(formatter)
    }
}

impl From<&Self> for ModelReference {
    fn from(other: &Self) -> Self {
        other.clone()
    }
}

impl From<&str> for ModelReference {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for ModelReference {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<OsString> for ModelReference {
    fn from(text: OsString) -> Self {
        Self(text)
    }
}

impl From<&Path> for ModelReference {
    fn from(path: &Path) -> Self {
        Self(path.into())
    }
}

impl From<PathBuf> for ModelReference {
    fn from(path: PathBuf) -> Self {
        Self(path.into())
    }
}

impl From<&PathBuf> for ModelReference {
    fn from(path: &PathBuf) -> Self {
        Self(path.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_paths_and_urls() {
        let hub = |id, revision| Target::Hub { id, revision };
        for (text, target) in [
            ("org/name", hub("org/name", None)),
            ("org/name@main", hub("org/name", Some("main"))),
            ("org/name@refs/pr/1", hub("org/name", Some("refs/pr/1"))),
            ("hf://org/name@abc", hub("org/name", Some("abc"))),
            ("hf://gpt2", hub("gpt2", None)),
            ("a/b.c-d_e", hub("a/b.c-d_e", None)),
            ("gpt2", Target::Path(Path::new("gpt2"))),
            ("/org/name", Target::Path(Path::new("/org/name"))),
            ("./org/name", Target::Path(Path::new("./org/name"))),
            ("../name", Target::Path(Path::new("../name"))),
            ("org/name/", Target::Path(Path::new("org/name/"))),
            ("a/b/c", Target::Path(Path::new("a/b/c"))),
            ("org/name.", Target::Path(Path::new("org/name."))),
            ("org/na--me", Target::Path(Path::new("org/na--me"))),
            ("org/name@", Target::Path(Path::new("org/name@"))),
            ("org/name@../../x", Target::Path(Path::new("org/name@../../x"))),
            ("s3://bucket/model", Target::Url("s3://bucket/model")),
            ("hf://a/b/c", Target::Url("hf://a/b/c")),
            ("c://x", Target::Path(Path::new("c://x"))),
        ] {
            assert_eq!(ModelReference::from(text).target(), target, "{text}");
        }
    }

    #[test]
    fn a_path_that_exists_wins() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("org/name")).unwrap();
        // Tests share a working directory, which is this crate's folder.
        let given = ModelReference::from("src/lib.rs");
        assert_eq!(given.target(), Target::Path(Path::new("src/lib.rs")));
        assert!(matches!(ModelReference::from("hf://src/lib.rs").target(), Target::Hub { .. }));
        let absolute = folder.path().join("org/name");
        assert_eq!(ModelReference::from(&absolute).target(), Target::Path(&absolute));
    }
}
