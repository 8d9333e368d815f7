//! Pairs on engines of devices: each takes the next ones as soon as it is done.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

use rayon::ThreadPool;
use spectral::{Engine, Outcome};

use crate::Error;
use crate::matrix_row::spectral_dtype;
use crate::param_stats::{Run, Work};

/// Pairs that go to one engine together, by their indices.
type Task = Vec<usize>;

/// Compares all pairs. The outcomes are in their order.
pub(crate) fn compare_all(
    run: &Run<'_>,
    engines: &[Box<dyn Engine + Send>],
    pool: &ThreadPool,
    work: &[Work<'_>],
) -> Result<Vec<Outcome>, Error> {
    let tasks = tasks(run, engines, work);
    let starts: Vec<usize> =
        tasks.iter().scan(0, |start, task| Some(std::mem::replace(start, *start + task.len()))).collect();
    let in_order: Vec<&Work<'_>> = tasks.iter().flatten().map(|index| &work[*index]).collect();
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<Option<Outcome>>> = Mutex::new(vec![None; work.len()]);
    let take = |engine: &(dyn Engine + Send), ahead: &mpsc::Sender<usize>| -> Result<(), Error> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = tasks.get(number) else { return Ok(()) };
            // A thread that has ended has nothing left to read.
            let _ = ahead.send(starts[number]);
            let pairs: Vec<&Work<'_>> = task.iter().map(|index| &work[*index]).collect();
            let outcomes = pool.install(|| run.compare(engine, &pairs))?;
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            for (index, outcome) in task.iter().zip(outcomes) {
                found[*index] = Some(outcome);
            }
        }
    };
    let (ahead, upcoming) = mpsc::channel::<usize>();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut asked = 0;
            for start in upcoming {
                asked = run.read_ahead(&in_order, start, asked);
            }
        });
        let threads: Vec<_> = engines
            .iter()
            .map(|engine| {
                let (take, next, ahead) = (&take, &next, ahead.clone());
                let end = tasks.len();
                scope.spawn(move || {
                    // After a failure nobody takes another task.
                    take(&**engine, &ahead).inspect_err(|_| next.store(end, Ordering::Relaxed))
                })
            })
            .collect();
        drop(ahead);
        let mut ended = Ok(());
        for thread in threads {
            let result = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            ended = ended.and(result);
        }
        ended
    })?;
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(found.into_iter().flatten().collect())
}

/// Small pairs of one shape together, as the engines like them; the largest tasks first, so that all engines end at about
/// the same time.
fn tasks(run: &Run<'_>, engines: &[Box<dyn Engine + Send>], work: &[Work<'_>]) -> Vec<Task> {
    let mut tasks: Vec<Task> = Vec::new();
    let mut open: Vec<(_, usize, usize)> = Vec::new();
    for (index, pair) in work.iter().enumerate() {
        let dtypes = [pair.a.dtype, pair.b.dtype].map(spectral_dtype);
        let batch = engines.first().and_then(|engine| engine.batch(pair.shape(), dtypes, &run.numerics));
        let batch = batch.unwrap_or(1);
        let kind = (pair.shape(), dtypes);
        match open.iter_mut().find(|(of, ..)| *of == kind) {
            Some((_, task, room)) if *room > 0 => {
                tasks[*task].push(index);
                *room -= 1;
            }
            Some((_, task, room)) => {
                (*task, *room) = (tasks.len(), batch - 1);
                tasks.push(vec![index]);
            }
            None => {
                open.push((kind, tasks.len(), batch - 1));
                tasks.push(vec![index]);
            }
        }
    }
    let bytes = |task: &Task| task.iter().map(|index| work[*index].bytes()).sum::<u64>();
    tasks.sort_by_key(|task| std::cmp::Reverse(bytes(task)));
    tasks
}

#[cfg(test)]
mod tests;
