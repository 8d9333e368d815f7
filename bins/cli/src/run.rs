//! A tool from its parsed arguments to its exit code.

use std::process::ExitCode;

use pipeline::Error;

use crate::exit::finish;
use crate::{Exit, Interrupt, Printer, Progress, Verbosity};

/// Runs a task with progress and interruption. `conclude` says what was found, and how the run ended.
#[must_use]
pub fn run<T>(
    verbosity: Verbosity,
    task: impl FnOnce(&Progress, &Interrupt) -> Result<T, Error>,
    conclude: impl FnOnce(Printer, &T) -> Exit,
) -> ExitCode {
    let printer = Printer::new(verbosity);
    let interrupt = Interrupt::listen(printer);
    let progress = Progress::new(printer);
    let result = task(&progress, &interrupt);
    progress.clear();
    finish(result.map(|found| conclude(printer, &found)), &interrupt)
}
