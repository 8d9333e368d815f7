//! Stored elements as a vector of the type that is computed in: one copy, in parallel.

use candle_core::WithDType;
use half::prelude::*;
use rayon::prelude::*;

use crate::{Checkpoint, Dtype, Error, TensorInfo};

/// Elements that one task converts: far more than a task costs, and enough tasks for every core.
const CHUNK: usize = 1 << 16;
/// Elements that one task reads from a file: more than the opening of a file costs, and little memory.
const READ: usize = 1 << 18;

/// Elements on their way through f32: few enough for the first-level cache.
const BLOCK: usize = 1024;

/// A type that weights are computed in.
pub(super) trait Float: WithDType + Send {
    /// Zeros as the system hands them out, so that memory is first touched by the task that fills it.
    fn zeros(count: usize) -> Vec<Self>;

    /// Converts as many stored elements as `out` has. All but f64 goes through f32, as it does in torch.
    fn convert(dtype: Dtype, bytes: &[u8], out: &mut [Self]);
}

/// Converts little-endian elements of any alignment.
pub(super) fn to_vec<T: Float>(dtype: Dtype, bytes: &[u8]) -> Vec<T> {
    let mut values = T::zeros(bytes.len() / dtype.size());
    values
        .par_chunks_mut(CHUNK)
        .zip(bytes.par_chunks(CHUNK * dtype.size()))
        .for_each(|(out, bytes)| T::convert(dtype, bytes, out));
    values
}

/// Reads and converts a tensor part by part, so that its stored bytes are never in memory at once. It must be one that
/// [`Checkpoint::reads_in_parts`].
pub(super) fn read_to_vec<T: Float>(checkpoint: &Checkpoint, tensor: &TensorInfo) -> Result<Vec<T>, Error> {
    let (dtype, size) = (tensor.dtype, tensor.dtype.size());
    let mut values = T::zeros(tensor.element_count());
    values.par_chunks_mut(READ).enumerate().try_for_each_init(Vec::new, |bytes, (index, out)| {
        bytes.resize(out.len() * size, 0);
        checkpoint.read_into(tensor, index * READ * size, bytes)?;
        T::convert(dtype, bytes, out);
        Ok(())
    })?;
    Ok(values)
}

impl Float for f32 {
    fn zeros(count: usize) -> Vec<Self> {
        vec![0.0; count]
    }

    fn convert(dtype: Dtype, bytes: &[u8], out: &mut [Self]) {
        match dtype {
            Dtype::F32 => each(bytes, out, f32::from_le_bytes),
            Dtype::Bf16 => {
                each(bytes, out, |stored| f32::from_bits(u32::from(u16::from_le_bytes(stored)) << 16));
            }
            Dtype::F16 => {
                let mut aligned = [f16::ZERO; BLOCK];
                for (out, bytes) in out.chunks_mut(BLOCK).zip(bytes.chunks(2 * BLOCK)) {
                    let aligned = &mut aligned[..out.len()];
                    each(bytes, aligned, f16::from_le_bytes);
                    aligned.convert_to_f32_slice(out);
                }
            }
            Dtype::F8E4M3 => each(bytes, out, |[stored]| F8_E4M3[usize::from(stored)]),
            Dtype::F8E5M2 => each(bytes, out, |[stored]| F8_E5M2[usize::from(stored)]),
            Dtype::F64 => each(bytes, out, |stored| f64::from_le_bytes(stored) as f32),
            Dtype::I64 => each(bytes, out, |stored| i64::from_le_bytes(stored) as f32),
            Dtype::I32 => each(bytes, out, |stored| i32::from_le_bytes(stored) as f32),
            Dtype::I16 => each(bytes, out, |stored| i16::from_le_bytes(stored).into()),
            Dtype::I8 => each(bytes, out, |stored| i8::from_le_bytes(stored).into()),
            Dtype::U8 => each(bytes, out, |[stored]| stored.into()),
            Dtype::Bool => each(bytes, out, |[stored]| f32::from(u8::from(stored != 0))),
        }
    }
}

impl Float for f16 {
    fn zeros(count: usize) -> Vec<Self> {
        vec![0u16; count].reinterpret_into()
    }

    fn convert(dtype: Dtype, bytes: &[u8], out: &mut [Self]) {
        match dtype {
            Dtype::F16 => each(bytes, out, f16::from_le_bytes),
            _ => through_f32(dtype, bytes, out, <[Self]>::convert_from_f32_slice),
        }
    }
}

impl Float for bf16 {
    fn zeros(count: usize) -> Vec<Self> {
        vec![0u16; count].reinterpret_into()
    }

    fn convert(dtype: Dtype, bytes: &[u8], out: &mut [Self]) {
        match dtype {
            Dtype::Bf16 => each(bytes, out, bf16::from_le_bytes),
            _ => through_f32(dtype, bytes, out, <[Self]>::convert_from_f32_slice),
        }
    }
}

impl Float for f64 {
    fn zeros(count: usize) -> Vec<Self> {
        vec![0.0; count]
    }

    fn convert(dtype: Dtype, bytes: &[u8], out: &mut [Self]) {
        match dtype {
            Dtype::F64 => each(bytes, out, f64::from_le_bytes),
            Dtype::I64 => each(bytes, out, |stored| i64::from_le_bytes(stored) as f64),
            Dtype::I32 => each(bytes, out, |stored| i32::from_le_bytes(stored).into()),
            _ => through_f32(dtype, bytes, out, |out, values| {
                for (out, value) in out.iter_mut().zip(values) {
                    *out = (*value).into();
                }
            }),
        }
    }
}

fn each<const SIZE: usize, T>(bytes: &[u8], out: &mut [T], decode: impl Fn([u8; SIZE]) -> T) {
    for (out, stored) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = decode(*stored);
    }
}

fn through_f32<T>(dtype: Dtype, bytes: &[u8], out: &mut [T], finish: impl Fn(&mut [T], &[f32])) {
    let mut values = [0.0; BLOCK];
    for (out, bytes) in out.chunks_mut(BLOCK).zip(bytes.chunks(BLOCK * dtype.size())) {
        let values = &mut values[..out.len()];
        f32::convert(dtype, bytes, values);
        finish(out, values);
    }
}

static F8_E4M3: [f32; 256] = table(false);
static F8_E5M2: [f32; 256] = table(true);

/// All values of an 8-bit float (OCP 8-bit Floating Point Specification, revision 1.0), by way of f16: E5M2 is its
/// upper half, E4M3 has one exponent bit less, and with it another bias.
const fn table(e5m2: bool) -> [f32; 256] {
    let mut table = [0.0; 256];
    let mut code = 0u16;
    while code < 256 {
        table[code as usize] = if e5m2 {
            f16::from_bits(code << 8).to_f32_const()
        } else if code & 0x7f == 0x7f {
            f32::NAN // the only code that is no number
        } else {
            const REBIAS: f32 = 256.0; // 2^(15 − 7)
            f16::from_bits((code & 0x80) << 8 | (code & 0x7f) << 7).to_f32_const() * REBIAS
        };
        code += 1;
    }
    table
}
