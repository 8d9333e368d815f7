//! Which of a repository's files are needed.

use std::path::Path;

use weights_io::PREFERENCE;

use crate::Wanted;

/// What a model's configuration is called.
pub(crate) const CONFIG: &str = "config.json";
/// What a fast tokenizer is called.
pub(crate) const TOKENIZER: &str = "tokenizer.json";

/// The small files that belong to a model, whether or not it has them.
pub(crate) fn small_files(wanted: Wanted) -> impl Iterator<Item = &'static str> {
    std::iter::once(CONFIG).chain(wanted.tokenizer.then_some(TOKENIZER))
}

/// The weight file, or index of weight files, that counts among those that are there.
pub(crate) fn weights(is_there: impl Fn(&str) -> bool) -> Option<&'static str> {
    PREFERENCE.into_iter().find(|name| is_there(name))
}

/// Whether a file lists weight files, rather than being one.
pub(crate) fn is_index(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "json")
}
