//! `collect-activation-norms`: measures the hidden states of language models on texts, layer by layer.

mod arguments;
mod summary;

use std::process::ExitCode;

use clap::Parser;
use cli::{Exit, run};
use pipeline::activation_norms;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run(
        arguments.run.verbosity(),
        |progress, interrupt| {
            activation_norms(&arguments.options(), &interrupt.hub(), progress, interrupt.flag())
        },
        |printer, found| {
            summary::print(printer, found);
            if found.non_finite().next().is_some() { Exit::Gaps } else { Exit::Done }
        },
    )
}
