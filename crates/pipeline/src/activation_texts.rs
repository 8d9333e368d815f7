//! The texts of all splits as samples, and a model's tokens of them.

use std::ops::Range;

use activations::{Tokenizer, read_samples};
use report::Bootstrap;

use crate::{ActivationNormsOptions, Error};

/// How much of a split a model got to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextCounts {
    /// The model, as given.
    pub model: String,
    /// The split's name.
    pub split: String,
    /// Samples with at least one token.
    pub samples: usize,
    /// Samples without a token, which were left out.
    pub empty: usize,
    /// Samples of which tokens beyond the maximum length were cut off.
    pub truncated: usize,
    /// Tokens that were computed.
    pub tokens: usize,
}

/// The samples of all splits, one split after the other.
pub(crate) struct Texts {
    pub(crate) splits: Vec<SplitSamples>,
    samples: Vec<String>,
}

/// Which samples are a split's, and the resamples of their intervals: the same for every model.
pub(crate) struct SplitSamples {
    pub(crate) name: String,
    pub(crate) samples: Range<usize>,
    pub(crate) bootstrap: Bootstrap,
}

/// A model's tokens of all samples.
pub(crate) struct Tokens {
    /// The model, as given.
    pub(crate) model: String,
    pub(crate) ids: Vec<Vec<u32>>,
    /// One for each split.
    pub(crate) counts: Vec<TextCounts>,
}

impl Texts {
    pub(crate) fn read(options: &ActivationNormsOptions) -> Result<Self, Error> {
        let mut texts = Self { splits: Vec::new(), samples: Vec::new() };
        for split in &options.splits {
            let start = texts.samples.len();
            texts.samples.extend(read_samples(&split.path, options.max_samples)?);
            let samples = start..texts.samples.len();
            let bootstrap = Bootstrap::new(samples.len(), options.seed);
            texts.splits.push(SplitSamples { name: split.name.clone(), samples, bootstrap });
        }
        Ok(texts)
    }

    pub(crate) fn tokens(&self, model: &str, tokenizer: &Tokenizer, most: usize) -> Result<Tokens, Error> {
        let ids = tokenizer.encode(&self.samples, most)?;
        // A sample was cut if it is longer where one more token is allowed.
        let longer = tokenizer.encode(&self.samples, most.saturating_add(1))?;
        let counts = self.splits.iter().map(|split| {
            let of_split = &ids[split.samples.clone()];
            let longer = &longer[split.samples.clone()];
            let empty = of_split.iter().filter(|ids| ids.is_empty()).count();
            TextCounts {
                model: model.to_owned(),
                split: split.name.clone(),
                samples: of_split.len() - empty,
                empty,
                truncated: of_split
                    .iter()
                    .zip(longer)
                    .filter(|(ids, longer)| ids.len() < longer.len())
                    .count(),
                tokens: of_split.iter().map(Vec::len).sum(),
            }
        });
        let counts = counts.collect();
        Ok(Tokens { model: model.to_owned(), ids, counts })
    }
}
