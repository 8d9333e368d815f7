//! A column of a Parquet file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow::array::AsArray as _;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::lines::open;
use super::rows::OnRow;
use crate::Error;

/// Rows that are in memory at once: few, since one may be a whole book.
const BATCH: usize = 64;

/// Returns how many rows the file says it has.
pub(crate) fn read(path: &Path, column: &str, on_row: &mut OnRow<'_>) -> Result<Option<u64>, Error> {
    let damaged = |source: ArrowError| Error::DatasetParquet { path: path.into(), source: Box::new(source) };
    let file = open(path)?;
    let builder = guarded(|| Ok(ParquetRecordBatchReaderBuilder::try_new(file)?)).map_err(damaged)?;
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).ok();
    let schema = builder.schema();
    let Some((index, field)) = schema.fields().find(column) else {
        let present = schema.fields().iter().map(|field| field.name().clone()).collect();
        return Err(Error::DatasetColumn { path: path.into(), column: column.to_owned(), present });
    };
    if !is_text(field.data_type()) {
        let (column, found) = (column.to_owned(), field.data_type().to_string());
        return Err(Error::DatasetColumnType { path: path.into(), column, found });
    }
    let only = ProjectionMask::roots(builder.parquet_schema(), [index]);
    let builder = builder.with_projection(only).with_batch_size(BATCH);
    let mut reader = guarded(|| Ok(builder.build()?)).map_err(damaged)?;
    while let Some(batch) = guarded(|| reader.next().transpose()).map_err(damaged)? {
        let texts = cast(batch.column(0), &DataType::LargeUtf8).map_err(damaged)?;
        if texts.as_string::<i64>().iter().try_for_each(&mut *on_row).is_break() {
            break;
        }
    }
    Ok(rows)
}

/// The crate parquet panics at some damaged files.
fn guarded<T>(read: impl FnOnce() -> Result<T, ArrowError>) -> Result<T, ArrowError> {
    let contradicting = |_| Err(ArrowError::ParquetError("its parts contradict each other".to_owned()));
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(contradicting)
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}
