//! What each step reads and does.

use std::path::PathBuf;

use hub::ModelReference;

use crate::fingerprint::Inputs;
use crate::run::execution::Run;
use crate::run::plan::{PlannedPair, Step};
use crate::run::state::Written;
use crate::setup::thread_pool;
use crate::{
    ActivationNormsOptions, ComparisonTables, DatasetsOptions, Devices, Error, HtmlReportOptions,
    ParamStatsOptions, PlotActivationNormsOptions, PlotParamStatsOptions, StepOutcome, StepStatus,
    activation_norms, create_datasets, html_report, param_stats, plot_activation_norms, plot_param_stats,
    take_over_param_stats,
};

impl Run<'_> {
    /// Everything that the result of a step depends on.
    pub(crate) fn inputs(&self, step: Step) -> Inputs {
        let mut inputs = match step {
            Step::Datasets => Inputs::new(format!("{:?}", self.datasets_options())),
            Step::ParamStats(pair) => {
                // Neither where the tables go nor how they are computed is part of what they say.
                let options = self.options.param_stats_of(&self.plan.pairs[pair].pair);
                let options = ParamStatsOptions {
                    outdir: PathBuf::new(),
                    stream: false,
                    devices: Devices::default(),
                    threads: 0,
                    resume: false,
                    arguments: Vec::new(),
                    ..options
                };
                let mut inputs = Inputs::new(format!("{options:?}"));
                self.add_models(&mut inputs, [&options.model_a, &options.model_b], false);
                inputs
            }
            Step::ActivationNorms => {
                let options = self.measured_options();
                let options = ActivationNormsOptions {
                    outdir: PathBuf::new(),
                    stream: false,
                    threads: 0,
                    arguments: Vec::new(),
                    ..options
                };
                let mut inputs = Inputs::new(format!("{options:?}"));
                self.add_models(&mut inputs, options.models.groups().into_iter().flatten(), true);
                options.splits.iter().for_each(|split| inputs.file(&split.path));
                inputs
            }
            Step::PlotParamStats(_) | Step::PlotActivationNorms => {
                Inputs::new(format!("{:?} {:?}", self.title(step), self.options.picture_formats))
            }
            Step::Report => Inputs::new(format!("{:?}", self.report_options())),
            Step::Models => Inputs::default(),
        };
        for source in self.plan.sources(step) {
            self.files(source).unwrap_or_default().iter().for_each(|file| inputs.file(file));
        }
        inputs
    }

    fn add_models<'m>(
        &self,
        inputs: &mut Inputs,
        models: impl IntoIterator<Item = &'m ModelReference>,
        with_tokenizer: bool,
    ) {
        for model in models {
            if let Some(located) = self.located.get(model) {
                inputs.model(model, located, with_tokenizer);
            }
        }
    }

    /// Does a step.
    pub(crate) fn perform(&self, step: Step) -> Result<Written, Error> {
        let (observer, interrupted) = (self.observer, self.interrupted);
        let pool = || thread_pool(self.options.threads);
        let outdir = self.place(step);
        let title = self.title(step);
        let formats = self.options.picture_formats.clone();
        match step {
            Step::Models => Ok(Written::default()),
            Step::Datasets => {
                let made = create_datasets(&self.datasets_options(), self.hub, observer, interrupted)?;
                Ok(Written::all(made.files))
            }
            Step::ParamStats(pair) => {
                let options = self.options.param_stats_of(&self.plan.pairs[pair].pair);
                // What machines of a cluster did is not done again.
                let parts = if self.options.force {
                    None
                } else {
                    take_over_param_stats(&options, self.hub, observer, interrupted)?
                };
                let found = match parts {
                    Some(found) => found,
                    None => param_stats(&options, self.hub, observer, interrupted)?,
                };
                let gaps = match found.gaps().count() {
                    0 => None,
                    1 => Some("1 tensor could not be compared; the ledger says why".to_owned()),
                    count => Some(format!("{count} tensors could not be compared; the ledger says why")),
                };
                Ok(Written { files: found.files, gaps })
            }
            Step::ActivationNorms => {
                let found = activation_norms(&self.measured_options(), self.hub, observer, interrupted)?;
                let tokens: u64 = found.non_finite().map(|row| row.non_finite_tokens).sum();
                let gaps = (tokens > 0).then(|| format!("hidden states of {tokens} tokens are not finite"));
                Ok(Written { files: found.files, gaps })
            }
            Step::PlotParamStats(pair) => {
                let table = |name| self.table(Step::ParamStats(pair), name);
                let options = PlotParamStatsOptions {
                    per_layer: table("per_layer").unwrap_or_default(),
                    per_matrix: table("per_matrix"),
                    singular_values: table("singular_values"),
                    outdir,
                    title,
                    formats,
                };
                let plotted = pool()?.install(|| plot_param_stats(&options, observer, interrupted))?;
                Ok(Written::all(plotted.files))
            }
            Step::PlotActivationNorms => {
                let table = |name| self.table(Step::ActivationNorms, name);
                let options = PlotActivationNormsOptions {
                    norms: table("activation_norms").unwrap_or_default(),
                    differences: table("activation_diffs"),
                    outdir,
                    title,
                    formats,
                };
                let plotted = pool()?.install(|| plot_activation_norms(&options, observer, interrupted))?;
                Ok(Written::all(plotted.files))
            }
            Step::Report => {
                Ok(Written::all(vec![html_report(&self.report_options(), observer, interrupted)?]))
            }
        }
    }

    /// A table that a step wrote: as Parquet, which says more of its origin, or else as CSV.
    pub(crate) fn table(&self, step: Step, name: &str) -> Option<PathBuf> {
        let files = self.files(step)?.iter().filter(|file| file.file_stem() == Some(name.as_ref()));
        files.max_by_key(|file| file.extension() == Some("parquet".as_ref())).cloned()
    }

    /// A report of what succeeded.
    fn report_options(&self) -> HtmlReportOptions {
        let compared = (0..).zip(&self.plan.pairs).map(|(index, planned)| (Step::ParamStats(index), planned));
        let compared = compared.filter(|(step, _)| self.files(*step).is_some());
        let comparisons = compared.map(|(step, PlannedPair { pair, .. })| ComparisonTables {
            label: String::new(),
            a: pair.a.to_text(),
            b: pair.b.to_text(),
            folder: self.place(step),
        });
        HtmlReportOptions {
            title: self.options.title.clone().unwrap_or_else(|| self.plan.title()),
            comparisons: comparisons.collect(),
            activations: self.files(Step::ActivationNorms).map(|_| self.place(Step::ActivationNorms)),
            file: self.place(Step::Report),
            failures: self.failures(),
        }
    }

    /// A step's folder, or the report's file.
    fn place(&self, step: Step) -> PathBuf {
        self.options.outroot.join(self.plan.place(step))
    }

    fn datasets_options(&self) -> DatasetsOptions {
        let outdir = self.place(Step::Datasets);
        let given = self.options.datasets.clone();
        given.map_or_else(
            || DatasetsOptions::new(&outdir),
            |given| DatasetsOptions { outdir: outdir.clone(), ..given },
        )
    }

    fn measured_options(&self) -> ActivationNormsOptions {
        self.options.activation_norms_of(self.measured.iter().map(|pair| &self.plan.pairs[*pair].pair))
    }

    /// What stands on a step's pictures beside what they say themselves.
    fn title(&self, step: Step) -> Option<String> {
        match step {
            Step::PlotParamStats(pair) => Some(self.plan.pairs[pair].label()),
            _ => self.options.title.clone(),
        }
    }

    /// What could not be done so far, for the report.
    fn failures(&self) -> Vec<String> {
        let failure = |outcome: &StepOutcome| match &outcome.status {
            StepStatus::Failed(error) => Some(format!("{}: {}", outcome.name, error.with_causes())),
            StepStatus::NotRun { needs } => Some(format!("{}: needs {needs}", outcome.name)),
            StepStatus::LeftOut { .. } => None,
            StepStatus::Done | StepStatus::Unchanged | StepStatus::Kept => {
                outcome.gaps.as_ref().map(|gaps| format!("{}: {gaps}", outcome.name))
            }
        };
        self.outcomes.iter().filter_map(|(_, outcome)| failure(outcome)).collect()
    }
}
