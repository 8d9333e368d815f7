//! The texts to forget and to retain, from data sets of the Hub or from files: one sample a line.

mod csv_rows;
mod json_rows;
mod lines;
mod parquet_rows;
mod record;
mod rows;
mod sample;
mod selection;
mod spec;
mod taking;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use hub::Hub;
use report::Tables;
use sha2::{Digest as _, Sha256};

pub use self::record::{DatasetRecord, RowCounts};
pub use self::spec::DatasetSpec;
use crate::fingerprint::hexadecimal;
use crate::setup::unless_interrupted;
use crate::{Error, Observer};

/// Settings of [`create_datasets`].
#[derive(Clone, Debug)]
pub struct DatasetsOptions {
    /// What `forget.txt` is made of; nothing for no such file.
    pub forget: Option<SampleSource>,
    /// What `retain.txt` is made of; nothing for no such file.
    pub retain: Option<SampleSource>,
    /// Most samples of each; `None` for all.
    pub limit: Option<usize>,
    /// Seed of a random choice of samples; without one, the first ones are taken.
    pub shuffle: Option<u64>,
    /// The files go into this folder.
    pub outdir: PathBuf,
}

/// A source of samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleSource {
    /// Which column of what.
    pub spec: DatasetSpec,
    /// Fewest characters of a sample: Unicode code points without white space at either end, as Python counts them in
    /// `len(text.strip())`.
    pub min_chars: usize,
}

impl DatasetsOptions {
    /// What the Python scripts made: the first 500 questions of [`DatasetSpec::default_forget`], and the first 500 texts
    /// of [`DatasetSpec::default_retain`] with more than 50 characters.
    #[must_use]
    pub fn new(outdir: impl Into<PathBuf>) -> Self {
        Self {
            forget: Some(SampleSource { spec: DatasetSpec::default_forget(), min_chars: 1 }),
            retain: Some(SampleSource { spec: DatasetSpec::default_retain(), min_chars: 51 }),
            limit: Some(500),
            shuffle: None,
            outdir: outdir.into(),
        }
    }

    /// Where the text to forget will be.
    #[must_use]
    pub fn forget_text(&self) -> PathBuf {
        self.outdir.join("forget.txt")
    }

    /// Where the text to retain will be.
    #[must_use]
    pub fn retain_text(&self) -> PathBuf {
        self.outdir.join("retain.txt")
    }
}

/// What [`create_datasets`] wrote.
#[derive(Clone, Debug)]
pub struct Datasets {
    /// The folder with the files.
    pub folder: PathBuf,
    /// The files written.
    pub files: Vec<PathBuf>,
    /// For each text what it is made of, and its first sample.
    pub texts: Vec<(DatasetRecord, String)>,
}

/// Writes `forget.txt` and `retain.txt`, one sample a line, and beside each its [`DatasetRecord`], as `forget.json` and
/// `retain.json`.
///
/// A sample is a text without white space at either end, in which line ends became spaces. Texts that are null, empty,
/// too short or too long are left out and counted. The samples that are taken are in memory, but of what they are taken
/// from no more than a few rows at a time. Of a data set's files, those are fetched that are needed for the samples.
///
/// # Errors
/// [`Error::NoDataset`], [`Error::Dataset`] and those whose names begin so, [`Error::NoSample`], [`Error::Tables`],
/// [`Error::Interrupted`]. Nothing is written then.
pub fn create_datasets(
    options: &DatasetsOptions,
    hub: &Hub,
    observer: &dyn Observer,
    interrupted: &AtomicBool,
) -> Result<Datasets, Error> {
    let both = [("forget", &options.forget), ("retain", &options.retain)];
    let wanted = both.into_iter().filter_map(|(name, source)| Some((name, source.as_ref()?)));
    let refused = |source| Error::Tables { source };
    let mut files = Tables::create(&options.outdir, &[]).map_err(refused)?;
    let mut texts = Vec::new();
    for (name, source) in wanted {
        let (mut record, samples) = taking::take(source, options, hub, observer, interrupted)?;
        let taken = samples.len();
        if let Some(limit) = options.limit.filter(|limit| taken < *limit) {
            observer.warned(&format!("{name}: {} has {taken} samples, not {limit}", source.spec));
        }
        let text: String = samples.iter().flat_map(|sample| [sample, "\n"]).collect();
        record.file = format!("{name}.txt");
        record.sha256 = hexadecimal(&Sha256::digest(&text));
        files.stage_file(&record.file, text.as_bytes()).map_err(refused)?;
        let json_file = format!("{name}.json");
        let json = serde_json::to_vec_pretty(&record).map_err(|error| {
            refused(report::Error::File { path: options.outdir.join(&json_file), source: error.into() })
        })?;
        files.stage_file(&json_file, &json).map_err(refused)?;
        texts.push((record, samples.into_iter().next().unwrap_or_default()));
    }
    if texts.is_empty() {
        return Err(Error::NoDataset);
    }
    unless_interrupted(interrupted)?;
    let files = files.finish().map_err(refused)?;
    Ok(Datasets { folder: options.outdir.clone(), files, texts })
}
