//! What was asked and what was sent.

/// One request, as it came in and as it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// `GET`, `HEAD` or whatever was sent.
    pub method: String,
    /// Path and query, percent-encoded as sent.
    pub path: String,
    /// First and last byte asked for, with `u64::MAX` for the end of a file of unknown length.
    pub range: Option<(u64, u64)>,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// Status of the answer; 0 until there is one, and for good if there is none.
    pub status: u16,
    /// Bytes of a file that were sent; descriptions and errors do not count.
    pub sent: u64,
}

/// All requests, in the order they came in.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) requests: Vec<Request>,
    /// Requests forgotten so far: numbers go on counting.
    forgotten: usize,
}

impl Log {
    /// Notes a request; the number is for [`request`](Self::request).
    pub(crate) fn add(&mut self, request: Request) -> usize {
        self.requests.push(request);
        self.forgotten + self.requests.len() - 1
    }

    pub(crate) fn request(&mut self, number: usize) -> Option<&mut Request> {
        self.requests.get_mut(number.checked_sub(self.forgotten)?)
    }

    pub(crate) fn sent(&self) -> u64 {
        self.requests.iter().map(|request| request.sent).sum()
    }

    pub(crate) fn forget(&mut self) {
        self.forgotten += self.requests.len();
        self.requests.clear();
    }
}
