//! Gets a model from the Hub.

use std::sync::{Arc, PoisonError};

use intake::shown;

use super::{Client, Listing, RemoteFiles, download};
use crate::cache::Snapshot;
use crate::repository::Repository;
use crate::selection::{is_index, small_files, weights};
use crate::{Error, Hub, Located, Observer, Place, Wanted};

impl Hub {
    /// The client, which is made when it is first needed.
    pub(crate) fn client(&self) -> Result<Arc<Client>, Error> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*client {
            return Ok(Arc::clone(client));
        }
        Ok(Arc::clone(client.insert(Client::new(&self.settings, Arc::clone(&self.interrupted))?)))
    }

    /// Downloads a model, or says where it can be read from.
    pub(crate) fn model_from_network(
        &self,
        repository: &Repository,
        wanted: Wanted,
        stream: bool,
        observer: &dyn Observer,
    ) -> Result<Located, Error> {
        let (client, cache) = (self.client()?, &self.settings.cache);
        let listing = Listing::get(&client, repository, observer)?;
        let commit = Some(listing.commit.clone());
        let no_weights = || Error::NoWeights { place: repository.to_string() };
        let choice = weights(|name| listing.has(name)).ok_or_else(no_weights)?;
        if stream {
            // A refusal is best known now, before anything is opened.
            listing.head(&client, choice, observer)?;
            let files = RemoteFiles { client, listing, prefetcher: Arc::clone(&self.prefetcher) };
            return Ok(Located { place: Place::Remote(Arc::new(files)), file: None, commit });
        }
        let snapshot = Snapshot::at(cache, repository, &listing.commit);
        let mut names = vec![choice.to_owned()];
        if is_index(choice) {
            download(&client, cache, &listing, &[choice], &OnlyWaiting(observer))?;
            names.extend(shards_of(&listing, &snapshot, choice)?);
        }
        let (present, absent): (Vec<_>, Vec<_>) = small_files(wanted).partition(|name| listing.has(name));
        let names: Vec<&str> = present.into_iter().chain(names.iter().map(String::as_str)).collect();
        download(&client, cache, &listing, &names, observer)?;
        for name in absent {
            snapshot.note_absent(name)?;
        }
        snapshot.name(cache, repository)?;
        Ok(Located { place: Place::Local(snapshot.folder), file: None, commit })
    }
}

/// The weight files that a downloaded index names, each of which the repository must have.
fn shards_of(listing: &Listing, snapshot: &Snapshot, index: &str) -> Result<Vec<String>, Error> {
    let wrong = |reason: String| Error::Index {
        repository: listing.repository.to_string(),
        file: index.into(),
        reason,
    };
    let shards = snapshot.shards(index).map_err(|error| wrong(format!("cannot be used: {error}")))?;
    match shards.iter().find(|shard| !listing.has(shard)) {
        Some(shard) => Err(wrong(format!("names {}, which the repository does not have", shown(shard)))),
        None => Ok(shards),
    }
}

/// Keeps the index, a small file, out of the account.
struct OnlyWaiting<'a>(&'a dyn Observer);

impl Observer for OnlyWaiting<'_> {
    fn waiting(&self, why: &str) {
        self.0.waiting(why);
    }
}
