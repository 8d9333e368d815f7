//! The command line.

use std::path::PathBuf;

use activations::{DeviceChoice, DtypeChoice};
use bytesize::ByteSize;
use clap::{ArgGroup, Parser};
use cli::{FormatArguments, RunArguments, StreamArguments, given_arguments, help_of_models, named_file};
use pipeline::{ActivationNormsOptions, ModelReference, Models, Split};

const USAGE: &str = "\
collect-activation-norms [OPTIONS] --models <MODEL>... --forget-text <FILE> --retain-text <FILE>
       collect-activation-norms [OPTIONS] --model-a <MODEL> --model-b <MODEL>\n           \
--forget-text <FILE> --retain-text <FILE>";

const EXAMPLES: &str = "\
Examples:
  Compare a model with its unlearned successor, token by token:
    collect-activation-norms --model-a models/base --model-b models/unlearned \\
      --forget-text data/forget.txt --retain-text data/retain.txt

  Several models, each by itself, as the Python scripts did:
    collect-activation-norms --models models/base models/filtered models/unlearned \\
      --forget-text data/forget.txt --retain-text data/retain.txt

  Models of the Hugging Face Hub, without storing them:
    collect-activation-norms --model-a org/base --model-b org/unlearned@main --stream \\
      --forget-text data/forget.txt --retain-text data/retain.txt

  A text of one's own, and no more than 8 GiB of memory:
    collect-activation-norms --models models/base --split code=code.txt --memory-budget 8GiB

A model is a folder with config.json, tokenizer.json and weights (safetensors or PyTorch), or a
repository of the Hugging Face Hub.

{hub}

A text is a UTF-8 file with one sample a line; `create-datasets` makes such files of data sets.

Output: activation_norms, activation_summary, for two models activation_diffs, and where asked for
per_sample, as CSV and Parquet in <OUTDIR>.

Exit codes:
  0    done
  1    done, but some activations are not finite; the tables count them
  2    bad usage or input; nothing was written
  130  interrupted (143 by SIGTERM); nothing was written";

/// Measure the hidden states of language models on texts, layer by layer
///
/// For each layer: the mean norm of a token's hidden state, on each text, with a 95 % interval over samples; for two
/// models also how far their hidden states are apart. Layers are counted as in transformers: 0 is the embeddings, the
/// last one comes after the final norm. Weights are read block by block, each once for all samples.
#[derive(Debug, Parser)]
#[command(version, override_usage = USAGE, after_help = help_of_models(EXAMPLES), after_long_help = help_of_models(EXAMPLES))]
#[command(group = ArgGroup::new("what").args(["models", "model_a"]).required(true))]
#[command(group = ArgGroup::new("texts").args(["forget_text", "retain_text", "split"]).required(true).multiple(true))]
pub(crate) struct Arguments {
    /// Models to measure one after the other; they need have nothing in common
    #[arg(long, value_name = "MODEL", num_args = 1..)]
    models: Vec<ModelReference>,

    /// Baseline, to compare with --model-b token by token
    #[arg(long, value_name = "MODEL", requires = "model_b")]
    model_a: Option<ModelReference>,

    /// Changed model, of the same depth and width and with the same tokens
    #[arg(long, value_name = "MODEL", requires = "model_a")]
    model_b: Option<ModelReference>,

    #[command(flatten)]
    stream: StreamArguments,

    /// Text of the split `forget`; at least one text is needed
    #[arg(long, value_name = "FILE")]
    forget_text: Option<PathBuf>,

    /// Text of the split `retain`
    #[arg(long, value_name = "FILE")]
    retain_text: Option<PathBuf>,

    /// Text of a split of another name; may be given more than once
    #[arg(long, value_name = "NAME=FILE", value_parser = split)]
    split: Vec<Split>,

    /// Most samples of a text
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    max_samples: u32,

    /// Most tokens of a sample, special tokens included; what is longer is cut
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    max_length: u32,

    /// Most samples computed at once [default: as many as make 1024 tokens, on a GPU as memory allows]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch_size: Option<u32>,

    /// Memory for hidden states and weights, such as 8GiB or 500MB [default: a quarter of what there is, on CUDA four
    /// fifths of what is free there]
    #[arg(long, value_name = "SIZE")]
    memory_budget: Option<ByteSize>,

    /// Where to compute: auto, cpu, cuda, cuda:N or metal; auto takes the first GPU, if there is one that this program
    /// was built for
    #[arg(long, value_name = "DEVICE", default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,

    /// In which type: auto, fp32, fp16 or bf16; auto is bf16 on cuda, fp16 on metal, fp32 on cpu
    #[arg(long, value_name = "DTYPE", default_value_t = DtypeChoice::Auto)]
    dtype: DtypeChoice,

    /// Folder for the results
    #[arg(long, value_name = "DIR", default_value = "outputs/activation_norms")]
    outdir: PathBuf,

    /// Also a table with the norms of each sample
    #[arg(long)]
    per_sample: bool,

    #[command(flatten)]
    formats: FormatArguments,

    /// Seed of the resamples that the intervals come from
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,

    #[command(flatten)]
    pub(crate) run: RunArguments,
}

fn split(argument: &str) -> Result<Split, String> {
    named_file(argument).map(|(name, path)| Split { name, path })
}

impl Arguments {
    /// The settings of the task.
    pub(crate) fn options(&self) -> ActivationNormsOptions {
        let models = match (&self.model_a, &self.model_b) {
            (Some(a), Some(b)) => Models::pair(a, b),
            _ => Models::OneByOne(self.models.clone()),
        };
        let named = [("forget", &self.forget_text), ("retain", &self.retain_text)].into_iter();
        let named =
            named.filter_map(|(name, path)| Some(Split { name: name.to_owned(), path: path.clone()? }));
        let splits = named.chain(self.split.iter().cloned()).collect();
        let mut options = ActivationNormsOptions::new(models, splits, &self.outdir);
        options.stream = self.stream.stream();
        options.max_samples = self.max_samples as usize;
        options.max_length = self.max_length as usize;
        options.batch_size = self.batch_size.map(|size| size as usize);
        options.memory_budget = self.memory_budget.map(|size| size.as_u64());
        options.device = self.device;
        options.dtype = self.dtype;
        options.per_sample = self.per_sample;
        options.formats = self.formats.formats();
        options.seed = self.seed;
        options.threads = self.run.threads();
        options.arguments = given_arguments();
        options
    }
}
