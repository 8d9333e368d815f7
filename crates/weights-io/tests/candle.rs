//! Tensors through candle's `VarBuilder`, against the values that torch reads from the same files.
#![cfg(feature = "candle")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::error::Error as _;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Error, Tensor};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use weights_io::{CandleBackend, Checkpoint, var_builder};

fn formats() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/formats")
}

/// All elements as f64, without candle's own conversions between dtypes.
fn values(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.flatten_all().unwrap();
    match flat.dtype() {
        DType::F16 => flat.to_vec1::<f16>().unwrap().into_iter().map(f64::from).collect(),
        DType::BF16 => flat.to_vec1::<bf16>().unwrap().into_iter().map(f64::from).collect(),
        DType::F32 => flat.to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect(),
        _ => flat.to_vec1().unwrap(),
    }
}

/// NaN equals NaN, and the sign of zero counts.
fn assert_same(found: &[f64], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let same = found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan());
        assert!(same, "{what}: {found} for {expected}");
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| match value.as_str().unwrap() {
        "NaN" => f64::NAN,
        "Infinity" => f64::INFINITY,
        "-Infinity" => f64::NEG_INFINITY,
        integer => integer.parse::<i64>().unwrap() as f64,
    })
}

/// A value as torch's `.to(dtype)` rounds it: by way of f32 unless f64 is wanted.
fn round(value: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F64 => value,
        DType::F32 => (value as f32).into(),
        DType::F16 => f16::from_f32(value as f32).into(),
        _ => bf16::from_f32(value as f32).into(),
    }
}

#[test]
fn every_format_reads_as_torch_reads_it() {
    let mut tensors = 0;
    for folder in std::fs::read_dir(formats()).unwrap() {
        let folder = folder.unwrap().path();
        let expected: Value =
            serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
        let opened: Vec<PathBuf> = match (expected.get("error_kind"), expected["took"].as_str()) {
            (Some(_), _) => continue,
            (None, Some(_)) => vec![folder.clone()],
            (None, None) => {
                let files = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
                files.filter(|file| file.extension().is_some_and(|end| end != "json")).collect()
            }
        };
        for path in opened {
            let checkpoint = Checkpoint::open(&path).unwrap();
            for dtype in [DType::F32, DType::F16, DType::BF16, DType::F64] {
                let weights = var_builder(&checkpoint, dtype, &Device::Cpu);
                for tensor in expected["tensors"].as_array().unwrap() {
                    let name = tensor["name"].as_str().unwrap();
                    let shape: Vec<usize> = serde_json::from_value(tensor["shape"].clone()).unwrap();
                    let wanted: Vec<f64> = tensor["values"].as_array().unwrap().iter().map(number).collect();
                    let wanted: Vec<f64> = wanted.iter().map(|value| round(*value, dtype)).collect();
                    assert!(weights.contains_tensor(name));
                    let what = format!("{name} of {} as {dtype:?}", path.display());
                    let read = weights.get(shape.as_slice(), name).unwrap();
                    assert_eq!((read.dims(), read.dtype()), (shape.as_slice(), dtype), "{what}");
                    assert_same(&values(&read), &wanted, &what);
                    let unchecked = weights.get_unchecked(name).unwrap();
                    assert_same(&values(&unchecked), &wanted, &what);
                    tensors += 1;
                }
            }
        }
    }
    assert!(tensors > 1000, "only {tensors} tensors found");
}

#[test]
fn a_wrong_shape_and_a_missing_name_are_errors_that_name_the_tensor() {
    let folder = formats().join("torch_zip_unsupported");
    let checkpoint = Checkpoint::open(&folder).unwrap();
    let weights = var_builder(&checkpoint, DType::F32, &Device::Cpu);
    let message = |result: candle_core::Result<Tensor>| result.unwrap_err().to_string();

    let error = weights.get((3, 2), "good").unwrap_err();
    assert!(
        matches!(&error, Error::WithPath { inner, .. } if matches!(**inner, Error::UnexpectedShape { .. }))
    );
    let error = error.to_string();
    assert!(
        ["good", "pytorch_model.bin", "[3, 2]", "[2, 3]"].iter().all(|part| error.contains(part)),
        "{error}"
    );

    assert!(!weights.pp("layer").contains_tensor("absent"));
    let error = message(weights.pp("layer").get(3, "absent"));
    assert!(error.contains("layer.absent") && error.contains("pytorch_model.bin"), "{error}");
    assert!(message(weights.get_unchecked("absent")).contains("absent"));

    assert!(!weights.contains_tensor("complex64"));
    let error = message(weights.get(3, "complex64"));
    assert!(error.contains("complex64") && error.contains("dtype"), "{error}");

    let error = message(weights.get_unchecked_dtype("good", DType::U8));
    assert!(error.contains("good") && error.contains("U8"), "{error}");
}

#[test]
fn a_damaged_entry_keeps_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let source = formats().join("torch_zip_deflated/pytorch_model.bin");
    let checkpoint = Checkpoint::open(&source).unwrap();
    let stored = std::fs::read(&source).unwrap();
    let (mut failures, copy) = (0, folder.path().join("pytorch_model.bin"));
    // One damaged byte after another, until one hits a deflated tensor without hitting a header.
    for at in (0..stored.len()).step_by(41) {
        let mut damaged = stored.clone();
        damaged[at] ^= 0xff;
        std::fs::write(&copy, damaged).unwrap();
        let Ok(opened) = Checkpoint::open(&copy) else { continue };
        let weights = var_builder(&opened, DType::F32, &Device::Cpu);
        for tensor in checkpoint.tensors() {
            if let Err(error) = weights.get_unchecked(&tensor.name)
                && let Error::Io(io) = &error
            {
                assert!(io.get_ref().unwrap().downcast_ref::<weights_io::Error>().is_some());
                assert!(error.to_string().contains("pytorch_model.bin"), "{error}");
                assert!(error.source().is_some());
                failures += 1;
            }
        }
    }
    assert!(failures > 0);
}

/// A checkpoint of one tensor `x`, behind a tensor of one byte, so that `x` is not aligned.
fn checkpoint_of(folder: &Path, dtype: Dtype, shape: Vec<usize>, bytes: &[u8]) -> Checkpoint {
    let path = folder.join("model.safetensors");
    let tensors = [("x", TensorView::new(dtype, shape, bytes).unwrap())];
    let mut file = safetensors::serialize(tensors, None).unwrap();
    let header_length = usize::try_from(u64::from_le_bytes(file[..8].try_into().unwrap())).unwrap();
    let shift = 1 - (8 + header_length) % 2; // one more blank in the header
    file.splice(8 + header_length..8 + header_length, vec![b' '; shift]);
    file[..8].copy_from_slice(&u64::try_from(header_length + shift).unwrap().to_le_bytes());
    std::fs::write(&path, file).unwrap();
    Checkpoint::open(&path).unwrap()
}

#[test]
fn long_unaligned_tensors_convert_in_chunks() {
    let folder = tempfile::tempdir().unwrap();
    let count = 3 * (1 << 16) + 1025; // several chunks, and a remainder that is no whole block
    let bits = |index: usize| (index as u32).wrapping_mul(0x9e37_79b9) >> 16;
    let stored: Vec<u16> = (0..count).map(|index| bits(index) as u16).collect();
    let bytes: Vec<u8> = stored.iter().flat_map(|bits| bits.to_le_bytes()).collect();
    for (dtype, decode) in [
        (Dtype::BF16, (|bits| bf16::from_bits(bits).into()) as fn(u16) -> f64),
        (Dtype::F16, |bits| f16::from_bits(bits).into()),
    ] {
        let checkpoint = checkpoint_of(folder.path(), dtype, vec![count], &bytes);
        let exact: Vec<f64> = stored.iter().map(|bits| decode(*bits)).collect();
        for target in [DType::F32, DType::F64, DType::F16, DType::BF16] {
            let read = var_builder(&checkpoint, target, &Device::Cpu).get(count, "x").unwrap();
            let wanted: Vec<f64> = exact.iter().map(|value| round(*value, target)).collect();
            assert_same(&values(&read), &wanted, &format!("{dtype:?} as {target:?}"));
        }
    }
}

#[test]
fn rounding_is_to_nearest_and_ties_to_even() {
    let folder = tempfile::tempdir().unwrap();
    // Ties between neighbours of f16 and of bf16, one ulp beside them, overflow and underflow.
    let (half_ulp_f16, half_ulp_bf16) = (2f32.powi(-11), 2f32.powi(-8));
    let cases: [(f32, f64, f64); 9] = [
        (1.0 + half_ulp_f16, 1.0, 1.0),
        (1.0 + 3.0 * half_ulp_f16, 1.0 + 2f64.powi(-9), 1.0),
        ((1.0 + half_ulp_f16).next_up(), 1.0 + 2f64.powi(-10), 1.0),
        (1.0 + half_ulp_bf16, 1.0 + 2f64.powi(-8), 1.0),
        (1.0 + 3.0 * half_ulp_bf16, 1.0 + 3.0 * 2f64.powi(-8), 1.0 + 2f64.powi(-6)),
        ((1.0 + half_ulp_bf16).next_up(), 1.0 + 2f64.powi(-8), 1.0 + 2f64.powi(-7)),
        (65519.996, 65504.0, 65536.0),
        (65520.0, f64::INFINITY, 65536.0),
        (-2f32.powi(-25), -0.0, -2f64.powi(-25)),
    ];
    let bytes: Vec<u8> = cases.iter().flat_map(|case| case.0.to_le_bytes()).collect();
    let checkpoint = checkpoint_of(folder.path(), Dtype::F32, vec![3, 3], &bytes);
    let read = |dtype| values(&var_builder(&checkpoint, dtype, &Device::Cpu).get((3, 3), "x").unwrap());
    assert_same(&read(DType::F16), &cases.map(|case| case.1), "f16");
    assert_same(&read(DType::BF16), &cases.map(|case| case.2), "bf16");
}

#[test]
fn every_8_bit_float_equals_the_specification() {
    let folder = tempfile::tempdir().unwrap();
    let codes: Vec<u8> = (0..=u8::MAX).collect();
    for (dtype, mantissa_bits, bias) in [(Dtype::F8_E4M3, 3, 7), (Dtype::F8_E5M2, 2, 15)] {
        let wanted: Vec<f64> = codes
            .iter()
            .map(|code| {
                let sign = if code & 0x80 == 0 { 1.0 } else { -1.0 };
                let (exponent, scale) = (i32::from(code & 0x7f) >> mantissa_bits, 1 << mantissa_bits);
                let mantissa = f64::from(i32::from(*code) % scale) / f64::from(scale);
                match (dtype, code & 0x7f) {
                    (Dtype::F8_E4M3, 0x7f) | (Dtype::F8_E5M2, 0x7d..) => f64::NAN,
                    (Dtype::F8_E5M2, 0x7c) => sign * f64::INFINITY,
                    _ if exponent == 0 => sign * mantissa * 2f64.powi(1 - bias),
                    _ => sign * (1.0 + mantissa) * 2f64.powi(exponent - bias),
                }
            })
            .collect();
        let checkpoint = checkpoint_of(folder.path(), dtype, vec![256], &codes);
        let read = var_builder(&checkpoint, DType::F32, &Device::Cpu).get(256, "x").unwrap();
        assert_same(&values(&read), &wanted, &format!("{dtype:?}"));
    }
}

#[test]
fn an_empty_tensor_with_huge_axes_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let header =
        br#"{"x":{"dtype":"F32","shape":[0,4611686018427387904,4611686018427387904],"data_offsets":[0,0]}}"#;
    std::fs::write(&path, [&(header.len() as u64).to_le_bytes()[..], header].concat()).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let error = var_builder(&checkpoint, DType::F32, &Device::Cpu).get_unchecked("x").unwrap_err();
    assert!(error.to_string().contains("tensor x"), "{error}");
}

#[test]
fn rows_are_those_of_the_whole_matrix() {
    for case in ["safetensors_single", "torch_zip_views", "torch_zip_deflated"] {
        let checkpoint = Checkpoint::open(formats().join(case)).unwrap();
        let backend = CandleBackend::new(&checkpoint);
        let weights = var_builder(&checkpoint, DType::F32, &Device::Cpu);
        let mut matrices = 0;
        for tensor in
            checkpoint.tensors().iter().filter(|tensor| tensor.shape.len() == 2 && tensor.shape[0] > 1)
        {
            let (name, last) = (&tensor.name, tensor.shape[0] as u32 - 1);
            let whole = weights.get(tensor.shape.as_slice(), name).unwrap();
            let rows = backend.rows(name, &[last, 0, last], DType::F32, &Device::Cpu).unwrap();
            assert_eq!(rows.dims(), [3, tensor.shape[1]]);
            let picked =
                whole.index_select(&Tensor::new(&[last, 0, last], &Device::Cpu).unwrap(), 0).unwrap();
            assert_same(&values(&rows), &values(&picked), name);
            let beyond = backend.rows(name, &[last + 1], DType::F32, &Device::Cpu).unwrap_err().to_string();
            assert!(beyond.contains(&format!("tensor {name} has {} rows", last + 1)), "{beyond}");
            matrices += 1;
        }
        assert!(matrices > 0, "{case}");
    }
}
