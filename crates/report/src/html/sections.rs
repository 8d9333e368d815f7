//! The sections that are words: failures, findings, what became of every tensor, and where the numbers come from.

use std::collections::BTreeMap;

use super::{Activations, Comparison, HtmlReport};
use crate::escape::text;
use crate::findings_weights::are_gaps;
use crate::findings_words::count;
use crate::{Finding, Table};

/// The HTML of each item, one after the other.
fn joined<T>(items: &[T], html: impl Fn(&T) -> String) -> String {
    items.iter().map(html).collect()
}

/// What failed or has gaps; nothing if nothing does.
pub(crate) fn failures(failures: &[String]) -> String {
    if failures.is_empty() {
        return String::new();
    }
    let items = joined(failures, |failure| format!("<li>{}</li>", text(failure)));
    format!(
        "<section class=\"failures\" aria-labelledby=\"failures\"><h2 id=\"failures\">This report is not complete</h2>\
         <p>What follows is without the results of these:</p><ul>{items}</ul></section>"
    )
}

/// Findings under the headings that they are about.
pub(crate) fn findings(about: &[(String, Vec<Finding>)], activations: bool) -> String {
    let item = |finding: &Finding| {
        let class = if finding.is_caution { " class=\"caution\"" } else { "" };
        format!(
            "<li{class}>{}<span class=\"detail\">{}</span></li>",
            text(&finding.text),
            text(&finding.detail)
        )
    };
    let mut html = joined(about, |(heading, findings)| {
        format!("<article><h3>{}</h3><ul>{}</ul></article>\n", text(heading), joined(findings, item))
    });
    if !activations {
        html += "<article><h3>Hidden states</h3><ul><li class=\"caution\">No hidden states were measured: what the \
                 change does to activations is not known.</li></ul></article>";
    }
    html
}

/// Counts of each status and reason, gaps first.
pub(crate) fn ledger_summaries(comparisons: &[Comparison], short: &dyn Fn(&str) -> String) -> String {
    let summary = |comparison: &Comparison| {
        format!(
            "<h3>{}</h3><div class=\"scroll ledger\"><table><thead><tr><th>status</th><th>reason</th>\
             <th class=\"number\">tensors</th><th></th></tr></thead><tbody>{}</tbody></table></div>",
            text(&comparison.heading(short)),
            ledger_rows(&comparison.ledger)
        )
    };
    joined(comparisons, summary)
}

/// Shapes and counts make a reason of its own for many a tensor.
const MOST_ROWS: usize = 30;

fn ledger_rows(ledger: &Table) -> String {
    let column = |name| ledger.optional_texts(name);
    let mut counts: BTreeMap<(bool, String, String), usize> = BTreeMap::new();
    for ((status, reason), is_gap) in column("status").into_iter().zip(column("reason")).zip(are_gaps(ledger))
    {
        *counts.entry((!is_gap, status.unwrap_or_default(), reason.unwrap_or_default())).or_default() += 1;
    }
    let row = |((no_gap, status, reason), number): (&(bool, String, String), &usize)| {
        let (class, note) =
            if *no_gap { ("", "") } else { (" class=\"gap\"", "gap: should have been compared") };
        let reason = if reason.is_empty() { "–".to_owned() } else { text(reason) };
        format!(
            "<tr{class}><td>{}</td><td>{reason}</td><td class=\"number\">{number}</td><td>{note}</td></tr>",
            text(status)
        )
    };
    let mut rows: String = counts.iter().take(MOST_ROWS).map(row).collect();
    if let Some(more @ 1..) = counts.len().checked_sub(MOST_ROWS) {
        rows.push_str("<tr><td colspan=\"4\">and ");
        rows.push_str(&count(more, "other reason", "other reasons"));
        rows.push_str(": see the table</td></tr>");
    }
    rows
}

/// All that Parquet files say of their origin.
pub(crate) fn provenance(report: &HtmlReport, short: &dyn Fn(&str) -> String) -> String {
    let of_pair = |comparison: &Comparison| details(&comparison.heading(short), &comparison.per_matrix);
    let mut html = joined(&report.comparisons, of_pair);
    if let Some(Activations { norms, .. }) = &report.activations {
        html += &details("Hidden states", norms);
    }
    html
}

fn details(heading: &str, table: &Table) -> String {
    let row = |(key, value): (&str, &str)| {
        format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>", text(key), text(value))
    };
    let rows: String = table.provenance().entries().map(row).collect();
    let content = if rows.is_empty() {
        "<p>The tables are CSV, which does not tell where it comes from.</p>".into()
    } else {
        format!("<div class=\"scroll\"><table class=\"keys\"><tbody>{rows}</tbody></table></div>")
    };
    format!("<details><summary>{}</summary>{content}</details>\n", text(heading))
}
