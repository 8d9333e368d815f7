//! What a text file of samples was made of.

use serde::Serialize;

/// Where the samples of one file come from, and how they were chosen: the JSON file beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DatasetRecord {
    /// The text file's name.
    pub file: String,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// What was asked for, as it was given.
    pub source: String,
    /// The data set on the Hub; null for a file, and so are the next three.
    pub repository: Option<String>,
    /// The commit that its files are of.
    pub revision: Option<String>,
    /// Its configuration.
    pub config: Option<String>,
    /// Its split.
    pub split: Option<String>,
    /// The column; null for a text file.
    pub column: Option<String>,
    /// The files that were read: their names in the repository, or the path that was given.
    pub files: Vec<String>,
    /// Most samples; null for all.
    pub limit: Option<usize>,
    /// Fewest characters of a sample.
    pub min_chars: usize,
    /// Seed of the random choice; null if the first samples were taken.
    pub shuffle: Option<u64>,
    /// How many rows there are; null if that is not known.
    pub rows: Option<u64>,
    /// What became of them.
    #[serde(flatten)]
    pub counts: RowCounts,
    /// The version of the tool.
    pub version: String,
}

/// What became of the rows of a data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RowCounts {
    /// Rows that were read; the reading ends with the last sample, unless they are shuffled.
    pub rows_read: u64,
    /// Rows without a value.
    pub null: u64,
    /// Rows with nothing but white space.
    pub empty: u64,
    /// Rows with fewer characters than a sample must have.
    pub too_short: u64,
    /// Rows with more than 4 MiB, the most that `activation_norms` reads as a sample.
    pub too_long: u64,
    /// Samples.
    pub taken: u64,
}

impl RowCounts {
    /// How many rows are no sample and why, as in `3 empty, 9 too short`; nothing if all are fit.
    #[must_use]
    pub fn left_out(&self) -> Option<String> {
        let reasons = [
            (self.null, "null"),
            (self.empty, "empty"),
            (self.too_short, "too short"),
            (self.too_long, "too long"),
        ];
        let reasons = reasons.iter().filter(|(rows, _)| *rows > 0);
        let reasons: Vec<String> = reasons.map(|(rows, reason)| format!("{rows} {reason}")).collect();
        (!reasons.is_empty()).then(|| reasons.join(", "))
    }
}
