//! The file that a run's settings can stand in.

use std::path::Path;

use report::write_file;

use crate::{Error, RunSettings};

/// A file with all settings and what they mean: those that a run needs filled in with examples, all others with their
/// defaults and commented out.
const TEMPLATE: &str = include_str!("template.toml");

impl RunSettings {
    /// Reads a TOML file, in which every key must be known.
    ///
    /// # Errors
    /// [`Error::Config`] if it cannot be read, [`Error::ConfigMalformed`] with the line and what is wrong there.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Config { path: path.into(), source })?;
        toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            Error::ConfigMalformed { path: path.into(), line, message: error.message().to_owned() }
        })
    }
}

/// Writes a file with all settings to fill in. One that is there is left alone, unless `overwrite` is set.
///
/// # Errors
/// [`Error::ConfigExists`], [`Error::Tables`].
pub fn write_config_template(path: &Path, overwrite: bool) -> Result<(), Error> {
    if !overwrite && path.symlink_metadata().is_ok() {
        return Err(Error::ConfigExists { path: path.into() });
    }
    write_file(path, TEMPLATE.as_bytes()).map_err(|source| Error::Tables { source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_says_the_defaults() {
        let as_written: RunSettings = toml::from_str(TEMPLATE).unwrap();
        // Settings have no space after the mark, prose has one.
        let uncommented = TEMPLATE.lines().map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => format!("{setting}\n"),
            _ => format!("{line}\n"),
        });
        let everything: RunSettings = toml::from_str(&uncommented.collect::<String>()).unwrap();
        let fields = format!("{everything:?}");
        assert_eq!(fields.matches("None").count(), 0, "{fields}");
        assert!(!everything.splits.is_empty() && !everything.compare.is_empty(), "{fields}");

        // Those of power iterations instead of certified norms, and examples, aside.
        let as_if_default = RunSettings {
            sr_iters: None,
            batch_size: None,
            memory_budget: None,
            title: None,
            threads: Some(0),
            compare: Vec::new(),
            splits: as_written.splits.clone(),
            ..everything
        };
        let text = |settings: RunSettings| format!("{:?}", settings.options().unwrap());
        assert_eq!(text(as_if_default), text(as_written));
    }
}
