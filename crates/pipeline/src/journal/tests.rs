use proptest::prelude::*;
use spectral::{
    Estimate, FullSpectrum, Interval, MatrixSummary, NonFinite, PairSummary, SingularValue, Stop,
};

use super::*;

fn summary(frobenius: f64) -> MatrixSummary {
    let interval = Interval { lower: frobenius, upper: f64::INFINITY };
    let estimate = Estimate { value: 1.5, error: 0.0 };
    MatrixSummary {
        frobenius,
        spectral: Some(-0.0),
        spectral_interval: Some(interval),
        stable_rank: None,
        stable_rank_interval: None,
        stop: Some(Stop::RoundOff),
        participation_ratio: Some(estimate),
        entropy_effective_rank: None,
        singular_values: vec![SingularValue { value: f64::MIN_POSITIVE / 2.0, interval }],
        full_spectrum: Some(FullSpectrum { nuclear_norm: 0.1, empirical_rank: 300, elbow_index: None }),
    }
}

/// Matrices of both kinds.
fn outcomes() -> Vec<(String, Outcome)> {
    let [a, b, delta] = [1.0, 1e300, 0.1].map(summary);
    let pair = PairSummary {
        a,
        b,
        delta,
        cosine_similarity: Some(0.5),
        delta_mean: -1e-300,
        delta_standard_deviation: 0.25,
        delta_abs_mean: 0.75,
        delta_abs_max: 2.0,
        changed: u64::MAX,
        top_overlap: None,
        passes: 17,
    };
    let non_finite =
        Outcome::NonFinite { a: NonFinite { nan: 1, infinite: 2 }, b: NonFinite { nan: 0, infinite: 300 } };
    let finite = Outcome::Finite(Box::new(pair));
    [("layers.0.größe", finite.clone()), ("b", non_finite), ("c", finite)]
        .map(|(name, outcome)| (name.to_owned(), outcome))
        .into()
}

fn identity() -> BTreeMap<String, String> {
    [("options", "x"), ("a.safetensors", "5 bytes")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

/// A folder with a place for a journal.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("journal")
    }

    fn read(&self) -> io::Result<Option<Earlier>> {
        Earlier::read(&self.path())
    }

    /// The bytes of a journal of these.
    fn bytes_of(&self, outcomes: &[(String, Outcome)]) -> Vec<u8> {
        let mut journal = Journal::new(self.path(), &identity()).unwrap();
        for (name, outcome) in outcomes {
            journal.append(name, outcome).unwrap();
        }
        std::fs::read(self.path()).unwrap()
    }

    /// What is believed of these bytes: how many of the matrices, and whether there is damage; `None` for no journal.
    fn believed(&self, bytes: &[u8]) -> Option<(usize, bool)> {
        std::fs::write(self.path(), bytes).unwrap();
        let earlier = self.read().ok()??;
        assert_eq!(earlier.identity, identity());
        let count = earlier.outcomes.len();
        assert_eq!(earlier.outcomes, outcomes().into_iter().take(count).collect());
        Some((count, earlier.is_damaged))
    }
}

/// Where the beginning and each matrix of a journal end.
fn ends(place: &Place) -> Vec<usize> {
    let first = |count| place.bytes_of(&outcomes()[..count]).len();
    let of_one = first(1);
    let of_identity = FIRST_LINE.len() + record(&Hash::default(), &identity()).unwrap().0.len();
    vec![of_identity, of_one, first(2), first(3)]
}

#[test]
fn what_was_written_is_read() {
    let place = Place::new();
    assert!(place.read().unwrap().is_none());
    let bytes = place.bytes_of(&outcomes());
    assert_eq!(place.believed(&bytes), Some((3, false)));
}

#[test]
fn an_end_cut_off_anywhere_costs_one_matrix_and_a_run_goes_on_from_there() {
    let place = Place::new();
    let (whole, ends) = (place.bytes_of(&outcomes()), ends(&place));
    for length in 0..whole.len() {
        let finished = ends.iter().filter(|end| **end <= length).count().checked_sub(1);
        assert_eq!(place.believed(&whole[..length]), finished.map(|count| (count, false)), "{length}");
        // A run that goes on flushes to disk once, which takes longer than all else here.
        let Some(finished) = finished.filter(|_| length % 16 == 0 || ends.contains(&length)) else {
            continue;
        };
        let earlier = place.read().unwrap().unwrap();
        let mut journal = Journal::going_on(place.path(), earlier).unwrap();
        for (name, outcome) in &outcomes()[finished..] {
            journal.append(name, outcome).unwrap();
        }
        assert!(std::fs::read(place.path()).unwrap() == whole, "{length}");
    }
}

#[test]
fn every_damaged_byte_is_noticed() {
    let place = Place::new();
    let (whole, ends) = (place.bytes_of(&outcomes()), ends(&place));
    for at in 0..whole.len() {
        let before = ends.iter().filter(|end| **end <= at).count().checked_sub(1);
        for flip in [0x01, 0x80] {
            let mut damaged = whole.clone();
            damaged[at] ^= flip;
            assert_eq!(place.believed(&damaged), before.map(|count| (count, true)), "{at} ^ {flip:#x}");
        }
    }
}

#[test]
fn records_count_only_in_their_place() {
    let place = Place::new();
    let (whole, ends) = (place.bytes_of(&outcomes()), ends(&place));
    let record = |index: usize| &whole[ends[index]..ends[index + 1]];
    let beginning = &whole[..ends[0]];
    let journal = |parts: &[&[u8]]| [&[beginning], parts].concat().concat();
    for (what, bytes, believed) in [
        ("left out", journal(&[record(0), record(2)]), (1, true)),
        ("exchanged", journal(&[record(1), record(0)]), (0, true)),
        ("repeated", journal(&[record(0), record(0)]), (1, true)),
        ("two journals", [whole.clone(), whole.clone()].concat(), (3, true)),
        ("zeros, as after a loss of power", [whole.clone(), vec![0; 5000]].concat(), (3, true)),
    ] {
        assert_eq!(place.believed(&bytes), Some(believed), "{what}");
    }
    // Records of a comparison of something else.
    let other = [("options".to_owned(), "y".to_owned())].into();
    let mut journal_of_other = Journal::new(place.path(), &other).unwrap();
    journal_of_other.append("b", &outcomes()[1].1).unwrap();
    let bytes = std::fs::read(place.path()).unwrap();
    let start = FIRST_LINE.len() + super::record(&Hash::default(), &other).unwrap().0.len();
    assert_eq!(place.believed(&journal(&[&bytes[start..]])), Some((0, true)));
}

#[test]
fn a_length_is_a_claim() {
    let place = Place::new();
    let whole = place.bytes_of(&outcomes());
    let claim = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
    let bytes = [whole.as_slice(), &claim, &[7; 100]].concat();
    assert_eq!(place.believed(&bytes), Some((3, false)), "four gigabytes that are not there");
}

#[test]
fn what_is_no_journal_is_refused_and_replaced_but_never_followed() {
    let place = Place::new();
    let path = place.path();
    let elsewhere = place.0.path().join("elsewhere");
    std::fs::write(&elsewhere, place.bytes_of(&outcomes())).unwrap();
    let before = std::fs::read(&elsewhere).unwrap();
    let text: &dyn Fn() = &|| std::fs::write(&path, "notes of somebody, longer than a first line").unwrap();
    let empty: &dyn Fn() = &|| drop(File::create(&path).unwrap());
    let mut others = vec![("text", text), ("empty", empty)];
    let link: &dyn Fn() = &|| std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    let pipe: &dyn Fn() = &|| {
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    };
    others.extend([("link", link), ("pipe", pipe)]);
    for (what, make) in others {
        std::fs::remove_file(&path).unwrap();
        make();
        assert!(place.read().is_err(), "{what}");
        let bytes = place.bytes_of(&outcomes());
        assert_eq!(place.believed(&bytes), Some((3, false)), "{what}");
        assert!(std::fs::read(&elsewhere).unwrap() == before, "{what}");
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(place.read().is_err());
    let mut journal = Journal::new(path, &identity()).unwrap();
    assert!(journal.append("b", &outcomes()[1].1).is_err());
    assert_eq!(std::fs::read_dir(place.0.path()).unwrap().count(), 2, "nothing temporary stays");
}

#[test]
fn an_earlier_journal_stays_until_the_first_matrix_is_finished() {
    let place = Place::new();
    let whole = place.bytes_of(&outcomes());
    let earlier = place.read().unwrap().unwrap();
    let mut going_on = Journal::going_on(place.path(), earlier).unwrap();
    let mut anew = Journal::new(place.path(), &identity()).unwrap();
    assert!(std::fs::read(place.path()).unwrap() == whole);
    going_on.append("d", &outcomes()[1].1).unwrap();
    assert_eq!(place.read().unwrap().unwrap().outcomes.len(), 4);
    anew.append("b", &outcomes()[1].1).unwrap();
    assert_eq!(place.read().unwrap().unwrap().outcomes.len(), 1);
}

/// If this fails, [`Outcome`] has another form: [`FIRST_LINE`] gets another number, and this test another hash. A
/// release reads only its own journals, but development would take over numbers in each other's places.
#[test]
fn another_form_gets_another_number() {
    let hash = Sha256::digest(Place::new().bytes_of(&outcomes()));
    let of_form_1 = "59c16c9de109ddb5f2da4d57557f70f5839649c8aa370448101ad181f3bddfee";
    assert_eq!(crate::fingerprint::hexadecimal(&hash), of_form_1);
}

/// Any bits but those of NaN, which no result is: small ones, infinite ones, both zeros.
fn float() -> impl Strategy<Value = f64> {
    use proptest::num::f64::{INFINITE, NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO | INFINITE
}

fn interval() -> impl Strategy<Value = Interval> {
    (float(), float()).prop_map(|(lower, upper)| Interval { lower, upper })
}

fn estimate() -> impl Strategy<Value = Estimate> {
    (float(), float()).prop_map(|(value, error)| Estimate { value, error })
}

fn any_summary() -> impl Strategy<Value = MatrixSummary> {
    use proptest::option::of;
    let stop = prop::sample::select(vec![Stop::Certified, Stop::Dense, Stop::Budget, Stop::RoundOff]);
    let value = (float(), interval()).prop_map(|(value, interval)| SingularValue { value, interval });
    let full = (float(), any::<usize>(), any::<Option<usize>>());
    let full = full.prop_map(|(nuclear_norm, empirical_rank, elbow_index)| FullSpectrum {
        nuclear_norm,
        empirical_rank,
        elbow_index,
    });
    let ranks = (of(float()), of(interval()), of(estimate()), of(estimate()));
    let values = prop::collection::vec(value, 0..4);
    (float(), of(float()), of(interval()), of(stop), ranks, values, of(full)).prop_map(
        |(frobenius, spectral, spectral_interval, stop, ranks, singular_values, full_spectrum)| {
            MatrixSummary {
                frobenius,
                spectral,
                spectral_interval,
                stable_rank: ranks.0,
                stable_rank_interval: ranks.1,
                stop,
                participation_ratio: ranks.2,
                entropy_effective_rank: ranks.3,
                singular_values,
                full_spectrum,
            }
        },
    )
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    let summaries = (any_summary(), any_summary(), any_summary());
    let floats = (float(), float(), float(), float());
    let rest = (proptest::option::of(float()), any::<u64>(), proptest::option::of(estimate()), any::<u32>());
    let finite = (summaries, floats, rest).prop_map(|((a, b, delta), floats, rest)| {
        Outcome::Finite(Box::new(PairSummary {
            a,
            b,
            delta,
            cosine_similarity: rest.0,
            delta_mean: floats.0,
            delta_standard_deviation: floats.1,
            delta_abs_mean: floats.2,
            delta_abs_max: floats.3,
            changed: rest.1,
            top_overlap: rest.2,
            passes: rest.3,
        }))
    });
    let non_finite = any::<[u64; 4]>().prop_map(|counts| Outcome::NonFinite {
        a: NonFinite { nan: counts[0], infinite: counts[1] },
        b: NonFinite { nan: counts[2], infinite: counts[3] },
    });
    prop_oneof![4 => finite, 1 => non_finite]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn outcomes_come_back_bit_for_bit(written in prop::collection::vec((any::<String>(), any_outcome()), 1..4)) {
        let place = Place::new();
        place.bytes_of(&written);
        let earlier = place.read().unwrap().unwrap();
        let last: HashMap<_, _> = written.into_iter().collect();
        prop_assert_eq!(earlier.outcomes.len(), last.len());
        for (name, outcome) in last {
            // As text, which tells the zeros apart.
            prop_assert_eq!(format!("{:?}", earlier.outcomes[&name]), format!("{outcome:?}"));
        }
    }
}
