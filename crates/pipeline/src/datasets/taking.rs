//! The samples of one source, and the record of where they are from.

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use hub::{DatasetFiles, Hub};

use super::record::{DatasetRecord, RowCounts};
use super::sample::one_line;
use super::selection::Selection;
use super::spec::{Columns, Source};
use super::{DatasetsOptions, SampleSource, rows};
use crate::setup::unless_interrupted;
use crate::{Error, Observer};

/// Bytes of the longest sample that [`activation_norms`](crate::activation_norms()) reads.
const LONGEST: usize = activations::MAX_LINE;

/// The samples, and the record but for the file that they are yet to be written to.
pub(crate) fn take(
    source: &SampleSource,
    options: &DatasetsOptions,
    hub: &Hub,
    observer: &dyn Observer,
    interrupted: &AtomicBool,
) -> Result<(DatasetRecord, Vec<String>), Error> {
    let record = DatasetRecord {
        source: source.spec.to_string(),
        limit: options.limit,
        min_chars: source.min_chars,
        shuffle: options.shuffle,
        rows: Some(0),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..DatasetRecord::default()
    };
    let mut taking =
        Taking { record, selection: Selection::new(options.limit, options.shuffle), interrupted };
    match &source.spec.source {
        Source::File(path, columns) => taking.read(path.to_string_lossy().into_owned(), path, columns)?,
        Source::Hub { id, revision, config, split, column } => {
            let not_had = |source| match source {
                hub::Error::Interrupted => Error::Interrupted,
                source => Error::Dataset { id: id.clone(), source: Box::new(source) },
            };
            let downloads = observer.downloads();
            let found = hub.dataset_files(id, revision.as_deref(), config, split, downloads);
            let files = found.map_err(not_had)?;
            taking.record.repository = Some(id.clone());
            taking.record.revision = Some(files.commit.clone());
            taking.record.config = Some(config.clone());
            taking.record.split = Some(split.clone());
            taking.read_each(&files, &Columns::Parquet(column.clone()), &|which| {
                hub.fetch_dataset_files(&files, which, downloads).map_err(not_had)
            })?;
        }
    }
    let Taking { mut record, selection, .. } = taking;
    let samples = selection.into_samples();
    record.counts.taken = samples.len() as u64;
    if samples.is_empty() {
        return Err(Error::NoSample { spec: record.source, counts: record.counts });
    }
    Ok((record, samples))
}

/// What was taken of the files so far.
struct Taking<'a> {
    record: DatasetRecord,
    selection: Selection,
    interrupted: &'a AtomicBool,
}

impl Taking<'_> {
    /// Fetches and reads one file after the other until no further one can change anything: there may be many large
    /// ones. If that cannot happen, all are fetched at once.
    fn read_each(
        &mut self,
        files: &DatasetFiles,
        columns: &Columns,
        fetch: &dyn Fn(Range<usize>) -> Result<Vec<PathBuf>, Error>,
    ) -> Result<(), Error> {
        let takes_all = self.record.shuffle.is_some() || self.record.limit.is_none();
        let at_once = if takes_all { usize::MAX } else { 1 };
        let mut next = 0;
        while files.may_have(next) {
            if self.selection.is_final() {
                self.record.rows = None; // of files that are not opened it is not known
                break;
            }
            let paths = fetch(next..next.saturating_add(at_once))?;
            for (path, name) in paths.iter().zip(files.names.iter().skip(next)) {
                self.read(name.clone(), path, columns)?;
                next += 1;
            }
        }
        Ok(())
    }

    fn read(&mut self, name: String, path: &Path, columns: &Columns) -> Result<(), Error> {
        let Self { record, selection, interrupted } = self;
        record.files.push(name);
        record.column = columns.column().map(str::to_owned);
        let rows = rows::read(path, columns, &mut |text| {
            selection.row(fit(text, record.min_chars, &mut record.counts));
            if selection.is_final() || interrupted.load(Ordering::Relaxed) {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        record.rows = record.rows.zip(rows).map(|(before, rows)| before + rows);
        unless_interrupted(interrupted)
    }
}

/// The sample that a row holds, if it is one; if not, the reason is counted.
fn fit(text: Option<&str>, min_chars: usize, counts: &mut RowCounts) -> Option<String> {
    counts.rows_read += 1;
    // A line end has at most three bytes, and one as a space: of a text much too long, the line need not be made.
    let is_endless = text.is_some_and(|text| text.trim().len() > 3 * LONGEST);
    let line = text.filter(|_| !is_endless).map(one_line);
    let reason = match &line {
        None if is_endless => &mut counts.too_long,
        None => &mut counts.null,
        Some(line) if line.is_empty() => &mut counts.empty,
        Some(line) if line.len() > LONGEST => &mut counts.too_long,
        Some(line) if line.chars().count() < min_chars => &mut counts.too_short,
        Some(_) => return line,
    };
    *reason += 1;
    None
}
