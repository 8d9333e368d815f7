//! Samples as Python reads them, and their ids as transformers gives them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::error::Error as _;
use std::io::Write;
use std::path::{Path, PathBuf};

use activations::{Error, MAX_LINE, Tokenizer, read_samples};
use serde_json::{Value, json};
use weights_io::Checkpoint;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/activations")
}

fn expected(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap()
}

fn read(bytes: &[u8], max_samples: usize) -> Result<Vec<String>, Error> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    read_samples(file.path(), max_samples)
}

#[test]
fn samples_and_ids_of_the_pair_equal_those_of_transformers() {
    let expected = expected(&fixtures().join("pair"));
    let number = |key: &str| usize::try_from(expected[key].as_u64().unwrap()).unwrap();
    let models = ["a", "b", "a-bin", "a/model.safetensors"];
    for split in ["forget", "retain"] {
        let path = fixtures().join(format!("pair/{split}.txt"));
        let samples = read_samples(&path, number("max_samples")).unwrap();
        assert_eq!(json!(samples), expected["texts"][split]);
        for model in models {
            let checkpoint = Checkpoint::open(fixtures().join("pair").join(model)).unwrap();
            let tokenizer = Tokenizer::of(&checkpoint).unwrap();
            let ids = tokenizer.encode(&samples, number("max_length")).unwrap();
            assert_eq!(json!(ids), expected["token_ids"][split], "{model}");
        }
    }
}

#[test]
fn every_tokenizer_gives_the_ids_that_transformers_gives() {
    let mut tokenizers = 0;
    for folder in std::fs::read_dir(fixtures().join("tokenizers")).unwrap() {
        let folder = folder.unwrap().path();
        let expected = expected(&folder);
        let lines = expected["lines"].as_array().unwrap();
        let column = |key: &str| lines.iter().map(|line| line[key].clone()).collect::<Value>();
        let texts: Vec<String> = serde_json::from_value(column("text")).unwrap();
        let max_length = usize::try_from(expected["max_length"].as_u64().unwrap()).unwrap();
        let tokenizer = Tokenizer::beside(&folder).unwrap();
        assert_eq!(json!(tokenizer.encode(&texts, 1000).unwrap()), column("ids"), "{}", folder.display());
        let cut = tokenizer.encode(&texts, max_length).unwrap();
        if folder.ends_with("own_left_truncation") {
            // transformers would cut on the left, as the file says: here the first tokens stay, and both special ones.
            let whole: Vec<Vec<u32>> = serde_json::from_value(column("ids")).unwrap();
            for (cut, whole) in cut.iter().zip(whole) {
                let kept = whole.len().min(max_length) - 1;
                assert_eq!(*cut, [&whole[..kept], &whole[whole.len() - 1..]].concat());
            }
        } else {
            assert_eq!(json!(cut), column("truncated"), "{}", folder.display());
        }
        tokenizers += 1;
    }
    assert!(tokenizers >= 5, "only {tokenizers} tokenizers found");
}

#[test]
fn lines_are_split_and_stripped_as_python_does() {
    let text = "\u{feff} first \r\nsecond\rthird\n\r\n\n\u{1c}\u{1d} \u{a0}fourth\u{2003}\u{85}\u{1f}\n\u{feff}fifth\u{b}sixth\u{200b}\u{c}";
    let samples = ["first", "second", "third", "fourth", "\u{feff}fifth\u{b}sixth\u{200b}"];
    assert_eq!(read(text.as_bytes(), 100).unwrap(), samples);
    assert_eq!(read(text.as_bytes(), 2).unwrap(), samples[..2]);
    assert_eq!(read(b"only blank lines are dropped\n \n", 0).unwrap(), Vec::<String>::new());
}

#[test]
fn a_carriage_return_at_the_end_of_a_read_is_one_line_end() {
    for length in 8190..8194 {
        let text = format!("{}\r\nlast\r", "x".repeat(length)); // around the buffer's 8192 bytes
        assert_eq!(read(text.as_bytes(), 3).unwrap(), ["x".repeat(length), "last".into()]);
        let broken = [text.as_bytes(), b"\xff"].concat();
        assert!(matches!(read(&broken, 3), Err(Error::NotUtf8 { line: 3, .. })));
    }
}

#[test]
fn nothing_is_read_beyond_the_last_sample() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"one\ntwo\n\xff\n").unwrap();
    file.as_file().set_len(1 << 33).unwrap(); // zeros without end, and no line end among them
    assert_eq!(read_samples(file.path(), 2).unwrap(), ["one", "two"]);
    let error = read_samples(file.path(), 3).unwrap_err();
    assert!(error.to_string().ends_with("line 3 is not UTF-8"), "{error}");
    file.as_file_mut().set_len(8).unwrap();
    file.as_file_mut().set_len(1 << 33).unwrap();
    assert!(matches!(read_samples(file.path(), 3), Err(Error::LineTooLong { line: 3, .. })));
}

#[test]
fn the_longest_line_allowed_is_read() {
    let longest = "é".repeat(MAX_LINE / 2);
    assert_eq!(read(format!("{longest}\r\nnext").as_bytes(), 2).unwrap(), [&longest, "next"]);
    assert!(matches!(read(format!("{longest}x\n").as_bytes(), 1), Err(Error::LineTooLong { line: 1, .. })));
}

#[test]
fn what_is_no_text_file_is_an_error_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let missing = read_samples(&folder.path().join("forget.txt"), 1).unwrap_err();
    assert!(missing.to_string().contains("forget.txt") && missing.hint().contains("create-datasets"));
    assert!(matches!(read_samples(folder.path(), 1), Err(Error::Io { .. })));
    assert!(matches!(read(b"", 1), Err(Error::NoSamples { .. })));
    assert!(matches!(read(b"\xef\xbb\xbf\n \r\r\n\t", 1), Err(Error::NoSamples { .. })));
    assert_eq!(read(b"a\0b\n\0\n", 9).unwrap(), ["a\0b", "\0"], "a NUL is a character");
}

#[test]
fn what_stands_in_place_of_a_text_or_tokenizer_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let tokenizer = folder.path().join("tokenizer.json");
    for (content, cause, hint) in [
        (
            &b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"[..],
            "Git-LFS pointer",
            "git lfs pull",
        ),
        (b"<!DOCTYPE html>\n<title>404</title>", "HTML page", "again"),
        (&[0; 5000], "filled with zeros", "again"),
    ] {
        std::fs::write(&tokenizer, content).unwrap();
        for error in [read(content, 1).unwrap_err(), Tokenizer::beside(folder.path()).unwrap_err()] {
            let source = error.source().unwrap().to_string();
            assert!(source.contains(cause) && error.hint().contains(hint), "{error}: {source}");
        }
    }
    std::fs::write(&tokenizer, "").unwrap();
    let error = Tokenizer::beside(folder.path()).unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "it is empty");
    std::fs::File::create(&tokenizer).unwrap().set_len(200 << 30).unwrap();
    let error = Tokenizer::beside(folder.path()).unwrap_err();
    assert!(error.source().unwrap().to_string().starts_with("it has 214748364800 bytes"), "{error:?}");
}

#[cfg(unix)]
#[test]
fn a_fifo_does_not_block() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("tokenizer.json");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for error in [read_samples(&fifo, 1).unwrap_err(), Tokenizer::beside(folder.path()).unwrap_err()] {
        assert_eq!(error.source().unwrap().to_string(), "it is not a regular file");
    }
    std::fs::remove_file(&fifo).unwrap();
    std::os::unix::fs::symlink(&fifo, &fifo).unwrap();
    for error in [read_samples(&fifo, 1).unwrap_err(), Tokenizer::beside(folder.path()).unwrap_err()] {
        assert!(matches!(error, Error::Io { .. }), "a link to itself: {error}");
    }
}

#[test]
fn a_missing_or_malformed_tokenizer_is_an_error_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    for model in [folder.path().into(), folder.path().join("model.safetensors")] {
        let error = Tokenizer::beside(&model).unwrap_err();
        assert!(matches!(error, Error::NoTokenizer { .. }) && error.hint().contains("save_pretrained"));
        assert!(error.to_string().contains(&folder.path().join("tokenizer.json").display().to_string()));
    }
    for content in ["{}", "[]", r#"{"model": {"type": "Unknown"}}"#, "\u{feff}{}"] {
        std::fs::write(folder.path().join("tokenizer.json"), content).unwrap();
        assert!(matches!(Tokenizer::beside(folder.path()), Err(Error::Tokenizer { .. })), "{content}");
    }
}

#[test]
fn special_tokens_need_their_place() {
    let tokenizer = Tokenizer::beside(&fixtures().join("tokenizers/wordpiece")).unwrap();
    let samples = ["the grass is green".to_owned()];
    assert_eq!(tokenizer.encode(&samples, 2).unwrap(), [[2, 3]]);
    for max_length in [0, 1] {
        let error = tokenizer.encode(&samples, max_length).unwrap_err();
        assert!(matches!(error, Error::MaxLength { special: 2, .. }), "{error}");
    }
    let without = Tokenizer::beside(&fixtures().join("tokenizers/byte_level")).unwrap();
    assert_eq!(without.encode(&samples, 0).unwrap(), [[0u32; 0]]);
}

/// A tokenizer of the fixtures with some parts replaced.
fn changed(base: &str, parts: &Value) -> Result<Tokenizer, Error> {
    let source = std::fs::read(fixtures().join("tokenizers").join(base).join("tokenizer.json")).unwrap();
    let mut tokenizer: Value = serde_json::from_slice(&source).unwrap();
    for (part, value) in parts.as_object().unwrap() {
        tokenizer[part] = value.clone();
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    Tokenizer::beside(folder.path())
}

#[test]
fn a_panic_of_the_tokenizer_is_contained() {
    let parts = json!({"pre_tokenizer": {"type": "FixedLength", "length": 0}});
    let tokenizer = changed("wordpiece", &parts).unwrap();
    for _ in 0..2 {
        let error = tokenizer.encode(&["one".into(), "two".into()], 9).unwrap_err();
        assert!(matches!(error, Error::TokenizerPanic { .. }), "{error}");
    }
}

#[test]
fn a_tokenizer_that_asks_for_work_without_bound_is_refused() {
    let replace =
        |pattern: Value, content: &str| json!({"type": "Replace", "pattern": pattern, "content": content});
    let tenfold = replace(json!({"String": "a"}), "aaaaaaaaaa");
    let text = json!({"Sequence": {"id": "A", "type_id": 0}});
    let template = |pieces: &[&Value]| json!({"type": "TemplateProcessing", "single": pieces, "pair": [], "special_tokens": {}});
    let byte_level =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    for (parts, why) in [
        (
            json!({"normalizer": {"type": "Sequence", "normalizers": vec![tenfold; 9]}}),
            "one character into more than 4096",
        ),
        (
            json!({"normalizer": replace(json!({"Regex": "x"}), &"y".repeat(5000))}),
            "one character into more than 4096",
        ),
        (
            json!({"normalizer": {"type": "Prepend", "prepend": "y".repeat(5000)}}),
            "one character into more than 4096",
        ),
        (
            json!({"pre_tokenizer": {"type": "Sequence", "pretokenizers": vec![byte_level; 40]}}),
            "one character into more",
        ),
        (json!({"post_processor": template(&[&text, &text])}), "repeats the text"),
        (
            json!({"post_processor": {"type": "Sequence", "processors": [template(&[&text, &text])]}}),
            "repeats the text",
        ),
        (
            json!({"model": {"type": "WordPiece", "vocab": {"[UNK]": 0}, "unk_token": "[UNK]",
            "continuing_subword_prefix": "##", "max_input_chars_per_word": 1_000_000_000}}),
            "words of more than 1000",
        ),
    ] {
        let error = changed("byte_level", &parts).unwrap_err();
        let source = error.source().unwrap().to_string();
        assert!(matches!(error, Error::Tokenizer { .. }) && source.contains(why), "{source}");
    }
    let most = json!({"normalizer": {"type": "Prepend", "prepend": "y".repeat(900)}});
    let tokenizer =
        changed("byte_level", &json!({"pre_tokenizer": null, "normalizer": most["normalizer"]})).unwrap();
    assert!(tokenizer.encode(&["a".repeat(1000)], 9).is_ok());
    let error = tokenizer.encode(&["a".repeat(1 << 20)], 9).unwrap_err();
    assert!(error.source().unwrap().to_string().contains("may become more than"), "{error}");
}

#[test]
fn a_tokenizer_that_says_something_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let source = std::fs::read_to_string(fixtures().join("tokenizers/byte_level/tokenizer.json")).unwrap();
    for (from, to) in [
        ("\"normalizer\":", "\"normalizer\": null, \"normalizer\":"),
        ("\"add_prefix_space\":", "\"trim_offsets\": true, \"add_prefix_space\":"),
    ] {
        let twice = source.replacen(from, to, 1);
        assert_ne!(source, twice);
        std::fs::write(folder.path().join("tokenizer.json"), twice).unwrap();
        let error = Tokenizer::beside(folder.path()).unwrap_err();
        assert!(matches!(error, Error::Tokenizer { .. }), "{error}");
    }
}
