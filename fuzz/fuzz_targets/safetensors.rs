#![no_main]
//! A safetensors header. Its length comes first in the input as two bytes, so that mutations rarely spoil it; half of
//! the inputs are whole files.

use fuzz::{invariants, memory::MemoryFiles, peak};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((selector, input)) = input.split_first() else { return };
    let file = match (selector & 1, input) {
        (0, [low, high, rest @ ..]) => {
            let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
            [&(length as u64).to_le_bytes(), rest].concat()
        }
        _ => input.to_vec(),
    };
    peak::at_most((32 << 20) + 512 * file.len(), || {
        invariants::hold(MemoryFiles::new([("model.safetensors", &*file)], false).open(None));
    });
});
