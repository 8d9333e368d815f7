//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use cli::{FormatArguments, RunArguments, StreamArguments, given_arguments, help_of_models};
use pipeline::{ModelReference, ParamStatsOptions};
use report::ZeroDeltas;
use spectral::{Certification, Method, Operators};
use weights_io::Selection;

const EXAMPLES: &str = "\
Examples:
  Compare a model with its fine-tuned successor:
    collect-param-stats --model-a models/base --model-b models/tuned

  One weight file against another, CSV only, into another folder:
    collect-param-stats --model-a a.safetensors --model-b b.bin --format csv --outdir results

  Two models of the Hugging Face Hub, the second at a branch, without storing them:
    collect-param-stats --model-a org/base --model-b org/tuned@step-1000 --stream

  The ten largest singular values of each matrix, with bounds, and how the top subspaces turned:
    collect-param-stats --model-a base --model-b tuned --top-k 10

  As the Python scripts computed it:
    collect-param-stats --model-a base --model-b tuned --sr-iters 5 --zero-deltas include

A model is a folder with model.safetensors(.index.json) or pytorch_model.bin(.index.json), a single
weight file, or a repository of the Hugging Face Hub.

{hub}

Output: per_matrix, per_layer, per_component, ledger and, where asked for, singular_values as CSV
and Parquet in <OUTDIR>/<A>__to__<B>/.

Finished matrices are kept in param_stats.journal in that folder until the tables are there. If a
run was stopped, by whatever, the same command with --resume goes on from there.

Exit codes:
  0    done
  1    done, but some tensors could not be compared; the ledger lists them
  2    bad usage or input; no table was written
  130  interrupted (143 by SIGTERM); no table was written";

/// Compare the parameters of two language models, matrix by matrix
///
/// For each linear layer: Frobenius norm, spectral norm and stable rank of W (model A), Wb (model B) and
/// dW = Wb - W, how similar the two are, and how many entries changed. Spectral norms and stable ranks come with
/// certified bounds. Models are read tensor by tensor, never loaded whole.
#[derive(Debug, Parser)]
#[command(version, after_help = help_of_models(EXAMPLES), after_long_help = help_of_models(EXAMPLES))]
pub(crate) struct Arguments {
    /// Baseline: a folder with weights, a weight file, or a repository of the Hugging Face Hub
    #[arg(long, value_name = "MODEL")]
    model_a: ModelReference,

    /// Changed model, of the same architecture
    #[arg(long, value_name = "MODEL")]
    model_b: ModelReference,

    #[command(flatten)]
    stream: StreamArguments,

    /// Folder for the results
    #[arg(long, value_name = "DIR", default_value = "outputs/param_stats")]
    outdir: PathBuf,

    /// Which parameters are compared
    #[arg(long, value_enum, default_value_t = Include::Linear)]
    include: Include,

    /// Relative width of the interval of each spectral norm, 1e-6 to 1
    #[arg(long, value_name = "WIDTH", default_value = "1e-4")]
    tolerance: f64,

    /// Probability that any interval of the run misses the truth, up to 0.5
    #[arg(long, value_name = "P", default_value = "1e-9")]
    failure_probability: f64,

    /// Most reads of a matrix for its spectral norms; if they run out, its interval stays wider
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_passes: u32,

    /// Matrices whose spectral norms and stable ranks are computed, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_value = "delta,a,b")]
    operators: Vec<OperatorName>,

    /// Also the K largest singular values, up to 64, and how far the top subspaces of W and Wb agree
    #[arg(long, value_name = "K", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=64))]
    top_k: u8,

    /// Also all singular values of matrices whose shorter side is at most 2048 and that have at most 2^25 elements,
    /// with nuclear norm, empirical rank and elbow; takes up to 600 MiB for each of dW, W and Wb
    #[arg(long)]
    full_spectrum: bool,

    /// Instead: N power iterations, as the Python scripts did (an estimate from below, without bounds)
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=100_000),
        conflicts_with_all = ["tolerance", "failure_probability", "max_passes", "top_k", "full_spectrum"]
    )]
    sr_iters: Option<u32>,

    /// How unchanged matrices enter a layer's mean stable rank
    #[arg(long, value_enum, default_value_t = Zeros::Exclude)]
    zero_deltas: Zeros,

    /// Go on where an earlier run into the same folder was stopped, if models and numerics are the same; without it, the
    /// run starts anew
    #[arg(long)]
    resume: bool,

    #[command(flatten)]
    formats: FormatArguments,

    /// Seed of the random start vectors
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    #[command(flatten)]
    pub(crate) run: RunArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Include {
    /// Matrices of linear layers: no embedding, norm, bias or position table
    Linear,
    /// Every two-dimensional tensor, whatever its name
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OperatorName {
    /// dW = Wb - W
    Delta,
    /// W, of model A
    A,
    /// Wb, of model B
    B,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Zeros {
    /// Left out: a zero matrix has no stable rank
    Exclude,
    /// As 0, as the Python scripts did
    Include,
}

impl Arguments {
    /// The settings of the task.
    pub(crate) fn options(&self) -> ParamStatsOptions {
        let mut options = ParamStatsOptions::new(&self.model_a, &self.model_b, &self.outdir);
        options.stream = self.stream.stream();
        options.selection = match self.include {
            Include::Linear => Selection::Linear,
            Include::All => Selection::AllMatrices,
        };
        options.numerics.method = match self.sr_iters {
            Some(iterations) => Method::PowerIteration { iterations },
            None => Method::Certified(Certification {
                tolerance: self.tolerance,
                failure_probability: self.failure_probability,
                max_passes: self.max_passes,
            }),
        };
        let wants = |name| self.operators.contains(&name);
        options.numerics.operators = Operators {
            a: wants(OperatorName::A),
            b: wants(OperatorName::B),
            delta: wants(OperatorName::Delta),
        };
        options.numerics.top_k = usize::from(self.top_k);
        options.numerics.full_spectrum = self.full_spectrum;
        options.numerics.seed = self.seed;
        options.threads = self.run.threads();
        options.formats = self.formats.formats();
        options.zero_deltas = match self.zero_deltas {
            Zeros::Exclude => ZeroDeltas::Exclude,
            Zeros::Include => ZeroDeltas::Include,
        };
        options.resume = self.resume;
        // Tables of a resumed run are those of one that was never stopped.
        options.arguments = given_arguments().into_iter().filter(|argument| argument != "--resume").collect();
        options
    }
}
