#![no_main]
//! A `config.json` beside sound weights with an output head that it may tie to the embedding.

use fuzz::{invariants, memory::MemoryFiles, peak};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|config: &[u8]| {
    let header = concat!(
        r#"{"wte.weight":{"dtype":"U8","shape":[2,2],"data_offsets":[0,4]},"#,
        r#""lm_head.weight":{"dtype":"U8","shape":[2,2],"data_offsets":[4,8]}}"#
    );
    let weights =
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[1, 2, 3, 4, 1, 2, 3, 4]].concat();
    peak::at_most((8 << 20) + 512 * config.len(), || {
        let opened =
            MemoryFiles::new([("config.json", config), ("model.safetensors", &*weights)], false).open(None);
        if let Ok(checkpoint) = &opened {
            assert_eq!(checkpoint.tensors().len(), 2, "a configuration adds and takes no tensor");
        }
        invariants::hold_and_pair(opened);
    });
});
