//! Pictures of tables: from files to files.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use rayon::prelude::*;
use report::{Picture, Table, Tables, activation_pictures, param_stats_pictures, short_labels};

use crate::provenance::PREFIX;
use crate::setup::unless_interrupted;
use crate::{Error, Observer};

/// File format of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PictureFormat {
    /// Pixels, 7 inches wide at 300 pixels an inch.
    Png,
    /// Lines and areas; text is outlines, so that it looks the same everywhere.
    Svg,
}

impl PictureFormat {
    /// File name extension.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Svg => "svg",
        }
    }
}

/// What [`plot_param_stats`] draws, and where it puts it.
#[derive(Clone, Debug)]
pub struct PlotParamStatsOptions {
    /// The table `per_layer`, as CSV or Parquet.
    pub per_layer: PathBuf,
    /// The table `per_matrix`; if none is given, the one in the same folder is taken where there is one.
    pub per_matrix: Option<PathBuf>,
    /// The table `singular_values`; if none is given, the one in the same folder is taken where there is one.
    pub singular_values: Option<PathBuf>,
    /// The folder for the pictures.
    pub outdir: PathBuf,
    /// Stands below each picture's own title; if none is given, the models that the tables or their folder name.
    pub title: Option<String>,
    /// The formats, each of which every picture is written in.
    pub formats: Vec<PictureFormat>,
}

/// What [`plot_activation_norms`] draws, and where it puts it.
#[derive(Clone, Debug)]
pub struct PlotActivationNormsOptions {
    /// The table `activation_norms`, as CSV or Parquet.
    pub norms: PathBuf,
    /// The table `activation_diffs`; if none is given, the one in the same folder is taken where there is one.
    pub differences: Option<PathBuf>,
    /// The folder for the pictures.
    pub outdir: PathBuf,
    /// Stands below each picture's own title.
    pub title: Option<String>,
    /// The formats, each of which every picture is written in.
    pub formats: Vec<PictureFormat>,
}

/// Pictures that were written.
#[derive(Clone, Debug)]
pub struct Plotted {
    /// The folder with the pictures.
    pub folder: PathBuf,
    /// The files written.
    pub files: Vec<PathBuf>,
    /// The tables that were not given but found beside the one that was.
    pub found: Vec<PathBuf>,
}

/// Draws the tables of [`param_stats`](crate::param_stats): see [`report::param_stats_pictures`].
///
/// # Errors
/// [`Error::Plots`] for a table that cannot be read or has nothing to plot, and for pictures that cannot be written;
/// [`Error::Interrupted`]. No picture is written then.
pub fn plot_param_stats(
    options: &PlotParamStatsOptions,
    _: &dyn Observer,
    interrupted: &AtomicBool,
) -> Result<Plotted, Error> {
    let mut found = Vec::new();
    let per_layer = Table::read(&options.per_layer).map_err(failed)?;
    let mut beside =
        |given: Option<&PathBuf>, name| read_or_find(given, &options.per_layer, name, &mut found);
    let per_matrix = beside(options.per_matrix.as_ref(), "per_matrix")?;
    let singular_values = beside(options.singular_values.as_ref(), "singular_values")?;
    let title = options.title.clone().unwrap_or_else(|| models_of(&per_layer));
    let pictures = param_stats_pictures(&per_layer, per_matrix.as_ref(), singular_values.as_ref(), &title)
        .map_err(failed)?;
    write(&pictures, &options.outdir, &options.formats, found, interrupted)
}

/// Draws the tables of [`activation_norms`](crate::activation_norms()): see [`report::activation_pictures`].
///
/// # Errors
/// As [`plot_param_stats`].
pub fn plot_activation_norms(
    options: &PlotActivationNormsOptions,
    _: &dyn Observer,
    interrupted: &AtomicBool,
) -> Result<Plotted, Error> {
    let mut found = Vec::new();
    let norms = Table::read(&options.norms).map_err(failed)?;
    let differences =
        read_or_find(options.differences.as_ref(), &options.norms, "activation_diffs", &mut found)?;
    let title = options.title.as_deref().unwrap_or_default();
    let pictures = activation_pictures(&norms, differences.as_ref(), title).map_err(failed)?;
    write(&pictures, &options.outdir, &options.formats, found, interrupted)
}

fn failed(source: report::Error) -> Error {
    Error::Plots { source }
}

/// The table that was given, or the one of that name in the same folder as another: the same run wrote it.
fn read_or_find(
    given: Option<&PathBuf>,
    other: &Path,
    name: &str,
    found: &mut Vec<PathBuf>,
) -> Result<Option<Table>, Error> {
    if let Some(path) = given {
        return Table::read(path).map(Some).map_err(failed);
    }
    let own = other.extension().unwrap_or_default().to_string_lossy();
    let candidates =
        [&*own, "parquet", "csv"].map(|extension| other.with_file_name(name).with_extension(extension));
    let Some(path) = candidates.into_iter().find(|path| path != other && path.is_file()) else {
        return Ok(None);
    };
    let table = Table::read(&path).map_err(failed)?;
    found.push(path);
    Ok(Some(table))
}

/// The compared models: Parquet names them, and so does the folder of either format; else nothing.
fn models_of(table: &Table) -> String {
    let entry = |key: &str| table.provenance().get(&format!("{PREFIX}{key}")).map(str::to_owned);
    let folder = table.path().parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    match (entry("model_a"), entry("model_b"), folder.split_once("__to__")) {
        (Some(a), Some(b), _) => short_labels(&[a, b]).join(" → "),
        (_, _, Some((a, b))) => format!("{a} → {b}"),
        _ => String::new(),
    }
}

/// Writes all pictures or none.
fn write(
    pictures: &[Picture],
    outdir: &Path,
    formats: &[PictureFormat],
    found: Vec<PathBuf>,
    interrupted: &AtomicBool,
) -> Result<Plotted, Error> {
    let files: Vec<(&Picture, PictureFormat)> =
        pictures.iter().flat_map(|picture| formats.iter().map(move |format| (picture, *format))).collect();
    let drawn = |(picture, format): &(&Picture, PictureFormat)| {
        unless_interrupted(interrupted)?;
        let bytes = match format {
            PictureFormat::Png => picture.png().map_err(failed)?,
            PictureFormat::Svg => picture.svg().into_bytes(),
        };
        Ok((format!("{}.{}", picture.name, format.extension()), bytes))
    };
    let drawn: Vec<(String, Vec<u8>)> = files.par_iter().map(drawn).collect::<Result<_, Error>>()?;
    let mut folder = Tables::create(outdir, &[]).map_err(failed)?;
    for (name, bytes) in &drawn {
        folder.stage_file(name, bytes).map_err(failed)?;
    }
    unless_interrupted(interrupted)?;
    Ok(Plotted { folder: outdir.into(), files: folder.finish().map_err(failed)?, found })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails
    use super::*;

    #[test]
    fn an_interrupted_task_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let per_layer = folder.path().join("per_layer.csv");
        std::fs::write(&per_layer, "layer,group,dW_fro_layer\n0,attn,1\n").unwrap();
        let mut options = PlotParamStatsOptions {
            per_layer,
            per_matrix: None,
            singular_values: None,
            outdir: folder.path().join("plots"),
            title: None,
            formats: vec![PictureFormat::Svg],
        };
        let interrupted = plot_param_stats(&options, &(), &AtomicBool::new(true));
        assert!(matches!(interrupted, Err(Error::Interrupted)));
        assert!(!options.outdir.exists());
        let plotted = plot_param_stats(&options, &(), &AtomicBool::new(false)).unwrap();
        assert_eq!(plotted.files, [options.outdir.join("layer_locality_attn.svg")]);
        options.per_matrix = Some(folder.path().join("absent.csv"));
        let refused = plot_param_stats(&options, &(), &AtomicBool::new(false)).unwrap_err();
        assert!(matches!(refused, Error::Plots { .. }) && !refused.hint().is_empty());
    }
}
