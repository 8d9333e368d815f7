//! Time and memory follow the real size of the files: models of 100,000 tensors open and pair in one piece of work, and
//! small files that name large things again and again cost no more than their bytes.
//!
//! One test at a time: the allocator counts for the whole process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../../fuzz/src/archive.rs"]
#[allow(unreachable_pub)] // a module of another crate
mod archive;
#[path = "../../../fuzz/src/memory.rs"]
#[allow(unreachable_pub, dead_code)] // a module of another crate
mod memory;
#[path = "../../../fuzz/src/peak.rs"]
#[allow(unreachable_pub, unsafe_code)] // a module of another crate: a counting allocator cannot do without
mod peak;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use memory::MemoryFiles;
use weights_io::{Checkpoint, Error, PREFERENCE, Selection, Status, pairs};

/// Far more than any case takes where other tests run beside it, and far less than work that grows with the square.
const PATIENCE: Duration = Duration::from_mins(1);

fn open(files: &[(&str, &[u8])]) -> Result<Checkpoint, Error> {
    MemoryFiles::new(files.iter().copied(), false).open(None)
}

/// A file of tensors of this shape, of one byte each: 0 and 1 in turn.
fn safetensors(names: impl Iterator<Item = String>, shape: &str) -> Vec<u8> {
    let mut header = String::from("{");
    let mut end = 0usize;
    for name in names {
        let comma = if end == 0 { "" } else { "," };
        let next = end + 1;
        write!(header, r#"{comma}"{name}":{{"dtype":"U8","shape":{shape},"data_offsets":[{end},{next}]}}"#)
            .unwrap();
        end = next;
    }
    header.push('}');
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0, 1].repeat(end.div_ceil(2))[..end]].concat()
}

fn text(text: &str) -> Vec<u8> {
    [b"X", &u32::try_from(text.len()).unwrap().to_le_bytes()[..], text.as_bytes()].concat()
}

fn tuple(items: &[&[u8]]) -> Vec<u8> {
    [b"(", &items.concat()[..], b"t"].concat()
}

/// A tensor of the storage `0`, of 64 bytes, as torch.save writes it.
fn tensor(shape: &[u32], strides: &[u32]) -> Vec<u8> {
    let numbers = |numbers: &[u32]| {
        let items: Vec<Vec<u8>> = numbers.iter().map(|n| [b"J", &n.to_le_bytes()[..]].concat()).collect();
        tuple(&items.iter().map(Vec::as_slice).collect::<Vec<_>>())
    };
    let id = tuple(&[&text("storage"), b"ctorch\nByteStorage\n", &text("0"), &text("cpu"), b"K\x40"]);
    let ordered: &[u8] = b"ccollections\nOrderedDict\n)R";
    let arguments =
        tuple(&[&[&id[..], b"Q"].concat(), b"K\0", &numbers(shape), &numbers(strides), b"\x89", ordered]);
    [b"ctorch._utils\n_rebuild_tensor_v2\n", &arguments[..], b"R"].concat()
}

fn in_time<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    assert!(start.elapsed() < PATIENCE, "{what} takes {:?}", start.elapsed());
    result
}

fn a_hundred_thousand_tensors() {
    let file = safetensors((0..100_000).map(|i| format!("model.layers.{i}.mlp.up_proj.weight")), "[1,1]");
    in_time("100,000 tensors", || {
        peak::at_most(64 * file.len(), || {
            let checkpoint = open(&[("model.safetensors", &file)]).unwrap();
            assert_eq!(checkpoint.tensors().len(), 100_000);
            let pairings = pairs(&checkpoint, &checkpoint, Selection::Linear);
            assert!(pairings.iter().all(|pairing| pairing.status == Status::Comparable));
            assert!(checkpoint.tensors().iter().all(|tensor| checkpoint.view(tensor).is_ok()));
        });
    });
}

fn ten_thousand_shards() {
    let name = |i: usize| format!("model-{i:05}-of-10000.safetensors");
    let shards: Vec<(String, Vec<u8>)> =
        (0..10_000).map(|i| (name(i), safetensors(std::iter::once(format!("w{i}")), "[1,1]"))).collect();
    let map: Vec<String> = (0..10_000).map(|i| format!(r#""w{i}":"{}""#, name(i))).collect();
    let index = format!(r#"{{"weight_map":{{{}}}}}"#, map.join(","));
    let mut files: Vec<(&str, &[u8])> = shards.iter().map(|(name, file)| (name.as_str(), &**file)).collect();
    files.push((PREFERENCE[0], index.as_bytes()));
    in_time("10,000 shards", || assert_eq!(open(&files).unwrap().tensors().len(), 10_000));
    for (_, shard) in files.iter_mut().take(10_000).skip(5_000) {
        *shard = &shard[..shard.len() - 1];
    }
    let error = in_time("5,000 truncated shards", || open(&files).unwrap_err());
    let message = error.to_string();
    assert!(message.contains("5000 of 10000 shards missing or damaged: model/model-05000-of"), "{message}");
    assert!(message.ends_with("and 4995 more") && message.len() < 2000, "{message}");
    files.drain(..1_000);
    let message = in_time("1,000 missing ones", || open(&files).unwrap_err()).to_string();
    assert!(message.contains("6000 of 10000 shards missing or damaged: model-00000-of"), "{message}");
}

fn an_index_beyond_any_model() {
    let index = vec![b' '; 33 << 20];
    let opened = peak::at_most(64 << 20, || open(&[(PREFERENCE[0], &index)]));
    assert!(matches!(opened, Err(Error::TooLarge { .. })), "{opened:?}");
}

/// Each head could be tied to each embedding: their values are compared with a few only.
fn many_heads_and_embeddings() {
    let names = (0..10_000).flat_map(|i| [format!("m{i}.wte.weight"), format!("m{i}.lm_head.weight")]);
    let file = safetensors(names, "[1,1]");
    let config = br#"{"tie_word_embeddings": true}"#;
    let checkpoint = open(&[("model.safetensors", &file), ("config.json", config)]).unwrap();
    let pairings = in_time("10,000 heads", || pairs(&checkpoint, &checkpoint, Selection::Linear));
    let comparable = pairings.iter().filter(|pairing| pairing.status == Status::Comparable).count();
    assert_eq!(comparable, 10_000, "the heads have another value than the embeddings");
}

/// A stack of 65,536 experts in one byte, a thousand times: listed as what they are, not slice by slice.
fn many_slices() {
    let experts = tensor(&[1 << 16, 1, 1], &[0, 1, 1]);
    let entries: Vec<Vec<u8>> = (0..1000)
        .map(|i| [&text(&format!("model.layers.{i}.mlp.experts.up_proj"))[..], &experts].concat())
        .collect();
    let pickle = [b"\x80\x02}(", &entries.concat()[..], b"u."].concat();
    let file = archive::around(&pickle);
    let checkpoint = open(&[("pytorch_model.bin", &file)]).unwrap();
    let pairings = in_time("a thousand stacks", || pairs(&checkpoint, &checkpoint, Selection::Linear));
    assert!(pairings.len() <= (1 << 20) + 1000, "{} pairings", pairings.len());
    assert!(pairings.iter().any(|pairing| pairing.reason.contains("no stack of experts")));
    assert!(pairings.iter().all(|pairing| pairing.selected || !pairing.reason.is_empty()));

    let long = "x".repeat(100_000) + ".experts.up_proj"; // each slice has a copy of the name
    let entry = [&text(&long)[..], &tensor(&[1 << 16, 1, 1], &[0, 1, 1])].concat();
    let file = archive::around(&[b"\x80\x02}(", &entry[..], b"u."].concat());
    let checkpoint = open(&[("pytorch_model.bin", &file)]).unwrap();
    peak::at_most(16 * file.len(), || {
        assert_eq!(pairs(&checkpoint, &checkpoint, Selection::Linear).len(), 1);
    });
}

/// A long text that is memoized costs two bytes each time that it is named.
fn long_texts_named_again_and_again() {
    let long = [&text(&"x".repeat(100_000))[..], b"q\x000"].concat();
    let again = |entry: &[u8]| entry.repeat(100_000);

    let names = [b"\x80\x02", &long[..], b"}(", &again(b"h\0N"), b"u."].concat();
    let keys = [b"\x80\x02", &long[..], b"](", &again(b"h\0"), b"e."].concat();
    let calls = [b"\x80\x02", &long[..], &again(b"h\0h\0\x93)R0"), b"}."].concat();
    let magic =
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02}.";
    for file in [archive::around(&names), [&magic[..], &keys].concat(), archive::around(&calls)] {
        in_time("a long text", || {
            let opened = peak::at_most(64 * file.len(), || open(&[("pytorch_model.bin", &file)]));
            let error = opened.unwrap_err();
            assert!(error.to_string().len() < 1000, "{error}");
        });
    }
}

/// What describes a tensor can describe it through another description, fifty times over.
fn nested_descriptions() {
    let (function, class) = (&b"ctorch._tensor\n_rebuild_from_type_v2\n"[..], &b"ctorch\nTensor\n"[..]);
    let innermost = tuple(&[&b"N".repeat(50_000)]);
    let nested = (0..50).fold(innermost, |inner, _| tuple(&[function, class, &inner]));
    let file = archive::around(&[b"\x80\x02}(", &text("w")[..], function, &nested, b"Ru."].concat());
    let opened = peak::at_most(32 << 20, || open(&[("pytorch_model.bin", &file)]));
    assert!(matches!(opened, Err(Error::Pickle { .. })), "{opened:?}");
}

/// Tensors that share one storage, expanded or with gaps, are listed as unsupported where they come to more than 64 times
/// their file, whether in elements or in what lies between them.
fn shared_storages() {
    let tensors = [(&[1 << 20, 3], &[0, 1]), (&[16_384, 3], &[0, 1]), (&[2, 1], &[63, 1])];
    let entries: Vec<Vec<u8>> = (0..30_000)
        .map(|i| [&text(&format!("w{i}"))[..], &tensor(tensors[i % 3].0, tensors[i % 3].1)].concat())
        .collect();
    let file = archive::around(&[b"\x80\x02}(", &entries.concat()[..], b"u."].concat());
    let checkpoint = open(&[("pytorch_model.bin", &file)]).unwrap();
    let work = |tensor: &weights_io::TensorInfo| tensor.element_count().max(tensor.extent());
    let work: usize = checkpoint.tensors().iter().map(work).sum();
    assert!(work <= 64 * file.len(), "{work} elements in {} bytes", file.len());
    assert_eq!(checkpoint.tensors().len() + checkpoint.unsupported().len(), 30_000, "none is left out");
}

#[test]
fn work_and_memory_follow_the_size_of_the_files() {
    a_hundred_thousand_tensors();
    ten_thousand_shards();
    an_index_beyond_any_model();
    many_heads_and_embeddings();
    many_slices();
    long_texts_named_again_and_again();
    nested_descriptions();
    shared_storages();
}
