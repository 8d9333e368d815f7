//! One of several equal shares of a comparison, for a machine of many.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::str::FromStr;

use crate::Error;

/// One part of a comparison that several machines do: every name of the two models belongs to exactly one part, and each
/// part has about the same number of bytes to read. [`merge_param_stats`](crate::merge_param_stats) joins the parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    index: u32,
    count: u32,
}

impl Share {
    /// Into how many parts a comparison can be divided.
    pub const MOST: u32 = 1 << 16;

    /// The part of this index, from 0, of so many; `None` if there is none.
    #[must_use]
    pub const fn new(index: u32, count: u32) -> Option<Self> {
        if index < count && count <= Self::MOST { Some(Self { index, count }) } else { None }
    }

    /// Which part it is, from 0.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// How many parts there are.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// The share of a task of a Slurm job array, from the variables that Slurm sets: the n-th task of the array has the
    /// n-th part, wherever its ids begin and however far apart they are.
    ///
    /// # Errors
    /// [`Error::SlurmArray`] outside of an array, and in one whose ids are not evenly spaced.
    pub fn of_slurm(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let bad = |reason: String| Error::SlurmArray { reason };
        let number = |name: &str| -> Result<Option<u32>, Error> {
            let name = format!("SLURM_ARRAY_TASK_{name}");
            let Some(text) = variable(&name) else { return Ok(None) };
            let number = text.parse().map_err(|_| bad(format!("{name} is `{}`", text.escape_debug())))?;
            Ok(Some(number))
        };
        let needed = |name: &str| {
            let value = number(name)?;
            value.ok_or_else(|| bad(format!("SLURM_ARRAY_TASK_{name} is not set")))
        };
        let [id, count, first] = [needed("ID")?, needed("COUNT")?, needed("MIN")?];
        let step = number("STEP")?.unwrap_or(1);
        let irregular = || bad(format!("task {id} is one of {count} whose ids are not evenly spaced"));
        let steps = |id: u32| {
            let distance = id.checked_sub(first)?;
            (distance.checked_rem(step)? == 0).then(|| distance / step)
        };
        // Of ids that leave some out, Slurm tells how many there are, but not which.
        let last = number("MAX")?.map_or(Some(count.saturating_sub(1)), steps);
        let is_even = last.and_then(|last| last.checked_add(1)) == Some(count);
        let index = steps(id).filter(|_| is_even);
        index.and_then(|index| Self::new(index, count)).ok_or_else(irregular)
    }

    /// Which of these things, each with its size and name, are of this part: indices in order. The largest come first, each
    /// to the part that has least so far; of equal ones, the names decide.
    pub(crate) fn of(self, things: &[(u64, &str)]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..things.len()).collect();
        order.sort_by_key(|thing| (Reverse(things[*thing].0), things[*thing].1));
        let mut parts: BinaryHeap<_> = (0..self.count).map(|part| Reverse((0u64, part))).collect();
        let mut own = Vec::new();
        for thing in order {
            let Some(mut least) = parts.peek_mut() else { break };
            let Reverse((bytes, part)) = &mut *least;
            *bytes = bytes.saturating_add(things[thing].0);
            if *part == self.index {
                own.push(thing);
            }
        }
        own.sort_unstable();
        own
    }
}

/// `index-of-count`, as folders are named.
impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-of-{}", self.index, self.count)
    }
}

/// From `index/count`, as users write it.
impl FromStr for Share {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let share = text.split_once('/').and_then(|(index, count)| Some((number(index)?, number(count)?)));
        let share = share.and_then(|(index, count)| Self::new(index, count));
        share.ok_or_else(|| Error::Share { text: text.to_owned() })
    }
}

/// Digits without sign or leading zeros: there is one way to write a part.
pub(crate) fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn share(index: u32, count: u32) -> Share {
        Share::new(index, count).unwrap()
    }

    fn loads(things: &[(u64, &str)], count: u32) -> Vec<u64> {
        let of = |index| share(index, count).of(things).into_iter().map(|thing| things[thing].0).sum();
        (0..count).map(of).collect()
    }

    #[test]
    fn the_largest_goes_to_the_part_with_least() {
        // By hand: 9 | -, 9 | 7, 9 | 7 5, 9 4 | 7 5, 9 4 | 7 5 3.
        let things = [(4, "a"), (9, "b"), (3, "c"), (7, "d"), (5, "e")];
        assert_eq!(share(0, 2).of(&things), [0, 1]);
        assert_eq!(share(1, 2).of(&things), [2, 3, 4]);
        assert_eq!(share(0, 1).of(&things), [0, 1, 2, 3, 4]);
        assert_eq!(share(6, 7).of(&things), [0usize; 0]);
    }

    proptest! {
        #[test]
        fn every_name_is_in_exactly_one_part(
            sizes in vec(prop_oneof![0..9u64, 0..u64::MAX], 0..60),
            count in 1..40u32,
            rotation in 0..60usize,
        ) {
            let names: Vec<String> = (0..sizes.len()).map(|index| format!("w{index}")).collect();
            let things: Vec<(u64, &str)> =
                sizes.iter().zip(&names).map(|(size, name)| (*size, name.as_str())).collect();
            let mut parts = vec![u32::MAX; things.len()];
            for index in 0..count {
                for thing in share(index, count).of(&things) {
                    prop_assert_eq!(parts[thing], u32::MAX);
                    parts[thing] = index;
                }
            }
            prop_assert!(parts.iter().all(|part| *part != u32::MAX));

            // Another order of the same is shared alike.
            let mut rotated = things.clone();
            rotated.rotate_left(rotation.checked_rem(things.len()).unwrap_or(0));
            for (index, thing) in rotated.iter().enumerate() {
                let before = things.iter().position(|other| other.1 == thing.1).unwrap();
                prop_assert!(share(parts[before], count).of(&rotated).contains(&index));
            }
        }

        /// What the greedy rule promises: no part has more than the mean and the largest thing.
        #[test]
        fn no_part_is_heavier_than_the_mean_and_the_largest(
            sizes in vec(0..1_000_000u64, 0..80),
            count in 1..40u32,
        ) {
            let things: Vec<(u64, &str)> = sizes.iter().map(|size| (*size, "w")).collect();
            let heaviest = loads(&things, count).into_iter().max().unwrap();
            let (sum, largest) = (sizes.iter().sum::<u64>(), sizes.iter().max().copied().unwrap_or(0));
            prop_assert!(heaviest <= sum / u64::from(count) + largest);
        }
    }

    /// Llama 2 7B and Mixtral 8x7B by their configurations: hidden size, feed-forward size, size of keys, blocks, experts.
    #[test]
    fn parts_of_a_transformer_weigh_the_same() {
        for (hidden, feed_forward, keys, blocks, experts) in
            [(4096u64, 11008, 4096, 32, 1), (4096, 14336, 1024, 32, 8)]
        {
            let mut sizes = vec![32000 * hidden];
            for _ in 0..blocks {
                sizes.extend([hidden * hidden, hidden * hidden, hidden * keys, hidden * keys]);
                (0..3 * experts).for_each(|_| sizes.push(hidden * feed_forward));
            }
            let names: Vec<String> = (0..sizes.len()).map(|index| format!("w{index}")).collect();
            let things: Vec<(u64, &str)> =
                sizes.iter().zip(&names).map(|(size, name)| (*size * 4, name.as_str())).collect();
            // 32 parts of Llama 2 have seven matrices each.
            for (count, most) in [(2u32, 0.01), (3, 0.01), (4, 0.01), (8, 0.03), (16, 0.03), (32, 0.07)] {
                let loads = loads(&things, count);
                let mean = loads.iter().sum::<u64>() as f64 / f64::from(count);
                let excess = *loads.iter().max().unwrap() as f64 / mean - 1.0;
                assert!(excess < most, "{count} parts of {blocks} blocks: {excess}");
            }
        }
    }

    #[test]
    fn shares_are_written_one_way() {
        for (text, expected) in [("0/1", (0, 1)), ("3/8", (3, 8)), ("65535/65536", (65535, Share::MOST))] {
            let share: Share = text.parse().unwrap();
            assert_eq!((share.index(), share.count()), expected);
        }
        for text in [
            "",
            "/",
            "1",
            "8/8",
            "0/0",
            "-1/8",
            "+1/8",
            "01/8",
            "1/8/9",
            "1 / 8",
            "a/b",
            "1/65537",
            "1/4294967296",
            "slurm",
        ] {
            let error = text.parse::<Share>().unwrap_err();
            assert!(matches!(error, Error::Share { .. }), "{text}");
        }
        assert_eq!(share(3, 8).to_string(), "3-of-8");
    }

    /// Variables as Slurm sets them for the task of an id, in the order ID, COUNT, MIN, MAX, STEP.
    fn of_slurm(values: [Option<&str>; 5]) -> Result<Share, String> {
        let names = ["ID", "COUNT", "MIN", "MAX", "STEP"].map(|name| format!("SLURM_ARRAY_TASK_{name}"));
        let value = |name: &str| values[names.iter().position(|known| known == name)?].map(str::to_owned);
        Share::of_slurm(value).map_err(|error| error.to_string())
    }

    #[test]
    fn tasks_of_a_slurm_array_have_one_part_each() {
        for (array, count, first, last, step) in [
            ("0-7", 8, 0, 7, 1),
            ("1-8", 8, 1, 8, 1),
            ("0-6:2", 4, 0, 6, 2),
            ("5-14:3", 4, 5, 14, 3),
            ("4", 1, 4, 4, 1),
        ] {
            for (index, id) in (0..).zip((first..=last).step_by(step)) {
                let [id, number, first, last, step] =
                    [id, count as usize, first, last, step].map(|number: usize| number.to_string());
                let of = |last, step| of_slurm([Some(&id), Some(&number), Some(&first), last, step]);
                assert_eq!(of(Some(&last), Some(&step)), Ok(share(index, count)), "{array}");
                if step == "1" {
                    assert_eq!(of(None, None), Ok(share(index, count)), "{array}");
                }
            }
        }
    }

    #[test]
    fn other_arrays_are_refused() {
        let irregular = |id: u32, count: u32| {
            format!(
                "no part follows from the Slurm array: task {id} is one of {count} whose ids are not evenly spaced"
            )
        };
        let some = |id, count, first, last, step| of_slurm([id, count, first, last, step].map(Some));
        // --array=0,1,2,6 and --array=1,3,7, and what cannot be.
        assert_eq!(some("1", "4", "0", "6", "1"), Err(irregular(1, 4)));
        assert_eq!(some("6", "4", "0", "6", "2"), Ok(share(3, 4)));
        assert_eq!(some("3", "3", "1", "7", "1"), Err(irregular(3, 3)));
        assert_eq!(some("3", "4", "0", "6", "2"), Err(irregular(3, 4)));
        assert_eq!(some("0", "4", "1", "4", "1"), Err(irregular(0, 4)));
        assert_eq!(some("5", "4", "1", "4", "1"), Err(irregular(5, 4)));
        assert_eq!(some("0", "0", "0", "0", "1"), Err(irregular(0, 0)));
        assert_eq!(some("0", "4", "0", "3", "0"), Err(irregular(0, 4)));
        let error = |error: &str| Err(format!("no part follows from the Slurm array: {error}"));
        assert_eq!(of_slurm([None; 5]), error("SLURM_ARRAY_TASK_ID is not set"));
        let without_count = [Some("1"), None, Some("0"), Some("3"), Some("1")];
        assert_eq!(of_slurm(without_count), error("SLURM_ARRAY_TASK_COUNT is not set"));
        assert_eq!(some("1", "four", "0", "3", "1"), error("SLURM_ARRAY_TASK_COUNT is `four`"));
        assert_eq!(some("4294967294", "4", "0", "3", "1"), Err(irregular(4_294_967_294, 4)));
    }
}
