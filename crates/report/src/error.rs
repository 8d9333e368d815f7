//! The one error type of this crate.

use std::path::PathBuf;

use intake::Foreign;

/// Why something could not be written or read. Every variant names the file or folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The output folder cannot be made or written to.
    #[error("cannot write into {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The refusal of the operating system.
        source: std::io::Error,
    },
    /// Another run writes into the output folder.
    #[error("another run is writing into {}", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// A file cannot be written, flushed to disk or put in place.
    #[error("cannot write {}", path.display())]
    File {
        /// The final path; the unfinished file had another name and is gone.
        path: PathBuf,
        /// The refusal of the operating system.
        source: std::io::Error,
    },
    /// The rows cannot be put into columns or the columns into CSV.
    #[error("cannot write {} as CSV", path.display())]
    Csv {
        /// The final path.
        path: PathBuf,
        /// What arrow says.
        source: arrow::error::ArrowError,
    },
    /// The columns cannot be put into Parquet.
    #[error("cannot write {} as Parquet", path.display())]
    Parquet {
        /// The final path.
        path: PathBuf,
        /// What parquet says.
        source: parquet::errors::ParquetError,
    },
    /// A table cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The refusal of the operating system.
        source: std::io::Error,
    },
    /// A file is neither a CSV nor a Parquet table.
    #[error("{} is no table", path.display())]
    NotATable {
        /// The file.
        path: PathBuf,
        /// What arrow says.
        source: Box<arrow::error::ArrowError>,
    },
    /// A table lacks a column that is needed.
    #[error("{} has no column {column}, but {}", path.display(), intake::listed(present))]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// The columns that it has.
        present: Vec<String>,
    },
    /// A table has not exactly the rows that were written into one of that name.
    #[error("{} is no table {table} of this version", path.display())]
    OtherRows {
        /// The file.
        path: PathBuf,
        /// The name of the table that it should be.
        table: &'static str,
        /// What is different.
        source: Box<arrow::error::ArrowError>,
    },
    /// No row of a table belongs to a layer of a model.
    #[error("{} has no row with a layer: there is nothing to plot", path.display())]
    NothingToPlot {
        /// The file.
        path: PathBuf,
    },
    /// A picture cannot be made into a PNG.
    #[error("cannot make {name}.png")]
    Picture {
        /// The picture.
        name: String,
        /// What the encoder says; nothing if it would be larger than memory.
        source: Option<png::EncodingError>,
    },
    /// The data of an HTML report cannot be put into JSON.
    #[error("the data of the HTML report cannot be put into it")]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Folder { .. } | Self::File { .. } | Self::Csv { .. } | Self::Parquet { .. } => {
                "check the free space and the permissions there, or choose another folder for the output"
            }
            Self::InUse { .. } => "wait until it has ended, or choose another folder for the output",
            Self::Read { source, .. } if let Some(foreign) = Foreign::behind(source) => foreign.hint(),
            Self::Read { .. } => {
                "give the path of a table, such as per_layer.csv or activation_norms.parquet"
            }
            Self::NotATable { .. } => "give a table as CSV with a header line, or as Parquet",
            Self::Json(_) => "",
            Self::OtherRows { .. } => "make it again with this version",
            Self::Column { .. } => "give the table that the option is for",
            Self::NothingToPlot { .. } => {
                "give a table with layers, such as per_layer.csv or activation_norms.csv"
            }
            Self::Picture { .. } => "write it as SVG instead, with --format svg",
        }
    }
}
