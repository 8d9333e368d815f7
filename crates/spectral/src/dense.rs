//! Dense decompositions in f64: of small matrices by their Gram matrix, and full spectra by a singular value
//! decomposition.

use faer::{Mat, Side};

use crate::Error;
use crate::source::{Buffers, Operator, Source};
use crate::vectors::dot;

/// Multiplications that a Gram matrix may cost; more is left to Lanczos.
const MAX_GRAM_COST: usize = 1 << 23;
/// Shorter side up to which Lanczos has too little room: four blocks.
const MIN_SIDE: usize = 32;

/// True if the dense way is the short one for this shape.
pub(crate) fn is_small(rows: usize, columns: usize) -> bool {
    let (short, long) = (rows.min(columns), rows.max(columns));
    short <= MIN_SIDE
        || short
            .checked_mul(short)
            .and_then(|square| square.checked_mul(long))
            .is_some_and(|cost| cost <= MAX_GRAM_COST)
}

/// Singular values of an operator in the unit of its scale.
#[derive(Clone, Debug)]
pub(crate) struct Spectrum {
    /// Value, lower and upper bound; all of them, descending.
    pub(crate) values: Vec<[f64; 3]>,
    /// The leading right singular vectors as columns, as many as were asked for.
    pub(crate) right: Mat<f64>,
}

/// Rounding of f64 arithmetic relative to ‖M‖²_F, in the eigenvalues of a Gram matrix; or to ‖M‖_F, in singular values.
pub(crate) fn rounding(source: &Source<'_>) -> f64 {
    let (rows, columns) = (source.a.rows, source.a.columns);
    (rows.max(columns) + 10 * rows.min(columns)) as f64 * f64::EPSILON
}

/// By the Gram matrix of the shorter side: work grows with the square of that, memory too.
pub(crate) fn by_gram(source: &Source<'_>, operator: Operator, vectors: usize) -> Result<Spectrum, Error> {
    let wide = source.a.rows < source.a.columns;
    let mut buffers = Buffers::default();
    // A wide one has few rows, of which stretches are read again and again.
    let held = wide.then(|| source.held(&(0..source.a.rows), operator.sides(), &mut buffers)).transpose()?;
    let source = held.as_ref().unwrap_or(source);
    let gram = if wide { gram_of_rows(source, operator) } else { gram_of_columns(source, operator)? };
    let size = gram.nrows();
    let trace: f64 = (0..size).map(|i| gram[(i, i)]).sum();
    let failed = |_| Error::Eigenvalues { size };
    let (squares, short) = if vectors > 0 {
        let eigen = gram.self_adjoint_eigen(Side::Lower).map_err(failed)?;
        let leading = Mat::from_fn(size, vectors.min(size), |i, j| eigen.U()[(i, size - 1 - j)]);
        ((0..size).map(|i| eigen.S().column_vector()[size - 1 - i]).collect(), leading)
    } else {
        let mut squares = gram.self_adjoint_eigenvalues(Side::Lower).map_err(failed)?;
        squares.reverse();
        (squares, Mat::new())
    };
    let error = rounding(source) * trace;
    let values: Vec<[f64; 3]> = squares
        .into_iter()
        .map(|square: f64| {
            [square, square - error, square + error].map(|square| square.clamp(0.0, trace + error).sqrt())
        })
        .collect();
    let right = if wide { right_from_left(source, operator, &short, &values) } else { short };
    Ok(Spectrum { values, right })
}

/// By a singular value decomposition of the whole matrix in f64, which keeps small singular values exact.
pub(crate) fn by_decomposition(
    source: &Source<'_>,
    operator: Operator,
    vectors: usize,
) -> Result<Spectrum, Error> {
    let (rows, columns) = (source.a.rows, source.a.columns);
    let mut matrix = Mat::<f64>::zeros(columns, rows); // Mᵀ: a row of M is a column here
    let mut row = 0;
    source.for_each_row_f64(operator, |values| {
        matrix.col_as_slice_mut(row).copy_from_slice(values);
        row += 1;
    })?;
    let error = rounding(source) * matrix.norm_l2();
    let (values, right) = if vectors > 0 {
        let svd = matrix.thin_svd().map_err(|_| Error::SingularValues { rows, columns })?;
        let values = svd.S().column_vector().iter().copied().collect();
        (values, svd.U().subcols(0, vectors.min(rows.min(columns))).to_owned())
    } else {
        let values = matrix.singular_values().map_err(|_| Error::SingularValues { rows, columns })?;
        (values, Mat::new())
    };
    let values: Vec<f64> = values;
    let values = values.into_iter().map(|value| [value, (value - error).max(0.0), value + error]).collect();
    Ok(Spectrum { values, right })
}

/// V = MᵀUΣ⁻¹; zero for singular values that are.
fn right_from_left(
    source: &Source<'_>,
    operator: Operator,
    left: &Mat<f64>,
    values: &[[f64; 3]],
) -> Mat<f64> {
    let (rows, columns) = (source.a.rows, source.a.columns);
    let mut right = Mat::<f64>::zeros(columns, left.ncols());
    let (mut row, mut other) = (vec![0.0; columns], vec![0.0; columns]);
    for index in 0..rows {
        if left.ncols() == 0 {
            break;
        }
        source.row_f64(operator, index, 0, &mut row, &mut other);
        for (vector, [value, ..]) in values.iter().enumerate().take(left.ncols()) {
            if *value > 0.0 {
                let factor = left[(index, vector)] / value;
                for (sum, entry) in right.col_as_slice_mut(vector).iter_mut().zip(&row) {
                    *sum += factor * entry;
                }
            }
        }
    }
    right
}

/// MMᵀ, summed over stretches of columns; the lower triangle.
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
                gram[(i, j)] += dot(&values[i * STRETCH..][..STRETCH], &values[j * STRETCH..][..STRETCH]);
            }
        }
    }
    gram
}

/// MᵀM, summed over rows.
fn gram_of_columns(source: &Source<'_>, operator: Operator) -> Result<Mat<f64>, Error> {
    let columns = source.a.columns;
    let mut gram = Mat::<f64>::zeros(columns, columns);
    source.for_each_row_f64(operator, |values| {
        for j in 0..columns {
            let factor = values[j];
            for (sum, value) in gram.col_as_slice_mut(j)[j..].iter_mut().zip(&values[j..]) {
                *sum += factor * value;
            }
        }
    })?;
    Ok(gram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_columns_than_lanczos_needs_are_small_however_many_the_rows() {
        assert!(is_small(10_000_000, 3) && is_small(32, 10_000_000));
        assert!(!is_small(10_000_000, 33));
    }
}
