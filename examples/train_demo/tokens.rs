//! The byte-level BPE tokenizer that all three models share, and rows of tokens to train on.

use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, NormalizerWrapper, Tokenizer, TokenizerBuilder};

use crate::Failure;

const VOCABULARY: usize = 512;
/// Ends a sentence in training, as in the tokenizer of GPT-NeoX.
const END_OF_TEXT: &str = "<|endoftext|>";
/// Its id.
pub(crate) const END: u32 = 0;
/// Tokens of a training row, without the one that only its last prediction needs.
pub(crate) const ROW: usize = 64;

pub(crate) struct Tokens {
    tokenizer: Tokenizer,
    /// `tokenizer.json`.
    pub(crate) json: String,
}

impl Tokens {
    pub(crate) fn train(sentences: &[String]) -> Result<Self, Failure> {
        let mut trainer = BpeTrainer::builder()
            .vocab_size(VOCABULARY)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens(vec![AddedToken::from(END_OF_TEXT, true)])
            .build();
        let byte_level = ByteLevel::new(false, true, true);
        let mut tokenizer =
            TokenizerBuilder::<BPE, NormalizerWrapper, ByteLevel, ByteLevel, ByteLevel>::new()
                .with_model(BPE::default())
                .with_normalizer(None)
                .with_pre_tokenizer(Some(byte_level))
                .with_post_processor(Some(byte_level))
                .with_decoder(Some(byte_level))
                .build()?;
        let json = tokenizer.train(&mut trainer, sentences.iter())?.to_string(false)?;
        Ok(Self { tokenizer: Tokenizer::from_bytes(json.as_bytes())?, json })
    }

    pub(crate) fn vocabulary(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    pub(crate) fn encode(&self, sentences: &[String]) -> Result<Vec<Vec<u32>>, Failure> {
        let sentences: Vec<&str> = sentences.iter().map(String::as_str).collect();
        let encodings = self.tokenizer.encode_batch(sentences, false)?;
        Ok(encodings.iter().map(|encoding| encoding.get_ids().to_vec()).collect())
    }
}

/// So many rows of [`ROW`] + 1 tokens. Each begins with a sentence and goes on with the next ones; what does not fit
/// is cut off.
pub(crate) fn rows(tokens: &Tokens, sentences: &[String], count: usize) -> Result<Vec<Vec<u32>>, Failure> {
    let mut sentences = tokens.encode(sentences)?.into_iter();
    let mut row = || {
        let mut row = Vec::new();
        while row.len() <= ROW {
            row.extend(sentences.next()?);
            row.push(END);
        }
        row.truncate(ROW + 1);
        Some(row)
    };
    (0..count).map(|_| row().ok_or_else(|| "too few sentences for the training rows".into())).collect()
}
