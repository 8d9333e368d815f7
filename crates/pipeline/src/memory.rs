//! How much memory this process may use.

use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};

/// A quarter of the memory that this process may use; 4 GiB where that cannot be told.
pub(crate) fn default_budget() -> u64 {
    const UNKNOWN: u64 = 16 << 30;
    allowed().filter(|bytes| *bytes > 0).unwrap_or(UNKNOWN) / 4
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
    fn the_default_budget_is_neither_nothing_nor_the_address_space() {
        let budget = super::default_budget();
        assert!((1 << 20..1 << 50).contains(&budget), "{budget}");
    }
}
