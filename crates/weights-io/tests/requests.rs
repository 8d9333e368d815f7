//! How much of a file is read, in how many requests: sources across a network pay for both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

mod conformance;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Cursor, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use weights_io::{Checkpoint, Error, Files, Selection, Source, Version, pairs};

/// Files in memory that keep count.
#[derive(Debug, Default)]
struct Memory {
    files: BTreeMap<String, Arc<[u8]>>,
    gap: usize,
    /// Reads fail that begin here or later.
    broken_from: Option<usize>,
    log: Arc<Mutex<Log>>,
}

#[derive(Debug, Default)]
struct Log {
    reads: Vec<Range<usize>>,
    announced: Vec<Range<usize>>,
}

impl Log {
    fn bytes(&self) -> usize {
        self.reads.iter().map(ExactSizeIterator::len).sum()
    }
}

#[derive(Debug)]
struct MemoryFile {
    path: PathBuf,
    bytes: Arc<[u8]>,
    gap: usize,
    broken_from: Option<usize>,
    log: Arc<Mutex<Log>>,
}

impl Files for Memory {
    fn path_of(&self, name: &str) -> PathBuf {
        Path::new("memory").components().chain(Path::new(name).components()).collect()
    }

    fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    fn open(&self, name: &str) -> Result<Box<dyn Source>, Error> {
        let path = self.path_of(name);
        let bytes = self.files.get(name).cloned().ok_or(Error::NotFound { path: path.clone() })?;
        let (gap, broken_from, log) = (self.gap, self.broken_from, Arc::clone(&self.log));
        Ok(Box::new(MemoryFile { path, bytes, gap, broken_from, log }))
    }
}

impl Source for MemoryFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn version(&self) -> Version {
        Version::Etag("memory".into())
    }

    fn read(&self, range: Range<usize>) -> io::Result<Cow<'_, [u8]>> {
        self.log.lock().unwrap().reads.push(range.clone());
        if self.broken_from.is_some_and(|start| range.start >= start) {
            return Err(io::Error::other(Unplugged));
        }
        Ok(Cow::Owned(self.bytes.get(range).ok_or(io::ErrorKind::UnexpectedEof)?.to_vec()))
    }

    fn will_need(&self, range: Range<usize>) {
        self.log.lock().unwrap().announced.push(range);
    }

    fn worth_reading_through(&self) -> usize {
        self.gap
    }
}

#[derive(Debug, thiserror::Error)]
#[error("somebody pulled the plug")]
struct Unplugged;

/// Opens one file, and says what was read for it.
fn open(name: &str, bytes: Vec<u8>, gap: usize) -> (Checkpoint, Log, Arc<Mutex<Log>>) {
    let memory = Memory { files: [(name.to_owned(), bytes.into())].into(), gap, ..Memory::default() };
    let log = Arc::clone(&memory.log);
    let checkpoint = Checkpoint::open_in(Arc::new(memory), None).unwrap();
    assert_eq!(checkpoint.path(), Path::new("memory"));
    let opened = std::mem::take(&mut *log.lock().unwrap());
    (checkpoint, opened, log)
}

const LENGTH: usize = 70_000;
const TENSORS: usize = 60;

/// Tensors of f32, by name and in storage order.
fn tensors(count: usize, name_length: usize) -> Vec<(String, Vec<u8>)> {
    let name = |index: usize| format!("{index:0name_length$}");
    let value = |index: usize, element: usize| (index * 31 + element) as f32;
    let bytes = |index| (0..LENGTH / 4).flat_map(move |element| value(index, element).to_le_bytes());
    (0..count).map(|index| (name(index), bytes(index).collect())).collect()
}

fn safetensors(tensors: &[(String, Vec<u8>)]) -> Vec<u8> {
    use safetensors::tensor::{Dtype, TensorView};
    let view = |bytes| TensorView::new(Dtype::F32, vec![LENGTH / 4], bytes).unwrap();
    safetensors::serialize(tensors.iter().map(|(name, bytes)| (name, view(bytes))), None).unwrap()
}

/// A state dict as torch pickles it.
fn pickle(tensors: &[(String, Vec<u8>)], legacy: bool) -> Vec<u8> {
    let text = |text: &str| [&[b'X'][..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let int = |value: usize| [&[b'J'][..], &(value as u32).to_le_bytes()].concat();
    let mut pickle = b"\x80\x02}(".to_vec();
    for (index, (name, bytes)) in tensors.iter().enumerate() {
        let count = int(bytes.len() / 4);
        pickle
            .extend([&text(name), &b"ctorch._utils\n_rebuild_tensor_v2\n(("[..], &text("storage")].concat());
        pickle.extend(
            [&b"ctorch\nFloatStorage\n"[..], &text(&index.to_string()), &text("cpu"), &count].concat(),
        );
        pickle.extend(if legacy { &b"NtQ"[..] } else { b"tQ" });
        pickle.extend(
            [&int(0), &count, &b"\x85"[..], &int(1), b"\x85\x89ccollections\nOrderedDict\n)RtR"].concat(),
        );
    }
    pickle.extend(b"u.");
    pickle
}

fn zip(tensors: &[(String, Vec<u8>)]) -> Vec<u8> {
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let mut entry = |name: &str, bytes: &[u8]| {
        archive.start_file(format!("archive/{name}"), options).unwrap();
        archive.write_all(bytes).unwrap();
    };
    entry("data.pkl", &pickle(tensors, false));
    entry("byteorder", b"little");
    for (index, (_, bytes)) in tensors.iter().enumerate() {
        entry(&format!("data/{index}"), bytes);
    }
    archive.finish().unwrap().into_inner()
}

fn legacy(tensors: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    file.extend(pickle(tensors, true));
    file.extend(b"\x80\x02](");
    for index in 0..tensors.len() {
        let key = index.to_string();
        file.extend([&[b'U', key.len() as u8][..], key.as_bytes()].concat());
    }
    file.extend(b"e.");
    for (_, bytes) in tensors {
        file.extend((bytes.len() as u64 / 4).to_le_bytes());
        file.extend(bytes);
    }
    file
}

/// Each tensor takes one request for its own bytes, a slice less.
fn check_views(checkpoint: &Checkpoint, log: &Mutex<Log>, tensors: &[(String, Vec<u8>)]) {
    assert_eq!(checkpoint.tensors().len(), tensors.len());
    for (name, bytes) in tensors {
        let tensor = checkpoint.get(name).unwrap();
        assert_eq!(*checkpoint.view(tensor).unwrap().bytes, **bytes);
        let slice = tensor.slice(1000).unwrap();
        assert_eq!(*checkpoint.view(&slice).unwrap().bytes, bytes[4000..4004]);
        let log = std::mem::take(&mut *log.lock().unwrap());
        assert_eq!(log.reads.iter().map(ExactSizeIterator::len).collect::<Vec<_>>(), [bytes.len(), 4]);
    }
}

const HEAD: usize = 64 << 10;

#[test]
fn every_format_reads_the_same_whatever_is_read_through() {
    for gap in [1, 64 << 10] {
        let open = |path: &Path| {
            let folder = if path.is_dir() { path } else { path.parent().unwrap() };
            let paths = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
            let files = paths.filter(|path| path.is_file()).map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, std::fs::read(path).unwrap().into())
            });
            let memory = Memory { files: files.collect(), gap, ..Memory::default() };
            let file = if path.is_dir() { None } else { path.file_name().unwrap().to_str() };
            Checkpoint::open_in(Arc::new(memory), file)
        };
        conformance::formats(&open, false);
        conformance::hostile(&open, &|_| "memory".into());
    }
}

#[test]
fn a_safetensors_header_takes_one_request_or_two() {
    for (name_length, requests) in [(20, 1), (2000, 2)] {
        let tensors = tensors(TENSORS, name_length);
        let (checkpoint, opened, log) = open("model.safetensors", safetensors(&tensors), 0);
        assert_eq!(opened.reads.len(), requests, "{opened:?}");
        assert!(opened.bytes() <= HEAD + (requests - 1) * (8 + TENSORS * (name_length + 100)), "{opened:?}");
        check_views(&checkpoint, &log, &tensors);
    }
}

#[test]
fn a_zip_archive_takes_its_head_its_end_and_its_local_headers() {
    let tensors = tensors(TENSORS, 20);
    for gap in [0, 1, LENGTH + 1000] {
        let (checkpoint, opened, log) = open("pytorch_model.bin", zip(&tensors), gap);
        check_views(&checkpoint, &log, &tensors);
        let pickle = pickle(&tensors, false).len() + "little".len();
        if gap > LENGTH {
            assert!(opened.reads.len() < 10, "{opened:?}");
        } else {
            assert_eq!(opened.reads.len(), 2 + 2 + TENSORS + 2, "{opened:?}");
            assert!(opened.bytes() <= 2 * HEAD + pickle + (TENSORS + 2) * 30, "{opened:?}");
        }
        // Where answers take long, all but the first local header are asked for ahead, in every case the pickle.
        let headers = opened.reads.len() - 2 - 2;
        assert_eq!(opened.announced.len(), 2 + if gap == 0 { 0 } else { headers - 1 }, "{opened:?}");
        assert!(opened.announced.iter().all(|range| opened.reads.contains(range)), "{opened:?}");
    }
}

#[test]
fn a_legacy_file_takes_its_pickles_and_a_length_for_each_storage() {
    for (name_length, growths) in [(20, 0), (4000, 1)] {
        let tensors = tensors(TENSORS, name_length);
        for gap in [0, 1, LENGTH + 1000] {
            let (checkpoint, opened, log) = open("pytorch_model.bin", legacy(&tensors), gap);
            check_views(&checkpoint, &log, &tensors);
            let head = if growths == 0 { HEAD } else { HEAD + 4 * HEAD };
            if gap > LENGTH {
                assert!(opened.reads.len() < 1 + growths + 5, "{opened:?}");
            } else {
                assert_eq!(opened.reads.len(), 1 + growths + TENSORS, "{opened:?}");
                assert!(opened.bytes() <= head + TENSORS * 8, "{opened:?}");
            }
            let lengths = opened.reads.len() - 1 - growths;
            assert_eq!(opened.announced.len(), if gap == 0 { 0 } else { lengths - 1 }, "{opened:?}");
            assert!(opened.announced.iter().all(|range| opened.reads.contains(range)), "{opened:?}");
        }
    }
}

#[test]
fn shards_are_asked_for_side_by_side() {
    let mut files = BTreeMap::new();
    let mut weight_map = serde_json::Map::new();
    for (shard, tensor) in tensors(20, 20).into_iter().enumerate() {
        let name = format!("model-{shard:05}.safetensors");
        weight_map.insert(tensor.0.clone(), name.clone().into());
        files.insert(name, safetensors(&[tensor]).into());
    }
    let index = serde_json::json!({ "weight_map": weight_map }).to_string();
    files.insert("model.safetensors.index.json".into(), index.into_bytes().into());
    let memory = Memory { files, gap: 1, ..Memory::default() };
    let log = Arc::clone(&memory.log);
    let checkpoint = Checkpoint::open_in(Arc::new(memory), Some("model.safetensors.index.json")).unwrap();
    assert_eq!(checkpoint.path(), Path::new("memory/model.safetensors.index.json"));
    let log = log.lock().unwrap();
    assert_eq!((log.reads.len(), log.announced.len()), (1 + 20, 19));
}

#[test]
fn a_head_with_values_of_its_own_costs_one_piece_of_each_matrix() {
    const PIECE: usize = 8 << 20;
    let matrix = |first: u8| [vec![first], vec![0; 2 * PIECE - 1]].concat();
    let (embedding, own, tied) = (matrix(1), matrix(2), matrix(1));
    for (head, pieces) in [(own, 1), (tied, 2)] {
        use safetensors::tensor::{Dtype, TensorView};
        let view = |bytes| TensorView::new(Dtype::BF16, vec![8, 1 << 20], bytes).unwrap();
        let tensors = [("model.embed_tokens.weight", view(&embedding)), ("lm_head.weight", view(&head))];
        let mut files: BTreeMap<String, Arc<[u8]>> = BTreeMap::new();
        let weights = safetensors::serialize(tensors, None).unwrap();
        files.insert("model.safetensors".into(), weights.into());
        files.insert("config.json".into(), br#"{"tie_word_embeddings": true}"#[..].into());
        let memory = Memory { files, ..Memory::default() };
        let log = Arc::clone(&memory.log);
        let checkpoint = Checkpoint::open_in(Arc::new(memory), None).unwrap();
        log.lock().unwrap().reads.clear();
        let pairings = pairs(&checkpoint, &checkpoint, Selection::Linear);
        assert_eq!(pairings.len(), 2);
        assert_eq!(log.lock().unwrap().bytes(), 2 * 2 * pieces * PIECE, "two matrices, two sides");
    }
}

#[test]
fn what_breaks_a_source_is_the_cause_of_the_error() {
    let tensors = tensors(3, 20);
    for (name, bytes) in [
        ("model.safetensors", safetensors(&tensors)),
        ("pytorch_model.bin", zip(&tensors)),
        ("pytorch_model.bin", legacy(&tensors)),
    ] {
        let end = bytes.len();
        let files: BTreeMap<String, Arc<[u8]>> = [(name.to_owned(), bytes.into())].into();
        let mut opened = 0;
        // A failure anywhere keeps it from opening or a tensor from being read.
        for broken_from in (0..end).step_by(1001) {
            let memory = Memory { files: files.clone(), broken_from: Some(broken_from), ..Memory::default() };
            let read = Checkpoint::open_in(Arc::new(memory), None).and_then(|checkpoint| {
                opened += 1;
                checkpoint.tensors().iter().try_for_each(|tensor| checkpoint.view(tensor).map(drop))
            });
            match read {
                Err(Error::Io { path, source }) => {
                    assert_eq!(path, Path::new("memory").join(name));
                    assert!(source.get_ref().unwrap().is::<Unplugged>());
                }
                // Beyond the start of the last tensor nothing is read.
                other => {
                    other.unwrap();
                    assert!(broken_from > end - LENGTH, "{broken_from}");
                }
            }
        }
        assert!(opened > 0 || name == "pytorch_model.bin");
    }
}

#[cfg(feature = "candle")]
#[test]
fn rows_of_an_embedding_take_few_requests_where_gaps_are_worth_reading_through() {
    use candle_core::{DType, Device};
    const ROWS: usize = 20_000;
    let value = |row: usize, column: usize| (row * 64 + column) as f32;
    let bytes = (0..ROWS).flat_map(|row| (0..64).flat_map(move |column| value(row, column).to_le_bytes()));
    let bytes: Vec<u8> = bytes.collect();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![ROWS, 64], &bytes).unwrap();
    let file = safetensors::serialize([("wte.weight", view)], None).unwrap();
    let rows: Vec<u32> =
        (0..300).map(|index| (index * 7919 + 11) % ROWS as u32).chain([11, 12, 11]).collect();
    for gap in [0, 64 << 10] {
        let (checkpoint, _, log) = open("model.safetensors", file.clone(), gap);
        let backend = weights_io::CandleBackend::new(&checkpoint);
        let read = backend.rows("wte.weight", &rows, DType::F32, &Device::Cpu).unwrap();
        let wanted: Vec<Vec<f32>> =
            rows.iter().map(|row| (0..64).map(|column| value(*row as usize, column)).collect()).collect();
        assert_eq!(read.to_vec2::<f32>().unwrap(), wanted);
        let log = log.lock().unwrap();
        if gap == 0 {
            assert_eq!((log.bytes(), log.announced.len()), (301 * 256, 0), "no row twice, none in between");
        } else {
            assert_eq!(log.reads.len(), bytes.len().div_ceil(2 << 20));
            assert_eq!(log.announced, log.reads[1..]);
        }
    }
}
