//! What engines must agree on, against a decomposition in f64 and naive sums.

use spectral::{
    CpuEngine, Dtype, Engine, Interval, Matrix, MatrixSummary, Method, NamedPair, Options, Outcome,
    PairSummary, Stop,
};

use crate::matrices::{Kind, Pair, named};

/// Relative error of sums over all entries, with f64 on the device.
const SUMS: f64 = 1e-12;

/// Which options.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Case {
    Default,
    TopK,
    Power,
    FullSpectrum,
}

impl Case {
    pub(crate) fn options(self) -> Options {
        let options = Options { seed: 7, ..Options::default() };
        match self {
            Self::Default => options,
            Self::TopK => Options { top_k: 5, ..options },
            Self::Power => Options { method: Method::PowerIteration { iterations: 40 }, ..options },
            Self::FullSpectrum => Options { full_spectrum: true, ..options },
        }
    }
}

/// Options and pairs: of one shape, of several, with and without whole tiles.
pub(crate) fn cases() -> Vec<(Case, Vec<Pair>)> {
    let (f32, bf16, f16, f64) = (Dtype::F32, Dtype::Bf16, Dtype::F16, Dtype::F64);
    let all = |shape, dtypes: [Dtype; 2]| -> Vec<Pair> {
        Kind::ALL.into_iter().zip(1..).map(|(kind, seed)| Pair::new(seed, shape, dtypes, kind)).collect()
    };
    let one = |shape, dtypes, kind| vec![Pair::new(9, shape, dtypes, kind)];
    // Small ones go to a dense decomposition, f64 to the CPU; both beside others.
    let mixed = [
        one((60, 50), [bf16; 2], Kind::Dense),
        one((300, 513), [bf16; 2], Kind::LowRank),
        one((300, 300), [f64; 2], Kind::Dense),
        one((513, 300), [f16, bf16], Kind::Sparse),
        one((300, 513), [bf16; 2], Kind::Dense),
        one((1, 600), [f32; 2], Kind::Dense),
    ];
    vec![
        (Case::Default, all((320, 257), [f32; 2])),
        (Case::Default, all((260, 400), [bf16; 2])),
        (Case::Default, all((515, 300), [bf16, f32])),
        (Case::Default, mixed.concat()),
        (Case::TopK, all((400, 300), [f16; 2])),
        (Case::Power, all((300, 310), [bf16; 2])),
        (Case::FullSpectrum, one((300, 257), [f32; 2], Kind::Dense)),
    ]
}

pub(crate) fn all(engine: &dyn Engine) {
    for (case, pairs) in cases() {
        let options = case.options();
        let found = engine.summarize(&named(&pairs), &options).unwrap();
        let expected = CpuEngine.summarize(&named(&pairs), &options).unwrap();
        assert_eq!(found.len(), pairs.len());
        for ((pair, found), expected) in pairs.iter().zip(&found).zip(&expected) {
            let (Outcome::Finite(found), Outcome::Finite(expected)) = (found, expected) else {
                panic!("{}: {found:?}", pair.name);
            };
            against_f64(pair, found, case);
            same_statistics(&pair.name, found, expected);
        }
    }
    composition_does_not_matter(engine);
    what_is_not_finite(engine);
    what_has_to_be_scaled(engine);
    refusals(engine);
}

fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!(
        (found - expected).abs() <= tolerance * expected.abs().max(1e-300),
        "{what}: {found} for {expected}"
    );
}

/// Norms and certified bounds against singular values in f64.
fn against_f64(pair: &Pair, found: &PairSummary, case: Case) {
    for (operator, of) in [&found.a, &found.b, &found.delta].into_iter().enumerate() {
        let what = format!("{} {operator} {case:?}", pair.name);
        let squares: f64 = pair.values[operator].iter().map(|value| value * value).sum();
        close(of.frobenius, squares.sqrt(), SUMS, &what);
        let values = pair.singular_values(operator);
        let sigma = values[0];
        let slack = 1e-12 * sigma;
        let holds = |interval: Interval| interval.lower - slack <= sigma && sigma <= interval.upper + slack;
        if let Case::Power = case {
            close(of.spectral.unwrap(), sigma, 0.05, &what);
        } else {
            assert!(of.spectral_interval.is_some_and(holds), "{what}: {sigma}, {:?}", of.spectral_interval);
            certified(of, &what);
        }
        for (value, expected) in of.singular_values.iter().zip(&values) {
            let slack = 1e-12 * sigma;
            let bounds = value.interval;
            assert!(
                bounds.lower - slack <= *expected && *expected <= bounds.upper + slack,
                "{what}: {expected} {bounds:?}"
            );
        }
    }
    let delta = &pair.values[2];
    let count = delta.len() as f64;
    let mean = delta.iter().sum::<f64>() / count;
    let spread = (delta.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    let size = delta.iter().map(|value| value.abs()).sum::<f64>() / count;
    assert!(
        (found.delta_mean - mean).abs() <= 1e-12 * size.max(1e-300),
        "{}: {}",
        pair.name,
        found.delta_mean
    );
    close(found.delta_standard_deviation, spread, 1e-9, &pair.name);
    close(found.delta_abs_mean, size, SUMS, &pair.name);
    assert_eq!(
        found.delta_abs_max,
        delta.iter().fold(0.0, |most, value| value.abs().max(most)),
        "{}",
        pair.name
    );
    assert_eq!(found.changed, delta.iter().filter(|value| **value != 0.0).count() as u64, "{}", pair.name);
}

/// The certificate is as good as asked for, or says why not.
fn certified(of: &MatrixSummary, what: &str) {
    let width = of.spectral_interval.and_then(Interval::relative_width).unwrap();
    match of.stop.unwrap() {
        Stop::Certified => assert!(width <= 1e-4 * (1.0 + 1e-9), "{what}: {width}"),
        Stop::Dense => assert!(width <= 1e-9, "{what}: {width}"),
        stop => panic!("{what}: {stop:?}, {width}"),
    }
}

fn same_statistics(name: &str, found: &PairSummary, expected: &PairSummary) {
    match (found.cosine_similarity, expected.cosine_similarity) {
        (Some(found), Some(expected)) => close(found, expected, 1e-12, name),
        (found, expected) => assert_eq!(found, expected, "{name}"),
    }
    assert_eq!(found.a.stop, expected.a.stop, "{name}");
    // Round-off may cost or save a read.
    assert!(
        found.passes.abs_diff(expected.passes) <= 2,
        "{name}: {} and {} passes",
        found.passes,
        expected.passes
    );
    for (found, expected) in
        [(&found.a, &expected.a), (&found.b, &expected.b), (&found.delta, &expected.delta)]
    {
        if let (Some(found), Some(expected)) = (found.stable_rank_interval, expected.stable_rank_interval) {
            assert!(
                found.lower <= expected.upper && expected.lower <= found.upper,
                "{name}: {found:?} {expected:?}"
            );
        }
    }
}

/// A pair has the same bits beside any others, and in any order.
fn composition_does_not_matter(engine: &dyn Engine) {
    let pairs: Vec<Pair> =
        Kind::ALL.into_iter().map(|kind| Pair::new(3, (270, 300), [Dtype::Bf16; 2], kind)).collect();
    let options = Case::TopK.options();
    let together = engine.summarize(&named(&pairs), &options).unwrap();
    for (index, expected) in together.iter().enumerate() {
        let alone = engine.summarize(&named(&pairs[index..=index]), &options).unwrap();
        assert_eq!(&alone[0], expected, "{}", pairs[index].name);
    }
    let reversed: Vec<Pair> = pairs.iter().rev().cloned().collect();
    let mut found = engine.summarize(&named(&reversed), &options).unwrap();
    found.reverse();
    assert_eq!(found, together);
}

fn what_is_not_finite(engine: &dyn Engine) {
    let mut pairs: Vec<Pair> =
        (0..3).map(|seed| Pair::new(seed, (300, 280), [Dtype::F32; 2], Kind::Dense)).collect();
    pairs[1].bytes[0][400..404].copy_from_slice(&f32::NAN.to_le_bytes());
    pairs[1].bytes[1][800..804].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    let found = engine.summarize(&named(&pairs), &Options::default()).unwrap();
    let Outcome::NonFinite { a, b } = &found[1] else { panic!("{:?}", found[1]) };
    assert_eq!((a.nan, a.infinite, b.nan, b.infinite), (1, 0, 0, 1));
    assert!(matches!((&found[0], &found[2]), (Outcome::Finite(_), Outcome::Finite(_))));
}

/// Entries whose squares f32 cannot hold, and differences that it cannot hold.
fn what_has_to_be_scaled(engine: &dyn Engine) {
    let options = Options::default();
    for factor in [1e-30f32, 1e30, 3e38 / 6.0] {
        let mut pair = Pair::new(1, (300, 280), [Dtype::F32; 2], Kind::Dense);
        for (bytes, values) in pair.bytes.iter_mut().zip(&pair.values) {
            let scaled = values.iter().map(|value| (value / 5.0) as f32 * factor);
            *bytes = scaled.flat_map(f32::to_le_bytes).collect();
        }
        let pairs = [pair];
        let found = engine.summarize(&named(&pairs), &options).unwrap();
        assert_eq!(found, CpuEngine.summarize(&named(&pairs), &options).unwrap());
    }
}

fn refusals(engine: &dyn Engine) {
    let pair = Pair::new(1, (300, 280), [Dtype::F32; 2], Kind::Dense);
    let pairs = [pair];
    let named = named(&pairs);
    let shorter = Matrix::new(280, 300, Dtype::F32, &pairs[0].bytes[1]).unwrap();
    let differ = [NamedPair { b: shorter, ..named[0] }];
    assert!(matches!(
        engine.summarize(&differ, &Options::default()),
        Err(spectral::Error::ShapesDiffer { .. })
    ));
    let options = Options { top_k: 1000, ..Options::default() };
    assert!(matches!(engine.summarize(&named, &options), Err(spectral::Error::TopK { .. })));
    assert_eq!(engine.summarize(&[], &Options::default()).unwrap(), []);
}
