//! What every task does the same way: start threads, open checkpoints, heed an interruption, leave out tables.

use std::sync::atomic::{AtomicBool, Ordering};

use hub::{Hub, ModelReference, Wanted};
use rayon::ThreadPool;
use report::{Provenance, Row, Tables};
use weights_io::Checkpoint;

use crate::{Error, Observer, Side};

/// So many threads; 0 for one a core.
pub(crate) fn thread_pool(threads: usize) -> Result<ThreadPool, Error> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|source| Error::Threads { threads, source })
}

/// What a task ended with. An error once the flag is set comes of the interruption: downloads and streams end with it.
pub(crate) fn unless_interrupted_meanwhile<T>(
    ended: Result<T, Error>,
    interrupted: &AtomicBool,
) -> Result<T, Error> {
    ended.map_err(|error| match error {
        Error::ComparisonInterrupted { .. } => error, // says more
        error => unless_interrupted(interrupted).err().unwrap_or(error),
    })
}

/// A model of a task.
pub(crate) struct OpenModel {
    pub(crate) side: Side,
    /// What it was called.
    pub(crate) reference: ModelReference,
    /// Which commit of its repository it is, if it comes from one.
    pub(crate) commit: Option<String>,
    pub(crate) checkpoint: Checkpoint,
}

/// Finds and opens a model, and tells the observer.
pub(crate) fn open(
    side: Side,
    reference: &ModelReference,
    wanted: Wanted,
    stream: bool,
    hub: &Hub,
    observer: &dyn Observer,
) -> Result<OpenModel, Error> {
    let located =
        hub.locate(reference, wanted, stream, observer.downloads()).map_err(|source| match source {
            hub::Error::Interrupted => Error::Interrupted,
            source => Error::NotObtained { side, source: Box::new(source) },
        })?;
    let checkpoint = located.open().map_err(|source| Error::Model { side, source })?;
    observer.opened(side, &checkpoint);
    Ok(OpenModel { side, reference: reference.clone(), commit: located.commit, checkpoint })
}

/// Sees that no weight file was changed since it was opened: what was computed would be of two models at once.
pub(crate) fn still_the_same(models: &[OpenModel]) -> Result<(), Error> {
    models.iter().try_for_each(|OpenModel { side, checkpoint, .. }| {
        checkpoint.unchanged().map_err(|source| Error::Model { side: *side, source })
    })
}

/// [`Error::Interrupted`] if the flag is set.
pub(crate) fn unless_interrupted(interrupted: &AtomicBool) -> Result<(), Error> {
    if interrupted.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
}

/// Stages a table that this run makes; one that it does not make must not be left over from an earlier run.
pub(crate) fn stage_if<R: Row>(
    made: bool,
    tables: &mut Tables,
    rows: &[R],
    provenance: &Provenance,
) -> Result<(), Error> {
    if made {
        return tables.stage(rows, provenance).map_err(|source| Error::Tables { source });
    }
    tables.leave_out::<R>();
    Ok(())
}
