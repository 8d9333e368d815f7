//! Pictures of hidden states: norms of several models, and differences of pairs of them.

use super::lines::{Intervals, LineChart, Point, Series};
use super::rows::{file_name, layers, named, over_layers};
use super::scale::Values;
use super::{Picture, with_own_names};
use crate::distinct::distinct;
use crate::{Error, Table, short_labels};

const LAYER: &str = "Layer (0: embeddings, i: after i blocks)";
const BAND: &str = "Shaded: 95 % bootstrap interval over samples.";
/// The site of the last block’s output before the final norm, which has the same layer as the one after it.
const PRE_NORM: &str = "pre_norm";

/// Pictures of activation norms: `activation_norms_{split}` for each text, with a line a model. `differences` adds
/// pictures of each pair with a line a text: `activation_difference_norm`, `activation_norm_change`,
/// `activation_cosine` and `activation_relative_difference`, with the models in their names if there are several pairs.
/// Pictures whose columns a table lacks, as those of the Python scripts do, are left out. The title stands below that
/// of each picture, and may be empty.
///
/// # Errors
/// [`Error::Column`] if a table lacks a column that it cannot do without, [`Error::NothingToPlot`] if no row of one has
/// a layer.
pub fn activation_pictures(
    norms: &Table,
    differences: Option<&Table>,
    title: &str,
) -> Result<Vec<Picture>, Error> {
    let mut pictures = norm_pictures(norms, title)?;
    if let Some(differences) = differences {
        pictures.extend(difference_pictures(differences, title)?);
    }
    Ok(with_own_names(pictures))
}

/// A column with the ends of its intervals, where the table has them.
struct Measure {
    values: Vec<Option<f64>>,
    low: Vec<Option<f64>>,
    high: Vec<Option<f64>>,
}

impl Measure {
    fn read(table: &Table, column: &str) -> Option<Self> {
        let end = |end: &str| table.optional_numbers(&format!("{column}_{end}"));
        Some(Self { values: table.numbers(column)?, low: end("lo"), high: end("hi") })
    }
}

/// Which rows stand beside the line, since another row has their layer.
fn beside(table: &Table) -> Vec<bool> {
    table.optional_texts("site").iter().map(|site| site.as_deref() == Some(PRE_NORM)).collect()
}

/// The line of some rows, and the values beside it.
fn series(label: &str, rows: &[usize], layers: &[Option<f64>], measure: &Measure, beside: &[bool]) -> Series {
    let (aside, on): (Vec<usize>, Vec<usize>) = rows.iter().partition(|row| beside[**row]);
    let points =
        |rows: &[usize]| over_layers(rows, layers, &measure.values, Some((&measure.low, &measure.high)));
    let defined = |point: &Point| Some((point.x, point.y?));
    Series { beside: points(&aside).iter().filter_map(defined).collect(), ..Series::new(label, points(&on)) }
}

fn chart(title: &str, y_label: &'static str, subtitle: &str, series: Vec<Series>) -> LineChart {
    let points = || series.iter().flat_map(|series| &series.points);
    let mut notes = Vec::new();
    if points().any(|point| point.interval.is_some()) {
        notes.push(BAND.to_owned());
    }
    if points().any(|point| point.y.is_none()) {
        notes.push("Layers without a point: no finite value there.".to_owned());
    }
    LineChart {
        title: title.into(),
        subtitle: subtitle.into(),
        x_label: LAYER,
        y_label,
        series,
        intervals: Intervals::Band,
        values: Values::Any,
        beside: "last block’s output before the final norm",
        singles: "",
        notes,
        nothing: "no finite value in any layer",
    }
}

fn norm_pictures(table: &Table, subtitle: &str) -> Result<Vec<Picture>, Error> {
    let layers = layers(table)?;
    let (models, splits) = (named(table, "model")?, named(table, "split")?);
    table.needed_numbers("mean_norm")?;
    let (Some(measure), beside) = (Measure::read(table, "mean_norm"), beside(table)) else {
        return Ok(Vec::new());
    };
    let names = distinct(models.iter().cloned());
    let labels = short_labels(&names);
    let mut pictures = Vec::new();
    let has_layer = |row: &usize| layers[*row].is_some();
    for split in distinct((0..splits.len()).filter(has_layer).map(|row| splits[row].clone())) {
        let line = |(name, label): (&String, &String)| {
            let rows: Vec<usize> =
                (0..models.len()).filter(|row| models[*row] == *name && splits[*row] == split).collect();
            series(label, &rows, &layers, &measure, &beside)
        };
        let lines = names.iter().zip(&labels).map(line).filter(|series| !series.points.is_empty()).collect();
        let title = format!("Activation norms by layer: {split}");
        let chart = chart(&title, "Mean ‖h‖₂ over tokens", subtitle, lines);
        pictures.push(Picture::new(format!("activation_norms_{}", file_name(&split)), title, chart.draw()));
    }
    Ok(pictures)
}

/// A measure of how two models differ at one layer.
struct Difference {
    name: &'static str,
    title: &'static str,
    y_label: &'static str,
    column: &'static str,
    values: Values,
}

const DIFFERENCES: [Difference; 3] = [
    Difference {
        name: "activation_difference_norm",
        title: "Distance of the hidden states by layer",
        y_label: "Mean ‖h\u{1}b − h\u{1}a‖₂ over tokens",
        column: "mean_diff_l2",
        values: Values::Sizes,
    },
    Difference {
        name: "activation_cosine",
        title: "Cosine similarity of the hidden states by layer",
        y_label: "Mean cosine of h\u{1}a and h\u{1}b over tokens",
        column: "mean_cosine",
        values: Values::Any,
    },
    Difference {
        name: "activation_relative_difference",
        title: "Relative distance of the hidden states by layer",
        y_label: "Mean ‖h\u{1}b − h\u{1}a‖₂ / ‖h\u{1}a‖₂ over tokens",
        column: "relative_diff",
        values: Values::Sizes,
    },
];

/// Of the means, which a table has; it has no interval of their difference.
const NORM_CHANGE: Difference = Difference {
    name: "activation_norm_change",
    title: "Change of the activation norms by layer",
    y_label: "Mean ‖h\u{1}b‖₂ − mean ‖h\u{1}a‖₂",
    column: "",
    values: Values::Signed,
};

/// A pair of models, by its rows.
struct Pair {
    /// The models, to be told in the picture.
    label: String,
    /// What distinguishes its files from those of other pairs.
    suffix: String,
    /// For each text its rows.
    splits: Vec<(String, Vec<usize>)>,
}

fn difference_pictures(table: &Table, title: &str) -> Result<Vec<Picture>, Error> {
    let (layers, beside) = (layers(table)?, beside(table));
    let pairs = pairs(table, &layers)?;
    let mut measures: Vec<(&Difference, Measure)> = Vec::new();
    for difference in &DIFFERENCES {
        measures.extend(Measure::read(table, difference.column).map(|measure| (difference, measure)));
    }
    measures.extend(norm_change(table).map(|measure| (&NORM_CHANGE, measure)));
    let mut pictures = Vec::new();
    for pair in &pairs {
        let told: Vec<&str> = [title, &pair.label].into_iter().filter(|part| !part.is_empty()).collect();
        // The default title is the pair itself.
        let subtitle = distinct(told).join(": ");
        for (difference, measure) in &measures {
            let line = |(split, rows): &(String, Vec<usize>)| series(split, rows, &layers, measure, &beside);
            let lines = pair.splits.iter().map(line).collect();
            let chart = LineChart {
                values: difference.values,
                ..chart(difference.title, difference.y_label, &subtitle, lines)
            };
            let name = format!("{}{}", difference.name, pair.suffix);
            pictures.push(Picture::new(name, difference.title, chart.draw()));
        }
    }
    Ok(pictures)
}

fn norm_change(table: &Table) -> Option<Measure> {
    let (a, b) = (table.numbers("model_a_l2_norm")?, table.numbers("model_b_l2_norm")?);
    let values = a.iter().zip(&b).map(|(a, b)| Some((*b)? - (*a)?)).collect();
    let none = vec![None; a.len()];
    Some(Measure { values, low: none.clone(), high: none })
}

/// The pairs of a table in order of appearance; one without names where it does not name models.
fn pairs(table: &Table, layers: &[Option<f64>]) -> Result<Vec<Pair>, Error> {
    let splits = named(table, "split")?;
    let name = |name: Option<String>| name.unwrap_or_default();
    let models = table.optional_texts("model_a").into_iter().zip(table.optional_texts("model_b"));
    let models: Vec<(String, String)> = models.map(|(a, b)| (name(a), name(b))).collect();
    let rows: Vec<usize> = (0..splits.len()).filter(|row| layers[*row].is_some()).collect();
    let found = distinct(rows.iter().map(|row| models[*row].clone()));
    let names: Vec<String> = found.iter().flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    let labels = short_labels(&names);
    let mut pairs: Vec<Pair> = Vec::new();
    for (pair, labels) in found.iter().zip(labels.chunks_exact(2)) {
        let of_pair = || rows.iter().copied().filter(|row| models[*row] == *pair);
        let of_split = |split: String| {
            let rows = of_pair().filter(|row| splits[*row] == split).collect();
            (split, rows)
        };
        let suffix = match found.len() {
            1 => String::new(),
            _ => format!("_{}__to__{}", file_name(&labels[0]), file_name(&labels[1])),
        };
        pairs.push(Pair {
            label: if pair.0.is_empty() { String::new() } else { labels.join(" → ") },
            suffix,
            splits: distinct(of_pair().map(|row| splits[row].clone())).into_iter().map(of_split).collect(),
        });
    }
    Ok(pairs)
}
