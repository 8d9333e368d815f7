//! Block Lanczos on B = MᵀM with full reorthogonalisation (Golub and Underwood 1977): an orthonormal basis Q of the
//! block Krylov space of a random start, and T = QᵀBQ, block tridiagonal.
//!
//! Products are f32 with f64 sums, basis vectors are stored in f32, and T is f64. What that does to BQ = QT + VβEₖᵀ is
//! covered by [`ROUND_OFF`].

use faer::Mat;

use crate::block::{self, Block};
use crate::fused_pass::{padded, project_out};
use crate::kernels::Vectors;
use crate::random::Gaussian;
use crate::tridiagonal::Tridiagonal;
use crate::vectors::{dot, narrow, normalise, take_out};

/// A direction whose share of ‖B‖ is smaller is round-off: the Krylov space does not grow there.
const DEAD: f64 = 16.0 * f32::EPSILON as f64;
/// ‖BQ − QT − VβEₖᵀ‖₂ relative to θ₁ that f32 arithmetic may cause: an allowance, three times the largest that
/// `round_off_stays_below_the_allowance` finds against f64 arithmetic. It does not grow with the matrix, since f32 sums
/// do not: they end at a tile's width and at 96 rows.
pub(crate) const ROUND_OFF: f64 = 1e-6;

/// The state of one operator's iteration between two reads. `B` vectors a block.
pub(crate) struct Lanczos<const B: usize> {
    columns: usize,
    stride: usize,
    /// Orthonormal vectors: first those that all others are kept orthogonal to, then block by block; the last block has
    /// not been multiplied yet.
    basis: Vec<f32>,
    /// Vectors of the basis before the first block.
    locked: usize,
    tridiagonal: Tridiagonal<B>,
    random: Gaussian,
    /// Σ‖·‖² of what was left out of the relation: dead directions.
    dropped: f64,
    /// True once the space cannot grow.
    exhausted: bool,
}

impl<const B: usize> Lanczos<B> {
    /// Starts from a random block. A matrix must have more columns than a block has vectors.
    pub(crate) fn new(columns: usize, random: Gaussian) -> Self {
        Self::orthogonal_to(columns, Vec::new(), random)
    }

    /// The same for B restricted to the complement of some orthonormal vectors, each of length [`padded`].
    pub(crate) fn orthogonal_to(columns: usize, locked: Vec<f32>, random: Gaussian) -> Self {
        let stride = padded(columns);
        let mut lanczos = Self {
            columns,
            stride,
            locked: locked.len() / stride,
            basis: locked,
            tridiagonal: Tridiagonal::default(),
            random,
            dropped: 0.0,
            exhausted: false,
        };
        let mut block = vec![0.0; B * stride];
        lanczos.replace(&mut block, [true; B]);
        lanczos.basis.extend(narrow(&block));
        lanczos
    }

    /// The block to multiply next.
    pub(crate) fn newest(&self) -> Vectors<'_> {
        let start = self.basis.len() - B * self.stride;
        Vectors { values: &self.basis[start..], stride: self.stride, count: B }
    }

    /// T and β.
    pub(crate) fn tridiagonal(&self) -> &Tridiagonal<B> {
        &self.tridiagonal
    }

    /// True if the Krylov space is as large as the matrix allows.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.exhausted
    }

    /// Dimension of the space that the start was drawn from.
    pub(crate) fn dimension(&self) -> usize {
        self.columns - self.locked
    }

    /// φ, for a known θ₁: see [`crate::certificate`].
    pub(crate) fn residual_error(&self, theta: f64) -> f64 {
        ROUND_OFF * theta + self.dropped.sqrt()
    }

    /// Takes B times the newest block.
    pub(crate) fn absorb(&mut self, product: &[f64]) {
        let mut residual = narrow(product);
        let basis = self.all();
        let projection = project_out(basis, &mut residual, B);
        let alpha = symmetric_part(&projection[(basis.count - B) * B..]);
        let size = alpha.iter().flatten().fold(self.norm_so_far(), |size, entry| size.max(entry.abs()));
        self.tridiagonal.alphas.push(alpha);

        let mut block: Vec<f64> = residual.iter().map(|value| f64::from(*value)).collect();
        let (first, _, dropped) = orthonormalise::<B>(&mut block, self.stride, DEAD * size);
        self.dropped += dropped;
        // Once more on unit vectors: what a short residual keeps of the basis grows when it is normalised.
        let mut vectors = narrow(&block);
        project_out(self.all(), &mut vectors, B);
        block = vectors.iter().map(|value| f64::from(*value)).collect();
        let (second, dead, _) = orthonormalise::<B>(&mut block, self.stride, 0.5);
        self.tridiagonal.betas.push(block::multiply(&second, &first));

        self.exhausted = self.basis.len() / self.stride + B > self.columns;
        if !self.exhausted {
            self.replace(&mut block, dead);
            self.basis.extend(narrow(&block));
        }
    }

    /// Linear combinations of the multiplied basis vectors, Q times the first `count` columns of `coefficients`: as
    /// columns of a matrix, and as f32 one after another, each of length [`padded`].
    pub(crate) fn combine(&self, coefficients: &Mat<f64>, count: usize) -> (Mat<f64>, Vec<f32>) {
        let mut columns = Mat::<f64>::zeros(self.columns, count);
        let krylov = self.basis[self.locked * self.stride..].chunks(self.stride);
        for (index, vector) in krylov.take(self.tridiagonal.size()).enumerate() {
            for column in 0..count {
                let factor = coefficients[(index, column)];
                for (sum, entry) in columns.col_as_slice_mut(column).iter_mut().zip(vector) {
                    *sum += factor * f64::from(*entry);
                }
            }
        }
        let mut vectors = vec![0.0; count * self.stride];
        for (column, vector) in vectors.chunks_mut(self.stride).enumerate() {
            vector[..self.columns].copy_from_slice(&narrow(columns.col_as_slice(column)));
        }
        (columns, vectors)
    }

    fn all(&self) -> Vectors<'_> {
        Vectors { values: &self.basis, stride: self.stride, count: self.basis.len() / self.stride }
    }

    fn norm_so_far(&self) -> f64 {
        self.tridiagonal.alphas.iter().flatten().flatten().fold(0.0f64, |size, entry| size.max(entry.abs()))
    }

    /// Fills the dead vectors of a block with random ones, orthogonal to the basis and to the others. Their row of β
    /// is zero: the product has no part there.
    fn replace(&mut self, block: &mut [f64], dead: [bool; B]) {
        let stride = self.stride;
        for index in (0..B).filter(|index| dead[*index]) {
            let (before, rest) = block.split_at_mut(index * stride);
            let vector = &mut rest[..stride];
            self.random.fill(&mut vector[..self.columns]);
            normalise(vector);
            for _ in 0..2 {
                if !self.basis.is_empty() {
                    let mut narrowed = narrow(vector);
                    project_out(self.all(), &mut narrowed, 1);
                    for (wide, narrow) in vector.iter_mut().zip(narrowed) {
                        *wide = f64::from(narrow);
                    }
                }
                for other in before.chunks(stride) {
                    take_out(vector, other);
                }
                normalise(vector);
            }
        }
    }
}

/// Orthonormalises the vectors of a block, longest first, by modified Gram–Schmidt: before = after · R. Returns R by
/// rows, which vectors are dead (no longer than `floor` once the others are taken out; those are left zero), and the
/// sum of squares that was lost with them.
fn orthonormalise<const B: usize>(
    block: &mut [f64],
    stride: usize,
    floor: f64,
) -> (Block<B>, [bool; B], f64) {
    let mut r: Block<B> = block::zero();
    let mut dead = [false; B];
    let mut lost = 0.0;
    let mut original: [usize; B] = std::array::from_fn(|index| index);
    for index in 0..B {
        let squares: Vec<f64> =
            block[index * stride..].chunks(stride).map(|vector| dot(vector, vector)).collect();
        let longest = squares.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(at, _)| at);
        if longest > 0 {
            let (first, second) = block.split_at_mut((index + longest) * stride);
            first[index * stride..(index + 1) * stride].swap_with_slice(&mut second[..stride]);
            original.swap(index, index + longest);
            for row in r.iter_mut().take(index) {
                row.swap(index, index + longest);
            }
        }
        let length = squares[longest].sqrt();
        if length <= floor || length == 0.0 {
            lost = squares.iter().sum();
            block[index * stride..].fill(0.0);
            dead[index..].fill(true);
            break;
        }
        let (vector, rest) = block[index * stride..].split_at_mut(stride);
        r[index][index] = length;
        for value in vector.iter_mut() {
            *value /= length;
        }
        for (other, entry) in rest.chunks_mut(stride).zip(&mut r[index][index + 1..]) {
            *entry = take_out(other, vector);
        }
    }
    // Columns of R back into the order of the vectors given.
    let mut ordered: Block<B> = block::zero();
    for (row, out) in r.iter().zip(&mut ordered) {
        for (entry, original) in row.iter().zip(original) {
            out[original] = *entry;
        }
    }
    (ordered, dead, lost)
}

fn symmetric_part<const B: usize>(entries: &[f64]) -> Block<B> {
    std::array::from_fn(|i| std::array::from_fn(|j| f64::midpoint(entries[i * B + j], entries[j * B + i])))
}

#[cfg(test)]
impl<const B: usize> Lanczos<B> {
    /// Takes the product for MᵀM = diag(values), which is exact up to f32.
    pub(crate) fn absorb_diagonal(&mut self, values: &[f64]) {
        let newest = self.newest();
        let mut product = vec![0.0; newest.values.len()];
        for (product, vector) in product.chunks_mut(newest.stride).zip(newest.values.chunks(newest.stride)) {
            for (product, (entry, value)) in product.iter_mut().zip(vector.iter().zip(values)) {
                *product = f64::from(*entry) * value;
            }
        }
        self.absorb(&product);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fused_pass::fused_pass;
    use crate::matrix::{Dtype, Matrix};
    use crate::random::Key;
    use crate::source::{Difference, Operator, Source};

    const B: usize = 8;

    fn gaussian(seed: u64) -> Gaussian {
        Key { seed, name: "test" }.generator(Operator::A, 0)
    }

    fn run<const B: usize>(values: &[f64], steps: usize) -> Lanczos<B> {
        let mut lanczos = Lanczos::new(values.len(), gaussian(7));
        for _ in 0..steps {
            lanczos.absorb_diagonal(values);
            if lanczos.is_exhausted() {
                break;
            }
        }
        lanczos
    }

    fn wide(lanczos: &Lanczos<B>) -> Vec<Vec<f64>> {
        let vectors = lanczos.basis.chunks(lanczos.stride);
        vectors.map(|vector| vector.iter().map(|value| f64::from(*value)).collect()).collect()
    }

    fn loss_of_orthogonality(lanczos: &Lanczos<B>) -> f64 {
        let vectors = wide(lanczos);
        let mut worst = 0.0f64;
        for (i, x) in vectors.iter().enumerate() {
            for (j, y) in vectors.iter().enumerate().take(i + 1) {
                worst = worst.max((dot(x, y) - f64::from(u8::from(i == j))).abs());
            }
        }
        worst
    }

    #[test]
    fn the_largest_ritz_value_grows_towards_the_largest_eigenvalue() {
        let values: Vec<f64> = (0..500).map(|i| 1.0 / (1.0 + f64::from(i))).collect();
        let mut last = 0.0;
        for steps in 1..10 {
            let lanczos = run::<B>(&values, steps);
            let theta = lanczos.tridiagonal().largest_eigenvalue(0.0).0;
            assert!(theta <= 1.0 + 1e-7 && theta > last - 1e-7, "{steps}");
            assert!(loss_of_orthogonality(&lanczos) < 3e-7);
            last = theta;
        }
        assert!(last > 1.0 - 1e-6);
    }

    #[test]
    fn exact_low_rank_keeps_the_basis_orthogonal_and_leaves_nothing_below() {
        for rank in [1, 2, 3, 7, 8, 9] {
            let mut values = vec![0.0; 200];
            values[..rank].fill(3.0);
            values[0] = 4.0;
            let lanczos = run::<B>(&values, 5);
            let theta = lanczos.tridiagonal().largest_eigenvalue(0.0).0;
            assert!((theta - 4.0).abs() < 4e-6, "rank {rank}: {theta}");
            let beta = lanczos.tridiagonal().betas[4].iter().flatten().fold(0.0f64, |m, x| m.max(x.abs()));
            assert!(beta < 1e-5 && lanczos.residual_error(4.0) < 4e-5, "rank {rank}: {beta}");
            assert!(loss_of_orthogonality(&lanczos) < 3e-7, "rank {rank}");
        }
    }

    #[test]
    fn a_space_as_large_as_the_matrix_is_exhausted() {
        let values: Vec<f64> = (1..=33).map(f64::from).collect();
        let lanczos = run::<B>(&values, 100);
        assert!(lanczos.is_exhausted());
        assert_eq!(lanczos.tridiagonal().size(), 32);
    }

    #[test]
    fn locked_vectors_stay_out() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let stride = padded(100);
        let mut locked = vec![0.0; 2 * stride];
        locked[99] = 1.0;
        locked[stride + 98] = 1.0;
        let mut lanczos = Lanczos::<B>::orthogonal_to(100, locked, gaussian(3));
        for _ in 0..9 {
            lanczos.absorb_diagonal(&values);
        }
        let theta = lanczos.tridiagonal().largest_eigenvalue(0.0).0;
        assert!((theta - 98.0).abs() < 0.1, "{theta}");
        assert_eq!((lanczos.dimension(), lanczos.locked), (98, 2));
        assert!(loss_of_orthogonality(&lanczos) < 3e-7);
    }

    #[test]
    fn a_block_is_the_product_of_its_factors() {
        let stride = 16;
        let mut block = vec![0.0; 4 * stride];
        gaussian(1).fill(&mut block);
        block.copy_within(0..stride, 2 * stride); // a repeated vector is dead
        let before = block.clone();
        let (r, dead, lost) = orthonormalise::<4>(&mut block, stride, 1e-9);
        assert_eq!(dead, [false, false, false, true]);
        assert!(lost < 1e-25);
        for (column, vector) in before.chunks(stride).enumerate() {
            for (at, value) in vector.iter().enumerate() {
                let product: f64 = (0..4).map(|row| r[row][column] * block[row * stride + at]).sum();
                assert!((product - value).abs() < 1e-12);
            }
        }
    }

    /// ‖BQ − QT − VβEₖᵀ‖₂ / θ₁ in f64, for MᵀM of an f32 matrix.
    fn relation_error(rows: usize, columns: usize, entries: &[f32], steps: usize) -> f64 {
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        let matrix = Matrix::new(rows, columns, Dtype::F32, &bytes).unwrap();
        let source = Source { a: matrix, b: matrix, difference: Difference::F32, exponents: [0; 3] };
        let mut lanczos = Lanczos::<B>::new(columns, gaussian(5));
        for _ in 0..steps {
            let product = fused_pass(&source, &[(Operator::A, lanczos.newest())]).unwrap();
            lanczos.absorb(&product[0]);
        }
        let theta = lanczos.tridiagonal().largest_eigenvalue(0.0).0;
        let basis = wide(&lanczos);
        let mut residuals = Vec::new();
        for (index, vector) in basis.iter().enumerate().take(steps * B) {
            let mut residual = vec![0.0; lanczos.stride];
            for row in entries.chunks(columns) {
                let product: f64 = row.iter().zip(vector).map(|(entry, v)| f64::from(*entry) * v).sum();
                for (sum, entry) in residual.iter_mut().zip(row) {
                    *sum += f64::from(*entry) * product;
                }
            }
            let (block, column) = (index / B, index % B);
            let Tridiagonal { alphas, betas } = lanczos.tridiagonal();
            for other in 0..B {
                let mut take = |at: usize, factor: f64| {
                    for (sum, entry) in residual.iter_mut().zip(&basis[at * B + other]) {
                        *sum -= factor * entry;
                    }
                };
                take(block, alphas[block][other][column]);
                take(block + 1, betas[block][other][column]);
                if block > 0 {
                    take(block - 1, betas[block - 1][column][other]);
                }
            }
            residuals.push(residual);
        }
        let gram = Mat::from_fn(steps * B, steps * B, |i, j| dot(&residuals[i], &residuals[j]));
        let squares = gram.self_adjoint_eigenvalues(faer::Side::Lower).unwrap();
        squares[steps * B - 1].sqrt() / theta
    }

    #[test]
    fn round_off_stays_below_the_allowance() {
        for (rows, columns) in [(900, 500), (16384, 120), (120, 5000), (600, 1024)] {
            let mut noise = vec![0.0; rows * columns];
            gaussian(11).fill(&mut noise);
            let decaying = |at: usize| noise[at] / (1.0 + (at / columns) as f64).sqrt();
            let cases: [(&str, Vec<f32>); 4] = [
                ("Gaussian", noise.iter().map(|value| *value as f32).collect()),
                ("decaying", (0..rows * columns).map(|at| decaying(at) as f32).collect()),
                // Rounding errors of equal signs.
                ("positive", noise.iter().map(|value| value.abs() as f32 + 1.0).collect()),
                ("equal rows", (0..rows * columns).map(|at| 0.1 + (at % columns) as f32 * 1e-4).collect()),
            ];
            for (name, entries) in cases {
                let error = relation_error(rows, columns, &entries, 6);
                println!("{rows} × {columns} {name}: {error:.1e}");
                assert!(error < ROUND_OFF, "{rows} × {columns} {name}: {error}");
            }
        }
    }
}
