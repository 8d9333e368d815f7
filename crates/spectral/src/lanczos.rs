//! Block Lanczos on MᵀM with full reorthogonalisation (Golub and Underwood 1977): the basis Q of the block Krylov
//! space of a random start, and T = QᵀMᵀM Q, block tridiagonal, whose largest eigenvalue θ₁ (Ritz value) approaches
//! σ₁² from below.
//!
//! The error of θ₁ is estimated from residuals: with MᵀM Q = Q T + V β Eᵀ, a Ritz pair (θᵢ, Q sᵢ) has the residual
//! rᵢ = ‖β (last block of sᵢ)‖. Some eigenvalue lies within r₁ of θ₁, and if p Ritz values cluster at the top, apart
//! from the rest by a gap, the error is about Σᵢ≤ₚ rᵢ² / gap (Parlett, The Symmetric Eigenvalue Problem, §11.7). The
//! gap is taken between Ritz values, so it knows nothing of eigenvalues that the space has not met yet: more equal
//! ones than a block has vectors, say. Such a space still grows, so the last increase of θ₁ counts as error too. All
//! this is an estimate, not a bound.

use faer::{Mat, Side};

use crate::Error;
use crate::fused_pass::{padded, project_out};
use crate::kernels::Vectors;
use crate::random::Gaussian;

/// Vectors a block. Four fill the kernels' registers and make close singular values harmless.
const BLOCK: usize = 4;
/// A direction whose share of ‖MᵀM‖ is smaller is round-off: the Krylov space does not grow there.
const DEAD: f64 = 64.0 * f32::EPSILON as f64;
/// Relative error of σ₁ that f32 arithmetic may cause: no estimate is smaller.
const ROUND_OFF: f64 = 1e-6;

type Square = [[f64; BLOCK]; BLOCK];

/// σ₁² and how well it is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Estimate {
    /// The largest Ritz value.
    pub(crate) square: f64,
    /// Relative error of its square root, estimated.
    pub(crate) relative_error: f64,
}

/// The state of one operator's iteration between two reads.
pub(crate) struct Lanczos {
    columns: usize,
    stride: usize,
    /// Orthonormal vectors, block by block; the last block has not been multiplied yet.
    basis: Vec<f32>,
    /// Diagonal blocks of T.
    alphas: Vec<Square>,
    /// Blocks below the diagonal of T; the last one belongs to the residual.
    betas: Vec<Square>,
    random: Gaussian,
    /// The largest Ritz value of the step before.
    previous: f64,
    /// True once the space cannot grow.
    exhausted: bool,
}

impl Lanczos {
    /// Starts from a random block. A matrix must have at least as many columns as a block has vectors.
    pub(crate) fn new(columns: usize, mut random: Gaussian) -> Self {
        let stride = padded(columns);
        let mut block = vec![0.0; BLOCK * stride];
        for vector in block.chunks_mut(stride) {
            random.fill(&mut vector[..columns]);
        }
        orthonormalise(&mut block, stride, 0.0);
        Self {
            columns,
            stride,
            basis: narrow(&block),
            alphas: Vec::new(),
            betas: Vec::new(),
            random,
            previous: 0.0,
            exhausted: false,
        }
    }

    /// The block to multiply next.
    pub(crate) fn newest(&self) -> Vectors<'_> {
        let start = self.basis.len() - BLOCK * self.stride;
        Vectors { values: &self.basis[start..], stride: self.stride, count: BLOCK }
    }

    /// True if the Krylov space is as large as the matrix allows.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// Takes MᵀM times the newest block, and returns the new estimate.
    pub(crate) fn absorb(&mut self, product: &[f64]) -> Result<Estimate, Error> {
        let mut residual = narrow(product);
        let basis = self.all();
        let projection = project_out(basis, &mut residual, BLOCK);
        let alpha = symmetric_part(&projection[(basis.count - BLOCK) * BLOCK..]);
        let size = alpha.iter().flatten().fold(self.norm_so_far(), |size, entry| size.max(entry.abs()));
        self.alphas.push(alpha);

        let mut block: Vec<f64> = residual.iter().map(|value| f64::from(*value)).collect();
        let (first, _) = orthonormalise(&mut block, self.stride, DEAD * size);
        // Once more on unit vectors: what a short residual keeps of the basis grows when it is normalised.
        let mut vectors = narrow(&block);
        project_out(self.all(), &mut vectors, BLOCK);
        block = vectors.iter().map(|value| f64::from(*value)).collect();
        let (second, dead) = orthonormalise(&mut block, self.stride, 0.5);
        self.betas.push(multiply(&second, &first));

        self.exhausted = (self.alphas.len() + 1) * BLOCK > self.columns;
        if !self.exhausted {
            self.replace(&mut block, dead);
            self.basis.extend(narrow(&block));
        }
        self.estimate()
    }

    fn all(&self) -> Vectors<'_> {
        Vectors { values: &self.basis, stride: self.stride, count: self.basis.len() / self.stride }
    }

    fn norm_so_far(&self) -> f64 {
        self.alphas.iter().flatten().flatten().fold(0.0f64, |size, entry| size.max(entry.abs()))
    }

    /// Fills the dead vectors of a block with random ones, orthogonal to the basis and to the others. Their row of β
    /// is zero: the product has no part there.
    fn replace(&mut self, block: &mut [f64], dead: [bool; BLOCK]) {
        let stride = self.stride;
        for index in (0..BLOCK).filter(|index| dead[*index]) {
            let (before, rest) = block.split_at_mut(index * stride);
            let vector = &mut rest[..stride];
            self.random.fill(&mut vector[..self.columns]);
            for _ in 0..2 {
                for other in self.basis.chunks(stride) {
                    let other: Vec<f64> = other.iter().map(|value| f64::from(*value)).collect();
                    take_out(vector, &other);
                }
                for other in before.chunks(stride) {
                    take_out(vector, other);
                }
                normalise(vector);
            }
        }
    }

    fn estimate(&mut self) -> Result<Estimate, Error> {
        let size = self.alphas.len() * BLOCK;
        let mut tridiagonal = Mat::<f64>::zeros(size, size);
        for (index, alpha) in self.alphas.iter().enumerate() {
            let at = index * BLOCK;
            for i in 0..BLOCK {
                for j in 0..BLOCK {
                    tridiagonal[(at + i, at + j)] = alpha[i][j];
                    if at + BLOCK < size {
                        tridiagonal[(at + BLOCK + i, at + j)] = self.betas[index][i][j];
                    }
                }
            }
        }
        let eigen = tridiagonal.self_adjoint_eigen(Side::Lower).map_err(|_| Error::Eigenvalues { size })?;
        // Descending, as far down as a cluster of the top can reach.
        let top = (2 * BLOCK + 1).min(size);
        let values: Vec<f64> = (0..top).map(|i| eigen.S().column_vector()[size - 1 - i]).collect();
        let beta = self.betas[self.betas.len() - 1];
        let squared_residuals: Vec<f64> = (0..top)
            .map(|i| {
                let vector = eigen.U().col(size - 1 - i);
                let last: [f64; BLOCK] = std::array::from_fn(|j| vector[size - BLOCK + j]);
                beta.iter().map(|row| dot(row, &last).powi(2)).sum()
            })
            .collect();
        let square = values[0].max(0.0);
        let increase = square - self.previous;
        self.previous = square;
        let mut error = squared_residuals[0].sqrt();
        let mut cluster = 0.0;
        for i in 0..top - 1 {
            cluster += squared_residuals[i];
            let gap = values[0] - (values[i + 1] + squared_residuals[i + 1].sqrt());
            if gap > 0.0 {
                error = error.min((cluster / gap).max(increase));
            }
        }
        // σ = √θ, so half the relative error of θ.
        let relative_error = if square > 0.0 { error / (2.0 * square) } else { 1.0 };
        Ok(Estimate { square, relative_error: relative_error.max(ROUND_OFF) })
    }
}

/// Orthonormalises the vectors of a block, longest first, by modified Gram–Schmidt: before = after · R. Returns R by
/// rows, and which vectors are dead: no longer than `floor` once the others are taken out. Those are left zero.
fn orthonormalise(block: &mut [f64], stride: usize, floor: f64) -> (Square, [bool; BLOCK]) {
    let mut r = [[0.0; BLOCK]; BLOCK];
    let mut dead = [false; BLOCK];
    let mut original: [usize; BLOCK] = std::array::from_fn(|index| index);
    for index in 0..BLOCK {
        let lengths = |block: &[f64]| -> Vec<f64> {
            block[index * stride..].chunks(stride).map(|vector| dot(vector, vector)).collect()
        };
        let longest =
            lengths(block).iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(at, _)| at);
        if longest > 0 {
            let (first, second) = block.split_at_mut((index + longest) * stride);
            first[index * stride..(index + 1) * stride].swap_with_slice(&mut second[..stride]);
            original.swap(index, index + longest);
            for row in r.iter_mut().take(index) {
                row.swap(index, index + longest);
            }
        }
        let (vector, rest) = block[index * stride..].split_at_mut(stride);
        let length = dot(vector, vector).sqrt();
        if length <= floor || length == 0.0 {
            block[index * stride..].fill(0.0);
            dead[index..].fill(true);
            break;
        }
        r[index][index] = length;
        for value in vector.iter_mut() {
            *value /= length;
        }
        for (other, entry) in rest.chunks_mut(stride).zip(&mut r[index][index + 1..]) {
            *entry = take_out(other, vector);
        }
    }
    // Columns of R back into the order of the vectors given.
    let mut ordered = [[0.0; BLOCK]; BLOCK];
    for (row, out) in r.iter().zip(&mut ordered) {
        for (entry, original) in row.iter().zip(original) {
            out[original] = *entry;
        }
    }
    (ordered, dead)
}

/// Takes the part along a unit vector out of a vector, and returns its length.
fn take_out(vector: &mut [f64], unit: &[f64]) -> f64 {
    let length = dot(vector, unit);
    for (value, unit) in vector.iter_mut().zip(unit) {
        *value -= length * unit;
    }
    length
}

fn normalise(vector: &mut [f64]) {
    let length = dot(vector, vector).sqrt();
    for value in vector.iter_mut() {
        *value /= length;
    }
}

/// Inner product in eight lanes, so that it does not wait for each sum.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, rest_a) = a.as_chunks::<8>();
    let (b, rest_b) = b.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f64>() + rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum::<f64>()
}

fn narrow(wide: &[f64]) -> Vec<f32> {
    wide.iter().map(|value| *value as f32).collect()
}

fn symmetric_part(entries: &[f64]) -> Square {
    std::array::from_fn(|i| {
        std::array::from_fn(|j| f64::midpoint(entries[i * BLOCK + j], entries[j * BLOCK + i]))
    })
}

fn multiply(a: &Square, b: &Square) -> Square {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..BLOCK).map(|k| a[i][k] * b[k][j]).sum()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Key;
    use crate::source::Operator;

    fn gaussian(seed: u64) -> Gaussian {
        Key { seed, name: "test" }.generator(Operator::A)
    }

    /// MᵀM = diag(values): every product is exact up to f32.
    fn run(values: &[f64], steps: usize) -> (Lanczos, Estimate) {
        let mut lanczos = Lanczos::new(values.len(), gaussian(7));
        let mut estimate = Estimate { square: 0.0, relative_error: 1.0 };
        for _ in 0..steps {
            let newest = lanczos.newest();
            let product: Vec<f64> = newest
                .values
                .chunks(newest.stride)
                .flat_map(|vector| {
                    let scaled = vector.iter().zip(values).map(|(entry, value)| f64::from(*entry) * value);
                    let mut scaled: Vec<f64> = scaled.collect();
                    scaled.resize(vector.len(), 0.0);
                    scaled
                })
                .collect();
            estimate = lanczos.absorb(&product).unwrap();
            if lanczos.is_exhausted() {
                break;
            }
        }
        (lanczos, estimate)
    }

    fn loss_of_orthogonality(lanczos: &Lanczos) -> f64 {
        let vectors: Vec<Vec<f64>> = lanczos
            .basis
            .chunks(lanczos.stride)
            .map(|vector| vector.iter().map(|value| f64::from(*value)).collect())
            .collect();
        let mut worst = 0.0f64;
        for (i, x) in vectors.iter().enumerate() {
            for (j, y) in vectors.iter().enumerate().take(i + 1) {
                worst = worst.max((dot(x, y) - f64::from(u8::from(i == j))).abs());
            }
        }
        worst
    }

    #[test]
    fn a_slow_spectrum_converges_from_below_with_an_honest_estimate() {
        let values: Vec<f64> = (0..500).map(|i| 1.0 / (1.0 + f64::from(i))).collect();
        let mut last = 0.0;
        for steps in 1..12 {
            let (lanczos, estimate) = run(&values, steps);
            assert!(estimate.square <= 1.0 + 1e-6 && estimate.square >= last - 1e-6, "{steps}");
            assert!((1.0 - estimate.square).abs() / 2.0 <= estimate.relative_error, "{steps} {estimate:?}");
            assert!(loss_of_orthogonality(&lanczos) < 1e-5);
            last = estimate.square;
        }
        assert!(run(&values, 12).1.relative_error < 1e-4);
    }

    #[test]
    fn exact_low_rank_is_found_at_once_and_keeps_the_basis_orthogonal() {
        for rank in [1, 2, 3, 4, 5, 8] {
            let mut values = vec![0.0; 200];
            values[..rank].fill(3.0);
            values[0] = 4.0;
            let (lanczos, estimate) = run(&values, 5);
            assert!((estimate.square - 4.0).abs() < 4e-6, "rank {rank}: {estimate:?}");
            assert!(estimate.relative_error < 1e-5, "rank {rank}: {estimate:?}");
            assert!(loss_of_orthogonality(&lanczos) < 1e-5, "rank {rank}");
        }
    }

    #[test]
    fn equal_singular_values_and_exhaustion() {
        let (_, estimate) = run(&[2.0; 64], 2);
        assert!((estimate.square - 2.0).abs() < 2e-6 && estimate.relative_error < 1e-5, "{estimate:?}");
        let values: Vec<f64> = (1..=33).map(f64::from).collect();
        let (lanczos, estimate) = run(&values, 100);
        assert!(lanczos.is_exhausted());
        assert!((estimate.square - 33.0).abs() < 1e-3, "{estimate:?}");
    }

    #[test]
    fn a_block_is_the_product_of_its_factors() {
        let stride = 16;
        let mut block = vec![0.0; BLOCK * stride];
        gaussian(1).fill(&mut block);
        block.copy_within(0..stride, 2 * stride); // a repeated vector is dead
        let before = block.clone();
        let (r, dead) = orthonormalise(&mut block, stride, 1e-9);
        assert_eq!(dead, [false, false, false, true]);
        for (column, vector) in before.chunks(stride).enumerate() {
            for (at, value) in vector.iter().enumerate() {
                let product: f64 = (0..BLOCK).map(|row| r[row][column] * block[row * stride + at]).sum();
                assert!((product - value).abs() < 1e-12);
            }
        }
    }
}
