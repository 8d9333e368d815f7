//! The settings of a run on the command line.

use std::path::PathBuf;

use activations::DtypeChoice;
use bytesize::ByteSize;
use clap::Args;
use cli::{PictureFormatName, StreamArguments, named_file};
use pipeline::{Devices, Error, ModelPair, ModelReference, RunSettings};

// No doc comment on the struct: clap would take it for what the command is about.
#[derive(Debug, Args)]
pub(crate) struct SettingsArguments {
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

    /// Where to compute: auto, cpu, metal, cuda, cuda:N; or several GPUs as in cuda:0,cuda:1 or cuda:all, which share the
    /// parameters, with hidden states on the first [env: DEVICE] [default: auto]
    #[arg(long, value_name = "DEVICES")]
    device: Option<Devices>,

    /// In which type to compute hidden states: auto, fp32, fp16 or bf16 [env: DTYPE] [default: auto]
    #[arg(long)]
    dtype: Option<DtypeChoice>,

    /// Most samples of a text [default: 128]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_samples: Option<u32>,

    /// Most tokens of a sample [default: 512]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_length: Option<u32>,

    /// Most samples computed at once [default: as many as make 1024 tokens, on a GPU as memory allows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Option<u32>,

    /// Memory for hidden states and weights, such as 8GiB [default: a quarter of what there is, on CUDA four fifths of what is
    /// free there]
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
}

fn pair(text: &str) -> Result<ModelPair, String> {
    text.parse().map_err(|error: Error| format!("{error}; {}", error.hint()))
}

impl SettingsArguments {
    /// Flags, then the environment, then the file.
    pub(crate) fn given(&self, threads: usize) -> Result<RunSettings, Error> {
        let environment = RunSettings::from_environment(|name| std::env::var_os(name))?;
        let file = self.config.as_deref().map(RunSettings::read).transpose()?.unwrap_or_default();
        let flags = RunSettings { threads: Some(threads).filter(|threads| *threads > 0), ..self.settings() };
        Ok(flags.or(environment).or(file))
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
            device: self.device.clone(),
            dtype: self.dtype,
            max_samples: self.max_samples.map(|count| count as usize),
            max_length: self.max_length.map(|length| length as usize),
            batch_size: self.batch_size.map(|size| size as usize),
            memory_budget: self.memory_budget,
            tolerance: self.tolerance,
            top_k: self.top_k.map(usize::from),
            full_spectrum: self.full_spectrum.then_some(true),
            seed: self.seed,
            ..RunSettings::default()
        }
    }
}
