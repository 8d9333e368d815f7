//! The command line.

use std::path::PathBuf;

use clap::Parser;
use cli::{PictureArguments, TalkArguments};
use pipeline::PlotActivationNormsOptions;

const EXAMPLES: &str = "\
Examples:
  All pictures of a run; its table of differences is found beside the one given:
    plot-activation-norms --norms outputs/activation_norms/activation_norms.csv

  As PNG and as SVG, into another folder, under a title of one's own:
    plot-activation-norms --norms activation_norms.parquet --outdir figures --format png,svg \\
      --title \"Pythia 70M\"

  A table of the Python scripts:
    plot-activation-norms --csv outputs/activation_norms.csv --outdir plots

Pictures: activation_norms_<SPLIT> for each text, such as forget and retain, with a line a model;
with activation_diffs also activation_difference_norm, activation_norm_change, activation_cosine
and activation_relative_difference, with a line a text, for each pair of models. A picture whose
columns a table lacks is left out. The same tables give the same bytes on every machine.

Exit codes:
  0    done
  2    bad usage or input; nothing was written
  130  interrupted (143 by SIGTERM); nothing was written";

/// Draw the activation norms of language models, layer by layer, and how those of two models differ
///
/// From the tables of collect-activation-norms, as CSV or Parquet.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The table activation_norms
    #[arg(long, value_name = "FILE", visible_alias = "csv")]
    norms: PathBuf,

    /// The table activation_diffs [default: the one beside activation_norms, if there is one]
    #[arg(long, value_name = "FILE")]
    diffs: Option<PathBuf>,

    #[command(flatten)]
    pictures: PictureArguments,

    #[command(flatten)]
    pub(crate) talk: TalkArguments,
}

impl Arguments {
    /// The settings of the task.
    pub(crate) fn options(&self) -> PlotActivationNormsOptions {
        PlotActivationNormsOptions {
            norms: self.norms.clone(),
            differences: self.diffs.clone(),
            outdir: self.pictures.outdir(),
            title: self.pictures.title(),
            formats: self.pictures.formats(),
        }
    }
}
