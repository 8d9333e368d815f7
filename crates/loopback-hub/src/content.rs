//! One file's bytes with the hashes the Hub knows it by.

use std::fmt::Write;
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

#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    /// SHA-256 of the bytes, 64 hexadecimal digits.
    pub(crate) sha256: String,
    /// What git calls a blob of these bytes, 40 hexadecimal digits.
    pub(crate) git_blob: String,
}

impl Content {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let sha256 = hexadecimal(&Sha256::digest(&bytes));
        let git_blob = git_blob(&bytes);
        Self { bytes, sha256, git_blob }
    }

    pub(crate) fn is_lfs(&self, name: &str) -> bool {
        let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
        self.bytes.len() >= LFS_SIZE || extension.is_some_and(|extension| LFS_EXTENSIONS.contains(&extension))
    }

    /// What the file's cache entry is called: SHA-256 in LFS, the name of the git blob otherwise.
    pub(crate) fn etag(&self, name: &str) -> &str {
        if self.is_lfs(name) { &self.sha256 } else { &self.git_blob }
    }

    /// The file that git holds for one in LFS.
    pub(crate) fn lfs_pointer(&self) -> Vec<u8> {
        let (oid, size) = (&self.sha256, self.bytes.len());
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
