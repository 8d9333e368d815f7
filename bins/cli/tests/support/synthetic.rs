//! A pair of models that is work for a while: unlike the fixtures, and unlike models of zeros.
#![allow(dead_code)] // no tool needs all of it

use std::collections::BTreeMap;
use std::path::Path;

use super::support::safetensors_head;

/// Models `a` and `b` with so many matrices to compare, some unchanged, some with entries that are no numbers.
pub(crate) fn synthetic_pair(folder: &Path, matrices: usize) {
    const SHAPE: [usize; 2] = [96, 160];
    let name = |index: usize| {
        format!("model.layers.{}.mlp.{}.weight", index / 2, ["up_proj", "down_proj"][index % 2])
    };
    let tensors: Vec<_> = (0..matrices).map(|index| (name(index), SHAPE.to_vec())).collect();
    for side in ["a", "b"] {
        let mut bytes = safetensors_head(&tensors);
        for index in 0..matrices {
            let mut entries = uniform(index as u64);
            let mut change = uniform((matrices + index) as u64);
            let is_changed = side == "b" && index % 7 != 3;
            for at in 0..SHAPE[0] * SHAPE[1] {
                let (entry, step) = (entries(), change());
                let entry = if is_changed { entry + step / 64.0 } else { entry };
                let is_gap = is_changed && index % 11 == 5 && at == 1000;
                bytes.extend(if is_gap { f32::NAN } else { entry }.to_le_bytes());
            }
        }
        let model = folder.join(side);
        std::fs::create_dir_all(&model).unwrap();
        std::fs::write(model.join("model.safetensors"), bytes).unwrap();
    }
}

/// Numbers between −1 and 1, the same in every run (SplitMix64).
pub(crate) fn uniform(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x0005_DEEC_E66D);
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// The files of a folder and their bytes, but for those under temporary names and the journal.
pub(crate) fn results(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_file() && !name.starts_with('.') && name != "param_stats.journal" {
            files.insert(name, std::fs::read(path).unwrap());
        }
    }
    files
}

/// Says which file differs, not in which of its bytes.
#[track_caller]
pub(crate) fn assert_same_files(found: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    assert_correct(found, expected);
}

/// Each of these files is as it should be; others may be missing.
#[track_caller]
pub(crate) fn assert_correct(found: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in found {
        assert!(expected.get(name) == Some(bytes), "{name} is not as it should be");
    }
}
