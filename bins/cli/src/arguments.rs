//! Arguments that every tool has.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use report::Format;

use crate::Verbosity;

/// The text below the options of a tool that takes models, with what is said of those on the Hub in the place of `{hub}`.
#[must_use]
pub fn help_of_models(text: &str) -> String {
    text.replace("{hub}", HUB)
}

const HUB: &str = "\
A repository of the Hugging Face Hub is named org/name, org/name@revision or hf://org/name; what
exists as a path is taken as one. It is taken from the cache that Python's libraries use, or
downloaded into it, unless --stream is given. HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_ENDPOINT and
HF_HUB_OFFLINE mean what they mean there.";

// No doc comments on these structs: clap would take them for what the tool is about.
#[allow(missing_docs)]
#[derive(Debug, Args)]
pub struct FormatArguments {
    /// File formats of the tables, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "csv,parquet")]
    format: Vec<TableFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TableFormat {
    Csv,
    Parquet,
}

impl FormatArguments {
    /// The formats, each once.
    #[must_use]
    pub fn formats(&self) -> Vec<Format> {
        each_once(self.format.iter().map(|format| match format {
            TableFormat::Csv => Format::Csv,
            TableFormat::Parquet => Format::Parquet,
        }))
    }
}

#[allow(missing_docs)]
#[derive(Debug, Args)]
pub struct RunArguments {
    /// Threads; the results do not depend on it [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    threads: Option<u16>,

    #[command(flatten)]
    talk: TalkArguments,
}

impl RunArguments {
    /// The number of threads; 0 for one a core.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads.map_or(0, usize::from)
    }

    /// How much the tool says.
    #[must_use]
    pub const fn verbosity(&self) -> Verbosity {
        self.talk.verbosity()
    }
}

#[allow(missing_docs)]
#[derive(Debug, Args)]
pub struct StreamArguments {
    /// Read models of the Hub from there, piece by piece, and store nothing
    #[arg(long)]
    stream: bool,
}

impl StreamArguments {
    /// Whether models that are not on disk are read from where they are.
    #[must_use]
    pub const fn stream(&self) -> bool {
        self.stream
    }
}

#[allow(missing_docs)]
#[derive(Debug, Args)]
pub struct TalkArguments {
    /// Say nothing but errors
    #[arg(long, short, conflicts_with = "verbose")]
    quiet: bool,

    /// Say more
    #[arg(long, short)]
    verbose: bool,
}

impl TalkArguments {
    /// How much the tool says.
    #[must_use]
    pub const fn verbosity(&self) -> Verbosity {
        Verbosity::from_flags(self.quiet, self.verbose)
    }
}

pub(crate) fn each_once<T: PartialEq>(given: impl Iterator<Item = T>) -> Vec<T> {
    let mut once = Vec::new();
    for value in given {
        if !once.contains(&value) {
            once.push(value);
        }
    }
    once
}

/// A name and a file, divided by the first `=`.
///
/// # Errors
/// What to give instead.
pub fn named_file(argument: &str) -> Result<(String, PathBuf), String> {
    match argument.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.to_owned(), path.into())),
        _ => Err("give a name and a file, as in code=code.txt".to_owned()),
    }
}

/// The command line as it was given, for the provenance.
#[must_use]
pub fn given_arguments() -> Vec<String> {
    std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect()
}
