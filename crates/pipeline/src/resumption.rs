//! What a comparison has finished: taken over from a run that stopped, and kept for one that resumes this one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use spectral::Outcome;

use crate::fingerprint::Inputs;
use crate::journal::{Earlier, Journal};
use crate::{Error, Observer};

/// The file in the folder of the tables.
const FILE: &str = "param_stats.journal";

/// Takes the journal of a stopped run away, once there are tables by other means.
pub(crate) fn remove_journal(folder: &Path) {
    remove(&folder.join(FILE));
}

fn remove(journal: &Path) {
    // One that stays is of no use, and does no harm.
    let _ = std::fs::remove_file(journal);
}

/// The finished matrices of a comparison that is on its way.
pub(crate) struct Finished<'a> {
    path: PathBuf,
    observer: &'a dyn Observer,
    /// All matrices of the comparison.
    matrices: usize,
    kept: Mutex<Kept>,
}

struct Kept {
    /// None if it cannot be written.
    journal: Option<Journal>,
    /// Matrices of this comparison that are in it.
    count: usize,
}

impl<'a> Finished<'a> {
    /// Takes over what an earlier run into this folder finished, if this one is to resume it and compares the same:
    /// outcomes by name.
    pub(crate) fn start(
        folder: &Path,
        identity: &Inputs,
        names: &[&str],
        resume: bool,
        observer: &'a dyn Observer,
    ) -> (Self, HashMap<String, Outcome>) {
        let finished = Self {
            path: folder.join(FILE),
            observer,
            matrices: names.len(),
            kept: Mutex::new(Kept { journal: None, count: 0 }),
        };
        let path = || finished.path.clone();
        let earlier = finished.earlier(identity, resume).map(|earlier| {
            (names.iter().filter(|name| earlier.outcomes.contains_key(**name)).count(), earlier)
        });
        let (journal, outcomes) = match earlier {
            Some((count, mut earlier)) if resume => {
                finished.kept().count = count;
                observer.resumed(count, names.len());
                let outcomes = std::mem::take(&mut earlier.outcomes);
                (Journal::going_on(path(), earlier), outcomes)
            }
            earlier => {
                if let Some((count, _)) = earlier {
                    let of = names.len();
                    observer.warned(&format!(
                        "an earlier run finished {count} of {of} matrices; this one does not resume it"
                    ));
                }
                (Journal::new(path(), &identity.0), HashMap::new())
            }
        };
        match journal {
            Ok(journal) => finished.kept().journal = Some(journal),
            Err(error) => finished.cannot_be_kept(&error),
        }
        (finished, outcomes)
    }

    /// The journal of an earlier run that compared the same.
    fn earlier(&self, identity: &Inputs, resume: bool) -> Option<Earlier> {
        let warned = |message: &str| self.observer.warned(message);
        let earlier = Earlier::read(&self.path).unwrap_or_else(|error| {
            warned(&format!("{} is no journal of an earlier run: {error}", self.path.display()));
            None
        })?;
        if let Some(name) = identity.first_change(&earlier.identity) {
            if resume {
                warned(&format!("an earlier run cannot be resumed: {name} changed"));
            }
            return None;
        }
        if earlier.is_damaged && resume {
            let count = earlier.outcomes.len();
            warned(&format!("the journal of the earlier run is damaged after {count} matrices"));
        }
        Some(earlier)
    }

    /// Keeps a matrix.
    pub(crate) fn add(&self, name: &str, outcome: &Outcome) {
        let mut kept = self.kept();
        match kept.journal.as_mut().map(|journal| journal.append(name, outcome)) {
            Some(Ok(())) => kept.count += 1,
            Some(Err(error)) => {
                kept.journal = None;
                self.cannot_be_kept(&error);
            }
            None => {}
        }
    }

    /// A failure of the comparison, with a word on what is kept: nothing, if a model changed and the comparison can
    /// never be resumed.
    pub(crate) fn explained(&self, error: Error) -> Error {
        let (finished, matrices) = (self.kept().count, self.matrices);
        match error {
            _ if finished == 0 => error,
            Error::Interrupted => Error::ComparisonInterrupted { finished, matrices },
            Error::Model { source: weights_io::Error::Changed { .. }, .. } => {
                self.remove();
                error
            }
            error => {
                self.observer.warned(&format!(
                    "{finished} of {matrices} matrices are kept for a run that resumes this one"
                ));
                error
            }
        }
    }

    /// Takes the journal away.
    pub(crate) fn remove(&self) {
        remove(&self.path);
    }

    fn cannot_be_kept(&self, error: &std::io::Error) {
        let path = self.path.display();
        self.observer
            .warned(&format!("this run cannot be resumed from here on: {path} cannot be written: {error}"));
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
