#![no_main]
//! An index beside two sound shards, `a` with the tensor `w` and `b` with `x`.

use fuzz::{invariants, memory::MemoryFiles, peak};
use libfuzzer_sys::fuzz_target;

fn shard(tensor: &str) -> Vec<u8> {
    let header = format!(r#"{{"{tensor}":{{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}}}"#);
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[1, 2]].concat()
}

fuzz_target!(|index: &[u8]| {
    peak::at_most((8 << 20) + 512 * index.len(), || {
        let (a, b) = (shard("w"), shard("x"));
        let files = [("model.safetensors.index.json", index), ("a", &*a), ("b", &*b)];
        invariants::hold(MemoryFiles::new(files, false).open(None));
    });
});
