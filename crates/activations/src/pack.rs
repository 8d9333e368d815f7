//! Samples laid one after another: `[tokens, …]` without padding, and what their positions mean for attention.

use candle_core::{Device, Result, Tensor};
use candle_nn::rotary_emb::rope_thd;

use crate::architecture::Architecture;
use crate::attention_blocks::{Group, MOST_SCORES, groups};
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
    /// Which samples composed attention takes together.
    pub(crate) groups: Vec<Group>,
    /// The most scores that it holds at once.
    pub(crate) most_scores: usize,
    /// 0, 1, … in f32, up to the longest sample.
    pub(crate) counted: Tensor,
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
        let (cosines, sines) = (self.cosines.to_dtype(dtype)?, self.sines.to_dtype(dtype)?);
        let turned = x.narrow(2, 0, self.dimensions)?.contiguous()?;
        let turned = if self.interleaved {
            let split = turned.reshape((tokens, heads, self.dimensions / 2, 2))?;
            let half = |index| split.narrow(3, index, 1)?.squeeze(3)?.contiguous();
            let (first, second) = (half(0)?, half(1)?);
            let new_first = (first.broadcast_mul(&cosines)? - second.broadcast_mul(&sines)?)?;
            let new_second = (second.broadcast_mul(&cosines)? + first.broadcast_mul(&sines)?)?;
            Tensor::stack(&[new_first, new_second], 3)?.reshape((tokens, heads, self.dimensions))?
        } else {
            // To candle one sample: what distinguishes the tokens of ours is in the tables.
            let (cosines, sines) = (cosines.squeeze(1)?, sines.squeeze(1)?);
            rope_thd(&turned.unsqueeze(0)?, &cosines, &sines)?.squeeze(0)?
        };
        match head_dim - self.dimensions {
            0 => Ok(turned),
            rest => Tensor::cat(&[turned, x.narrow(2, self.dimensions, rest)?.contiguous()?], 2),
        }
    }
}

impl Pack {
    pub(crate) fn new(lengths: Vec<usize>, architecture: &Architecture, device: &Device) -> Result<Self> {
        let mut pack = Self::without_rotation(lengths, architecture.heads, MOST_SCORES, device)?;
        let rotation = |rope: &Option<Rope>| {
            rope.as_ref().map(|rope| Rotation::new(rope, &pack.lengths, device)).transpose()
        };
        (pack.rotation, pack.local_rotation) =
            (rotation(&architecture.rope)?, rotation(&architecture.local_rope)?);
        Ok(pack)
    }

    pub(crate) fn without_rotation(
        lengths: Vec<usize>,
        heads: usize,
        most_scores: usize,
        device: &Device,
    ) -> Result<Self> {
        let groups = groups(&lengths, heads, most_scores, device)?;
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let counted = Tensor::from_iter((0..longest).map(|position| position as f32), device)?;
        Ok(Self { lengths, rotation: None, local_rotation: None, groups, most_scores, counted })
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
