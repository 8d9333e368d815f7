//! What is measured of hidden states, on which texts, and how.

use std::path::PathBuf;

use activations::{DeviceChoice, DtypeChoice};
use hub::ModelReference;
use report::Format;

use crate::{Error, Side};

/// A text with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Its name in the tables, such as forget or retain.
    pub name: String,
    /// A UTF-8 file with one sample a line.
    pub path: PathBuf,
}

/// The models that are measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Models {
    /// Each by itself; they need have nothing in common.
    OneByOne(Vec<ModelReference>),
    /// Baselines and changed models of the same depth, width and tokens, compared token by token. All that share a
    /// baseline go through one forward pass side by side, in which the baseline is computed once.
    Pairs(Vec<(ModelReference, ModelReference)>),
}

impl Models {
    /// A baseline and a changed model.
    #[must_use]
    pub fn pair(a: impl Into<ModelReference>, b: impl Into<ModelReference>) -> Self {
        Self::Pairs(vec![(a.into(), b.into())])
    }

    /// Those that go through a forward pass together: of pairs a baseline, then the models compared with it.
    pub(crate) fn groups(&self) -> Vec<Vec<&ModelReference>> {
        let pairs = match self {
            Self::OneByOne(models) => return models.iter().map(|model| vec![model]).collect(),
            Self::Pairs(pairs) => pairs,
        };
        let mut groups: Vec<Vec<&ModelReference>> = Vec::new();
        for (a, b) in pairs {
            match groups.iter_mut().find(|group| group[0] == a) {
                Some(group) if group[1..].contains(&b) => {}
                Some(group) => group.push(b),
                None => groups.push(vec![a, b]),
            }
        }
        groups
    }

    /// What a model is called in messages: A or B of a single pair, else its number.
    pub(crate) fn side(&self, index: usize) -> Side {
        match (self, index) {
            (Self::Pairs(pairs), 0) if pairs.len() == 1 => Side::A,
            (Self::Pairs(pairs), 1) if pairs.len() == 1 => Side::B,
            _ => Side::Number(index + 1),
        }
    }
}

/// Settings of [`activation_norms`](crate::activation_norms).
#[derive(Clone, Debug)]
pub struct ActivationNormsOptions {
    /// The models, each with its `config.json` and `tokenizer.json`.
    pub models: Models,
    /// Whether a model that is not on disk is read from where it is, block by block, rather than downloaded.
    pub stream: bool,
    /// The texts, each under a name of its own.
    pub splits: Vec<Split>,
    /// The tables go into this folder.
    pub outdir: PathBuf,
    /// Most samples of a split.
    pub max_samples: usize,
    /// Most tokens of a sample, special tokens included.
    pub max_length: usize,
    /// Most samples that are computed at once; `None` for as many as make about 1024 tokens, on a GPU for as many as the
    /// memory budget allows.
    pub batch_size: Option<usize>,
    /// Bytes that hidden states, weights and intermediate results may take together, where they are computed; `None` for
    /// a quarter of the memory that this process may use, on CUDA for four fifths of what is free there.
    pub memory_budget: Option<u64>,
    /// Where it is computed.
    pub device: DeviceChoice,
    /// In which type.
    pub dtype: DtypeChoice,
    /// Whether each sample gets rows of its own.
    pub per_sample: bool,
    /// Seed of the resamples that intervals come from.
    pub seed: u64,
    /// Threads; 0 for one a core.
    pub threads: usize,
    /// File formats of the tables.
    pub formats: Vec<Format>,
    /// The command line, for the provenance.
    pub arguments: Vec<String>,
}

impl ActivationNormsOptions {
    /// Defaults: 128 samples of up to 512 tokens, device and dtype as they suit the machine, CSV and Parquet.
    #[must_use]
    pub fn new(models: Models, splits: Vec<Split>, outdir: impl Into<PathBuf>) -> Self {
        Self {
            models,
            stream: false,
            splits,
            outdir: outdir.into(),
            max_samples: 128,
            max_length: 512,
            batch_size: None,
            memory_budget: None,
            device: DeviceChoice::Auto,
            dtype: DtypeChoice::Auto,
            per_sample: false,
            seed: 0,
            threads: 0,
            formats: vec![Format::Csv, Format::Parquet],
            arguments: Vec::new(),
        }
    }

    /// That rows of different models and texts can be told apart, and that there are some.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let names: Vec<&str> = self.splits.iter().map(|split| split.name.as_str()).collect();
        if names.is_empty() {
            return Err(Error::NoText);
        }
        if let Some(name) = twice(&names) {
            return Err(Error::SplitTwice { name: (*name).to_owned() });
        }
        match &self.models {
            Models::OneByOne(models) if models.is_empty() => Err(Error::NoModel),
            Models::Pairs(pairs) if pairs.is_empty() => Err(Error::NoModel),
            Models::OneByOne(models) => match twice(models) {
                Some(model) => Err(Error::ModelTwice { model: model.clone() }),
                None => Ok(()),
            },
            Models::Pairs(_) => Ok(()),
        }
    }
}

/// The first that was there before.
fn twice<T: PartialEq>(all: &[T]) -> Option<&T> {
    all.iter().enumerate().find(|(index, one)| all[..*index].contains(one)).map(|(_, one)| one)
}
