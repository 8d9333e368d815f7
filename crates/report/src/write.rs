//! Writes a set of tables: each is complete under a temporary name and on disk before any takes its final name.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::folder::folder_of;
use crate::{Error, OutputFolder, Row};

/// File format of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values with a header line; null is an empty field.
    Csv,
    /// Apache Parquet with the provenance as file metadata.
    Parquet,
}

impl Format {
    const ALL: [Self; 2] = [Self::Csv, Self::Parquet];

    /// File name extension.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }
}

/// Where the numbers came from: keys and values that Parquet files carry as metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance(Vec<(String, String)>);

impl Provenance {
    /// Adds an entry; keys are kept in this order.
    pub fn add(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.0.push((key.into(), value.into()));
    }

    /// What it says under a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries().find(|(known, _)| *known == key).map(|(_, value)| value)
    }

    /// The entries in order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// Writes one file, whole or not at all, in a folder that is made if need be.
///
/// # Errors
/// [`Error::Folder`], [`Error::File`].
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = Tables::of(OutputFolder::share(folder_of(path))?, &[]);
    file.stage_bytes(path.to_path_buf(), bytes)?;
    file.finish().map(drop)
}

/// A folder that receives tables, all of them or none.
#[derive(Debug)]
pub struct Tables {
    formats: Vec<Format>,
    /// Complete and on disk, and where they are to go. Before the folder, which goes away only if it is empty.
    staged: Vec<(NamedTempFile, PathBuf)>,
    /// Tables of an earlier run that this one has no counterpart of.
    stale: Vec<PathBuf>,
    folder: OutputFolder,
}

impl Tables {
    /// Makes the folder, holds it against other runs, and tries that a file can be written in it, before the work whose
    /// results are to go there ([`OutputFolder::claim`]).
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::Folder`].
    pub fn create(folder: impl Into<PathBuf>, formats: &[Format]) -> Result<Self, Error> {
        OutputFolder::claim(folder).map(|folder| Self::of(folder, formats))
    }

    fn of(folder: OutputFolder, formats: &[Format]) -> Self {
        Self { formats: formats.to_vec(), staged: Vec::new(), stale: Vec::new(), folder }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a table under temporary names, one for each format, and flushes it to disk.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Csv`], [`Error::Parquet`].
    pub fn stage<R: Row>(&mut self, rows: &[R], provenance: &Provenance) -> Result<(), Error> {
        for format in Format::ALL {
            let path = self.path_of::<R>(format);
            if !self.formats.contains(&format) {
                self.stale.push(path); // it would be of an earlier run
                continue;
            }
            let temporary = self.folder.temporary();
            let file = temporary.map_err(|source| Error::File { path: path.clone(), source })?;
            match format {
                Format::Csv => write_csv(file.as_file(), rows).map_err(|source| match source {
                    arrow::error::ArrowError::IoError(_, source) => {
                        Error::File { path: path.clone(), source }
                    }
                    source => Error::Csv { path: path.clone(), source },
                })?,
                Format::Parquet => write_parquet(file.as_file(), rows, provenance)
                    .map_err(|source| Error::Parquet { path: path.clone(), source })?,
            }
            self.flush(file, path)?;
        }
        Ok(())
    }

    /// Writes a file that is no table, such as a picture, under a temporary name and flushes it to disk.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn stage_file(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.stage_bytes(self.folder().join(name), bytes)
    }

    fn stage_bytes(&mut self, path: PathBuf, bytes: &[u8]) -> Result<(), Error> {
        let written = self.folder.temporary().and_then(|file| file.as_file().write_all(bytes).map(|()| file));
        let file = written.map_err(|source| Error::File { path: path.clone(), source })?;
        self.flush(file, path)
    }

    fn flush(&mut self, file: NamedTempFile, path: PathBuf) -> Result<(), Error> {
        file.as_file().sync_all().map_err(|source| Error::File { path: path.clone(), source })?;
        self.staged.push((file, path));
        Ok(())
    }

    /// The files that are staged: where each is to go, and where it lies until then.
    pub fn staged(&self) -> impl Iterator<Item = (&Path, &Path)> {
        self.staged.iter().map(|(file, path)| (path.as_path(), file.path()))
    }

    /// Says that this set has no such table: one of an earlier run is removed at the end.
    pub fn leave_out<R: Row>(&mut self) {
        self.stale.extend(Format::ALL.map(|format| self.path_of::<R>(format)));
    }

    fn path_of<R: Row>(&self, format: Format) -> PathBuf {
        self.folder().join(format!("{}.{}", R::TABLE, format.extension()))
    }

    /// Gives every staged table its final name, in the order of staging. Returns the final paths.
    ///
    /// Tables that an earlier run left in their places go first, and so do those that this set has no counterpart of: a
    /// run that is killed here leaves some tables of its own or some of the earlier run, never some of both. The last one
    /// goes first and comes last, so that where it is, the set is complete, if all sets of a folder have the same last one.
    /// A file by itself replaces its predecessor at once.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Folder`].
    pub fn finish(mut self) -> Result<Vec<PathBuf>, Error> {
        let mut earlier = std::mem::take(&mut self.stale);
        if self.staged.len() > 1 {
            earlier.extend(self.staged.iter().map(|(_, path)| path.clone()));
        }
        if !earlier.is_empty() {
            earlier.into_iter().rev().try_for_each(remove)?;
            self.folder.sync()?;
        }
        let mut written = Vec::with_capacity(self.staged.len());
        for (file, path) in self.staged.drain(..) {
            file.persist(&path).map_err(|error| Error::File { path: path.clone(), source: error.error })?;
            written.push(path);
        }
        self.folder.keep()?;
        Ok(written)
    }
}

/// Removes a file of an earlier run, if there is one.
fn remove(path: PathBuf) -> Result<(), Error> {
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::File { path, source }),
        _ => Ok(()),
    }
}

fn write_csv<R: Row>(file: &File, rows: &[R]) -> Result<(), arrow::error::ArrowError> {
    let buffered = std::io::BufWriter::new(file);
    let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(buffered);
    writer.write(&R::batch(rows)?)
}

fn write_parquet<R: Row>(
    file: &File,
    rows: &[R],
    provenance: &Provenance,
) -> Result<(), parquet::errors::ParquetError> {
    let metadata =
        provenance.entries().map(|(key, value)| KeyValue::new(key.into(), value.to_owned())).collect();
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_key_value_metadata(Some(metadata))
        .build();
    let batch = R::batch(rows)?;
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}
