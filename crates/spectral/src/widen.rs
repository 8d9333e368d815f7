//! Stored elements as f32 or f64, a stretch of one row at a time.
#![allow(clippy::cast_lossless)] // `From` is one more call that a SIMD function must inline

use crate::matrix::{Dtype, Matrix};

/// Decodes a stretch of a row into `$out`: one run of bytes, or strided elements one by one. A macro, not a function
/// of a closure: a closure is compiled without the instruction set of the SIMD function that it is used in.
macro_rules! each {
    ($matrix:ident, $row:ident, $start:ident, $out:ident, $size:literal, $bytes:ident => $value:expr) => {{
        let first = ($row * $matrix.row_stride + $start * $matrix.column_stride) * $size;
        if $matrix.column_stride == 1 {
            let stored = &$matrix.bytes[first..first + $out.len() * $size];
            for (value, $bytes) in $out.iter_mut().zip(stored.as_chunks::<$size>().0) {
                let $bytes = *$bytes;
                *value = $value;
            }
        } else {
            let step = $matrix.column_stride * $size;
            for (index, value) in $out.iter_mut().enumerate() {
                let mut $bytes = [0; $size];
                $bytes.copy_from_slice(&$matrix.bytes[first + index * step..][..$size]);
                *value = $value;
            }
        }
    }};
}

/// Widens elements `start..start + out.len()` of a row to f32; exact for every dtype but f64, i64 and i32.
#[inline(always)]
pub(crate) fn to_f32(matrix: &Matrix<'_>, row: usize, start: usize, out: &mut [f32]) {
    match matrix.dtype {
        Dtype::F32 => each!(matrix, row, start, out, 4, bytes => f32::from_le_bytes(bytes)),
        Dtype::Bf16 => each!(matrix, row, start, out, 2, bytes => {
            f32::from_bits((u16::from_le_bytes(bytes) as u32) << 16)
        }),
        Dtype::F16 => each!(matrix, row, start, out, 2, bytes => f16_to_f32(u16::from_le_bytes(bytes))),
        Dtype::F8E4M3 => each!(matrix, row, start, out, 1, bytes => F8_E4M3[bytes[0] as usize]),
        Dtype::F8E5M2 => each!(matrix, row, start, out, 1, bytes => F8_E5M2[bytes[0] as usize]),
        Dtype::I16 => each!(matrix, row, start, out, 2, bytes => i16::from_le_bytes(bytes) as f32),
        Dtype::I8 => each!(matrix, row, start, out, 1, bytes => i8::from_le_bytes(bytes) as f32),
        Dtype::U8 => each!(matrix, row, start, out, 1, bytes => bytes[0] as f32),
        Dtype::Bool => each!(matrix, row, start, out, 1, bytes => (bytes[0] != 0) as u8 as f32),
        Dtype::F64 => each!(matrix, row, start, out, 8, bytes => f64::from_le_bytes(bytes) as f32),
        Dtype::I64 => each!(matrix, row, start, out, 8, bytes => i64::from_le_bytes(bytes) as f32),
        Dtype::I32 => each!(matrix, row, start, out, 4, bytes => i32::from_le_bytes(bytes) as f32),
    }
}

/// Widens a row of A, and subtracts it from that of B.
#[inline(always)]
pub(crate) fn with_difference(
    a: &Matrix<'_>,
    b: &Matrix<'_>,
    row: usize,
    out: &mut [f32],
    difference: &mut [f32],
) {
    // One loop for the dtypes of weights; two for all else.
    macro_rules! both {
        ($size:literal, $bytes:ident => $value:expr) => {{
            let bytes = out.len() * $size;
            let first = &a.bytes[row * a.row_stride * $size..][..bytes];
            let second = &b.bytes[row * b.row_stride * $size..][..bytes];
            let stored = first.as_chunks::<$size>().0.iter().zip(second.as_chunks::<$size>().0);
            for ((out, difference), (first, second)) in out.iter_mut().zip(difference).zip(stored) {
                let $bytes = *first;
                let a = $value;
                let $bytes = *second;
                *out = a;
                *difference = $value - a;
            }
        }};
    }
    match (a.dtype, b.dtype) {
        _ if a.column_stride != 1 || b.column_stride != 1 => {}
        (Dtype::Bf16, Dtype::Bf16) => {
            return both!(2, bytes => f32::from_bits((u16::from_le_bytes(bytes) as u32) << 16));
        }
        (Dtype::F16, Dtype::F16) => return both!(2, bytes => f16_to_f32(u16::from_le_bytes(bytes))),
        (Dtype::F32, Dtype::F32) => return both!(4, bytes => f32::from_le_bytes(bytes)),
        _ => {}
    }
    to_f32(a, row, 0, out);
    to_f32(b, row, 0, difference);
    for (difference, a) in difference.iter_mut().zip(out) {
        *difference -= *a;
    }
}

/// Widens elements `start..start + out.len()` of a row to f64; exact but for i64 beyond 2⁵³.
pub(crate) fn to_f64(matrix: &Matrix<'_>, row: usize, start: usize, out: &mut [f64]) {
    match matrix.dtype {
        Dtype::F64 => each!(matrix, row, start, out, 8, bytes => f64::from_le_bytes(bytes)),
        Dtype::I64 => each!(matrix, row, start, out, 8, bytes => i64::from_le_bytes(bytes) as f64),
        Dtype::I32 => each!(matrix, row, start, out, 4, bytes => i32::from_le_bytes(bytes) as f64),
        _ => {
            let mut narrow = [0f32; 256];
            for (at, out) in (start..).step_by(narrow.len()).zip(out.chunks_mut(narrow.len())) {
                let narrow = &mut narrow[..out.len()];
                to_f32(matrix, row, at, narrow);
                for (wide, narrow) in out.iter_mut().zip(narrow) {
                    *wide = f64::from(*narrow);
                }
            }
        }
    }
}

/// Half precision without branches, so that a loop over it becomes SIMD: the exponent is shifted into place and
/// rebiased by a multiplication, which is right for subnormals too.
#[inline(always)]
fn f16_to_f32(bits: u16) -> f32 {
    const REBIAS: f32 = f32::from_bits((127 + 127 - 15) << 23); // 2^112
    const INFINITY: f32 = 65536.0; // what an f16 infinity or NaN becomes, or more
    let bits = u32::from(bits);
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * REBIAS;
    let special = if magnitude >= INFINITY { 0xff << 23 } else { 0 };
    f32::from_bits(magnitude.to_bits() | special | (bits & 0x8000) << 16)
}

static F8_E4M3: [f32; 256] = f8_table(4);
static F8_E5M2: [f32; 256] = f8_table(5);

/// All values of an 8-bit float (OCP 8-bit Floating Point Specification, revision 1.0).
const fn f8_table(exponent_bits: u32) -> [f32; 256] {
    let mut table = [0.0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte as usize] = f8(byte, exponent_bits);
        byte += 1;
    }
    table
}

const fn f8(byte: u32, exponent_bits: u32) -> f32 {
    let mantissa_bits = 7 - exponent_bits;
    let bias = (1 << (exponent_bits - 1)) - 1;
    let exponent = (byte & 0x7f) >> mantissa_bits;
    let mantissa = byte & ((1 << mantissa_bits) - 1);
    let top = (1 << exponent_bits) - 1;
    // E4M3 gives only its last code to NaN and has no infinity; E5M2 follows IEEE 754.
    let special = exponent == top && (exponent_bits == 5 || mantissa == (1 << mantissa_bits) - 1);
    let magnitude = if special {
        if mantissa == 0 { f32::INFINITY } else { f32::NAN }
    } else {
        let (significand, exponent) =
            if exponent == 0 { (mantissa, 1) } else { (mantissa | (1 << mantissa_bits), exponent) };
        let unit = f32::from_bits((127 + exponent - bias - mantissa_bits) << 23);
        significand as f32 * unit
    };
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_precision_value_is_exact() {
        for bits in 0..=u16::MAX {
            let expected = half::f16::from_bits(bits).to_f32();
            let found = f16_to_f32(bits);
            assert!(
                found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan()),
                "{bits:#x}"
            );
        }
    }

    #[test]
    fn landmarks_of_the_8_bit_floats() {
        // Largest, smallest normal, smallest subnormal (OCP specification, table 1).
        assert_eq!([F8_E4M3[0x7e], F8_E4M3[0x08], F8_E4M3[0x01]], [448.0, 2f32.powi(-6), 2f32.powi(-9)]);
        assert_eq!([F8_E5M2[0x7b], F8_E5M2[0x04], F8_E5M2[0x01]], [57344.0, 2f32.powi(-14), 2f32.powi(-16)]);
        assert!(F8_E4M3[0x7f].is_nan() && F8_E4M3[0xff].is_nan() && F8_E5M2[0x7d].is_nan());
        assert_eq!([F8_E5M2[0x7c], F8_E5M2[0xfc]], [f32::INFINITY, f32::NEG_INFINITY]);
        assert_eq!(F8_E4M3[0x80].to_bits(), (-0f32).to_bits());
    }

    #[test]
    fn strided_rows_read_the_same_values() {
        let values: Vec<f32> = (0..35u8).map(f32::from).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let transposed = Matrix::strided((7, 5), (1, 7), Dtype::F32, &bytes).unwrap();
        let mut row = [0.0; 3];
        to_f32(&transposed, 2, 1, &mut row);
        assert_eq!(row, [9.0, 16.0, 23.0]);
        let mut wide = [0.0; 3];
        to_f64(&transposed, 2, 1, &mut wide);
        assert_eq!(wide, [9.0, 16.0, 23.0]);
    }
}
