//! Tells from the first bytes what a file is, before any parser sees it.

use std::path::Path;

use intake::Foreign;

use crate::{Error, Source};

/// The file formats that hold weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFormat {
    Safetensors,
    TorchZip,
    TorchLegacy,
}

/// Bytes of each file that are read at once when it is opened: the whole header of most safetensors shards.
pub(crate) const HEAD: usize = 64 << 10;

/// Bytes that are looked at.
const LOOKED_AT: usize = Foreign::HEAD;

/// What other files begin with that are found in place of weights.
const OTHERS: [(&[u8], &str); 7] = [
    (b"\x1f\x8b", "it is compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "it is compressed with zstd"),
    (b"\xfd7zXZ\0", "it is compressed with xz"),
    (b"BZh", "it is compressed with bzip2"),
    (b"GGUF", "it is a GGUF file"),
    (b"\x89HDF", "it is an HDF5 file"),
    (b"\x93NUMPY", "it is a NumPy array"),
];

/// Recognises the format by the beginning of the content, and names what is commonly found in place of weights. Nothing of
/// the content is repeated.
pub(crate) fn sniff(file: &dyn Source, head: &[u8]) -> Result<FileFormat, Error> {
    let path = || file.path().to_path_buf();
    refuse_impostor(file.path(), head)?;
    let head = &head[..head.len().min(LOOKED_AT)];
    if is_text(head) && without_mark(head).starts_with(b"{") {
        return Err(Error::ServerAnswer { path: path(), what: "a JSON document" });
    }
    if head.starts_with(b"PK\x03\x04") {
        return Ok(FileFormat::TorchZip);
    }
    // A safetensors header is a length and then a JSON object.
    if head.get(8) == Some(&b'{') {
        return Ok(FileFormat::Safetensors);
    }
    if head[0] == 0x80 {
        return Ok(FileFormat::TorchLegacy);
    }
    if head.len() > 262 && &head[257..262] == b"ustar" {
        return Err(Error::Unsupported { path: path(), what: "the tar format of PyTorch before 0.1.10" });
    }
    let other = OTHERS.iter().find(|(start, _)| head.starts_with(start));
    let detail = match other {
        Some((_, what)) => (*what).into(),
        None if is_text(head) => format!("it is a text of {} bytes", file.len()),
        None if file.len() < 8 => format!("it has only {} bytes", file.len()),
        None => format!("it begins with {:02x?}", &head[..head.len().min(4)]),
    };
    Err(Error::UnknownFormat { path: path(), detail })
}

/// Names what is commonly found in place of a file of any kind: nothing, a Git-LFS pointer, what a server says instead.
pub(crate) fn refuse_impostor(path: &Path, content: &[u8]) -> Result<(), Error> {
    let path = || path.to_path_buf();
    let head = &content[..content.len().min(LOOKED_AT)];
    match Foreign::of(head) {
        Some(Foreign::GitLfsPointer) => Err(Error::GitLfsPointer { path: path() }),
        Some(Foreign::HtmlPage) => Err(Error::ServerAnswer { path: path(), what: "an HTML page" }),
        Some(_) => Err(Error::Blank { path: path() }),
        None if is_text(head) && without_mark(head).starts_with(b"<") => {
            Err(Error::ServerAnswer { path: path(), what: "an HTML or XML document" })
        }
        None => Ok(()),
    }
}

/// Text without a byte order mark and spaces at its beginning.
fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii_start()
}

/// True if it begins as text does. The length at the start of a safetensors file never looks so: its last byte is 0.
fn is_text(head: &[u8]) -> bool {
    let start = &head[..head.len().min(8)];
    start.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace())
}
