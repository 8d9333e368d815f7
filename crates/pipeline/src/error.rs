//! The one error type of this crate.

use std::borrow::Cow;
use std::error::Error as _;
use std::path::{Path, PathBuf};

use hub::ModelReference;
use intake::Foreign;

use crate::{RowCounts, Side, StepKind};

/// Why a task could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A checkpoint could not be opened, or a tensor of it not be read.
    #[error("model {side} cannot be read")]
    Model {
        /// Which one.
        side: Side,
        /// Why.
        source: weights_io::Error,
    },
    /// A model was not found, or could not be downloaded.
    #[error("model {side} cannot be obtained")]
    NotObtained {
        /// Which one.
        side: Side,
        /// Why.
        source: Box<hub::Error>,
    },
    /// A pair of matrices could not be compared.
    #[error("cannot compare `{}`{}", name.escape_debug(), and_others(*others))]
    Matrix {
        /// The parameter.
        name: String,
        /// How many others were compared beside it on a device: it may be one of them.
        others: usize,
        /// Why.
        source: spectral::Error,
    },
    /// A device cannot be used to compare matrices.
    #[error("matrices cannot be compared on {device}")]
    Device {
        /// The device.
        device: String,
        /// Why.
        source: spectral::Error,
    },
    /// Names that no devices have.
    #[error(
        "devices `{}` are not known; known are auto, cpu, metal, cuda, cuda:N, several as in cuda:0,cuda:1, and cuda:all",
        text.escape_debug()
    )]
    UnknownDevices {
        /// As given.
        text: String,
    },
    /// The settings of the numerics make no sense.
    #[error("bad settings")]
    Settings {
        /// Why.
        source: spectral::Error,
    },
    /// Hidden states could not be computed.
    #[error(transparent)]
    Activations {
        /// Why; boxed, since it is larger than all else here.
        source: Box<activations::Error>,
    },
    /// No model was given.
    #[error("there is no model to measure")]
    NoModel,
    /// A model was given twice, to be measured by itself.
    #[error("model {model} is given twice")]
    ModelTwice {
        /// The model.
        model: ModelReference,
    },
    /// No text was given.
    #[error("there is no text to measure models on")]
    NoText,
    /// Two texts have the same name.
    #[error("there are two texts of the name {}", name.escape_debug())]
    SplitTwice {
        /// The name.
        name: String,
    },
    /// Two models that should be compared token by token are not equally wide.
    #[error("hidden states of {} have {} elements and those of {} have {}: they have no difference", a.0, a.1, b.0, b.1)]
    Widths {
        /// The baseline and its width.
        a: (String, usize),
        /// The changed model and its width.
        b: (String, usize),
    },
    /// Two models that should be compared token by token do not see the same tokens.
    #[error(
        "the tokenizers of {a} and {b} give other tokens for {differing} of {samples} samples, which cannot be \
         compared token by token"
    )]
    TokensDiffer {
        /// The baseline.
        a: String,
        /// The changed model.
        b: String,
        /// Samples with other tokens.
        differing: usize,
        /// All samples.
        samples: usize,
    },
    /// The tables could not be written.
    #[error("the tables cannot be written")]
    Tables {
        /// Why.
        source: report::Error,
    },
    /// A text does not say which part of a comparison is meant.
    #[error("`{}` is no part of a comparison", text.escape_debug())]
    Share {
        /// The text.
        text: String,
    },
    /// The task of a Slurm job array does not say which part of a comparison it is to do.
    #[error("no part follows from the Slurm array: {reason}")]
    SlurmArray {
        /// Why.
        reason: String,
    },
    /// There are no parts to merge.
    #[error("{} has no parts of a comparison", folder.display())]
    NoParts {
        /// The folder of the comparison.
        folder: PathBuf,
    },
    /// Not all parts of a comparison are there.
    #[error("{}", missing_parts(folder, missing, *count))]
    PartsMissing {
        /// The folder of the comparison.
        folder: PathBuf,
        /// Parts that are not there or not finished, from 0.
        missing: Vec<u32>,
        /// How many parts the comparison has.
        count: u32,
    },
    /// A comparison was shared in several ways.
    #[error("{} has parts of {} at once", folder.display(), shared(counts.iter(), " and of "))]
    PartsOfSeveral {
        /// The folder of the comparison.
        folder: PathBuf,
        /// Into how many parts.
        counts: Vec<u32>,
    },
    /// Two parts are of other comparisons.
    #[error("{} and {} are of different comparisons: they differ in {what}", one.display(), other.display())]
    PartsDiffer {
        /// A part.
        one: PathBuf,
        /// Another one.
        other: PathBuf,
        /// What is not the same.
        what: String,
    },
    /// A file of a part is missing, damaged, or of another version.
    #[error("{} cannot be merged", path.display())]
    Part {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// A table of a part does not hold what it should.
    #[error("a part cannot be merged")]
    PartTable {
        /// Why.
        source: report::Error,
    },
    /// There are no two models to compare.
    #[error("there are no two models to compare")]
    NothingToCompare,
    /// A baseline was given and nothing to compare it with.
    #[error("there is nothing to compare {base} with")]
    OnlyBaseline {
        /// The baseline.
        base: ModelReference,
    },
    /// A changed model was given and no baseline.
    #[error("there is no baseline to compare {changed} with")]
    NoBaseline {
        /// The changed model.
        changed: ModelReference,
    },
    /// A text does not say which two models are to be compared.
    #[error("`{}` does not name two models", text.escape_debug())]
    PairSyntax {
        /// The text.
        text: String,
    },
    /// The results of two pairs would be in one folder.
    #[error("two comparisons would write into the same folder, {folder}")]
    SameFolder {
        /// Its name.
        folder: String,
    },
    /// A run was to be limited to a step that it does not have.
    #[error("this run has no step `{}`", step.name())]
    NoSuchStep {
        /// The step.
        step: StepKind,
    },
    /// Power iterations were asked for together with what only certified norms have.
    #[error("sr_iters does not go with tolerance, top_k or full_spectrum")]
    PowerAndCertified,
    /// An environment variable has a value that makes no sense.
    #[error("environment variable {name} makes no sense")]
    Variable {
        /// Its name.
        name: &'static str,
        /// Why.
        source: Box<Error>,
    },
    /// A file of settings could not be read.
    #[error("cannot read {}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The refusal of the operating system.
        source: std::io::Error,
    },
    /// A file of settings has an unknown key, a value that makes no sense, or is no TOML.
    #[error("{}, line {line}: {message}", path.display())]
    ConfigMalformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// A file of settings would be overwritten.
    #[error("{} is there already", path.display())]
    ConfigExists {
        /// The file.
        path: PathBuf,
    },
    /// Settings cannot be written as a file: a path in them is no Unicode.
    #[error("the settings cannot be written as a file")]
    SettingsUnwritable {
        /// Why.
        source: Box<toml::ser::Error>,
    },
    /// What a job should ask of the cluster cannot stand in its script.
    #[error("the setting {setting} of slurm makes no sense: {reason}")]
    SlurmSetting {
        /// Its name in a file of settings.
        setting: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// A path cannot stand in a script.
    #[error("{} cannot stand in a script", path.display().to_string().escape_debug())]
    SlurmPath {
        /// The path.
        path: PathBuf,
    },
    /// Where this program is, or is run, is not known.
    #[error("the folder of this program, or the one that it is run in, is not known")]
    Programs {
        /// The refusal of the operating system.
        source: std::io::Error,
    },
    /// A program that jobs need is not where this one is.
    #[error("there is no {}", program.display())]
    SlurmProgram {
        /// Where it should be.
        program: PathBuf,
    },
    /// The program that submits jobs could not be run.
    #[error("sbatch cannot be run")]
    NoSbatch {
        /// Why.
        source: std::io::Error,
    },
    /// Jobs could not be submitted; none is left.
    #[error("no job was submitted by {}", script.display())]
    Submission {
        /// The script.
        script: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What earlier runs did is not known, or what this one did cannot be noted.
    #[error("{} cannot be used", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A report could not be made of tables, or not be written.
    #[error("the report cannot be made")]
    Report {
        /// Why.
        source: report::Error,
    },
    /// Pictures could not be made of tables, or not be written.
    #[error("the pictures cannot be made")]
    Plots {
        /// Why.
        source: report::Error,
    },
    /// A text does not say which column of what is meant.
    #[error("cannot take samples from `{}`: {reason}", text.escape_debug())]
    DatasetSpec {
        /// The text.
        text: String,
        /// Why not.
        reason: &'static str,
    },
    /// There is no source of samples.
    #[error("there is no data set to take samples from")]
    NoDataset,
    /// A data set was not found, or could not be downloaded.
    #[error("data set {id} cannot be obtained")]
    Dataset {
        /// Its name on the Hub.
        id: String,
        /// Why.
        source: Box<hub::Error>,
    },
    /// A file with samples could not be read.
    #[error("cannot read {}", path.display())]
    DatasetFile {
        /// The file.
        path: PathBuf,
        /// The refusal of the operating system.
        source: std::io::Error,
    },
    /// A file with samples is no Parquet, damaged, or compressed in a way that is not supported.
    #[error("{} cannot be read as Parquet", path.display())]
    DatasetParquet {
        /// The file.
        path: PathBuf,
        /// What parquet says.
        source: Box<arrow::error::ArrowError>,
    },
    /// A line of a file with samples is not as it should be.
    #[error("{}, line {line}: {message}", path.display())]
    DatasetLine {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong there.
        message: String,
    },
    /// A file with samples lacks the column that they should be in.
    #[error("{} has no column `{}`, but {}", path.display(), column.escape_debug(), intake::listed(present))]
    DatasetColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The columns that it has.
        present: Vec<String>,
    },
    /// A column that samples should be in holds something else.
    #[error("{}: column `{}` is no text, but {found}", path.display(), column.escape_debug())]
    DatasetColumnType {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// What it holds.
        found: String,
    },
    /// Not one row is a sample.
    #[error("{} has no sample: {}", spec.escape_debug(), counts.left_out().unwrap_or("no row".into()))]
    NoSample {
        /// What was asked for.
        spec: String,
        /// What became of its rows.
        counts: RowCounts,
    },
    /// The threads could not be started.
    #[error("cannot start {threads} threads")]
    Threads {
        /// How many were asked for; 0 for one a core.
        threads: usize,
        /// Why.
        source: rayon::ThreadPoolBuildError,
    },
    /// The task was interrupted; nothing was written.
    #[error("interrupted; nothing was written")]
    Interrupted,
    /// A comparison was interrupted; a run that resumes it takes over the finished matrices.
    #[error("interrupted; {finished} of {matrices} matrices are finished")]
    ComparisonInterrupted {
        /// Matrices that are kept.
        finished: usize,
        /// All matrices.
        matrices: usize,
    },
    /// A run of several steps was interrupted; the finished ones are kept.
    #[error("interrupted after {finished} of {steps} steps; the same command goes on from there")]
    RunInterrupted {
        /// Steps whose results are there.
        finished: usize,
        /// All steps.
        steps: usize,
    },
}

/// Which parts are missing: runs of them in short, and no more than fit into a message.
fn missing_parts(folder: &Path, missing: &[u32], count: u32) -> String {
    const MOST: usize = 8;
    let mut runs: Vec<[u32; 2]> = Vec::new();
    for part in missing {
        match runs.last_mut() {
            Some([_, last]) if last.checked_add(1) == Some(*part) => *last = *part,
            _ => runs.push([*part, *part]),
        }
    }
    let in_words = |[first, last]: &[u32; 2]| match last - first {
        0 => vec![first.to_string()],
        1 => vec![first.to_string(), last.to_string()],
        _ => vec![format!("{first} to {last}")],
    };
    let mut parts: Vec<String> = runs.iter().take(MOST).flat_map(in_words).collect();
    let more = runs.iter().skip(MOST).map(|[first, last]| u64::from(last - first) + 1).sum::<u64>();
    if more > 0 {
        parts.push(format!("{more} more"));
    }
    let (noun, are) = if missing.len() == 1 { ("part", "is") } else { ("parts", "are") };
    let parts = format!("{noun} {}", shared(parts.iter(), " and "));
    format!("{parts} of {count} {are} missing in {}", folder.display())
}

/// Things in a row, the last after another word.
fn shared(things: impl Iterator<Item = impl ToString>, word: &str) -> String {
    let mut things: Vec<String> = things.map(|thing| thing.to_string()).collect();
    let last = things.pop().unwrap_or_default();
    if things.is_empty() { last } else { format!("{}{word}{last}", things.join(", ")) }
}

fn and_others(others: usize) -> String {
    match others {
        0 => String::new(),
        1 => " and another one".to_owned(),
        others => format!(" and {others} others"),
    }
}

impl From<activations::Error> for Error {
    fn from(source: activations::Error) -> Self {
        Self::Activations { source: Box::new(source) }
    }
}

impl Error {
    /// What the user can do about it, as one sentence; empty where the message says it all.
    #[must_use]
    pub fn hint(&self) -> Cow<'static, str> {
        self.of_hub().map_or_else(|| self.own_hint().into(), |cause| cause.hint().into())
    }

    /// The cause that lies with the Hub or the way to it: by itself, or where a model is streamed, behind a failed read.
    fn of_hub(&self) -> Option<&hub::Error> {
        let mut cause = self.source();
        while let Some(error) = cause {
            let boxed = error.downcast_ref::<Box<hub::Error>>().map(AsRef::as_ref);
            // What an I/O error wraps is not among its sources.
            let wrapped =
                error.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref()?.downcast_ref());
            if let Some(found) = boxed.or(wrapped) {
                return Some(found);
            }
            cause = error.source();
        }
        None
    }

    fn own_hint(&self) -> &'static str {
        match self {
            Self::Model { source, .. } => source.hint(),
            Self::Activations { source } => source.hint(),
            Self::Variable { source, .. } => source.own_hint(),
            Self::Device { .. } => "choose another device, or --device cpu",
            Self::Matrix { source: spectral::Error::Device { .. }, .. } => {
                "if another program needs the device's memory, wait for it; --resume goes on from here, --device cpu does without"
            }
            Self::NoModel => "give models with --models, or two with --model-a and --model-b",
            Self::ModelTwice { .. } => "give each model once",
            Self::NoText => "give --forget-text, --retain-text or --split NAME=FILE",
            Self::SplitTwice { .. } => "give each text a name of its own",
            Self::Widths { .. } | Self::TokensDiffer { .. } => {
                "measure them one by one, as collect-activation-norms does with --models"
            }
            Self::Tables { source } | Self::Report { source } | Self::Plots { source } => source.hint(),
            Self::DatasetSpec { .. } => {
                "give hub-dataset:config:split:column, or a .parquet, .jsonl or .csv file and :column, or a .txt file"
            }
            Self::NoDataset => "give --forget or --retain something else than none",
            Self::DatasetFile { source, .. } | Self::Config { source, .. }
                if let Some(foreign) = Foreign::behind(source) =>
            {
                foreign.hint()
            }
            Self::DatasetFile { .. } => "check the path",
            Self::DatasetParquet { .. } => {
                "fetch or make the file again; its compression may be snappy, gzip, lz4 or zstd"
            }
            Self::DatasetLine { .. } => "correct the file",
            Self::DatasetColumn { .. } | Self::DatasetColumnType { .. } => "name a column of texts",
            Self::NoSample { .. } => "choose another column, or fewer characters with --min-chars",
            Self::Threads { .. } => "ask for fewer threads with --threads",
            Self::Settings { source } => match source {
                spectral::Error::FailureProbability(_) => "give --failure-probability a value such as 1e-9",
                spectral::Error::TopK { .. } => "give --top-k at most 64, or ask for --full-spectrum",
                spectral::Error::MaxPasses => "give --max-passes a value such as 128",
                _ => "give --tolerance a value such as 1e-4",
            },
            Self::Share { .. } => "give I/N with I from 0 to N-1, such as 0/4, or slurm in a Slurm job array",
            Self::SlurmArray { .. } => {
                "submit an array such as --array=0-7, or give the part, such as --shard 3/8"
            }
            Self::NoParts { .. } => {
                "give the folder of a comparison, <OUTDIR>/<A>__to__<B>, that was done with --shard"
            }
            Self::PartsMissing { .. } => "run what is missing with --shard, or wait until it has ended",
            Self::PartsOfSeveral { .. } => "remove the folders of those that are not to be merged",
            Self::PartsDiffer { .. } => "run one of them again, with the command of the others",
            Self::Part { .. } | Self::PartTable { .. } => "run this part again, without --resume",
            Self::NothingToCompare => "name a baseline and a changed model",
            Self::OnlyBaseline { .. } => {
                "give --filtered or --unlearned (environment variables and run.toml count too)"
            }
            Self::NoBaseline { .. } => "give --base, or the environment variable BASE",
            Self::PairSyntax { .. } => {
                "give A=B; where paths have an = themselves and do not exist yet, write the pair into a run.toml"
            }
            Self::SameFolder { .. } => "give each pair a name of its own in a run.toml",
            Self::NoSuchStep { .. } => {
                "texts are made only where neither models nor texts are given, and hidden states need texts"
            }
            Self::PowerAndCertified => {
                "leave out sr_iters for certified spectral norms, or the others for the scripts' way"
            }
            Self::Config { .. } | Self::ConfigMalformed { .. } => {
                "`model-diffs init FILE` writes one with all settings to look at"
            }
            Self::ConfigExists { .. } => "give another name, or --force to overwrite it",
            Self::SettingsUnwritable { .. } => "give paths that are Unicode",
            Self::SlurmSetting { .. } => "correct it",
            Self::SlurmPath { .. } => {
                "give a path that is Unicode, without control characters such as line breaks"
            }
            Self::SlurmProgram { .. } => "install it beside model-diffs",
            Self::NoSbatch { .. } => {
                "submit the jobs on a machine of the cluster; without --submit, scripts are written only"
            }
            Self::Submission { .. } => "sbatch said why",
            Self::State { .. } => "remove it",
            Self::ComparisonInterrupted { .. } => "the same command with --resume goes on from there",
            Self::NotObtained { .. }
            | Self::Dataset { .. }
            | Self::Programs { .. }
            | Self::UnknownDevices { .. }
            | Self::Matrix { .. }
            | Self::Interrupted
            | Self::RunInterrupted { .. } => "",
        }
    }

    /// The message followed by its causes, outermost first, in one line.
    #[must_use]
    pub fn with_causes(&self) -> String {
        let mut message = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let text = error.to_string();
            // Some libraries repeat their cause in their own message.
            if !message.ends_with(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            cause = error.source();
        }
        message
    }
}
