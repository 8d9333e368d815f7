//! Gets a data set's Parquet files from the Hub.

use std::collections::BTreeSet;

use super::{Listing, download};
use crate::cache::Snapshot;
use crate::dataset::{select, splits};
use crate::repository::Repository;
use crate::{DatasetFiles, Error, Hub, Observer};

impl Hub {
    /// Downloads them from the first of these revisions that has any; later ones need not exist.
    pub(crate) fn dataset_from_network(
        &self,
        repositories: &[Repository],
        config: &str,
        split: &str,
        observer: &dyn Observer,
    ) -> Result<DatasetFiles, Error> {
        let (client, cache) = (self.client()?, &self.settings.cache);
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
            download(&client, cache, &listing, &names, observer)?;
            let snapshot = Snapshot::at(cache, repository, &listing.commit);
            snapshot.name(cache, repository)?;
            return Ok(DatasetFiles::of(&snapshot, &names));
        }
        Err(Error::NoParquet {
            dataset: repositories.first().map(ToString::to_string).unwrap_or_default(),
            config: config.into(),
            split: split.into(),
            present: present.into_iter().collect(),
        })
    }
}
