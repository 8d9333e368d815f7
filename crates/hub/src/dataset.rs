//! Finds the Parquet files of a data set: in the cache, or on the network.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::cache::Snapshot;
use crate::repository::{Kind, Repository};
use crate::{Error, Hub, Observer};

/// Where the Hub puts what it converts itself, with `<config>/<split>/0000.parquet` and so on.
const CONVERTED: &str = "refs/convert/parquet";

/// The files of one split of a data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetFiles {
    /// Which commit they are of.
    pub commit: String,
    /// Parquet files in the local cache, in the order of their rows.
    pub files: Vec<PathBuf>,
}

impl Hub {
    /// Makes the Parquet files of a data set's split be in the cache. They are looked for as people name them, then, at
    /// no particular revision, among what the Hub has converted. Data sets without a configuration have one called
    /// `default`.
    ///
    /// # Errors
    /// [`Error::NoParquet`] names what there is; else as [`Hub::locate`].
    pub fn dataset_files(
        &self,
        id: &str,
        revision: Option<&str>,
        config: &str,
        split: &str,
        observer: &dyn Observer,
    ) -> Result<DatasetFiles, Error> {
        let main = Repository::new(Kind::Dataset, id, revision);
        let converted = revision.is_none().then(|| main.at(CONVERTED));
        let repositories: Vec<_> = std::iter::once(main).chain(converted).collect();
        for repository in &repositories {
            let Some(snapshot) = Snapshot::of(&self.settings.cache, &self.pinned(repository)) else {
                continue;
            };
            let present = snapshot.files();
            let names = select(present.iter().map(String::as_str), config, split);
            // Without the network nobody knows of files without numbers whether they are all.
            if !names.is_empty() && (is_complete(&names) || self.settings.offline) {
                self.pin(repository.clone(), &snapshot.commit);
                return Ok(DatasetFiles::of(&snapshot, &names));
            }
            if !names.is_empty() {
                break;
            }
        }
        if self.settings.offline {
            return Err(Error::Offline {
                reference: id.into(),
                missing: format!("Parquet of configuration `{config}`, split `{split}`"),
                cache: self.settings.cache.clone(),
            });
        }
        #[cfg(feature = "network")]
        return self.dataset_from_network(&repositories, config, split, observer);
        #[cfg(not(feature = "network"))]
        {
            let _ = observer;
            Err(Error::NotBuilt { reference: id.into(), feature: "network" })
        }
    }
}

impl DatasetFiles {
    pub(crate) fn of(snapshot: &Snapshot, names: &[&str]) -> Self {
        let files = names.iter().map(|name| snapshot.folder.join(name)).collect();
        Self { commit: snapshot.commit.clone(), files }
    }
}

/// What a Parquet file is called by those who use it.
struct Parquet<'a> {
    config: &'a str,
    split: &'a str,
    /// Which of how many, where the name tells.
    number: Option<(usize, usize)>,
}

impl<'a> Parquet<'a> {
    /// Reads `config/split-00000-of-00002.parquet` with or without a hash behind it, `config/split/0000.parquet` and
    /// `config/split.parquet`; the folder may be missing or be `data`.
    fn parse(name: &'a str) -> Option<Self> {
        let stem = name.strip_suffix(".parquet")?;
        let (folder, file) = stem.rsplit_once('/').unwrap_or(("", stem));
        let (config, split, number) = match numbered(file) {
            Some((split, number)) => (folder, split, number),
            None => match folder.rsplit_once('/') {
                Some((config, split)) => (config, split, None),
                None if file.bytes().all(|byte| byte.is_ascii_digit()) => ("", folder, None),
                None => (folder, file, None),
            },
        };
        let config = if matches!(config, "" | "data") { "default" } else { config };
        Some(Self { config, split, number })
    }
}

/// Reads `split-00000-of-00002`, `split-00000` and either with a hash behind it.
fn numbered(file: &str) -> Option<(&str, Option<(usize, usize)>)> {
    let is_hash = |part: &str| part.len() >= 8 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let file = match file.rsplit_once('-') {
        Some((before, hash)) if is_hash(hash) && numbered(before).is_some() => before,
        _ => file,
    };
    let (rest, last) = file.rsplit_once('-')?;
    let last = last.parse().ok()?;
    match rest.strip_suffix("-of").and_then(|rest| rest.rsplit_once('-')) {
        Some((split, first)) => Some((split, Some((first.parse().ok()?, last)))),
        None => Some((rest, None)),
    }
}

/// The files of a split among those of a data set, in order.
pub(crate) fn select<'a>(names: impl Iterator<Item = &'a str>, config: &str, split: &str) -> Vec<&'a str> {
    let is_wanted = |name: &&str| {
        Parquet::parse(name).is_some_and(|parquet| (parquet.config, parquet.split) == (config, split))
    };
    let mut names: Vec<_> = names.filter(is_wanted).collect();
    names.sort_unstable();
    names
}

/// Whether nothing is missing between the first file and the last, as far as their names tell.
fn is_complete(names: &[&str]) -> bool {
    let numbers = names.iter().map(|name| Parquet::parse(name)?.number);
    match numbers.collect::<Option<BTreeSet<_>>>() {
        Some(numbers) => numbers.into_iter().eq((0..names.len()).map(|index| (index, names.len()))),
        None => names.len() == 1 && !names[0].ends_with("0000.parquet"),
    }
}

/// What there is, as configuration/split.
#[cfg(feature = "network")]
pub(crate) fn splits<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    names.filter_map(Parquet::parse).map(|parquet| format!("{}/{}", parquet.config, parquet.split)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_the_ways_people_name_them() {
        for (name, expected) in [
            ("wmdp-bio/test-00000-of-00001.parquet", Some(("wmdp-bio", "test", Some((0, 1))))),
            ("c/train-00002-of-00012-3f0e9a8b7c6d5e4f.parquet", Some(("c", "train", Some((2, 12))))),
            ("c/train/0000.parquet", Some(("c", "train", None))),
            ("c/train/part-a.parquet", Some(("c", "train", None))),
            ("c/train.parquet", Some(("c", "train", None))),
            ("data/train-00000-of-00001.parquet", Some(("default", "train", Some((0, 1))))),
            ("train-00000-of-00001.parquet", Some(("default", "train", Some((0, 1))))),
            ("train/0000.parquet", Some(("default", "train", None))),
            ("data/train-clean-00000-of-00002.parquet", Some(("default", "train-clean", Some((0, 2))))),
            ("data/train-00000.parquet", Some(("default", "train", None))),
            ("train.parquet", Some(("default", "train", None))),
            ("c/train.csv", None),
        ] {
            let parsed = Parquet::parse(name).map(|parquet| (parquet.config, parquet.split, parquet.number));
            assert_eq!(parsed, expected, "{name}");
        }
    }

    #[test]
    fn a_set_is_complete_by_its_numbers() {
        let name = |index: usize, of: usize| format!("c/train-{index:05}-of-{of:05}.parquet");
        let complete = |names: &[String]| is_complete(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(complete(&[name(0, 2), name(1, 2)]));
        assert!(!complete(&[name(0, 2)]));
        assert!(!complete(&[name(0, 3), name(2, 3)]));
        assert!(complete(&["c/train.parquet".into()]));
        assert!(!complete(&["c/train/0000.parquet".into()]));
        assert!(!complete(&["c/train/a.parquet".into(), "c/train/b.parquet".into()]));
    }
}
