#![no_main]
//! A pickle in a sound archive: the machine, the lowering to plain data, the state dict, and the tensors' places.

use fuzz::{archive, invariants, memory::MemoryFiles, peak};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|pickle: &[u8]| {
    let archive = archive::around(pickle);
    peak::at_most((32 << 20) + 512 * archive.len(), || {
        invariants::hold(MemoryFiles::new([("pytorch_model.bin", &*archive)], false).open(None));
    });
});
