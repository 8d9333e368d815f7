//! The tasks of model-diffs, each a plain function: the only place where checkpoints (`weights-io`), numerics
//! (`spectral`) and tables (`report`) meet.
//!
//! [`param_stats`] compares the parameters of two checkpoints and writes its tables. A task tells an [`Observer`] how
//! it goes on, stops soon after its `interrupted` flag is set, and leaves either complete output or none.
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//!
//! use pipeline::{ParamStatsOptions, param_stats};
//!
//! # let outdir = tempfile::tempdir()?;
//! # let outdir = outdir.path();
//! # let pair = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/pairs/neox");
//! let options = ParamStatsOptions::new(format!("{pair}/a"), format!("{pair}/b"), outdir);
//! let found = param_stats(&options, &(), &AtomicBool::new(false))?;
//! let changed = found.matrices.iter().filter(|row| row.changed_fraction > Some(0.0)).count();
//! assert_eq!((found.matrices.len(), changed), (13, 6));
//! assert!(found.folder.join("per_matrix.csv").exists());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod ledger;
mod matrix_row;
mod observer;
mod param_stats;
mod provenance;

pub use error::Error;
pub use ledger::{COMPARED, NON_FINITE};
pub use observer::{Observer, Side};
pub use param_stats::{ParamStats, ParamStatsOptions, param_stats};
