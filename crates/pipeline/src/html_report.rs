//! Makes one HTML report of the tables that other tasks wrote.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use report::{Activations, Comparison, HtmlReport, Table, write_file};

use crate::setup::unless_interrupted;
use crate::{Error, Observer};

/// Where the tables of one pair of models are.
#[derive(Clone, Debug)]
pub struct ComparisonTables {
    /// Name of the pair; if empty, made of the models' names.
    pub label: String,
    /// The baseline, as the report is to name it: its path, say.
    pub a: String,
    /// The changed model.
    pub b: String,
    /// The folder that [`param_stats`](crate::param_stats) wrote.
    pub folder: PathBuf,
}

/// Settings of [`html_report`].
#[derive(Clone, Debug)]
pub struct HtmlReportOptions {
    /// Title of the page.
    pub title: String,
    /// Pairs of models.
    pub comparisons: Vec<ComparisonTables>,
    /// The folder that [`activation_norms`](crate::activation_norms) wrote.
    pub activations: Option<PathBuf>,
    /// The file to write.
    pub file: PathBuf,
    /// Steps that failed, each in a sentence.
    pub failures: Vec<String>,
}

/// Reads the tables, as Parquet if they are there, since that tells where they come from, and else as CSV, and writes
/// the report. Returns its path.
///
/// # Errors
/// [`Error::Report`] if a table is missing or none, or the report cannot be written; [`Error::Interrupted`]. Nothing is
/// written then.
pub fn html_report(
    options: &HtmlReportOptions,
    _observer: &dyn Observer,
    interrupted: &AtomicBool,
) -> Result<PathBuf, Error> {
    let refused = |source| Error::Report { source };
    let mut comparisons = Vec::with_capacity(options.comparisons.len());
    for pair in &options.comparisons {
        unless_interrupted(interrupted)?;
        comparisons.push(comparison(pair).map_err(refused)?);
    }
    let activations = options.activations.as_deref().map(activations).transpose().map_err(refused)?;
    let report = HtmlReport {
        title: options.title.clone(),
        comparisons,
        activations,
        failures: options.failures.clone(),
    };
    let page = report.render().map_err(refused)?;
    unless_interrupted(interrupted)?;
    write_file(&options.file, page.as_bytes()).map_err(refused)?;
    Ok(options.file.clone())
}

fn comparison(pair: &ComparisonTables) -> Result<Comparison, report::Error> {
    let table = |name| needed(&pair.folder, name);
    Ok(Comparison {
        label: pair.label.clone(),
        a: pair.a.clone(),
        b: pair.b.clone(),
        per_matrix: table("per_matrix")?,
        per_layer: table("per_layer")?,
        per_component: table("per_component")?,
        ledger: table("ledger")?,
        singular_values: optional(&pair.folder, "singular_values")?,
    })
}

fn activations(folder: &Path) -> Result<Activations, report::Error> {
    Ok(Activations {
        norms: needed(folder, "activation_norms")?,
        differences: optional(folder, "activation_diffs")?,
        summary: optional(folder, "activation_summary")?,
    })
}

fn needed(folder: &Path, name: &str) -> Result<Table, report::Error> {
    // Reading what is not there says so, with the path.
    optional(folder, name)?.map_or_else(|| Table::read(folder.join(name).with_extension("csv")), Ok)
}

fn optional(folder: &Path, name: &str) -> Result<Option<Table>, report::Error> {
    let files = ["parquet", "csv"].map(|extension| folder.join(name).with_extension(extension));
    files.into_iter().find(|file| file.exists()).map(Table::read).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Hub, ParamStatsOptions, param_stats};

    fn tables(folder: &Path) -> PathBuf {
        let pair = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/pairs/neox");
        let options = ParamStatsOptions::new(format!("{pair}/a"), format!("{pair}/b"), folder);
        param_stats(&options, &Hub::default(), &(), &AtomicBool::new(false)).unwrap().folder
    }

    fn report(folder: &Path, file: &Path) -> Result<PathBuf, Error> {
        let (label, a, b) = (String::new(), "models/a".into(), "models/b".into());
        let options = HtmlReportOptions {
            title: "Two models".into(),
            comparisons: vec![ComparisonTables { label, a, b, folder: folder.into() }],
            activations: None,
            file: file.into(),
            failures: vec!["activation norms: no text".into()],
        };
        html_report(&options, &(), &AtomicBool::new(false))
    }

    #[test]
    fn parquet_is_preferred_and_csv_will_do() {
        let folder = tempfile::tempdir().unwrap();
        let tables = tables(folder.path());
        let file = folder.path().join("new").join("report.html");
        report(&tables, &file).unwrap();
        let page = std::fs::read_to_string(&file).unwrap();
        for said in
            ["<title>Two models", "6 of 13 compared matrices", "model_diffs.seed", "no text", "models/a"]
        {
            assert!(page.contains(said), "{said}");
        }
        for name in ["per_matrix", "per_layer", "per_component", "ledger"] {
            std::fs::remove_file(tables.join(name).with_extension("parquet")).unwrap();
        }
        report(&tables, &file).unwrap();
        let page = std::fs::read_to_string(&file).unwrap();
        assert!(page.contains("6 of 13 compared matrices") && !page.contains("model_diffs.seed"));
    }

    #[test]
    fn a_missing_table_is_named_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("report.html");
        let error = report(folder.path(), &file).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.ends_with("per_matrix.csv") && !error.hint().is_empty(), "{cause}");
        let interrupted = AtomicBool::new(true);
        let (title, comparisons, failures) = (String::new(), Vec::new(), Vec::new());
        let options =
            HtmlReportOptions { title, comparisons, activations: None, file: file.clone(), failures };
        assert!(matches!(html_report(&options, &(), &interrupted), Err(Error::Interrupted)));
        assert!(!file.exists());
    }
}
