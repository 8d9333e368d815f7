//! `collect-param-stats`: compares the parameters of two language models, matrix by matrix.

mod arguments;
mod summary;

use std::process::ExitCode;

use cli::{Exit, Printer, run};
use pipeline::{ParamStats, merge_param_stats, param_stats};

use crate::arguments::{Command, Task};

fn main() -> ExitCode {
    match Task::parse() {
        Task::Compare(arguments) => run(
            arguments.run.verbosity(),
            |progress, interrupt| {
                param_stats(&arguments.options(), &interrupt.hub(), progress, interrupt.flag())
            },
            conclude,
        ),
        Task::Command(Command::Merge { folder, talk }) => run(
            talk.verbosity(),
            |progress, interrupt| merge_param_stats(&folder, progress, interrupt.flag()),
            conclude,
        ),
    }
}

fn conclude(printer: Printer, found: &ParamStats) -> Exit {
    summary::print(printer, found);
    if found.gaps().next().is_some() { Exit::Gaps } else { Exit::Done }
}
