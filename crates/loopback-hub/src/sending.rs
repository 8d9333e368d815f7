//! An answer on its way out, with the faults that befall it.

use std::io::{self, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::time::Duration;

use crate::content::Content;
use crate::fault::Fault;
use crate::http::{self, Incoming};
use crate::log::Request;
use crate::routes::{Answer, Headers};
use crate::server::Shared;

/// Bytes that are sent between two looks at the clock, so that the log is never far behind.
const PIECE: usize = 16 << 10;

/// Longer than any test: only the end of the server ends such a wait.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);

/// Answers one request; whether the connection stays open.
pub(crate) fn respond(stream: &mut TcpStream, request: &Incoming, shared: &Shared) -> io::Result<bool> {
    let number = shared.log().add(Request {
        method: request.method.clone(),
        path: request.target.clone(),
        range: request.range().and_then(http::ByteRange::asked),
        authorization: request.header("authorization").map(str::to_owned),
        status: 0,
        sent: 0,
    });
    let fault = shared.site().faults.take(&request.target, |fault| fault.precedes_routing(&request.target));
    let answer = match fault {
        Some(Fault::Stall) => return Ok(shared.wait(FOR_EVER)),
        Some(Fault::Status(status)) => Answer::status(status, Vec::new()),
        Some(Fault::RetryAfter(status, seconds)) => {
            Answer::status(status, vec![("Retry-After", seconds.to_string())])
        }
        Some(Fault::Delay(time)) if !shared.wait(time) => return Ok(false),
        fault => {
            let mut site = shared.site();
            if fault == Some(Fault::Expire) {
                site.expire(&request.target);
            }
            site.answer(request)
        }
    };
    Outgoing { stream, request, shared, number }.send(answer)
}

struct Outgoing<'a> {
    stream: &'a mut TcpStream,
    request: &'a Incoming,
    shared: &'a Shared,
    /// The request's number in the log.
    number: usize,
}

/// What follows a head.
struct Body<'a> {
    content: &'a Content,
    bytes: Range<usize>,
    /// Whether its bytes count as sent.
    counted: bool,
}

impl Outgoing<'_> {
    fn send(&mut self, answer: Answer) -> io::Result<bool> {
        match answer {
            Answer::Message { status, headers, body } => {
                let fault = if status == 200 { self.fault(false) } else { None };
                let content = Content::from(body);
                let body = Body { bytes: 0..content.len(), content: &content, counted: false };
                self.send_body(status, &headers, body, fault)
            }
            Answer::File { mut headers, content } => {
                let range = self.request.range();
                let fault = self.fault(range.is_some());
                let length = content.len();
                let whole = Body { bytes: 0..length, content: &content, counted: true };
                let Some(range) = range.filter(|_| fault != Some(Fault::IgnoreRange)) else {
                    return self.send_body(200, &headers, whole, fault);
                };
                let Some(bytes) = range.within(length) else {
                    headers.push(("Content-Range", format!("bytes */{length}")));
                    return self.send_body(416, &headers, Body { bytes: 0..0, ..whole }, None);
                };
                headers.push(("Content-Range", format!("bytes {}-{}/{length}", bytes.start, bytes.end - 1)));
                self.send_body(206, &headers, Body { bytes, ..whole }, fault)
            }
        }
    }

    fn fault(&self, ranged: bool) -> Option<Fault> {
        if self.request.method == "HEAD" {
            return None;
        }
        self.shared.site().faults.take(&self.request.target, |fault| fault.befalls_body(ranged))
    }

    fn send_body(
        &mut self,
        status: u16,
        headers: &Headers,
        body: Body<'_>,
        fault: Option<Fault>,
    ) -> io::Result<bool> {
        let Body { content, mut bytes, counted } = body;
        if fault == Some(Fault::WrongLength) {
            bytes.end = bytes.start + bytes.len() / 2;
        }
        let damaged = (fault == Some(Fault::Corrupt)).then_some(bytes.start + bytes.len() / 2);
        if let Some(request) = self.shared.log().request(self.number) {
            request.status = status;
        }
        let keep_alive = self.request.keep_alive();
        self.stream.write_all(&http::head(status, headers, bytes.len(), keep_alive))?;
        if self.request.method == "HEAD" {
            return Ok(keep_alive);
        }
        if let Some(Fault::Drop { after } | Fault::StallAfter(after)) = fault {
            bytes.end = bytes.end.min(bytes.start + after);
        }
        while !bytes.is_empty() {
            let end = bytes.end.min(bytes.start + PIECE);
            let mut piece = content.read(bytes.start..end);
            let damaged = damaged.and_then(|damaged| damaged.checked_sub(bytes.start));
            if let Some(damaged) = damaged.filter(|&damaged| damaged < piece.len()) {
                piece.to_mut().iter_mut().skip(damaged).take(1).for_each(|byte| *byte = !*byte);
            }
            // Before it goes out: who has received it finds it in the log.
            if let Some(request) = self.shared.log().request(self.number).filter(|_| counted) {
                request.sent += piece.len() as u64;
            }
            self.stream.write_all(&piece)?;
            bytes.start = end;
        }
        match fault {
            Some(Fault::Drop { .. }) => Ok(false),
            Some(Fault::StallAfter(_)) => Ok(self.shared.wait(FOR_EVER)),
            _ => Ok(keep_alive),
        }
    }
}
