//! What is commonly found in place of a file.

use std::io;

/// Something else than what the name of a file promises. It may be the cause inside an [`io::Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Foreign {
    /// A clone of a repository without its large files.
    #[error("it is a Git-LFS pointer, not the file itself")]
    GitLfsPointer,
    /// A login or error page that was saved in place of a download.
    #[error("it is an HTML page")]
    HtmlPage,
    /// Nothing but zeros at its beginning, as an interrupted download leaves it.
    #[error("it is filled with zeros")]
    Zeros,
    /// Nothing at all.
    #[error("it is empty")]
    Empty,
}

impl Foreign {
    /// Bytes that are looked at.
    pub const HEAD: usize = 4096;

    /// Recognises a file by its first bytes, [`Self::HEAD`] of them or all that there are.
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        let head = &head[..head.len().min(Self::HEAD)];
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
        let begins =
            |with: &[u8]| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
        if head.is_empty() {
            Some(Self::Empty)
        } else if head.iter().all(|byte| *byte == 0) {
            Some(Self::Zeros)
        } else if head.starts_with(b"version https://git-lfs") {
            Some(Self::GitLfsPointer)
        } else if begins(b"<!doctype html") || begins(b"<html") {
            Some(Self::HtmlPage)
        } else {
            None
        }
    }

    /// What an error says that was made of one of these.
    #[must_use]
    pub fn behind(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }

    /// What the user can do about it, as one sentence.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::GitLfsPointer => "run `git lfs pull` in the folder of the file",
            Self::HtmlPage => {
                "download the file again; a gated repository needs its licence accepted and a token"
            }
            Self::Zeros | Self::Empty => "the file is incomplete: fetch or make it again",
        }
    }
}

impl From<Foreign> for io::Error {
    fn from(foreign: Foreign) -> Self {
        Self::new(io::ErrorKind::InvalidData, foreign)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_place_of_a_file_has_a_name() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
        assert_eq!(Foreign::of(pointer), Some(Foreign::GitLfsPointer));
        for page in [&b"<!DOCTYPE html>"[..], b"\n\t <HTML lang=en>", b"\xef\xbb\xbf<!doctype HTML>"] {
            assert_eq!(Foreign::of(page), Some(Foreign::HtmlPage));
        }
        assert_eq!(Foreign::of(b""), Some(Foreign::Empty));
        assert_eq!(Foreign::of(b"\0"), Some(Foreign::Zeros));
        let mut late = vec![0; Foreign::HEAD + 1];
        late[Foreign::HEAD] = 1;
        assert_eq!(Foreign::of(&late), Some(Foreign::Zeros), "no more than the head is looked at");
        late[Foreign::HEAD - 1] = 1;
        for other in [&b"{}"[..], b"a,b\n", b"<p>", b"version https", b"PAR1", &late] {
            assert_eq!(Foreign::of(other), None);
        }
    }

    #[test]
    fn an_io_error_says_what_it_was() {
        let error = io::Error::from(Foreign::HtmlPage);
        assert_eq!(Foreign::behind(&error), Some(Foreign::HtmlPage));
        assert_eq!(error.to_string(), "it is an HTML page");
        assert_eq!(Foreign::behind(&io::ErrorKind::NotFound.into()), None);
    }
}
