//! What users call a source of samples by.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use hub::{ModelReference, Target};

use crate::Error;

/// A column of texts, as users name it: `hub-dataset:config:split:column`, where `@revision` may follow the data set, or
/// `file:column` with a `.parquet`, `.jsonl` (`.json`, `.ndjson`) or `.csv` file, or a `.txt` file, which has no columns.
///
/// A file that exists wins over a data set of the same name. The last colon divides a file from its column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetSpec {
    text: String,
    pub(crate) source: Source,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Hub { id: String, revision: Option<String>, config: String, split: String, column: String },
    File(PathBuf, Columns),
}

/// A format of files, and the column in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Columns {
    Parquet(String),
    JsonLines(String),
    Csv(String),
    /// Every line is a sample.
    Text,
}

impl Columns {
    pub(crate) fn column(&self) -> Option<&str> {
        match self {
            Self::Parquet(column) | Self::JsonLines(column) | Self::Csv(column) => Some(column),
            Self::Text => None,
        }
    }
}

impl DatasetSpec {
    /// What the scripts took for the text to forget: the questions of WMDP about biology.
    #[must_use]
    pub fn default_forget() -> Self {
        Self::of_hub("cais/wmdp", "wmdp-bio", "test", "question")
    }

    /// What the scripts took for the text to retain: articles of Wikipedia.
    #[must_use]
    pub fn default_retain() -> Self {
        Self::of_hub("Salesforce/wikitext", "wikitext-2-raw-v1", "train", "text")
    }

    fn of_hub(id: &str, config: &str, split: &str, column: &str) -> Self {
        let [id, config, split, column] = [id, config, split, column].map(str::to_owned);
        let text = format!("{id}:{config}:{split}:{column}");
        Self { text, source: Source::Hub { id, revision: None, config, split, column } }
    }
}

impl FromStr for DatasetSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = |reason| Error::DatasetSpec { text: text.to_owned(), reason };
        let divided = text.rsplit_once(':').filter(|(path, column)| !path.is_empty() && !column.is_empty());
        let source = if Path::new(text).is_file() {
            Source::file(text, None).map_err(bad)?
        } else if let Some((path, column)) = divided.filter(|(path, _)| Path::new(path).is_file()) {
            Source::file(path, Some(column)).map_err(bad)?
        } else if let Some(source) = hub(text) {
            source
        } else {
            // A file that does not exist is missed when it is opened.
            let divided = divided.map(|(path, column)| Source::file(path, Some(column)));
            divided.and_then(Result::ok).map_or_else(|| Source::file(text, None).map_err(bad), Ok)?
        };
        Ok(Self { text: text.to_owned(), source })
    }
}

impl Source {
    fn file(path: &str, column: Option<&str>) -> Result<Self, &'static str> {
        let extension = Path::new(path).extension().unwrap_or_default().to_string_lossy().to_lowercase();
        let named = || column.map(str::to_owned).ok_or("it names no column");
        let columns = match (&*extension, column) {
            ("parquet", _) => Columns::Parquet(named()?),
            ("jsonl" | "ndjson" | "json", _) => Columns::JsonLines(named()?),
            ("csv", _) => Columns::Csv(named()?),
            ("txt", None) => Columns::Text,
            ("txt", Some(_)) => return Err("a text file has no columns"),
            _ => return Err("it is neither a data set with configuration, split and column, nor a file"),
        };
        Ok(Self::File(path.into(), columns))
    }
}

/// A column of a data set of the Hub, if it is spelled like one.
fn hub(text: &str) -> Option<Source> {
    let parts: Vec<&str> = text.split(':').collect();
    let [name, config, split, column] = <[&str; 4]>::try_from(parts).ok()?;
    if [config, split, column].contains(&"") {
        return None;
    }
    // Ids of data sets follow the same rules as those of models.
    let reference = ModelReference::from(format!("hf://{name}"));
    let Target::Hub { id, revision } = reference.target() else { return None };
    let [id, config, split, column] = [id, config, split, column].map(str::to_owned);
    Some(Source::Hub { id, revision: revision.map(str::to_owned), config, split, column })
}

impl fmt::Display for DatasetSpec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails
    use super::*;

    fn source(text: &str) -> Source {
        text.parse::<DatasetSpec>().unwrap().source
    }

    #[test]
    fn data_sets_and_files_are_told_apart() {
        let hub = |id: &str, revision: Option<&str>| {
            let [config, split, column] = ["c", "s", "t"].map(str::to_owned);
            Source::Hub { id: id.into(), revision: revision.map(str::to_owned), config, split, column }
        };
        assert_eq!(source("org/name:c:s:t"), hub("org/name", None));
        assert_eq!(source("wikitext:c:s:t"), hub("wikitext", None));
        assert_eq!(
            source("org/name@refs/convert/parquet:c:s:t"),
            hub("org/name", Some("refs/convert/parquet"))
        );
        assert_eq!(source("a/b.PARQUET:t"), Source::File("a/b.PARQUET".into(), Columns::Parquet("t".into())));
        assert_eq!(source("b.jsonl:a b"), Source::File("b.jsonl".into(), Columns::JsonLines("a b".into())));
        assert_eq!(source("/x/y.csv:t"), Source::File("/x/y.csv".into(), Columns::Csv("t".into())));
        assert_eq!(source("notes.txt"), Source::File("notes.txt".into(), Columns::Text));
        assert_eq!(source("a:b:c:d.csv:t"), Source::File("a:b:c:d.csv".into(), Columns::Csv("t".into())));
        for default in [DatasetSpec::default_forget(), DatasetSpec::default_retain()] {
            assert_eq!(default.to_string().parse::<DatasetSpec>().unwrap(), default);
        }
    }

    #[test]
    fn a_file_that_exists_wins_and_the_last_colon_divides() {
        let folder = tempfile::tempdir().unwrap();
        let named = |name: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            path.to_str().unwrap().to_owned()
        };
        let path = named("a:b:c.csv");
        assert_eq!(source(&format!("{path}:t")), Source::File(path.into(), Columns::Csv("t".into())));
        let path = named("c:notes.txt");
        assert_eq!(source(&path), Source::File(path.into(), Columns::Text));
    }

    #[test]
    fn what_is_neither_is_refused_with_a_reason() {
        let reason = |text: &str| match text.parse::<DatasetSpec>().unwrap_err() {
            Error::DatasetSpec { text: named, reason } => {
                assert_eq!(named, text);
                reason
            }
            other => unreachable!("{other}"),
        };
        assert_eq!(reason("data.csv"), "it names no column");
        assert_eq!(
            reason("data.parquet:"),
            "it is neither a data set with configuration, split and column, nor a file"
        );
        for text in ["", ":", "org/name", "org/name:train:text", "org/name:c::t", "a/b/c:c:s:t", "data.xls:t"]
        {
            assert!(reason(text).starts_with("it is neither"), "{text}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes.txt");
        std::fs::write(&path, "").unwrap();
        assert_eq!(reason(&format!("{}:text", path.display())), "a text file has no columns");
    }
}
