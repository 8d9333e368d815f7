#![no_main]
//! The format before PyTorch 1.6: five pickles and storages.

use fuzz::{invariants, memory::MemoryFiles, peak};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((selector, input)) = input.split_first() else { return };
    let file = [b"\x80", input].concat();
    peak::at_most((32 << 20) + 512 * file.len(), || {
        let files = MemoryFiles::new([("pytorch_model.bin", &*file)], selector & 1 == 1);
        invariants::hold(files.open(None));
    });
});
