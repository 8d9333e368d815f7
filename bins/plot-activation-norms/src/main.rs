//! `plot-activation-norms`: draws the activation norms of language models and how they differ.

mod arguments;

use std::process::ExitCode;

use clap::Parser;
use cli::{Exit, run, say_plotted};
use pipeline::plot_activation_norms;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run(
        arguments.talk.verbosity(),
        |progress, interrupt| plot_activation_norms(&arguments.options(), progress, interrupt.flag()),
        |printer, plotted| {
            say_plotted(printer, plotted);
            Exit::Done
        },
    )
}
