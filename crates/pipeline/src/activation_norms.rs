//! Norms of hidden states, layer by layer, of one model after the other or of two in lockstep.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use activations::{DeviceChoice, DtypeChoice, Model, StreamOptions, Tokenizer};
use report::{ActivationDifferenceRow, ActivationNormRow, ActivationSummaryRow, Tables};
use weights_io::Checkpoint;

use crate::activation_rows::{Group, Rows};
use crate::activation_texts::{TextCounts, Texts, Tokens};
use crate::setup::{open, stage_if, thread_pool, unless_interrupted};
use crate::{ActivationNormsOptions, Error, Observer, Side, memory, provenance};

/// What [`activation_norms`] found and wrote.
#[derive(Clone, Debug)]
pub struct ActivationNorms {
    /// The folder with the tables.
    pub folder: PathBuf,
    /// The files written.
    pub files: Vec<PathBuf>,
    /// Rows of `activation_norms`: model by model, split by split, layer by layer.
    pub norms: Vec<ActivationNormRow>,
    /// Rows of `activation_diffs`, split by split; none unless two models went in lockstep.
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

/// Measures the hidden states of models on texts, and writes `activation_norms` and `activation_summary`, for two models
/// in lockstep `activation_diffs`, and `per_sample` if asked for.
///
/// All samples go through a block before the next block is loaded, for both models of a pair side by side. Samples
/// without a token are left out.
///
/// # Errors
/// Every [`Error`] but [`Error::Matrix`] and [`Error::Settings`]. Nothing is written then.
pub fn activation_norms(
    options: &ActivationNormsOptions,
    observer: &dyn Observer,
    interrupted: &AtomicBool,
) -> Result<ActivationNorms, Error> {
    options.check()?;
    thread_pool(options.threads)?.install(|| measure(options, observer, interrupted))
}

fn measure(
    options: &ActivationNormsOptions,
    observer: &dyn Observer,
    interrupted: &AtomicBool,
) -> Result<ActivationNorms, Error> {
    // All that can be wrong with the input is found out before a folder is made.
    let texts = Texts::read(options)?;
    let device = options.device.open()?;
    let dtype = options.dtype.on(&device);
    let memory_budget = options.memory_budget.unwrap_or_else(memory::default_budget);
    let sides = options.models.all();
    let opened = sides.iter().map(|(side, path)| open(*side, path, observer));
    let checkpoints: Vec<Checkpoint> = opened.collect::<Result<_, _>>()?;
    let models: Vec<Model<'_>> = checkpoints.iter().map(Model::open).collect::<Result<_, _>>()?;
    let tokens = sides.iter().map(|(_, path)| {
        let tokenizer = Tokenizer::beside(path)?;
        texts.tokens(&path.to_string_lossy(), &tokenizer, options.max_length)
    });
    let tokens: Vec<Tokens> = tokens.collect::<Result<_, Error>>()?;
    let stream_options = StreamOptions {
        memory_budget,
        batch_size: options.batch_size.unwrap_or(usize::MAX),
        batch_tokens: options.batch_size.map_or(StreamOptions::default().batch_tokens, |_| usize::MAX),
        dtype: dtype.dtype(),
        device,
    };
    let together = options.models.together();
    let groups = models.chunks(together).zip(tokens.chunks(together));
    let groups = groups.map(|(models, tokens)| Group::new(models, tokens, &stream_options));
    let groups: Vec<Group<'_>> = groups.collect::<Result<_, _>>()?;
    unless_interrupted(interrupted)?;

    let tables_error = |source| Error::Tables { source };
    let mut tables = Tables::create(&options.outdir, &options.formats).map_err(tables_error)?;
    observer.forward_started(groups.iter().map(Group::steps).sum());
    let mut rows = Rows { per_sample: options.per_sample.then(Vec::new), ..Rows::default() };
    for group in &groups {
        group.measure(&texts, observer, interrupted, &mut rows)?;
    }
    let mut found = ActivationNorms {
        folder: options.outdir.clone(),
        files: Vec::new(),
        norms: rows.norms,
        differences: rows.differences,
        summary: rows.summary,
        texts: tokens.iter().flat_map(|tokens| tokens.counts.clone()).collect(),
        device: DeviceChoice::from(&stream_options.device),
        dtype,
        memory_budget,
        windows: groups.iter().map(|group| group.stream.windows()).max().unwrap_or(0),
    };
    let opened: Vec<(Side, &Checkpoint)> = sides.iter().map(|(side, _)| *side).zip(&checkpoints).collect();
    let provenance = provenance::of_activation_norms(options, &opened, &found);
    tables.stage(&found.norms, &provenance).map_err(tables_error)?;
    tables.stage(&found.summary, &provenance).map_err(tables_error)?;
    stage_if(together == 2, &mut tables, &found.differences, &provenance)?;
    let per_sample = rows.per_sample.as_deref().unwrap_or_default();
    stage_if(options.per_sample, &mut tables, per_sample, &provenance)?;
    unless_interrupted(interrupted)?;
    found.files = tables.finish().map_err(tables_error)?;
    Ok(found)
}
