//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use cli::{RunArguments, given_arguments, help_of_models};
use pipeline::{Error, RunOptions, StepKind};

use crate::settings::SettingsArguments;
use crate::slurm::SlurmCommand;

const EXAMPLES: &str = "\
Examples:
  See what it does, on three tiny models that come with the program:
    model-diffs --demo

  A model, one trained without some text, and one made to forget it:
    model-diffs run --base models/base --filtered models/filtered --unlearned models/unlearned \\
      --forget-text data/forget.txt --retain-text data/retain.txt

  The original experiment, with models and texts of the Hugging Face Hub:
    model-diffs run

  Settings in a file:
    model-diffs init run.toml
    model-diffs run --config run.toml";

const RUN: &str = "\
Examples:
  model-diffs run --base base --filtered filtered --unlearned unlearned \\
    --forget-text forget.txt --retain-text retain.txt
  model-diffs run --compare base=tuned --compare base=merged --outroot results
  model-diffs run --compare org/base=org/tuned@step-1000 --stream
  BASE=base UNLEARNED=unlearned model-diffs run --config run.toml

A model is a folder with config.json, tokenizer.json and weights (safetensors or PyTorch), or a
repository of the Hugging Face Hub.

{hub}

Without any model, this is the original experiment: EleutherAI/deep-ignorance-unfiltered against
EleutherAI/deep-ignorance-e2e-strong-filter and EleutherAI/deep-ignorance-unfiltered-cb-lat, and
without any text either, on the texts that create-datasets makes by default.

A setting is taken from the first of these that has it: flags, environment variables (BASE,
FILTERED, UNLEARNED, OUTROOT, DEVICE, DTYPE, FORGET_TEXT, RETAIN_TEXT; an empty one counts as not
set), the file of --config, defaults. With --compare, models that the environment or the file name
are not compared.

A step is left out if its results are there, made by this version with the same options from the
same inputs; so an interrupted run goes on where it stopped. <OUTROOT>/run-state.json keeps account.
Parts of a comparison that `collect-param-stats --shard` left in its folder are joined, if all are
there and of the same models and options.

Output in <OUTROOT>: report.html, plots/, param_stats/<A>__to__<B>/, activation_norms/.

Exit codes:
  0    done
  1    some step could not be done, or something could not be compared; the rest is there
  2    bad usage, settings or input; nothing could be done
  130  interrupted (143 by SIGTERM); finished steps are kept";

/// Compare language models: parameters, hidden states, pictures, and one report
///
/// What does training without a text change in a model, and what does making it forget? This program runs the whole
/// comparison: how much each matrix moved and how complex the change is, how hidden states moved on texts to forget
/// and to retain, pictures of both, and a report in one HTML file.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, after_long_help = EXAMPLES)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    arg_required_else_help = true
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) demo: DemoArguments,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Compare three tiny models that come with this program
    #[arg(long, required = true)]
    demo: bool,

    /// Folder for the demo's models and results
    #[arg(long, value_name = "DIR", default_value = "outputs/demo")]
    outdir: PathBuf,

    /// Do every step, also those whose results are there
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    pub(crate) run: RunArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Compare models of your own
    Run(Box<RunCommand>),

    /// Compare models of your own on a Slurm cluster
    Slurm(Box<SlurmCommand>),

    /// Write a file of all settings, to edit and to give to `run --config`
    Init {
        /// The file
        #[arg(default_value = "run.toml")]
        file: PathBuf,

        /// Overwrite it if it is there
        #[arg(long)]
        force: bool,
    },

    /// Print completions for a shell
    ///
    /// For example, in ~/.bashrc: source <(model-diffs completions bash)
    Completions {
        /// The shell
        shell: Shell,
    },

    /// Print the man page, or write the pages of all commands into a folder
    Man {
        /// The folder
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
}

/// Compare models of your own
///
/// Compares the parameters of each pair of models and their hidden states on texts, draws pictures, and writes one
/// report. Without texts, hidden states are left out.
#[derive(Debug, Args)]
#[command(after_help = help_of_models(RUN), after_long_help = help_of_models(RUN))]
pub(crate) struct RunCommand {
    #[command(flatten)]
    settings: SettingsArguments,

    /// Do these steps only, separated by commas; of the others, what an earlier run left is used
    #[arg(long, value_name = "STEP", value_enum, value_delimiter = ',')]
    steps: Vec<StepName>,

    /// Do every step, also those whose results are there
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    pub(crate) run: RunArguments,
}

/// A kind of step as users give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StepName {
    /// Make the texts of the original experiment
    Texts,
    /// Download models that are neither on disk nor streamed; other steps do so themselves
    Models,
    /// Compare the parameters of each pair
    Parameters,
    /// Measure hidden states
    HiddenStates,
    /// Draw pictures of both
    Pictures,
    /// Make the report, of what there is
    Report,
}

impl StepName {
    const fn kind(self) -> StepKind {
        match self {
            Self::Texts => StepKind::Texts,
            Self::Models => StepKind::Models,
            Self::Parameters => StepKind::Parameters,
            Self::HiddenStates => StepKind::HiddenStates,
            Self::Pictures => StepKind::Pictures,
            Self::Report => StepKind::Report,
        }
    }
}

impl DemoArguments {
    /// The demo's models are put into place first.
    pub(crate) fn options(&self) -> Result<RunOptions, Error> {
        let mut options = RunOptions::demo(&self.outdir)?;
        options.force = self.force;
        options.threads = self.run.threads();
        options.arguments = given_arguments();
        Ok(options)
    }
}

impl RunCommand {
    /// The settings of the run.
    pub(crate) fn options(&self) -> Result<RunOptions, Error> {
        let mut options = self.settings.given(self.run.threads())?.options()?;
        options.steps = self.steps.iter().map(|step| step.kind()).collect();
        options.force = self.force;
        options.arguments = given_arguments();
        Ok(options)
    }
}
