//! Checks a file against the hash that the Hub gives as its tag.

use std::fmt::Write;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::listing::Content;

/// Sums up a file as it arrives.
#[derive(Clone, Debug)]
pub(crate) enum Hash {
    /// Files in large file storage.
    Sha256(Sha256),
    /// Files in git: the hash of a blob starts with its kind and length.
    Git(Sha1),
    /// A mirror's tag that is none of the two: there is nothing to check it by.
    Unknown,
}

impl Hash {
    pub(crate) fn of(content: &Content) -> Self {
        let is_hex = content.etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        match content.etag.len() {
            64 if is_hex => Self::Sha256(Sha256::new()),
            40 if is_hex => Self::Git(Sha1::new_with_prefix(format!("blob {}\0", content.size))),
            _ => Self::Unknown,
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Git(hash) => hash.update(bytes),
            Self::Unknown => {}
        }
    }

    /// Name and value, where there is one.
    pub(crate) fn finish(self) -> Option<(&'static str, String)> {
        let hexadecimal = |bytes: &[u8]| {
            bytes.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}"); // a string takes everything
                text
            })
        };
        match self {
            Self::Sha256(hash) => Some(("its SHA-256", hexadecimal(&hash.finalize()))),
            Self::Git(hash) => Some(("its git hash", hexadecimal(&hash.finalize()))),
            Self::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_git_and_of_sha256sum() {
        let hash = |etag: &str| {
            let mut hash = Hash::of(&Content { size: 6, etag: etag.into() });
            hash.update(b"hel");
            hash.update(b"lo\n");
            hash.finish().map(|(_, value)| value)
        };
        let git = "ce013625030ba8dba906f756967f9e9ca394464a"; // echo hello | git hash-object --stdin
        assert_eq!(hash(git).as_deref(), Some(git));
        let sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        assert_eq!(hash(sha256).as_deref(), Some(sha256));
        assert_eq!(hash("d41d8cd98f00b204e9800998ecf8427e-2"), None);
    }
}
