//! A column of a file, row by row, whatever its format.

use std::ops::ControlFlow;
use std::path::Path;

use super::spec::Columns;
use super::{csv_rows, json_rows, lines, parquet_rows};
use crate::Error;

/// Sees the column's text in each row; `None` is null.
pub(crate) type OnRow<'a> = dyn FnMut(Option<&str>) -> ControlFlow<()> + 'a;

/// Hands over each row until one breaks off, with only a few in memory. Returns how many rows the file has, where that
/// is known: because it was read to its end, or because it says so itself.
///
/// # Errors
/// [`Error::DatasetFile`], [`Error::DatasetLine`], [`Error::DatasetParquet`], [`Error::DatasetColumn`],
/// [`Error::DatasetColumnType`].
pub(crate) fn read(path: &Path, columns: &Columns, on_row: &mut OnRow<'_>) -> Result<Option<u64>, Error> {
    let mut rows = 0;
    let mut counting = |text: Option<&str>| {
        rows += 1;
        on_row(text)
    };
    let end = match columns {
        Columns::Parquet(column) => return parquet_rows::read(path, column, on_row),
        Columns::JsonLines(column) => json_rows::read(path, column, &mut counting)?,
        Columns::Csv(column) => csv_rows::read(path, column, &mut counting)?,
        // As Python's text mode has it, a carriage return ends a line, too.
        Columns::Text => lines::for_each(path, &mut |_, line| {
            let line = line.strip_suffix('\r').unwrap_or(line);
            Ok(line.split('\r').try_for_each(|line| counting(Some(line))))
        })?,
    };
    Ok(end.is_continue().then_some(rows))
}
