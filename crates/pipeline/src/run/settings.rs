//! Settings as users give them, in part: by flags, in the environment, in a file. What is given first counts.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use activations::DtypeChoice;
use bytesize::ByteSize;
use hub::ModelReference;
use report::ZeroDeltas;
use serde::{Deserialize, Serialize};
use spectral::{Certification, Method};
use weights_io::Selection;

use crate::run::plan::DATASETS;
use crate::run::setting_values as values;
use crate::{DatasetsOptions, Devices, Error, ModelPair, PictureFormat, RunOptions, SlurmSettings, Split};

/// Settings of a run, each of which may be missing. In a file they have these names.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// The baseline.
    pub base: Option<ModelReference>,
    /// The model that was trained without what is to be forgotten.
    pub filtered: Option<ModelReference>,
    /// The model that was made to forget.
    pub unlearned: Option<ModelReference>,
    /// Further pairs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub compare: Vec<ModelPair>,
    /// Text to forget.
    pub forget_text: Option<PathBuf>,
    /// Text to retain.
    pub retain_text: Option<PathBuf>,
    /// Further texts by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub splits: BTreeMap<String, PathBuf>,
    /// Folder for everything.
    pub outroot: Option<PathBuf>,
    /// Whether models that are not on disk are read from where they are rather than downloaded.
    pub stream: Option<bool>,
    /// Title of the report.
    pub title: Option<String>,
    /// File formats of pictures.
    #[serde(default, with = "values::picture_formats")]
    pub picture_formats: Option<Vec<PictureFormat>>,
    /// Where to compute; hidden states on the first of several devices.
    #[serde(default, with = "values::text")]
    pub device: Option<Devices>,
    /// In which type hidden states are computed.
    #[serde(default, with = "values::text")]
    pub dtype: Option<DtypeChoice>,
    /// Most samples of a text.
    pub max_samples: Option<usize>,
    /// Most tokens of a sample.
    pub max_length: Option<usize>,
    /// Most samples that are computed at once.
    pub batch_size: Option<usize>,
    /// Memory for hidden states and weights.
    #[serde(default, with = "values::bytes")]
    pub memory_budget: Option<ByteSize>,
    /// Whether each sample gets rows of its own.
    pub per_sample: Option<bool>,
    /// Which parameters are compared.
    #[serde(default, with = "values::selection")]
    pub include: Option<Selection>,
    /// Relative width of the intervals of spectral norms.
    pub tolerance: Option<f64>,
    /// Number of the largest singular values that are kept.
    pub top_k: Option<usize>,
    /// Whether all singular values are kept.
    pub full_spectrum: Option<bool>,
    /// Power iterations instead of certified norms.
    pub sr_iters: Option<u32>,
    /// How unchanged matrices enter a layer's mean stable rank.
    #[serde(default, with = "values::zero_deltas")]
    pub zero_deltas: Option<ZeroDeltas>,
    /// Seed of all randomness.
    pub seed: Option<u64>,
    /// Threads.
    pub threads: Option<usize>,
    /// How the run is divided among the machines of a cluster, which a run itself does not depend on.
    #[serde(default, skip_serializing)]
    pub slurm: SlurmSettings,
}

/// The environment variables that [`RunSettings::from_environment`] reads.
pub(crate) const VARIABLES: [&str; 8] =
    ["BASE", "FILTERED", "UNLEARNED", "OUTROOT", "DEVICE", "DTYPE", "FORGET_TEXT", "RETAIN_TEXT"];

impl RunSettings {
    /// From the environment variables of the Python scripts: `BASE`, `FILTERED`, `UNLEARNED`, `OUTROOT`, `DEVICE`,
    /// `DTYPE`, `FORGET_TEXT`, `RETAIN_TEXT`. One that is empty counts as not set.
    ///
    /// # Errors
    /// [`Error::Variable`] for a device or dtype that does not exist.
    pub fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let get = |name: &str| variable(name).filter(|value| !value.is_empty());
        let path = |name: &str| get(name).map(PathBuf::from);
        Ok(Self {
            base: get("BASE").map(ModelReference::from),
            filtered: get("FILTERED").map(ModelReference::from),
            unlearned: get("UNLEARNED").map(ModelReference::from),
            outroot: path("OUTROOT"),
            forget_text: path("FORGET_TEXT"),
            retain_text: path("RETAIN_TEXT"),
            device: parsed_variable("DEVICE", get)?,
            dtype: parsed_variable("DTYPE", get)?,
            ..Self::default()
        })
    }

    /// The models of the experiment that this program was made for: one that forgot nothing, one that never read what is
    /// to be forgotten, and one that unlearned it.
    #[must_use]
    pub fn original_experiment() -> Self {
        let model = |name: &str| Some(format!("EleutherAI/deep-ignorance-{name}").into());
        Self {
            base: model("unfiltered"),
            filtered: model("e2e-strong-filter"),
            unlearned: model("unfiltered-cb-lat"),
            ..Self::default()
        }
    }

    fn names_models(&self) -> bool {
        !self.compare.is_empty()
            || [&self.base, &self.filtered, &self.unlearned].into_iter().any(Option::is_some)
    }

    /// These settings, and where they lack one, that of `other`. Pairs to compare put all models of `other` out of
    /// sight: who names pairs wants those and no more.
    #[must_use]
    pub fn or(self, mut other: Self) -> Self {
        if !self.compare.is_empty() {
            (other.base, other.filtered, other.unlearned, other.compare) = (None, None, None, self.compare);
        }
        other.splits.extend(self.splits);
        macro_rules! first {
            ($($name:ident)*) => {
                Self {
                    $($name: self.$name.or(other.$name),)*
                    compare: other.compare,
                    splits: other.splits,
                    slurm: self.slurm.or(other.slurm),
                }
            };
        }
        first! {
            base filtered unlearned forget_text retain_text outroot stream title picture_formats device dtype max_samples
            max_length batch_size memory_budget per_sample include tolerance top_k full_spectrum sr_iters zero_deltas
            seed threads
        }
    }

    /// The settings of the task; what is missing has its default. Without any model it is the
    /// [original experiment](Self::original_experiment), and without any text either, on those that
    /// [`create_datasets`](crate::create_datasets) makes.
    ///
    /// # Errors
    /// [`Error::NoBaseline`] and [`Error::OnlyBaseline`] if base, filtered and unlearned make no pair,
    /// [`Error::PowerAndCertified`] if power iterations are asked for together with what only certified norms have.
    pub fn options(mut self) -> Result<RunOptions, Error> {
        let outroot = self.outroot.take().unwrap_or_else(|| "outputs".into());
        let mut datasets = None;
        if !self.names_models() {
            self = self.or(Self::original_experiment());
            if self.forget_text.is_none() && self.retain_text.is_none() && self.splits.is_empty() {
                let made = DatasetsOptions::new(outroot.join(DATASETS));
                (self.forget_text, self.retain_text) = (Some(made.forget_text()), Some(made.retain_text()));
                datasets = Some(made);
            }
        }
        let pairs = pairs(self.base, [self.filtered, self.unlearned], self.compare)?;
        let named = [("forget", self.forget_text), ("retain", self.retain_text)];
        let named = named.into_iter().filter_map(|(name, path)| Some((name.to_owned(), path?)));
        let splits = named.chain(self.splits).map(|(name, path)| Split { name, path }).collect();
        let mut options = RunOptions::new(pairs, splits, outroot);
        options.datasets = datasets;
        let RunOptions { param_stats, activation_norms, .. } = &mut options;
        let numerics = &mut param_stats.numerics;
        if let Some(iterations) = self.sr_iters {
            if self.tolerance.is_some() || self.top_k.is_some() || self.full_spectrum.is_some() {
                return Err(Error::PowerAndCertified);
            }
            numerics.method = Method::PowerIteration { iterations };
        } else if let Some(tolerance) = self.tolerance {
            numerics.method = Method::Certified(Certification { tolerance, ..Certification::default() });
        }
        set(&mut numerics.top_k, self.top_k);
        set(&mut numerics.full_spectrum, self.full_spectrum);
        set(&mut numerics.seed, self.seed);
        set(&mut param_stats.selection, self.include);
        set(&mut param_stats.zero_deltas, self.zero_deltas);
        if let Some(devices) = self.device {
            activation_norms.device = devices.first();
            param_stats.devices = devices;
        }
        set(&mut activation_norms.dtype, self.dtype);
        set(&mut activation_norms.max_samples, self.max_samples);
        set(&mut activation_norms.max_length, self.max_length);
        set(&mut activation_norms.per_sample, self.per_sample);
        set(&mut activation_norms.seed, self.seed);
        activation_norms.batch_size = self.batch_size;
        activation_norms.memory_budget = self.memory_budget.map(|size| size.as_u64());
        set(&mut options.picture_formats, self.picture_formats);
        set(&mut options.stream, self.stream);
        set(&mut options.threads, self.threads);
        options.title = self.title;
        Ok(options)
    }
}

/// The baseline with each of the changed models, then the pairs that were given as such.
fn pairs(
    base: Option<ModelReference>,
    changed: [Option<ModelReference>; 2],
    compare: Vec<ModelPair>,
) -> Result<Vec<ModelPair>, Error> {
    let changed: Vec<ModelReference> = changed.into_iter().flatten().collect();
    let mut pairs = match (base, changed.first()) {
        (Some(base), Some(_)) => changed.iter().map(|changed| ModelPair::new(&base, changed)).collect(),
        (Some(base), None) => return Err(Error::OnlyBaseline { base }),
        (None, Some(changed)) => return Err(Error::NoBaseline { changed: changed.clone() }),
        (None, None) => Vec::new(),
    };
    pairs.extend(compare);
    Ok(pairs)
}

fn set<T>(setting: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *setting = given;
    }
}

fn parsed_variable<T: FromStr<Err: Into<Error>>>(
    name: &'static str,
    get: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<T>, Error> {
    let value = get(name).map(|value| value.to_string_lossy().parse());
    value.transpose().map_err(|source: T::Err| Error::Variable { name, source: Box::new(source.into()) })
}

#[cfg(test)]
mod tests {
    use activations::DeviceChoice;

    use super::*;

    fn settings(text: &str) -> RunSettings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_is_given_first_counts() {
        let environment = RunSettings::from_environment(|name| match name {
            "BASE" | "OUTROOT" => Some(format!("env {name}").into()),
            "FILTERED" => Some(OsString::new()),
            "DTYPE" => Some("bf16".into()),
            _ => None,
        });
        let flags = settings("base = 'flag'");
        let file =
            settings("base = 'f'\nfiltered = 'f'\ndtype = 'fp16'\ndevice = 'cpu'\n[splits]\nx = 'x.txt'");
        let options = flags.or(environment.unwrap()).or(file).options().unwrap();
        assert_eq!(options.pairs, [ModelPair::new("flag", "f")], "an empty variable is none");
        assert_eq!(options.outroot, PathBuf::from("env OUTROOT"));
        assert_eq!(options.activation_norms.dtype, DtypeChoice::Bf16);
        assert_eq!(options.activation_norms.device, DeviceChoice::Cpu);
        assert_eq!(options.param_stats.devices, DeviceChoice::Cpu.into());
        assert_eq!(options.splits, [Split { name: "x".into(), path: "x.txt".into() }]);
    }

    #[test]
    fn pairs_put_other_models_out_of_sight_unless_given_beside_them() {
        let pair = "[[compare]]\na = 'a'\nb = 'b'\nname = 'n'";
        let compared = ModelPair { name: Some("n".into()), ..ModelPair::new("a", "b") };
        let models = "base = '0'\nfiltered = '1'\nunlearned = '2'\n";
        let other = settings(&format!("{models}[[compare]]\na = 'x'\nb = 'y'"));
        assert_eq!(settings(pair).or(other).options().unwrap().pairs, std::slice::from_ref(&compared));
        let all = [ModelPair::new("0", "1"), ModelPair::new("0", "2"), compared];
        assert_eq!(settings(&format!("{models}{pair}")).options().unwrap().pairs, all);
        assert_eq!(settings(models).or(settings(pair)).options().unwrap().pairs, all);
    }

    #[test]
    fn without_a_model_it_is_the_original_experiment() {
        let options = settings("outroot = 'out'").options().unwrap();
        let model = |name: &str| format!("EleutherAI/deep-ignorance-{name}");
        let changed = ["e2e-strong-filter", "unfiltered-cb-lat"];
        assert_eq!(options.pairs, changed.map(|changed| ModelPair::new(model("unfiltered"), model(changed))));
        let text = |name: &str| Split { name: name.into(), path: format!("out/data/{name}.txt").into() };
        assert_eq!(options.splits, ["forget", "retain"].map(text));
        assert!(options.datasets.is_some());

        let with_text = settings("forget_text = 'x.txt'").options().unwrap();
        assert_eq!((with_text.pairs.len(), with_text.splits.len()), (2, 1));
        assert!(with_text.datasets.is_none(), "texts of one's own are those that count");
        let with_models = settings("base = 'a'\nunlearned = 'b'").options().unwrap();
        assert_eq!(with_models.pairs, [ModelPair::new("a", "b")], "nobody asked for the other models");
        assert!(with_models.datasets.is_none() && with_models.splits.is_empty());
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        assert!(matches!(settings("base = 'a'").options(), Err(Error::OnlyBaseline { .. })));
        assert!(matches!(settings("filtered = 'a'").options(), Err(Error::NoBaseline { .. })));
        assert!(matches!(settings("sr_iters = 5\ntop_k = 1").options(), Err(Error::PowerAndCertified)));
        let device = |name: &str| (name == "DEVICE").then(|| "tpu".into());
        let error = RunSettings::from_environment(device).unwrap_err();
        assert!(matches!(error, Error::Variable { name: "DEVICE", .. }), "{error}");
    }
}
