//! The command line.

use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use cli::{FormatArguments, RunArguments, StreamArguments, TalkArguments, given_arguments, help_of_models};
use pipeline::{Devices, Error, ModelReference, ParamStatsOptions, Share};
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

  Eight machines of a Slurm cluster, each a part, and then the tables:
    sbatch --array=0-7 --wrap \\
      'collect-param-stats --model-a base --model-b tuned --shard slurm --resume'
    collect-param-stats merge outputs/param_stats/base__to__tuned

  A pod of a Kubernetes job with completionMode Indexed and 8 completions:
    collect-param-stats --model-a base --model-b tuned --shard $JOB_COMPLETION_INDEX/8 --resume

A model is a folder with model.safetensors(.index.json) or pytorch_model.bin(.index.json), a single
weight file, or a repository of the Hugging Face Hub.

{hub}

Output: per_matrix, per_layer, per_component, ledger and, where asked for, singular_values as CSV
and Parquet in <OUTDIR>/<A>__to__<B>/.

Finished matrices are kept in param_stats.journal in that folder until the tables are there. If a
run was stopped, by whatever, the same command with --resume goes on from there.

With --shard, the tables of the part are in parts/<I>-of-<N> in that folder, for merge.

Exit codes:
  0    done
  1    done, but some tensors could not be compared; the ledger lists them
  2    bad usage or input; no table was written
  130  interrupted (143 by SIGTERM); no table was written";

const MERGE: &str = "\
Example:
  collect-param-stats merge outputs/param_stats/base__to__tuned

All parts have to be there, from the same command: same version, models, options and number of
parts. What is missing or differs is named. The tables are those of one machine that does it all,
to the byte if all machines have the same instructions. The parts stay; parts/ can be removed then.

Exit codes are those of a comparison.";

/// Compare the parameters of two language models, matrix by matrix
///
/// For each linear layer: Frobenius norm, spectral norm and stable rank of W (model A), Wb (model B) and
/// dW = Wb - W, how similar the two are, and how many entries changed. Spectral norms and stable ranks come with
/// certified bounds. Models are read tensor by tensor, never loaded whole.
#[derive(Debug, Parser)]
#[command(version, after_help = help_of_models(EXAMPLES), after_long_help = help_of_models(EXAMPLES))]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    disable_help_subcommand = true
)]
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

    /// Name of the folder for this comparison in there [default: A__to__B]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

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

    /// Only part I (from 0 to N-1) of N, equal in bytes, for `merge` to join; or `slurm`, for the part that is this task's
    /// in a job array (SLURM_ARRAY_TASK_ID)
    #[arg(long, value_name = "I/N", value_parser = shard)]
    shard: Option<Share>,

    /// Where to compare: auto, cpu, metal, cuda, cuda:N, several GPUs as in cuda:0,cuda:1, or cuda:all; auto takes the
    /// first GPU, if there is one that this program was built for
    #[arg(long, value_name = "DEVICES", default_value_t = Devices::default())]
    device: Devices,

    #[command(flatten)]
    formats: FormatArguments,

    /// Seed of the random start vectors
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    #[command(flatten)]
    pub(crate) run: RunArguments,
}

/// What the tool is asked for.
pub(crate) enum Task {
    Compare(Box<Arguments>),
    Command(Command),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Join the parts of a comparison that was done with --shard
    ///
    /// Writes the tables of the whole comparison, each complete or not at all.
    #[command(after_help = MERGE, after_long_help = MERGE)]
    Merge {
        /// The folder of the comparison, OUTDIR/A__to__B
        #[arg(value_name = "DIR")]
        folder: PathBuf,

        #[command(flatten)]
        talk: TalkArguments,
    },
}

impl Task {
    /// Of the command line; ends the process where that makes no sense. A struct with both would have to do without the
    /// arguments of a comparison where there is a command, which clap does not derive.
    pub(crate) fn parse() -> Self {
        let matches = Command::augment_subcommands(Arguments::command()).get_matches();
        let task = match matches.subcommand() {
            Some(_) => Command::from_arg_matches(&matches).map(Self::Command),
            None => Arguments::from_arg_matches(&matches).map(|arguments| Self::Compare(Box::new(arguments))),
        };
        task.unwrap_or_else(|error| error.exit())
    }
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

fn shard(text: &str) -> Result<Share, String> {
    let share = match text {
        "slurm" => Share::of_slurm(|name| std::env::var(name).ok()),
        text => text.parse(),
    };
    share.map_err(|error: Error| format!("{error}; {}", error.hint()))
}

/// The command line without what tables do not depend on: those of a resumed run are those of one that was never
/// stopped, and those of parts, once merged, are those of one machine.
fn arguments_of_tables(given: Vec<String>) -> Vec<String> {
    let mut kept = Vec::with_capacity(given.len());
    let mut given = given.into_iter();
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--resume" => {}
            "--shard" => drop(given.next()),
            text if text.starts_with("--shard=") => {}
            _ => kept.push(argument),
        }
    }
    kept
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
        options.devices = self.device.clone();
        options.threads = self.run.threads();
        options.formats = self.formats.formats();
        options.zero_deltas = match self.zero_deltas {
            Zeros::Exclude => ZeroDeltas::Exclude,
            Zeros::Include => ZeroDeltas::Include,
        };
        options.resume = self.resume;
        options.name.clone_from(&self.name);
        options.share = self.shard;
        options.arguments = arguments_of_tables(given_arguments());
        options
    }
}
