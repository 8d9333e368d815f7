//! The steps of a run, in the order they are taken.

use std::fmt::Write as _;

use hub::ModelReference;
use report::short_labels;

use crate::{Error, ModelPair, RunOptions, StepKind};

/// One step; pairs by their index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Datasets,
    Models,
    ParamStats(usize),
    ActivationNorms,
    PlotParamStats(usize),
    PlotActivationNorms,
    Report,
}

impl Step {
    pub(crate) const fn kind(self) -> StepKind {
        match self {
            Self::Datasets => StepKind::Texts,
            Self::Models => StepKind::Models,
            Self::ParamStats(_) => StepKind::Parameters,
            Self::ActivationNorms => StepKind::HiddenStates,
            Self::PlotParamStats(_) | Self::PlotActivationNorms => StepKind::Pictures,
            Self::Report => StepKind::Report,
        }
    }
}

/// A pair and what it is called.
pub(crate) struct PlannedPair {
    pub(crate) pair: ModelPair,
    /// Short names of the models.
    pub(crate) models: [String; 2],
    /// Name of the pair's folders.
    pub(crate) folder: String,
}

impl PlannedPair {
    /// What the pair is called.
    pub(crate) fn label(&self) -> String {
        let [a, b] = &self.models;
        format!("{a} → {b}")
    }
}

/// What a run is going to do.
pub(crate) struct Plan {
    pub(crate) pairs: Vec<PlannedPair>,
    /// Those that were not asked for included.
    pub(crate) steps: Vec<Step>,
    /// None for all.
    asked: Vec<StepKind>,
}

const HIDDEN_STATES: &str = "activation_norms";
/// Where texts that a run makes are put, below its folder.
pub(crate) const DATASETS: &str = "data";

impl Plan {
    /// Refuses what no step could do.
    pub(crate) fn of(options: &RunOptions) -> Result<Self, Error> {
        if options.pairs.is_empty() {
            return Err(Error::NothingToCompare);
        }
        options.param_stats.numerics.check().map_err(|source| Error::Settings { source })?;
        let models = options.pairs.iter().flat_map(|pair| [&pair.a, &pair.b]);
        let mut labels = short_labels(&models.map(ModelReference::to_text).collect::<Vec<_>>()).into_iter();
        let mut pairs: Vec<PlannedPair> = Vec::new();
        for pair in &options.pairs {
            let folder = options.param_stats_of(pair).folder();
            let folder = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if folder == HIDDEN_STATES || pairs.iter().any(|other| other.folder == folder) {
                return Err(Error::SameFolder { folder });
            }
            let models = [(); 2].map(|()| labels.next().unwrap_or_default());
            pairs.push(PlannedPair { pair: pair.clone(), models, folder });
        }
        let all = 0..pairs.len();
        let mut steps: Vec<Step> = options.datasets.iter().map(|_| Step::Datasets).collect();
        // Every run finds its models; as a step of its own this is for a run that does no more.
        steps.extend(options.steps.contains(&StepKind::Models).then_some(Step::Models));
        steps.extend(all.clone().map(Step::ParamStats));
        if !options.splits.is_empty() {
            options.activation_norms_of(&options.pairs).check()?;
            steps.push(Step::ActivationNorms);
        }
        steps.extend(all.map(Step::PlotParamStats));
        if !options.splits.is_empty() {
            steps.push(Step::PlotActivationNorms);
        }
        steps.push(Step::Report);
        let asked = options.steps.clone();
        let is_missing = |kind: &&StepKind| !steps.iter().any(|step| step.kind() == **kind);
        if let Some(missing) = asked.iter().find(is_missing) {
            return Err(Error::NoSuchStep { step: *missing });
        }
        Ok(Self { pairs, steps, asked })
    }

    /// Whether a step is to be taken.
    pub(crate) fn is_asked(&self, step: Step) -> bool {
        self.asked.is_empty() || self.asked.contains(&step.kind())
    }

    /// Whether a step is to be taken, or its results are read by one that is, if need be by way of others.
    pub(crate) fn is_needed(&self, step: Step) -> bool {
        let reads = |other: &&Step| self.sources(**other).contains(&step);
        self.is_asked(step) || self.steps.iter().filter(reads).any(|other| self.is_needed(*other))
    }

    /// A model's short name.
    pub(crate) fn short(&self, model: &str) -> String {
        let models = self
            .pairs
            .iter()
            .flat_map(|PlannedPair { pair, models: [a, b], .. }| [(&pair.a, a), (&pair.b, b)]);
        let mut named = models.filter(|(path, _)| path.as_os_str() == model).map(|(_, short)| short);
        named.next().map_or(model, String::as_str).to_owned()
    }

    /// All pairs, each baseline once where it stands in several that follow each other: `a → b, c; d → e`.
    pub(crate) fn title(&self) -> String {
        let mut title = String::new();
        let mut before = None;
        for PlannedPair { models: [a, b], .. } in &self.pairs {
            let _ = match before.replace(a) {
                Some(baseline) if baseline == a => write!(title, ", {b}"),
                Some(_) => write!(title, "; {a} → {b}"),
                None => write!(title, "{a} → {b}"),
            };
        }
        title
    }

    /// What a step is called.
    pub(crate) fn name(&self, step: Step) -> String {
        match step {
            Step::Datasets => "texts".to_owned(),
            Step::Models => "models".to_owned(),
            Step::ParamStats(pair) => format!("parameters, {}", self.pairs[pair].label()),
            Step::ActivationNorms => "hidden states".to_owned(),
            Step::PlotParamStats(pair) => format!("pictures of parameters, {}", self.pairs[pair].label()),
            Step::PlotActivationNorms => "pictures of hidden states".to_owned(),
            Step::Report => "report".to_owned(),
        }
    }

    /// Where a step's results are, below the run's folder.
    pub(crate) fn place(&self, step: Step) -> String {
        match step {
            Step::Datasets => DATASETS.to_owned(),
            Step::Models => "models".to_owned(), // has no results, so nothing is noted of it
            Step::ParamStats(pair) => format!("param_stats/{}", self.pairs[pair].folder),
            Step::ActivationNorms => HIDDEN_STATES.to_owned(),
            Step::PlotParamStats(pair) => format!("plots/{}", self.pairs[pair].folder),
            Step::PlotActivationNorms => format!("plots/{HIDDEN_STATES}"),
            Step::Report => "report.html".to_owned(),
        }
    }

    /// The steps whose results a step reads. A report takes what there is; all others need the one.
    pub(crate) fn sources(&self, step: Step) -> Vec<Step> {
        let is_source = |other: &Step| match (step, other) {
            (Step::PlotParamStats(pair), Step::ParamStats(other)) => pair == *other,
            (Step::ActivationNorms, Step::Datasets)
            | (Step::PlotActivationNorms, Step::ActivationNorms)
            | (Step::Report, Step::ParamStats(_) | Step::ActivationNorms) => true,
            _ => false,
        };
        self.steps.iter().copied().filter(is_source).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_names_each_baseline_once() {
        let title = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(a, b)| ModelPair::new(format!("m/{a}"), format!("m/{b}")));
            Plan::of(&RunOptions::new(pairs.collect(), Vec::new(), "out")).unwrap().title()
        };
        assert_eq!(title(&[("a", "b")]), "a → b");
        assert_eq!(title(&[("a", "b"), ("a", "c"), ("d", "e")]), "a → b, c; d → e");
    }

    #[test]
    fn what_is_not_asked_for_may_be_needed() {
        let split = crate::Split { name: "x".into(), path: "x.txt".into() };
        let mut options = RunOptions::new(vec![ModelPair::new("a", "b")], vec![split], "out");
        options.datasets = Some(crate::DatasetsOptions::new("out"));
        let mut needed = |steps: &[StepKind]| {
            options.steps = steps.to_vec();
            let plan = Plan::of(&options).unwrap();
            let needed = plan.steps.iter().filter(|step| plan.is_needed(**step));
            needed.map(|step| plan.name(*step)).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(needed(&[StepKind::Texts]), "texts");
        assert_eq!(needed(&[StepKind::Texts, StepKind::Models]), "texts; models");
        assert_eq!(needed(&[StepKind::Parameters]), "parameters, a → b");
        assert_eq!(needed(&[StepKind::HiddenStates]), "texts; hidden states");
        assert_eq!(needed(&[StepKind::Report]), "texts; parameters, a → b; hidden states; report");
        let all = "texts; parameters, a → b; hidden states; pictures of parameters, a → b; \
                   pictures of hidden states; report";
        assert_eq!(needed(&[]), all);
    }

    #[test]
    fn steps_that_a_run_does_not_have_are_refused() {
        let mut options = RunOptions::new(vec![ModelPair::new("a", "b")], Vec::new(), "out");
        for missing in [StepKind::Texts, StepKind::HiddenStates] {
            options.steps = vec![StepKind::Report, missing];
            assert!(matches!(Plan::of(&options), Err(Error::NoSuchStep { step }) if step == missing));
        }
    }
}
