//! Tells from the first bytes what a file is, before any parser sees it.

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

/// Recognises the format by the beginning of the content, and names what is commonly found in place of weights.
pub(crate) fn sniff(file: &dyn Source, head: &[u8]) -> Result<FileFormat, Error> {
    const LOOKED_AT: usize = 4096;
    let path = || file.path().to_path_buf();
    let head = &head[..head.len().min(LOOKED_AT)];
    if head.iter().all(|byte| *byte == 0) {
        return Err(Error::Blank { path: path() });
    }
    if head.starts_with(b"version https://git-lfs") {
        return Err(Error::GitLfsPointer { path: path() });
    }
    let text = head.trim_ascii_start();
    if starts_with_ignore_case(text, b"<!doctype html") || starts_with_ignore_case(text, b"<html") {
        return Err(Error::HtmlPage { path: path() });
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
    let detail = if file.len() < 8 {
        format!("it has only {} bytes", file.len())
    } else {
        format!("it begins with {:02x?}", &head[..head.len().min(8)])
    };
    Err(Error::UnknownFormat { path: path(), detail })
}

fn starts_with_ignore_case(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}
