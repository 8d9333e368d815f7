//! The command line.

use std::path::PathBuf;

use clap::Parser;
use cli::{PictureArguments, TalkArguments};
use pipeline::PlotParamStatsOptions;

const EXAMPLES: &str = "\
Examples:
  All pictures of a comparison; the other tables of the same run are found beside the one given:
    plot-param-stats --per-layer outputs/param_stats/base__to__tuned/per_layer.csv

  As PNG and as SVG, into another folder, under a title of one's own:
    plot-param-stats --per-layer per_layer.parquet --outdir figures --format png,svg \\
      --title \"Pythia 70M after unlearning\"

  A table of the Python scripts:
    plot-param-stats --per-layer-csv outputs/per_layer.csv --outdir plots

Pictures: layer_locality_{attn,mlp}, stable_rank_{attn,mlp}, relative_frobenius and
relative_spectral_norm; with per_matrix the intervals and single values of stable ranks, and
relative_change_heatmap; with singular_values (collect-param-stats --top-k or --full-spectrum)
delta_spectra_{attn,mlp}. A picture whose columns a table lacks is left out. The same tables
give the same bytes on every machine.

Exit codes:
  0    done
  2    bad usage or input; nothing was written
  130  interrupted (143 by SIGTERM); nothing was written";

/// Draw how the parameters of two language models differ, layer by layer
///
/// From the tables of collect-param-stats, as CSV or Parquet: where the weights changed, how much, and of what rank the
/// change is.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The table per_layer
    #[arg(long, value_name = "FILE", visible_alias = "per-layer-csv")]
    per_layer: PathBuf,

    /// The table per_matrix [default: the one beside per_layer, if there is one]
    #[arg(long, value_name = "FILE")]
    per_matrix: Option<PathBuf>,

    /// The table singular_values [default: the one beside per_layer, if there is one]
    #[arg(long, value_name = "FILE")]
    singular_values: Option<PathBuf>,

    #[command(flatten)]
    pictures: PictureArguments,

    #[command(flatten)]
    pub(crate) talk: TalkArguments,
}

impl Arguments {
    /// The settings of the task.
    pub(crate) fn options(&self) -> PlotParamStatsOptions {
        PlotParamStatsOptions {
            per_layer: self.per_layer.clone(),
            per_matrix: self.per_matrix.clone(),
            singular_values: self.singular_values.clone(),
            outdir: self.pictures.outdir(),
            title: self.pictures.title(),
            formats: self.pictures.formats(),
        }
    }
}
