//! What can be made to go wrong, and how often.

use std::time::Duration;

/// A way to fail a request.
///
/// The first four befall any request. The others befall a request that is answered with a file or a description: none
/// that is redirected or refused, and none without a body (`HEAD`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// This status, with nothing else to go by.
    Status(u16),
    /// This status, and `Retry-After` with so many seconds.
    RetryAfter(u16, u64),
    /// No answer until the server is dropped.
    Stall,
    /// The answer comes after this time.
    Delay(Duration),
    /// The URL's signature, and all older ones, has expired: 403 for good; resolving the file again gives another. Only
    /// for files from the content delivery network.
    Expire,
    /// The connection ends after so many bytes of the body.
    Drop {
        /// Bytes of the body that are sent.
        after: usize,
    },
    /// Nothing more comes after so many bytes of the body, until the server is dropped.
    StallAfter(usize),
    /// Half the body, with a head that promises no more: correct HTTP, and not what was asked for.
    WrongLength,
    /// The right length, with the bits of the byte in the middle turned around.
    Corrupt,
    /// The whole file (200) where a range was asked for.
    IgnoreRange,
}

impl Fault {
    /// Whether the fault comes before the request is looked at.
    pub(crate) fn precedes_routing(self, target: &str) -> bool {
        match self {
            Fault::Status(_) | Fault::RetryAfter(..) | Fault::Stall | Fault::Delay(_) => true,
            Fault::Expire => target.starts_with("/cdn/"),
            _ => false,
        }
    }

    /// Whether the fault can befall an answer with a body, to a request with or without a range.
    pub(crate) fn befalls_body(self, ranged: bool) -> bool {
        match self {
            Fault::Drop { .. } | Fault::StallAfter(_) | Fault::WrongLength | Fault::Corrupt => true,
            Fault::IgnoreRange => ranged,
            _ => false,
        }
    }
}

/// The faults that are still to come.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    planned: Vec<Planned>,
}

#[derive(Debug)]
struct Planned {
    path_part: String,
    fault: Fault,
    times: usize,
}

impl Faults {
    pub(crate) fn add(&mut self, path_part: &str, fault: Fault, times: usize) {
        self.planned.push(Planned { path_part: path_part.to_owned(), fault, times });
    }

    pub(crate) fn clear(&mut self) {
        self.planned.clear();
    }

    /// The first fault for this target that fits; it has one time less from now on.
    pub(crate) fn take(&mut self, target: &str, fits: impl Fn(Fault) -> bool) -> Option<Fault> {
        let mut planned = self.planned.iter_mut();
        let next =
            planned.find(|next| next.times > 0 && target.contains(&next.path_part) && fits(next.fault))?;
        if next.times < usize::MAX {
            next.times -= 1;
        }
        Some(next.fault)
    }
}
