//! What every task does the same way: start threads, open checkpoints, heed an interruption, leave out tables.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Opens a model and tells the observer.
pub(crate) fn open(side: Side, path: &Path, observer: &dyn Observer) -> Result<Checkpoint, Error> {
    let checkpoint = Checkpoint::open(path).map_err(|source| Error::Model { side, source })?;
    observer.opened(side, &checkpoint);
    Ok(checkpoint)
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
