//! What a `tokenizer.json` may ask for. A few lines of it can turn one character into billions, and the tokenizers crate
//! would set out to do so. Its patterns have limits of their own: fancy-regex bounds size, nesting and backtracking.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use weights_io::UniqueValue;

/// Characters that may come of one. Byte-level tokenizers reach 16, SentencePiece's tables of compatibility forms 132, and
/// 2376 where they follow NFKD.
const MOST_GROWTH: f64 = 4096.0;

/// Characters that may come of a sample.
const MOST_CHARACTERS: f64 = (1u64 << 28) as f64;

/// Characters of a word in which WordPiece looks for all parts, in time that grows with their cube. Real ones have 100.
const LONGEST_WORD: f64 = 1000.0;

/// What a tokenizer that keeps to the limits does to a text at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    growth: f64,
}

#[derive(Deserialize)]
struct Parts {
    normalizer: Option<UniqueValue>,
    pre_tokenizer: Option<UniqueValue>,
    post_processor: Option<PostProcessor>,
    model: Option<Model>,
}

/// A template with the text in one or more places, or a row of such.
#[derive(Deserialize)]
struct PostProcessor {
    single: Option<Vec<Piece>>,
    processors: Option<Vec<PostProcessor>>,
}

#[derive(Deserialize)]
struct Piece {
    #[serde(rename = "Sequence")]
    text: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Model {
    max_input_chars_per_word: Option<f64>,
}

impl Limits {
    /// Sees that a `tokenizer.json` keeps to them, before it is loaded; else says what it asks for.
    pub(crate) fn of(json: &[u8]) -> Result<Self, tokenizers::Error> {
        let parts: Parts = serde_json::from_slice(json)?;
        let unpacked = |part: Option<UniqueValue>| part.map(|part| part.0).unwrap_or_default();
        let (normalizer, pre_tokenizer) = (unpacked(parts.normalizer), unpacked(parts.pre_tokenizer));
        if parts.post_processor.is_some_and(|part| part.repeats_the_text()) {
            return Err("its template repeats the text".into());
        }
        let longest = parts.model.and_then(|model| model.max_input_chars_per_word);
        if longest.is_some_and(|longest| longest > LONGEST_WORD) {
            return Err(format!("it takes words of more than {LONGEST_WORD} characters apart").into());
        }
        let growth = growth(&normalizer) * growth(&pre_tokenizer);
        if growth > MOST_GROWTH {
            return Err(format!("it may turn one character into more than {MOST_GROWTH}").into());
        }
        Ok(Self { growth })
    }

    /// Sees that a sample does not become too long.
    pub(crate) fn check(self, sample: &str) -> Result<(), tokenizers::Error> {
        if sample.len() as f64 * self.growth > MOST_CHARACTERS {
            return Err(format!("it may become more than {MOST_CHARACTERS} characters").into());
        }
        Ok(())
    }
}

/// How many characters one can become in a normalizer or pre-tokenizer, at most.
fn growth(part: &Value) -> f64 {
    let characters = |text: &Value| text.as_str().map_or(0.0, |text| text.chars().count() as f64);
    match part.get("type").and_then(Value::as_str).unwrap_or_default() {
        "Sequence" => {
            let parts =
                ["normalizers", "pretokenizers"].into_iter().filter_map(|key| part.get(key)?.as_array());
            parts.flatten().map(growth).product()
        }
        "Replace" => match &part["pattern"]["String"] {
            // A pattern can match between characters.
            Value::Null => 1.0 + characters(&part["content"]),
            replaced => (characters(&part["content"]) / characters(replaced).max(1.0)).max(1.0),
        },
        "Prepend" => 1.0 + characters(&part["prepend"]), // to each piece between special tokens
        "Precompiled" => part["precompiled_charsmap"].as_str().map_or(1.0, longest_replacement),
        "NFKC" | "NFKD" => 18.0, // U+FDFA
        "NFC" | "NFD" | "BertNormalizer" | "ByteLevel" => 4.0,
        "Lowercase" | "Metaspace" => 2.0,
        _ => 1.0,
    }
}

/// Bytes of the longest text in SentencePiece's table: the length of an index, the index, texts ended by NUL.
fn longest_replacement(table: &str) -> f64 {
    let table = BASE64_STANDARD.decode(table).unwrap_or_default(); // if it is none, loading it will say so
    let Some((length, rest)) = table.split_first_chunk() else { return 1.0 };
    let texts = rest.get(u32::from_le_bytes(*length) as usize..).unwrap_or_default();
    texts.split(|byte| *byte == 0).map(<[u8]>::len).max().unwrap_or(0).max(1) as f64
}

impl PostProcessor {
    /// `$A $A` doubles it, and of a row of such templates each one does.
    fn repeats_the_text(&self) -> bool {
        let texts = self.single.iter().flatten().filter(|piece| piece.text.is_some()).count();
        texts > 1 || self.processors.iter().flatten().any(Self::repeats_the_text)
    }
}
