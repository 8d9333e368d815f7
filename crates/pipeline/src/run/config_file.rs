//! The file that a run's settings can stand in.

use std::io;
use std::path::Path;

use intake::Foreign;
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
        let text = read(path).map_err(|source| Error::Config { path: path.into(), source })?;
        toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            Error::ConfigMalformed { path: path.into(), line, message: error.message().to_owned() }
        })
    }
}

impl RunSettings {
    /// The settings as [`read`](Self::read) takes them. What a cluster is asked for is left out.
    ///
    /// # Errors
    /// [`Error::SettingsUnwritable`] for a path that is no Unicode.
    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string(self).map_err(|source| Error::SettingsUnwritable { source: Box::new(source) })
    }
}

/// Bytes of a file of settings; the template has a few thousand.
const LIMIT: u64 = 1 << 20;

fn read(path: &Path) -> io::Result<String> {
    let bytes = intake::read(path, LIMIT)?;
    match Foreign::of(&bytes) {
        Some(foreign) if foreign != Foreign::Empty => Err(foreign.into()),
        _ => String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
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

    fn refused(content: &[u8]) -> Error {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        RunSettings::read(file.path()).unwrap_err()
    }

    #[test]
    fn what_is_no_file_of_settings_is_refused_with_the_way_out() {
        let lfs = refused(b"version https://git-lfs.github.com/spec/v1\n");
        assert!(lfs.with_causes().ends_with("it is a Git-LFS pointer, not the file itself"));
        assert!(lfs.hint().contains("git lfs pull"));
        let large = refused(&vec![b'#'; 2 << 20]).with_causes();
        assert!(
            large.ends_with("it has more than the 1048576 bytes that are read of such a file"),
            "{large}"
        );
        for bytes in [&b"# \xff"[..], &[0; 9], b"<html>"] {
            assert!(matches!(refused(bytes), Error::Config { .. }));
        }
        for text in [
            "max_samples = -1",
            "max_samples = 1.5",
            "max_samples = 18446744073709551616",
            "tolerance = '1'",
            "base = 'a'\nbase = 'b'",
            "no_such_setting = 1",
            &format!("title = {}", "[".repeat(200_000)),
            &format!("{} = 1", "a.".repeat(200_000)),
        ] {
            let error = refused(text.as_bytes());
            assert!(matches!(error, Error::ConfigMalformed { .. }), "{error}");
            assert!(error.to_string().len() < 2000, "{error}");
        }
        let nothing = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(RunSettings::read(nothing.path()).unwrap(), RunSettings::default());
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_in_place_of_settings_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("run.toml");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [&*pipe, Path::new("/dev/zero")] {
            let error = RunSettings::read(path).unwrap_err();
            assert!(error.with_causes().ends_with("it is not a regular file"), "{error}");
        }
    }

    #[test]
    fn the_template_says_the_defaults() {
        let as_written: RunSettings = toml::from_str(TEMPLATE).unwrap();
        // Settings have no space after the mark, prose has one.
        let uncommented = TEMPLATE.lines().map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.is_empty() && !setting.starts_with(' ') => format!("{setting}\n"),
            _ => format!("{line}\n"),
        });
        let everything: RunSettings = toml::from_str(&uncommented.collect::<String>()).unwrap();
        let written = everything.to_toml().unwrap();
        let read: RunSettings = toml::from_str(&written).unwrap();
        assert_eq!(RunSettings { slurm: everything.slurm.clone(), ..read }, everything, "{written}");
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
            slurm: as_written.slurm.clone(),
            splits: as_written.splits.clone(),
            ..everything
        };
        let text = |settings: RunSettings| format!("{:?}", settings.options().unwrap());
        assert_eq!(text(as_if_default), text(as_written));
    }
}
