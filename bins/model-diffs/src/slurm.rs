//! `model-diffs slurm`: the scripts of a run's jobs on a cluster.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use cli::{Exit, Printer, RunArguments, escape, run};
use pipeline::{
    Error, Observer, RunSettings, SlurmFiles, SlurmOptions, SlurmSettings, SubmittedJob, check_sbatch, slurm,
    submit,
};

use crate::settings::SettingsArguments;

const SLURM: &str = "\
Examples:
  model-diffs slurm --config run.toml --partition cpu --time 4:00:00 --tasks 16 --cpus-per-task 32 \\
    --mem 64G --gpus h100:1 --gpu-partition gpu --submit
  model-diffs slurm --base base --unlearned unlearned --sbatch=--qos=long \\
    --prologue 'module load cuda'

Settings are those of `model-diffs run`, and taken from the same places. Models, texts, programs and
<OUTROOT> must be on a file system that all nodes share.

Output in <OUTROOT>/slurm: scripts for sbatch, which bash runs too, and run.toml, the settings.
  prepare.sbatch        where texts are to be made or models to be downloaded: does that for all jobs;
                        if nodes have no network, run it by bash where there is one
  parameters-N.sbatch   an array for the Nth comparison; each task compares a part of the matrices
  hidden-states.sbatch  where there are texts; with --gpus on a GPU
  report.sbatch         once these have ended: joins the parts, draws and reports
  submit.sh             submits them all
  logs/                 what the jobs say

A task that is lost with its node is queued again and resumes from its journal. Where a job fails or
runs out of time, run submit.sh again once all have ended: what is finished is not done again. What
cannot be compared or measured fails no job but the last one, whose exit code is that of a run.

HF_HOME and the like are written into the scripts as they are set now. Credentials such as HF_TOKEN
are not: sbatch hands the environment that it is called in on to the jobs.

Exit codes:
  0    done
  2    bad usage, settings or input, or sbatch refused a job; no job is left then";

/// Compare models of your own on a Slurm cluster
///
/// Writes scripts for the jobs that a run is divided into: the comparison of parameters among the tasks of an array,
/// hidden states on a GPU, and pictures and a report once both are done.
#[derive(Debug, Args)]
#[command(after_help = SLURM, after_long_help = SLURM)]
pub(crate) struct SlurmCommand {
    /// Submit the jobs too, and print their names and ids
    #[arg(long, help_heading = "Slurm")]
    submit: bool,

    /// Partition of the jobs
    #[arg(long, value_name = "NAME", help_heading = "Slurm")]
    partition: Option<String>,

    /// Account that they are charged to
    #[arg(long, value_name = "NAME", help_heading = "Slurm")]
    account: Option<String>,

    /// Most time of a job, such as 30, 2:00:00 or 1-12
    #[arg(long, value_name = "TIME", help_heading = "Slurm")]
    time: Option<String>,

    /// Tasks that the matrices of each comparison are divided among [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Slurm")]
    tasks: Option<u32>,

    /// Cores of a task that compares or measures
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096), help_heading = "Slurm")]
    cpus_per_task: Option<u32>,

    /// Memory of such a task, such as 64G
    #[arg(long, value_name = "SIZE", help_heading = "Slurm")]
    mem: Option<String>,

    /// GPUs that hidden states are measured on, such as 1 or h100:1; each task of a comparison gets as many, if a GPU is
    /// named as its device
    #[arg(long, value_name = "GPUS", help_heading = "Slurm")]
    gpus: Option<String>,

    /// Partition that has them [default: that of all jobs]
    #[arg(long, value_name = "NAME", help_heading = "Slurm")]
    gpu_partition: Option<String>,

    /// Further option of sbatch for all jobs, as in --sbatch=--exclusive; may be given more than once
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true, help_heading = "Slurm")]
    sbatch: Vec<String>,

    /// Shell command at the beginning of each job; may be given more than once
    #[arg(long, value_name = "COMMAND", help_heading = "Slurm")]
    prologue: Vec<String>,

    #[command(flatten)]
    settings: SettingsArguments,

    #[command(flatten)]
    run: RunArguments,
}

impl SlurmCommand {
    pub(crate) fn perform(&self) -> ExitCode {
        run(
            self.run.verbosity(),
            |progress, _| self.written(progress),
            |printer, (files, jobs)| conclude(printer, files, jobs),
        )
    }

    fn written(&self, observer: &dyn Observer) -> Result<(SlurmFiles, Vec<SubmittedJob>), Error> {
        if self.submit {
            check_sbatch()?;
        }
        let files = slurm(&self.options()?, observer)?;
        let jobs = if self.submit { submit(&files.submit)? } else { Vec::new() };
        Ok((files, jobs))
    }

    fn options(&self) -> Result<SlurmOptions, Error> {
        let given = self.settings.given(self.run.threads())?;
        let unknown = |source| Error::Programs { source };
        let program = std::env::current_exe().map_err(unknown)?;
        Ok(SlurmOptions {
            settings: RunSettings { slurm: self.slurm().or(given.slurm.clone()), ..given },
            directory: std::env::current_dir().map_err(unknown)?,
            programs: program.parent().map(PathBuf::from).unwrap_or_default(),
            environment: SlurmOptions::kept_variables(|name| std::env::var(name).ok()),
        })
    }

    fn slurm(&self) -> SlurmSettings {
        SlurmSettings {
            partition: self.partition.clone(),
            gpu_partition: self.gpu_partition.clone(),
            account: self.account.clone(),
            time: self.time.clone(),
            tasks: self.tasks,
            cpus_per_task: self.cpus_per_task,
            mem: self.mem.clone(),
            gpus: self.gpus.clone(),
            sbatch: self.sbatch.clone(),
            prologue: self.prologue.clone(),
        }
    }
}

fn conclude(printer: Printer, files: &SlurmFiles, jobs: &[SubmittedJob]) -> Exit {
    let mut stdout = std::io::stdout().lock();
    for SubmittedJob { name, id } in jobs {
        // The jobs are on their way, whether or not anybody reads this.
        let _ = writeln!(stdout, "{name} {id}");
    }
    let folder = escape(&files.folder.to_string_lossy());
    if jobs.is_empty() {
        printer.say(format_args!("{}: {folder}", files.jobs.join(", ")));
        printer.say(format_args!("submit them: bash {}", escape(&files.submit.to_string_lossy())));
    } else {
        printer.say(format_args!("scripts and logs: {folder}"));
    }
    Exit::Done
}
