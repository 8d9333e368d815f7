//! What every source must give: all of `fixtures/formats`, with the values that torch reads from the same files, and all of
//! `fixtures/hostile`, refused in the same words as from the disk. Included by the tests of each source.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::error::Error as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use weights_io::{Checkpoint, Dtype, Error, PREFERENCE, TensorInfo};

/// Folders of fixtures with what is expected of them.
fn fixtures(kind: &str) -> Vec<(PathBuf, Value)> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(kind);
    let folders = std::fs::read_dir(all).unwrap().map(|folder| folder.unwrap().path());
    folders
        .filter_map(|folder| {
            let expected = std::fs::read(folder.join("expected.json")).ok()?;
            Some((folder, serde_json::from_slice(&expected).unwrap()))
        })
        .collect()
}

/// An 8-bit float with the given bits of exponent and mantissa; `finite` for a type without infinities.
fn float8(bits: u8, exponent_bits: u32, mantissa_bits: u32, finite: bool) -> f64 {
    let sign = if bits & 0x80 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(bits & 0x7f) >> mantissa_bits;
    let mantissa = f64::from(bits & ((1 << mantissa_bits) - 1)) / f64::from(1 << mantissa_bits);
    let bias = (1 << (exponent_bits - 1)) - 1;
    let top = (1 << exponent_bits) - 1;
    match (exponent, finite) {
        (0, _) => sign * mantissa * 2f64.powi(1 - bias),
        (e, true) if e == top && bits & 0x7f == 0x7f => f64::NAN,
        (e, false) if e == top => {
            if mantissa == 0.0 {
                sign * f64::INFINITY
            } else {
                f64::NAN
            }
        }
        (e, _) => sign * (1.0 + mantissa) * 2f64.powi(e - bias),
    }
}

/// The elements as text, in the same notation for both sides: i64 stays exact.
fn decode(dtype: Dtype, bytes: &[u8]) -> Vec<String> {
    let number = |value: f64| if value.is_nan() { "NaN".into() } else { format!("{value:?}") };
    bytes
        .chunks_exact(dtype.size())
        .map(|element| match dtype {
            Dtype::F64 => number(f64::from_le_bytes(element.try_into().unwrap())),
            Dtype::F32 => number(f32::from_le_bytes(element.try_into().unwrap()).into()),
            Dtype::F16 => number(half::f16::from_le_bytes(element.try_into().unwrap()).into()),
            Dtype::Bf16 => number(half::bf16::from_le_bytes(element.try_into().unwrap()).into()),
            Dtype::F8E4M3 => number(float8(element[0], 4, 3, true)),
            Dtype::F8E5M2 => number(float8(element[0], 5, 2, false)),
            Dtype::I64 => i64::from_le_bytes(element.try_into().unwrap()).to_string(),
            Dtype::I32 => i32::from_le_bytes(element.try_into().unwrap()).to_string(),
            Dtype::I16 => i16::from_le_bytes(element.try_into().unwrap()).to_string(),
            Dtype::I8 => element[0].cast_signed().to_string(),
            Dtype::U8 | Dtype::Bool => element[0].to_string(),
        })
        .collect()
}

fn expected_text(value: &Value, dtype: Dtype) -> String {
    let float = !matches!(dtype, Dtype::I64 | Dtype::I32 | Dtype::I16 | Dtype::I8 | Dtype::U8 | Dtype::Bool);
    match value {
        Value::String(text) if text == "NaN" => "NaN".into(),
        Value::String(text) if text == "Infinity" => "inf".into(),
        Value::String(text) if text == "-Infinity" => "-inf".into(),
        Value::String(text) => text.clone(),
        Value::Number(number) if float => format!("{:?}", number.as_f64().unwrap()),
        other => other.to_string(),
    }
}

/// Opens a file or a folder of the fixtures through the source under test.
type Open<'a> = &'a dyn Fn(&Path) -> Result<Checkpoint, Error>;

/// All formats and constructs read as torch reads them; `borrowed` where data must come without a copy.
pub(crate) fn formats(open: Open<'_>, borrowed: bool) {
    let mut cases = 0;
    for (folder, expected) in fixtures("formats") {
        if expected.get("error_kind").is_some() {
            let error = open(&folder).unwrap_err().to_string();
            for mention in expected["mentions"].as_array().unwrap() {
                assert!(error.contains(mention.as_str().unwrap()), "{}: {error}", folder.display());
            }
        } else if let Some(took) = expected["took"].as_str() {
            let checkpoint = check(&folder, &expected, open, borrowed);
            assert_eq!(checkpoint.took(), checkpoint.path_of(took));
            check(&folder.join(took), &expected, open, borrowed); // the file or index itself, given by its path
            // The fixture lists every other file; shards of the chosen index are no rivals to it.
            let others =
                expected["also_present"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
            let rivals: BTreeSet<PathBuf> = others
                .filter(|name| PREFERENCE.contains(name))
                .map(|name| checkpoint.path_of(name))
                .collect();
            assert_eq!(checkpoint.also_present().iter().cloned().collect::<BTreeSet<_>>(), rivals);
        } else {
            for file in std::fs::read_dir(&folder).unwrap() {
                let file = file.unwrap().path();
                if file.extension().is_some_and(|extension| extension != "json") {
                    check(&file, &expected, open, borrowed);
                }
            }
        }
        cases += 1;
    }
    assert!(cases > 40, "only {cases} cases found");
}

fn check(opened: &Path, expected: &Value, open: Open<'_>, borrowed: bool) -> Checkpoint {
    let checkpoint = open(opened).unwrap_or_else(|error| panic!("{}: {error:?}", opened.display()));
    let wanted = expected["tensors"].as_array().unwrap();
    let names: BTreeSet<&str> = checkpoint.tensors().iter().map(|tensor| tensor.name.as_str()).collect();
    let wanted_names: BTreeSet<&str> = wanted.iter().map(|tensor| tensor["name"].as_str().unwrap()).collect();
    assert_eq!(names, wanted_names, "{}", opened.display());
    for tensor in wanted {
        let name = tensor["name"].as_str().unwrap();
        let info = checkpoint.get(name).unwrap();
        let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
        assert_eq!((info.dtype.name(), &info.shape), (tensor["dtype"].as_str().unwrap(), &shape), "{name}");
        let view = checkpoint.view(info).unwrap();
        assert_eq!(view.bytes.len(), info.extent(), "{name}");
        let deflated = opened.iter().any(|part| part == "torch_zip_deflated");
        if borrowed || deflated {
            let is_borrowed = matches!(view.bytes, Cow::Borrowed(_));
            assert_eq!(is_borrowed, !deflated, "{name} of {}", opened.display());
        }
        let values: Vec<String> = tensor["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|value| expected_text(value, info.dtype))
            .collect();
        assert_eq!(decode(info.dtype, &view.to_contiguous()), values, "{name} of {}", opened.display());
        slices_tile(&checkpoint, info);
    }
    let refused: BTreeSet<&str> = checkpoint.unsupported().iter().map(|entry| entry.name.as_str()).collect();
    let listed = |key: &str| expected[key].as_array().cloned().unwrap_or_default();
    let entries: Vec<Value> = [listed("unsupported"), listed("not_tensors")].concat();
    let wanted_refused: BTreeSet<&str> =
        entries.iter().map(|entry| entry["name"].as_str().or(entry.as_str()).unwrap()).collect();
    assert_eq!(refused, wanted_refused, "{}", opened.display());
    assert!(checkpoint.unsupported().iter().all(|entry| !entry.reason.is_empty()));

    let beside = if opened.is_dir() { opened } else { opened.parent().unwrap() }.join("expected.json");
    assert_eq!(checkpoint.file("expected.json").unwrap(), Some(std::fs::read(beside).unwrap()));
    assert_eq!(checkpoint.file("absent.json").unwrap(), None);
    checkpoint
}

/// The slices along the first axis are the tensor.
fn slices_tile(checkpoint: &Checkpoint, tensor: &TensorInfo) {
    let Some(&length) = tensor.shape.first() else { return };
    let mut joined = Vec::new();
    for index in 0..length {
        let slice = tensor.slice(index).unwrap();
        assert_eq!(slice.name, format!("{}[{index}]", tensor.name));
        joined.extend_from_slice(&checkpoint.view(&slice).unwrap().to_contiguous());
    }
    assert_eq!(joined, *checkpoint.view(tensor).unwrap().to_contiguous(), "{}", tensor.name);
    assert_eq!(tensor.slice(length), None);
}

/// All hostile files are refused in the words in which they are refused through a map, or give the same; `called` is what
/// messages call a folder.
pub(crate) fn hostile(open: Open<'_>, called: &dyn Fn(&Path) -> PathBuf) {
    let mut cases = 0;
    for (folder, _) in fixtures("hostile") {
        let through_map = outcome(Checkpoint::open(&folder));
        if through_map.contains("is not a regular file") {
            continue; // a folder in a file's place, which only a disk has
        }
        let through_map = through_map.replace(&*folder.to_string_lossy(), &called(&folder).to_string_lossy());
        assert_eq!(outcome(open(&folder)), through_map, "{}", folder.display());
        cases += 1;
    }
    assert!(cases > 100, "only {cases} cases found");
}

/// All that a checkpoint gives, or why it gives nothing.
fn outcome(opened: Result<Checkpoint, Error>) -> String {
    let message = |error: &Error| {
        let causes = std::iter::successors(error.source(), |&cause| cause.source());
        let texts = std::iter::once(error.to_string()).chain(causes.map(ToString::to_string));
        format!("{}; {}", texts.collect::<Vec<_>>().join(": "), error.hint())
    };
    let checkpoint = match opened {
        Ok(checkpoint) => checkpoint,
        Err(error) => return message(&error),
    };
    let tensors = checkpoint.tensors().iter().map(|tensor| {
        let values = checkpoint.view(tensor).map(|view| view.to_contiguous().into_owned());
        format!("{tensor:?} {:?}", values.map_err(|error| message(&error)))
    });
    let tensors: Vec<String> = tensors.collect();
    format!("{tensors:#?} {:?} {:?}", checkpoint.unsupported(), checkpoint.ignored_calls())
}
