//! The prefetcher against bytes in memory.

use std::sync::atomic::AtomicU64;

use proptest::prelude::*;

use super::spans::Stage;
use super::*;

/// A file in memory, which notes what is asked of it.
#[derive(Debug, Default)]
struct Memory {
    bytes: Vec<u8>,
    asked: Mutex<Vec<Range<u64>>>,
    /// So many requests fail, after these.
    fail_after: AtomicU64,
    failures: AtomicU64,
    /// Requests wait while this is set.
    blocked: AtomicBool,
    chunk: usize,
}

impl Memory {
    fn new(length: usize) -> Self {
        let bytes = (0..length).map(|index| (index * 31 % 251) as u8).collect();
        Self { bytes, chunk: 7, ..Self::default() }
    }

    fn asked(&self) -> Vec<Range<u64>> {
        self.asked.lock().unwrap().clone()
    }
}

fn lowered(count: &AtomicU64) -> bool {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1)).is_ok()
}

impl Fetch for Memory {
    fn fetch(
        &self,
        range: Range<u64>,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.asked.lock().unwrap().push(range.clone());
        while self.blocked.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if !lowered(&self.fail_after) && lowered(&self.failures) {
            return Err(Error::Status { address: "memory".into(), status: 500, message: String::new() });
        }
        for chunk in self.bytes[range.start as usize..range.end as usize].chunks(self.chunk) {
            sink(chunk)?;
        }
        Ok(())
    }
}

/// A prefetcher over one file.
struct Bench {
    prefetcher: Prefetcher,
    memory: Arc<Memory>,
    object: Arc<dyn Fetch>,
    interrupted: Arc<AtomicBool>,
}

impl Bench {
    fn new(memory: Memory, limits: Limits) -> Self {
        let interrupted = Arc::new(AtomicBool::new(false));
        let memory = Arc::new(memory);
        let object: Arc<dyn Fetch> = memory.clone();
        Self {
            prefetcher: Prefetcher::with_limits(limits, Arc::clone(&interrupted)),
            memory,
            object,
            interrupted,
        }
    }

    fn will_need(&self, range: Range<usize>) {
        self.prefetcher.will_need(0, &self.object, range);
    }

    fn read(&self, range: Range<usize>) -> Result<Vec<u8>, Error> {
        self.prefetcher.read(0, &self.object, &range)
    }

    fn held(&self) -> usize {
        self.prefetcher.shared.lock().held
    }

    fn wait(&self, what: impl Fn(&State) -> bool) {
        for _ in 0..2000 {
            if what(&self.prefetcher.shared.lock()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("{:?}", self.prefetcher.shared.lock());
    }
}

const SMALL: Limits = Limits { workers: 3, piece: 10, budget: 50 };

#[test]
fn what_was_asked_for_ahead_is_there_and_fetched_once() {
    let bench = Bench::new(Memory::new(1000), SMALL);
    bench.will_need(0..25);
    bench.wait(|state| state.spans.values().all(Span::is_settled));
    let mut asked = bench.memory.asked();
    asked.sort_by_key(|range| range.start);
    assert_eq!(asked, [0..10, 10..20, 20..25]);
    assert_eq!(bench.read(0..25).unwrap(), bench.memory.bytes[..25]);
    assert_eq!(bench.memory.asked().len(), 3);
    assert_eq!(bench.held(), 0);
}

#[test]
fn a_span_can_be_read_in_steps_and_is_dropped_at_its_end() {
    let bench = Bench::new(Memory::new(1000), SMALL);
    bench.will_need(0..30);
    for range in [0..8, 3..20, 8..30] {
        assert_eq!(bench.read(range.clone()).unwrap(), bench.memory.bytes[range]);
    }
    assert_eq!(bench.memory.asked().len(), 3);
    assert_eq!(bench.held(), 0);
}

#[test]
fn the_budget_bounds_what_is_held_and_blocks_no_reader() {
    let bench = Bench::new(Memory::new(1000), SMALL);
    for start in (0..1000).step_by(20) {
        bench.will_need(start..start + 20);
    }
    bench.wait(|state| state.spans.values().filter(|span| span.is_settled()).count() == 2);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(bench.held(), 40);
    // The last one is far behind in the queue, and something that nobody announced is in no queue.
    assert_eq!(bench.read(980..1000).unwrap(), bench.memory.bytes[980..]);
    assert_eq!(bench.read(5..75).unwrap(), bench.memory.bytes[5..75]);
    assert_eq!(bench.held(), 40);
    bench.prefetcher.give_back(0, &(0..1000));
    assert_eq!(bench.held(), 0);
    assert!(bench.prefetcher.shared.lock().spans.is_empty());
}

#[test]
fn a_range_larger_than_the_budget_comes_alone() {
    let bench = Bench::new(Memory::new(1000), SMALL);
    bench.will_need(0..100);
    bench.will_need(500..520);
    bench.wait(|state| state.spans.values().next().is_some_and(Span::is_settled));
    assert_eq!(bench.held(), 100);
    assert_eq!(bench.read(0..100).unwrap(), bench.memory.bytes[..100]);
    bench.wait(|state| state.held == 20);
}

#[test]
fn a_range_larger_than_memory_is_an_error_of_its_own() {
    let bench = Bench::new(Memory::new(100), SMALL);
    let beyond = usize::MAX / 2; // more than any allocation may have
    bench.will_need(0..beyond + 1);
    assert!(matches!(bench.read(0..beyond + 1), Err(Error::Memory { needed }) if needed == beyond + 1));
    assert_eq!(bench.read(0..10).unwrap(), bench.memory.bytes[..10]);
    assert_eq!(bench.held(), 0);
}

#[test]
fn small_ranges_that_wait_are_fetched_in_one_request() {
    let bench = Bench::new(Memory::new(1000), Limits { piece: 100, budget: 200, workers: 1 });
    bench.memory.blocked.store(true, Ordering::Relaxed);
    bench.will_need(900..910);
    bench.wait(|state| state.held == 10);
    for start in [0, 12, 30, 95] {
        bench.will_need(start..start + 8);
    }
    bench.memory.blocked.store(false, Ordering::Relaxed);
    for start in [12, 0, 30, 95] {
        assert_eq!(bench.read(start..start + 8).unwrap(), bench.memory.bytes[start..start + 8]);
    }
    assert_eq!(bench.memory.asked(), [900..910, 0..38, 95..103]);
    assert_eq!(bench.held(), 10);
}

#[test]
fn what_is_given_back_while_it_arrives_is_dropped_at_once() {
    let bench = Bench::new(Memory::new(1000), SMALL);
    bench.memory.blocked.store(true, Ordering::Relaxed);
    bench.will_need(0..50);
    bench.wait(|state| state.held == 50);
    bench.prefetcher.give_back(0, &(0..50));
    assert_eq!(bench.held(), 0);
    bench.memory.blocked.store(false, Ordering::Relaxed);
    assert_eq!(bench.read(0..50).unwrap(), bench.memory.bytes[..50]);
}

#[test]
fn an_error_waits_for_its_reader_and_the_next_one_tries_again() {
    let memory = Memory::new(1000);
    memory.failures.store(1, Ordering::Relaxed);
    let bench = Bench::new(memory, SMALL);
    bench.will_need(0..20);
    bench.wait(|state| state.held == 0);
    assert!(matches!(bench.read(0..20), Err(Error::Status { status: 500, .. })));
    assert_eq!(bench.read(0..20).unwrap(), bench.memory.bytes[..20]);
}

#[test]
fn a_reader_does_not_meet_an_error_that_another_took() {
    let bench = Bench::new(Memory::new(100), SMALL);
    let mut state = State::default();
    let number = state.add(0, &bench.object, 0..10);
    let failed = Error::Status { address: "memory".into(), status: 500, message: String::new() };
    state.change(number, |span| (span.readers, span.stage) = (1, Stage::Failed(Some(failed))));
    assert!(matches!(state.take(number, &(0..10)), Some(Err(_))));
    // The other reader has not awoken yet; a third one would wait with the lock in its hand.
    assert_eq!(state.find(0, &(0..10)), None);
    assert!(state.take(number, &(0..10)).is_none());
}

#[test]
fn an_interruption_ends_readers_and_a_drop_ends_threads() {
    let bench = Bench::new(Memory::new(1000), SMALL);
    bench.memory.blocked.store(true, Ordering::Relaxed);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| bench.read(0..20));
        bench.wait(|state| state.held == 20);
        bench.interrupted.store(true, Ordering::Relaxed);
        assert!(matches!(reader.join().unwrap(), Err(Error::Interrupted)));
    });
    let shared = Arc::downgrade(&bench.prefetcher.shared);
    bench.memory.blocked.store(false, Ordering::Relaxed);
    drop(bench);
    for _ in 0..2000 {
        if shared.strong_count() == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("a thread is still there");
}

#[derive(Clone, Debug)]
enum Step {
    WillNeed(Range<usize>),
    Read(Range<usize>),
    GiveBack(Range<usize>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let range = || (0..500_usize, 0..120_usize).prop_map(|(start, length)| start..(start + length).min(500));
    let step = prop_oneof![
        range().prop_map(Step::WillNeed),
        range().prop_map(Step::Read),
        range().prop_map(Step::GiveBack)
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever is announced, read and given back, by two threads at once and with requests that fail: each read has the
    /// right bytes or the error of a request, never more errors than there were failures, and nothing is left over.
    #[test]
    fn any_order_gives_the_right_bytes(
        steps in steps(), more in steps(), fail_after in 0_u64..20, failures in 0_u64..3, budget in 1..200_usize,
    ) {
        let mut memory = Memory::new(500);
        memory.fail_after = fail_after.into();
        memory.failures = failures.into();
        let bench = Bench::new(memory, Limits { workers: 3, piece: 16, budget });
        let errors = AtomicU64::new(0);
        let walk = |steps: &[Step]| {
            for step in steps {
                match step.clone() {
                    Step::WillNeed(range) => bench.will_need(range),
                    Step::GiveBack(range) => bench.prefetcher.give_back(0, &range),
                    Step::Read(range) => match bench.read(range.clone()) {
                        Ok(bytes) => assert_eq!(bytes, bench.memory.bytes[range]),
                        Err(_) => { errors.fetch_add(1, Ordering::Relaxed); }
                    },
                }
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| walk(&more));
            walk(&steps);
        });
        prop_assert!(errors.into_inner() <= failures);
        bench.prefetcher.give_back(0, &(0..500));
        prop_assert_eq!(bench.held(), 0);
        prop_assert!(bench.prefetcher.shared.lock().spans.is_empty());
    }
}
