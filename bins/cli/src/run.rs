//! A tool from its parsed arguments to its exit code.

use std::process::ExitCode;

use pipeline::Error;

use crate::{Exit, Interrupt, Printer, Progress, Verbosity, finish};

/// Runs a task with progress and interruption. `conclude` says what was found, and how the run ended.
#[must_use]
pub fn run<T>(
    verbosity: Verbosity,
    task: impl FnOnce(&Progress, &Interrupt) -> Result<T, Error>,
    conclude: impl FnOnce(Printer, &T) -> Exit,
) -> ExitCode {
    let printer = Printer::new(verbosity);
    let interrupt = match Interrupt::listen() {
        Ok(interrupt) => interrupt,
        Err(error) => {
            printer.warn(format_args!("Ctrl-C ends this run without cleaning up: {error}"));
            Interrupt::default()
        }
    };
    let progress = Progress::new(printer);
    let result = task(&progress, &interrupt);
    progress.clear();
    finish(result.map(|found| conclude(printer, &found)), &interrupt)
}
