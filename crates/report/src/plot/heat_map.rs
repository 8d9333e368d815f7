//! Relative change by layer and component as a heat map.

use std::collections::BTreeMap;

use super::Picture;
use super::canvas::{BLACK, Canvas, Color, GREY, Paint, WHITE};
use super::colors;
use super::font;
use super::frame::{Area, Frame, Key, SMALL};
use super::rows::{in_block_order, layers, named};
use super::scale::{Scale, Values};
use crate::summaries::root_sum_square;
use crate::{Error, Table};

/// Behind all cells: where it is seen, there is no matrix.
const ABSENT: Color = Color(0xe9, 0xe9, 0xe9);

/// The most room for the name of a component.
const NAME: f64 = 140.0;
/// Cells narrower than this have no edges, which would be most of what is seen.
const NARROW: f64 = 8.0;

/// What is known of the matrices of one component in one layer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cell {
    /// √Σ‖ΔW‖², √Σ‖W‖².
    change: f64,
    size: f64,
    /// A matrix has no finite norm.
    not_finite: bool,
}

impl Cell {
    fn add(&mut self, change: f64, size: f64) {
        self.change = root_sum_square([self.change, change].into_iter());
        self.size = root_sum_square([self.size, size].into_iter());
    }

    /// √Σ‖ΔW‖² / √Σ‖W‖²; `None` if it is not defined.
    fn ratio(self) -> Option<f64> {
        match self {
            Self { not_finite: true, .. } => None,
            Self { change: 0.0, .. } => Some(0.0),
            Self { change, size, .. } => Some(change / size).filter(|ratio| ratio.is_finite()),
        }
    }
}

type Cells = BTreeMap<(usize, u64), Cell>;

/// The heat map of a table `per_matrix`, unless it lacks the columns or has no matrix in a layer.
pub(super) fn relative_change(per_matrix: &Table, subtitle: &str) -> Result<Option<Picture>, Error> {
    let columns = ["component", "dW_fro", "W_fro"];
    if !columns.iter().all(|column| per_matrix.columns().any(|present| present == *column)) {
        return Ok(None);
    }
    match layers(per_matrix) {
        Err(Error::NothingToPlot { .. }) => Ok(None),
        Err(error) => Err(error),
        Ok(layers) => {
            let (components, cells) = cells(per_matrix, &layers)?;
            let title = "Relative change of the weights by layer and component";
            Ok(Some(Picture::new(
                "relative_change_heatmap",
                title,
                draw(&components, &cells, title, subtitle),
            )))
        }
    }
}

fn cells(table: &Table, layers: &[Option<f64>]) -> Result<(Vec<String>, Cells), Error> {
    let component = named(table, "component")?;
    let (change, size) = (table.needed_numbers("dW_fro")?, table.needed_numbers("W_fro")?);
    let rows = || (0..layers.len()).filter_map(|row| Some((row, layers[row]? as u64)));
    let components = in_block_order(rows().map(|(row, _)| component[row].clone()));
    let mut cells = Cells::new();
    for (row, layer) in rows() {
        let index = components.iter().position(|name| *name == component[row]).unwrap_or_default();
        let cell = cells.entry((index, layer)).or_default();
        match change[row].zip(size[row]) {
            Some((change, size)) => cell.add(change, size),
            None => cell.not_finite = true,
        }
    }
    Ok((components, cells))
}

fn draw(components: &[String], cells: &Cells, title: &str, subtitle: &str) -> Canvas {
    let changed = |cell: &Cell| cell.ratio().filter(|ratio| *ratio > 0.0);
    let ratios: Vec<f64> = cells.values().filter_map(changed).collect();
    let colors = Scale::of(&ratios, &[], Values::Sizes);
    let x = Scale::cells(cells.keys().map(|(_, layer)| *layer as f64));
    let names: Vec<String> =
        components.iter().map(|name| font::fitted(&font::plain(name), SMALL, NAME)).collect();
    let y = Scale::categories(&names);
    let count = components.len() as f64;
    let frame = Frame {
        title,
        subtitle,
        x_label: "Layer",
        y_label: "Component",
        x: &x,
        y: &y,
        height: count * (130.0 / count).max(34.0),
        right: if ratios.is_empty() { 0.0 } else { colors::room(&colors) },
        legend: legend(components, cells),
        notes: Vec::new(),
        grid: false,
    };
    let (mut canvas, area) = frame.draw();
    canvas.area("absent", &area.corners(), Paint::Fill(ABSENT, 1.0));
    for ((row, layer), cell) in cells {
        let (left, right) =
            (area.x(x.position(*layer as f64 - 0.5)), area.x(x.position(*layer as f64 + 0.5)));
        let share = |edge: usize| area.y(1.0 - edge as f64 / count);
        let (top, bottom) = (share(*row), share(row + 1));
        let place = Area { left, top, width: right - left, height: bottom - top };
        draw_cell(
            &mut canvas,
            &place,
            changed(cell).map(|ratio| colors::color(colors.position(ratio))),
            *cell,
        );
    }
    canvas.area("axis", &area.corners(), Paint::Stroke(BLACK, 1.0, &[], 1.0));
    if !ratios.is_empty() {
        colors::bar(&mut canvas, &area, &colors, "‖ΔW‖\u{1}F / ‖W‖\u{1}F");
    }
    canvas
}

/// A cell in its colour; white with a ring if nothing changed, and with a cross if the ratio is not defined.
fn draw_cell(canvas: &mut Canvas, place: &Area, color: Option<Color>, cell: Cell) {
    canvas.area("cell", &place.corners(), Paint::Fill(color.unwrap_or(WHITE), 1.0));
    if place.width > NARROW {
        let edge = if color.is_some() { WHITE } else { ABSENT };
        canvas.area("edge", &place.corners(), Paint::Stroke(edge, 0.6, &[], 1.0));
    }
    if color.is_some() {
        return;
    }
    let (x, y) = (place.x(0.5), place.y(0.5));
    let size = (0.3 * place.width).min(3.2);
    let line = Paint::Stroke(GREY, 1.0, &[], 1.0);
    if cell.ratio().is_some() {
        canvas.add("unchanged", tiny_skia::PathBuilder::from_circle(x as f32, y as f32, size as f32), line);
    } else {
        canvas.line("undefined", &[(x - size, y - size), (x + size, y + size)], line);
        canvas.line("undefined", &[(x - size, y + size), (x + size, y - size)], line);
    }
}

/// What cells without colour mean, where there are such.
fn legend(components: &[String], cells: &Cells) -> Vec<(String, Key)> {
    let key = |cell: Option<Cell>| -> Key {
        Box::new(move |canvas, x, y| {
            let place = Area { left: x - 9.0, top: y - 6.0, width: 18.0, height: 12.0 };
            match cell {
                Some(cell) => draw_cell(canvas, &place, None, cell),
                None => canvas.area("absent", &place.corners(), Paint::Fill(ABSENT, 1.0)),
            }
            canvas.area("key", &place.corners(), Paint::Stroke(GREY, 0.7, &[], 1.0));
        })
    };
    let layers = cells.keys().map(|(_, layer)| *layer);
    let span = layers.clone().max().zip(layers.min()).map_or(0, |(last, first)| last - first + 1);
    let undefined = Cell { not_finite: true, ..Cell::default() };
    let mut legend = Vec::new();
    if cells.values().any(|cell| cell.ratio() == Some(0.0)) {
        legend.push(("unchanged (0)".to_owned(), key(Some(Cell::default()))));
    }
    if cells.values().any(|cell| cell.ratio().is_none()) {
        legend.push(("not defined".to_owned(), key(Some(undefined))));
    }
    if (cells.len() as u64) < span * components.len() as u64 {
        legend.push(("no such matrix".to_owned(), key(None)));
    }
    legend
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_of_a_cell_are_summed_in_squares() {
        let of = |scale: f64| {
            let mut cell = Cell::default();
            cell.add(3.0 * scale, 6.0 * scale);
            cell.add(4.0 * scale, 8.0 * scale);
            cell
        };
        let cell = of(1.0);
        assert_eq!(cell.ratio(), Some(0.5));
        assert_eq!(of(2f64.powi(-600)).ratio(), Some(0.5), "so small a change is one, too");
        assert_eq!(Cell::default().ratio(), Some(0.0), "nothing changed, in a matrix of zeros too");
        assert_eq!(Cell { change: 1.0, ..Cell::default() }.ratio(), None, "a change from zero has no ratio");
        assert_eq!(Cell { not_finite: true, ..cell }.ratio(), None);
    }

    #[test]
    fn unchanged_undefined_and_absent_are_told_apart() {
        let cell = |change| Cell { change, size: 1.0, not_finite: false };
        let undefined = Cell { not_finite: true, ..cell(0.0) };
        let cells = Cells::from([((0, 0), cell(0.25)), ((0, 1), cell(0.0)), ((1, 0), undefined)]);
        let svg = draw(&["qkv".into(), "proj".into()], &cells, "Title", "").svg("");
        let count = |class: &str| svg.matches(&format!("class=\"{class}\"")).count();
        assert_eq!((count("cell"), count("unchanged"), count("undefined")), (3 + 2, 1 + 1, 2 + 2));
        for label in ["qkv", "proj", "unchanged (0)", "not defined", "no such matrix", "‖ΔW‖_F / ‖W‖_F"]
        {
            assert!(svg.contains(&format!("aria-label=\"{label}\"")), "{label}");
        }
        let full = Cells::from([((0, 0), cell(0.25))]);
        assert!(!draw(&["qkv".into()], &full, "Title", "").svg("").contains("no such matrix"));
    }
}
