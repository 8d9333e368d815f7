//! The few lines at the end: how much text each model saw, its norms, where two models differ, where the tables are.

use std::fmt::Write;

use bytesize::ByteSize;
use cli::{Printer, Verbosity, counted, escape};
use pipeline::ActivationNorms;
use report::{ActivationDifferenceRow, Site};

pub(crate) fn print(printer: Printer, found: &ActivationNorms) {
    printer.say(text(found, printer.verbosity()).trim_end());
}

fn text(found: &ActivationNorms, verbosity: Verbosity) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "computed on {} in {}", found.device, found.dtype);
    let budget = ByteSize(found.memory_budget).display().iec();
    if found.windows > 1 {
        let times = found.windows;
        let _ = writeln!(text, "weights were read {times} times, to keep to a memory budget of {budget}");
    } else if verbosity == Verbosity::Verbose {
        let _ = writeln!(text, "memory budget: {budget}; all samples fit");
    }
    let _ = writeln!(text, "  samples   tokens  truncated  mean norm  split, model");
    for (counts, row) in found.texts.iter().zip(&found.summary) {
        let mean = row.norm_mean.map_or("-".into(), |mean| format!("{mean:.4}"));
        let (samples, tokens, cut) = (counts.samples, counts.tokens, counts.truncated);
        let (split, model) = (escape(&counts.split), escape(&counts.model));
        let _ = writeln!(text, "  {samples:>7}  {tokens:>7}  {cut:>9}  {mean:>9}  {split}, {model}");
    }
    for counts in found.texts.iter().filter(|counts| counts.empty > 0) {
        let (split, model) = (escape(&counts.split), escape(&counts.model));
        let samples = counted(counts.empty, "sample");
        let _ = writeln!(text, "left out: {samples} without a token in {split}, {model}");
    }
    for row in found.non_finite() {
        let (split, model) = (escape(&row.split), escape(&row.model));
        let tokens = counted(row.non_finite_tokens as usize, "token");
        let _ = writeln!(text, "not finite: the hidden states of {tokens} in {split}, {model}");
    }
    differences(&mut text, &found.differences);
    let _ = writeln!(text, "tables: {}", escape(&found.folder.to_string_lossy()));
    text
}

/// For each split the layer at which two models differ most, relative to model A.
fn differences(text: &mut String, rows: &[ActivationDifferenceRow]) {
    let largest = |split: &str| {
        rows.iter()
            // pre_norm is no layer of its own.
            .filter(|row| row.split == split && row.site != Site::PreNorm)
            .filter_map(|row| Some((row.relative_difference_mean?, row)))
            .max_by(|(a, _), (b, _)| a.total_cmp(b))
    };
    let mut splits: Vec<&str> = rows.iter().map(|row| row.split.as_str()).collect();
    splits.dedup();
    for split in splits {
        let Some((relative, row)) = largest(split) else { continue };
        let layer = row.layer;
        let split = escape(split);
        let _ = if relative > 0.0 {
            writeln!(text, "largest |h_b - h_a|/|h_a| on {split}: {relative:.3e} at layer {layer}")
        } else {
            writeln!(text, "no difference on {split}")
        };
    }
    let Some((forget, row)) = largest("forget") else { return };
    let same_layer = |other: &&ActivationDifferenceRow| {
        (other.split.as_str(), other.layer, other.site) == ("retain", row.layer, row.site)
    };
    let retain = rows.iter().find(same_layer).and_then(|row| row.relative_difference_mean);
    if let Some(retain) = retain.filter(|retain| *retain > 0.0) {
        let (layer, ratio) = (row.layer, forget / retain);
        let _ = writeln!(text, "forget / retain at layer {layer}: {ratio:.3}");
    }
}
