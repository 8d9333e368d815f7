//! A column of a Parquet file.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use arrow::array::AsArray as _;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use intake::{Foreign, contained};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};

use super::rows::OnRow;
use crate::Error;

/// Rows that are in memory at once: few, since one may be a whole book.
const BATCH: usize = 64;

/// Returns how many rows the file says it has.
pub(crate) fn read(path: &Path, column: &str, on_row: &mut OnRow<'_>) -> Result<Option<u64>, Error> {
    let damaged = |source: ArrowError| Error::DatasetParquet { path: path.into(), source: Box::new(source) };
    let unreadable = |source: std::io::Error| match source.get_ref() {
        Some(cause) if !cause.is::<Foreign>() && source.kind() == ErrorKind::InvalidData => {
            damaged(ArrowError::ParquetError(source.to_string()))
        }
        _ => Error::DatasetFile { path: path.into(), source },
    };
    let file = intake::open_parquet(path).map_err(unreadable)?;
    let load = || Ok(ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?);
    let metadata = guarded(load).map_err(damaged)?;
    let rows = u64::try_from(metadata.metadata().file_metadata().num_rows()).ok();
    let schema = metadata.schema();
    let Some((index, field)) = schema.fields().find(column) else {
        let present = schema.fields().iter().map(|field| field.name().clone()).collect();
        return Err(Error::DatasetColumn { path: path.into(), column: column.to_owned(), present });
    };
    if !is_text(field.data_type()) {
        let (column, found) = (column.to_owned(), field.data_type().to_string());
        return Err(Error::DatasetColumnType { path: path.into(), column, found });
    }
    let mut reader = guarded(|| {
        let metadata = with_views(&metadata, index)?;
        let builder = ParquetRecordBatchReaderBuilder::<File>::new_with_metadata(file, metadata);
        let only = ProjectionMask::roots(builder.parquet_schema(), [index]);
        Ok(builder.with_projection(only).with_batch_size(BATCH).build()?)
    })
    .map_err(damaged)?;
    while let Some(batch) = guarded(|| reader.next().transpose()).map_err(damaged)? {
        let texts = guarded(|| cast(batch.column(0), &DataType::Utf8View)).map_err(damaged)?;
        if texts.as_string_view().iter().try_for_each(&mut *on_row).is_break() {
            break;
        }
    }
    Ok(rows)
}

/// Reads a column as views of the texts in the file's pages: a large one that stands in many rows is in memory once.
fn with_views(metadata: &ArrowReaderMetadata, column: usize) -> Result<ArrowReaderMetadata, ArrowError> {
    let fields = metadata.schema().fields().iter().enumerate().map(|(index, field)| {
        if index == column {
            Arc::new(Field::new(field.name(), DataType::Utf8View, field.is_nullable()))
        } else {
            Arc::clone(field)
        }
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let options = ArrowReaderOptions::new().with_schema(schema);
    Ok(ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)?)
}

/// The crate parquet panics at some damaged files.
fn guarded<T>(read: impl FnOnce() -> Result<T, ArrowError>) -> Result<T, ArrowError> {
    let contradicting = |_| Err(ArrowError::ParquetError("its parts contradict each other".to_owned()));
    contained(read).unwrap_or_else(contradicting)
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}
