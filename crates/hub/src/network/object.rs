//! The bytes of one file of the Hub, wherever it redirects to, range by range and over dropped connections.

use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ureq::Body;
use ureq::http::{Response, StatusCode};

use super::http::{Client, Subject, text, without_query};
use super::listing::{Listing, refuse_web_page};
use super::redirect::Followed;
use super::retry::{Failure, Patience};
use crate::Error;

/// What is read from a connection at once.
const CHUNK: usize = 128 << 10;

/// Takes bytes and where they stand in the file; an error ends the reading.
pub(crate) type Sink<'a> = dyn FnMut(u64, &[u8]) -> Result<(), Error> + 'a;

/// A file at its commit.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) client: Arc<Client>,
    address: String,
    subject: Subject,
    size: u64,
    /// Where the Hub redirected to: signed for some time, and asked again when that is over.
    location: Mutex<Option<String>>,
    /// Whether bytes of it have arrived.
    has_delivered: AtomicBool,
}

impl Object {
    pub(crate) fn new(client: &Arc<Client>, listing: &Listing, name: &str, size: u64) -> Self {
        let (address, subject) = (listing.address(client, name), listing.subject(name));
        let (location, has_delivered) = (Mutex::default(), AtomicBool::new(false));
        Self { client: Arc::clone(client), address, subject, size, location, has_delivered }
    }

    /// Reads a range into a sink, in order. With `or_whole`, a server that knows no ranges may begin anew, and the sink
    /// sees an earlier position.
    pub(crate) fn read(
        &self,
        range: Range<u64>,
        or_whole: bool,
        patience: &mut Patience<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Error> {
        if self.has_delivered.load(Ordering::Relaxed) {
            patience.progressed();
        }
        let (mut at, mut furthest) = (range.start, range.start);
        while at < range.end {
            let failure = self.read_once(at..range.end, or_whole, &mut |start, bytes| {
                sink(start, bytes)?;
                at = start + bytes.len() as u64;
                if at > furthest {
                    furthest = at;
                    patience.progressed();
                    self.has_delivered.store(true, Ordering::Relaxed);
                }
                Ok(())
            });
            if let Err(failure) = failure {
                patience.wait(failure)?;
            }
        }
        Ok(())
    }

    /// One request for all of a range.
    fn read_once(&self, range: Range<u64>, or_whole: bool, sink: &mut Sink<'_>) -> Result<(), Failure> {
        let mut followed = self.request(&range)?;
        let address = without_query(&followed.address);
        let start = self.start(&followed, &range)?;
        if start != range.start && !or_whole {
            let reason = "ignores ranges: it sends whole files only, which cannot be streamed";
            return Err(Error::Answer { address: address.into(), reason: reason.into() }.into());
        }
        let mut at = start;
        let mut chunk = vec![0; CHUNK];
        let mut body = followed.response.body_mut().as_reader();
        while at < range.end {
            let room = usize::try_from(range.end - at).map_or(CHUNK, |left| left.min(CHUNK));
            let count = match body.read(&mut chunk[..room]) {
                Ok(0) => Err(ureq::Error::Io(ErrorKind::UnexpectedEof.into())),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(ureq::Error::from(error)),
                Ok(count) => Ok(count),
            };
            let count = count.map_err(|error| self.client.failed(error, address))?;
            sink(at, &chunk[..count])?;
            at += count as u64;
        }
        // The end of the body is read too, or the connection could not be used again.
        let _ = body.read(&mut chunk[..1]);
        Ok(())
    }

    /// Asks for a range where the file was last, or where the Hub says that it is now.
    fn request(&self, range: &Range<u64>) -> Result<Followed, Failure> {
        let header = format!("bytes={}-{}", range.start, range.end - 1);
        // Without a range, servers that know none can serve whole files.
        let header = (*range != (0..self.size)).then_some(header.as_str());
        let known = self.location.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let address = known.as_deref().unwrap_or(&self.address);
        let followed = match self.client.follow("GET", address, header, &self.subject, true) {
            // A signature that has expired: the Hub gives another.
            Err(Failure::Passing { error: error @ Error::Status { status: 400..=410, .. }, after }) => {
                self.remember(None);
                return Err(Failure::Passing { error, after: after.or(known.map(|_| Duration::ZERO)) });
            }
            followed => followed?,
        };
        refuse_web_page(&followed)?;
        if known.is_none() && !self.client.is_endpoint(&followed.address) {
            self.remember(Some(followed.address.clone()));
        }
        Ok(followed)
    }

    fn remember(&self, location: Option<String>) {
        *self.location.lock().unwrap_or_else(PoisonError::into_inner) = location;
    }

    /// Where in the file an answer begins, if it is what was asked for.
    fn start(&self, followed: &Followed, range: &Range<u64>) -> Result<u64, Failure> {
        let address = without_query(&followed.address);
        let answer = |reason: String| Error::Answer { address: address.into(), reason };
        let passing = |reason| Failure::Passing { error: answer(reason), after: None };
        let other_size = |size: u64| {
            let of = self.size;
            answer(format!("has a file of {size} bytes, but the Hub lists it with {of}")).into()
        };
        let response = &followed.response;
        match response.status() {
            StatusCode::OK => match length(response) {
                Some(length) if length != self.size => {
                    Err(passing(format!("sent {length} bytes of a file of {}", self.size)))
                }
                _ => Ok(0),
            },
            StatusCode::PARTIAL_CONTENT => {
                let value = text(response.headers(), "content-range");
                let Some((first, last, size)) = content_range(value) else {
                    return Err(answer(format!("sent a range that is none: `{value}`")).into());
                };
                if let Some(size) = size.filter(|size| *size != self.size) {
                    return Err(other_size(size));
                }
                let wanted = (range.start, range.end - 1);
                if (first, last) != wanted || length(response).is_some_and(|l| l != range.end - range.start) {
                    let (start, end) = wanted;
                    return Err(passing(format!("sent `{value}` where {start}-{end} was asked for")));
                }
                Ok(first)
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                let size = content_range_size(text(response.headers(), "content-range"));
                Err(size.map_or_else(|| passing("refused a range of the file".into()), other_size))
            }
            status => Err(passing(format!("answered with status {status}, which is no file"))),
        }
    }
}

fn length(response: &Response<Body>) -> Option<u64> {
    text(response.headers(), "content-length").parse().ok()
}

/// First and last byte of `bytes 0-9/10`, and the size where it is not `*`.
fn content_range(value: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, _) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?, content_range_size(value)))
}

fn content_range_size(value: &str) -> Option<u64> {
    value.rsplit_once('/')?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges_are_read() {
        assert_eq!(content_range("bytes 2-4/9"), Some((2, 4, Some(9))));
        assert_eq!(content_range("bytes 2-4/*"), Some((2, 4, None)));
        assert_eq!(content_range("bytes */9"), None);
        assert_eq!(content_range_size("bytes */9"), Some(9));
        for value in ["", "2-4/9", "bytes 2-4", "bytes a-b/9", "bytes -4/9"] {
            assert_eq!(content_range(value), None, "{value}");
        }
    }
}
