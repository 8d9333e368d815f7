//! Reads a table back: one that this crate wrote, or one of the Python scripts that had some of the same columns.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use arrow::error::ArrowError;
use intake::{contained, shown};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{Error, Provenance, Row};

/// Columns by name, of a file or of rows. What a reader needs of them is up to it: a column may be missing.
#[derive(Clone, Debug)]
pub struct Table {
    path: PathBuf,
    batch: RecordBatch,
    provenance: Provenance,
}

impl Table {
    /// Reads a table whole. Its format is told by its content, not by its name.
    ///
    /// # Errors
    /// [`Error::Read`] for a file that cannot be read, or is something else than a file of data, [`Error::NotATable`] for
    /// one that is neither CSV nor Parquet, or would take memory out of proportion to its size.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let refused = |source| Error::Read { path: path.into(), source };
        let mut file = intake::open_parquet(path).map_err(refused)?;
        let mut magic = Vec::new();
        file.by_ref().take(4).read_to_end(&mut magic).map_err(refused)?;
        file.rewind().map_err(refused)?;
        let is_parquet = magic == *b"PAR1";
        // The crate parquet panics at some damaged files.
        let table = contained(|| if is_parquet { read_parquet(file) } else { read_csv(&file) });
        let table = table.unwrap_or_else(|_| Err(ArrowError::ParquetError(CONTRADICTION.into())));
        let table = table.and_then(|table| unique_names(&table.0).map(|()| table));
        let (batch, provenance) =
            table.map_err(|source| Error::NotATable { path: path.into(), source: Box::new(source) })?;
        Ok(Self { path: path.into(), batch, provenance })
    }

    /// The table of these rows, as if it had been written and read.
    ///
    /// # Errors
    /// [`Error::NotATable`]; rows of this crate give none.
    pub fn of<R: Row>(rows: &[R], provenance: Provenance) -> Result<Self, Error> {
        let path = PathBuf::from(R::TABLE);
        let batch = R::batch(rows)
            .map_err(|source| Error::NotATable { path: path.clone(), source: Box::new(source) })?;
        Ok(Self { path, batch, provenance })
    }

    /// The file that it was read from, or the name of the table.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What a Parquet file says of its origin; CSV says nothing.
    #[must_use]
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// Names of the columns, in order.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.batch.schema_ref().fields().iter().map(|field| field.name().as_str())
    }

    /// The rows, exactly as they were written, of a Parquet file that has the columns of these rows and no others.
    ///
    /// # Errors
    /// [`Error::OtherRows`] for other columns, or a word that does not stand in tables.
    pub fn rows_of<R: Row>(&self) -> Result<Vec<R>, Error> {
        let has_columns = {
            let (found, expected) = (self.batch.schema_ref().fields(), R::fields());
            let same = |(found, expected): (&Arc<Field>, &Field)| {
                (found.name(), found.data_type(), found.is_nullable())
                    == (expected.name(), expected.data_type(), expected.is_nullable())
            };
            found.len() == expected.len() && found.iter().zip(&expected).all(same)
        };
        let rows = if has_columns {
            contained(|| R::rows(&mut self.batch.columns().iter()))
                .unwrap_or_else(|_| Err(ArrowError::ParquetError(CONTRADICTION.into())))
        } else {
            Err(ArrowError::SchemaError("it has other columns".into()))
        };
        let refused =
            |source| Error::OtherRows { path: self.path.clone(), table: R::TABLE, source: Box::new(source) };
        rows.map_err(refused)
    }

    /// A column as numbers; `None` if there is none of that name. Null is what is empty, no number, or not finite.
    #[must_use]
    pub fn numbers(&self, column: &str) -> Option<Vec<Option<f64>>> {
        let values = self.cast(column, &DataType::Float64)?;
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        Some(values.as_primitive::<Float64Type>().iter().map(finite).collect())
    }

    /// A column as text; `None` if there is none of that name.
    #[must_use]
    pub fn texts(&self, column: &str) -> Option<Vec<Option<String>>> {
        let values = self.cast(column, &DataType::Utf8)?;
        Some(values.as_string::<i32>().iter().map(|value| value.map(str::to_owned)).collect())
    }

    /// A column as numbers that has to be there.
    ///
    /// # Errors
    /// [`Error::Column`].
    pub fn needed_numbers(&self, column: &'static str) -> Result<Vec<Option<f64>>, Error> {
        self.numbers(column).ok_or_else(|| self.without(column))
    }

    /// A column as text that has to be there.
    ///
    /// # Errors
    /// [`Error::Column`].
    pub fn needed_texts(&self, column: &'static str) -> Result<Vec<Option<String>>, Error> {
        self.texts(column).ok_or_else(|| self.without(column))
    }

    /// A column as numbers, all of them null if there is none of that name.
    #[must_use]
    pub fn optional_numbers(&self, column: &str) -> Vec<Option<f64>> {
        self.numbers(column).unwrap_or_else(|| vec![None; self.rows()])
    }

    /// A column as text, all of it null if there is none of that name.
    #[must_use]
    pub fn optional_texts(&self, column: &str) -> Vec<Option<String>> {
        self.texts(column).unwrap_or_else(|| vec![None; self.rows()])
    }

    /// For each row the layer that it is of, from the column `layer`. Null is a row of none, such as the Python scripts'
    /// `ALL_MEAN` and their embeddings, which have layer −1.
    #[must_use]
    pub fn layers(&self) -> Vec<Option<u32>> {
        let layer = |value: f64| {
            let is_one = (0.0..=f64::from(u32::MAX)).contains(&value) && value.fract() == 0.0;
            is_one.then_some(value as u32)
        };
        self.optional_numbers("layer").into_iter().map(|value| value.and_then(layer)).collect()
    }

    /// True if all that stands in a column is numbers.
    #[must_use]
    pub fn is_numeric(&self, column: &str) -> bool {
        let Some(values) = self.batch.column_by_name(column) else { return false };
        *values.data_type() != DataType::Boolean
            && self
                .cast(column, &DataType::Float64)
                .is_some_and(|numbers| numbers.null_count() == values.null_count())
    }

    /// A column as another type, into which values that do not fit become null.
    fn cast(&self, column: &str, kind: &DataType) -> Option<ArrayRef> {
        let values = self.batch.column_by_name(column)?;
        contained(|| cast(values, kind)).ok()?.ok()
    }

    fn without(&self, column: &'static str) -> Error {
        let present = self.columns().map(str::to_owned).collect();
        Error::Column { path: self.path.clone(), column, present }
    }
}

const CONTRADICTION: &str = "its parts contradict each other";

/// Bytes of memory that a table may always take; a larger one, so many times the bytes of its file.
const MODEST: u64 = 256 << 20;
const PROPORTION: u64 = 64;

/// Bytes of a line of CSV, and of the first one, which has the names.
const LONGEST_LINE: usize = 64 << 20;
const LONGEST_HEADER: u64 = 1 << 20;

/// Readers differ on which of two columns of one name counts.
fn unique_names(batch: &RecordBatch) -> Result<(), ArrowError> {
    let mut names = HashSet::new();
    match batch.schema_ref().fields().iter().find(|field| !names.insert(field.name())) {
        Some(twice) => Err(ArrowError::SchemaError(format!("column {} is there twice", shown(twice.name())))),
        None => Ok(()),
    }
}

/// A few bytes may stand for billions of equal rows.
fn read_parquet(file: File) -> Result<(RecordBatch, Provenance), ArrowError> {
    let most = file.metadata()?.len().saturating_mul(PROPORTION).max(MODEST);
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let mut provenance = Provenance::default();
    for entry in reader.metadata().file_metadata().key_value_metadata().into_iter().flatten() {
        if !entry.key.starts_with("ARROW:") {
            provenance.add(&entry.key, entry.value.as_deref().unwrap_or_default());
        }
    }
    let schema = Arc::clone(reader.schema());
    let (mut batches, mut bytes) = (Vec::new(), 0);
    for batch in reader.build()? {
        let batch = batch?;
        bytes += batch.get_array_memory_size() as u64;
        if bytes > most {
            return Err(ArrowError::MemoryError(format!("its rows take more than {most} bytes")));
        }
        batches.push(batch);
    }
    Ok((concat_batches(&schema, &batches)?, provenance))
}

/// All columns as text: what they are is known only to who reads them.
fn read_csv(mut file: &File) -> Result<(RecordBatch, Provenance), ArrowError> {
    let (header, _) = Format::default().with_header(true).infer_schema(file.take(LONGEST_HEADER), Some(0))?;
    if header.fields().is_empty() {
        return Err(ArrowError::CsvError("it has no header line".into()));
    }
    let as_text = |field: &Arc<Field>| Field::new(field.name(), DataType::Utf8, true);
    let schema = Arc::new(Schema::new(header.fields().iter().map(as_text).collect::<Vec<_>>()));
    file.rewind()?;
    let lines = Lines { file, since_end: 0 };
    let reader = arrow::csv::ReaderBuilder::new(Arc::clone(&schema)).with_header(true).build(lines)?;
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    Ok((concat_batches(&schema, &batches)?, Provenance::default()))
}

/// A file that is an error as soon as a line is too long to be one.
struct Lines<'a> {
    file: &'a File,
    since_end: usize,
}

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.since_end = match buffer[..count].iter().rposition(|byte| *byte == b'\n') {
            Some(end) => count - end,
            None => self.since_end + count,
        };
        if self.since_end > LONGEST_LINE {
            return Err(io::Error::other("it has a line of more than 64 MiB"));
        }
        Ok(count)
    }
}
