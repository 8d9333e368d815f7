//! The tokenizer that a model brings along.

use std::io;
use std::path::{Path, PathBuf};

use intake::Foreign;
use rayon::prelude::*;
use tokenizers::{PostProcessor, TruncationParams};
use weights_io::{Access, Checkpoint, Files as _, LocalFiles};

use crate::Error;
use crate::tokenizer_limits::Limits;

const NAME: &str = "tokenizer.json";

/// A model's `tokenizer.json`, which gives the same ids as transformers' fast tokenizer made of it.
///
/// Nothing else is read: `tokenizer_config.json` may ask transformers for other special tokens (`add_bos_token`), but
/// `save_pretrained` writes those into `tokenizer.json` too.
#[derive(Debug)]
pub struct Tokenizer {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
    limits: Limits,
}

impl Tokenizer {
    /// Reads the `tokenizer.json` beside a model's weights.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`] if there is none, [`Error::Io`] if it is no file or plainly another one;
    /// [`Error::Tokenizer`] and [`Error::TokenizerPanic`] if it is malformed, or asks for work without bound.
    pub fn of(checkpoint: &Checkpoint) -> Result<Self, Error> {
        Self::read(checkpoint.path_of(NAME), checkpoint.file(NAME))
    }

    /// Reads the `tokenizer.json` of a folder, or of the folder that a weight file lies in, with or without weights.
    ///
    /// # Errors
    /// As [`Tokenizer::of`].
    pub fn beside(model: &Path) -> Result<Self, Error> {
        let folder = if model.is_dir() { model } else { model.parent().unwrap_or(Path::new("")) };
        let files = LocalFiles::new(folder, Access::Read);
        Self::read(files.path_of(NAME), files.read(NAME))
    }

    fn read(path: PathBuf, file: Result<Option<Vec<u8>>, weights_io::Error>) -> Result<Self, Error> {
        let unreadable = |source| Error::Io { path: path.clone(), source };
        let bytes = file.map_err(|error| match error {
            weights_io::Error::NotARegularFile { .. } => {
                unreadable(io::Error::other("it is not a regular file"))
            }
            weights_io::Error::TooLarge { len, limit, .. } => {
                unreadable(io::Error::other(format!("it has {len} bytes, more than {limit}")))
            }
            weights_io::Error::Io { source, .. } => unreadable(source),
            source => source.into(),
        })?;
        let bytes = bytes.ok_or_else(|| Error::NoTokenizer { path: path.clone() })?;
        if let Some(foreign) = Foreign::of(&bytes) {
            return Err(unreadable(foreign.into()));
        }
        let malformed = |source| Error::Tokenizer { path: path.clone(), source };
        let limits = Limits::of(&bytes).map_err(malformed)?;
        let tokenizer = contained(&path, || tokenizers::Tokenizer::from_bytes(bytes))?;
        let mut tokenizer = tokenizer.map_err(malformed)?;
        tokenizer.with_padding(None);
        Ok(Self { path, inner: tokenizer, limits })
    }

    /// The ids of each sample, with the model's special tokens, cut on the right to `max_length` ids, special tokens
    /// included and kept; no padding. What `tokenizer.json` says of truncation and padding does not count.
    ///
    /// As in transformers, a sample that yields no token becomes an empty list, or its special tokens alone.
    ///
    /// # Errors
    /// [`Error::MaxLength`] if the special tokens alone are more than `max_length`; [`Error::Encode`] and
    /// [`Error::TokenizerPanic`] if the tokenizer fails on a sample.
    pub fn encode(&self, samples: &[String], max_length: usize) -> Result<Vec<Vec<u32>>, Error> {
        let path = &self.path;
        let special = self.inner.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        if max_length < special {
            return Err(Error::MaxLength { path: path.clone(), max_length, special });
        }
        let mut tokenizer = self.inner.clone(); // truncation is part of it
        tokenizer
            .with_truncation(Some(TruncationParams { max_length, ..TruncationParams::default() }))
            .map_err(|source| Error::Tokenizer { path: path.clone(), source })?;
        let encode = |(index, sample): (usize, &String)| {
            let failed = |source| Error::Encode { path: path.clone(), sample: index + 1, source };
            self.limits.check(sample).map_err(failed)?;
            let encoding = contained(path, || tokenizer.encode_fast(sample.as_str(), true))?;
            Ok(encoding.map_err(failed)?.get_ids().to_vec())
        };
        samples.par_iter().enumerate().map(encode).collect()
    }
}

/// Turns a panic of the tokenizers crate into an error. It leaves nothing behind but caches, which the crate gives up when
/// they are poisoned.
fn contained<T>(path: &Path, task: impl FnOnce() -> T) -> Result<T, Error> {
    intake::contained(task)
        .map_err(|panic| Error::TokenizerPanic { path: path.into(), message: panic.message })
}
