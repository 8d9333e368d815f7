//! The command line.

use std::path::PathBuf;

use activations::{DeviceChoice, DtypeChoice};
use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use cli::{PictureFormatName, RunArguments, StreamArguments, given_arguments, help_of_models, named_file};
use pipeline::{Error, ModelPair, ModelReference, RunOptions, RunSettings};

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
    /// Baseline: a folder, or a repository of the Hugging Face Hub [env: BASE]
    #[arg(long, value_name = "MODEL")]
    base: Option<ModelReference>,

    /// Model trained without the text to forget [env: FILTERED]
    #[arg(long, value_name = "MODEL")]
    filtered: Option<ModelReference>,

    /// Model made to forget that text [env: UNLEARNED]
    #[arg(long, value_name = "MODEL")]
    unlearned: Option<ModelReference>,

    /// Any baseline and changed model; may be given more than once
    #[arg(long, value_name = "A=B", value_parser = pair)]
    compare: Vec<ModelPair>,

    #[command(flatten)]
    stream: StreamArguments,

    /// Text to forget, one sample a line [env: FORGET_TEXT]
    #[arg(long, value_name = "FILE")]
    forget_text: Option<PathBuf>,

    /// Text to retain [env: RETAIN_TEXT]
    #[arg(long, value_name = "FILE")]
    retain_text: Option<PathBuf>,

    /// Text under another name; may be given more than once
    #[arg(long, value_name = "NAME=FILE", value_parser = named_file)]
    split: Vec<(String, PathBuf)>,

    /// File of settings, as `model-diffs init` writes it; it has a few more than there are flags
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Folder for all results [env: OUTROOT] [default: outputs]
    #[arg(long, value_name = "DIR")]
    outroot: Option<PathBuf>,

    /// Title of the report [default: the models' names]
    #[arg(long)]
    title: Option<String>,

    /// File formats of the pictures, separated by commas [default: png]
    #[arg(long, value_name = "FORMAT", value_enum, value_delimiter = ',')]
    picture_format: Vec<PictureFormatName>,

    /// Do every step, also those whose results are there
    #[arg(long)]
    force: bool,

    /// Where to compute hidden states: auto, cpu, cuda, cuda:N or metal [env: DEVICE] [default: auto]
    #[arg(long)]
    device: Option<DeviceChoice>,

    /// In which type: auto, fp32, fp16 or bf16 [env: DTYPE] [default: auto]
    #[arg(long)]
    dtype: Option<DtypeChoice>,

    /// Most samples of a text [default: 128]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_samples: Option<u32>,

    /// Most tokens of a sample [default: 512]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_length: Option<u32>,

    /// Most samples computed at once [default: as many as make 1024 tokens]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Option<u32>,

    /// Memory for hidden states and weights, such as 8GiB [default: a quarter of what there is]
    #[arg(long, value_name = "SIZE")]
    memory_budget: Option<ByteSize>,

    /// Relative width of the interval of each spectral norm, 1e-6 to 1 [default: 1e-4]
    #[arg(long, value_name = "WIDTH")]
    tolerance: Option<f64>,

    /// Also the K largest singular values of each matrix, up to 64 [default: 0]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u8).range(0..=64))]
    top_k: Option<u8>,

    /// Also all singular values of matrices whose shorter side is at most 2048
    #[arg(long)]
    full_spectrum: bool,

    /// Seed of all randomness [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    #[command(flatten)]
    pub(crate) run: RunArguments,
}

fn pair(text: &str) -> Result<ModelPair, String> {
    text.parse().map_err(|error: Error| format!("{error}; {}", error.hint()))
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
    /// Flags, then the environment, then the file.
    pub(crate) fn options(&self) -> Result<RunOptions, Error> {
        let environment = RunSettings::from_environment(|name| std::env::var_os(name))?;
        let file = self.config.as_deref().map(RunSettings::read).transpose()?.unwrap_or_default();
        let mut options = self.settings().or(environment).or(file).options()?;
        options.force = self.force;
        options.arguments = given_arguments();
        Ok(options)
    }

    fn settings(&self) -> RunSettings {
        let formats = PictureFormatName::formats(&self.picture_format);
        RunSettings {
            base: self.base.clone(),
            filtered: self.filtered.clone(),
            unlearned: self.unlearned.clone(),
            compare: self.compare.clone(),
            forget_text: self.forget_text.clone(),
            retain_text: self.retain_text.clone(),
            splits: self.split.iter().cloned().collect(),
            outroot: self.outroot.clone(),
            stream: self.stream.stream().then_some(true),
            title: self.title.clone(),
            picture_formats: Some(formats).filter(|formats| !formats.is_empty()),
            device: self.device,
            dtype: self.dtype,
            max_samples: self.max_samples.map(|count| count as usize),
            max_length: self.max_length.map(|length| length as usize),
            batch_size: self.batch_size.map(|size| size as usize),
            memory_budget: self.memory_budget,
            tolerance: self.tolerance,
            top_k: self.top_k.map(usize::from),
            full_spectrum: self.full_spectrum.then_some(true),
            seed: self.seed,
            threads: Some(self.run.threads()).filter(|threads| *threads > 0),
            ..RunSettings::default()
        }
    }
}
