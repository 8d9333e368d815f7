//! Parameter statistics of two checkpoints: norms and stable ranks of W_a, W_b and ΔW, matrix by matrix.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;

use hub::{Hub, Wanted};
use rayon::prelude::*;
use report::{LedgerRow, MatrixRow, SingularValueRow, Tables};
use spectral::{CpuEngine, Engine, NamedPair, Outcome};
use weights_io::{Checkpoint, Pairing, Status, TensorInfo, pairs};

use crate::fingerprint::Inputs;
use crate::matrix_row::spectral_dtype;
use crate::pair_bytes::PairBytes;
use crate::param_rows::ParamRows;
use crate::parts::{PART_FORMATS, Part, warn_of_others};
use crate::resumption::Finished;
use crate::setup::{open, still_the_same, thread_pool, unless_interrupted, unless_interrupted_meanwhile};
use crate::{Error, Observer, ParamStatsOptions, Share, Side, device_queue, devices, provenance};

/// What [`param_stats`] found and wrote.
#[derive(Clone, Debug)]
pub struct ParamStats {
    /// The folder with the tables; of a part, that with its own.
    pub folder: PathBuf,
    /// Which part of a comparison this is, if it is not all of it.
    pub share: Option<Share>,
    /// The files written.
    pub files: Vec<PathBuf>,
    /// Rows of `per_matrix`, in string order of their names.
    pub matrices: Vec<MatrixRow>,
    /// Rows of `singular_values`, in the order of the matrices; none if none were asked for.
    pub singular_values: Vec<SingularValueRow>,
    /// Rows of `ledger`, in string order of their names.
    pub ledger: Vec<LedgerRow>,
}

impl ParamStats {
    /// Names that the selection asked for and that could not be compared.
    pub fn gaps(&self) -> impl Iterator<Item = &LedgerRow> {
        self.ledger.iter().filter(|row| row.selected && row.status != crate::COMPARED)
    }
}

/// Compares the parameters of two checkpoints and writes `per_matrix`, `per_layer`, `per_component` and `ledger`, and
/// `singular_values` if some were asked for.
///
/// Tensors are read in storage order, each once into memory that the next one uses again; a pair of more than 1 GiB, or
/// a quarter of the memory that this process may use, is read anew in every pass, some rows at a time. So memory does
/// not grow with the model, nor with its largest matrix but for the length of a row. Small matrices run side by side, large
/// ones are divided among the threads.
///
/// Finished matrices are kept in a journal beside the tables until these have their names, so that a run that was stopped,
/// however that came about, can be resumed ([`ParamStatsOptions::resume`]).
///
/// # Errors
/// Every [`Error`]. Nothing is written then, but for the journal if any matrix was finished.
pub fn param_stats(
    options: &ParamStatsOptions,
    hub: &Hub,
    observer: &dyn Observer,
    interrupted: &AtomicBool,
) -> Result<ParamStats, Error> {
    unless_interrupted_meanwhile(compare(options, hub, observer, interrupted), interrupted)
}

fn compare(
    options: &ParamStatsOptions,
    hub: &Hub,
    observer: &dyn Observer,
    interrupted: &AtomicBool,
) -> Result<ParamStats, Error> {
    options.numerics.check().map_err(|source| Error::Settings { source })?;
    let engines = options.devices.engines()?;
    compare_with(options, &engines, hub, observer, interrupted)
}

/// `engines` are those of devices; none for the CPU.
pub(crate) fn compare_with(
    options: &ParamStatsOptions,
    engines: &[Box<dyn Engine + Send>],
    hub: &Hub,
    observer: &dyn Observer,
    interrupted: &AtomicBool,
) -> Result<ParamStats, Error> {
    let pool = thread_pool(options.threads)?;
    let tables_error = |source| Error::Tables { source };
    // Before models are fetched, which may take longer than all else.
    let formats = if options.share.is_some() { PART_FORMATS } else { &options.formats };
    let mut tables = Tables::create(options.place(), formats).map_err(tables_error)?;
    let open = |side, model| open(side, model, Wanted::default(), options.stream, hub, observer);
    let models = [open(Side::A, &options.model_a)?, open(Side::B, &options.model_b)?];
    let [a, b] = models.each_ref().map(|model| &model.checkpoint);

    let pairings = pairs(a, b, options.selection);
    let numerics = options.numerics_for(pairings.len());
    let engine = devices::description(engines);
    let provenance = provenance::of_param_stats(options, &models, &engine);
    let part = options.share.map(|share| Part::new(share, options, &models, &pairings, &provenance, &engine));
    options.share.iter().for_each(|share| warn_of_others(&options.folder(), *share, observer));
    if let Some(part) = part.as_ref().filter(|_| options.resume)
        && let Some(found) = part.finished_earlier(tables.folder(), observer)
    {
        return Ok(found);
    }
    let pairings = own(pairings, options.share);
    let all: Vec<Work<'_>> = pairings.iter().filter_map(Work::of).collect();
    let identity = Inputs::of_comparison(&numerics, &models, &engine);
    let names: Vec<&str> = all.iter().map(Work::name).collect();
    let (finished, mut earlier) =
        Finished::start(tables.folder(), &identity, &names, options.resume, observer);
    let (mut work, mut compared) = (Vec::new(), Vec::new());
    for pair in all {
        match earlier.remove(pair.name()) {
            Some(outcome) => compared.push((pair, outcome)),
            None => work.push(pair),
        }
    }
    observer.started(work.len(), work.iter().map(Work::bytes).sum());
    let bytes = PairBytes::new([a, b]);
    let run = Run { a, b, bytes, numerics, observer, interrupted, finished: &finished };
    let stopped = |error| finished.explained(unless_interrupted(interrupted).err().unwrap_or(error));
    let outcomes = match engines {
        [] => pool.install(|| run.compare_all(&work)),
        engines => device_queue::compare_all(&run, engines, &pool, &work),
    };
    let outcomes = outcomes.map_err(stopped)?;
    compared.extend(work.into_iter().zip(outcomes));

    let rows = ParamRows::of(compared, &pairings, [a, b], numerics.top_k);
    match part {
        Some(part) => part.stage(&rows, &mut tables, options.has_singular_values()),
        None => rows.stage(&mut tables, options.has_singular_values(), options.zero_deltas, &provenance),
    }
    .map_err(stopped)?;
    unless_interrupted(interrupted).map_err(stopped)?;
    still_the_same(&models).map_err(stopped)?;
    let files = tables.finish().map_err(tables_error)?;
    finished.remove();
    let ParamRows { matrices, singular_values, ledger } = rows;
    let (folder, share) = (options.place(), options.share);
    Ok(ParamStats { folder, share, files, matrices, singular_values, ledger })
}

/// The names of one part, or all.
fn own(pairings: Vec<Pairing<'_>>, share: Option<Share>) -> Vec<Pairing<'_>> {
    let Some(share) = share else { return pairings };
    let size = |pairing: &Pairing<'_>| Work::of(pairing).map_or(0, |work| work.bytes());
    let things: Vec<(u64, &str)> =
        pairings.iter().map(|pairing| (size(pairing), pairing.name.as_str())).collect();
    let mut own = share.of(&things).into_iter().peekable();
    let pairings = pairings.into_iter().enumerate();
    pairings.filter_map(|(index, pairing)| own.next_if_eq(&index).map(|_| pairing)).collect()
}

/// A pair of matrices to compare.
pub(crate) struct Work<'a> {
    pub(crate) pairing: &'a Pairing<'a>,
    pub(crate) a: &'a TensorInfo,
    pub(crate) b: &'a TensorInfo,
}

/// Bytes of a pair up to which it is one thread's work.
const SMALL: u64 = 8 << 20;
/// Bytes of small pairs that run side by side.
const BATCH: u64 = 64 << 20;
/// Bytes that are read ahead while the pairs before them are computed, at least; and always one pair.
const READ_AHEAD: u64 = 256 << 20;

impl<'a> Work<'a> {
    fn of(pairing: &'a Pairing<'a>) -> Option<Self> {
        if pairing.status != Status::Comparable {
            return None;
        }
        Some(Self { pairing, a: pairing.a.tensor()?, b: pairing.b.tensor()? })
    }

    fn name(&self) -> &'a str {
        &self.pairing.name
    }

    /// Rows and columns of a two-dimensional tensor.
    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.a.shape[0], self.a.shape[1])
    }

    /// On both sides together.
    pub(crate) fn bytes(&self) -> u64 {
        let size = |tensor: &TensorInfo| (tensor.element_count() * tensor.dtype.size()) as u64;
        size(self.a) + size(self.b)
    }
}

/// What the comparison of pairs needs.
pub(crate) struct Run<'a> {
    a: &'a Checkpoint,
    b: &'a Checkpoint,
    bytes: PairBytes<'a>,
    pub(crate) numerics: spectral::Options,
    observer: &'a dyn Observer,
    interrupted: &'a AtomicBool,
    finished: &'a Finished<'a>,
}

impl Run<'_> {
    /// On the CPU.
    fn compare_all(&self, work: &[Work<'_>]) -> Result<Vec<Outcome>, Error> {
        let in_order: Vec<&Work<'_>> = work.iter().collect();
        let in_order = in_order.as_slice();
        // A thread could ask too late for small pairs that are read at once: they would be fetched a second time.
        let first = match batch_length(work) {
            1 => 0,
            pairs => self.read_ahead(&in_order[..pairs], 0, 0),
        };
        // Asking for pages may take as long as reading them, so a thread of its own does it.
        let (ahead, upcoming) = mpsc::channel::<usize>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let mut asked = first;
                for start in upcoming {
                    asked = self.read_ahead(in_order, start, asked);
                }
            });
            let mut outcomes = Vec::with_capacity(work.len());
            let mut start = 0;
            let _ = ahead.send(start);
            while start < work.len() {
                let end = start + batch_length(&work[start..]);
                // A thread that has ended has nothing left to read.
                let _ = ahead.send(end);
                let batch: Vec<Result<Vec<Outcome>, Error>> =
                    in_order[start..end].par_iter().map(|work| self.compare(&CpuEngine, &[work])).collect();
                for outcome in batch {
                    outcomes.extend(outcome?);
                }
                start = end;
            }
            drop(ahead);
            Ok(outcomes)
        })
    }

    /// Pairs of one shape and the same dtypes by one engine.
    pub(crate) fn compare(&self, engine: &dyn Engine, work: &[&Work<'_>]) -> Result<Vec<Outcome>, Error> {
        unless_interrupted(self.interrupted)?;
        let Some(first) = work.first() else { return Ok(Vec::new()) };
        let dtypes = [first.a.dtype, first.b.dtype].map(spectral_dtype);
        let hold = engine.batch(first.shape(), dtypes, &self.numerics).is_none();
        let tensors: Vec<[&TensorInfo; 2]> = work.iter().map(|work| [work.a, work.b]).collect();
        let outcomes = self
            .bytes
            .with_matrices(&tensors, hold, |matrices| {
                let pairs = work.iter().zip(matrices);
                let pairs = pairs.map(|(work, [a, b])| NamedPair { name: work.name(), a: *a, b: *b });
                engine.summarize(&pairs.collect::<Vec<_>>(), &self.numerics)
            })?
            .map_err(|source| Error::Matrix {
                name: first.name().to_owned(),
                others: work.len() - 1,
                source,
            })?;
        for (work, outcome) in work.iter().zip(&outcomes) {
            self.finished.add(work.name(), outcome);
            self.observer.compared(work.name(), work.bytes());
        }
        Ok(outcomes)
    }

    /// Asks for the pairs from `start` on, as far ahead as [`READ_AHEAD`] says, but for those before `asked`. Returns the
    /// first that was not asked for.
    pub(crate) fn read_ahead(&self, work: &[&Work<'_>], start: usize, asked: usize) -> usize {
        let mut bytes = 0;
        let mut next = start;
        while next < work.len() && bytes < READ_AHEAD {
            if next >= asked {
                self.a.will_need(work[next].a);
                self.b.will_need(work[next].b);
            }
            bytes += work[next].bytes();
            next += 1;
        }
        next.max(asked)
    }
}

/// How many pairs run side by side: small ones up to a sum, or one large one.
fn batch_length(work: &[Work<'_>]) -> usize {
    let mut bytes = 0;
    let small = work.iter().take_while(|work| {
        bytes += work.bytes();
        work.bytes() <= SMALL && bytes <= BATCH
    });
    small.count().max(1)
}
