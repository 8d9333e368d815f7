//! A column of a CSV file with a header line.

use std::io::{BufReader, Read as _};
use std::ops::ControlFlow;
use std::path::Path;

use csv::{ErrorKind, ReaderBuilder, StringRecord};

use super::lines::{LONGEST, TOO_LONG, open};
use super::rows::OnRow;
use crate::Error;

pub(crate) fn read(path: &Path, column: &str, on_row: &mut OnRow<'_>) -> Result<ControlFlow<()>, Error> {
    // A quote that is never closed makes the rest of the file one field: only so much of it is read.
    let file = BufReader::new(open(path)?).take(LONGEST);
    let mut reader = ReaderBuilder::new().from_reader(file);
    let failed = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        let message = match error.into_kind() {
            ErrorKind::Io(source) => return Error::DatasetFile { path: path.into(), source },
            ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("{len} fields, but the header has {expected_len}")
            }
            ErrorKind::Utf8 { err, .. } => format!("field {} is not UTF-8", err.field() + 1),
            other => format!("{other:?}"),
        };
        Error::DatasetLine { path: path.into(), line, message }
    };
    let header = reader.headers().map_err(failed)?;
    let Some(index) = header.iter().position(|name| name == column) else {
        let present = header.iter().map(str::to_owned).collect();
        return Err(Error::DatasetColumn { path: path.into(), column: column.to_owned(), present });
    };
    let mut record = StringRecord::new();
    loop {
        reader.get_mut().set_limit(LONGEST);
        let line = reader.position().line();
        let read = reader.read_record(&mut record);
        if reader.get_ref().limit() == 0 {
            return Err(Error::DatasetLine { path: path.into(), line, message: TOO_LONG.to_owned() });
        }
        if !read.map_err(failed)? {
            return Ok(ControlFlow::Continue(()));
        }
        if on_row(record.get(index)).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
}
