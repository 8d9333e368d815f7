#![no_main]
//! A whole folder cut out of the input: a selector, three lengths of two bytes, then `config.json`, an index and two
//! files with weights of any format, `a` and `b`.

use fuzz::{invariants, memory::MemoryFiles, peak};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&[selector, ref lengths @ ..], mut rest)) = input.split_first_chunk::<7>() else { return };
    let mut next = |at: usize| {
        let length = usize::from(u16::from_le_bytes([lengths[at], lengths[at + 1]]));
        let (file, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        file
    };
    let (config, index, a) = (next(0), next(2), next(4));
    let b = rest;
    let chosen = |bit: u8, yes, no| if selector & bit != 0 { yes } else { no };
    let index_name = chosen(1, "pytorch_model.bin.index.json", "model.safetensors.index.json");
    let mut files = vec![("config.json", config), ("a", a), ("b", b)];
    if selector & 2 == 0 {
        files.push((index_name, index));
    } else {
        files.push(("model.safetensors", a));
        files.push(("pytorch_model.bin", b));
    }
    let file = (selector & 4 != 0).then_some(chosen(8, "a", "b"));
    peak::at_most((32 << 20) + 4096 * input.len(), || {
        let files = MemoryFiles::new(files, selector & 16 != 0);
        invariants::hold_and_pair(files.open(file));
    });
});
