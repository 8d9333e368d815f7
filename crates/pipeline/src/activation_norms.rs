//! Norms of hidden states, layer by layer, of one model after the other or of several side by side.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use activations::{DeviceChoice, DtypeChoice, Model, StreamOptions, Tokenizer};
use hub::{Hub, ModelReference, Wanted};
use report::{ActivationDifferenceRow, ActivationNormRow, ActivationSummaryRow, Tables};

use crate::activation_rows::{Group, Rows};
use crate::activation_texts::{TextCounts, Texts, Tokens};
use crate::setup::{
    OpenModel, open, stage_if, still_the_same, thread_pool, unless_interrupted, unless_interrupted_meanwhile,
};
use crate::{ActivationNormsOptions, Error, Models, Observer, memory, provenance};

/// What [`activation_norms`] found and wrote.
#[derive(Clone, Debug)]
pub struct ActivationNorms {
    /// The folder with the tables.
    pub folder: PathBuf,
    /// The files written.
    pub files: Vec<PathBuf>,
    /// Rows of `activation_norms`: model by model, split by split, layer by layer.
    pub norms: Vec<ActivationNormRow>,
    /// Rows of `activation_diffs`, pair by pair and split by split; none unless models were compared.
    pub differences: Vec<ActivationDifferenceRow>,
    /// Rows of `activation_summary`: model by model, split by split.
    pub summary: Vec<ActivationSummaryRow>,
    /// How much text each row of the summary is about.
    pub texts: Vec<TextCounts>,
    /// Where it was computed.
    pub device: DeviceChoice,
    /// In which type.
    pub dtype: DtypeChoice,
    /// The memory budget in bytes.
    pub memory_budget: u64,
    /// How often weights were read, at most: samples went through a model in so many groups, to keep to the budget.
    pub windows: usize,
}

impl ActivationNorms {
    /// Rows of the summary with tokens whose norm is not finite.
    pub fn non_finite(&self) -> impl Iterator<Item = &ActivationSummaryRow> {
        self.summary.iter().filter(|row| row.non_finite_tokens > 0)
    }
}

/// Measures the hidden states of models on texts, and writes `activation_norms` and `activation_summary`, for pairs
/// `activation_diffs`, and `per_sample` if asked for.
///
/// All samples go through a block before the next block is loaded, for all models of one baseline side by side. Samples
/// without a token are left out.
///
/// # Errors
/// Every [`Error`] but [`Error::Matrix`] and [`Error::Settings`]. Nothing is written then.
pub fn activation_norms(
    options: &ActivationNormsOptions,
    hub: &Hub,
    observer: &dyn Observer,
    interrupted: &AtomicBool,
) -> Result<ActivationNorms, Error> {
    options.check()?;
    // Before models are fetched, which may take longer than all else.
    let tables = Tables::create(&options.outdir, &options.formats);
    let tables = tables.map_err(|source| Error::Tables { source })?;
    let measured = prepared(options, hub, observer, |ready| {
        unless_interrupted(interrupted)?;
        ready.measure(options, tables, observer, interrupted)
    });
    unless_interrupted_meanwhile(measured, interrupted)
}

/// Finds out whether [`activation_norms`] would refuse its input: opens everything and tokenizes the texts, but computes
/// and writes nothing.
///
/// # Errors
/// As [`activation_norms`].
pub fn check_activation_norms(options: &ActivationNormsOptions, hub: &Hub) -> Result<(), Error> {
    prepared(options, hub, &(), |_| Ok(()))
}

/// Models and texts that fit together.
struct Ready<'a> {
    texts: &'a Texts,
    models: &'a [OpenModel],
    groups: Vec<Group<'a>>,
    device: DeviceChoice,
    dtype: DtypeChoice,
    memory_budget: u64,
}

/// All that can be wrong with the input is found out here, before anything is computed.
fn prepared<R: Send>(
    options: &ActivationNormsOptions,
    hub: &Hub,
    observer: &dyn Observer,
    then: impl FnOnce(&Ready<'_>) -> Result<R, Error> + Send,
) -> Result<R, Error> {
    options.check()?;
    thread_pool(options.threads)?.install(|| {
        let texts = Texts::read(options)?;
        let device = options.device.open()?;
        let dtype = options.dtype.on(&device);
        let memory_budget = options.memory_budget.unwrap_or_else(|| memory::default_budget_on(&device));
        let groups = options.models.groups();
        let references: Vec<&ModelReference> = groups.iter().flatten().copied().collect();
        let opened = references.iter().enumerate().map(|(index, reference)| {
            let wanted = Wanted { tokenizer: true };
            open(options.models.side(index), reference, wanted, options.stream, hub, observer)
        });
        let opened: Vec<OpenModel> = opened.collect::<Result<_, _>>()?;
        let models = opened.iter().map(|opened| Model::open(&opened.checkpoint));
        let models: Vec<Model<'_>> = models.collect::<Result<_, _>>()?;
        let tokens = opened.iter().map(|opened| {
            let tokenizer = Tokenizer::of(&opened.checkpoint)?;
            texts.tokens(&opened.reference.to_text(), &tokenizer, options.max_length)
        });
        let tokens: Vec<Tokens> = tokens.collect::<Result<_, Error>>()?;
        let stream_options = StreamOptions {
            memory_budget,
            batch_size: options.batch_size.unwrap_or(usize::MAX),
            batch_tokens: options.batch_size.map(|_| usize::MAX),
            dtype: dtype.dtype(),
            device,
        };
        let mut start = 0;
        let groups = groups.iter().map(|group| {
            let members = start..start + group.len();
            start = members.end;
            Group::new(&models[members.clone()], &tokens[members], &stream_options)
        });
        let groups: Vec<Group<'_>> = groups.collect::<Result<_, _>>()?;
        let device = DeviceChoice::from(&stream_options.device);
        then(&Ready { texts: &texts, models: &opened, groups, device, dtype, memory_budget })
    })
}

impl Ready<'_> {
    fn measure(
        &self,
        options: &ActivationNormsOptions,
        mut tables: Tables,
        observer: &dyn Observer,
        interrupted: &AtomicBool,
    ) -> Result<ActivationNorms, Error> {
        let tables_error = |source| Error::Tables { source };
        observer.forward_started(self.groups.iter().map(Group::steps).sum());
        let mut rows = Rows { per_sample: options.per_sample.then(Vec::new), ..Rows::default() };
        for group in &self.groups {
            group.measure(self.texts, observer, interrupted, &mut rows)?;
        }
        let mut found = ActivationNorms {
            folder: options.outdir.clone(),
            files: Vec::new(),
            norms: rows.norms,
            differences: rows.differences,
            summary: rows.summary,
            texts: rows.texts,
            device: self.device,
            dtype: self.dtype,
            memory_budget: self.memory_budget,
            windows: self.groups.iter().map(|group| group.stream.windows()).max().unwrap_or(0),
        };
        let provenance = provenance::of_activation_norms(options, self.models, &found);
        tables.stage(&found.norms, &provenance).map_err(tables_error)?;
        let is_pairs = matches!(options.models, Models::Pairs(_));
        stage_if(is_pairs, &mut tables, &found.differences, &provenance)?;
        let per_sample = rows.per_sample.as_deref().unwrap_or_default();
        stage_if(options.per_sample, &mut tables, per_sample, &provenance)?;
        // Every run has this one, so that a run that replaces another's tables takes its last one away first.
        tables.stage(&found.summary, &provenance).map_err(tables_error)?;
        unless_interrupted(interrupted)?;
        still_the_same(self.models)?;
        found.files = tables.finish().map_err(tables_error)?;
        Ok(found)
    }
}
