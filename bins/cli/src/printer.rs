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

/// Bytes after which a text is cut.
const LONGEST: usize = 5000;

/// Text from a file, safe for a terminal: what could move the cursor, hide text or turn it around is escaped, and what
/// would fill the screen is cut.
#[must_use]
pub fn escape(text: &str) -> String {
    const PLAIN: [char; 3] = ['"', '\'', '\\'];
    let cut = &text[..text.floor_char_boundary(LONGEST)];
    let mut escaped = String::with_capacity(cut.len());
    for piece in cut.split_inclusive(PLAIN) {
        let text = piece.trim_end_matches(PLAIN);
        escaped.extend(text.escape_debug());
        escaped.push_str(&piece[text.len()..]);
    }
    if cut.len() < text.len() {
        escaped.push('…');
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(escape("layers.0.größe"), "layers.0.größe");
        assert_eq!(escape("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(escape("gro\u{308}ße 'a' \"b\" \\ 数"), "gro\u{308}ße 'a' \"b\" \\ 数", "as it is");
        assert_eq!(
            escape("\u{202e}fdp.\u{2066}exe\u{feff}\u{7f}\u{9b}"),
            r"\u{202e}fdp.\u{2066}exe\u{feff}\u{7f}\u{9b}"
        );
        let long = escape(&"é".repeat(100_000));
        assert!(long.ends_with("é…") && long.len() < LONGEST + 4);
    }
}
