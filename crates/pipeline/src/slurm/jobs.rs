//! The jobs that a run is divided into, and the script of each.

use std::fmt::Write as _;
use std::path::Path;

use activations::DeviceChoice;
use hub::Target;
use spectral::{Certification, Method};

use crate::run::{Plan, PlannedPair, VARIABLES, selection_name, zero_deltas_name};
use crate::slurm::options::SlurmSettings;
use crate::slurm::quoting::{directive, shell_flag, shell_word};
use crate::{Devices, Error, ParamStatsOptions, RunOptions, SlurmOptions, StepKind};

/// A job: what it asks for, what it waits for, and what it does.
pub(crate) struct Job {
    pub(crate) name: String,
    /// What it is for, in a line.
    about: String,
    /// Jobs that must have succeeded first.
    pub(crate) after_success_of: Vec<String>,
    /// Jobs that must have ended first, in whatever way.
    pub(crate) after_end_of: Vec<String>,
    directives: Vec<String>,
    /// A word each.
    command: Vec<String>,
    /// Whether exit code 1, which says that something is missing in the results, counts as success: the last job finds
    /// out and says so too.
    gaps_are_success: bool,
}

/// Paths as scripts have them.
pub(crate) struct Places {
    /// That of the scripts.
    pub(crate) folder: String,
    /// That of the settings, as seen from the directory that jobs run in.
    pub(crate) settings: String,
    pub(crate) directory: String,
    model_diffs: String,
    collect_param_stats: String,
}

impl Places {
    /// # Errors
    /// [`Error::SlurmPath`] for a path that no script can hold.
    pub(crate) fn of(options: &SlurmOptions, folder: &Path) -> Result<Self, Error> {
        let program =
            |name: &str| scripted(&options.programs.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)));
        Ok(Self {
            folder: scripted(&options.directory.join(folder))?,
            settings: scripted(&folder.join("run.toml"))?,
            directory: scripted(&options.directory)?,
            model_diffs: program("model-diffs")?,
            collect_param_stats: program("collect-param-stats")?,
        })
    }
}

/// A path as text of one line.
pub(crate) fn scripted(path: &Path) -> Result<String, Error> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control));
    text.map(str::to_owned).ok_or_else(|| Error::SlurmPath { path: path.into() })
}

/// All jobs of a run, in an order in which each comes after those that it waits for.
pub(crate) fn jobs(
    run: &RunOptions,
    plan: &Plan,
    slurm: &SlurmSettings,
    places: &Places,
) -> Result<Vec<Job>, Error> {
    let prepare = preparation(run, places);
    let job = |name: String, about: String| Job {
        name,
        about,
        after_success_of: prepare.iter().map(|job| job.name.clone()).collect(),
        after_end_of: Vec::new(),
        directives: computing(slurm),
        command: Vec::new(),
        gaps_are_success: true,
    };
    let mut arrays = Vec::new();
    for (number, planned) in (1..).zip(&plan.pairs) {
        let about = format!("Parameters, {}: each task compares a part of the matrices.", planned.label());
        let mut array = job(format!("{PARAMETERS}{number}"), escaped(&about));
        array.directives.insert(0, directive("array", &format!("0-{}", slurm.parts() - 1)));
        if is_gpu(&run.param_stats.devices) {
            array.directives.extend(slurm.gpus.iter().map(|gpus| directive("gpus", gpus)));
        }
        array.command = comparison(run, planned, slurm, places)?;
        arrays.push(array);
    }
    let hidden_states = (!run.splits.is_empty()).then(|| {
        let mut measuring =
            job(HIDDEN_STATES.to_owned(), "Hidden states of all models on all texts.".to_owned());
        measuring.directives.extend(slurm.gpus.iter().map(|gpus| directive("gpus", gpus)));
        measuring.command = steps(&[StepKind::HiddenStates], run, slurm.cpus_per_task, places);
        measuring
    });
    let name = |job: &Job| job.name.clone();
    let report = Job {
        after_success_of: arrays.iter().map(name).collect(),
        // A report of the rest is worth having.
        after_end_of: hidden_states.iter().map(name).collect(),
        directives: Vec::new(),
        command: steps(&[StepKind::Parameters, StepKind::Pictures, StepKind::Report], run, None, places),
        gaps_are_success: false,
        ..job("report".to_owned(), "Joins the parts, draws the pictures and makes the report.".to_owned())
    };
    Ok(prepare.into_iter().chain(arrays).chain(hidden_states).chain([report]).collect())
}

/// What jobs are called, and what those of comparisons begin with.
pub(crate) const PREPARE: &str = "prepare";
pub(crate) const PARAMETERS: &str = "parameters-";
pub(crate) const HIDDEN_STATES: &str = "hidden-states";

/// Makes texts and fetches models once, so that no task waits for another one's download.
fn preparation(run: &RunOptions, places: &Places) -> Option<Job> {
    let mut models = run.pairs.iter().flat_map(|pair| [&pair.a, &pair.b]);
    let is_fetched = !run.stream && models.any(|model| !matches!(model.target(), Target::Path(_)));
    let kinds = [(StepKind::Texts, run.datasets.is_some()), (StepKind::Models, is_fetched)];
    let kinds: Vec<StepKind> =
        kinds.iter().filter(|(_, is_wanted)| *is_wanted).map(|(kind, _)| *kind).collect();
    let what = kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" and ");
    (!kinds.is_empty()).then(|| Job {
        name: PREPARE.to_owned(),
        about: format!(
            "Fetches {what} for all other jobs. If nodes have no network, run it where there is one, by bash."
        ),
        after_success_of: Vec::new(),
        after_end_of: Vec::new(),
        directives: Vec::new(),
        command: steps(&kinds, run, None, places),
        gaps_are_success: false,
    })
}

/// Whether a device was named that only some nodes have. Where none was, comparisons take what they find.
fn is_gpu(devices: &Devices) -> bool {
    matches!(devices.first(), DeviceChoice::Cuda(_) | DeviceChoice::Metal)
}

/// What a job asks for that computes.
fn computing(slurm: &SlurmSettings) -> Vec<String> {
    let cpus = slurm.cpus_per_task.map(|cpus| directive("cpus-per-task", &cpus.to_string()));
    cpus.into_iter().chain(slurm.mem.as_ref().map(|mem| directive("mem", mem))).collect()
}

/// The run, limited to some steps.
fn steps(kinds: &[StepKind], run: &RunOptions, cpus: Option<u32>, places: &Places) -> Vec<String> {
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    let mut command = vec![
        shell_word(&places.model_diffs),
        "run".to_owned(),
        shell_flag("config", &places.settings),
        shell_flag("steps", &kinds.join(",")),
    ];
    command.extend(cpus.filter(|_| run.threads == 0).map(|cpus| shell_flag("threads", &cpus.to_string())));
    command
}

/// Text in a comment of a script.
fn escaped(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// The comparison of a pair's parameters, as the run would make it, but in parts.
fn comparison(
    run: &RunOptions,
    planned: &PlannedPair,
    slurm: &SlurmSettings,
    places: &Places,
) -> Result<Vec<String>, Error> {
    let given = run.param_stats_of(&planned.pair);
    let default = ParamStatsOptions::new("", "", "");
    let mut command = vec![shell_word(&places.collect_param_stats)];
    let mut flag = |name: &str, value: &str| command.push(shell_flag(name, value));
    flag("model-a", &scripted(Path::new(given.model_a.as_os_str()))?);
    flag("model-b", &scripted(Path::new(given.model_b.as_os_str()))?);
    flag("outdir", &scripted(&given.outdir)?);
    if let Some(name) = &given.name {
        flag("name", &scripted(Path::new(name))?);
    }
    if given.selection != default.selection {
        flag("include", selection_name(given.selection));
    }
    if given.devices != default.devices {
        flag("device", &given.devices.to_string());
    }
    match given.numerics.method {
        Method::PowerIteration { iterations } => flag("sr-iters", &iterations.to_string()),
        Method::Certified(Certification { tolerance, .. }) => {
            if tolerance != Certification::default().tolerance {
                flag("tolerance", &format!("{tolerance:e}"));
            }
        }
    }
    if given.numerics.top_k != default.numerics.top_k {
        flag("top-k", &given.numerics.top_k.to_string());
    }
    if given.zero_deltas != default.zero_deltas {
        flag("zero-deltas", zero_deltas_name(given.zero_deltas));
    }
    if given.numerics.seed != default.numerics.seed {
        flag("seed", &given.numerics.seed.to_string());
    }
    let threads = u32::try_from(given.threads).ok().filter(|threads| *threads > 0).or(slurm.cpus_per_task);
    if let Some(threads) = threads {
        flag("threads", &threads.to_string());
    }
    let switches = [("--full-spectrum", given.numerics.full_spectrum), ("--stream", given.stream)];
    command.extend(switches.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| (*name).to_owned()));
    command.extend(["--shard=slurm", "--resume"].map(String::from));
    Ok(command)
}

impl Job {
    /// The file of its script.
    pub(crate) fn file(&self) -> String {
        format!("{}.sbatch", self.name)
    }

    /// The script, which is one of sbatch and of bash.
    pub(crate) fn script(&self, slurm: &SlurmSettings, options: &SlurmOptions, places: &Places) -> String {
        let is_array = self.directives.iter().any(|directive| directive.starts_with("--array"));
        let takes_gpus = self.directives.iter().any(|directive| directive.starts_with("--gpus"));
        let partition = slurm.gpu_partition.as_ref().filter(|_| takes_gpus).or(slurm.partition.as_ref());
        let mut lines = vec![
            directive("job-name", &self.name),
            directive("chdir", &places.folder),
            directive("output", if is_array { "logs/%x.%A_%a.log" } else { "logs/%x.%j.log" }),
            "--open-mode=append".to_owned(), // of a task that is requeued
            "--requeue".to_owned(),
            "--kill-on-invalid-dep=yes".to_owned(),
            "--nodes=1".to_owned(),
            "--ntasks=1".to_owned(),
        ];
        lines.extend(self.directives.iter().cloned());
        lines.extend(partition.map(|partition| directive("partition", partition)));
        lines.extend(slurm.account.as_ref().map(|account| directive("account", account)));
        lines.extend(slurm.time.as_ref().map(|time| directive("time", time)));
        lines.extend(slurm.sbatch.iter().cloned());

        let mut script = "#!/usr/bin/env bash\n".to_owned();
        for line in lines {
            let _ = writeln!(script, "#SBATCH {line}");
        }
        let _ = writeln!(script, "\n# {}", self.about);
        let _ = writeln!(script, "# Written by model-diffs {}.\n", env!("CARGO_PKG_VERSION"));
        let _ = writeln!(script, "cd -- {} || exit 2", shell_word(&places.directory));
        for (name, value) in &options.environment {
            let _ = writeln!(script, "export {name}={}", shell_word(value));
        }
        for line in &slurm.prologue {
            let _ = writeln!(script, "{line}");
        }
        // Otherwise they would take precedence over the settings.
        let _ = writeln!(script, "unset {}\n", VARIABLES.join(" "));
        let _ = writeln!(script, "{}", self.command.join(" \\\n  "));
        if self.gaps_are_success {
            script.push_str(
                "status=$?\n\
                 # 1 says that something could not be compared or measured; the job `report` will say so again.\n\
                 [ \"$status\" -ne 1 ] || status=0\n\
                 exit \"$status\"\n",
            );
        }
        script
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelPair, RunSettings, Split};

    #[test]
    fn comparisons_ask_for_gpus_where_such_a_device_is_named() {
        let split = Split { name: "x".into(), path: "x.txt".into() };
        let mut run = RunOptions::new(vec![ModelPair::new("a", "b")], vec![split], "out");
        let slurm: SlurmSettings =
            toml::from_str("gpus = '2'\npartition = 'cpu'\ngpu_partition = 'gpu'").unwrap();
        let options = SlurmOptions {
            settings: RunSettings::default(),
            directory: "/work".into(),
            programs: "/programs".into(),
            environment: Vec::new(),
        };
        let places = Places::of(&options, Path::new("out/slurm")).unwrap();
        let mut script = |devices: Option<&str>, name: &str| {
            if let Some(devices) = devices {
                run.param_stats.devices = devices.parse().unwrap();
            }
            let jobs = jobs(&run, &Plan::of(&run).unwrap(), &slurm, &places).unwrap();
            jobs.iter().find(|job| job.name == name).unwrap().script(&slurm, &options, &places)
        };
        let gpus = "#SBATCH --gpus=2\n#SBATCH --partition=gpu\n";
        let array = script(None, "parameters-1");
        assert!(!array.contains("gpu") && !array.contains("--device"), "{array}");
        assert!(script(None, "hidden-states").contains(gpus));
        let array = script(Some("cpu"), "parameters-1");
        assert!(!array.contains("gpu") && array.contains("--device=cpu \\\n"), "{array}");
        for devices in ["cuda:all", "cuda:0,cuda:1"] {
            let array = script(Some(devices), "parameters-1");
            assert!(array.contains(gpus) && array.contains(&format!("--device={devices} \\\n")), "{array}");
            assert!(!script(None, "report").contains("gpu"));
        }
    }
}
