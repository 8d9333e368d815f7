//! What clap knows of this program, for shells and for `man`.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use pipeline::Error;
use report::Tables;

use crate::arguments::Arguments;

pub(crate) fn print_completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "model-diffs", &mut script);
    print(&script)
}

pub(crate) fn print_man_page() -> ExitCode {
    print(&page(Arguments::command()))
}

/// One page for the program and one for each of its commands.
pub(crate) fn write_man_pages(folder: &Path) -> Result<(), Error> {
    let mut program = Arguments::command().disable_help_subcommand(true);
    program.build(); // gives commands their full names
    let commands = program.get_subcommands().cloned().collect::<Vec<_>>();
    let written = Tables::create(folder, &[]).and_then(|mut files| {
        for command in std::iter::once(program).chain(commands) {
            let name = command.get_display_name().unwrap_or("model-diffs").to_owned();
            files.stage_file(&format!("{name}.1"), &page(command))?;
        }
        files.finish()
    });
    written.map(drop).map_err(|source| Error::Tables { source })
}

fn page(command: Command) -> Vec<u8> {
    let mut page = Vec::new();
    // Nothing can go wrong in memory.
    let _ = Man::new(command).render(&mut page);
    page
}

fn print(bytes: &[u8]) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        // Who reads the beginning only has what they want.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let _ = writeln!(std::io::stderr(), "error: cannot write to stdout: {error}");
            ExitCode::from(2)
        }
        _ => ExitCode::SUCCESS,
    }
}
