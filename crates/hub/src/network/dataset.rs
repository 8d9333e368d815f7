//! Gets a data set's Parquet files from the Hub.

use std::collections::BTreeSet;

use super::{Listing, download};
use crate::cache::Snapshot;
use crate::dataset::{after_all, is_complete, select, splits};
use crate::repository::Repository;
use crate::{DatasetFiles, Error, Hub, Observer};

impl Hub {
    /// Finds them in the first of these revisions that has any; later ones need not exist.
    pub(crate) fn dataset_from_network(
        &self,
        repositories: &[Repository],
        config: &str,
        split: &str,
        observer: &dyn Observer,
    ) -> Result<DatasetFiles, Error> {
        let client = self.client()?;
        let mut present = BTreeSet::new();
        for (index, repository) in repositories.iter().enumerate() {
            let listing = match Listing::get(&client, &self.pinned(repository), observer) {
                Err(Error::NoSuchRevision { .. }) if index > 0 => continue,
                listing => listing?,
            };
            self.pin(repository.clone(), &listing.commit);
            let names = select(listing.names(), config, split);
            if names.is_empty() {
                present.extend(splits(listing.names()));
                continue;
            }
            return Ok(DatasetFiles {
                commit: listing.commit.clone(),
                names: names.into_iter().map(str::to_owned).collect(),
                repository: repository.clone(),
                missing: None,
                listing: Some(listing),
            });
        }
        Err(Error::NoParquet {
            dataset: repositories.first().map(ToString::to_string).unwrap_or_default(),
            config: config.into(),
            split: split.into(),
            present: present.into_iter().collect(),
        })
    }

    /// Downloads those of these files that are not in the cache yet.
    pub(crate) fn download_dataset_files(
        &self,
        files: &DatasetFiles,
        snapshot: &Snapshot,
        names: &[&str],
        observer: &dyn Observer,
    ) -> Result<(), Error> {
        let Some(listing) = files.listing.as_ref().filter(|_| !names.is_empty()) else { return Ok(()) };
        let cache = &self.settings.cache;
        download(&self.client()?, cache, listing, names, observer)?;
        let all: Vec<&str> = files.names.iter().map(String::as_str).collect();
        if !is_complete(&all) && all.iter().all(|name| snapshot.has(name)) {
            snapshot.note_absent(&after_all(&all))?;
        }
        snapshot.name(cache, &files.repository)
    }
}
