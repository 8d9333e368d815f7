//! Configurations and tokenizers that are made to do harm, or damaged: an error that names the file, and never a panic, a
//! word on stderr, or memory that the weights do not justify.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use activations::{Model, Norms, Stream, StreamOptions, Tokenizer, is_hidden_state};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};
use weights_io::Checkpoint;

const FAMILIES: [&str; 6] = [
    "pair/a",
    "families/gpt_neo",
    "families/gemma3_text",
    "families/phi3_longrope",
    "families/qwen2_moe",
    "families/llama_rope_yarn",
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/activations")
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The first family of the list that there is a fixture of, with weights that a configuration can be put beside.
fn weights_of(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let weights = "model.safetensors";
    std::fs::copy(fixtures().join(name).join(weights), folder.path().join(weights)).unwrap();
    folder
}

/// Opens a model and runs two samples through it; says why not.
fn run(folder: &Path) -> Result<(), String> {
    let with_causes = |error: &dyn std::error::Error| {
        let causes = std::iter::successors(Some(error), |error| error.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    };
    let checkpoint = Checkpoint::open(folder).map_err(|error| with_causes(&error))?;
    let run = || {
        let model = [Model::open(&checkpoint)?];
        let mut norms = Norms::new(is_hidden_state);
        let options = StreamOptions { memory_budget: 64 << 20, ..StreamOptions::default() };
        Stream::new(&model, &[vec![1, 2, 3, 4, 5], vec![6]], options)?.run(&mut [&mut norms])?;
        for (_, sums) in norms.all() {
            assert!((sums.l1 + sums.l2 + sums.l2_squared).is_finite(), "what is not finite is counted apart");
            assert!(sums.tokens + sums.non_finite_tokens == 5 || sums.tokens + sums.non_finite_tokens == 1);
        }
        Ok(())
    };
    run().map_err(|error: activations::Error| with_causes(&error))
}

#[test]
fn a_configuration_that_is_none_is_refused_by_name() {
    let folder = weights_of("pair/a");
    let path = folder.path().join("config.json");
    let config = text(&fixtures().join("pair/a/config.json"));
    assert_eq!(std::fs::write(&path, &config).map(|()| run(folder.path())).unwrap(), Ok(()));
    let with = |key: &str, value: &str| {
        let mut parsed: serde_json::Map<String, Value> = serde_json::from_str(&config).unwrap();
        parsed.insert(key.to_owned(), "HERE".into());
        Value::Object(parsed).to_string().replace("\"HERE\"", value)
    };
    let twice = |entry: &str| config.replacen('{', &format!("{{{entry},"), 1);
    let cases = [
        (String::new(), "empty"),
        ("\0".repeat(5000), "filled with zeros"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n".into(), "Git-LFS pointer"),
        ("<!DOCTYPE html>\n<title>404</title>".into(), "HTML page"),
        ("[]".into(), "expected"),
        (config[..config.len() / 2].into(), "EOF while parsing"),
        (format!("\u{feff}{config}"), "expected value"),
        (format!("{{\"a\": {}", "[".repeat(1_000_000)), "EOF while parsing"),
        (with("a", &format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000))), "recursion limit"),
        (twice("\"hidden_size\": 8"), "repeated key `hidden_size`"),
        (
            config.replacen("\"rope_type\":", "\"rope_theta\": 1, \"rope_type\":", 1),
            "repeated key `rope_theta`",
        ),
        (with("hidden_size", "1e400"), "number out of range"),
        (with("hidden_size", "24.0"), "hidden_size is no whole number"),
        (with("hidden_size", "18446744073709551616"), "hidden_size is no whole number"),
        (with("hidden_size", "\"24\""), "hidden_size is no whole number"),
        (with("hidden_size", "null"), "hidden_size is missing"),
        (with("hidden_size", "NaN"), "hidden_size is missing"),
        (with("hidden_size", "-24"), "hidden_size is no whole number"),
        (with("num_hidden_layers", "1000000000"), "the weights have only"),
        (with("num_attention_heads", "5"), "num_key_value_heads does not divide the 5 heads"),
        (with("head_dim", "2147483646"), "no tensor of the weights is that wide"),
        (with("head_dim", "8"), "has shape"),
        (with("vocab_size", "1000000000"), ""), // the embedding itself says how many rows it has
        (with("rms_norm_eps", "\"x\""), "rms_norm_eps is no number"),
        (with("rope_parameters", "{\"rope_theta\": -1}"), "rope_theta that is not positive"),
        (with("rope_parameters", "[1]"), "rope_parameters is no object"),
        (with("hidden_act", &format!("{:?}", "x".repeat(100_000))), "which is not known"),
    ];
    for (content, expected) in cases {
        std::fs::write(&path, &content).unwrap();
        let found = run(folder.path());
        if expected.is_empty() {
            assert_eq!(found, Ok(()));
            continue;
        }
        let message = found.unwrap_err();
        assert!(message.contains(expected) && message.contains("config"), "{expected}: {message}");
        assert!(message.len() < 1000, "{message}");
    }
    std::fs::File::create(&path).unwrap().set_len(200 << 30).unwrap();
    assert!(run(folder.path()).unwrap_err().contains("config.json"));
}

#[cfg(unix)]
#[test]
fn what_is_no_file_in_place_of_a_configuration_does_not_block() {
    let folder = weights_of("pair/a");
    let path = folder.path().join("config.json");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert!(run(folder.path()).unwrap_err().contains("not a regular file"));
    std::fs::remove_file(&path).unwrap();
    for target in [&*path, Path::new("/dev/zero"), folder.path()] {
        std::os::unix::fs::symlink(target, &path).unwrap();
        assert!(run(folder.path()).unwrap_err().contains("config.json"));
        std::fs::remove_file(&path).unwrap();
    }
}

/// A list that says nothing, as often as a file has room for, times as many blocks as the weights have.
#[test]
fn lists_cost_no_more_than_their_length() {
    let folder = weights_of("families/gpt_neo");
    let mut config: Value =
        serde_json::from_str(&text(&fixtures().join("families/gpt_neo/config.json"))).unwrap();
    config["attention_types"] = json!(vec![json!([[], u64::MAX]); 100_000]);
    std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    assert!(run(folder.path()).unwrap_err().contains("attention_types does not give"));
}

fn below(random: &mut ChaCha8Rng, bound: usize) -> usize {
    (random.next_u64() % bound as u64) as usize
}

/// Another value for something in a JSON document, or another byte.
fn damaged(whole: &str, random: &mut ChaCha8Rng) -> Vec<u8> {
    const TELLING: [&str; 16] = [
        "0",
        "-1",
        "1",
        "2",
        "3",
        "2147483647",
        "4294967296",
        "18446744073709551615",
        "1e308",
        "-1e308",
        "1e-320",
        "0.5",
        "null",
        "true",
        "[]",
        "{}",
    ];
    let mut bytes = whole.as_bytes().to_vec();
    for _ in 0..=below(random, 2) {
        let at = below(random, bytes.len());
        match below(random, 8) {
            0 => bytes[at] ^= 1 << below(random, 8),
            1 => bytes.truncate(at + 1),
            _ => {
                // The value after the next colon.
                let Some(colon) = bytes[at..].iter().position(|byte| *byte == b':') else { continue };
                let start = at + colon + 1;
                let length = bytes[start..].iter().position(|byte| matches!(byte, b',' | b'}')).unwrap_or(0);
                bytes.splice(start..start + length, TELLING[below(random, TELLING.len())].bytes());
            }
        }
    }
    bytes
}

#[test]
fn no_damage_is_a_panic_or_a_word() {
    let reports = Arc::new(AtomicUsize::new(0));
    let (counted, report) = (Arc::clone(&reports), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        counted.fetch_add(1, Ordering::Relaxed);
        report(panic);
    }));
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (mut done, mut refused) = (0, 0);
    let mut count = |result: Result<(), String>| match result {
        Ok(()) => done += 1,
        Err(message) => {
            assert!(message.len() < 2000, "{message}");
            refused += 1;
        }
    };
    for name in FAMILIES {
        let folder = weights_of(name);
        let config = text(&fixtures().join(name).join("config.json"));
        for _ in 0..150 {
            std::fs::write(folder.path().join("config.json"), damaged(&config, &mut random)).unwrap();
            count(run(folder.path()));
        }
    }
    let samples = ["The quick brown fox — größer, 数字 1234!".to_owned(), " \u{1f600}\0<s>".to_owned()];
    for entry in std::fs::read_dir(fixtures().join("tokenizers")).unwrap() {
        let tokenizer = text(&entry.unwrap().path().join("tokenizer.json"));
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..300 {
            std::fs::write(folder.path().join("tokenizer.json"), damaged(&tokenizer, &mut random)).unwrap();
            let ids = Tokenizer::beside(folder.path()).and_then(|tokenizer| tokenizer.encode(&samples, 16));
            count(
                ids.map(|ids| assert!(ids.iter().all(|ids| ids.len() <= 16)))
                    .map_err(|error| error.to_string()),
            );
        }
    }
    assert_eq!(reports.load(Ordering::Relaxed), 0, "contained panics are silent");
    assert!(done > 200 && refused > 200, "{done} done, {refused} refused");
}
