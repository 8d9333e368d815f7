//! Samples laid one after another: `[tokens, …]` without padding, and what their positions mean for attention.

use candle_core::{DType, Device, Result, Tensor};

use crate::architecture::Architecture;
use crate::rope::Rope;

/// Some samples end to end.
#[derive(Debug)]
pub(crate) struct Pack {
    /// Tokens of each sample; none is empty.
    pub(crate) lengths: Vec<usize>,
    /// Turns of queries and keys, for all blocks or those with full attention.
    rotation: Option<Rotation>,
    /// The same for blocks with a window, where they have their own.
    local_rotation: Option<Rotation>,
}

/// Cosines and sines for every token of a pack.
#[derive(Debug)]
pub(crate) struct Rotation {
    /// `[tokens, 1, dimensions / 2]`, f32.
    pub(crate) cosines: Tensor,
    pub(crate) sines: Tensor,
    pub(crate) dimensions: usize,
    pub(crate) interleaved: bool,
}

impl Rotation {
    fn new(rope: &Rope, lengths: &[usize], device: &Device) -> Result<Self> {
        let (mut cosines, mut sines) = (Vec::new(), Vec::new());
        for length in lengths {
            let (cosine, sine) = rope.table(*length);
            cosines.extend(cosine);
            sines.extend(sine);
        }
        let shape = (lengths.iter().sum::<usize>(), 1, rope.dimensions / 2);
        Ok(Self {
            cosines: Tensor::from_vec(cosines, shape, device)?,
            sines: Tensor::from_vec(sines, shape, device)?,
            dimensions: rope.dimensions,
            interleaved: rope.interleaved,
        })
    }

    /// Turns `[tokens, heads, head_dim]` by candle's operations.
    pub(crate) fn apply_composed(&self, x: &Tensor) -> Result<Tensor> {
        let dtype = x.dtype();
        let (tokens, heads, head_dim) = x.dims3()?;
        let pairs = self.dimensions / 2;
        let (cosines, sines) = (self.cosines.to_dtype(dtype)?, self.sines.to_dtype(dtype)?);
        let turned = x.narrow(2, 0, self.dimensions)?;
        let (first, second) = if self.interleaved {
            let split = turned.contiguous()?.reshape((tokens, heads, pairs, 2))?;
            (split.narrow(3, 0, 1)?.squeeze(3)?, split.narrow(3, 1, 1)?.squeeze(3)?)
        } else {
            (turned.narrow(2, 0, pairs)?, turned.narrow(2, pairs, pairs)?)
        };
        let (first, second) = (first.contiguous()?, second.contiguous()?);
        let new_first = (first.broadcast_mul(&cosines)? - second.broadcast_mul(&sines)?)?;
        let new_second = (second.broadcast_mul(&cosines)? + first.broadcast_mul(&sines)?)?;
        let turned = if self.interleaved {
            Tensor::stack(&[new_first, new_second], 3)?.reshape((tokens, heads, self.dimensions))?
        } else {
            Tensor::cat(&[new_first, new_second], 2)?
        };
        match head_dim - self.dimensions {
            0 => Ok(turned),
            rest => Tensor::cat(&[turned, x.narrow(2, self.dimensions, rest)?], 2),
        }
    }
}

impl Pack {
    pub(crate) fn new(lengths: Vec<usize>, architecture: &Architecture, device: &Device) -> Result<Self> {
        let rotation =
            |rope: &Option<Rope>| rope.as_ref().map(|rope| Rotation::new(rope, &lengths, device)).transpose();
        let (rotation, local_rotation) = (rotation(&architecture.rope)?, rotation(&architecture.local_rope)?);
        Ok(Self { lengths, rotation, local_rotation })
    }

    #[cfg(test)]
    pub(crate) fn without_rotation(lengths: Vec<usize>) -> Self {
        Self { lengths, rotation: None, local_rotation: None }
    }

    /// The turns of a block that rotates, with a window or without.
    pub(crate) fn rotation(&self, windowed: bool) -> Option<&Rotation> {
        self.local_rotation.as_ref().filter(|_| windowed).or(self.rotation.as_ref())
    }

    /// First token and number of tokens of each sample.
    pub(crate) fn samples(&self) -> impl Iterator<Item = (usize, usize)> {
        self.lengths.iter().scan(0, |start, length| {
            let sample = (*start, *length);
            *start += length;
            Some(sample)
        })
    }
}

/// What may be seen: 0 where a query at row i may attend to column j, −∞ elsewhere; `[length, length]`, f32.
pub(crate) fn mask(length: usize, window: Option<usize>, device: &Device) -> Result<Tensor> {
    let window = window.unwrap_or(length);
    let values: Vec<f32> = (0..length)
        .flat_map(|i| {
            (0..length).map(move |j| if j <= i && i - j < window { 0.0 } else { f32::NEG_INFINITY })
        })
        .collect();
    Tensor::from_vec(values, (length, length), device)?.to_dtype(DType::F32)
}
