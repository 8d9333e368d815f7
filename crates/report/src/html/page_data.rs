//! What the scripts of the page are given.

use serde::Serialize;

use super::cells::{Cells, cells};
use super::columns::PageTable;
use super::spectra::{Spectra, spectra};
use super::{Activations, Comparison, HtmlReport};
use crate::Error;

#[derive(Serialize)]
struct PageData {
    comparisons: Vec<PageComparison>,
    activations: Option<PageActivations>,
    /// Name of a model in the tables, and a short one.
    models: Vec<(String, String)>,
}

#[derive(Serialize)]
struct PageComparison {
    label: String,
    by_component: Cells,
    by_group: Cells,
    by_layer: Cells,
    per_matrix: PageTable,
    per_layer: PageTable,
    per_component: PageTable,
    ledger: PageTable,
    spectra: Option<Spectra>,
}

#[derive(Serialize)]
struct PageActivations {
    norms: PageTable,
    differences: Option<PageTable>,
    summary: Option<PageTable>,
}

/// As JSON.
pub(crate) fn of(report: &HtmlReport, short: &dyn Fn(&str) -> String) -> Result<String, Error> {
    let comparison = |comparison: &Comparison| PageComparison::of(comparison, comparison.heading(short));
    let comparisons = report.comparisons.iter().map(comparison).collect::<Result<_, _>>()?;
    let activations = report.activations.as_ref().map(|Activations { norms, differences, summary }| {
        let table = |table: &Option<_>| table.as_ref().map(PageTable::of);
        PageActivations {
            norms: PageTable::of(norms),
            differences: table(differences),
            summary: table(summary),
        }
    });
    let models = report.short_names().into_iter().collect();
    Ok(serde_json::to_string(&PageData { comparisons, activations, models })?)
}

impl PageComparison {
    fn of(comparison: &Comparison, label: String) -> Result<Self, Error> {
        let per_matrix = &comparison.per_matrix;
        let components = per_matrix.texts("component").or_else(|| per_matrix.texts("group"));
        let groups = per_matrix.texts("group");
        let name = |names: &Option<Vec<Option<String>>>, row: usize| {
            Some(
                names
                    .as_ref()
                    .and_then(|names| names.get(row).cloned().flatten())
                    .unwrap_or_else(|| "other".into()),
            )
        };
        let layer = per_matrix.layers();
        let in_layer = |row: usize| layer.get(row).copied().flatten().map(|_| label.clone());
        Ok(Self {
            by_component: cells(per_matrix, &|row| name(&components, row))?,
            by_group: cells(per_matrix, &|row| name(&groups, row))?,
            by_layer: cells(per_matrix, &in_layer)?,
            per_matrix: PageTable::of(per_matrix),
            per_layer: PageTable::of(&comparison.per_layer),
            per_component: PageTable::of(&comparison.per_component),
            ledger: PageTable::of(&comparison.ledger),
            spectra: comparison.singular_values.as_ref().and_then(|values| spectra(values, per_matrix)),
            label,
        })
    }
}
