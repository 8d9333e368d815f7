#![no_main]
//! The zip format of PyTorch: directory, local headers, deflated entries.

use fuzz::{invariants, memory::MemoryFiles, peak};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((selector, input)) = input.split_first() else { return };
    let archive = [b"PK\x03\x04", input].concat();
    peak::at_most((32 << 20) + 4096 * archive.len(), || {
        let files = MemoryFiles::new([("pytorch_model.bin", &*archive)], selector & 1 == 1);
        invariants::hold(files.open(None));
    });
});
