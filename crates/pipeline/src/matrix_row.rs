//! From the summary of a pair of matrices to its rows.

use report::{MatrixRow, SingularValueRow, SpectrumColumns};
use spectral::{Interval, MatrixSummary, PairSummary, Stop};
use weights_io::{Dtype, Pairing};

pub(crate) fn matrix_row(
    pairing: &Pairing<'_>,
    shape: (usize, usize),
    dtypes: (Dtype, Dtype),
    pair: &PairSummary,
    top_k: usize,
) -> MatrixRow {
    let PairSummary { a, b, delta, .. } = pair;
    let ratio = |top: f64, bottom: f64| (bottom > 0.0).then(|| top / bottom);
    let count = (shape.0 * shape.1) as f64;
    let computed = [a, b, delta].into_iter().filter(|side| side.spectral.is_some());
    // None as soon as one of them has no interval.
    let widths: Option<Vec<f64>> =
        computed.map(|side| side.spectral_interval.and_then(Interval::relative_width)).collect();
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
        a_spectral: a.spectral,
        b_spectral: b.spectral,
        delta_spectral: delta.spectral,
        delta_spectral_relative: delta.spectral.zip(a.spectral).and_then(|(delta, a)| ratio(delta, a)),
        b_stable_rank: b.stable_rank,
        cosine_similarity: pair.cosine_similarity,
        delta_mean: Some(pair.delta_mean),
        delta_std: Some(pair.delta_standard_deviation),
        delta_abs_mean: Some(pair.delta_abs_mean),
        delta_abs_max: Some(pair.delta_abs_max),
        changed_fraction: ratio(pair.changed as f64, count),
        sigma_tolerance: widths.and_then(|widths| widths.into_iter().reduce(f64::max)),
        passes: pair.passes,
        top_overlap: pair.top_overlap.map(|overlap| overlap.value),
        top_overlap_error: pair.top_overlap.map(|overlap| overlap.error),
        delta: spectrum(delta, top_k),
        a: spectrum(a, top_k),
        b: spectrum(b, top_k),
    }
}

fn spectrum(of: &MatrixSummary, top_k: usize) -> SpectrumColumns {
    let lower = |interval: Option<Interval>| interval.map(|interval| interval.lower);
    let upper = |interval: Option<Interval>| interval.map(|interval| interval.upper);
    let energy = of.energy_share(top_k.min(of.singular_values.len()));
    SpectrumColumns {
        spectral_lower: lower(of.spectral_interval),
        spectral_upper: upper(of.spectral_interval),
        stable_rank_lower: lower(of.stable_rank_interval),
        stable_rank_upper: upper(of.stable_rank_interval),
        stop: of.stop.map(Stop::name),
        participation_ratio: of.participation_ratio.map(|ratio| ratio.value),
        participation_ratio_error: of.participation_ratio.map(|ratio| ratio.error),
        effective_rank: of.entropy_effective_rank.map(|rank| rank.value),
        effective_rank_error: of.entropy_effective_rank.map(|rank| rank.error),
        top_energy_lower: lower(energy),
        top_energy_upper: upper(energy),
        nuclear_norm: of.full_spectrum.map(|full| full.nuclear_norm),
        empirical_rank: of.full_spectrum.map(|full| full.empirical_rank as u64),
        elbow_index: of.full_spectrum.and_then(|full| full.elbow_index).map(|index| index as u64),
    }
}

/// The singular values that were kept of a pair.
pub(crate) fn singular_value_rows<'a>(
    name: &'a str,
    pair: &'a PairSummary,
) -> impl Iterator<Item = SingularValueRow> + 'a {
    [("dW", &pair.delta), ("W", &pair.a), ("Wb", &pair.b)].into_iter().flat_map(move |(operator, of)| {
        of.singular_values.iter().zip(1..).map(move |(value, index)| SingularValueRow {
            name: name.to_owned(),
            operator,
            index,
            value: value.value,
            lower: value.interval.lower,
            upper: value.interval.upper,
        })
    })
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
