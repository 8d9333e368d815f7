//! What a run compares, on which texts, and how.

use std::path::PathBuf;
use std::str::FromStr;

use hub::{ModelReference, Target};

use crate::{
    ActivationNormsOptions, DatasetsOptions, Error, Models, ParamStatsOptions, PictureFormat, Split, StepKind,
};

/// A baseline and a changed model.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPair {
    /// The baseline.
    pub a: ModelReference,
    /// The changed model.
    pub b: ModelReference,
    /// What the pair's folders are called; else the two models say it.
    pub name: Option<String>,
}

impl ModelPair {
    /// A pair whose folders are called by its models.
    #[must_use]
    pub fn new(a: impl Into<ModelReference>, b: impl Into<ModelReference>) -> Self {
        Self { a: a.into(), b: b.into(), name: None }
    }
}

impl FromStr for ModelPair {
    type Err = Error;

    /// `A=B`. Where paths have an `=` themselves, that one divides which leaves two models: paths that exist, or names of
    /// the Hub.
    fn from_str(text: &str) -> Result<Self, Error> {
        let divided = text.match_indices('=').map(|(at, _)| (&text[..at], &text[at + 1..]));
        let mut pairs: Vec<Self> =
            divided.filter(|(a, b)| !a.is_empty() && !b.is_empty()).map(|(a, b)| Self::new(a, b)).collect();
        if pairs.len() > 1 {
            let is_model = |model: &ModelReference| match model.target() {
                Target::Path(path) => path.exists(),
                Target::Hub { .. } | Target::Url(_) => true,
            };
            pairs.retain(|pair| is_model(&pair.a) && is_model(&pair.b));
        }
        match <[Self; 1]>::try_from(pairs) {
            Ok([pair]) => Ok(pair),
            Err(_) => Err(Error::PairSyntax { text: text.to_owned() }),
        }
    }
}

/// Settings of [`run`](crate::run).
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// What is compared with what.
    pub pairs: Vec<ModelPair>,
    /// Texts to make first; where they are put is set by the run.
    pub datasets: Option<DatasetsOptions>,
    /// The texts that hidden states are measured on; none for parameters alone.
    pub splits: Vec<Split>,
    /// Everything goes into this folder.
    pub outroot: PathBuf,
    /// Title of the report; else the pairs say it.
    pub title: Option<String>,
    /// How parameters are compared. Models, name, folder, threads, resumption and arguments are set for each pair.
    pub param_stats: ParamStatsOptions,
    /// How hidden states are measured. Models, texts, folder, threads and arguments are set by the run.
    pub activation_norms: ActivationNormsOptions,
    /// Whether models that are not on disk are read from where they are, piece by piece, rather than downloaded.
    pub stream: bool,
    /// File formats of the pictures.
    pub picture_formats: Vec<PictureFormat>,
    /// The kinds of steps that are taken; none for all. Of the others, results of earlier runs are used.
    pub steps: Vec<StepKind>,
    /// Whether steps are done again whose results are there and would be the same.
    pub force: bool,
    /// Threads; 0 for one a core. The results do not depend on it.
    pub threads: usize,
    /// The command line, for the provenance.
    pub arguments: Vec<String>,
}

impl RunOptions {
    /// The defaults of each task, pictures as PNG.
    #[must_use]
    pub fn new(pairs: Vec<ModelPair>, splits: Vec<Split>, outroot: impl Into<PathBuf>) -> Self {
        Self {
            pairs,
            datasets: None,
            splits,
            outroot: outroot.into(),
            title: None,
            param_stats: ParamStatsOptions::new("", "", ""),
            activation_norms: ActivationNormsOptions::new(Models::Pairs(Vec::new()), Vec::new(), ""),
            stream: false,
            picture_formats: vec![PictureFormat::Png],
            steps: Vec::new(),
            force: false,
            threads: 0,
            arguments: Vec::new(),
        }
    }

    /// The settings of the comparison of one pair's parameters.
    pub(crate) fn param_stats_of(&self, pair: &ModelPair) -> ParamStatsOptions {
        ParamStatsOptions {
            model_a: pair.a.clone(),
            model_b: pair.b.clone(),
            name: pair.name.clone(),
            outdir: self.outroot.join("param_stats"),
            stream: self.stream,
            threads: self.threads,
            resume: !self.force,
            arguments: self.arguments.clone(),
            ..self.param_stats.clone()
        }
    }

    /// The settings of the measurement of some pairs' hidden states.
    pub(crate) fn activation_norms_of<'p>(
        &self,
        pairs: impl IntoIterator<Item = &'p ModelPair>,
    ) -> ActivationNormsOptions {
        let models = pairs.into_iter().map(|pair| (pair.a.clone(), pair.b.clone())).collect();
        ActivationNormsOptions {
            models: Models::Pairs(models),
            splits: self.splits.clone(),
            outdir: self.outroot.join("activation_norms"),
            stream: self.stream,
            threads: self.threads,
            arguments: self.arguments.clone(),
            ..self.activation_norms.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_divided_where_both_paths_exist() {
        assert_eq!("a=b".parse::<ModelPair>().unwrap(), ModelPair::new("a", "b"));
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| format!("{}/{name}", folder.path().display());
        for name in ["lr=1", "lr=2"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        let pair: ModelPair = format!("{}={}", path("lr=1"), path("lr=2")).parse().unwrap();
        assert_eq!(pair, ModelPair::new(path("lr=1"), path("lr=2")));
        for text in ["", "a", "=b", "a=", "a=b=c"] {
            assert!(matches!(text.parse::<ModelPair>(), Err(Error::PairSyntax { .. })), "{text}");
        }
    }
}
