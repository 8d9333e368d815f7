//! One file's bytes with the hashes the Hub knows it by.

use std::borrow::Cow;
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

use sha1::{Digest, Sha1};
use sha2::Sha256;

/// What the Hub's default `.gitattributes` put into LFS, as far as it concerns us.
const LFS_EXTENSIONS: [&str; 15] = [
    "arrow",
    "bin",
    "ckpt",
    "gguf",
    "gz",
    "h5",
    "model",
    "msgpack",
    "npz",
    "onnx",
    "parquet",
    "pt",
    "pth",
    "safetensors",
    "zip",
];

/// From this size on (bytes) a file has to be in LFS whatever its name.
const LFS_SIZE: usize = 10 << 20;

/// The bytes of a file.
#[derive(Debug)]
pub struct Content {
    /// All of them, or those before the zeros.
    head: Vec<u8>,
    length: usize,
    /// SHA-256 of the bytes, 64 hexadecimal digits.
    pub(crate) sha256: String,
    /// What git calls a blob of these bytes, 40 hexadecimal digits.
    pub(crate) git_blob: String,
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        let (sha256, git_blob) = (hexadecimal(&Sha256::digest(&bytes)), git_blob(&bytes));
        Self { length: bytes.len(), head: bytes, sha256, git_blob }
    }
}

impl Content {
    /// These bytes and then zeros, which take no memory, up to a length in bytes. Its hashes are made up: it is there to
    /// be read in part.
    #[must_use]
    pub fn with_zeros(head: Vec<u8>, length: usize) -> Self {
        let length = length.max(head.len());
        Self { length, ..Self::from(head) }
    }

    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// Bytes of a range that lies within.
    pub(crate) fn read(&self, range: Range<usize>) -> Cow<'_, [u8]> {
        if let Some(bytes) = self.head.get(range.clone()) {
            return Cow::Borrowed(bytes);
        }
        let mut bytes = self.head.get(range.start..).unwrap_or_default().to_vec();
        bytes.resize(range.len(), 0);
        Cow::Owned(bytes)
    }

    pub(crate) fn is_lfs(&self, name: &str) -> bool {
        let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
        self.length >= LFS_SIZE || extension.is_some_and(|extension| LFS_EXTENSIONS.contains(&extension))
    }

    /// What the file's cache entry is called: SHA-256 in LFS, the name of the git blob otherwise.
    pub(crate) fn etag(&self, name: &str) -> &str {
        if self.is_lfs(name) { &self.sha256 } else { &self.git_blob }
    }

    /// The file that git holds for one in LFS.
    pub(crate) fn lfs_pointer(&self) -> Vec<u8> {
        let (oid, size) = (&self.sha256, self.length);
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n").into_bytes()
    }

    /// The ETag of the content delivery network, which knows neither of the other hashes.
    pub(crate) fn delivery_etag(&self) -> String {
        self.sha256.chars().rev().collect()
    }
}

pub(crate) fn git_blob(bytes: &[u8]) -> String {
    let head = format!("blob {}\0", bytes.len());
    hexadecimal(&Sha1::new().chain_update(head).chain_update(bytes).finalize())
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a string takes everything
        text
    })
}
