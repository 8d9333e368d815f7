//! Writes a set of tables: each is complete under a temporary name and on disk before any takes its final name.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use tempfile::NamedTempFile;

use crate::{Error, Row};

/// File format of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut tables = Tables::create(folder, &[])?;
    tables.stage_file(&name, bytes)?;
    tables.finish().map(drop)
}

/// A folder that receives tables, all of them or none.
#[derive(Debug)]
pub struct Tables {
    folder: PathBuf,
    /// Folders that did not exist before, deepest first; taken away again if nothing was written.
    created: Vec<PathBuf>,
    formats: Vec<Format>,
    staged: Vec<(NamedTempFile, PathBuf)>,
    /// Tables of an earlier run that this one has no counterpart of.
    left_out: Vec<&'static str>,
}

impl Tables {
    /// Makes the folder and tries that a file can be made in it, before the work whose results are to go there.
    ///
    /// # Errors
    /// [`Error::Folder`].
    pub fn create(folder: impl Into<PathBuf>, formats: &[Format]) -> Result<Self, Error> {
        let folder = folder.into();
        let created = folder
            .ancestors()
            .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
            .map(Path::to_path_buf)
            .collect();
        let tables =
            Self { folder, created, formats: formats.to_vec(), staged: Vec::new(), left_out: Vec::new() };
        let refused = |source| Error::Folder { path: tables.folder.clone(), source };
        std::fs::create_dir_all(&tables.folder).map_err(refused)?;
        tables.temporary().map_err(refused)?;
        Ok(tables)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a table under temporary names, one for each format, and flushes it to disk.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Csv`], [`Error::Parquet`].
    pub fn stage<R: Row>(&mut self, rows: &[R], provenance: &Provenance) -> Result<(), Error> {
        for format in self.formats.clone() {
            let path = self.folder.join(format!("{}.{}", R::TABLE, format.extension()));
            let mut file = self.temporary().map_err(|source| Error::File { path: path.clone(), source })?;
            match format {
                Format::Csv => write_csv(&mut file, rows).map_err(|source| match source {
                    arrow::error::ArrowError::IoError(_, source) => {
                        Error::File { path: path.clone(), source }
                    }
                    source => Error::Csv { path: path.clone(), source },
                })?,
                Format::Parquet => write_parquet(&mut file, rows, provenance)
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
        let path = self.folder.join(name);
        let written = self.temporary().and_then(|mut file| file.write_all(bytes).map(|()| file));
        let file = written.map_err(|source| Error::File { path: path.clone(), source })?;
        self.flush(file, path)
    }

    fn flush(&mut self, mut file: NamedTempFile, path: PathBuf) -> Result<(), Error> {
        let flushed = file.flush().and_then(|()| file.as_file().sync_all());
        flushed.map_err(|source| Error::File { path: path.clone(), source })?;
        self.staged.push((file, path));
        Ok(())
    }

    /// Says that this set has no such table: one of an earlier run is removed at the end.
    pub fn leave_out<R: Row>(&mut self) {
        self.left_out.push(R::TABLE);
    }

    /// Gives every staged table its final name, and removes a table of the same name in a format not asked for: it
    /// would be of an earlier run. Returns the final paths.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn finish(mut self) -> Result<Vec<PathBuf>, Error> {
        let mut written = Vec::with_capacity(self.staged.len());
        for (file, path) in std::mem::take(&mut self.staged) {
            file.persist(&path).map_err(|error| Error::File { path: path.clone(), source: error.error })?;
            let is_table =
                Format::ALL.iter().any(|format| path.extension() == Some(format.extension().as_ref()));
            for other in Format::ALL.iter().filter(|format| is_table && !self.formats.contains(format)) {
                remove(path.with_extension(other.extension()))?;
            }
            written.push(path);
        }
        for table in &self.left_out {
            for format in Format::ALL {
                remove(self.folder.join(format!("{table}.{}", format.extension())))?;
            }
        }
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| Error::Folder { path: self.folder.clone(), source })?;
        self.created.clear();
        Ok(written)
    }

    fn temporary(&self) -> std::io::Result<NamedTempFile> {
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As any new file, subject to the umask; temporary files are private by default.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        builder.prefix(".model-diffs-").suffix(".tmp").tempfile_in(&self.folder)
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        self.staged.clear();
        for folder in &self.created {
            let _ = std::fs::remove_dir(folder); // only if empty
        }
    }
}

/// Removes a file of an earlier run, if there is one.
fn remove(path: PathBuf) -> Result<(), Error> {
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::File { path, source }),
        _ => Ok(()),
    }
}

fn write_csv<R: Row>(file: &mut NamedTempFile, rows: &[R]) -> Result<(), arrow::error::ArrowError> {
    let buffered = std::io::BufWriter::new(file);
    let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(buffered);
    writer.write(&R::batch(rows)?)
}

fn write_parquet<R: Row>(
    file: &mut NamedTempFile,
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
