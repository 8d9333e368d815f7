//! The command line.

use std::path::PathBuf;

use clap::Parser;
use cli::TalkArguments;
use pipeline::{DatasetSpec, DatasetsOptions, Error};

const EXAMPLES: &str = "\
Examples:
  The texts of the original experiment, data/forget.txt and data/retain.txt:
    create-datasets

  Others of the Hub, 1000 samples each, drawn at random:
    create-datasets --forget cais/wmdp:wmdp-cyber:test:question --limit 1000 --shuffle 0 \\
      --retain Salesforce/wikitext:wikitext-103-raw-v1:train:text

  One text, of all prompts in a file of one's own:
    create-datasets --forget prompts.jsonl:prompt --retain none --limit all

A SOURCE is hub-dataset[@revision]:config:split:column (a data set without configurations has one
called default), or a file and its column, as in file.parquet:column, file.jsonl:column (one object
a line) or file.csv:column, or file.txt, of which every line is a sample. Data sets are fetched
once, as far as they are needed, into the cache of the Python libraries; HF_TOKEN, HF_HOME,
HF_HUB_CACHE, HF_ENDPOINT and HF_HUB_OFFLINE work as there. For a gated one accept its licence on
its page, and set HF_TOKEN.

Output in <OUTDIR>: forget.txt and retain.txt, and beside each a .json that says what it is made of:
source, revision, counts, hash. The same source and settings give the same bytes on every machine.

Exit codes:
  0    done, perhaps with fewer samples than asked for, which is said
  2    bad usage or input, or no sample at all; nothing was written
  130  interrupted (143 by SIGTERM); nothing was written";

/// Make the texts that models are measured on: one to forget, one to retain, one sample a line
///
/// As the Python scripts did: from data sets of the Hugging Face Hub, or from files. A sample is a text without white
/// space at either end; line ends in it become spaces. Empty ones are left out.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, after_long_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// What forget.txt is made of, or none
    #[arg(long, value_name = "SOURCE", default_value_t = DatasetSpec::default_forget().to_string())]
    forget: String,

    /// What retain.txt is made of, or none
    #[arg(long, value_name = "SOURCE", default_value_t = DatasetSpec::default_retain().to_string())]
    retain: String,

    /// Most samples of each, or all
    #[arg(long, value_name = "N", default_value = "500", value_parser = limit)]
    limit: usize,

    /// Fewest characters of a sample, in both texts [default: 1 to forget, 51 to retain]
    #[arg(long, value_name = "N")]
    min_chars: Option<usize>,

    /// Take samples at random, with this seed, and not the first ones
    #[arg(long, value_name = "SEED")]
    shuffle: Option<u64>,

    /// Folder for the texts
    #[arg(long, value_name = "DIR", default_value = "data")]
    outdir: PathBuf,

    #[command(flatten)]
    pub(crate) talk: TalkArguments,
}

const ALL: usize = usize::MAX;

fn limit(argument: &str) -> Result<usize, String> {
    match argument.parse() {
        Ok(limit) if limit > 0 => Ok(limit),
        _ if argument == "all" => Ok(ALL),
        _ => Err("give a number from 1, or all".to_owned()),
    }
}

impl Arguments {
    /// The settings of the task.
    pub(crate) fn options(&self) -> Result<DatasetsOptions, Error> {
        let mut options = DatasetsOptions::new(&self.outdir);
        options.limit = Some(self.limit).filter(|limit| *limit != ALL);
        options.shuffle = self.shuffle;
        for (given, source) in [(&self.forget, &mut options.forget), (&self.retain, &mut options.retain)] {
            let Some(wanted) = source.as_mut().filter(|_| given != "none") else {
                *source = None;
                continue;
            };
            wanted.spec = given.parse()?;
            wanted.min_chars = self.min_chars.unwrap_or(wanted.min_chars);
        }
        Ok(options)
    }
}
