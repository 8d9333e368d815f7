//! What became of each step of a run.

use std::path::PathBuf;
use std::time::Duration;

use crate::{Error, Headlines};

/// How a step ended.
#[derive(Debug)]
pub enum StepStatus {
    /// It was done.
    Done,
    /// Its results were there already, made of the same inputs with the same options.
    Unchanged,
    /// It was not asked for; the results of an earlier run are used.
    Kept,
    /// It was not asked for, and there are no results that could be used.
    LeftOut {
        /// Why not.
        why: String,
    },
    /// It could not be done.
    Failed(Error),
    /// It needs the results of a step that could not be done.
    NotRun {
        /// That step.
        needs: String,
    },
}

impl StepStatus {
    /// Whether the step's results are there.
    #[must_use]
    pub const fn has_results(&self) -> bool {
        matches!(self, Self::Done | Self::Unchanged | Self::Kept)
    }
}

/// A step of a run.
#[derive(Debug)]
pub struct StepOutcome {
    /// What the step is about.
    pub name: String,
    /// How it ended.
    pub status: StepStatus,
    /// How long it took.
    pub duration: Duration,
    /// Its files, whether this run made them or an earlier one.
    pub outputs: Vec<PathBuf>,
    /// What could not be compared or measured, in words.
    pub gaps: Option<String>,
}

/// What [`run`](crate::run) did and found.
#[derive(Debug)]
pub struct RunOutcome {
    /// The folder that everything is in.
    pub outroot: PathBuf,
    /// The steps in the order they were taken.
    pub steps: Vec<StepOutcome>,
    /// The report, if it could be made.
    pub report: Option<PathBuf>,
    /// What was found, step by step, as far as there are results.
    pub headlines: Vec<Headlines>,
}

impl RunOutcome {
    /// True if every step that was asked for has results, and nothing that was read or made lacks anything.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.steps.iter().all(|step| match step.status {
            StepStatus::LeftOut { .. } => true,
            _ => step.status.has_results() && step.gaps.is_none(),
        })
    }

    /// True if any step that was asked for has results.
    #[must_use]
    pub fn has_results(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.status, StepStatus::Done | StepStatus::Unchanged))
    }
}
