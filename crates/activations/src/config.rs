//! A model's `config.json`, read through the eyes of its family.

use std::io;
use std::path::PathBuf;

use intake::Foreign;
use serde_json::{Map, Value};
use toml::Table;
use weights_io::{Checkpoint, unique_object};

use crate::Error;
use crate::family::{FamilyTable, known_families};

/// Bytes of a configuration; real ones have a few thousand.
const LIMIT: usize = 16 << 20;

/// What a model says of itself, under this crate's names for the quantities.
#[derive(Debug)]
pub(crate) struct Config {
    path: PathBuf,
    model_type: String,
    values: Map<String, Value>,
    table: FamilyTable,
}

impl Config {
    /// Reads the `config.json` beside a model's weights.
    pub(crate) fn of(checkpoint: &Checkpoint) -> Result<Self, Error> {
        use weights_io::Error::{Io, NotARegularFile, TooLarge};
        const NAME: &str = "config.json";
        let path = &checkpoint.path_of(NAME);
        let unreadable = |source| Err(Error::ConfigUnreadable { path: path.clone(), source });
        let bytes = match checkpoint.file(NAME) {
            Ok(Some(bytes)) if bytes.len() <= LIMIT => bytes,
            Ok(Some(_)) | Err(TooLarge { .. }) => {
                return unreadable(io::Error::other("it has more than 16 MiB"));
            }
            Ok(None) => return unreadable(io::Error::new(io::ErrorKind::NotFound, "it does not exist")),
            Err(NotARegularFile { .. }) => return unreadable(io::Error::other("it is not a regular file")),
            Err(Io { source, .. }) => return unreadable(source),
            Err(source) => return Err(source.into()),
        };
        if let Some(foreign) = Foreign::of(&bytes) {
            return unreadable(foreign.into());
        }
        let values =
            unique_object(&bytes).map_err(|source| Error::ConfigMalformed { path: path.clone(), source })?;
        let model_type = values.get("model_type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let unknown = || Error::UnknownFamily {
            path: path.clone(),
            model_type: model_type.clone(),
            known: known_families().collect::<Vec<_>>().join(", "),
        };
        let table = FamilyTable::of(&model_type).ok_or_else(unknown)?;
        let table = table.map_err(|source| Error::Table { model_type: model_type.clone(), source })?;
        let config = Self { path: path.clone(), model_type, values, table };
        match config.table.refuse.iter().find(|refuse| config.holds(&refuse.config)) {
            Some(refuse) => Err(Error::Unsupported { path: path.clone(), what: refuse.why.clone() }),
            None => Ok(config),
        }
    }

    pub(crate) fn model_type(&self) -> &str {
        &self.model_type
    }

    pub(crate) fn table(&self) -> &FamilyTable {
        &self.table
    }

    /// The value of a quantity: what config.json says, null included, or the family's default.
    fn value(&self, quantity: &str) -> Option<Value> {
        let own_name = [quantity.to_owned()];
        let names = self.table.config.get(quantity).map_or(own_name.as_slice(), Vec::as_slice);
        match names.iter().find_map(|name| self.values.get(name)) {
            Some(value) => Some(value.clone()),
            None => serde_json::to_value(self.table.defaults.get(quantity)?).ok(),
        }
    }

    /// The value of a quantity; `None` if it is absent without a default, or null.
    pub(crate) fn get(&self, quantity: &str) -> Option<Value> {
        self.value(quantity).filter(|value| !value.is_null())
    }

    /// True if all of these quantities have these values; `"none"` stands for absent or null.
    pub(crate) fn holds(&self, conditions: &Table) -> bool {
        conditions.iter().all(|(quantity, expected)| match (self.get(quantity), expected) {
            (found, toml::Value::String(word)) if word == "none" => found.is_none(),
            (None, _) => false,
            (Some(found), expected) => serde_json::to_value(expected).is_ok_and(|expected| found == expected),
        })
    }

    /// An error about a quantity, under the name it has in the file.
    pub(crate) fn error(&self, quantity: &str, problem: impl Into<String>) -> Error {
        let names = self.table.config.get(quantity).filter(|names| !names.is_empty());
        let key = names.map_or_else(|| quantity.to_owned(), |names| names.join(" or "));
        Error::Config { path: self.path.clone(), key, problem: problem.into() }
    }

    /// A number of things, small enough that products of a few of them can be counted.
    pub(crate) fn count(&self, quantity: &str) -> Result<Option<usize>, Error> {
        self.get(quantity)
            .map(|value| {
                let count = value.as_u64().filter(|count| *count < 1 << 31);
                let problem = "is no whole number below 2147483648";
                count.map(|count| count as usize).ok_or_else(|| self.error(quantity, problem))
            })
            .transpose()
    }

    /// A number of things, at least one.
    pub(crate) fn positive(&self, quantity: &str) -> Result<Option<usize>, Error> {
        match self.count(quantity)? {
            Some(0) => Err(self.error(quantity, "is zero")),
            count => Ok(count),
        }
    }

    /// A number of things that there must be, at least one.
    pub(crate) fn required(&self, quantity: &str) -> Result<usize, Error> {
        self.positive(quantity)?.ok_or_else(|| self.error(quantity, "is missing"))
    }

    /// A finite number.
    pub(crate) fn number(&self, quantity: &str) -> Result<Option<f64>, Error> {
        self.get(quantity)
            .map(|value| value.as_f64().ok_or_else(|| self.error(quantity, "is no number")))
            .transpose()
    }

    /// A number that there must be.
    pub(crate) fn required_number(&self, quantity: &str) -> Result<f64, Error> {
        self.number(quantity)?.ok_or_else(|| self.error(quantity, "is missing"))
    }

    /// True or false; absent and null are false.
    pub(crate) fn flag(&self, quantity: &str) -> Result<bool, Error> {
        self.get(quantity).map_or(Ok(false), |value| {
            value.as_bool().ok_or_else(|| self.error(quantity, "is neither true nor false"))
        })
    }

    /// A word.
    pub(crate) fn word(&self, quantity: &str) -> Result<String, Error> {
        let value = self.get(quantity).ok_or_else(|| self.error(quantity, "is missing"))?;
        value.as_str().map(str::to_owned).ok_or_else(|| self.error(quantity, "is no text"))
    }

    /// A list.
    pub(crate) fn list(&self, quantity: &str) -> Result<Option<Vec<Value>>, Error> {
        match self.get(quantity) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(_) => Err(self.error(quantity, "is no list")),
        }
    }
}
