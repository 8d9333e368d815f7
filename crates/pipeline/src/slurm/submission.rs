//! The script that submits all jobs, and running it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Error;
use crate::slurm::jobs::Job;

/// A job that was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmittedJob {
    /// What it is called, as its script is.
    pub name: String,
    /// Its number on the cluster.
    pub id: String,
}

/// The script: all jobs or, where one is refused, none.
pub(crate) fn script(jobs: &[Job]) -> String {
    let mut script = r#"#!/usr/bin/env bash
# Submits the jobs of this folder, all or none, and prints their names and ids. Submitting them again once they have ended
# takes over what was finished.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"

names=() submitted=()
declare -A ids=()
trap '[ "$?" -eq 0 ] || [ "${#submitted[@]}" -eq 0 ] || scancel "${submitted[@]}"' EXIT
submit() { # NAME [OPTION]...
  local id
  id=$(sbatch --parsable "${@:2}" "$1.sbatch")
  id=${id%%;*} # the cluster's name may follow
  names+=("$1") submitted+=("$id") ids[$1]=$id
}

"#
    .to_owned();
    for job in jobs {
        let ids = |names: &[String]| {
            let ids: Vec<String> = names.iter().map(|name| format!("${{ids[{name}]}}")).collect();
            ids.join(":")
        };
        let conditions = [("afterok", &job.after_success_of), ("afterany", &job.after_end_of)];
        let conditions = conditions.iter().filter(|(_, names)| !names.is_empty());
        let conditions: Vec<String> =
            conditions.map(|(condition, names)| format!("{condition}:{}", ids(names))).collect();
        let _ = if conditions.is_empty() {
            writeln!(script, "submit {}", job.name)
        } else {
            writeln!(script, "submit {} --dependency=\"{}\"", job.name, conditions.join(","))
        };
    }
    script.push_str("\nfor name in \"${names[@]}\"; do echo \"$name ${ids[$name]}\"; done\n");
    script
}

/// Whether jobs can be submitted from here.
///
/// # Errors
/// [`Error::NoSbatch`].
pub fn check_sbatch() -> Result<(), Error> {
    let version = Command::new("sbatch").arg("--version").stdin(Stdio::null()).output();
    version.map(drop).map_err(|source| Error::NoSbatch { source })
}

/// Runs the [script](crate::SlurmFiles::submit) that submits all jobs. What sbatch says goes to stderr.
///
/// # Errors
/// [`Error::Submission`]; no job is left on the cluster then.
pub fn submit(script: &Path) -> Result<Vec<SubmittedJob>, Error> {
    let refused = |source| Error::Submission { script: script.into(), source };
    let mut command = Command::new("bash");
    let output = command.arg(script).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(refused)?;
    if !output.status.success() {
        return Err(refused(std::io::Error::other(format!("it ended with {}", output.status))));
    }
    let job = |line: &str| {
        let (name, id) = line.split_once(' ')?;
        Some(SubmittedJob { name: name.to_owned(), id: id.to_owned() })
    };
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(job).collect())
}
