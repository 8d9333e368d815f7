//! Every number of a pair against naive f64 arithmetic and a dense SVD, over shapes, dtypes and spectra.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

mod stored;

use faer::Mat;
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use spectral::{
    Certification, Dtype, Interval, Matrix, MatrixSummary, Method, Operators, Options, Outcome, PairSummary,
    Stop, summarize_pair,
};
use stored::encode;

fn gaussian(seed: u64, count: usize) -> Vec<f64> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| StandardNormal.sample(&mut generator)).collect()
}

fn sigma(rows: usize, columns: usize, values: &[f64]) -> f64 {
    Mat::from_fn(rows, columns, |i, j| values[i * columns + j]).singular_values().unwrap()[0]
}

fn finite(outcome: Outcome) -> PairSummary {
    match outcome {
        Outcome::Finite(pair) => *pair,
        Outcome::NonFinite { a, b } => panic!("non-finite entries: {a:?} {b:?}"),
    }
}

fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
    let scale = expected.abs().max(1e-300);
    assert!((found - expected).abs() <= tolerance * scale, "{what}: {found} for {expected}");
}

fn check_norms(
    found: &MatrixSummary,
    rows: usize,
    columns: usize,
    values: &[f64],
    tolerance: f64,
    what: &str,
) {
    let frobenius = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    close(found.frobenius, frobenius, 1e-12, &format!("{what} Frobenius"));
    let interval = found.spectral_interval.unwrap();
    if frobenius == 0.0 {
        assert_eq!((found.spectral, found.stable_rank), (Some(0.0), None), "{what}");
        assert_eq!(interval, Interval { lower: 0.0, upper: 0.0 }, "{what}");
        return;
    }
    let sigma = sigma(rows, columns, values);
    assert!(interval.contains(sigma), "{what}: {sigma} is not in {interval:?}");
    let width = interval.relative_width().unwrap();
    assert!(width <= tolerance * (1.0 + 1e-9), "{what}: {width}, {:?}", found.stop);
    close(found.spectral.unwrap(), interval.midpoint(), 1e-15, what);
    let rank = (frobenius / sigma).powi(2).max(1.0);
    let ranks = found.stable_rank_interval.unwrap();
    assert!(ranks.lower <= rank * (1.0 + 1e-12) && ranks.upper >= rank * (1.0 - 1e-12), "{what}: {ranks:?}");
    close(found.stable_rank.unwrap(), ranks.midpoint(), 1e-15, what);
    assert!(matches!(found.stop, Some(Stop::Certified | Stop::Dense)), "{what}: {:?}", found.stop);
}

fn check(
    rows: usize,
    columns: usize,
    dtypes: [Dtype; 2],
    a: &[f64],
    b: &[f64],
    tolerance: f64,
) -> PairSummary {
    let (bytes_a, a) = encode(dtypes[0], a);
    let (bytes_b, b) = encode(dtypes[1], b);
    let wide = dtypes.contains(&Dtype::F64);
    let delta: Vec<f64> =
        a.iter().zip(&b).map(|(a, b)| if wide { b - a } else { f64::from(*b as f32 - *a as f32) }).collect();
    let matrix_a = Matrix::new(rows, columns, dtypes[0], &bytes_a).unwrap();
    let matrix_b = Matrix::new(rows, columns, dtypes[1], &bytes_b).unwrap();
    let options = Options { seed: 3, ..Options::default() };
    let found = finite(summarize_pair(&matrix_a, &matrix_b, "w", &options).unwrap());
    check_norms(&found.a, rows, columns, &a, tolerance, "A");
    check_norms(&found.b, rows, columns, &b, tolerance, "B");
    check_norms(&found.delta, rows, columns, &delta, tolerance, "ΔW");
    let count = delta.len() as f64;
    let mean = delta.iter().sum::<f64>() / count;
    let spread = delta.iter().map(|entry| (entry - mean).powi(2)).sum::<f64>() / count;
    let scale = found.delta.frobenius.max(1e-300);
    assert!((found.delta_mean - mean).abs() <= 1e-12 * scale);
    assert!((found.delta_standard_deviation - spread.sqrt()).abs() <= 1e-9 * scale);
    close(found.delta_abs_mean, delta.iter().map(|entry| entry.abs()).sum::<f64>() / count, 1e-12, "|ΔW|");
    assert_eq!(found.delta_abs_max, delta.iter().fold(0.0f64, |largest, entry| largest.max(entry.abs())));
    assert_eq!(found.changed, delta.iter().filter(|entry| **entry != 0.0).count() as u64);
    let product: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
    let norms = found.a.frobenius * found.b.frobenius;
    if norms > 0.0 {
        assert!((found.cosine_similarity.unwrap() - product / norms).abs() < 1e-12);
    }
    found
}

const DTYPES: [Dtype; 6] = [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::I8, Dtype::I32];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn small_matrices_are_exact(
        rows in 1usize..40, columns in 1usize..40, dtype_a in 0usize..6, dtype_b in 0usize..6, seed: u64,
    ) {
        let a = gaussian(seed, rows * columns);
        let step = gaussian(seed ^ 1, rows * columns);
        let b: Vec<f64> = a.iter().zip(&step).map(|(a, step)| a + 0.1 * step).collect();
        check(rows, columns, [DTYPES[dtype_a], DTYPES[dtype_b]], &a, &b, 1e-9);
    }
}

/// Shapes beyond the dense path, whole and ragged: more than one tile, group, block of rows, and chunk.
#[test]
fn large_matrices_meet_the_tolerance() {
    for (case, (rows, columns)) in
        [(700, 300), (210, 900), (1201, 611), (6, 400_000), (40_000, 130)].into_iter().enumerate()
    {
        let dtypes = [
            [Dtype::Bf16, Dtype::Bf16],
            [Dtype::F32, Dtype::Bf16],
            [Dtype::F16, Dtype::F16],
            [Dtype::F32, Dtype::F32],
            [Dtype::F64, Dtype::F32],
        ];
        let a = gaussian(case as u64, rows * columns);
        // A rank-2 update on top of noise.
        let (left, right) = (gaussian(11, 2 * rows), gaussian(12, 2 * columns));
        let noise = gaussian(13, rows * columns);
        let b: Vec<f64> = (0..rows * columns)
            .map(|at| {
                let (i, j) = (at / columns, at % columns);
                let update = left[2 * i] * right[2 * j] + 0.5 * left[2 * i + 1] * right[2 * j + 1];
                a[at] + 0.1 * update + 0.01 * noise[at]
            })
            .collect();
        let found = check(rows, columns, dtypes[case], &a, &b, 1e-4);
        assert!(found.passes >= 2);
    }
}

#[test]
fn vectors_are_exact() {
    for (rows, columns) in [(1, 5000), (5000, 1)] {
        let a = gaussian(1, 5000);
        let b = gaussian(2, 5000);
        let found = check(rows, columns, [Dtype::Bf16, Dtype::F32], &a, &b, 1e-11);
        assert_eq!((found.delta.stop, found.passes), (Some(Stop::Dense), 1));
        assert_eq!(found.delta.participation_ratio.map(|ratio| ratio.value), Some(1.0));
    }
}

#[test]
fn adversarial_spectra() {
    let (rows, columns) = (400, 320);
    let zeros = vec![0.0; rows * columns];
    let diagonal = |value: &dyn Fn(usize) -> f64| -> Vec<f64> {
        let mut entries = zeros.clone();
        (0..columns).for_each(|i| entries[i * columns + i] = value(i));
        entries
    };
    let cases = [
        ("flat", diagonal(&|_| 2.0)),
        ("two equal at the top", diagonal(&|i| if i < 2 { 5.0 } else { 1.0 / (i as f64) })),
        ("clustered", diagonal(&|i| 1.0 - 1e-3 * (i as f64) / 320.0)),
        ("rank 1", diagonal(&|i| if i < 1 { 5.0 } else { 0.0 })),
        ("rank 3", diagonal(&|i| if i < 3 { 5.0 - i as f64 } else { 0.0 })),
        ("rank 8", diagonal(&|i| if i < 8 { 9.0 - i as f64 } else { 0.0 })),
        ("slow decay", diagonal(&|i| (1.0 + i as f64).powf(-0.25))),
        ("tiny", diagonal(&|i| 1e-25 * (1.0 + i as f64).powf(-0.5))),
        ("huge", diagonal(&|i| 1e30 * (1.0 + i as f64).powf(-0.5))),
        ("equal rows", (0..rows * columns).map(|at| ((at % columns) as f64).sin()).collect()),
    ];
    for (name, entries) in cases {
        println!("{name}");
        check(rows, columns, [Dtype::F32, Dtype::F32], &zeros, &entries, 1e-4);
    }
}

/// A matrix U diag(σ) Vᵀ with random orthonormal U and V, so that its singular values are known.
fn with_spectrum(rows: usize, columns: usize, spectrum: &[f64], seed: u64) -> Vec<f64> {
    let orthonormal = |rows: usize, seed: u64| {
        let noise = gaussian(seed, rows * spectrum.len());
        Mat::from_fn(rows, spectrum.len(), |i, j| noise[i * spectrum.len() + j]).qr().compute_thin_Q()
    };
    let (left, right) = (orthonormal(rows, seed), orthonormal(columns, seed + 1000));
    let scaled = Mat::from_fn(rows, spectrum.len(), |i, j| left[(i, j)] * spectrum[j]);
    let product = scaled * right.transpose();
    (0..rows * columns).map(|at| product[(at / columns, at % columns)]).collect()
}

fn summarize(rows: usize, columns: usize, a: &[f64], b: &[f64], options: &Options) -> PairSummary {
    let (a, _) = encode(Dtype::F32, a);
    let (b, _) = encode(Dtype::F32, b);
    let a = Matrix::new(rows, columns, Dtype::F32, &a).unwrap();
    let b = Matrix::new(rows, columns, Dtype::F32, &b).unwrap();
    finite(summarize_pair(&a, &b, "w", options).unwrap())
}

/// Known spectra, by iteration and by full decomposition: intervals, means over the spectrum, overlap of subspaces.
#[test]
fn leading_values_and_means_over_known_spectra() {
    let (rows, columns) = (420, 330);
    let power =
        |exponent: f64| -> Vec<f64> { (0..330).map(|i| (1.0 + f64::from(i)).powf(exponent)).collect() };
    let spectra: [(&str, Vec<f64>); 5] = [
        ("power law", power(-0.7)),
        ("slow", power(-0.3)),
        ("spikes on noise", (0..330).map(|i| if i < 6 { 9.0 - f64::from(i) } else { 0.05 }).collect()),
        ("two equal", (0..330).map(|i| if i < 2 { 2.0 } else { 1.0 / (1.0 + f64::from(i)) }).collect()),
        ("flat", (0..330).map(|i| 1.0 - f64::from(i) / 660.0).collect()),
    ];
    for (name, spectrum) in &spectra {
        let entries = with_spectrum(rows, columns, spectrum, 7);
        let zeros = vec![0.0; rows * columns];
        let options = Options { top_k: 5, ..Options::default() };
        let found = summarize(rows, columns, &zeros, &entries, &options).b;
        assert_eq!(found.stop, Some(Stop::Certified), "{name}");
        assert!(found.spectral_interval.unwrap().contains(spectrum[0] * (1.0 + 1e-9)), "{name}");
        assert_eq!(found.singular_values.len(), 5);
        for (value, truth) in found.singular_values.iter().zip(spectrum) {
            // Entries were rounded to f32.
            let slack = 1e-6 * spectrum[0];
            let interval = value.interval;
            println!("{name}: {truth:.5} in [{:.5}, {:.5}]", interval.lower, interval.upper);
            assert!(interval.lower <= truth + slack && truth - slack <= interval.upper, "{name}");
            assert!(interval.contains(value.value), "{name}");
        }
        if *name == "spikes on noise" || *name == "power law" {
            let widest = found.singular_values.iter().map(|value| value.interval.relative_width().unwrap());
            assert!(widest.fold(0.0, f64::max) < 2e-2, "{name}");
        }

        let full = Options { full_spectrum: true, top_k: 5, ..Options::default() };
        let exact = summarize(rows, columns, &zeros, &entries, &full).b;
        assert_eq!((exact.singular_values.len(), exact.stop), (330, Some(Stop::Dense)));
        for (value, truth) in exact.singular_values.iter().zip(spectrum) {
            assert!((value.value - truth).abs() <= 1e-6 * spectrum[0], "{name}");
        }
        let energy: f64 = spectrum.iter().map(|value| value * value).sum();
        let fourth: f64 = spectrum.iter().map(|value| value.powi(4)).sum();
        let entropy: f64 =
            spectrum.iter().map(|value| value * value / energy).map(|share| -share * share.ln()).sum();
        close(exact.participation_ratio.unwrap().value, energy * energy / fourth, 1e-6, name);
        close(exact.entropy_effective_rank.unwrap().value, entropy.exp(), 1e-6, name);
        let nuclear = exact.full_spectrum.unwrap().nuclear_norm;
        close(nuclear, spectrum.iter().sum(), 1e-5, name);
        let mut sum = 0.0;
        let rank = spectrum.iter().take_while(|value| {
            sum += value.powi(2);
            sum < 0.99 * energy
        });
        assert!(exact.full_spectrum.unwrap().empirical_rank.abs_diff(rank.count() + 1) <= 1, "{name}");
        for (found, exact) in [
            (found.participation_ratio.unwrap(), exact.participation_ratio.unwrap()),
            (found.entropy_effective_rank.unwrap(), exact.entropy_effective_rank.unwrap()),
        ] {
            println!("{name}: {:.3} ± {:.3} for {:.3}", found.value, found.error, exact.value);
            // Twice the stated two standard errors, and a floor for what quadrature leaves.
            let allowed = 2.0 * found.error + 0.005 * exact.value;
            assert!((found.value - exact.value).abs() <= allowed, "{name}");
            assert!(found.error < 0.2 * exact.value, "{name}");
        }
        let share = found.energy_share(5).unwrap();
        let truth = spectrum[..5].iter().map(|value| value * value).sum::<f64>() / energy;
        assert!(share.lower <= truth * (1.0 + 1e-5) && truth <= share.upper * (1.0 + 1e-5), "{name}");
    }
}

#[test]
fn the_overlap_of_leading_subspaces() {
    let (rows, columns) = (400, 320);
    let spectrum: Vec<f64> = (0..320).map(|i| if i < 4 { 8.0 } else { 1.0 / (1.0 + f64::from(i)) }).collect();
    let a = with_spectrum(rows, columns, &spectrum, 1);
    let unrelated = with_spectrum(rows, columns, &spectrum, 2);
    let options = Options { top_k: 4, ..Options::default() };
    let sizes = [(rows, columns, false), (columns, rows, false), (rows, columns, true)];
    for (rows, columns, full_spectrum) in sizes {
        let options = Options { full_spectrum, ..options };
        let right = |entries: &[f64]| {
            let svd = Mat::from_fn(rows, columns, |i, j| entries[i * columns + j]).thin_svd().unwrap();
            svd.V().subcols(0, 4).to_owned()
        };
        let cosines = right(&a).transpose() * right(&unrelated);
        let expected = cosines.squared_norm_l2() / 4.0;
        let found = summarize(rows, columns, &a, &unrelated, &options).top_overlap.unwrap();
        println!("{rows} × {columns}: {found:?} for {expected}");
        assert!((found.value - expected).abs() <= found.error + 1e-5 && found.error < 0.1);
        let twice: Vec<f64> = a.iter().map(|entry| 2.0 * entry).collect();
        let found = summarize(rows, columns, &a, &twice, &options).top_overlap.unwrap();
        assert!((found.value - 1.0).abs() <= found.error + 1e-6, "{found:?}");
        let same = summarize(rows, columns, &a, &a, &options).top_overlap.unwrap();
        assert_eq!((same.value, same.error), (1.0, 0.0));
    }
    // No gap after the k-th singular value: nothing can be said of the subspaces.
    let flat = with_spectrum(rows, columns, &[1.0; 320], 3);
    let found = summarize(rows, columns, &flat, &unrelated, &options).top_overlap.unwrap();
    assert!(found.error >= 0.5, "{found:?}");
}

#[test]
fn a_budget_that_runs_out_leaves_an_honest_interval() {
    let (rows, columns) = (700, 600);
    let entries = gaussian(21, rows * columns);
    let sigma = sigma(rows, columns, &entries);
    let zeros = vec![0.0; rows * columns];
    let mut last = f64::INFINITY;
    for max_passes in [1, 2, 4, 8] {
        let certification = Certification { max_passes, ..Certification::default() };
        let options = Options { method: Method::Certified(certification), ..Options::default() };
        let found = summarize(rows, columns, &zeros, &entries, &options);
        let interval = found.b.spectral_interval.unwrap();
        assert_eq!((found.b.stop, found.passes), (Some(Stop::Budget), 1 + max_passes));
        assert!(interval.contains(sigma), "{interval:?}");
        let width = interval.relative_width().unwrap();
        assert!(width > 1e-4 && width < last, "{width}");
        last = width;
    }
    let certification = Certification { tolerance: 1e-6, ..Certification::default() };
    let options = Options { method: Method::Certified(certification), ..Options::default() };
    let found = summarize(rows, columns, &zeros, &entries, &options).b;
    let width = found.spectral_interval.unwrap().relative_width().unwrap();
    assert_eq!(found.stop, Some(Stop::RoundOff));
    assert!(found.spectral_interval.unwrap().contains(sigma) && width < 4e-4, "{width}");
}

#[test]
fn what_else_is_asked_for_does_not_change_an_interval() {
    let (rows, columns) = (500, 400);
    let a = gaussian(31, rows * columns);
    let b: Vec<f64> = a.iter().zip(gaussian(32, rows * columns)).map(|(a, step)| a + 0.1 * step).collect();
    let all = summarize(rows, columns, &a, &b, &Options::default());
    for (operators, top_k) in [
        (Operators { a: true, b: false, delta: false }, 0),
        (Operators { a: true, b: false, delta: true }, 0),
        (Operators::ALL, 3),
    ] {
        let found = summarize(rows, columns, &a, &b, &Options { operators, top_k, ..Options::default() });
        let bounds = |summary: &MatrixSummary| (summary.spectral_interval, summary.participation_ratio);
        assert_eq!(bounds(&found.a), bounds(&all.a));
        assert!(!operators.delta || bounds(&found.delta) == bounds(&all.delta));
        assert_eq!(operators.b, found.b.spectral.is_some());
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (rows, columns) = (2500, 1700); // several chunks
    let (a, _) = encode(Dtype::Bf16, &gaussian(1, rows * columns));
    let (b, _) = encode(Dtype::Bf16, &gaussian(2, rows * columns));
    let a = Matrix::new(rows, columns, Dtype::Bf16, &a).unwrap();
    let b = Matrix::new(rows, columns, Dtype::Bf16, &b).unwrap();
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let certification = Certification { tolerance: 1e-2, ..Certification::default() };
        let options = Options { method: Method::Certified(certification), ..Options::default() };
        finite(pool.install(|| summarize_pair(&a, &b, "w", &options)).unwrap())
    };
    let one = on(1);
    assert_eq!(one, on(2));
    assert_eq!(one, on(5));
}

#[test]
fn transposed_views_are_the_same_matrix() {
    let (rows, columns) = (300, 500);
    let values = gaussian(5, rows * columns);
    let transposed: Vec<f64> =
        (0..rows * columns).map(|at| values[(at % rows) * columns + at / rows]).collect();
    let (a, _) = encode(Dtype::F32, &values);
    let (b, _) = encode(Dtype::F32, &transposed);
    let a = Matrix::new(rows, columns, Dtype::F32, &a).unwrap();
    let b = Matrix::strided((rows, columns), (1, rows), Dtype::F32, &b).unwrap();
    let found = finite(summarize_pair(&a, &b, "w", &Options::default()).unwrap());
    assert_eq!((found.changed, found.delta.frobenius, found.delta.stable_rank), (0, 0.0, None));
    assert_eq!(found.a, found.b);
}

#[test]
fn power_iteration_is_the_one_of_the_scripts() {
    // On diag(4, 2, 1, …) the iterate after k steps is known up to its start; the estimate lies below σ₁ and grows.
    let (rows, columns) = (200, 150);
    let values = gaussian(9, rows * columns);
    let sigma = sigma(rows, columns, &values);
    let (bytes, _) = encode(Dtype::F64, &values);
    let a = Matrix::new(rows, columns, Dtype::F64, &bytes).unwrap();
    let run = |iterations| {
        let options = Options { method: Method::PowerIteration { iterations }, ..Options::default() };
        finite(summarize_pair(&a, &a, "w", &options).unwrap())
    };
    let mut last = 0.0;
    for iterations in [0, 1, 5, 50] {
        let found = run(iterations);
        assert_eq!(
            (found.a.spectral_interval, found.a.stable_rank_interval, found.a.stop),
            (None, None, None)
        );
        assert_eq!(found.passes, 3 + iterations + 1);
        let estimate = found.a.spectral.unwrap();
        assert!(estimate > last && estimate <= sigma * (1.0 + 1e-6));
        last = estimate;
    }
    assert!(run(5).a.spectral.unwrap() < 0.999 * sigma);
    close(run(2000).a.spectral.unwrap(), sigma, 1e-4, "σ₁ after many steps");
}

#[test]
fn non_finite_entries_are_counted() {
    let mut values = [1.0f32; 12];
    values[3] = f32::NAN;
    values[5] = f32::NEG_INFINITY;
    values[7] = f32::INFINITY;
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let ones: Vec<u8> = [1.0f32; 12].iter().flat_map(|value| value.to_le_bytes()).collect();
    let a = Matrix::new(3, 4, Dtype::F32, &ones).unwrap();
    let b = Matrix::new(3, 4, Dtype::F32, &bytes).unwrap();
    let Outcome::NonFinite { a, b } = summarize_pair(&a, &b, "w", &Options::default()).unwrap() else {
        panic!("not noticed");
    };
    assert!(a.is_none());
    assert_eq!((b.nan, b.infinite), (1, 2));
}

#[test]
fn empty_matrices_and_a_difference_beyond_f32() {
    let empty = Matrix::new(0, 7, Dtype::F32, &[]).unwrap();
    let found = finite(summarize_pair(&empty, &empty, "w", &Options::default()).unwrap());
    assert_eq!((found.a.frobenius, found.a.stable_rank, found.changed), (0.0, None, 0));
    let encode = |values: [f32; 2]| values.map(f32::to_le_bytes).concat();
    let (a, b) = (encode([3e38, 0.0]), encode([-3e38, 0.0]));
    let a = Matrix::new(1, 2, Dtype::F32, &a).unwrap();
    let b = Matrix::new(1, 2, Dtype::F32, &b).unwrap();
    let found = finite(summarize_pair(&a, &b, "w", &Options::default()).unwrap());
    close(found.delta.frobenius, 2.0 * f64::from(3e38f32), 1e-12, "ΔW");
}
