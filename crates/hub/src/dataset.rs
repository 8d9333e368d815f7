//! Finds the Parquet files of a data set: in the cache, or on the network.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;

use crate::cache::Snapshot;
#[cfg(feature = "network")]
use crate::network::Listing;
use crate::repository::{Kind, Repository};
use crate::{Error, Hub, Observer};

/// Where the Hub puts what it converts itself, with `<config>/<split>/0000.parquet` and so on.
const CONVERTED: &str = "refs/convert/parquet";

/// The Parquet files of one split of a data set, whether or not they are in the cache.
#[derive(Clone, Debug)]
pub struct DatasetFiles {
    /// Which commit they are of.
    pub commit: String,
    /// Their names in the repository, in the order of their rows.
    pub names: Vec<String>,
    pub(crate) repository: Repository,
    /// What an incomplete cache lacks, or may lack, while the network must not be used.
    pub(crate) missing: Option<String>,
    /// Where they can be fetched from, if they are not all in the cache.
    #[cfg(feature = "network")]
    pub(crate) listing: Option<Listing>,
}

impl DatasetFiles {
    /// Whether there is a file of this number, from 0, or may be one that nothing is known of.
    #[must_use]
    pub fn may_have(&self, number: usize) -> bool {
        number < self.names.len() || self.missing.is_some()
    }
}

impl Hub {
    /// Finds the Parquet files of a data set's split, and fetches none. They are looked for as people name them, then,
    /// at no particular revision, among what the Hub has converted. Data sets without a configuration have one called
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
        let wanted = format!("Parquet of configuration `{config}`, split `{split}`");
        for repository in &repositories {
            let Some(snapshot) = Snapshot::of(&self.settings.cache, &self.pinned(repository)) else {
                continue;
            };
            let present = snapshot.files();
            let mut names = select(present.iter().map(String::as_str), config, split);
            if names.is_empty() {
                continue;
            }
            let is_complete = is_complete(&names) || snapshot.lacks(&after_all(&names));
            if !is_complete && !self.settings.offline {
                break;
            }
            let missing = (!is_complete).then(|| {
                names.truncate(without_gap(&names));
                names.last().map_or_else(|| wanted.clone(), |last| format!("{wanted} after {last}"))
            });
            self.pin(repository.clone(), &snapshot.commit);
            return Ok(DatasetFiles {
                names: names.into_iter().map(str::to_owned).collect(),
                commit: snapshot.commit,
                repository: repository.clone(),
                missing,
                #[cfg(feature = "network")]
                listing: None,
            });
        }
        if self.settings.offline {
            return Err(self.offline_without(id, wanted));
        }
        #[cfg(feature = "network")]
        return self.dataset_from_network(&repositories, config, split, observer);
        #[cfg(not(feature = "network"))]
        {
            let _ = observer;
            Err(Error::NotBuilt { reference: id.into(), feature: "network" })
        }
    }

    /// Makes those of a data set's files be in the cache that have these numbers, and says where they are. Numbers may
    /// go beyond the last file: `0..usize::MAX` is all.
    ///
    /// # Errors
    /// [`Error::Offline`] if a number [may have](DatasetFiles::may_have) a file, but the cache does not; else as
    /// [`Hub::locate`].
    pub fn fetch_dataset_files(
        &self,
        files: &DatasetFiles,
        which: Range<usize>,
        observer: &dyn Observer,
    ) -> Result<Vec<PathBuf>, Error> {
        if let Some(missing) = files.missing.as_ref().filter(|_| which.end > files.names.len()) {
            return Err(self.offline_without(&files.repository.id, missing.clone()));
        }
        let snapshot = Snapshot::at(&self.settings.cache, &files.repository, &files.commit);
        let names: Vec<&str> =
            files.names.iter().skip(which.start).take(which.len()).map(String::as_str).collect();
        #[cfg(feature = "network")]
        self.download_dataset_files(files, &snapshot, &names, observer)?;
        #[cfg(not(feature = "network"))]
        let _ = observer;
        Ok(names.iter().map(|name| snapshot.folder.join(name)).collect())
    }

    fn offline_without(&self, id: &str, missing: String) -> Error {
        Error::Offline { reference: id.into(), missing, cache: self.settings.cache.clone() }
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
                None => (folder, file, Some((0, 1))),
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

/// Whether these are all files of a split, as far as their names tell.
pub(crate) fn is_complete(names: &[&str]) -> bool {
    let numbers = names.iter().map(|name| Parquet::parse(name)?.number).collect::<Option<BTreeSet<_>>>();
    numbers.is_some_and(|numbers| {
        numbers.len() == names.len() && numbers.iter().all(|(_, count)| *count == names.len())
    })
}

/// How many files there are from the first one on before one is missing, as far as their names tell.
fn without_gap(names: &[&str]) -> usize {
    let follows = |(index, name): &(usize, &&str)| {
        Parquet::parse(name).and_then(|parquet| parquet.number).is_none_or(|(number, _)| number == *index)
    };
    names.iter().enumerate().take_while(follows).count()
}

/// A file that no repository has. That it is noted to be absent tells of files without numbers that these are all.
pub(crate) fn after_all(names: &[&str]) -> String {
    format!("{}-of-{}", names.last().unwrap_or(&""), names.len())
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
            ("c/train.parquet", Some(("c", "train", Some((0, 1))))),
            ("data/train-00000-of-00001.parquet", Some(("default", "train", Some((0, 1))))),
            ("train-00000-of-00001.parquet", Some(("default", "train", Some((0, 1))))),
            ("train/0000.parquet", Some(("default", "train", None))),
            ("data/train-clean-00000-of-00002.parquet", Some(("default", "train-clean", Some((0, 2))))),
            ("data/train-00000.parquet", Some(("default", "train", None))),
            ("train.parquet", Some(("default", "train", Some((0, 1))))),
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
        assert!(complete(&[name(1, 2), name(2, 2)]), "some count from 1");
        assert!(!complete(&["c/train.parquet".into(), name(0, 2)]));
        assert!(!complete(&["c/train/0000.parquet".into()]));
        assert!(!complete(&["c/train/a.parquet".into()]));
        assert!(!complete(&["c/train/a.parquet".into(), "c/train/b.parquet".into()]));
    }

    #[test]
    fn files_after_a_gap_do_not_count() {
        let name = |index: usize| format!("c/train-{index:05}-of-00004.parquet");
        let count = |names: &[String]| without_gap(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(count(&[name(0), name(1), name(3)]), 2);
        assert_eq!(count(&[name(1), name(2)]), 0);
        assert_eq!(count(&["c/train/0001.parquet".into(), "c/train/b.parquet".into()]), 2);
    }
}
