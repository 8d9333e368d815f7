//! `collect-param-stats`: compares the parameters of two language models, matrix by matrix.

mod arguments;
mod summary;

use std::process::ExitCode;

use clap::Parser;
use cli::{Exit, run};
use pipeline::param_stats;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run(
        arguments.run.verbosity(),
        |progress, interrupt| param_stats(&arguments.options(), &interrupt.hub(), progress, interrupt.flag()),
        |printer, found| {
            summary::print(printer, found);
            if found.gaps().next().is_some() { Exit::Gaps } else { Exit::Done }
        },
    )
}
