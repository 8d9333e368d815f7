//! Fetches ranges of remote files ahead of their use, several pieces at once, within a budget of memory.
//!
//! What will be needed becomes a *span*, in the order it was asked for. A span that the budget has room for gets a buffer,
//! which workers fill piece by piece. A reader waits for the span that has its range, or makes one; either is urgent:
//! its pieces come before all others, and the budget does not hold it up. So a reader waits for its own bytes only, and no
//! advice, however wrong, can block it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::Error;

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

#[derive(Debug, Default)]
struct State {
    /// In the order they were asked for.
    spans: BTreeMap<u64, Span>,
    next: u64,
    /// Bytes of the buffers of all spans.
    held: usize,
    workers: usize,
    closed: bool,
}

#[derive(Debug)]
struct Span {
    file: usize,
    object: Arc<dyn Fetch>,
    range: Range<usize>,
    /// What was asked for and has been neither read nor given back.
    parts: Vec<Range<usize>>,
    readers: usize,
    urgent: bool,
    stage: Stage,
}

type Buffer = Mutex<Vec<u8>>;

#[derive(Debug)]
enum Stage {
    Waiting,
    /// Bytes before `begun` are being fetched or there; so many are to come still.
    Arriving {
        buffer: Arc<Buffer>,
        begun: usize,
        missing: usize,
    },
    /// The error is for the first who reads it.
    Failed(Option<Error>),
}

/// One piece of a span, for a worker.
struct Piece {
    span: u64,
    object: Arc<dyn Fetch>,
    /// In the file.
    range: Range<usize>,
    /// In the buffer.
    offset: usize,
    /// Gone once nobody wants the span any more.
    buffer: Weak<Buffer>,
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
        let unwanted = |part: &Range<usize>| range.start <= part.start && part.end <= range.end;
        for span in state.spans.values_mut().filter(|span| span.file == file) {
            span.parts.retain(|part| !unwanted(part));
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

impl Piece {
    fn fetch(&self) -> Result<(), Error> {
        let mut at = self.offset;
        let range = self.range.start as u64..self.range.end as u64;
        self.object.fetch(range, &mut |bytes| {
            let buffer = self.buffer.upgrade().ok_or(Error::Interrupted)?;
            let mut buffer = buffer.lock().unwrap_or_else(PoisonError::into_inner);
            let end = at + bytes.len();
            buffer.get_mut(at..end).ok_or(Error::Interrupted)?.copy_from_slice(bytes);
            at = end;
            Ok(())
        })
    }
}

impl State {
    fn add(&mut self, file: usize, object: &Arc<dyn Fetch>, range: Range<usize>) -> u64 {
        let (parts, object) = (vec![range.clone()], Arc::clone(object));
        let span = Span { file, object, range, parts, readers: 0, urgent: false, stage: Stage::Waiting };
        self.next += 1;
        self.spans.insert(self.next, span);
        self.next
    }

    /// The span that has a range.
    fn find(&self, file: usize, range: &Range<usize>) -> Option<u64> {
        let has = |span: &Span| span.range.start <= range.start && range.end <= span.range.end;
        self.spans.iter().find(|(_, span)| span.file == file && has(span)).map(|(number, _)| *number)
    }

    fn change(&mut self, number: u64, change: impl FnOnce(&mut Span)) {
        if let Some(span) = self.spans.get_mut(&number) {
            change(span);
        }
    }

    /// What to fetch next: urgent spans first, then those that have begun, then the first that the budget has room for.
    fn next_piece(&mut self, limits: Limits) -> Option<Piece> {
        let has_room = |span: &Span, held: usize| held == 0 || held + span.range.len() <= limits.budget;
        let held = self.held;
        let mut waiting = self.spans.iter().filter(|(_, span)| matches!(span.stage, Stage::Waiting));
        let admitted = waiting.next().filter(|(_, span)| has_room(span, held));
        let unfinished = || self.spans.iter().filter(|(_, span)| span.has_pieces());
        let next = unfinished().find(|(_, span)| span.urgent);
        let next = next.or_else(|| unfinished().find(|(_, span)| !matches!(span.stage, Stage::Waiting)));
        let number = *next.or(admitted)?.0;
        let span = self.spans.get_mut(&number)?;
        if matches!(span.stage, Stage::Waiting) {
            let length = span.range.len();
            let buffer = Arc::new(Mutex::new(vec![0; length]));
            span.stage = Stage::Arriving { buffer, begun: 0, missing: length };
            self.held += length;
        }
        let Stage::Arriving { buffer, begun, .. } = &mut span.stage else { return None };
        let (offset, buffer) = (*begun, Arc::downgrade(buffer));
        *begun = (offset + limits.piece).min(span.range.len());
        let range = span.range.start + offset..span.range.start + *begun;
        Some(Piece { span: number, object: Arc::clone(&span.object), range, offset, buffer })
    }

    /// A range of a span that is settled, as buffer and offset; or its error, for one reader.
    fn take(&mut self, number: u64, range: &Range<usize>) -> Option<Result<(Arc<Buffer>, usize), Error>> {
        let span = self.spans.get_mut(&number)?;
        let taken = match &mut span.stage {
            Stage::Arriving { buffer, .. } => Ok((Arc::clone(buffer), range.start - span.range.start)),
            Stage::Failed(error) => {
                let error = error.take();
                if span.readers == 0 {
                    self.spans.remove(&number);
                }
                return error.map(Err);
            }
            Stage::Waiting => return None,
        };
        // A part read in steps is done with at its end.
        span.parts
            .retain(|part| !(range.start <= part.end && part.end == range.end || is_within(part, range)));
        self.drop_unwanted();
        Some(taken)
    }

    /// Drops spans of which nothing is wanted any more.
    fn drop_unwanted(&mut self) {
        let held = &mut self.held;
        self.spans.retain(|_, span| {
            let wanted = span.readers > 0 || !span.parts.is_empty();
            if !wanted && matches!(span.stage, Stage::Arriving { .. }) {
                *held -= span.range.len();
            }
            wanted
        });
    }
}

impl Span {
    /// Whether it is all there, or never will be.
    fn is_settled(&self) -> bool {
        matches!(self.stage, Stage::Arriving { missing: 0, .. } | Stage::Failed(_))
    }

    /// Whether there are pieces that nobody fetches.
    fn has_pieces(&self) -> bool {
        match self.stage {
            Stage::Waiting => true,
            Stage::Arriving { begun, .. } => begun < self.range.len(),
            Stage::Failed(_) => false,
        }
    }

    /// Whether one request can bring a later range too.
    fn can_grow_to(&self, range: &Range<usize>, piece: usize) -> bool {
        let is_next = self.range.end <= range.start && range.start - self.range.end <= GAP;
        matches!(self.stage, Stage::Waiting) && is_next && range.end - self.range.start <= piece
    }

    /// Notes what became of a piece; returns the bytes of the buffer if it was dropped.
    fn settle(&mut self, length: usize, fetched: Result<(), Error>) -> usize {
        match (&mut self.stage, fetched) {
            (Stage::Arriving { missing, .. }, Ok(())) => {
                *missing -= length;
                0
            }
            (Stage::Arriving { .. }, Err(error)) => {
                self.stage = Stage::Failed(Some(error));
                self.range.len()
            }
            _ => 0,
        }
    }
}

fn is_within(part: &Range<usize>, range: &Range<usize>) -> bool {
    range.start <= part.start && part.end <= range.end
}

/// Bytes of a buffer; not copied if they are all of it and nobody else wants it.
fn part_of(buffer: Arc<Buffer>, offset: usize, length: usize) -> Vec<u8> {
    let copy = |bytes: &[u8]| bytes.get(offset..offset + length).unwrap_or_default().to_vec();
    match Arc::try_unwrap(buffer) {
        Ok(buffer) => {
            let bytes = buffer.into_inner().unwrap_or_else(PoisonError::into_inner);
            if bytes.len() == length { bytes } else { copy(&bytes) }
        }
        Err(shared) => copy(&shared.lock().unwrap_or_else(PoisonError::into_inner)),
    }
}

#[cfg(test)]
mod tests;
