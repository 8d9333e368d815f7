//! Many small reads of one file, known beforehand: what lies close together is read at once, and what comes next is asked
//! for ahead, so that a source across a network answers in a few round trips.

use std::borrow::Cow;
use std::ops::Range;

use crate::{Error, Source, source};

/// Bytes that are read at once; with those asked for ahead, 32 MiB are in flight.
const LONGEST: usize = 2 << 20;
/// Reads that are asked for ahead.
const AHEAD: usize = 15;

/// Reads of ranges that were planned, in ascending order of their start.
pub(crate) struct Planned<'s> {
    source: &'s dyn Source,
    reads: Vec<Range<usize>>,
    /// Reads that need not be asked for ahead any more.
    announced: usize,
    start: usize,
    bytes: Cow<'s, [u8]>,
}

impl<'s> Planned<'s> {
    pub(crate) fn new(source: &'s dyn Source, mut wanted: Vec<Range<usize>>) -> Self {
        let gap = source.worth_reading_through();
        wanted.retain(|range| range.end <= source.len());
        wanted.sort_unstable_by_key(|range| range.start);
        let mut reads: Vec<Range<usize>> = Vec::with_capacity(wanted.len());
        for range in wanted {
            match reads.last_mut() {
                Some(last) if range.start <= last.end + gap && range.end <= last.start + LONGEST => {
                    last.end = last.end.max(range.end);
                }
                _ => reads.push(range),
            }
        }
        Self { source, reads, announced: 0, start: 0, bytes: Cow::Borrowed(&[]) }
    }

    /// A range; one that was not planned is read by itself.
    pub(crate) fn read(&mut self, range: Range<usize>) -> Result<&[u8], Error> {
        if range.start < self.start || range.end > self.start + self.bytes.len() {
            let next = self.reads.partition_point(|read| read.start <= range.start);
            let planned = next.checked_sub(1).map(|last| self.reads[last].clone());
            let read = planned.filter(|read| range.end <= read.end).unwrap_or_else(|| range.clone());
            self.announce(next);
            self.start = read.start;
            self.bytes = source::read(self.source, read)?;
        }
        Ok(&self.bytes[range.start - self.start..range.end - self.start])
    }

    /// Where a gap is worth reading through, answers take long: then several are waited for at once.
    fn announce(&mut self, next: usize) {
        if self.source.worth_reading_through() == 0 {
            return;
        }
        let end = self.reads.len().min(next + AHEAD);
        for read in self.announced.max(next)..end {
            self.source.will_need(self.reads[read].clone());
        }
        self.announced = self.announced.max(end);
    }
}
