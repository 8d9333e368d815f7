//! `collect-param-stats`: compares the parameters of two language models, matrix by matrix.

mod arguments;
mod summary;

use std::process::ExitCode;

use clap::Parser;
use cli::{Exit, Interrupt, Printer, Progress, Verbosity, finish};
use pipeline::param_stats;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let printer = Printer::new(Verbosity::from_flags(arguments.quiet, arguments.verbose));
    let interrupt = match Interrupt::listen() {
        Ok(interrupt) => interrupt,
        Err(error) => {
            printer.warn(format_args!("Ctrl-C ends this run without cleaning up: {error}"));
            Interrupt::default()
        }
    };
    let progress = Progress::new(printer);
    let result = param_stats(&arguments.options(), &progress, interrupt.flag());
    progress.clear();
    finish(
        result.map(|found| {
            summary::print(printer, &found);
            if found.gaps().next().is_some() { Exit::Gaps } else { Exit::Done }
        }),
        &interrupt,
    )
}
