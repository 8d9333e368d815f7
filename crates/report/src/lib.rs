//! Results of model comparisons as tables.
//!
//! Rows are plain structs ([`MatrixRow`], [`LayerRow`], [`ComponentRow`], [`SingularValueRow`], [`LedgerRow`]); one definition of each gives
//! the CSV header and the Arrow schema. [`per_layer`] and [`per_component`] sum rows of matrices up. [`Tables`] writes
//! a set of tables as CSV and Parquet: complete and on disk under temporary names before the first takes its final
//! name, so that a reader never sees half a table. A value that is not defined is null, in CSV an empty field.
//!
//! This crate knows no tensor and no checkpoint.
//!
//! ```
//! use report::{Format, LayerRow, Provenance, Tables};
//!
//! let row = LayerRow {
//!     layer: 0,
//!     group: "attn",
//!     delta_frobenius: 0.0,
//!     delta_stable_rank_mean: None,
//!     count: 2,
//!     count_changed: 0,
//!     a_frobenius: 1.5,
//!     delta_frobenius_relative: Some(0.0),
//!     delta_spectral_max: Some(0.0),
//!     delta_spectral_relative_max: Some(0.0),
//! };
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let mut tables = Tables::create(folder.join("results"), &[Format::Csv])?;
//! tables.stage(&[row], &Provenance::default())?;
//! let written = tables.finish()?;
//! let text = std::fs::read_to_string(&written[0])?;
//! assert!(text.ends_with("0,attn,0.0,,2,0,1.5,0.0,0.0,0.0\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod column;
mod error;
mod rows;
mod summaries;
mod write;

pub use column::{Cell, Row};
pub use error::Error;
pub use rows::{ComponentRow, LayerRow, LedgerRow, MatrixRow, SingularValueRow, SpectrumColumns};
pub use summaries::{ZeroDeltas, per_component, per_layer};
pub use write::{Format, Provenance, Tables};
