//! Which rows are taken: the first ones, or a sample of all.

use std::collections::BinaryHeap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Holds the samples that are taken of those seen so far, and no others.
///
/// Shuffled, every row has a random number of its own, and those with the smallest numbers are taken, in the order of
/// the numbers: a uniformly random sample in uniformly random order. A row's number depends on the seed and on its place
/// alone, so that a smaller sample is the beginning of a larger one, whatever else is left out. Numbers are ChaCha8's,
/// the same on every machine.
pub(crate) struct Selection {
    limit: usize,
    rows: u64,
    order: Order,
}

enum Order {
    AsTheyCome(Vec<String>),
    /// The largest number on top: that sample goes first when a better one comes.
    Shuffled(Box<ChaCha8Rng>, BinaryHeap<(u64, u64, String)>),
}

impl Selection {
    pub(crate) fn new(limit: Option<usize>, shuffle: Option<u64>) -> Self {
        let order = shuffle.map_or(Order::AsTheyCome(Vec::new()), |seed| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&seed.to_le_bytes());
            Order::Shuffled(Box::new(ChaCha8Rng::from_seed(key)), BinaryHeap::new())
        });
        Self { limit: limit.unwrap_or(usize::MAX), rows: 0, order }
    }

    /// The next row, and the sample that it holds, if it is fit to be one.
    pub(crate) fn row(&mut self, sample: Option<String>) {
        self.rows += 1;
        match &mut self.order {
            Order::AsTheyCome(taken) => taken.extend(sample.filter(|_| taken.len() < self.limit)),
            Order::Shuffled(generator, taken) => {
                let number = generator.next_u64();
                let Some(sample) = sample else { return };
                if taken.len() < self.limit {
                    taken.push((number, self.rows, sample));
                } else if let Some(mut last) = taken.peek_mut().filter(|last| number < last.0) {
                    *last = (number, self.rows, sample);
                }
            }
        }
    }

    /// Whether no further row can change anything.
    pub(crate) fn is_final(&self) -> bool {
        matches!(&self.order, Order::AsTheyCome(taken) if taken.len() >= self.limit)
    }

    pub(crate) fn into_samples(self) -> Vec<String> {
        match self.order {
            Order::AsTheyCome(taken) => taken,
            Order::Shuffled(_, taken) => {
                taken.into_sorted_vec().into_iter().map(|(.., sample)| sample).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the rows 0 to `rows` those that are taken; `fit` says which may be.
    fn taken(
        rows: usize,
        limit: Option<usize>,
        seed: Option<u64>,
        fit: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let mut selection = Selection::new(limit, seed);
        for row in 0..rows {
            selection.row(fit(row).then(|| row.to_string()));
        }
        selection.into_samples().iter().map(|sample| sample.parse().unwrap_or(usize::MAX)).collect()
    }

    #[test]
    fn the_first_ones_end_the_reading() {
        assert_eq!(taken(9, Some(3), None, |row| row % 2 == 1), [1, 3, 5]);
        assert_eq!(taken(3, None, None, |_| true), [0, 1, 2]);
        let mut selection = Selection::new(Some(1), None);
        assert!(!selection.is_final());
        selection.row(None);
        assert!(!selection.is_final());
        selection.row(Some("a".into()));
        assert!(selection.is_final());
    }

    #[test]
    fn a_seed_gives_the_same_rows_in_the_same_order_everywhere() {
        assert_eq!(taken(20, Some(5), Some(0), |_| true), taken(20, Some(5), Some(0), |_| true));
        assert_ne!(taken(20, Some(5), Some(0), |_| true), taken(20, Some(5), Some(1), |_| true));
        let all = taken(20, None, Some(7), |_| true);
        assert_eq!(taken(20, Some(5), Some(7), |_| true), all[..5], "a smaller sample begins a larger one");
        let odd: Vec<usize> = all.iter().copied().filter(|row| row % 2 == 1).collect();
        assert_eq!(taken(20, None, Some(7), |row| row % 2 == 1), odd, "what is left out moves no other row");
        let mut sorted = all;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn every_row_is_as_likely_at_every_place() {
        // Each of 10 rows stands at each of 4 places with probability 1/10: 400 of 4000 times, give or take 19 (one
        // standard deviation); 40 such counts stay within five of them.
        let mut counts = [[0; 10]; 4];
        for seed in 0..4000 {
            for (place, row) in taken(10, Some(4), Some(seed), |_| true).into_iter().enumerate() {
                counts[place][row] += 1;
            }
        }
        assert!(counts.as_flattened().iter().all(|count| (305..=495).contains(count)), "{counts:?}");
    }
}
