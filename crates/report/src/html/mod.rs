//! One HTML file that holds everything: findings in words, charts, tables, ledger and provenance. It loads nothing.
//!
//! What is said in words is HTML made here and can be read without JavaScript. Charts and tables are made in the browser
//! by the scripts in `assets`, from JSON in the page.

mod cells;
mod columns;
mod compared;
mod page_data;
mod sections;
mod spectra;
mod template;

use std::collections::BTreeMap;

use crate::distinct::distinct;
use crate::escape;
use crate::{Error, Table, activation_findings, short_labels, weight_findings};

/// The tables of one pair of models.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Name of the pair, such as `baseline → filtered`; if empty, made of the models' names.
    pub label: String,
    /// The baseline.
    pub a: String,
    /// The changed model.
    pub b: String,
    /// `per_matrix`.
    pub per_matrix: Table,
    /// `per_layer`.
    pub per_layer: Table,
    /// `per_component`.
    pub per_component: Table,
    /// `ledger`.
    pub ledger: Table,
    /// `singular_values`, where some were kept.
    pub singular_values: Option<Table>,
}

/// The tables of hidden states.
#[derive(Clone, Debug)]
pub struct Activations {
    /// `activation_norms`.
    pub norms: Table,
    /// `activation_diffs`.
    pub differences: Option<Table>,
    /// `activation_summary`.
    pub summary: Option<Table>,
}

/// What a report is made of.
///
/// ```
/// use report::{Activations, Bootstrap, HtmlReport, LayerNorms, Provenance, Site, Table, TokenNorms, activation_norm_rows};
///
/// let sample = TokenNorms { tokens: 2, sum_l2: 6.0, min_l2: 2.0, max_l2: 4.0, ..TokenNorms::default() };
/// let layer = LayerNorms { layer: 0, site: Site::Embed, samples: vec![sample, sample] };
/// let rows = activation_norm_rows("models/base", "retain", &[layer], &Bootstrap::new(2, 0));
/// let norms = Table::of(&rows, Provenance::default())?;
/// let page = HtmlReport {
///     title: "Base".into(),
///     comparisons: vec![],
///     activations: Some(Activations { norms, differences: None, summary: None }),
///     failures: vec![],
/// }
/// .render()?;
/// assert!(page.contains("<title>Base</title>") && page.contains("retain: 2 samples, 4 tokens"));
/// # Ok::<(), report::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct HtmlReport {
    /// Title of the page.
    pub title: String,
    /// Pairs of models.
    pub comparisons: Vec<Comparison>,
    /// Hidden states, where they were measured.
    pub activations: Option<Activations>,
    /// Steps that failed or could not compare everything, each in a sentence; they stand at the top.
    pub failures: Vec<String>,
}

impl HtmlReport {
    /// The page. The same tables give the same bytes.
    ///
    /// # Errors
    /// [`Error::Column`] if a table lacks a column that every version of it had.
    pub fn render(&self) -> Result<String, Error> {
        let names = self.short_names();
        let short = |name: &str| names.get(name).cloned().unwrap_or_else(|| name.to_owned());
        let mut findings = Vec::new();
        for comparison in &self.comparisons {
            let found = weight_findings(&comparison.per_matrix, &comparison.ledger)?;
            findings.push((comparison.heading(&short), found));
        }
        if let Some(Activations { norms, differences, .. }) = &self.activations {
            let found = activation_findings(norms, differences.as_ref(), &short)?;
            findings.push(("Hidden states".into(), found));
        }
        let mut data = page_data::of(self, &short)?;
        escape::for_script(&mut data);
        Ok(template::fill(&|part| match part {
            "title" => escape::text(&self.title),
            "failures" => sections::failures(&self.failures),
            "findings" => sections::findings(&findings, self.activations.is_some()),
            "compared" => compared::section(self, &short),
            "ledger" => sections::ledger_summaries(&self.comparisons, &short),
            "provenance" => sections::provenance(self, &short),
            "data" => data.clone(),
            _ => String::new(),
        }))
    }

    /// Short names of all models, by the names that the tables have.
    fn short_names(&self) -> BTreeMap<String, String> {
        let mut names: Vec<String> =
            self.comparisons.iter().flat_map(|pair| [pair.a.clone(), pair.b.clone()]).collect();
        if let Some(Activations { norms, differences, .. }) = &self.activations {
            names.extend(norms.texts("model").into_iter().flatten().flatten());
            for column in ["model_a", "model_b"] {
                let models = differences.as_ref().and_then(|table| table.texts(column));
                names.extend(models.into_iter().flatten().flatten());
            }
        }
        let names = distinct(names);
        let short = short_labels(&names);
        names.into_iter().zip(short).collect()
    }
}

impl Comparison {
    fn heading(&self, short: &dyn Fn(&str) -> String) -> String {
        if self.label.is_empty() {
            format!("{} → {}", short(&self.a), short(&self.b))
        } else {
            self.label.clone()
        }
    }
}
