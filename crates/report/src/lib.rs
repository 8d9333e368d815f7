//! Results of model comparisons as tables, as pictures and as a page to read.
//!
//! Rows are plain structs; one definition of each gives the CSV header and the Arrow schema. [`Tables`] writes a set of
//! tables as CSV and Parquet: complete and on disk under temporary names before the first takes its final name, so that
//! a reader never sees half a table. A value that is not defined is null, in CSV an empty field.
//!
//! Parameters: [`MatrixRow`], [`SingularValueRow`] and [`LedgerRow`] are filled in by the caller; [`per_layer`] and
//! [`per_component`] sum rows of matrices up to [`LayerRow`] and [`ComponentRow`].
//!
//! Activations: the caller has sums over tokens for each sample at each layer ([`TokenNorms`], and for two models
//! [`TokenDifferences`]). [`activation_norm_rows`], [`activation_difference_rows`], [`activation_summary_row`] and
//! [`sample_norm_rows`] make tables of them. Every mean over samples comes with a 95 % interval by [`Bootstrap`], which
//! resamples whole samples: texts were drawn independently, tokens were not. Tokens whose norm is not finite are in no
//! mean and have a column of their own.
//!
//! Reports: [`HtmlReport`] makes one self-contained page of tables, with charts and with what [`weight_findings`] and
//! [`activation_findings`] say in words.
//!
//! Pictures: [`param_stats_pictures`] and [`activation_pictures`] draw tables, also those of the Python scripts that had
//! fewer columns, as SVG and PNG that are the same bytes on every machine.
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
//!
//! ```
//! use report::{Bootstrap, LayerNorms, Site, TokenNorms, activation_norm_rows};
//!
//! // Two samples: three tokens with norms 1, 2 and 3; one token with norm 6.
//! let one = TokenNorms { tokens: 3, sum_l2: 6.0, min_l2: 1.0, max_l2: 3.0, ..TokenNorms::default() };
//! let other = TokenNorms { tokens: 1, sum_l2: 6.0, min_l2: 6.0, max_l2: 6.0, ..TokenNorms::default() };
//! let layer = LayerNorms { layer: 0, site: Site::Embed, samples: vec![one, other] };
//! let rows = activation_norm_rows("model", "retain", &[layer], &Bootstrap::new(2, 0));
//! assert_eq!(rows[0].norm_mean, Some(3.0));
//! assert_eq!((rows[0].norm_mean_lower, rows[0].norm_mean_upper), (Some(2.0), Some(6.0)));
//! ```

mod activation_difference_summaries;
mod activation_norm_summaries;
mod activation_rows;
mod activation_sums;
mod bootstrap;
mod column;
mod distinct;
mod error;
mod escape;
mod findings;
mod findings_activations;
mod findings_weights;
mod findings_words;
mod folder;
mod html;
mod labels;
mod plot;
mod read;
mod rows;
mod summaries;
mod words;
mod write;

pub use activation_difference_summaries::activation_difference_rows;
pub use activation_norm_summaries::{activation_norm_rows, activation_summary_row, sample_norm_rows};
pub use activation_rows::{ActivationDifferenceRow, ActivationNormRow, ActivationSummaryRow, SampleNormRow};
pub use activation_sums::{LayerDifferences, LayerNorms, Site, TokenDifferences, TokenNorms};
pub use bootstrap::Bootstrap;
pub use column::{Cell, Row};
pub use error::Error;
pub use findings::Finding;
pub use findings_activations::activation_findings;
pub use findings_weights::weight_findings;
pub use folder::OutputFolder;
pub use html::{Activations, Comparison, HtmlReport};
pub use labels::short_labels;
pub use plot::{Picture, activation_pictures, param_stats_pictures};
pub use read::Table;
pub use rows::{ComponentRow, LayerRow, LedgerRow, MatrixRow, SingularValueRow, SpectrumColumns};
pub use summaries::{ZeroDeltas, per_component, per_layer};
pub use write::{Format, Provenance, Tables, write_file};
