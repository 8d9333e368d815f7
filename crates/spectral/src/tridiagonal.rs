//! Block tridiagonal symmetric matrices, their largest eigenvalue, and the block Cholesky factors of λ − T.

use faer::{Mat, Side};
use pulp::{Simd, WithSimd};

use crate::Error;
use crate::block::{self, Block};
use crate::kernels::dispatch;

/// Squarings for norms that decide how far a march goes,
const ROUGH: u32 = 5;
/// and for those that decide how narrow an interval is.
const FINE: u32 = 8;

/// T = QᵀBQ of block Lanczos, and the residual block below it: B Q = Q T + V βₖ Eₖᵀ.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tridiagonal<const B: usize> {
    /// Diagonal blocks.
    pub(crate) alphas: Vec<Block<B>>,
    /// Blocks below the diagonal ones; the last belongs to the residual.
    pub(crate) betas: Vec<Block<B>>,
}

/// Eigenvalues of T in descending order, and the parts of their eigenvectors that residuals and quadrature need.
pub(crate) struct Ritz<const B: usize> {
    pub(crate) values: Vec<f64>,
    /// First block of each eigenvector.
    pub(crate) first: Vec<[f64; B]>,
    /// β times the last block of each eigenvector: coordinates of its residual.
    pub(crate) residual: Vec<[f64; B]>,
    /// Eigenvectors as columns, in the same order.
    pub(crate) vectors: Mat<f64>,
}

impl<const B: usize> Tridiagonal<B> {
    /// Rows of T.
    pub(crate) fn size(&self) -> usize {
        self.alphas.len() * B
    }

    pub(crate) fn trace(&self) -> f64 {
        self.alphas.iter().map(|alpha| (0..B).map(|i| alpha[i][i]).sum::<f64>()).sum()
    }

    /// Lower and upper bound of the largest eigenvalue, relatively 1e-7 apart, by bisection: λ is above all eigenvalues
    /// exactly if λ − T has a Cholesky factor. `below` is a known lower bound.
    pub(crate) fn largest_eigenvalue(&self, below: f64) -> (f64, f64) {
        let newest = self.alphas.last().map_or(0.0, |alpha| (0..B).map(|i| alpha[i][i]).fold(0.0, f64::max));
        let mut lower = below.max(newest).max(f64::MIN_POSITIVE);
        let mut step = lower * 1e-7;
        let mut upper = lower + step;
        while upper.is_finite() && !self.lies_below(upper) {
            lower = upper;
            step *= 16.0;
            upper += step;
        }
        while upper - lower > 1e-7 * upper {
            let middle = f64::midpoint(lower, upper);
            if self.lies_below(middle) {
                upper = middle;
            } else {
                lower = middle;
            }
        }
        (lower, upper)
    }

    /// True if λ − T is positive definite.
    fn lies_below(&self, lambda: f64) -> bool {
        dispatch(LiesBelow { tridiagonal: self, lambda })
    }

    #[inline(always)]
    fn lies_below_inlined(&self, lambda: f64) -> bool {
        let mut reach: Option<Block<B>> = None;
        for (alpha, beta) in self.alphas.iter().zip(&self.betas) {
            let Some(triangle) = pivot(lambda, alpha, reach.as_ref()) else { return false };
            reach = Some(block::solve_lower(&triangle, &block::transpose(beta)));
        }
        true
    }

    /// All eigenvalues and eigenvectors of T.
    pub(crate) fn ritz(&self) -> Result<Ritz<B>, Error> {
        let size = self.size();
        let mut dense = Mat::<f64>::zeros(size, size);
        for (index, alpha) in self.alphas.iter().enumerate() {
            let at = index * B;
            for i in 0..B {
                for j in 0..B {
                    dense[(at + i, at + j)] = alpha[i][j];
                    if at + B < size {
                        dense[(at + B + i, at + j)] = self.betas[index][i][j];
                    }
                }
            }
        }
        let eigen = dense.self_adjoint_eigen(Side::Lower).map_err(|_| Error::Eigenvalues { size })?;
        let vectors = Mat::from_fn(size, size, |i, j| eigen.U()[(i, size - 1 - j)]);
        let values = (0..size).map(|i| eigen.S().column_vector()[size - 1 - i]).collect();
        let first = (0..size).map(|i| std::array::from_fn(|j| vectors[(j, i)])).collect();
        let beta = self.betas.last().copied().unwrap_or_else(block::zero);
        let residual = (0..size)
            .map(|i| beta.map(|row| (0..B).map(|j| row[j] * vectors[(size - B + j, i)]).sum()))
            .collect();
        Ok(Ritz { values, first, residual, vectors })
    }
}

/// The Cholesky factor of λ − α − XᵀX, where X reaches over from the block before.
#[inline(always)]
fn pivot<const B: usize>(lambda: f64, alpha: &Block<B>, reach: Option<&Block<B>>) -> Option<Block<B>> {
    let mut schur = block::diagonal(lambda);
    block::add(&mut schur, -1.0, alpha);
    if let Some(reach) = reach {
        block::add(&mut schur, -1.0, &block::gram(reach));
    }
    block::cholesky(&schur)
}

/// λ − T = C̃C̃ᵀ for λ above all eigenvalues: C̃ is block bidiagonal with the triangular blocks Cⱼ on its diagonal and
/// −CⱼNⱼ below it.
pub(crate) struct Elimination<'a, const B: usize> {
    tridiagonal: &'a Tridiagonal<B>,
    /// Cⱼ
    triangles: Vec<Block<B>>,
    /// Nⱼ = Cⱼ⁻¹ βⱼ₋₁ Cⱼ₋₁⁻ᵀ for j = 2, …
    couplings: Vec<Block<B>>,
}

impl<'a, const B: usize> Elimination<'a, B> {
    /// `None` if λ is not above the largest eigenvalue.
    pub(crate) fn new(tridiagonal: &'a Tridiagonal<B>, lambda: f64) -> Option<Self> {
        dispatch(Eliminate { tridiagonal, lambda })
    }

    #[inline(always)]
    fn new_inlined(tridiagonal: &'a Tridiagonal<B>, lambda: f64) -> Option<Self> {
        let steps = tridiagonal.alphas.len();
        let mut triangles: Vec<Block<B>> = Vec::with_capacity(steps);
        let mut couplings = Vec::with_capacity(steps);
        for (alpha, beta) in
            tridiagonal.alphas.iter().zip(std::iter::once(None).chain(tridiagonal.betas.iter().map(Some)))
        {
            let reach = match (beta, triangles.last()) {
                // Transposed: Cⱼ₋₁⁻¹ βᵀ
                (Some(beta), Some(before)) => Some(block::solve_lower(before, &block::transpose(beta))),
                _ => None,
            };
            let triangle = pivot(lambda, alpha, reach.as_ref())?;
            if let Some(reach) = reach {
                couplings.push(block::solve_lower(&triangle, &block::transpose(&reach)));
            }
            triangles.push(triangle);
        }
        Some(Self { tridiagonal, triangles, couplings })
    }

    /// Cₖ⁻¹ βₖᵀ, for the last block k and the residual's β.
    #[inline(always)]
    fn residual_reach(&self) -> Block<B> {
        match (self.triangles.last(), self.tridiagonal.betas.last()) {
            (Some(triangle), Some(beta)) => block::solve_lower(triangle, &block::transpose(beta)),
            _ => block::zero(),
        }
    }

    /// True if λ is above all eigenvalues of T bordered by the residual block and ρI: [[T, Eₖβᵀ], [βEₖᵀ, ρI]].
    pub(crate) fn clears_border(&self, lambda: f64, rho: f64) -> bool {
        pivot(lambda, &block::diagonal(rho), Some(&self.residual_reach())).is_some()
    }

    /// Φ = ‖C₁⁻¹‖ Π‖Nⱼ‖ ‖Cₖ⁻¹βₖᵀ‖ ≥ ‖E₁ᵀ(λ−T)⁻¹Eₖβₖᵀ‖, which decreases as λ grows.
    pub(crate) fn product_bound(&self) -> f64 {
        dispatch(Evaluate { elimination: self, quantity: Quantity::ProductBound })
    }

    #[inline(always)]
    fn product_bound_inlined(&self) -> f64 {
        let Some(triangle) = self.triangles.first() else { return 0.0 };
        let mut product = block::norm_bound(&block::solve_lower(triangle, &block::diagonal(1.0)), ROUGH);
        for coupling in &self.couplings {
            product *= block::norm_bound(coupling, ROUGH);
        }
        product * block::norm_bound(&self.residual_reach(), ROUGH)
    }

    /// √g = max over y of ‖E₁ᵀz‖ / √(‖y‖² + ‖z‖²), where z = (λ−T)⁻¹Eₖβₖᵀy.
    pub(crate) fn overlap(&self) -> f64 {
        dispatch(Evaluate { elimination: self, quantity: Quantity::Overlap })
    }

    #[inline(always)]
    fn overlap_inlined(&self) -> f64 {
        let mut scaled = self.residual_reach();
        let mut sum = block::diagonal(1.0);
        let mut z = block::zero();
        for (index, triangle) in self.triangles.iter().enumerate().rev() {
            z = block::solve_lower_transposed(triangle, &scaled);
            block::add(&mut sum, 1.0, &block::gram(&z));
            if index > 0 {
                scaled = block::multiply(&block::transpose(&self.couplings[index - 1]), &scaled);
            }
        }
        // ‖E₁ᵀz‖² against DDᵀ = I + ZᵀZ.
        let Some(triangle) = block::cholesky(&sum) else { return f64::INFINITY };
        let relative = block::solve_lower(&triangle, &block::transpose(&z));
        block::norm_bound(&relative, FINE)
    }

    /// L = ‖E₁ᵀ(λ−T)⁻¹‖
    pub(crate) fn response(&self) -> f64 {
        dispatch(Evaluate { elimination: self, quantity: Quantity::Response })
    }

    #[inline(always)]
    fn response_inlined(&self) -> f64 {
        let mut down = Vec::with_capacity(self.triangles.len());
        if let Some(first) = self.triangles.first() {
            down.push(block::solve_lower(first, &block::diagonal(1.0)));
        }
        for (index, coupling) in self.couplings.iter().enumerate() {
            down.push(block::multiply(coupling, &down[index]));
        }
        let mut sum = block::zero();
        let mut scaled: Block<B> = block::zero();
        for (index, triangle) in self.triangles.iter().enumerate().rev() {
            if let Some(coupling) = self.couplings.get(index) {
                scaled = block::multiply(&block::transpose(coupling), &scaled);
            }
            block::add(&mut scaled, 1.0, &down[index]);
            let solution = block::solve_lower_transposed(triangle, &scaled);
            block::add(&mut sum, 1.0, &block::gram(&solution));
        }
        block::largest_eigenvalue_bound(&sum, FINE).sqrt()
    }
}

// What follows compiles the above once for each instruction set.

struct LiesBelow<'a, const B: usize> {
    tridiagonal: &'a Tridiagonal<B>,
    lambda: f64,
}

impl<const B: usize> WithSimd for LiesBelow<'_, B> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> bool {
        self.tridiagonal.lies_below_inlined(self.lambda)
    }
}

struct Eliminate<'a, const B: usize> {
    tridiagonal: &'a Tridiagonal<B>,
    lambda: f64,
}

impl<'a, const B: usize> WithSimd for Eliminate<'a, B> {
    type Output = Option<Elimination<'a, B>>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Self::Output {
        Elimination::new_inlined(self.tridiagonal, self.lambda)
    }
}

struct Evaluate<'e, 'a, const B: usize> {
    elimination: &'e Elimination<'a, B>,
    quantity: Quantity,
}

enum Quantity {
    ProductBound,
    Overlap,
    Response,
}

impl<const B: usize> WithSimd for Evaluate<'_, '_, B> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        match self.quantity {
            Quantity::ProductBound => self.elimination.product_bound_inlined(),
            Quantity::Overlap => self.elimination.overlap_inlined(),
            Quantity::Response => self.elimination.response_inlined(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: usize = 3;

    fn sample(steps: usize) -> Tridiagonal<B> {
        let mut state = 5u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 24) - 0.5
        };
        let mut tridiagonal = Tridiagonal::default();
        for _ in 0..steps {
            let mut alpha = block::zero();
            let mut beta = block::zero();
            for i in 0..B {
                for j in 0..=i {
                    alpha[i][j] = next();
                    alpha[j][i] = alpha[i][j];
                    beta[j][i] = 0.5 * next();
                }
                alpha[i][i] += 2.0;
            }
            tridiagonal.alphas.push(alpha);
            tridiagonal.betas.push(beta);
        }
        tridiagonal
    }

    /// (λ−T)⁻¹ by eigenvectors.
    fn inverse(tridiagonal: &Tridiagonal<B>, lambda: f64) -> Mat<f64> {
        let ritz = tridiagonal.ritz().unwrap();
        let size = tridiagonal.size();
        Mat::from_fn(size, size, |i, j| {
            (0..size)
                .map(|k| ritz.vectors[(i, k)] * ritz.vectors[(j, k)] / (lambda - ritz.values[k]))
                .sum::<f64>()
        })
    }

    #[test]
    fn elimination_agrees_with_dense_algebra() {
        for steps in [1, 2, 6] {
            let tridiagonal = sample(steps);
            let ritz = tridiagonal.ritz().unwrap();
            let largest = ritz.values[0];
            let (lower, upper) = tridiagonal.largest_eigenvalue(0.0);
            assert!(lower <= largest * (1.0 + 1e-13) && upper >= largest * (1.0 - 1e-13));
            assert!(upper - lower <= 1e-7 * upper);
            assert!(Elimination::new(&tridiagonal, largest * 0.999).is_none());
            assert!((ritz.values.iter().sum::<f64>() - tridiagonal.trace()).abs() < 1e-12);

            for lambda in [largest * 1.01, largest * 2.0] {
                let found = Elimination::new(&tridiagonal, lambda).unwrap();
                let inverse = inverse(&tridiagonal, lambda);
                let size = tridiagonal.size();
                let top = Mat::from_fn(B, size, |i, j| inverse[(i, j)]);
                let response = top.singular_values().unwrap()[0];
                assert!(found.response() >= response * (1.0 - 1e-7));
                assert!(found.response() <= response * 1.005);

                let beta = tridiagonal.betas[steps - 1];
                let z = Mat::from_fn(size, B, |i, j| {
                    (0..B).map(|k| inverse[(i, size - B + k)] * beta[j][k]).sum::<f64>()
                });
                let first = Mat::from_fn(B, B, |i, j| z[(i, j)]);
                assert!(found.product_bound() >= first.singular_values().unwrap()[0] * (1.0 - 1e-7));

                let sum = Mat::<f64>::identity(B, B) + z.transpose() * &z;
                let factor = sum.llt(Side::Lower).unwrap().L().to_owned();
                let mut relative = first.transpose().to_owned();
                for column in 0..B {
                    for i in 0..B {
                        let before: f64 = (0..i).map(|k| factor[(i, k)] * relative[(k, column)]).sum();
                        relative[(i, column)] = (relative[(i, column)] - before) / factor[(i, i)];
                    }
                }
                let overlap = relative.singular_values().unwrap()[0];
                assert!(found.overlap() >= overlap * (1.0 - 1e-7));
                assert!(found.overlap() <= overlap * 1.005);
            }

            // The border, against the dense matrix.
            for rho in [0.1, largest * 0.9, largest * 1.2] {
                let size = tridiagonal.size();
                let mut bordered = Mat::<f64>::zeros(size + B, size + B);
                for i in 0..size {
                    for j in 0..size {
                        let value = (0..size)
                            .map(|k| ritz.values[k] * ritz.vectors[(i, k)] * ritz.vectors[(j, k)])
                            .sum();
                        bordered[(i, j)] = value;
                    }
                }
                for i in 0..B {
                    bordered[(size + i, size + i)] = rho;
                    for j in 0..B {
                        bordered[(size + i, size - B + j)] = tridiagonal.betas[steps - 1][i][j];
                    }
                }
                let exact = *bordered.self_adjoint_eigenvalues(Side::Lower).unwrap().last().unwrap();
                let clears = |lambda: f64| {
                    Elimination::new(&tridiagonal, lambda).is_some_and(|it| it.clears_border(lambda, rho))
                };
                assert!(clears(exact * (1.0 + 1e-9)) && !clears(exact * (1.0 - 1e-9)));
            }
        }
    }
}
