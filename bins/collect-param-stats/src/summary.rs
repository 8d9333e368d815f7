//! The few lines at the end: what was compared, what changed most, what could not be compared, where the tables are.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use cli::{Printer, Verbosity, escape};
use pipeline::{COMPARED, ParamStats};
use report::{LedgerRow, MatrixRow};

/// Most changed matrices that are named.
const NAMED: usize = 5;
/// Names of gaps that are shown without `--verbose`.
const GAPS: usize = 5;

pub(crate) fn print(printer: Printer, found: &ParamStats) {
    printer.say(text(found, printer.verbosity()).trim_end());
}

fn text(found: &ParamStats, verbosity: Verbosity) -> String {
    let mut text = String::new();
    let changed = found.matrices.iter().filter(|row| row.changed_fraction.is_some_and(|share| share > 0.0));
    let mut changed: Vec<&MatrixRow> = changed.collect();
    let matrices = if found.matrices.len() == 1 { "matrix" } else { "matrices" };
    let _ = writeln!(text, "{} {matrices} compared, {} changed", found.matrices.len(), changed.len());

    // By ‖dW‖/‖W‖; a change from zero has no such ratio and comes first.
    let size = |row: &MatrixRow| row.delta_frobenius_relative.unwrap_or(f64::INFINITY);
    changed.sort_by(|a, b| size(b).total_cmp(&size(a)).then_with(|| a.name.cmp(&b.name)));
    let most: Vec<&MatrixRow> = changed.into_iter().take(NAMED).collect();
    if !most.is_empty() {
        let _ = writeln!(text, "most changed:");
        let _ = writeln!(text, "  {:>9}  {:>11}  matrix", "|dW|/|W|", "stable rank");
        for row in most {
            let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.4}"));
            let relative = row.delta_frobenius_relative.map_or("-".into(), |value| format!("{value:.2e}"));
            let rank = number(row.delta_stable_rank);
            let _ = writeln!(text, "  {relative:>9}  {rank:>11}  {}", escape(&row.name));
        }
    }

    for (stop, why) in [("budget", "--max-passes ran out"), ("round_off", "32-bit arithmetic tells no more")]
    {
        let wider = found
            .matrices
            .iter()
            .filter(|row| [&row.delta, &row.a, &row.b].into_iter().any(|columns| columns.stop == Some(stop)));
        match wider.count() {
            0 => {}
            count => {
                let total = found.matrices.len();
                let _ = writeln!(text, "intervals wider than --tolerance in {count} of {total}: {why}");
            }
        }
    }

    let mut skipped: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for row in found.ledger.iter().filter(|row| !row.selected && row.status != COMPARED) {
        *skipped.entry((row.status, why(row))).or_default() += 1;
    }
    if !skipped.is_empty() {
        let parts = skipped.iter().map(|((status, why), count)| match *why {
            "" => format!("{count} {status}"),
            why => format!("{count} {why}"),
        });
        let parts: Vec<String> = parts.collect();
        let _ = writeln!(text, "not selected: {}", parts.join(", "));
    }

    let gaps: Vec<&LedgerRow> = found.gaps().collect();
    if !gaps.is_empty() {
        let _ = writeln!(text, "not comparable: {}", gaps.len());
        let shown = if verbosity == Verbosity::Verbose { gaps.len() } else { GAPS };
        for row in gaps.iter().take(shown) {
            let reason = escape(row.reason.as_deref().unwrap_or_default());
            let _ = writeln!(text, "  {} {}: {reason}", row.status, escape(&row.name));
        }
        if gaps.len() > shown {
            let _ = writeln!(text, "  and {} more in the ledger", gaps.len() - shown);
        }
    }
    if found.matrices.is_empty() && found.share.is_none() {
        let _ = writeln!(text, "nothing could be compared: are these two models of one architecture?");
    }
    let folder = |path: &Path| escape(&path.to_string_lossy());
    let _ = match found.share {
        None => writeln!(text, "tables: {}", folder(&found.folder)),
        Some(share) => writeln!(
            text,
            "part {}/{}: {}\nonce all {} are there: collect-param-stats merge {}",
            share.index(),
            share.count(),
            folder(&found.folder),
            share.count(),
            folder(found.folder.ancestors().nth(2).unwrap_or(Path::new(""))),
        ),
    };
    text
}

/// The reason of a name that is not selected, where it is one of few words.
fn why(row: &LedgerRow) -> &str {
    match row.status {
        "not_linear" => row.reason.as_deref().unwrap_or_default(),
        _ => "",
    }
}
