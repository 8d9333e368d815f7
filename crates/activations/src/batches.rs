//! Which samples are computed together, and how many batches at a time, so that all keeps to the memory budget.

use crate::attention_blocks::{BYTES_PER_SCORE, scores_held};
use crate::hook::BatchSample;
use crate::kernels;
use crate::model::Model;
use crate::{Error, StreamOptions};

/// Tokens from which on no further sample joins a batch on the CPU, where larger ones only leave the caches.
const TOKENS_ON_CPU: usize = 1024;

/// Elements that candle's kernels can count: some of them do so in 31 bits.
const MOST_ELEMENTS: usize = i32::MAX as usize;

/// Samples that go through the models together, batch by batch.
pub(crate) type Window = Vec<Vec<BatchSample>>;

/// All samples that have tokens, in batches, in windows.
pub(crate) fn windows(
    models: &[Model<'_>],
    samples: &[Vec<u32>],
    occurring: usize,
    options: &StreamOptions,
) -> Result<Vec<Window>, Error> {
    let lengths: Vec<usize> = samples.iter().map(Vec::len).collect();
    let costs = Costs::new(models, &lengths, occurring, options)?;
    let fused = kernels::are_fused(&options.device, options.dtype);
    let tokens = match options.batch_tokens {
        Some(tokens) => tokens,
        None if fused => TOKENS_ON_CPU,
        None => costs.tokens_that_fit(lengths.iter().sum(), options.memory_budget),
    };
    let tokens = if fused { tokens } else { tokens.min(MOST_ELEMENTS / costs.widest.max(1)) };
    let mut order: Vec<usize> = (0..lengths.len()).filter(|index| lengths[*index] > 0).collect();
    if !fused {
        // Attention takes those that are about as long together. What needs most memory comes first.
        order.sort_by_key(|index| std::cmp::Reverse(lengths[*index]));
    }
    let batches = batches(&order, &lengths, options.batch_size, tokens);
    costs.windows(batches, options.memory_budget)
}

/// Samples in an order, so many together as allowed.
fn batches(order: &[usize], lengths: &[usize], most_samples: usize, most_tokens: usize) -> Window {
    let mut batches: Window = Vec::new();
    for index in order.iter().copied() {
        let length = lengths[index];
        match batches.last_mut() {
            Some(batch) if batch.len() < most_samples && tokens_of(batch) + length <= most_tokens => {
                batch.push(BatchSample { index, start: tokens_of(batch), length });
            }
            _ => batches.push(vec![BatchSample { index, start: 0, length }]),
        }
    }
    batches
}

fn tokens_of(batch: &[BatchSample]) -> usize {
    batch.last().map_or(0, |sample| sample.start + sample.length)
}

/// Bytes that a run takes.
struct Costs {
    /// One block of each model, or before the first block the embeddings of the tokens that occur.
    fixed: u64,
    /// Scores of attention: the most that are held, and those of a token at the end of the longest sample.
    scores: (u64, u64),
    /// A token's hidden states in all models.
    states: u64,
    /// Intermediate results of a token of the batch that is computed, of one model at a time.
    scratch: u64,
    /// Elements of the widest intermediate result of a token.
    widest: usize,
}

impl Costs {
    fn new(
        models: &[Model<'_>],
        lengths: &[usize],
        occurring: usize,
        options: &StreamOptions,
    ) -> Result<Self, Error> {
        let size = options.dtype.size_in_bytes() as u64;
        let fused = kernels::are_fused(&options.device, options.dtype);
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut costs = Self { fixed: 0, scores: (0, 0), states: 0, scratch: 0, widest: 0 };
        for model in models {
            let architecture = &model.architecture;
            let (hidden, projected) = (architecture.hidden, architecture.projected());
            let mut largest = (occurring * architecture.embedding_width) as u64 * size;
            for index in 0..model.blocks() {
                let elements: usize = model.block_tensors(index)?.iter().map(|(_, elements)| elements).sum();
                // A block is copied once more while its projections are joined; meanwhile a GPU computes the one before.
                let halves = if fused { 3 } else { 5 };
                largest = largest.max(elements as u64 * size * halves / 2);
            }
            costs.fixed += largest;
            costs.states += hidden as u64 * size;
            let scratch = if fused {
                // Normed input, joint projections, both halves of the MLP and their product, sums.
                (6 * hidden + 3 * projected + 4 * architecture.intermediate) as u64 * size
            } else {
                // The same and what operations leave behind that are not fused; norms and hooks copy to f32.
                let experts = architecture.experts.map_or((0, 0, 0), |experts| {
                    (experts.per_token, experts.intermediate, experts.shared_intermediate)
                });
                let (per_token, of_expert, shared) = experts;
                let intermediate = architecture.intermediate.max(of_expert).max(shared);
                let widths = (6 + 3 * per_token) * hidden + 6 * projected + 6 * intermediate;
                let widest = projected.max(2 * intermediate).max(hidden * per_token.max(1));
                costs.widest = costs.widest.max(widest);
                let bytes = |scores: usize| scores as u64 * BYTES_PER_SCORE as u64;
                let heads = architecture.heads;
                costs.scores.0 = costs.scores.0.max(bytes(scores_held(heads, longest)));
                costs.scores.1 = costs.scores.1.max(bytes(heads * longest));
                widths as u64 * size + hidden as u64 * 16
            };
            costs.scratch = costs.scratch.max(scratch);
        }
        Ok(costs)
    }

    /// What a window of so many tokens takes whose largest batch has so many.
    fn of(&self, tokens: usize, batch: usize) -> u64 {
        let (held, of_token) = self.scores;
        let scores = held.min(of_token.saturating_mul(batch as u64));
        self.fixed + scores + self.states * tokens as u64 + self.scratch * batch as u64
    }

    /// Tokens of a batch that leave room for the states of all, or where these are too many, a quarter of the memory.
    fn tokens_that_fit(&self, all: usize, budget: u64) -> usize {
        let room = budget.saturating_sub(self.fixed + self.scores.0);
        let states = (self.states * all as u64).min(room - room / 4);
        let most = ((room - states) / self.scratch.max(1)).min(room / (self.scratch + self.states).max(1));
        most.try_into().unwrap_or(usize::MAX)
    }

    /// Batches in windows that keep to the budget.
    fn windows(&self, batches: Window, budget: u64) -> Result<Vec<Window>, Error> {
        let longest = batches.iter().map(|batch| tokens_of(batch)).max().unwrap_or(0);
        let needed = self.of(longest, longest);
        if needed > budget {
            return Err(Error::Budget { needed, budget });
        }
        let most = (budget - self.of(0, longest)) / self.states.max(1);
        let mut windows: Vec<Window> = Vec::new();
        let mut filled = 0;
        for batch in batches {
            let tokens = tokens_of(&batch) as u64;
            match windows.last_mut() {
                Some(window) if filled + tokens <= most => window.push(batch),
                _ => {
                    windows.push(vec![batch]);
                    filled = 0;
                }
            }
            filled += tokens;
        }
        Ok(windows)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn batches_that_fit_keep_to_the_budget_with_all_else(
            fixed in 0u64..1 << 20,
            scores in (0u64..1 << 20, 0u64..1 << 10),
            states in 1u64..100,
            scratch in 1u64..1000,
            lengths in prop::collection::vec(1usize..600, 1..50),
            spare in 0u64..1 << 22,
        ) {
            let costs = Costs { fixed, scores, states, scratch, widest: 1 };
            let (all, longest) = (lengths.iter().sum(), lengths.iter().copied().max().unwrap());
            let budget = costs.of(longest, longest) + spare;
            let tokens = costs.tokens_that_fit(all, budget);
            let order: Vec<usize> = (0..lengths.len()).collect();
            let windows = costs.windows(batches(&order, &lengths, usize::MAX, tokens), budget).unwrap();
            let mut seen = Vec::new();
            for window in &windows {
                let largest = window.iter().map(|batch| tokens_of(batch)).max().unwrap();
                let of_window: usize = window.iter().map(|batch| tokens_of(batch)).sum();
                prop_assert!(costs.of(of_window, largest) <= budget);
                prop_assert!(largest <= tokens.max(longest));
                seen.extend(window.iter().flatten().map(|sample| sample.index));
            }
            prop_assert_eq!(seen, order);
            if costs.of(all, all) + scores.0 <= budget {
                prop_assert_eq!(windows.len(), 1, "nothing is read twice without need");
            }
        }
    }
}
