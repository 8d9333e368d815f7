//! HTTP/1.1, as much as a server of files needs: requests in, heads out, byte ranges.

use std::io::{self, Read};
use std::ops::Range;

/// No request of an honest client has a longer head, or a body beyond this (bytes).
const HEAD_LIMIT: usize = 64 << 10;

/// A request as it came in.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) method: String,
    /// Path and query, percent-encoded.
    pub(crate) target: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    http_1_0: bool,
}

impl Incoming {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn keep_alive(&self) -> bool {
        match self.header("connection") {
            Some(value) => !value.eq_ignore_ascii_case("close"),
            None => !self.http_1_0,
        }
    }

    pub(crate) fn range(&self) -> Option<ByteRange> {
        ByteRange::parse(self.header("range")?)
    }
}

/// What came in over a connection.
#[derive(Debug)]
pub(crate) enum Received {
    Request(Incoming),
    /// The other side is done.
    Closed,
    /// What came is no request, or none that this server reads.
    Malformed,
}

/// Reads the next request; `buffer` keeps what was read beyond it.
pub(crate) fn receive(stream: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<Received> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(buffer) {
            Err(_) => return Ok(Received::Malformed),
            Ok(httparse::Status::Partial) if buffer.len() > HEAD_LIMIT => return Ok(Received::Malformed),
            Ok(httparse::Status::Partial) => {
                if !fill(stream, buffer)? {
                    return Ok(if buffer.is_empty() { Received::Closed } else { Received::Malformed });
                }
            }
            Ok(httparse::Status::Complete(head)) => {
                let incoming = incoming(&request);
                buffer.drain(..head);
                return skip_body(stream, buffer, incoming);
            }
        }
    }
}

fn incoming(request: &httparse::Request) -> Incoming {
    let header = |header: &httparse::Header| {
        (header.name.to_ascii_lowercase(), String::from_utf8_lossy(header.value).into_owned())
    };
    Incoming {
        method: request.method.unwrap_or_default().to_owned(),
        target: request.path.unwrap_or_default().to_owned(),
        headers: request.headers.iter().map(header).collect(),
        http_1_0: request.version == Some(0),
    }
}

/// No request here needs a body; one that has a short one is read to its end.
fn skip_body(stream: &mut impl Read, buffer: &mut Vec<u8>, incoming: Incoming) -> io::Result<Received> {
    let length = incoming.header("content-length").map_or(Ok(0), str::parse::<usize>);
    let length = length.ok().filter(|&length| length <= HEAD_LIMIT);
    let Some(length) = length.filter(|_| incoming.header("transfer-encoding").is_none()) else {
        return Ok(Received::Malformed);
    };
    while buffer.len() < length {
        if !fill(stream, buffer)? {
            return Ok(Received::Closed);
        }
    }
    buffer.drain(..length);
    Ok(Received::Request(incoming))
}

fn fill(stream: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let mut piece = [0; 8 << 10];
    let read = stream.read(&mut piece)?;
    buffer.extend(piece.iter().take(read));
    Ok(read > 0)
}

/// A single range of bytes, as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByteRange {
    /// First and last byte; without a last one all that follow.
    From(u64, Option<u64>),
    /// So many bytes before the end.
    Last(u64),
}

impl ByteRange {
    /// Nothing for several ranges and for what is no range: those are to be ignored.
    fn parse(header: &str) -> Option<Self> {
        let (first, last) = header.trim().strip_prefix("bytes=")?.split_once('-')?;
        if first.is_empty() {
            return Some(ByteRange::Last(last.parse().ok()?));
        }
        let first = first.parse().ok()?;
        let last = if last.is_empty() { None } else { Some(last.parse().ok()?) };
        last.is_none_or(|last| first <= last).then_some(ByteRange::From(first, last))
    }

    /// The bytes of a file of this length; nothing if the range begins beyond its end.
    pub(crate) fn within(self, length: usize) -> Option<Range<usize>> {
        let bytes = match self {
            ByteRange::From(first, last) => {
                let end = last.and_then(|last| usize::try_from(last).ok()?.checked_add(1)).unwrap_or(length);
                usize::try_from(first).ok()?..end.min(length)
            }
            ByteRange::Last(count) => {
                length.saturating_sub(usize::try_from(count).unwrap_or(usize::MAX))..length
            }
        };
        (!bytes.is_empty()).then_some(bytes)
    }

    /// First and last byte, as far as they are known without the length.
    pub(crate) fn asked(self) -> Option<(u64, u64)> {
        match self {
            ByteRange::From(first, last) => Some((first, last.unwrap_or(u64::MAX))),
            ByteRange::Last(_) => None,
        }
    }
}

/// The head of an answer.
pub(crate) fn head(
    status: u16,
    headers: &[(&'static str, String)],
    length: usize,
    keep_alive: bool,
) -> Vec<u8> {
    let reason = reason(status);
    let headers: String = headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]).collect();
    let close = if keep_alive { "" } else { "Connection: close\r\n" };
    format!("HTTP/1.1 {status} {reason}\r\nContent-Length: {length}\r\n{headers}{close}\r\n").into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        302 => "Found",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        412 => "Precondition Failed",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}
