//! The whole pipeline: parameters and hidden states of all pairs, pictures, and one report.
//!
//! `settings` come from flags, environment and `config_file`, and become `options`. `plan` makes steps of them; `execution`
//! takes them one by one, `work` knows what each reads and does, `state` whether it was done before.

mod config_file;
mod demo;
mod execution;
mod headlines;
mod options;
mod outcome;
mod plan;
mod setting_values;
mod settings;
mod state;
mod step_kind;
mod work;

pub use config_file::write_config_template;
pub use execution::run;
pub use headlines::Headlines;
pub use options::{ModelPair, RunOptions};
pub use outcome::{RunOutcome, StepOutcome, StepStatus};
pub use settings::RunSettings;
pub use step_kind::StepKind;

pub(crate) use plan::{Plan, PlannedPair};
pub(crate) use setting_values::{selection_name, zero_deltas_name};
pub(crate) use settings::VARIABLES;
