//! Entries as files have them.

use half::{bf16, f16};
use spectral::Dtype;

/// Values as stored, and what they then are.
pub(crate) fn encode(dtype: Dtype, values: &[f64]) -> (Vec<u8>, Vec<f64>) {
    let mut bytes = Vec::new();
    let mut stored = Vec::new();
    for value in values {
        match dtype {
            Dtype::F64 => {
                bytes.extend(value.to_le_bytes());
                stored.push(*value);
            }
            Dtype::F32 => {
                bytes.extend((*value as f32).to_le_bytes());
                stored.push(f64::from(*value as f32));
            }
            Dtype::F16 => {
                bytes.extend(f16::from_f64(*value).to_le_bytes());
                stored.push(f16::from_f64(*value).to_f64());
            }
            Dtype::Bf16 => {
                bytes.extend(bf16::from_f64(*value).to_le_bytes());
                stored.push(bf16::from_f64(*value).to_f64());
            }
            Dtype::I8 => {
                bytes.push((*value * 30.0) as i8 as u8);
                stored.push(f64::from((*value * 30.0) as i8));
            }
            Dtype::I32 => {
                bytes.extend(((*value * 1000.0) as i32).to_le_bytes());
                stored.push(f64::from((*value * 1000.0) as i32));
            }
            other => panic!("{other:?} is not encoded here"),
        }
    }
    (bytes, stored)
}
