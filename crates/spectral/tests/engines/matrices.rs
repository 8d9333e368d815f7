//! Pairs of matrices with known entries.

use faer::Mat;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use spectral::{Dtype, Matrix, NamedPair};

use crate::stored::encode;

/// What the entries of A and ΔW are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Gaussian entries, and a Gaussian change everywhere.
    Dense,
    /// A change of rank four.
    LowRank,
    /// One entry in ten changed.
    Sparse,
    /// A mean that outweighs the spread.
    Shifted,
    /// B is A.
    Unchanged,
    /// A is zero.
    FromZero,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Dense, Self::LowRank, Self::Sparse, Self::Shifted, Self::Unchanged, Self::FromZero];
}

/// A pair, as stored and in f64.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) name: String,
    pub(crate) shape: (usize, usize),
    pub(crate) dtypes: [Dtype; 2],
    pub(crate) bytes: [Vec<u8>; 2],
    /// A, B and ΔW as they are stored; ΔW in f32, or in f64 if a side is.
    pub(crate) values: [Vec<f64>; 3],
}

impl Pair {
    pub(crate) fn new(seed: u64, shape: (usize, usize), dtypes: [Dtype; 2], kind: Kind) -> Self {
        let (rows, columns) = shape;
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut gaussian =
            |count: usize| -> Vec<f64> { (0..count).map(|_| StandardNormal.sample(&mut random)).collect() };
        let a = match kind {
            Kind::FromZero => vec![0.0; rows * columns],
            _ => gaussian(rows * columns),
        };
        let delta = match kind {
            Kind::Dense | Kind::FromZero => gaussian(rows * columns),
            Kind::LowRank => {
                let (left, right) = (gaussian(rows * 4), gaussian(columns * 4));
                let entry = |index: usize| -> f64 {
                    let (row, column) = (index / columns, index % columns);
                    (0..4).map(|k| left[row * 4 + k] * right[column * 4 + k] / (1.0 + k as f64)).sum()
                };
                (0..rows * columns).map(entry).collect()
            }
            Kind::Sparse => {
                let values = gaussian(rows * columns);
                values
                    .into_iter()
                    .enumerate()
                    .map(|(index, value)| if index % 10 == 3 { value } else { 0.0 })
                    .collect()
            }
            Kind::Shifted => gaussian(rows * columns).into_iter().map(|value| 5.0 + 0.01 * value).collect(),
            Kind::Unchanged => vec![0.0; rows * columns],
        };
        let b: Vec<f64> = a.iter().zip(&delta).map(|(a, delta)| a + 0.1 * delta).collect();
        let ((bytes_a, a), (bytes_b, b)) = (encode(dtypes[0], &a), encode(dtypes[1], &b));
        let wide = dtypes.contains(&Dtype::F64);
        let subtract = |(a, b): (&f64, &f64)| if wide { b - a } else { f64::from(*b as f32 - *a as f32) };
        let delta = a.iter().zip(&b).map(subtract).collect();
        let name = format!("{kind:?}.{rows}x{columns}.{dtypes:?}.{seed}");
        Self { name, shape, dtypes, bytes: [bytes_a, bytes_b], values: [a, b, delta] }
    }

    /// Singular values of one operator, descending.
    pub(crate) fn singular_values(&self, operator: usize) -> Vec<f64> {
        let (rows, columns) = self.shape;
        let values = &self.values[operator];
        Mat::from_fn(rows, columns, |i, j| values[i * columns + j]).singular_values().unwrap()
    }
}

/// As engines take them.
pub(crate) fn named<'a>(pairs: &'a [Pair]) -> Vec<NamedPair<'a>> {
    let matrix = |pair: &'a Pair, side: usize| {
        let (rows, columns) = pair.shape;
        Matrix::new(rows, columns, pair.dtypes[side], &pair.bytes[side]).unwrap()
    };
    pairs.iter().map(|pair| NamedPair { name: &pair.name, a: matrix(pair, 0), b: matrix(pair, 1) }).collect()
}
