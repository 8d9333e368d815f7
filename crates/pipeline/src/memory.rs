//! How much memory this process may use.

use activations::free_memory;
use candle_core::Device;
use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};

/// A quarter of the memory that this process may use; 4 GiB where that cannot be told.
pub(crate) fn default_budget() -> u64 {
    const UNKNOWN: u64 = 16 << 30;
    allowed().filter(|bytes| *bytes > 0).unwrap_or(UNKNOWN) / 4
}

/// On a GPU with memory of its own about four fifths of what is free there: what is not counted is small beside the rest.
pub(crate) fn default_budget_on(device: &Device) -> u64 {
    free_memory(device).map_or_else(default_budget, |free| coarse(free / 5 * 4))
}

/// The next lower multiple of an eighth of its highest power of two: a few bytes more or less that are free must not make
/// other batches, which would change the last bits of results.
fn coarse(bytes: u64) -> u64 {
    let step = 1 << bytes.max(8).ilog2().saturating_sub(3);
    bytes / step * step
}

/// The memory of the machine, or what the control group and the limits of this process allow of it.
fn allowed() -> Option<u64> {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let mut system = System::new_with_specifics(memory).ok()?;
    let own = Pid::from_u32(std::process::id());
    let nothing_more = ProcessRefreshKind::nothing().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, nothing_more);
    let of_process = system.process(own).and_then(sysinfo::Process::cgroup_limits);
    let limits = [of_process, system.cgroup_limits()].into_iter().flatten().map(|limits| limits.total_memory);
    limits.chain([system.total_memory()]).chain(address_space()).min()
}

/// What `ulimit -v` leaves.
#[cfg(unix)]
fn address_space() -> Option<u64> {
    rustix::process::getrlimit(rustix::process::Resource::As).current
}

#[cfg(not(unix))]
fn address_space() -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    #[test]
    fn budgets_of_a_gpu_are_a_few_and_lose_an_eighth_at_most() {
        for bytes in [0, 7, 8, 1000, (78 << 30) / 5 * 4, u64::MAX] {
            let budget = super::coarse(bytes);
            assert!(budget <= bytes && budget >= bytes / 8 * 7, "{bytes} {budget}");
            assert!(budget >> budget.max(8).ilog2().saturating_sub(3) < 16, "{bytes} {budget}");
        }
        assert_eq!(super::coarse((63 << 30) + 123), super::coarse(62 << 30));
    }

    #[test]
    fn the_default_budget_is_neither_nothing_nor_the_address_space() {
        let budget = super::default_budget();
        assert!((1 << 20..1 << 50).contains(&budget), "{budget}");
    }
}
