//! Attention by candle's operations, on any device and in any dtype, without ever holding the scores of a long text.
//!
//! Scores are `[samples, heads, queries, keys]`. Samples that are about as long go together as long as all their scores
//! are few; those of a longer one are computed block of queries by block of queries, over the keys that these may see.

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};

use crate::attention::Scores;
use crate::family::PositionKind;
use crate::kernels::product;
use crate::pack::Pack;

/// Scores that are held at once, 64 MiB in f32: enough for a GPU to be busy, little beside the weights of a block. One
/// query of all heads is the least, however long the text.
pub(crate) const MOST_SCORES: usize = 1 << 24;

/// Bytes that each of these scores takes: in the dtype of the computation, and in f32 before and after an operation.
pub(crate) const BYTES_PER_SCORE: usize = 16;

/// The most scores that are held for texts of up to `longest` tokens.
pub(crate) fn scores_held(heads: usize, longest: usize) -> usize {
    MOST_SCORES.max(heads * longest)
}

/// Samples of a pack, one after another, that are attended to together.
#[derive(Debug)]
pub(crate) struct Group {
    /// First token.
    start: usize,
    /// Tokens of each sample.
    lengths: Vec<usize>,
    /// Tokens of the longest one: what the others are filled up to.
    longest: usize,
    /// How the others are filled up, if there are any.
    fill: Option<Fill>,
}

/// Rows of a group's tokens, and rows of the same filled up: a sample's last token stands in for those that it lacks, which
/// come after all that it has, so that none of these sees them.
#[derive(Debug)]
struct Fill {
    /// For each of samples · longest rows a token of the group.
    tokens: Tensor,
    /// For each token of the group its row among those.
    rows: Tensor,
}

/// Puts samples together whose scores are at most `most`, and at most a quarter more tokens when filled up.
pub(crate) fn groups(lengths: &[usize], heads: usize, most: usize, device: &Device) -> Result<Vec<Group>> {
    let mut groups: Vec<(usize, Vec<usize>)> = Vec::new();
    let mut end = 0;
    for length in lengths {
        let fits = groups.last().is_some_and(|(start, group)| {
            let count = group.len() + 1;
            let longest = group.iter().copied().max().unwrap_or(0).max(*length);
            let scores = heads.saturating_mul(count).saturating_mul(longest).saturating_mul(longest);
            scores <= most && 4 * count * longest <= 5 * (end - start + length)
        });
        match groups.last_mut().filter(|_| fits) {
            Some((_, group)) => group.push(*length),
            None => groups.push((end, vec![*length])),
        }
        end += length;
    }
    groups.into_iter().map(|(start, lengths)| Group::new(start, lengths, device)).collect()
}

impl Group {
    fn new(start: usize, lengths: Vec<usize>, device: &Device) -> Result<Self> {
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut group = Self { start, lengths, longest, fill: None };
        if group.lengths.iter().any(|length| *length < longest) {
            let (mut tokens, mut rows, mut first) = (Vec::new(), Vec::new(), 0);
            for (sample, length) in group.lengths.iter().enumerate() {
                let token = |row: usize| (first + row.min(length - 1)) as u32;
                tokens.extend((0..longest).map(token));
                rows.extend((0..*length).map(|row| (sample * longest + row) as u32));
                first += length;
            }
            let on_device = |rows: Vec<u32>| Tensor::from_iter(rows, device);
            group.fill = Some(Fill { tokens: on_device(tokens)?, rows: on_device(rows)? });
        }
        Ok(group)
    }

    fn samples(&self) -> usize {
        self.lengths.len()
    }

    /// Queries of each sample that are computed together.
    fn queries(&self, heads: usize, most: usize) -> usize {
        (most / (self.samples() * heads * self.longest).max(1)).clamp(1, self.longest.max(1))
    }

    /// `[tokens, heads, head_dim]` of a pack as `[samples, heads, longest, head_dim]`, contiguous.
    fn take(&self, x: &Tensor) -> Result<Tensor> {
        let (_, heads, head_dim) = x.dims3()?;
        let mut x = x.narrow(0, self.start, self.lengths.iter().sum())?;
        if let Some(fill) = &self.fill {
            x = x.contiguous()?.index_select(&fill.tokens, 0)?;
        }
        x.reshape((self.samples(), self.longest, heads, head_dim))?.transpose(1, 2)?.contiguous()
    }

    /// `[samples, longest, width]` as `[tokens, width]`.
    fn give_back(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.flatten(0, 1)?;
        self.fill.as_ref().map_or_else(|| Ok(x.clone()), |fill| x.contiguous()?.index_select(&fill.rows, 0))
    }
}

/// Softmax(scores)·values of each sample, `[tokens, heads · head_dim]`.
///
/// `queries` are `[tokens, heads, head_dim]`, the others `[tokens, key_value_heads, head_dim]`.
pub(crate) fn attend_composed(
    scores: &Scores,
    queries: &Tensor,
    keys: &Tensor,
    values: &Tensor,
    pack: &Pack,
) -> Result<Tensor> {
    let mut positions = Positions::new(scores, pack, queries.device())?;
    let mut mixed = Vec::with_capacity(pack.groups.len());
    for group in &pack.groups {
        let (queries, keys, values) = (group.take(queries)?, group.take(keys)?, group.take(values)?);
        let at_once = group.queries(scores.heads, pack.most_scores);
        let blocks = (0..group.longest).step_by(at_once).map(|first| {
            let block = first..(first + at_once).min(group.longest);
            scores.mix(&queries, &keys, &values, block, &mut positions)
        });
        let blocks: Vec<Tensor> = blocks.collect::<Result<_>>()?;
        mixed.push(group.give_back(&Tensor::cat(&blocks, 1)?)?);
    }
    Tensor::cat(&mixed, 0)
}

/// What positions add to scores.
struct Positions {
    /// 0, 1, … in f32, up to the longest sample.
    counted: Tensor,
    window: Option<usize>,
    /// Slopes of ALiBi for each head, `[heads, 1, 1]`.
    slopes: Option<Tensor>,
    /// The last mask, and for which queries and keys it is: groups of one length need the same.
    mask: Option<(Range<usize>, Range<usize>, Tensor)>,
}

impl Positions {
    fn new(scores: &Scores, pack: &Pack, device: &Device) -> Result<Self> {
        let slopes = match scores.positions {
            PositionKind::Rotary | PositionKind::Learned => None,
            PositionKind::Alibi | PositionKind::ScaledAlibi => {
                // A key at position 1 gets the slope itself.
                let slopes = (0..scores.heads).map(|head| scores.slope(head, 1));
                Some(Tensor::from_iter(slopes, device)?.reshape((scores.heads, 1, 1))?)
            }
        };
        Ok(Self { counted: pack.counted.clone(), window: scores.window, slopes, mask: None })
    }

    fn at(&self, range: &Range<usize>) -> Result<Tensor> {
        self.counted.narrow(0, range.start, range.len())
    }

    /// 0 where a query may attend to a key, −∞ elsewhere; `[queries, keys]`.
    fn mask(&mut self, queries: &Range<usize>, keys: &Range<usize>) -> Result<Tensor> {
        if let Some((_, _, mask)) = self.mask.as_ref().filter(|last| (&last.0, &last.1) == (queries, keys)) {
            return Ok(mask.clone());
        }
        let behind = self.at(queries)?.unsqueeze(1)?.broadcast_sub(&self.at(keys)?)?;
        let mut visible = behind.ge(0f32)?;
        if let Some(window) = self.window {
            visible = (visible * behind.lt(window as f32)?)?;
        }
        let hidden = Tensor::new(f32::NEG_INFINITY, behind.device())?.broadcast_as(behind.shape())?;
        let mask = visible.where_cond(&behind.zeros_like()?, &hidden)?;
        self.mask = Some((queries.clone(), keys.clone(), mask.clone()));
        Ok(mask)
    }

    /// What ALiBi adds to the scores of each head and key, `[heads, 1, keys]`.
    fn slopes(&self, keys: &Range<usize>, rounded: bool) -> Result<Option<Tensor>> {
        let Some(slopes) = &self.slopes else { return Ok(None) };
        let added = slopes.broadcast_mul(&self.at(keys)?)?;
        if rounded { added.to_dtype(DType::BF16)?.to_dtype(DType::F32).map(Some) } else { Ok(Some(added)) }
    }
}

impl Scores {
    /// What a block of queries makes of the values, `[samples, queries, heads · head_dim]`.
    ///
    /// `queries` are `[samples, heads, length, head_dim]`, the others `[samples, key_value_heads, length, head_dim]`.
    fn mix(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        block: Range<usize>,
        positions: &mut Positions,
    ) -> Result<Tensor> {
        let Self { heads, key_value_heads, head_dim, window, .. } = *self;
        let (samples, dtype, count) = (queries.dim(0)?, queries.dtype(), block.len());
        // The first key that any of these queries sees.
        let from = window.map_or(0, |window| (block.start + 1).saturating_sub(window));
        let seen = from..block.end;
        // Heads that share keys are rows of one product.
        let (products, rows) = (samples * key_value_heads, heads / key_value_heads * count);
        let queries =
            queries.narrow(2, block.start, count)?.contiguous()?.reshape((products, rows, head_dim))?;
        let visible = |x: &Tensor| x.flatten(0, 1)?.narrow(1, seen.start, seen.len());
        let scores = product(&queries, &visible(keys)?.transpose(1, 2)?)?.to_dtype(DType::F32)?;
        let scores = scores.reshape((samples, heads, count, seen.len()))?;
        let weights = self.weights(scores, &block, &seen, positions)?.to_dtype(dtype)?;
        let mixed = product(&weights.reshape((products, rows, seen.len()))?, &visible(values)?)?;
        let mixed = mixed.reshape((samples, heads, count, head_dim))?.transpose(1, 2)?.contiguous()?;
        mixed.reshape((samples, count, heads * head_dim))
    }

    /// Attention weights from products of queries and keys, `[samples, heads, queries, keys]`.
    fn weights(
        &self,
        mut scores: Tensor,
        queries: &Range<usize>,
        keys: &Range<usize>,
        positions: &mut Positions,
    ) -> Result<Tensor> {
        let slopes = positions.slopes(keys, self.positions == PositionKind::ScaledAlibi)?;
        if let (Some(slopes), PositionKind::ScaledAlibi) = (&slopes, self.positions) {
            scores = scores.broadcast_add(slopes)?;
        }
        scores = (scores * self.scale)?;
        if let Some(cap) = self.cap {
            scores = ((scores / cap)?.tanh()? * cap)?;
        }
        if let (Some(slopes), PositionKind::Alibi) = (&slopes, self.positions) {
            scores = scores.broadcast_add(slopes)?;
        }
        scores = scores.broadcast_add(&positions.mask(queries, keys)?)?;
        candle_nn::ops::softmax_last_dim(&scores)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_block_holds_more_scores_than_allowed_or_than_one_query_needs(
            lengths in prop::collection::vec(1usize..3000, 1..20),
            heads in 1usize..40,
            most in 1usize..1 << 24,
        ) {
            let groups = groups(&lengths, heads, most, &Device::Cpu).unwrap();
            let mut end = 0;
            for group in &groups {
                let scores = group.samples() * heads * group.queries(heads, most) * group.longest;
                prop_assert!(scores <= most.max(heads * group.longest));
                prop_assert!(group.samples() == 1 || group.queries(heads, most) == group.longest);
                prop_assert_eq!(group.start, end);
                end += group.lengths.iter().sum::<usize>();
                prop_assert!(4 * group.samples() * group.longest <= 5 * (end - group.start));
            }
            let all: Vec<usize> = groups.iter().flat_map(|group| group.lengths.clone()).collect();
            prop_assert_eq!(all, lengths);
        }
    }

    #[test]
    fn samples_are_filled_up_and_come_back() {
        let group = Group::new(2, vec![3, 1, 2], &Device::Cpu).unwrap();
        let x = Tensor::arange(0u32, 8, &Device::Cpu).unwrap().reshape((8, 1, 1)).unwrap();
        let taken = group.take(&x).unwrap().squeeze(3).unwrap().squeeze(1).unwrap();
        assert_eq!(taken.to_vec2::<u32>().unwrap(), [[2, 3, 4], [5, 5, 5], [6, 7, 7]]);
        let back = group.give_back(&taken.unsqueeze(2).unwrap()).unwrap();
        assert_eq!(back.flatten_all().unwrap().to_vec1::<u32>().unwrap(), [2, 3, 4, 5, 6, 7]);
    }
}
