//! `plot-param-stats`: draws how the parameters of two language models differ.

mod arguments;

use std::process::ExitCode;

use clap::Parser;
use cli::{Exit, run, say_plotted};
use pipeline::plot_param_stats;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run(
        arguments.talk.verbosity(),
        |progress, interrupt| plot_param_stats(&arguments.options(), progress, interrupt.flag()),
        |printer, plotted| {
            say_plotted(printer, plotted);
            Exit::Done
        },
    )
}
