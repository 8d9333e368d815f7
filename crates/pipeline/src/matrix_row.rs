//! From the summary of a pair of matrices to its row.

use report::MatrixRow;
use spectral::{MatrixSummary, PairSummary};
use weights_io::{Dtype, Pairing};

pub(crate) fn matrix_row(
    pairing: &Pairing<'_>,
    shape: (usize, usize),
    dtypes: (Dtype, Dtype),
    pair: &PairSummary,
) -> MatrixRow {
    let PairSummary { a, b, delta, .. } = pair;
    let ratio = |top: f64, bottom: f64| (bottom > 0.0).then(|| top / bottom);
    let count = (shape.0 * shape.1) as f64;
    let errors = [a, b, delta].into_iter().filter_map(|side: &MatrixSummary| side.relative_error);
    MatrixRow {
        name: pairing.name.clone(),
        layer: pairing.role.layer,
        group: pairing.role.group.name(),
        rows: shape.0 as u64,
        columns: shape.1 as u64,
        delta_frobenius: Some(delta.frobenius),
        delta_stable_rank: delta.stable_rank,
        a_stable_rank: a.stable_rank,
        component: pairing.role.component.name(),
        dtype_a: dtypes.0.name(),
        dtype_b: dtypes.1.name(),
        a_frobenius: Some(a.frobenius),
        b_frobenius: Some(b.frobenius),
        delta_frobenius_relative: ratio(delta.frobenius, a.frobenius),
        a_spectral: Some(a.spectral),
        b_spectral: Some(b.spectral),
        delta_spectral: Some(delta.spectral),
        delta_spectral_relative: ratio(delta.spectral, a.spectral),
        b_stable_rank: b.stable_rank,
        cosine_similarity: pair.cosine_similarity,
        delta_mean: Some(pair.delta_mean),
        delta_std: Some(pair.delta_standard_deviation),
        delta_abs_mean: Some(pair.delta_abs_mean),
        delta_abs_max: Some(pair.delta_abs_max),
        changed_fraction: ratio(pair.changed as f64, count),
        sigma_tolerance: errors.reduce(f64::max),
        passes: pair.passes,
    }
}

/// The dtype as the numerics name it.
pub(crate) fn spectral_dtype(dtype: Dtype) -> spectral::Dtype {
    match dtype {
        Dtype::F64 => spectral::Dtype::F64,
        Dtype::F32 => spectral::Dtype::F32,
        Dtype::F16 => spectral::Dtype::F16,
        Dtype::Bf16 => spectral::Dtype::Bf16,
        Dtype::F8E4M3 => spectral::Dtype::F8E4M3,
        Dtype::F8E5M2 => spectral::Dtype::F8E5M2,
        Dtype::I64 => spectral::Dtype::I64,
        Dtype::I32 => spectral::Dtype::I32,
        Dtype::I16 => spectral::Dtype::I16,
        Dtype::I8 => spectral::Dtype::I8,
        Dtype::U8 => spectral::Dtype::U8,
        Dtype::Bool => spectral::Dtype::Bool,
    }
}
