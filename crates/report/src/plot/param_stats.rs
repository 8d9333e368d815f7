//! Pictures of how the parameters of two models differ.

use super::font::SUBSCRIPT;
use super::heat_map::relative_change;
use super::lines::{Intervals, LineChart, Series};
use super::rows::{layers, named, over_layers};
use super::scale::Values;
use super::spectra::spectra;
use super::{Picture, rows};
use crate::distinct::distinct;
use crate::{Error, Table};

const LAYER: &str = "Layer";
/// Of a mean.
const ROUNDING: f64 = 1e-12;

/// Pictures of a comparison of parameters. `per_layer` gives `layer_locality_{attn,mlp}`, `stable_rank_{attn,mlp}`,
/// `relative_frobenius` and `relative_spectral_norm`; `per_matrix` adds the intervals of stable ranks and their single
/// values, and `relative_change_heatmap`; `singular_values` gives `delta_spectra_{attn,mlp}`. Pictures whose columns a
/// table lacks, as those of the Python scripts do, are left out. The title stands below that of each picture, and may
/// be empty.
///
/// # Errors
/// [`Error::Column`] if a table lacks a column that it cannot do without, [`Error::NothingToPlot`] if no row of
/// `per_layer` has a layer.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("per_layer.csv");
/// std::fs::write(&path, "layer,group,dW_fro_layer\n0,attn,0.5\n1,attn,0.25\n")?;
/// let pictures = report::param_stats_pictures(&report::Table::read(path)?, None, None, "base → tuned")?;
/// assert_eq!(pictures[0].name, "layer_locality_attn");
/// assert!(pictures[0].svg().starts_with("<svg"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn param_stats_pictures(
    per_layer: &Table,
    per_matrix: Option<&Table>,
    singular_values: Option<&Table>,
    title: &str,
) -> Result<Vec<Picture>, Error> {
    let table = Layers::read(per_layer)?;
    let change = per_layer.needed_numbers("dW_fro_layer")?;
    let matrices = per_matrix.map(Matrices::read).transpose()?;
    let mut pictures = Vec::new();
    for group in &table.groups {
        pictures.push(table.locality(group, &change, title));
    }
    if let Some(ranks) = per_layer.numbers("mean_dW_stable_rank") {
        for group in &table.groups {
            pictures.push(table.stable_rank(group, &ranks, matrices.as_ref(), title));
        }
    }
    pictures.extend(
        per_layer.numbers("dW_fro_layer_rel").map(|ratios| table.relative(&FROBENIUS, &ratios, title)),
    );
    pictures.extend(
        per_layer.numbers("max_dW_spectral_rel").map(|ratios| table.relative(&SPECTRAL, &ratios, title)),
    );
    if let Some(per_matrix) = per_matrix {
        pictures.extend(relative_change(per_matrix, title)?);
    }
    if let Some(singular_values) = singular_values {
        pictures.extend(spectra(singular_values, per_matrix, title)?);
    }
    Ok(super::with_own_names(pictures))
}

/// A group's name in words.
pub(super) fn in_words(group: &str) -> &str {
    match group {
        "attn" => "attention",
        "mlp" => "MLP",
        "other" => "other matrices",
        group => group,
    }
}

/// The groups of a table, attn and mlp first.
pub(super) fn groups(of: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut groups = distinct(of);
    let rank = |group: &str| ["attn", "mlp"].iter().position(|known| *known == group).unwrap_or(2);
    groups.sort_by(|one, other| rank(one).cmp(&rank(other)).then_with(|| one.cmp(other)));
    groups
}

/// A ratio of ΔW to W, of all groups in one picture.
struct Ratio {
    name: &'static str,
    title: &'static str,
    y_label: &'static str,
}

const FROBENIUS: Ratio = Ratio {
    name: "relative_frobenius",
    title: "Relative change of the weights by layer",
    y_label: "‖ΔW‖\u{1}F / ‖W‖\u{1}F of a layer’s matrices",
};

const SPECTRAL: Ratio = Ratio {
    name: "relative_spectral_norm",
    title: "Largest relative spectral norm of the change by layer",
    y_label: "max σ₁(ΔW) / σ₁(W) of a layer’s matrices",
};

/// `per_layer`.
struct Layers {
    layer: Vec<Option<f64>>,
    group: Vec<String>,
    groups: Vec<String>,
}

impl Layers {
    fn read(table: &Table) -> Result<Self, Error> {
        let (layer, group) = (layers(table)?, named(table, "group")?);
        let groups = groups(group.iter().zip(&layer).filter(|row| row.1.is_some()).map(|row| row.0.clone()));
        Ok(Self { layer, group, groups })
    }

    fn series(&self, group: &str, label: &str, values: &[Option<f64>]) -> Series {
        let rows: Vec<usize> = (0..self.group.len()).filter(|row| self.group[*row] == group).collect();
        Series::new(label, over_layers(&rows, &self.layer, values, None))
    }

    fn locality(&self, group: &str, change: &[Option<f64>], subtitle: &str) -> Picture {
        let chart = LineChart {
            title: format!("Size of the weight change by layer: {}", in_words(group)),
            y_label: "‖ΔW‖\u{1}F of a layer’s matrices",
            series: vec![self.series(group, "", change)],
            ..chart(subtitle)
        };
        picture(&format!("layer_locality_{group}"), chart)
    }

    fn stable_rank(
        &self,
        group: &str,
        ranks: &[Option<f64>],
        matrices: Option<&Matrices>,
        subtitle: &str,
    ) -> Picture {
        // No stable rank is below 1: a zero is the Python scripts' way to say that nothing changed.
        let ranks: Vec<Option<f64>> = ranks.iter().map(|rank| rank.filter(|rank| *rank > 0.0)).collect();
        let mut series = self.series(group, "", &ranks);
        if let Some(matrices) = matrices {
            matrices.add_to(&mut series, group);
        }
        if !series.singles.is_empty() {
            series.label = "mean of the layer".into();
        }
        let mut notes = Vec::new();
        if series.points.iter().any(|point| point.interval.is_some()) {
            notes.push(
                "Bars: mean of the intervals of the single stable ranks; where none is seen, it is narrower than the marker."
                    .into(),
            );
        }
        if series.points.iter().any(|point| point.y.is_none())
            && series.points.iter().any(|point| point.y.is_some())
        {
            notes.push("Layers without a point: none of their matrices changed.".into());
        }
        if series.points.iter().any(|point| point.y.is_some_and(|rank| rank < 1.0)) {
            notes.push(
                "Points below 1, which no stable rank is: unchanged matrices were counted as 0.".into(),
            );
        }
        let chart = LineChart {
            title: format!("Stable rank of the weight change by layer: {}", in_words(group)),
            y_label: "Stable rank ‖ΔW‖\u{1}F² / σ₁(ΔW)²",
            series: vec![series],
            singles: "single matrices",
            notes,
            nothing: "no stable rank: none of these matrices changed",
            ..chart(subtitle)
        };
        picture(&format!("stable_rank_{group}"), chart)
    }

    fn relative(&self, ratio: &Ratio, values: &[Option<f64>], subtitle: &str) -> Picture {
        let series = self.groups.iter().map(|group| self.series(group, in_words(group), values)).collect();
        let chart =
            LineChart { title: ratio.title.into(), y_label: ratio.y_label, series, ..chart(subtitle) };
        picture(ratio.name, chart)
    }
}

fn chart(subtitle: &str) -> LineChart {
    LineChart {
        title: String::new(),
        subtitle: subtitle.into(),
        x_label: LAYER,
        y_label: "",
        series: Vec::new(),
        intervals: Intervals::Bars,
        values: Values::Sizes,
        beside: "",
        singles: "",
        notes: Vec::new(),
        nothing: "not defined in any layer",
    }
}

fn picture(name: &str, chart: LineChart) -> Picture {
    let title = chart.title.replace(SUBSCRIPT, "_");
    Picture::new(rows::file_name(name), title, chart.draw())
}

/// The stable ranks of `per_matrix`.
struct Matrices {
    layers: Vec<Option<f64>>,
    group: Vec<String>,
    rank: Vec<Option<f64>>,
    low: Vec<Option<f64>>,
    high: Vec<Option<f64>>,
}

impl Matrices {
    fn read(table: &Table) -> Result<Self, Error> {
        Ok(Self {
            layers: table.needed_numbers("layer")?,
            group: named(table, "group")?,
            rank: table
                .optional_numbers("dW_stable_rank")
                .into_iter()
                .map(|rank| rank.filter(|rank| *rank > 0.0))
                .collect(),
            low: table.optional_numbers("dW_stable_rank_lo"),
            high: table.optional_numbers("dW_stable_rank_hi"),
        })
    }

    /// Adds the single stable ranks of a group, and to each mean of a layer the mean of their intervals.
    fn add_to(&self, series: &mut Series, group: &str) {
        for point in &mut series.points {
            let in_layer = |row: &usize| self.group[*row] == group && self.layers[*row] == Some(point.x);
            let rows: Vec<usize> = (0..self.rank.len()).filter(in_layer).collect();
            let ranks: Vec<f64> = rows.iter().filter_map(|row| self.rank[*row]).collect();
            let mean = |ends: &[Option<f64>]| {
                let ends: Option<Vec<f64>> =
                    rows.iter().filter(|row| self.rank[**row].is_some()).map(|row| ends[*row]).collect();
                ends.filter(|ends| !ends.is_empty()).map(|ends| ends.iter().sum::<f64>() / ends.len() as f64)
            };
            // A mean over other matrices, such as unchanged ones as 0, is not inside.
            let holds = |(low, high): &(f64, f64)| {
                point.y.is_some_and(|y| (low * (1.0 - ROUNDING)..=high * (1.0 + ROUNDING)).contains(&y))
            };
            point.interval = mean(&self.low).zip(mean(&self.high)).filter(holds);
            if ranks.len() > 1 {
                series.singles.extend(ranks.into_iter().map(|rank| (point.x, rank)));
            }
        }
    }
}
