//! One place that decides what is said on stderr.

use std::fmt::Display;
use std::io::Write;

/// How much a tool says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// Progress, warnings and a summary.
    Normal,
    /// Details too.
    Verbose,
}

impl Verbosity {
    /// From the flags `--quiet` and `--verbose`, of which at most one is given.
    #[must_use]
    pub const fn from_flags(quiet: bool, verbose: bool) -> Self {
        match (quiet, verbose) {
            (true, _) => Self::Quiet,
            (false, true) => Self::Verbose,
            (false, false) => Self::Normal,
        }
    }
}

/// Writes messages to stderr. A stderr that is closed is no reason to fail.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    verbosity: Verbosity,
}

impl Printer {
    /// A printer that says as much as asked for.
    #[must_use]
    pub const fn new(verbosity: Verbosity) -> Self {
        Self { verbosity }
    }

    /// How much it says.
    #[must_use]
    pub const fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// Says something unless quiet.
    pub fn say(&self, message: impl Display) {
        self.at(Verbosity::Normal, &message);
    }

    /// Warns unless quiet.
    pub fn warn(&self, message: impl Display) {
        self.at(Verbosity::Normal, &format_args!("warning: {message}"));
    }

    /// Says a detail if verbose.
    pub fn detail(&self, message: impl Display) {
        self.at(Verbosity::Verbose, &message);
    }

    fn at(self, level: Verbosity, message: &dyn Display) {
        if self.verbosity >= level {
            let _ = writeln!(std::io::stderr(), "{message}");
        }
    }
}

/// Text from a file, safe for a terminal: control characters, which could move the cursor or hide text, are escaped.
#[must_use]
pub fn escape(text: &str) -> String {
    if text.chars().any(char::is_control) { text.escape_debug().to_string() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(escape("layers.0.größe"), "layers.0.größe");
        assert_eq!(escape("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
    }
}
