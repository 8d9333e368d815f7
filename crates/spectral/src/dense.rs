//! The spectral norm of a small matrix: its Gram matrix in f64 and a dense symmetric eigensolver.

use faer::{Mat, Side};

use crate::Error;
use crate::source::{Operator, Source};

/// Multiplications that a Gram matrix may cost; more is left to Lanczos.
const MAX_GRAM_COST: usize = 1 << 23;

/// True if the dense way is the short one for this shape.
pub(crate) fn is_small(rows: usize, columns: usize) -> bool {
    let (short, long) = (rows.min(columns), rows.max(columns));
    // A Lanczos block has four vectors, and needs as many columns.
    short <= 4
        || short
            .checked_mul(short)
            .and_then(|square| square.checked_mul(long))
            .is_some_and(|cost| cost <= MAX_GRAM_COST)
}

/// σ₁ of an operator, in the unit of its scale. Work grows with the square of the shorter side.
pub(crate) fn spectral_norm(source: &Source<'_>, operator: Operator) -> Result<f64, Error> {
    let gram = if source.a.rows < source.a.columns {
        gram_of_rows(source, operator)
    } else {
        gram_of_columns(source, operator)
    };
    let eigenvalues = eigenvalues(&gram)?;
    Ok(eigenvalues.last().copied().unwrap_or(0.0).max(0.0).sqrt())
}

/// Eigenvalues of a symmetric matrix, ascending.
fn eigenvalues(matrix: &Mat<f64>) -> Result<Vec<f64>, Error> {
    matrix.self_adjoint_eigenvalues(Side::Lower).map_err(|_| Error::Eigenvalues { size: matrix.nrows() })
}

/// MMᵀ, summed over stretches of columns.
fn gram_of_rows(source: &Source<'_>, operator: Operator) -> Mat<f64> {
    const STRETCH: usize = 256;
    let (rows, columns) = (source.a.rows, source.a.columns);
    let mut gram = Mat::<f64>::zeros(rows, rows);
    let mut values = vec![0.0; rows * STRETCH];
    let mut other = [0.0; STRETCH];
    for start in (0..columns).step_by(STRETCH) {
        let width = STRETCH.min(columns - start);
        for (row, values) in values.chunks_mut(STRETCH).enumerate() {
            source.row_f64(operator, row, start, &mut values[..width], &mut other[..width]);
            values[width..].fill(0.0);
        }
        for i in 0..rows {
            for j in 0..=i {
                let (x, y) = (&values[i * STRETCH..][..STRETCH], &values[j * STRETCH..][..STRETCH]);
                gram[(i, j)] += x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
            }
        }
    }
    gram
}

/// MᵀM, summed over rows.
fn gram_of_columns(source: &Source<'_>, operator: Operator) -> Mat<f64> {
    let columns = source.a.columns;
    let mut gram = Mat::<f64>::zeros(columns, columns);
    let (mut values, mut other) = (vec![0.0; columns], vec![0.0; columns]);
    for row in 0..source.a.rows {
        source.row_f64(operator, row, 0, &mut values, &mut other);
        for j in 0..columns {
            let factor = values[j];
            for (sum, value) in gram.col_as_slice_mut(j)[j..].iter_mut().zip(&values[j..]) {
                *sum += factor * value;
            }
        }
    }
    gram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_columns_than_a_lanczos_block_are_small_however_many_the_rows() {
        assert!(is_small(10_000_000, 3) && is_small(4, 10_000_000));
        assert!(!is_small(10_000_000, 5));
    }
}
