//! `model-diffs`: compares language models in one command.

mod arguments;
mod documents;
mod settings;
mod slurm;
mod summary;

use std::process::ExitCode;

use clap::Parser;
use cli::{Exit, Printer, Verbosity, run};
use pipeline::{Error, RunOptions, RunOutcome, write_config_template};

use crate::arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        None => pipeline(arguments.demo.run.verbosity(), || arguments.demo.options()),
        Some(Command::Run(command)) => pipeline(command.run.verbosity(), || command.options()),
        Some(Command::Slurm(command)) => command.perform(),
        Some(Command::Init { file, force }) => run(
            Verbosity::Normal,
            |_, _| write_config_template(&file, force),
            |printer, ()| {
                let file = cli::escape(&file.to_string_lossy());
                printer.say(format_args!("edit {file}, then: model-diffs run --config {file}"));
                Exit::Done
            },
        ),
        Some(Command::Completions { shell }) => documents::print_completions(shell),
        Some(Command::Man { folder: None }) => documents::print_man_page(),
        Some(Command::Man { folder: Some(folder) }) => {
            run(Verbosity::Normal, |_, _| documents::write_man_pages(&folder), |_, ()| Exit::Done)
        }
    }
}

fn pipeline(verbosity: Verbosity, options: impl FnOnce() -> Result<RunOptions, Error>) -> ExitCode {
    run(
        verbosity,
        |progress, interrupt| pipeline::run(&options()?, &interrupt.hub(), progress, interrupt.flag()),
        conclude,
    )
}

fn conclude(printer: Printer, outcome: &RunOutcome) -> Exit {
    summary::print(printer, outcome);
    match (outcome.is_complete(), outcome.has_results()) {
        (true, _) => Exit::Done,
        (false, true) => Exit::Gaps,
        (false, false) => Exit::Nothing,
    }
}
