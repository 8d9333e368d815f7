//! Exit codes, and the one message of a failed run.

use std::io::Write;
use std::process::ExitCode;

use pipeline::Error;

use crate::{Interrupt, escape};

/// How a run that did its work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything was compared or measured: exit code 0.
    Done,
    /// Output was written, but something could not be compared or measured: exit code 1.
    Gaps,
    /// Nothing could be done: exit code 2.
    Nothing,
}

/// Exit code of bad usage or input; nothing was written then. The same as clap's.
const FAILED: u8 = 2;

/// The exit code of a run. An error is printed with its causes, outermost first, and a hint.
pub(crate) fn finish(result: Result<Exit, Error>, interrupt: &Interrupt) -> ExitCode {
    match result {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::Gaps) => ExitCode::from(1),
        Ok(Exit::Nothing) => ExitCode::from(FAILED),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{}", message(&error));
            let interrupted = matches!(
                error,
                Error::Interrupted | Error::ComparisonInterrupted { .. } | Error::RunInterrupted { .. }
            );
            ExitCode::from(if interrupted { interrupt.exit_code() } else { FAILED })
        }
    }
}

/// An error with its causes and a hint.
#[must_use]
pub fn message(error: &Error) -> String {
    let message = format!("error: {}", escape(&error.with_causes()));
    match error.hint().as_ref() {
        "" => message,
        hint => format!("{message}\nhint: {hint}"),
    }
}
