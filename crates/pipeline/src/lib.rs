//! The tasks of model-diffs, each a plain function: the only place where checkpoints (`weights-io`), numerics
//! (`spectral`), hidden states (`activations`) and tables (`report`) meet.
//!
//! [`param_stats`] compares the parameters of two checkpoints and writes its tables; [`activation_norms`] does so for
//! the hidden states that models have of texts, which [`create_datasets`] makes of data sets. [`run`] does all that for
//! any number of pairs, draws pictures and makes a report, and does nothing twice. A task tells an [`Observer`] how it
//! goes on, stops soon after its `interrupted` flag is set, and leaves either complete output or none.
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//!
//! use pipeline::{Hub, ParamStatsOptions, param_stats};
//!
//! # let outdir = tempfile::tempdir()?;
//! # let outdir = outdir.path();
//! # let pair = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/pairs/neox");
//! let options = ParamStatsOptions::new(format!("{pair}/a"), format!("{pair}/b"), outdir);
//! let found = param_stats(&options, &Hub::default(), &(), &AtomicBool::new(false))?;
//! let changed = found.matrices.iter().filter(|row| row.changed_fraction > Some(0.0)).count();
//! assert_eq!((found.matrices.len(), changed), (13, 6));
//! assert!(found.folder.join("per_matrix.csv").exists());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//!
//! use pipeline::{ActivationNormsOptions, Hub, Models, Split, activation_norms};
//!
//! # let outdir = tempfile::tempdir()?;
//! # let outdir = outdir.path();
//! # let pair = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/activations/pair");
//! let models = Models::pair(format!("{pair}/a"), format!("{pair}/b"));
//! let retain = Split { name: "retain".into(), path: format!("{pair}/retain.txt").into() };
//! let options = ActivationNormsOptions::new(models, vec![retain], outdir);
//! let found = activation_norms(&options, &Hub::default(), &(), &AtomicBool::new(false))?;
//! // Block 0 is the same in both, block 1 is not.
//! let differs = found.differences.iter().find(|row| row.relative_difference_mean > Some(0.0));
//! assert_eq!(differs.map(|row| row.layer), Some(2));
//! assert!(found.folder.join("activation_diffs.csv").exists());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```
//! use std::sync::atomic::AtomicBool;
//!
//! use pipeline::{Hub, ModelPair, RunOptions, Split, StepStatus, run};
//!
//! # let outroot = tempfile::tempdir()?;
//! # let outroot = outroot.path();
//! # let pair = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/activations/pair");
//! let models = ModelPair::new(format!("{pair}/a"), format!("{pair}/b"));
//! let forget = Split { name: "forget".into(), path: format!("{pair}/forget.txt").into() };
//! let options = RunOptions::new(vec![models], vec![forget], outroot);
//! let outcome = run(&options, &Hub::default(), &(), &AtomicBool::new(false))?;
//! assert!(outcome.is_complete());
//! assert_eq!(outcome.report, Some(outroot.join("report.html")));
//! // The second time there is nothing left to do.
//! let again = run(&options, &Hub::default(), &(), &AtomicBool::new(false))?;
//! assert!(again.steps.iter().all(|step| matches!(step.status, StepStatus::Unchanged)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! ```
//! use pipeline::{DatasetsOptions, Hub, SampleSource, create_datasets};
//!
//! # let outdir = tempfile::tempdir()?;
//! # let outdir = outdir.path();
//! # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/datasets/formats");
//! let mut options = DatasetsOptions::new(outdir);
//! options.forget = Some(SampleSource { spec: format!("{folder}/texts.csv:text").parse()?, min_chars: 10 });
//! options.retain = None;
//! options.limit = Some(2);
//! create_datasets(&options, &Hub::default(), &(), &false.into())?;
//! let texts = std::fs::read_to_string(options.forget_text())?;
//! assert_eq!(texts, "return newline and return alone\nothers:          end\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod activation_layers;
mod activation_norms;
mod activation_options;
mod activation_rows;
mod activation_texts;
mod datasets;
mod device_queue;
mod devices;
mod error;
mod fingerprint;
mod forward_steps;
mod html_report;
mod journal;
mod ledger;
mod matrix_row;
mod memory;
mod merge;
mod observer;
mod pair_bytes;
mod param_options;
mod param_rows;
mod param_stats;
mod parts;
mod plots;
mod provenance;
mod resumption;
mod run;
mod setup;
mod share;
mod slurm;

pub use activation_norms::{ActivationNorms, activation_norms, check_activation_norms};
pub use activation_options::{ActivationNormsOptions, Models, Split};
pub use activation_texts::TextCounts;
pub use datasets::{
    DatasetRecord, DatasetSpec, Datasets, DatasetsOptions, RowCounts, SampleSource, create_datasets,
};
pub use devices::Devices;
pub use error::Error;
pub use html_report::{ComparisonTables, HtmlReportOptions, html_report};
pub use hub::{Hub, ModelReference};
pub use ledger::{COMPARED, NON_FINITE};
pub use merge::{merge_param_stats, take_over_param_stats};
pub use observer::{Observer, Side};
pub use param_options::ParamStatsOptions;
pub use param_stats::{ParamStats, param_stats};
pub use plots::{
    PictureFormat, PlotActivationNormsOptions, PlotParamStatsOptions, Plotted, plot_activation_norms,
    plot_param_stats,
};
pub use run::{
    Headlines, ModelPair, RunOptions, RunOutcome, RunSettings, StepKind, StepOutcome, StepStatus, run,
    write_config_template,
};
pub use share::Share;
pub use slurm::{SlurmFiles, SlurmOptions, SlurmSettings, SubmittedJob, check_sbatch, slurm, submit};

// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
