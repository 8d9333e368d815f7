//! Singular values of ΔW, one line a matrix, coloured by layer.

use std::collections::BTreeMap;

use super::canvas::{BLACK, Canvas};
use super::frame::{Area, Frame, Key};
use super::look::Look;
use super::param_stats::{groups, in_words};
use super::rows::{in_block_order, named};
use super::scale::Scale;
use super::{Picture, colors, rows};
use crate::distinct::distinct;
use crate::{Error, Table};

/// Values below this share of the largest are what rounding leaves of zero.
const ROUNDING: f64 = 1e-8;
/// Bounds farther apart than this are drawn.
const WIDE: f64 = 0.05;
/// Bounds of more lines than that would cover each other.
const SHADED: usize = 12;
/// From so many values a line on, the index is on a logarithmic axis.
const MANY: f64 = 100.0;

/// A singular value with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Value {
    index: f64,
    sigma: f64,
    bounds: (f64, f64),
}

/// What `per_matrix` knows of a matrix.
#[derive(Clone, Debug, Default)]
struct Role {
    layer: Option<f64>,
    group: String,
    component: String,
}

#[derive(Clone, Debug)]
struct Spectrum {
    role: Role,
    values: Vec<Value>,
}

/// A picture for each group of matrices; all in one where no table tells the groups.
pub(super) fn spectra(
    singular_values: &Table,
    per_matrix: Option<&Table>,
    subtitle: &str,
) -> Result<Vec<Picture>, Error> {
    let roles = per_matrix.map(roles).transpose()?.unwrap_or_default();
    let spectra = read(singular_values, &roles)?;
    let mut pictures = Vec::new();
    for group in groups(spectra.iter().map(|spectrum| spectrum.role.group.clone())) {
        let of_group: Vec<&Spectrum> =
            spectra.iter().filter(|spectrum| spectrum.role.group == group).collect();
        let (name, of) = match group.as_str() {
            "" => ("delta_spectra".into(), String::new()),
            group => (format!("delta_spectra_{}", rows::file_name(group)), format!(": {}", in_words(group))),
        };
        let title = format!("Singular values of the weight change{of}");
        let canvas = draw(&of_group, &title, subtitle);
        pictures.push(Picture::new(name, title, canvas));
    }
    Ok(pictures)
}

fn roles(per_matrix: &Table) -> Result<BTreeMap<String, Role>, Error> {
    let (names, groups) = (named(per_matrix, "name")?, named(per_matrix, "group")?);
    let layers = per_matrix.optional_numbers("layer");
    let components = per_matrix.texts("component").unwrap_or_default();
    let role = |row: usize| Role {
        layer: layers[row],
        group: groups[row].clone(),
        component: components.get(row).cloned().flatten().unwrap_or_default(),
    };
    Ok(names.iter().cloned().enumerate().map(|(row, name)| (name, role(row))).collect())
}

/// The spectra of the dW that are not zero, in order of the table.
fn read(table: &Table, roles: &BTreeMap<String, Role>) -> Result<Vec<Spectrum>, Error> {
    let (names, operators) = (named(table, "name")?, named(table, "operator")?);
    let (indices, values) = (table.needed_numbers("index")?, table.needed_numbers("value")?);
    let (lower, upper) = (table.optional_numbers("lower"), table.optional_numbers("upper"));
    let mut of_name: BTreeMap<&String, usize> = BTreeMap::new();
    let mut spectra: Vec<Spectrum> = Vec::new();
    for row in (0..names.len()).filter(|row| operators[*row] == "dW") {
        if let Some((index, value)) = indices[row].zip(values[row]) {
            let bounds = (lower[row].unwrap_or(value), upper[row].unwrap_or(value));
            let place = *of_name.entry(&names[row]).or_insert(spectra.len());
            if place == spectra.len() {
                let role = roles.get(&names[row]).cloned().unwrap_or_default();
                spectra.push(Spectrum { role, values: Vec::new() });
            }
            spectra[place].values.push(Value { index, sigma: value, bounds });
        }
    }
    spectra.retain(|spectrum| spectrum.values.iter().any(|value| value.sigma > 0.0));
    for spectrum in &mut spectra {
        spectrum.values.sort_by(|one, other| one.index.total_cmp(&other.index));
    }
    Ok(spectra)
}

fn draw(spectra: &[&Spectrum], title: &str, subtitle: &str) -> Canvas {
    let all = || spectra.iter().flat_map(|spectrum| &spectrum.values);
    let most = all().map(|value| value.sigma).fold(0.0, f64::max);
    let least = all().map(|value| value.sigma).filter(|value| *value >= most * ROUNDING).fold(most, f64::min);
    let y = Scale::logarithmic(least, most, false);
    let indices = all().filter(|value| value.sigma >= least).map(|value| value.index);
    let last = indices.clone().fold(1.0, f64::max);
    let x = if last > MANY { Scale::logarithmic_indices(last) } else { Scale::integers(indices) };

    let layers = distinct(spectra.iter().filter_map(|spectrum| spectrum.role.layer));
    let by_layer = Scale::integers(layers.iter().copied());
    let has_bar = layers.len() > 1;
    let components = in_block_order(spectra.iter().map(|spectrum| spectrum.role.component.clone()));
    let mut notes = Vec::new();
    if all().any(|value| value.sigma < least) {
        notes.push("Left out: values below 10⁻⁸ of the largest, which rounding leaves of zero.".to_owned());
    }
    let shaded = spectra.len() <= SHADED;
    match all().filter(|value| value.is_wide()).count() {
        0 => {}
        _ if shaded => {
            notes.push("Shaded: between the bounds of values that are not known to 5 %.".to_owned());
        }
        wide => notes.push(format!("Of {} values, {wide} are not known to 5 %.", all().count())),
    }
    let frame = Frame {
        title,
        subtitle,
        x_label: "Index i, from the largest singular value",
        y_label: "σ\u{1}i of ΔW",
        x: &x,
        y: &y,
        height: 320.0,
        right: if has_bar { colors::room(&by_layer) } else { 0.0 },
        legend: legend(&components),
        notes,
        grid: true,
    };
    let (mut canvas, area) = frame.draw();
    if has_bar {
        colors::bar(&mut canvas, &area, &by_layer, "Layer");
    }
    let opacity = if spectra.len() > 60 { 0.6 } else { 0.9 };
    for spectrum in spectra {
        let dash = components.iter().position(|name| *name == spectrum.role.component).unwrap_or_default();
        let color = match spectrum.role.layer {
            Some(layer) if has_bar => colors::color(by_layer.position(layer)),
            Some(_) => Look::nth(0).color,
            None => BLACK,
        };
        let look = Look::of_many(color, dash, opacity);
        spectrum.draw(&mut canvas, &area, (&x, &y), least, look, shaded);
    }
    canvas
}

impl Value {
    fn is_wide(&self) -> bool {
        self.bounds.1 > self.bounds.0 * (1.0 + WIDE)
    }
}

impl Spectrum {
    fn draw(
        &self,
        canvas: &mut Canvas,
        area: &Area,
        (x, y): (&Scale, &Scale),
        least: f64,
        look: Look,
        shaded: bool,
    ) {
        let values: Vec<&Value> = self.values.iter().filter(|value| value.sigma >= least).collect();
        let at = |value: &Value, height: f64| (area.x(x.position(value.index)), area.y(y.position(height)));
        for run in values.chunk_by(|one, other| one.is_wide() && other.is_wide()) {
            if shaded && run.iter().any(|value| value.is_wide()) {
                let low = run.iter().map(|value| at(value, value.bounds.0));
                let high = run.iter().rev().map(|value| at(value, value.bounds.1));
                canvas.area("band", &low.chain(high).collect::<Vec<_>>(), look.band(1));
            }
        }
        let points: Vec<(f64, f64)> = values.iter().map(|value| at(value, value.sigma)).collect();
        canvas.line("line", &points, look.stroke());
        if let [(x, y)] = points[..] {
            look.faint(canvas, x, y);
        }
    }
}

fn legend(components: &[String]) -> Vec<(String, Key)> {
    let entry = |(index, component): (usize, &String)| {
        let look = Look::of_many(BLACK, index, 1.0);
        let key: Key =
            Box::new(move |canvas, x, y| canvas.line("key", &[(x - 15.0, y), (x + 15.0, y)], look.stroke()));
        (component.clone(), key)
    };
    components.iter().enumerate().filter(|(_, name)| !name.is_empty()).map(entry).collect()
}
