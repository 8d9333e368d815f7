//! Streams: hooks that watch and replace, models in lockstep, windows, threads, dtypes, and what is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use activations::{
    Batch, Differences, Error, Hook, HookError, HookPoint, Model, Norms, Stream, StreamOptions,
    is_hidden_state,
};
use candle_core::{DType, Tensor};
use weights_io::{Access, Checkpoint, Files, LocalFiles, Source, Version};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/activations")
}

fn open(name: &str) -> Checkpoint {
    Checkpoint::open(fixtures().join(name)).unwrap()
}

/// Ragged samples with an empty one among them, more than one block of queries long.
fn samples() -> Vec<Vec<u32>> {
    let sample = |length: u32| (0..length).map(|i| (i * i + 7 * length) % 290).collect();
    vec![sample(70), sample(1), sample(0), sample(13), sample(40)]
}

type Bits = Vec<(usize, HookPoint, usize, [u64; 3])>;

fn bits(norms: &Norms) -> Bits {
    let key = |((model, at, sample), sums): (&(usize, HookPoint, usize), &activations::NormSums)| {
        (*model, *at, *sample, [sums.l1.to_bits(), sums.l2.to_bits(), sums.max_l2.to_bits()])
    };
    norms.all().map(key).collect()
}

fn norms_of(checkpoints: &[Checkpoint], options: &StreamOptions, more: &mut [&mut dyn Hook]) -> Norms {
    let models: Vec<Model<'_>> =
        checkpoints.iter().map(|checkpoint| Model::open(checkpoint).unwrap()).collect();
    let samples = samples();
    let mut norms = Norms::new(is_hidden_state);
    let mut hooks: Vec<&mut dyn Hook> = vec![&mut norms];
    hooks.extend(more.iter_mut().map(|hook| &mut **hook as &mut dyn Hook));
    Stream::new(&models, &samples, options.clone()).unwrap().run(&mut hooks).unwrap();
    norms
}

/// Sees some points, keeps what it saw, and puts zeros in place at others.
struct Probe {
    wanted: fn(HookPoint) -> bool,
    zeroed: fn(HookPoint) -> bool,
    seen: BTreeMap<(usize, HookPoint), Tensor>,
}

impl Probe {
    fn new(wanted: fn(HookPoint) -> bool, zeroed: fn(HookPoint) -> bool) -> Self {
        Self { wanted, zeroed, seen: BTreeMap::new() }
    }
}

impl Hook for Probe {
    fn wants(&self, at: HookPoint) -> bool {
        (self.wanted)(at)
    }

    fn observe(&mut self, at: HookPoint, hidden: &Tensor, batch: &Batch<'_>) -> Result<(), HookError> {
        assert!((self.wanted)(at));
        self.seen.insert((batch.model, at), hidden.clone());
        Ok(())
    }

    fn replaces(&self, at: HookPoint) -> bool {
        (self.zeroed)(at)
    }

    fn replace(&mut self, _: HookPoint, hidden: &Tensor, _: &Batch<'_>) -> Result<Option<Tensor>, HookError> {
        Ok(Some(hidden.zeros_like()?))
    }
}

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_hook_replaces_what_the_model_goes_on_with() {
    let mut probe = Probe::new(
        |at| {
            matches!(
                at,
                HookPoint::ResidPre(1)
                    | HookPoint::ResidMid(1)
                    | HookPoint::MlpOut(1)
                    | HookPoint::ResidPost(1)
            )
        },
        |at| at == HookPoint::AttnOut(1),
    );
    norms_of(&[open("pair/a")], &StreamOptions::default(), &mut [&mut probe]);
    let seen = |at| values(&probe.seen[&(0, at)]);
    assert_eq!(seen(HookPoint::ResidPre(1)), seen(HookPoint::ResidMid(1)), "the attention added nothing");
    let sum: Vec<f32> =
        seen(HookPoint::ResidMid(1)).iter().zip(seen(HookPoint::MlpOut(1))).map(|(a, b)| a + b).collect();
    assert_eq!(sum, seen(HookPoint::ResidPost(1)));
    assert!(seen(HookPoint::MlpOut(1)).iter().any(|x| *x != 0.0));
}

#[test]
fn lockstep_gives_the_bits_of_each_model_alone() {
    lockstep(&StreamOptions { batch_size: 2, ..StreamOptions::default() });
}

/// Without fused operations: batches by length, blocks read ahead.
#[test]
fn lockstep_gives_the_bits_of_each_model_alone_in_bf16() {
    let options = StreamOptions { dtype: DType::BF16, ..StreamOptions::default() };
    lockstep(&StreamOptions { batch_size: 2, ..options.clone() });
    lockstep(&options);
}

fn lockstep(options: &StreamOptions) {
    // The third has the bytes of the second, but is no follower of it once it has parted from the first.
    let names = ["pair/a", "pair/b", "pair/b", "pair/a"];
    let mut differences = Differences::between(0, 1, is_hidden_state);
    let mut others = [1, 2].map(|b| Differences::between(b, b + 1, is_hidden_state));
    let [second, third] = &mut others;
    let both = bits(&norms_of(&names.map(open), options, &mut [&mut differences, second, third]));
    for (index, name) in names.into_iter().enumerate() {
        let alone = bits(&norms_of(&[open(name)], options, &mut []));
        let own: Bits =
            both.iter().filter(|row| row.0 == index).map(|row| (0, row.1, row.2, row.3)).collect();
        assert_eq!(alone, own);
        assert_eq!(alone.len(), 4 * 5, "4 samples with tokens, embeddings, 3 blocks and the final norm");
    }
    // Block 0 is the same in both, so the models part in block 1.
    for sample in [0, 1, 3, 4] {
        let at = |at| differences.of(at, sample).unwrap();
        assert_eq!(at(HookPoint::Embed).difference_l2, 0.0);
        assert_eq!(at(HookPoint::ResidPost(0)).difference_l2, 0.0);
        assert!(at(HookPoint::ResidPost(1)).difference_l2 > 0.0);
        assert!(at(HookPoint::FinalNorm).relative > 0.0);
        assert_eq!(at(HookPoint::Embed).cosine_tokens, samples()[sample].len() as u64);
    }
    assert_eq!(differences.of(HookPoint::Embed, 2), None, "a sample without tokens");
    let last = |differences: &Differences| differences.of(HookPoint::FinalNorm, 0).unwrap().difference_l2;
    assert_eq!((last(&others[0]), last(&others[1])), (0.0, last(&differences)));
    // A hook that may replace keeps the models apart from the beginning; the numbers are the same.
    let mut probe = Probe::new(|_| false, |at| at == HookPoint::ResidPre(99));
    let apart = norms_of(&names.map(open), options, &mut [&mut probe]);
    assert_eq!(bits(&apart), both);
}

#[test]
fn equal_models_never_part_and_see_every_point() {
    let mut probe = Probe::new(|_| true, |_| false);
    norms_of(&[open("pair/a"), open("pair/a-bin")], &StreamOptions::default(), &mut [&mut probe]);
    let points: Vec<HookPoint> = probe.seen.keys().filter(|key| key.0 == 0).map(|key| key.1).collect();
    assert_eq!(points.len(), 2 + 5 * 3);
    for at in points {
        assert_eq!(values(&probe.seen[&(0, at)]), values(&probe.seen[&(1, at)]), "{at}");
    }
}

#[test]
fn windows_and_threads_do_not_show_in_the_bits() {
    windows_and_threads(&StreamOptions { batch_size: 1, ..StreamOptions::default() });
}

#[test]
fn windows_and_threads_do_not_show_in_the_bits_of_bf16() {
    windows_and_threads(&StreamOptions { batch_size: 1, dtype: DType::BF16, ..StreamOptions::default() });
}

fn windows_and_threads(options: &StreamOptions) {
    let checkpoints = || [open("pair/a"), open("pair/b")];
    let expected = bits(&norms_of(&checkpoints(), options, &mut []));

    let [a, b] = checkpoints();
    let models = [Model::open(&a).unwrap(), Model::open(&b).unwrap()];
    let samples = samples();
    let tight = |memory_budget| StreamOptions { memory_budget, ..options.clone() };
    let Err(Error::Budget { needed, budget: 1000 }) = Stream::new(&models, &samples, tight(1000)) else {
        panic!("1000 bytes are not enough")
    };
    assert!(matches!(Stream::new(&models, &samples, tight(needed - 1)), Err(Error::Budget { .. })));
    let stream = Stream::new(&models, &samples, tight(needed)).unwrap();
    assert!(stream.windows() > 1 && stream.batches() == 4);
    assert_eq!(bits(&norms_of(&checkpoints(), &tight(needed), &mut [])), expected);

    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let found = pool.install(|| bits(&norms_of(&checkpoints(), options, &mut [])));
        assert_eq!(found, expected, "{threads} threads");
    }
}

#[test]
fn half_precision_stays_near() {
    // Families with different norms, rotations, positions, biases and experts.
    for name in
        ["pair/a", "families/gpt2", "families/bloom", "families/gemma2", "families/cohere", "families/gptj"]
    {
        let checkpoints = [open(name)];
        let samples = vec![vec![3, 5, 7, 2, 1], vec![9]];
        let model = [Model::open(&checkpoints[0]).unwrap()];
        let run = |dtype| {
            let mut norms = Norms::new(is_hidden_state);
            let options = StreamOptions { dtype, ..StreamOptions::default() };
            Stream::new(&model, &samples, options).unwrap().run(&mut [&mut norms]).unwrap();
            norms.all().map(|(_, sums)| sums.l2 / sums.tokens as f64).collect::<Vec<_>>()
        };
        let exact = run(DType::F32);
        for (dtype, tolerance) in [(DType::F16, 0.01), (DType::BF16, 0.05)] {
            for (found, exact) in run(dtype).into_iter().zip(&exact) {
                assert!((found - exact).abs() <= tolerance * exact, "{name} {dtype:?}: {found} {exact}");
            }
        }
    }
}

/// A copy of a fixture with another configuration.
fn altered(
    folder: &tempfile::TempDir,
    name: &str,
    change: impl Fn(&mut serde_json::Map<String, serde_json::Value>),
) -> Checkpoint {
    let source = fixtures().join(name);
    let mut config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(source.join("config.json")).unwrap()).unwrap();
    change(config.as_object_mut().unwrap());
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    std::fs::copy(source.join("model.safetensors"), folder.path().join("model.safetensors")).unwrap();
    Checkpoint::open(folder.path()).unwrap()
}

#[test]
fn a_configuration_at_odds_with_the_weights_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, key: &str, value: serde_json::Value| {
        let checkpoint = altered(&folder, name, |config| {
            config.insert(key.to_owned(), value.clone());
        });
        Model::open(&checkpoint).expect_err(key).to_string()
    };
    let cases: [(&str, &str, serde_json::Value, &[&str]); 15] = [
        ("pair/a", "model_type", "mamba".into(), &["`mamba`", "known are bloom, cohere", "starcoder2"]),
        ("pair/a", "model_type", "".into(), &["model_type ``"]),
        ("pair/a", "num_hidden_layers", 1_000_000_000.into(), &["num_hidden_layers is 1000000000"]),
        ("pair/a", "num_hidden_layers", 4.into(), &["`model.layers.3.", "is missing"]),
        ("pair/a", "num_hidden_layers", (-1).into(), &["num_hidden_layers is no whole number below"]),
        ("pair/a", "hidden_size", 0.into(), &["hidden_size is zero"]),
        (
            "pair/a",
            "intermediate_size",
            2_000_000_000.into(),
            &["mlp.gate_proj.weight` has shape", "configuration says"],
        ),
        (
            "pair/a",
            "intermediate_size",
            u64::MAX.into(),
            &["intermediate_size is no whole number below 2147483648"],
        ),
        ("pair/a", "num_key_value_heads", 3.into(), &["num_key_value_heads does not divide"]),
        ("pair/a", "attention_bias", true.into(), &["q_proj.bias` is missing"]),
        ("pair/a", "hidden_act", "swiglu".into(), &["hidden_act is `swiglu`, which is not known"]),
        (
            "pair/a",
            "rope_scaling",
            serde_json::json!({"rope_type": "spiral"}),
            &["`spiral` is not one of default"],
        ),
        (
            "pair/a",
            "rope_scaling",
            serde_json::json!({"rope_type": "linear", "factor": 0}),
            &["factor that is not positive"],
        ),
        (
            "families/phi3_longrope",
            "rope_scaling",
            serde_json::json!({"type": "su", "short_factor": [1], "long_factor": []}),
            &["short_factor"],
        ),
        (
            "families/gemma3_text",
            "use_bidirectional_attention",
            true.into(),
            &["use_bidirectional_attention", "not supported"],
        ),
    ];
    for (name, key, value, expected) in cases {
        let message = refused(name, key, value);
        for part in expected {
            assert!(message.contains(part), "{key}: {message}");
        }
    }
}

#[test]
fn samples_that_a_model_cannot_take_are_refused() {
    let [a, gpt2] = [open("pair/a"), open("families/gpt2")];
    let refused = |checkpoint: &Checkpoint, samples: &[Vec<u32>]| {
        let model = [Model::open(checkpoint).unwrap()];
        Stream::new(&model, samples, StreamOptions::default()).expect_err("refused").to_string()
    };
    assert!(refused(&a, &[vec![300]]).contains("token 300 is beyond the 300 embeddings"));
    let positions = Model::open(&gpt2).unwrap().longest().unwrap();
    assert!(refused(&gpt2, &[vec![1; positions + 1]]).contains("too long for the"));
    let qwen2 = open("families/qwen2");
    let models = [Model::open(&a).unwrap(), Model::open(&qwen2).unwrap()];
    let error = Stream::new(&models, &[vec![1]], StreamOptions::default()).expect_err("3 and 2 blocks");
    assert!(matches!(error, Error::Depths { first: (_, 3), second: (_, 2) }), "{error}");
}

/// Puts a state of half as many rows in place.
struct Halve;

impl Hook for Halve {
    fn wants(&self, _: HookPoint) -> bool {
        false
    }

    fn observe(&mut self, _: HookPoint, _: &Tensor, _: &Batch<'_>) -> Result<(), HookError> {
        Ok(())
    }

    fn replaces(&self, at: HookPoint) -> bool {
        at == HookPoint::MlpOut(1)
    }

    fn replace(&mut self, _: HookPoint, hidden: &Tensor, _: &Batch<'_>) -> Result<Option<Tensor>, HookError> {
        Ok(Some(hidden.narrow(0, 0, hidden.dim(0)? / 2)?))
    }
}

#[test]
fn a_replacement_of_another_shape_is_refused_where_it_is_made() {
    let checkpoint = open("pair/a");
    let model = [Model::open(&checkpoint).unwrap()];
    let samples = samples();
    let stream = Stream::new(&model, &samples, StreamOptions::default()).unwrap();
    let error = stream.run(&mut [&mut Halve]).expect_err("half of the rows are missing");
    let Error::Hook { at: HookPoint::MlpOut(1), source } = error else { panic!("{error}") };
    assert!(source.to_string().contains("another shape"), "{source}");
}

/// Files of a folder, with the number of bytes read.
#[derive(Debug)]
struct Counted {
    files: LocalFiles,
    bytes: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct CountedFile {
    file: Box<dyn Source>,
    bytes: Arc<AtomicUsize>,
}

impl Files for Counted {
    fn path_of(&self, name: &str) -> PathBuf {
        self.files.path_of(name)
    }

    fn has(&self, name: &str) -> bool {
        self.files.has(name)
    }

    fn open(&self, name: &str) -> Result<Box<dyn Source>, weights_io::Error> {
        Ok(Box::new(CountedFile { file: self.files.open(name)?, bytes: Arc::clone(&self.bytes) }))
    }
}

impl Source for CountedFile {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn len(&self) -> usize {
        self.file.len()
    }

    fn version(&self) -> Version {
        self.file.version()
    }

    fn read(&self, range: Range<usize>) -> std::io::Result<Cow<'_, [u8]>> {
        self.bytes.fetch_add(range.len(), Relaxed);
        self.file.read(range)
    }
}

#[test]
fn as_much_is_read_for_many_batches_as_for_one() {
    let read = |batch_size| {
        let bytes = Arc::new(AtomicUsize::new(0));
        let files = LocalFiles::new(fixtures().join("pair/a"), Access::Read);
        let counted = Counted { files, bytes: Arc::clone(&bytes) };
        let checkpoints = [Checkpoint::open_in(Arc::new(counted), None).unwrap()];
        norms_of(&checkpoints, &StreamOptions { batch_size, ..StreamOptions::default() }, &mut []);
        bytes.load(Relaxed)
    };
    assert_eq!(read(1), read(usize::MAX));
}
