//! The end of a run: what was found, where to look, what could not be done and why.

use std::fmt::Write as _;
use std::io::Write as _;

use cli::{Printer, Verbosity, escape, message};
use pipeline::{RunOutcome, StepStatus};

pub(crate) fn print(printer: Printer, outcome: &RunOutcome) {
    let text = text(outcome, printer.verbosity());
    if !text.is_empty() {
        printer.say(text.trim_end());
    }
    for step in &outcome.steps {
        if let StepStatus::Failed(error) = &step.status {
            // Errors are said however quiet a run is to be.
            let _ = writeln!(std::io::stderr(), "\n{} failed\n{}", escape(&step.name), message(error));
        }
    }
}

fn text(outcome: &RunOutcome, verbosity: Verbosity) -> String {
    let is_verbose = verbosity == Verbosity::Verbose;
    let mut text = String::new();
    for headlines in &outcome.headlines {
        let _ = writeln!(text, "\n{}", escape(&headlines.about));
        for finding in &headlines.findings {
            let detail = if is_verbose { &finding.detail } else { "" };
            let _ = writeln!(text, "  {}", escape(format!("{} {detail}", finding.text).trim_end()));
        }
    }
    for step in &outcome.steps {
        if let Some(gaps) = &step.gaps {
            let _ = writeln!(text, "\ngaps in {}: {}", escape(&step.name), escape(gaps));
        }
    }
    if is_verbose {
        text.push('\n');
        for step in &outcome.steps {
            let _ = writeln!(text, "{:>8.1} s  {}", step.duration.as_secs_f64(), escape(&step.name));
        }
    }
    let mut places = Vec::new();
    for (what, below) in [
        ("report", "report.html"),
        ("pictures", "plots"),
        ("tables", "param_stats"),
        ("tables", "activation_norms"),
    ] {
        let place = outcome.outroot.join(below);
        if outcome.steps.iter().flat_map(|step| &step.outputs).any(|file| file.starts_with(&place)) {
            places.push(format!("{:<9} {}\n", format!("{what}:"), escape(&place.to_string_lossy())));
        }
    }
    if !places.is_empty() {
        let _ = writeln!(text, "\n{}", places.concat());
    }
    text
}
