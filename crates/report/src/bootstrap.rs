//! Intervals for means over tokens: the percentile bootstrap over whole samples.
//!
//! Tokens of one sample resemble each other, so that a mean over many tokens may rest on few independent texts. Samples
//! are what was drawn independently, and so samples are what is drawn again.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The ends of a 95 % interval, as shares of the resamples.
const ENDS: [f64; 2] = [0.025, 0.975];

/// The resamples of the samples of one split, for 95 % intervals of its means.
///
/// A mean is the ratio Σ sums / Σ tokens over samples. Each resample draws as many samples as there are, with
/// replacement, and has a ratio of its own; the interval goes from the 2.5th to the 97.5th percentile of the ratios.
/// Percentiles interpolate linearly between order statistics: in n sorted values, from 0, the one of share q stands at
/// (n − 1) q, as numpy's default and R's type 7.
///
/// One value serves every layer, column and model of a split: all see the same resamples, so that what moves them
/// together (a resample with long texts, say) does so in every row. The draws are integers from ChaCha8, the same on
/// every machine.
///
/// An interval is absent if fewer than two samples have a token that counts, or if this was made for another number of
/// samples. Resamples in which no token counts are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    samples: usize,
    /// How often each sample was drawn: one row of `samples` counts for each resample.
    counts: Vec<u32>,
}

impl Bootstrap {
    /// Number of resamples.
    pub const RESAMPLES: usize = 1000;

    /// Draws the resamples: 4 KB of memory a sample.
    #[must_use]
    pub fn new(samples: usize, seed: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut generator = ChaCha8Rng::from_seed(key);
        let mut counts = vec![0; Self::RESAMPLES * samples];
        for resample in counts.chunks_exact_mut(samples.max(1)) {
            for _ in 0..samples {
                resample[below(samples, &mut generator)] += 1;
            }
        }
        Self { samples, counts }
    }

    /// The N means of every layer, averaged over the layers, and their intervals. `layers[l][s]` is what sample s has
    /// at layer l. A mean is absent if it is so at one layer, or if there is no layer.
    pub(crate) fn estimate<const N: usize>(&self, layers: &[Vec<Contribution<N>>]) -> [Estimate; N] {
        let samples = layers.iter().map(Vec::len).max().unwrap_or(0);
        let values = average(&vec![1; samples], layers);
        let comparable = samples > 0 && layers.iter().all(|layer| layer.len() == self.samples);
        let resampled: Vec<[f64; N]> = if comparable {
            self.counts.chunks_exact(self.samples).map(|counts| average(counts, layers)).collect()
        } else {
            Vec::new()
        };
        std::array::from_fn(|column| {
            let counting = |layer: &Vec<Contribution<N>>| {
                layer.iter().filter(|sample| sample.tokens[column] > 0.0).count()
            };
            let mut ratios: Vec<f64> = resampled.iter().map(|ratios| ratios[column]).collect();
            if layers.iter().any(|layer| counting(layer) < 2) {
                ratios.clear();
            }
            ratios.retain(|ratio| ratio.is_finite());
            ratios.sort_unstable_by(f64::total_cmp);
            let [lower, upper] = ENDS.map(|share| percentile(&ratios, share));
            Estimate { value: Some(values[column]).filter(|value| value.is_finite()), lower, upper }
        })
    }
}

/// What one sample at one layer gives to N means: sums over tokens, and how many tokens each is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contribution<const N: usize> {
    sums: [f64; N],
    /// Exact: below 2⁵³.
    tokens: [f64; N],
}

impl<const N: usize> Contribution<N> {
    /// From sums with their numbers of tokens; a sum over no token counts as nothing.
    pub(crate) fn new(parts: [(f64, u64); N]) -> Self {
        Self {
            sums: parts.map(|(sum, tokens)| if tokens > 0 { sum } else { 0.0 }),
            tokens: parts.map(|(_, tokens)| tokens as f64),
        }
    }
}

/// A mean and its interval; absent what is not defined.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) value: Option<f64>,
    pub(crate) lower: Option<f64>,
    pub(crate) upper: Option<f64>,
}

/// Σ count · sum / Σ count · tokens for each column, averaged over the layers; NaN where a layer has no token.
fn average<const N: usize>(counts: &[u32], layers: &[Vec<Contribution<N>>]) -> [f64; N] {
    let mut total = [0.0; N];
    for layer in layers {
        let (mut sums, mut tokens) = ([0.0; N], [0.0; N]);
        for (&count, sample) in counts.iter().zip(layer) {
            let count = f64::from(count);
            for column in 0..N {
                sums[column] += count * sample.sums[column];
                tokens[column] += count * sample.tokens[column];
            }
        }
        for column in 0..N {
            total[column] += sums[column] / tokens[column];
        }
    }
    total.map(|total| total / layers.len() as f64)
}

/// An index below `samples`, each as likely as any other: Lemire's multiplication, with rejection of the surplus.
fn below(samples: usize, generator: &mut ChaCha8Rng) -> usize {
    let samples = samples as u64;
    let surplus = samples.wrapping_neg().checked_rem(samples).unwrap_or(0); // 2⁶⁴ mod samples
    loop {
        let product = u128::from(generator.next_u64()) * u128::from(samples);
        if product as u64 >= surplus {
            return (product >> 64) as usize;
        }
    }
}

/// The value of a share in sorted values, interpolated linearly; absent for none.
fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let position = share * sorted.len().checked_sub(1)? as f64;
    let below = *sorted.get(position.floor() as usize)?;
    let above = *sorted.get(position.ceil() as usize)?;
    Some(below + (above - below) * position.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contributions(parts: &[(f64, u64)]) -> Vec<Contribution<1>> {
        parts.iter().map(|&part| Contribution::new([part])).collect()
    }

    fn assert_near([actual]: [Estimate; 1], value: f64, lower: f64, upper: f64) {
        for (actual, expected) in [(actual.value, value), (actual.lower, lower), (actual.upper, upper)] {
            assert!((actual.unwrap() - expected).abs() < 1e-14, "{actual:?}, not {expected}");
        }
    }

    /// Five resamples of three samples.
    fn explicit() -> Bootstrap {
        Bootstrap { samples: 3, counts: vec![1, 2, 0, 3, 0, 0, 0, 1, 2, 1, 1, 1, 2, 0, 1] }
    }

    #[test]
    fn percentiles_are_those_of_numpy() {
        let sorted = [1.0, 1.5, 2.625, 3.0, 4.0, 9.25];
        assert_eq!(percentile(&sorted, 0.025), Some(1.0625));
        assert!((percentile(&sorted, 0.975).unwrap() - 8.59375).abs() < 1e-14);
        assert_eq!(percentile(&sorted, 0.5), Some(2.8125));
        assert_eq!((percentile(&[7.0], 0.975), percentile(&[], 0.5)), (Some(7.0), None));
    }

    // Expected values in the tests below: numpy's percentile of (counts @ sums) / (counts @ tokens).

    #[test]
    fn intervals_of_explicit_resamples_are_those_of_numpy() {
        let first = contributions(&[(10.0, 4), (3.0, 1), (8.0, 2)]);
        let second = contributions(&[(1.0, 2), (7.0, 3), (5.0, 4)]);
        let one = explicit().estimate(std::slice::from_ref(&first));
        assert_near(one, 3.0, 2.516_666_666_666_666_6, 3.72);
        let mean = explicit().estimate(&[first, second]);
        assert_near(mean, 2.222_222_222_222_222_3, 1.533_75, 2.632_537_878_787_879);
    }

    #[test]
    fn resamples_without_a_token_are_left_out() {
        let layer = contributions(&[(f64::INFINITY, 0), (3.0, 1), (8.0, 2)]);
        assert_near(explicit().estimate(&[layer]), 11.0 / 3.0, 3.05, 3.985);
    }

    #[test]
    fn resamples_are_those_of_chacha8_on_any_machine() {
        // A ChaCha8 and a bounded draw written in Python from their papers gave these.
        let bootstrap = Bootstrap::new(5, 7);
        assert_eq!(bootstrap.counts[..15], [1, 2, 1, 1, 0, 1, 2, 0, 1, 1, 0, 1, 1, 2, 1]);
        assert_eq!(bootstrap.counts[4995..], [1, 1, 0, 1, 2]);
        let layer = contributions(&[(10.0, 4), (3.0, 1), (8.0, 2), (1.5, 1), (7.0, 3)]);
        assert_near(bootstrap.estimate(&[layer]), 29.5 / 11.0, 2.15, 3.363_636_363_636_363_8);
    }

    #[test]
    fn every_resample_has_as_many_samples_and_every_sample_the_same_chance() {
        let bootstrap = Bootstrap::new(7, 1);
        assert!(bootstrap.counts.chunks(7).all(|counts| counts.iter().sum::<u32>() == 7));
        for sample in 0..7 {
            let drawn: u32 = bootstrap.counts.iter().skip(sample).step_by(7).sum();
            assert!((850..=1150).contains(&drawn), "{drawn} draws, of 1000 ± 29 expected");
        }
        assert_ne!(bootstrap, Bootstrap::new(7, 2));
    }

    #[test]
    fn no_interval_without_two_samples_or_for_another_number_of_samples() {
        let interval = |bootstrap: &Bootstrap, parts: &[(f64, u64)]| {
            let [Estimate { value, lower, upper }] = bootstrap.estimate(&[contributions(parts)]);
            assert_eq!(lower.is_some(), upper.is_some());
            (value, lower.is_some())
        };
        assert_eq!(interval(&Bootstrap::new(0, 0), &[]), (None, false));
        assert_eq!(interval(&Bootstrap::new(1, 0), &[(4.0, 2)]), (Some(2.0), false));
        assert_eq!(interval(&Bootstrap::new(2, 0), &[(4.0, 2), (0.0, 0)]), (Some(2.0), false));
        assert_eq!(interval(&Bootstrap::new(2, 0), &[(0.0, 0), (0.0, 0)]), (None, false));
        assert_eq!(interval(&Bootstrap::new(2, 0), &[(4.0, 2), (0.0, 2)]), (Some(1.0), true));
        assert_eq!(interval(&Bootstrap::new(3, 0), &[(4.0, 2), (0.0, 2)]), (Some(1.0), false));
        assert_eq!(Bootstrap::new(2, 0).estimate::<1>(&[])[0].value, None);
    }

    #[test]
    fn intervals_cover_the_truth_about_as_often_as_they_say() {
        // Samples of 1 to 100 tokens whose values are 10 + length / 50 on average, with an effect of the sample that
        // is much larger than the noise of a token: a token more says less than a sample more.
        let mean_length = 101.0 / 2.0;
        let mean_squared_length = 101.0 * 201.0 / 6.0;
        let truth = 10.0 + mean_squared_length / mean_length / 50.0;
        let mut generator = ChaCha8Rng::from_seed([9; 32]);
        let mut covered = 0;
        for seed in 0..10 {
            let bootstrap = Bootstrap::new(40, seed); // drawing is most of the time of an unoptimised test
            for _ in 0..50 {
                let parts: [(f64, u64); 40] = std::array::from_fn(|_| {
                    let length = 1 + below(100, &mut generator) as u64;
                    let mut uniform = || below(2001, &mut generator) as f64 / 1000.0 - 1.0;
                    let value = 10.0 + length as f64 / 50.0 + uniform() + uniform();
                    let noise: f64 = (0..length).map(|_| uniform() / 4.0).sum();
                    (length as f64 * value + noise, length)
                });
                let [estimate] = bootstrap.estimate(&[contributions(&parts)]);
                covered += u32::from(estimate.lower <= Some(truth) && Some(truth) <= estimate.upper);
            }
        }
        assert!((450..=490).contains(&covered), "{covered} of 500 intervals cover");
    }
}
