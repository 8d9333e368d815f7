//! How a run is divided into jobs, and what these ask of the cluster.

use std::path::PathBuf;

use serde::Deserialize;

use crate::{Error, RunSettings, Share};

/// Parts of a comparison unless told otherwise.
const TASKS: u32 = 8;

/// What jobs ask of a cluster, each of which may be missing: the cluster has its own defaults. In a file of settings they
/// stand under `[slurm]` and have these names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SlurmSettings {
    /// Partition of the jobs.
    pub partition: Option<String>,
    /// Partition of the job that asks for GPUs; else that of all.
    pub gpu_partition: Option<String>,
    /// Account that the jobs are charged to.
    pub account: Option<String>,
    /// Most time of a job, as sbatch takes it: `30`, `2:00:00`, `1-12`.
    pub time: Option<String>,
    /// Tasks that the matrices of each comparison are divided among; else 8.
    pub tasks: Option<u32>,
    /// Cores of a task that compares or measures.
    pub cpus_per_task: Option<u32>,
    /// Memory of such a task, as sbatch takes it: `64G`.
    pub mem: Option<String>,
    /// GPUs that hidden states are measured on, as sbatch takes them: `1`, `h100:1`. So many has each task of a comparison
    /// too, if a GPU is named as its device.
    pub gpus: Option<String>,
    /// Further options of sbatch for all jobs, each as it would stand in a `#SBATCH` line.
    pub sbatch: Vec<String>,
    /// Shell commands at the beginning of every job, such as `module load cuda`.
    pub prologue: Vec<String>,
}

impl SlurmSettings {
    /// These settings, and where they lack one, that of `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let first = |own: Vec<String>, other: Vec<String>| if own.is_empty() { other } else { own };
        Self {
            partition: self.partition.or(other.partition),
            gpu_partition: self.gpu_partition.or(other.gpu_partition),
            account: self.account.or(other.account),
            time: self.time.or(other.time),
            tasks: self.tasks.or(other.tasks),
            cpus_per_task: self.cpus_per_task.or(other.cpus_per_task),
            mem: self.mem.or(other.mem),
            gpus: self.gpus.or(other.gpus),
            sbatch: first(self.sbatch, other.sbatch),
            prologue: first(self.prologue, other.prologue),
        }
    }

    /// Parts of each comparison.
    pub(crate) fn parts(&self) -> u32 {
        self.tasks.unwrap_or(TASKS)
    }

    /// That each can stand in a line of its own, and asks for something.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let bad = |setting: &'static str, reason: &'static str| Err(Error::SlurmSetting { setting, reason });
        for (setting, count) in [("tasks", self.tasks), ("cpus_per_task", self.cpus_per_task)] {
            if count == Some(0) {
                return bad(setting, "0 is none");
            }
        }
        if self.parts() > Share::MOST {
            return bad("tasks", "a comparison has at most 65536 parts");
        }
        let words = [
            ("partition", &self.partition),
            ("gpu_partition", &self.gpu_partition),
            ("account", &self.account),
            ("time", &self.time),
            ("mem", &self.mem),
            ("gpus", &self.gpus),
        ];
        let words = words.into_iter().filter_map(|(setting, value)| Some((setting, value.as_ref()?)));
        let sbatch = self.sbatch.iter().map(|option| ("sbatch", option));
        for (setting, value) in words.chain(sbatch).chain(self.prologue.iter().map(|line| ("prologue", line)))
        {
            if value.trim().is_empty() {
                return bad(setting, "it is empty");
            }
            if value.chars().any(char::is_control) {
                return bad(setting, "it has a line break or another control character");
            }
        }
        if self.sbatch.iter().any(|option| !option.starts_with('-')) {
            return bad("sbatch", "an option begins with -");
        }
        Ok(())
    }
}

/// Settings of [`slurm`](crate::slurm).
#[derive(Clone, Debug)]
pub struct SlurmOptions {
    /// The run, and what its jobs ask of the cluster.
    pub settings: RunSettings,
    /// The absolute folder that relative paths begin at. Jobs run there.
    pub directory: PathBuf,
    /// The absolute folder with the programs `model-diffs` and `collect-param-stats`.
    pub programs: PathBuf,
    /// Environment variables that every job sets; see [`kept_variables`](Self::kept_variables).
    pub environment: Vec<(String, String)>,
}

impl SlurmOptions {
    /// The variables that say where models of the Hub are: those that are set, and none that holds a credential.
    pub fn kept_variables(variable: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
        const NAMES: [&str; 8] = [
            "HF_HOME",
            "HF_HUB_CACHE",
            "HUGGINGFACE_HUB_CACHE",
            "XDG_CACHE_HOME",
            "HF_ENDPOINT",
            "HF_HUB_OFFLINE",
            "TRANSFORMERS_OFFLINE",
            "HF_HUB_DOWNLOAD_TIMEOUT",
        ];
        let set = NAMES.iter().filter_map(|name| Some(((*name).to_owned(), variable(name)?)));
        // A URL may have a password before an @.
        set.filter(|(name, value)| name != "HF_ENDPOINT" || !value.contains('@')).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_no_line_can_hold_are_refused() {
        let ok = "partition = 'a b'\ntasks = 3\nsbatch = ['--exclusive']\nprologue = ['module load cuda']";
        assert!(toml::from_str::<SlurmSettings>(ok).unwrap().check().is_ok());
        for text in [
            "tasks = 0",
            "cpus_per_task = 0",
            "tasks = 65537",
            "partition = ''",
            "account = ' '",
            "time = \"1\\n#SBATCH --x\"",
            "mem = \"1\\n2\"",
            "gpus = \"\\u0000\"",
            "gpu_partition = \"a\\rb\"",
            "sbatch = ['exclusive']",
            "sbatch = [\"--x\\ny\"]",
            "prologue = ['']",
        ] {
            let settings: SlurmSettings = toml::from_str(text).unwrap();
            assert!(matches!(settings.check(), Err(Error::SlurmSetting { .. })), "{text}");
        }
    }

    #[test]
    fn credentials_are_not_kept() {
        let all = |name: &str| Some(format!("value of {name}"));
        let kept = SlurmOptions::kept_variables(all);
        assert!(kept.contains(&("HF_HOME".into(), "value of HF_HOME".into())));
        assert!(kept.iter().all(|(name, _)| !name.contains("TOKEN") && !name.contains("KEY")), "{kept:?}");
        let endpoint = |url: &str| {
            let url = url.to_owned();
            SlurmOptions::kept_variables(|name| (name == "HF_ENDPOINT").then(|| url.clone())).len()
        };
        assert_eq!((endpoint("https://mirror"), endpoint("https://user:secret@mirror")), (1, 0));
    }
}
