//! `create-datasets`: makes the texts to forget and to retain that models are measured on.

mod arguments;
mod summary;

use std::process::ExitCode;

use clap::Parser;
use cli::{Exit, run};
use pipeline::create_datasets;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run(
        arguments.talk.verbosity(),
        |progress, interrupt| {
            create_datasets(&arguments.options()?, &interrupt.hub(), progress, interrupt.flag())
        },
        |printer, made| {
            summary::print(printer, made);
            Exit::Done
        },
    )
}
