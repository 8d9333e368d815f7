//! The samples of one source, and the record of where they are from.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use hub::Hub;

use super::record::{DatasetRecord, RowCounts};
use super::sample::one_line;
use super::selection::Selection;
use super::spec::{Columns, DatasetSpec, Source};
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
    let Found { paths, columns, mut record } = find(&source.spec, hub, observer)?;
    let mut selection = Selection::new(options.limit, options.shuffle);
    let counts = &mut record.counts;
    let mut total = Some(0);
    for path in &paths {
        if selection.is_final() {
            total = None; // of files that are not opened it is not known
            break;
        }
        let of_file = rows::read(path, &columns, &mut |text| {
            selection.row(fit(text, source.min_chars, counts));
            if selection.is_final() || interrupted.load(Ordering::Relaxed) {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        unless_interrupted(interrupted)?;
        total = total.zip(of_file).map(|(total, of_file)| total + of_file);
    }
    let samples = selection.into_samples();
    counts.taken = samples.len() as u64;
    record.rows = total;
    (record.limit, record.min_chars, record.shuffle) = (options.limit, source.min_chars, options.shuffle);
    if samples.is_empty() {
        return Err(Error::NoSample { spec: source.spec.to_string(), counts: record.counts });
    }
    Ok((record, samples))
}

/// The sample that a row holds, if it is one; if not, the reason is counted.
fn fit(text: Option<&str>, min_chars: usize, counts: &mut RowCounts) -> Option<String> {
    counts.rows_read += 1;
    let line = text.map(one_line);
    let reason = match &line {
        None => &mut counts.null,
        Some(line) if line.is_empty() => &mut counts.empty,
        Some(line) if line.len() > LONGEST => &mut counts.too_long,
        Some(line) if line.chars().count() < min_chars => &mut counts.too_short,
        Some(_) => return line,
    };
    *reason += 1;
    None
}

/// Files to read.
struct Found {
    paths: Vec<PathBuf>,
    columns: Columns,
    record: DatasetRecord,
}

fn find(spec: &DatasetSpec, hub: &Hub, observer: &dyn Observer) -> Result<Found, Error> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let mut record = DatasetRecord { source: spec.to_string(), version, ..DatasetRecord::default() };
    let (paths, columns) = match &spec.source {
        Source::File(path, columns) => {
            record.files = vec![path.to_string_lossy().into_owned()];
            (vec![path.clone()], columns.clone())
        }
        Source::Hub { id, revision, config, split, column } => {
            let found = hub.dataset_files(id, revision.as_deref(), config, split, observer.downloads());
            let found = found.map_err(|source| match source {
                hub::Error::Interrupted => Error::Interrupted,
                source => Error::Dataset { id: id.clone(), source: Box::new(source) },
            })?;
            record.files = found.files.iter().map(|path| name_in_repository(path, &found.commit)).collect();
            record.repository = Some(id.clone());
            record.config = Some(config.clone());
            record.split = Some(split.clone());
            record.revision = Some(found.commit);
            (found.files, Columns::Parquet(column.clone()))
        }
    };
    record.column = columns.column().map(str::to_owned);
    Ok(Found { paths, columns, record })
}

/// What a file of the cache, `…/snapshots/<commit>/<name>`, is called in its repository: the same on every machine.
fn name_in_repository(path: &Path, commit: &str) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    let below = parts.iter().rposition(|part| part == commit).map_or(0, |position| position + 1);
    parts[below..].join("/")
}
