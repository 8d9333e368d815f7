//! An answer on its way out, with the faults that befall it.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::Duration;

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

impl Outgoing<'_> {
    fn send(&mut self, answer: Answer) -> io::Result<bool> {
        match answer {
            Answer::Message { status, headers, body } => {
                let fault = if status == 200 { self.fault(false) } else { None };
                self.send_body(status, &headers, &body, fault, false)
            }
            Answer::File { mut headers, content } => {
                let range = self.request.range();
                let fault = self.fault(range.is_some());
                let length = content.bytes.len();
                let Some(range) = range.filter(|_| fault != Some(Fault::IgnoreRange)) else {
                    return self.send_body(200, &headers, &content.bytes, fault, true);
                };
                let Some(bytes) = range.within(length) else {
                    headers.push(("Content-Range", format!("bytes */{length}")));
                    return self.send_body(416, &headers, b"", None, false);
                };
                headers.push(("Content-Range", format!("bytes {}-{}/{length}", bytes.start, bytes.end - 1)));
                let bytes = content.bytes.get(bytes).unwrap_or_default();
                self.send_body(206, &headers, bytes, fault, true)
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
        body: &[u8],
        fault: Option<Fault>,
        counted: bool,
    ) -> io::Result<bool> {
        let mut damaged;
        let mut body = body;
        match fault {
            Some(Fault::WrongLength) => body = body.get(..body.len() / 2).unwrap_or_default(),
            Some(Fault::Corrupt) => {
                damaged = body.to_vec();
                let middle = damaged.len() / 2;
                if let Some(byte) = damaged.get_mut(middle) {
                    *byte = !*byte;
                }
                body = &damaged;
            }
            _ => {}
        }
        if let Some(request) = self.shared.log().request(self.number) {
            request.status = status;
        }
        let keep_alive = self.request.keep_alive();
        self.stream.write_all(&http::head(status, headers, body.len(), keep_alive))?;
        if self.request.method == "HEAD" {
            return Ok(keep_alive);
        }
        let sent = match fault {
            Some(Fault::Drop { after } | Fault::StallAfter(after)) => after.min(body.len()),
            _ => body.len(),
        };
        for piece in body.get(..sent).unwrap_or_default().chunks(PIECE) {
            self.stream.write_all(piece)?;
            if let Some(request) = self.shared.log().request(self.number).filter(|_| counted) {
                request.sent += piece.len() as u64;
            }
        }
        match fault {
            Some(Fault::Drop { .. }) => Ok(false),
            Some(Fault::StallAfter(_)) => Ok(self.shared.wait(FOR_EVER)),
            _ => Ok(keep_alive),
        }
    }
}
