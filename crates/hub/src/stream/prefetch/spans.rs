//! The ranges that are asked for, fetched and kept: which bytes are wanted, how far they are, and what comes next.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{Fetch, GAP, Limits};
use crate::Error;

#[derive(Debug, Default)]
pub(super) struct State {
    /// In the order they were asked for.
    pub(super) spans: BTreeMap<u64, Span>,
    pub(super) next: u64,
    /// Bytes of the buffers of all spans.
    pub(super) held: usize,
    pub(super) workers: usize,
    pub(super) closed: bool,
}

#[derive(Debug)]
pub(super) struct Span {
    pub(super) file: usize,
    pub(super) object: Arc<dyn Fetch>,
    pub(super) range: Range<usize>,
    /// What was asked for and has been neither read nor given back.
    pub(super) parts: Vec<Range<usize>>,
    pub(super) readers: usize,
    pub(super) urgent: bool,
    pub(super) stage: Stage,
}

pub(super) type Buffer = Mutex<Vec<u8>>;

#[derive(Debug)]
pub(super) enum Stage {
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
pub(super) struct Piece {
    pub(super) span: u64,
    pub(super) object: Arc<dyn Fetch>,
    /// In the file.
    pub(super) range: Range<usize>,
    /// In the buffer.
    pub(super) offset: usize,
    /// Gone once nobody wants the span any more.
    pub(super) buffer: Weak<Buffer>,
}

impl Piece {
    pub(super) fn fetch(&self) -> Result<(), Error> {
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
    pub(super) fn add(&mut self, file: usize, object: &Arc<dyn Fetch>, range: Range<usize>) -> u64 {
        let (parts, object) = (vec![range.clone()], Arc::clone(object));
        let span = Span { file, object, range, parts, readers: 0, urgent: false, stage: Stage::Waiting };
        self.next += 1;
        self.spans.insert(self.next, span);
        self.next
    }

    /// The span that has a range.
    pub(super) fn find(&self, file: usize, range: &Range<usize>) -> Option<u64> {
        let mut spans = self.spans.iter().filter(|(_, span)| span.file == file);
        spans.find(|(_, span)| is_within(range, &span.range)).map(|(number, _)| *number)
    }

    pub(super) fn change(&mut self, number: u64, change: impl FnOnce(&mut Span)) {
        if let Some(span) = self.spans.get_mut(&number) {
            change(span);
        }
    }

    /// What to fetch next: urgent spans first, then those that have begun, then the first that the budget has room for.
    pub(super) fn next_piece(&mut self, limits: Limits) -> Option<Piece> {
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
            // Zeroed memory comes cheap, but a lack of it would end the process: so it is asked for first.
            if Vec::<u8>::new().try_reserve_exact(length).is_err() {
                span.stage = Stage::Failed(Some(Error::Memory { needed: length }));
                return None;
            }
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
    pub(super) fn take(
        &mut self,
        number: u64,
        range: &Range<usize>,
    ) -> Option<Result<(Arc<Buffer>, usize), Error>> {
        let span = self.spans.get_mut(&number)?;
        let taken = match &mut span.stage {
            Stage::Arriving { buffer, .. } => Ok((Arc::clone(buffer), range.start - span.range.start)),
            Stage::Failed(error) => {
                let error = error.take();
                self.spans.remove(&number); // gone, so that other readers ask anew
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
    pub(super) fn drop_unwanted(&mut self) {
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
    pub(super) fn is_settled(&self) -> bool {
        matches!(self.stage, Stage::Arriving { missing: 0, .. } | Stage::Failed(_))
    }

    /// Whether there are pieces that nobody fetches.
    pub(super) fn has_pieces(&self) -> bool {
        match self.stage {
            Stage::Waiting => true,
            Stage::Arriving { begun, .. } => begun < self.range.len(),
            Stage::Failed(_) => false,
        }
    }

    /// Whether one request can bring a later range too.
    pub(super) fn can_grow_to(&self, range: &Range<usize>, piece: usize) -> bool {
        let is_next = self.range.end <= range.start && range.start - self.range.end <= GAP;
        matches!(self.stage, Stage::Waiting) && is_next && range.end - self.range.start <= piece
    }

    /// Notes what became of a piece; returns the bytes of the buffer if it was dropped.
    pub(super) fn settle(&mut self, length: usize, fetched: Result<(), Error>) -> usize {
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

pub(super) fn is_within(part: &Range<usize>, range: &Range<usize>) -> bool {
    range.start <= part.start && part.end <= range.end
}

/// Bytes of a buffer; not copied if they are all of it and nobody else wants it.
pub(super) fn part_of(buffer: Arc<Buffer>, offset: usize, length: usize) -> Vec<u8> {
    let copy = |bytes: &[u8]| bytes.get(offset..offset + length).unwrap_or_default().to_vec();
    match Arc::try_unwrap(buffer) {
        Ok(buffer) => {
            let bytes = buffer.into_inner().unwrap_or_else(PoisonError::into_inner);
            if bytes.len() == length { bytes } else { copy(&bytes) }
        }
        Err(shared) => copy(&shared.lock().unwrap_or_else(PoisonError::into_inner)),
    }
}
