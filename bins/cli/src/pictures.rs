//! What the tools that draw pictures share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pipeline::{PictureFormat, Plotted};

use crate::arguments::each_once;
use crate::{Printer, counted, escape};

// No doc comment on the struct: clap would take it for what the tool is about.
#[allow(missing_docs)]
#[derive(Debug, Args)]
pub struct PictureArguments {
    /// Folder for the pictures
    #[arg(long, value_name = "DIR", default_value = "plots")]
    outdir: PathBuf,

    /// Stands below the title of each picture [default: the models, where the tables name them]
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,

    /// File formats of the pictures, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "png")]
    format: Vec<PictureFormatName>,
}

/// A file format of pictures as users give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PictureFormatName {
    /// 300 pixels an inch
    Png,
    /// Lines and areas; text is outlines, the same everywhere
    Svg,
}

impl PictureArguments {
    /// The folder for the pictures.
    #[must_use]
    pub fn outdir(&self) -> PathBuf {
        self.outdir.clone()
    }

    /// The title, if one was given.
    #[must_use]
    pub fn title(&self) -> Option<String> {
        self.title.clone()
    }

    /// The formats, each once.
    #[must_use]
    pub fn formats(&self) -> Vec<PictureFormat> {
        PictureFormatName::formats(&self.format)
    }
}

impl PictureFormatName {
    /// The formats, each once.
    #[must_use]
    pub fn formats(given: &[Self]) -> Vec<PictureFormat> {
        each_once(given.iter().map(|format| match format {
            Self::Png => PictureFormat::Png,
            Self::Svg => PictureFormat::Svg,
        }))
    }
}

/// Says which files were written, and which tables were taken without being asked for.
pub fn say_plotted(printer: Printer, plotted: &Plotted) {
    for table in &plotted.found {
        printer.say(format_args!("also drawn: {}, found beside it", escape(&table.to_string_lossy())));
    }
    for file in &plotted.files {
        printer.say(format_args!("  {}", escape(&file.file_name().unwrap_or_default().to_string_lossy())));
    }
    let count = counted(plotted.files.len(), "picture");
    printer.say(format_args!("{count}: {}", escape(&plotted.folder.to_string_lossy())));
}
