//! What a revision of a repository holds, as the Hub's API tells it.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use ureq::http::{HeaderMap, Response};

use super::http::{Client, Subject, text, without_query};
use super::redirect::Followed;
use super::retry::{Failure, Patience};
use crate::cache::is_commit;
use crate::repository::Repository;
use crate::{Error, Observer};

/// What stays as it is in the path of a URL.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// More than the listing of any repository.
const LONGEST_LISTING: u64 = 256 << 20;

/// The files of one commit.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) repository: Repository,
    pub(crate) commit: String,
    /// Whether a licence must have been accepted for its files, though not for this listing.
    pub(crate) is_gated: bool,
    /// Content by name, where the listing tells it.
    files: BTreeMap<String, Option<Content>>,
}

/// What tells one content from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    /// Bytes.
    pub(crate) size: u64,
    /// SHA-256 of large files, git's SHA-1 of others; on mirrors it may be anything.
    pub(crate) etag: String,
}

#[derive(Deserialize)]
struct Answer {
    sha: String,
    /// `false`, or who decides: `"auto"`, `"manual"`.
    #[serde(default)]
    gated: serde_json::Value,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Large>,
}

#[derive(Deserialize)]
struct Large {
    size: u64,
    sha256: String,
}

impl Listing {
    /// Asks what a revision holds, and which commit it is.
    pub(crate) fn get(
        client: &Client,
        repository: &Repository,
        observer: &dyn Observer,
    ) -> Result<Self, Error> {
        let revision = utf8_percent_encode(&repository.revision, PATH).to_string();
        let request = client.api.repo(repository.repo(revision)).info_request();
        let address =
            format!("{}?blobs=true", request.uri_ref().map(ToString::to_string).unwrap_or_default());
        let subject = Subject { repository: repository.clone(), file: None };
        let stopped = || client.is_interrupted();
        let waiting = |why: &str| observer.waiting(why);
        let answer: Answer = Patience::new(client.pause, &stopped, &waiting).repeat(|| {
            let mut followed = client.follow("GET", &address, None, &subject, true)?;
            refuse_web_page(&followed)?;
            let body = followed.response.body_mut().with_config().limit(LONGEST_LISTING).read_to_vec();
            let body = body.map_err(|error| client.failed(error, without_query(&followed.address)))?;
            serde_json::from_slice(&body)
                .map_err(|error| answered(&followed, &format!("sent no listing: {error}")).into())
        })?;
        let malformed = |reason: String| Error::Answer { address: without_query(&address).into(), reason };
        if !is_commit(&answer.sha) {
            return Err(malformed(format!("names no commit, but `{}`", answer.sha)));
        }
        let is_gated = !matches!(answer.gated, serde_json::Value::Null | serde_json::Value::Bool(false));
        let mut files = BTreeMap::new();
        for sibling in answer.siblings.into_iter().filter(|sibling| is_relative(&sibling.rfilename)) {
            let (name, content) = sibling.into_content();
            if let Some(content) = &content {
                content.check().map_err(malformed)?;
            }
            files.insert(name, content);
        }
        Ok(Self { repository: repository.clone(), commit: answer.sha, is_gated, files })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// All files, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Where a file is, at this commit.
    pub(crate) fn address(&self, client: &Client, name: &str) -> String {
        let repo = client.api.repo(self.repository.repo(self.commit.clone()));
        repo.url(&utf8_percent_encode(name, PATH).to_string())
    }

    /// What messages are about.
    pub(crate) fn subject(&self, name: &str) -> Subject {
        Subject { repository: self.repository.clone(), file: Some(name.into()) }
    }

    /// Size and hash of a file; where the listing lacks them, from the headers of the file itself.
    pub(crate) fn content(
        &self,
        client: &Client,
        name: &str,
        observer: &dyn Observer,
    ) -> Result<Content, Error> {
        if let Some(Some(content)) = self.files.get(name) {
            return Ok(content.clone());
        }
        self.head(client, name, observer)
    }

    /// Size and hash of a file as its own headers have them; refused if the file is.
    pub(crate) fn head(
        &self,
        client: &Client,
        name: &str,
        observer: &dyn Observer,
    ) -> Result<Content, Error> {
        let (address, subject) = (self.address(client, name), self.subject(name));
        let stopped = || client.is_interrupted();
        let waiting = |why: &str| observer.waiting(why);
        Patience::new(client.pause, &stopped, &waiting).repeat(|| {
            let followed = client.follow("HEAD", &address, None, &subject, false)?;
            let content = Content::of(&followed.said, &followed.response);
            let content = content.ok_or_else(|| answered(&followed, "tells no size and hash of the file"))?;
            content.check().map_err(|reason| answered(&followed, &reason))?;
            Ok(content)
        })
    }
}

impl Sibling {
    fn into_content(self) -> (String, Option<Content>) {
        let content = match (self.lfs, self.size, self.blob_id) {
            (Some(large), ..) => Some(Content { size: large.size, etag: large.sha256 }),
            (None, Some(size), Some(etag)) => Some(Content { size, etag }),
            _ => None,
        };
        (self.rfilename, content)
    }
}

impl Content {
    /// From what the Hub says of a file, and the answer that has it. A redirect's length is not the file's.
    fn of<T>(said: &HeaderMap, answer: &Response<T>) -> Option<Self> {
        let has_file = answer.status().is_success();
        let length = if has_file { text(answer.headers(), "content-length") } else { "" };
        let first = |texts: [&str; 2]| texts.into_iter().find(|text| !text.is_empty()).map(str::to_owned);
        let size = first([text(said, "x-linked-size"), length])?;
        let etag = first([text(said, "x-linked-etag"), text(said, "etag")])?;
        let etag = etag.strip_prefix("W/").unwrap_or(&etag).trim_matches('"');
        Some(Self { size: size.parse().ok()?, etag: etag.into() })
    }

    /// The tag becomes a file's name.
    fn check(&self) -> Result<(), String> {
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let etag = &self.etag;
        let is_name = (1..=200).contains(&etag.len()) && !etag.starts_with('.') && etag.bytes().all(usable);
        if is_name { Ok(()) } else { Err(format!("sent a strange tag of a file: `{etag}`")) }
    }
}

fn answered(followed: &Followed, reason: &str) -> Error {
    Error::Answer { address: without_query(&followed.address).into(), reason: reason.into() }
}

/// A network that wants a login first answers in everybody's place.
pub(crate) fn refuse_web_page(followed: &Followed) -> Result<(), Failure> {
    if text(followed.response.headers(), "content-type").starts_with("text/html") {
        return Err(answered(followed, "answered with a web page in place of data").into());
    }
    Ok(())
}

/// Whether a path stays below its folder, on every system.
fn is_relative(name: &str) -> bool {
    let normal = |component| matches!(component, Component::Normal(_));
    !name.is_empty() && !name.contains(['\\', ':', '\0']) && Path::new(name).components().all(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_read_from_headers() {
        let content = |said: &[(&'static str, &'static str)], status: u16| {
            let said = said.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            let answer = Response::builder().status(status).header("content-length", "3").body(()).unwrap();
            Content::of(&said.collect(), &answer).map(|content| (content.size, content.etag))
        };
        let tagged = |size, etag: &str| Some((size, etag.to_owned()));
        assert_eq!(content(&[("etag", "W/\"a\"")], 200), tagged(3, "a"));
        assert_eq!(content(&[("etag", "a"), ("content-length", "0")], 302), None);
        let linked = [("etag", "x"), ("x-linked-etag", "\"a\""), ("x-linked-size", "5")];
        assert_eq!(content(&linked, 302), tagged(5, "a"));
        assert_eq!(content(&[], 200), None);
    }

    #[test]
    fn tags_that_are_no_names_are_refused() {
        let check = |etag: &str| Content { size: 0, etag: etag.into() }.check();
        assert!(check("0123456789abcdef").is_ok());
        assert!(check("d41d8cd9-12").is_ok());
        for etag in ["", "../x", "a/b", ".hidden", "a b", "a\\b"] {
            assert!(check(etag).is_err(), "{etag}");
        }
    }
}
