//! A hint to the processor: the only `unsafe` of this crate.
#![allow(unsafe_code)] // the prefetch instruction has no safe interface yet

/// Asks for bytes that will be read soon. Tiles visit many rows for a short stretch each, which the hardware's own
/// prefetcher does not follow.
#[inline(always)]
pub(crate) fn prefetch(bytes: &[u8]) {
    const CACHE_LINE: usize = 64;
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(CACHE_LINE) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch neither faults nor changes memory, and the address is that of a live slice.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, CACHE_LINE); // no stable intrinsic there
}
