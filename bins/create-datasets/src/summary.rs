//! The few lines at the end: what was taken from where, what was left out, how it begins.

use std::fmt::Write as _;

use cli::{Printer, counted, escape};
use pipeline::{DatasetRecord, Datasets};

/// Characters of a sample that are shown.
const SHOWN: usize = 60;

pub(crate) fn print(printer: Printer, made: &Datasets) {
    for (record, first) in &made.texts {
        printer.say(text(record, first));
    }
    printer.say(format_args!("texts: {}", escape(&made.folder.to_string_lossy())));
}

fn text(record: &DatasetRecord, first: &str) -> String {
    let counts = &record.counts;
    let samples = counted(counts.taken as usize, "sample");
    let mut text = format!("{}: {samples} of {}", record.file, escape(&record.source));
    if let Some(revision) = &record.revision {
        let _ = write!(text, " at {}", escape(revision));
    }
    if let Some(reasons) = counts.left_out() {
        let rows = counted(counts.rows_read as usize, "row");
        let _ = write!(text, "\n  left out of {rows}: {reasons}");
    }
    let cut = match first.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &first[..end]),
        None => first.to_owned(),
    };
    let _ = write!(text, "\n  {}", escape(&cut));
    text
}
