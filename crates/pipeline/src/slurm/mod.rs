//! A run on a Slurm cluster: scripts for its jobs, and their submission.
//!
//! `options` says what jobs ask of the cluster, `jobs` divides a run into jobs and writes the script of each with words as
//! `quoting` has them, `submission` is the script that submits them all. Jobs are the tools themselves on a shared file
//! system: each comparison an array of `collect-param-stats --shard slurm --resume`, all else `model-diffs run` limited to
//! some steps.

mod jobs;
mod options;
mod quoting;
mod submission;

use std::path::{Path, PathBuf};

use hub::Target;
use report::Tables;

use crate::run::Plan;
use crate::slurm::jobs::{HIDDEN_STATES, PARAMETERS, PREPARE, Places, jobs, scripted};
use crate::{Error, Observer, RunOptions};

pub use options::{SlurmOptions, SlurmSettings};
pub use submission::{SubmittedJob, check_sbatch, submit};

/// What [`slurm`] wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlurmFiles {
    /// The folder of the scripts.
    pub folder: PathBuf,
    /// All files.
    pub files: Vec<PathBuf>,
    /// The one that submits the jobs.
    pub submit: PathBuf,
    /// What the jobs are called, in the order they are submitted.
    pub jobs: Vec<String>,
}

/// Writes the scripts of a run's jobs into `<outroot>/slurm`: for each comparison an array whose tasks compare a part of
/// its matrices each, a job that measures hidden states where there are texts, one that joins the parts, draws and
/// reports once these have ended, one before all of them where texts are to be made or models to be downloaded, and a
/// script that submits them all.
///
/// A task that is lost with its node is queued again and resumes from its journal. Submitting again takes over all that was
/// finished.
///
/// # Errors
/// As [`run`](crate::run()) before its first step, and [`Error::SlurmSetting`], [`Error::SlurmPath`],
/// [`Error::SlurmProgram`], [`Error::Tables`].
pub fn slurm(options: &SlurmOptions, observer: &dyn Observer) -> Result<SlurmFiles, Error> {
    let settings = &options.settings;
    let run = settings.clone().options()?;
    let plan = Plan::of(&run)?;
    settings.slurm.check()?;
    check_paths(&run, observer)?;
    let folder = folder_of(&run);
    let places = Places::of(options, &folder)?;
    for program in ["model-diffs", "collect-param-stats"] {
        let program = options.programs.join(format!("{program}{}", std::env::consts::EXE_SUFFIX));
        if !program.is_file() {
            return Err(Error::SlurmProgram { program });
        }
    }
    if settings.slurm.gpus.is_some() && !cfg!(feature = "cuda") && !run.splits.is_empty() {
        observer.warned("this program was built without CUDA, so hidden states would be computed beside the GPU, not on it");
    }
    let jobs = jobs(&run, &plan, &settings.slurm, &places)?;
    let mut scripts = vec![("run.toml".to_owned(), settings.to_toml()?)];
    scripts.extend(jobs.iter().map(|job| (job.file(), job.script(&settings.slurm, options, &places))));
    scripts.push(("submit.sh".to_owned(), submission::script(&jobs)));
    let folder = options.directory.join(folder);
    let files = write(&folder, &scripts).map_err(|source| Error::Tables { source })?;
    Ok(SlurmFiles {
        submit: folder.join("submit.sh"),
        jobs: jobs.into_iter().map(|job| job.name).collect(),
        folder,
        files,
    })
}

/// Where [`slurm`] writes its scripts.
fn folder_of(run: &RunOptions) -> PathBuf {
    run.outroot.join("slurm")
}

/// Refuses paths that no script can hold, and warns of those that are not there: on the nodes they may be.
fn check_paths(run: &RunOptions, observer: &dyn Observer) -> Result<(), Error> {
    let made = run.datasets.is_some();
    let texts = run.splits.iter().map(|split| (split.path.as_path(), made));
    let models = run.pairs.iter().flat_map(|pair| [&pair.a, &pair.b]);
    let models = models.map(|model| {
        let is_elsewhere = !matches!(model.target(), Target::Path(_));
        (Path::new(model.as_os_str()), is_elsewhere)
    });
    for (path, is_elsewhere) in texts.chain(models) {
        let text = scripted(path)?;
        if !is_elsewhere && !path.exists() {
            observer.warned(&format!("{text} does not exist, as seen from here"));
        }
    }
    Ok(())
}

/// Writes the scripts, and takes away those of jobs that an earlier set had and this one has not.
fn write(folder: &Path, scripts: &[(String, String)]) -> Result<Vec<PathBuf>, report::Error> {
    let mut files = Tables::create(folder, &[])?;
    for (name, text) in scripts {
        files.stage_file(name, text.as_bytes())?;
    }
    let written = files.finish()?;
    let is_stale = |name: &str| {
        let is_ours = |job: &str| [PREPARE, HIDDEN_STATES].contains(&job) || job.starts_with(PARAMETERS);
        name.strip_suffix(".sbatch").is_some_and(is_ours) && scripts.iter().all(|(script, _)| script != name)
    };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_stale) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    let logs = folder.join("logs"); // sbatch does not make it
    std::fs::create_dir_all(&logs).map_err(|source| report::Error::Folder { path: logs, source })?;
    Ok(written)
}
