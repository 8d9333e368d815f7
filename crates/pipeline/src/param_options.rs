//! Settings of a comparison of parameters, and what its folder is called.

use std::ffi::OsStr;
use std::path::PathBuf;

use hub::ModelReference;
use report::{Format, ZeroDeltas};
use spectral::Method;
use weights_io::Selection;

use crate::parts::part_folder;
use crate::{Devices, Share};

/// Settings of [`param_stats`](crate::param_stats).
#[derive(Clone, Debug)]
pub struct ParamStatsOptions {
    /// The baseline.
    pub model_a: ModelReference,
    /// The changed model.
    pub model_b: ModelReference,
    /// Whether a model that is not on disk is read from where it is, tensor by tensor, rather than downloaded.
    pub stream: bool,
    /// The tables go into `<outdir>/<A>__to__<B>/`.
    pub outdir: PathBuf,
    /// What that folder is called instead.
    pub name: Option<String>,
    /// Which parameters are compared.
    pub selection: Selection,
    /// Method and seed of the spectral norms, and what else is kept of the spectra. The failure probability is that of
    /// the whole run: any interval of any matrix.
    pub numerics: spectral::Options,
    /// Where: the first GPU that there is, else the CPU, if nothing else is asked for.
    pub devices: Devices,
    /// Threads; 0 for one a core. The results do not depend on it.
    pub threads: usize,
    /// File formats of the tables.
    pub formats: Vec<Format>,
    /// How unchanged matrices enter a layer's mean stable rank.
    pub zero_deltas: ZeroDeltas,
    /// Whether matrices are taken over that an earlier run into this folder finished before it was stopped, if it compared
    /// the same files with the same numerics. The tables are the same to the byte.
    pub resume: bool,
    /// Which part of the comparison is done, for [`merge_param_stats`](crate::merge_param_stats) to join; all of it if
    /// none is named. Numbers do not depend on it.
    pub share: Option<Share>,
    /// The command line, for the provenance.
    pub arguments: Vec<String>,
}

impl ParamStatsOptions {
    /// Defaults: linear layers, σ₁ certified to 1e-4, CSV and Parquet.
    #[must_use]
    pub fn new(
        model_a: impl Into<ModelReference>,
        model_b: impl Into<ModelReference>,
        outdir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            model_a: model_a.into(),
            model_b: model_b.into(),
            stream: false,
            outdir: outdir.into(),
            name: None,
            selection: Selection::default(),
            numerics: spectral::Options::default(),
            devices: Devices::default(),
            threads: 0,
            formats: vec![Format::Csv, Format::Parquet],
            zero_deltas: ZeroDeltas::default(),
            resume: false,
            share: None,
            arguments: Vec::new(),
        }
    }

    /// The settings for one matrix of a run over so many names. All names of both models count, compared or not, so that
    /// an interval does not depend on what else was selected.
    pub(crate) fn numerics_for(&self, names: usize) -> spectral::Options {
        let mut numerics = self.numerics;
        if let Method::Certified(certification) = &mut numerics.method {
            certification.failure_probability /= names.max(1) as f64;
        }
        numerics
    }

    /// Whether there are tables of singular values.
    pub(crate) fn has_singular_values(&self) -> bool {
        self.numerics.top_k > 0 || self.numerics.full_spectrum
    }

    /// Where this part of the comparison is put, or all of it.
    pub(crate) fn place(&self) -> PathBuf {
        self.share.map_or_else(|| self.folder(), |share| part_folder(&self.folder(), share))
    }

    /// The folder that the tables go into: both models' names, every run of characters other than
    /// `A-Z a-z 0-9 _ . -` replaced by `_`, as the Python scripts did. Of a name too long for a folder the end is kept.
    /// A name of one's own is treated alike.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        let name = |text: &OsStr| {
            const LONGEST: usize = 120; // twice that and `__to__` fit into the usual 255 bytes
            let name = file_name_of(text);
            name[name.len().saturating_sub(LONGEST)..].to_owned()
        };
        self.outdir.join(match &self.name {
            None => format!("{}__to__{}", name(self.model_a.as_os_str()), name(self.model_b.as_os_str())),
            // These would be the folder itself or the one above.
            Some(own) if ["", ".", ".."].contains(&own.as_str()) => "_".to_owned(),
            Some(own) => name(own.as_ref()),
        })
    }
}

fn file_name_of(argument: &OsStr) -> String {
    let mut name = String::new();
    for character in argument.to_string_lossy().chars() {
        if character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-') {
            name.push(character);
        } else if !name.ends_with('\u{0}') {
            name.push('\u{0}'); // a run becomes one mark, told apart from an underscore that was there
        }
    }
    name.replace('\u{0}', "_")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn folders_are_named_as_the_scripts_named_them() {
        let folder =
            |a: &str, b: &str| ParamStatsOptions::new(a, b, "out").folder().to_string_lossy().into_owned();
        assert_eq!(folder("org/base", "../b  c/"), "out/org_base__to__.._b_c_");
        assert_eq!(folder("a_/_b", "Ünïcode"), "out/a___b__to___n_code");
        let named = |name: &str| {
            let options =
                ParamStatsOptions { name: Some(name.into()), ..ParamStatsOptions::new("a", "b", "out") };
            options.folder().to_string_lossy().into_owned()
        };
        assert_eq!(["a b/c", "..", ""].map(named), ["out/a_b_c", "out/_", "out/_"]);
        let long = "x/".repeat(300);
        assert!(Path::new(&folder(&long, &long)).file_name().unwrap().len() <= 255);
    }
}
