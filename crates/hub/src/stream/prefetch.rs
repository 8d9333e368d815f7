//! Fetches ranges of remote files ahead of their use, several pieces at once, within a budget of memory.
//!
//! What will be needed becomes a *span*, in the order it was asked for. A span that the budget has room for gets a buffer,
//! which workers fill piece by piece. A reader waits for the span that has its range, or makes one; either is urgent:
//! its pieces come before all others, and the budget does not hold it up. So a reader waits for its own bytes only, and no
//! advice, however wrong, can block it.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::spans::{Span, State, is_within, part_of};
use crate::Error;

mod spans;
#[cfg(test)]
mod tests;

/// Gap between ranges that is cheaper to read through than to skip: the bytes that come in the time of a request.
pub(crate) const GAP: usize = 256 << 10;
/// How often a reader looks whether the task was interrupted.
const POLL: Duration = Duration::from_millis(50);

/// Gets bytes of one file.
pub(crate) trait Fetch: std::fmt::Debug + Send + Sync {
    /// Hands the bytes of a range to `sink`, in order. Failures that pass are got over within. An error of the sink ends
    /// it.
    fn fetch(&self, range: Range<u64>, sink: &mut dyn FnMut(&[u8]) -> Result<(), Error>)
    -> Result<(), Error>;
}

/// How much at once.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Requests at once.
    workers: usize,
    /// Bytes of one request.
    piece: usize,
    /// Bytes of all buffers together; a span that is larger gets its buffer when there is no other.
    budget: usize,
}

/// Shared by all files of a hub. Its threads begin with the first range and end when it is dropped.
#[derive(Debug)]
pub(crate) struct Prefetcher {
    shared: Arc<Shared>,
    files: AtomicUsize,
}

#[derive(Debug)]
struct Shared {
    limits: Limits,
    interrupted: Arc<AtomicBool>,
    state: Mutex<State>,
    /// There is something to fetch, or nothing ever again.
    work: Condvar,
    /// A span is complete, or has failed.
    done: Condvar,
}

impl Prefetcher {
    /// Holds about `budget` bytes.
    pub(crate) fn new(budget: usize, interrupted: Arc<AtomicBool>) -> Self {
        Self::with_limits(Limits { workers: 8, piece: 8 << 20, budget }, interrupted)
    }

    fn with_limits(limits: Limits, interrupted: Arc<AtomicBool>) -> Self {
        let (state, work, done) = (Mutex::default(), Condvar::new(), Condvar::new());
        let shared = Shared { limits, interrupted, state, work, done };
        Self { shared: Arc::new(shared), files: AtomicUsize::new(0) }
    }

    /// A number for a file.
    pub(crate) fn number(&self) -> usize {
        self.files.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks for a range ahead of its use.
    pub(crate) fn will_need(&self, file: usize, object: &Arc<dyn Fetch>, range: Range<usize>) {
        let mut state = self.shared.lock();
        if range.is_empty() || state.find(file, &range).is_some() {
            return;
        }
        let piece = self.shared.limits.piece;
        let last = state.spans.values_mut().rev().find(|span| span.file == file);
        if let Some(span) = last.filter(|span| span.can_grow_to(&range, piece)) {
            span.range.end = range.end;
            span.parts.push(range);
        } else {
            state.add(file, object, range);
            self.begin_workers(&mut state);
        }
        self.shared.work.notify_all();
    }

    /// Drops what was asked for within a range and not read.
    pub(crate) fn give_back(&self, file: usize, range: &Range<usize>) {
        let mut state = self.shared.lock();
        for span in state.spans.values_mut().filter(|span| span.file == file) {
            span.parts.retain(|part| !is_within(part, range));
        }
        state.drop_unwanted();
        self.shared.work.notify_all();
    }

    /// Waits for a range.
    pub(crate) fn read(
        &self,
        file: usize,
        object: &Arc<dyn Fetch>,
        range: &Range<usize>,
    ) -> Result<Vec<u8>, Error> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let mut state = self.shared.lock();
        loop {
            let number = state.find(file, range).unwrap_or_else(|| state.add(file, object, range.clone()));
            self.begin_workers(&mut state);
            if state.workers == 0 {
                state.spans.remove(&number);
                let source = "no thread could be started".into();
                return Err(Error::Unreachable { address: "the network".into(), source });
            }
            state.change(number, |span| (span.urgent, span.readers) = (true, span.readers + 1));
            self.shared.work.notify_all();
            while !state.spans.get(&number).is_none_or(Span::is_settled) && !self.shared.is_interrupted() {
                let waited = self.shared.done.wait_timeout(state, POLL);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
            state.change(number, |span| span.readers -= 1);
            if self.shared.is_interrupted() {
                state.closed = true;
                self.shared.work.notify_all();
                return Err(Error::Interrupted);
            }
            match state.take(number, range) {
                Some(Ok((buffer, offset))) => {
                    self.shared.work.notify_all(); // the budget may have room now
                    drop(state);
                    return Ok(part_of(buffer, offset, range.len()));
                }
                Some(Err(error)) => return Err(error),
                None => {} // another reader took the error: try once more
            }
        }
    }

    fn begin_workers(&self, state: &mut State) {
        while state.workers < self.shared.limits.workers && !state.closed {
            let shared = Arc::clone(&self.shared);
            if std::thread::Builder::new().name("prefetch".into()).spawn(move || shared.work()).is_err() {
                return;
            }
            state.workers += 1;
        }
    }
}

impl Drop for Prefetcher {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.spans.clear();
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// What each thread does.
    fn work(&self) {
        let mut state = self.lock();
        while !state.closed && !self.is_interrupted() {
            let Some(piece) = state.next_piece(self.limits) else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            drop(state);
            let fetched = piece.fetch();
            state = self.lock();
            if let Some(span) = state.spans.get_mut(&piece.span) {
                let freed = span.settle(piece.range.len(), fetched);
                state.held -= freed;
                self.done.notify_all();
                self.work.notify_all();
            }
        }
    }
}
