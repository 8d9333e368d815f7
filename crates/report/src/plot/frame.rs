//! What surrounds the data of a picture: title, axes with their ticks and labels, legend and notes.
//!
//! The area of the data has a fixed height; all else is put around it, so that nothing that is said hides data, and long
//! names make a picture taller but not its axes shorter.

use super::canvas::{BLACK, Canvas, GREY, PALE, Paint};
use super::font::{self, Anchor, Place};
use super::scale::Scale;

/// A page's text width: 7 inches.
const WIDTH: f64 = 672.0;
const MARGIN: f64 = 14.0;

const TITLE: f64 = 15.0;
pub(super) const LABEL: f64 = 12.0;
pub(super) const SMALL: f64 = 11.0;
const NOTE: f64 = 10.0;

const TICK: f64 = 4.0;
/// From a legend's key to its label, and from there to the next key.
const KEY: f64 = 30.0;
const KEY_GAP: f64 = 6.0;
const ENTRY_GAP: f64 = 22.0;
const ROW: f64 = 18.0;

/// Draws the key of an entry of the legend, 30 wide, with its centre there.
pub(super) type Key = Box<dyn Fn(&mut Canvas, f64, f64)>;

/// Where the data are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Area {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Area {
    pub(super) fn x(&self, position: f64) -> f64 {
        self.left + position * self.width
    }

    pub(super) fn y(&self, position: f64) -> f64 {
        self.top + (1.0 - position) * self.height
    }

    pub(super) fn corners(&self) -> [(f64, f64); 4] {
        let (right, bottom) = (self.left + self.width, self.top + self.height);
        [(self.left, self.top), (right, self.top), (right, bottom), (self.left, bottom)]
    }
}

/// A picture without its data.
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    /// What was compared; may be empty.
    pub(super) subtitle: &'a str,
    pub(super) x_label: &'a str,
    pub(super) y_label: &'a str,
    pub(super) x: &'a Scale,
    pub(super) y: &'a Scale,
    pub(super) height: f64,
    /// Room at the right of the data.
    pub(super) right: f64,
    pub(super) legend: Vec<(String, Key)>,
    pub(super) notes: Vec<String>,
    pub(super) grid: bool,
}

impl Frame<'_> {
    /// Draws it, and says where the data go.
    pub(super) fn draw(self) -> (Canvas, Area) {
        let widest = self.y.ticks.iter().map(|(_, label)| font::width(label, SMALL)).fold(0.0, f64::max);
        let left = MARGIN + LABEL + 10.0 + widest + TICK + 4.0;
        let title = font::fitted(&font::plain(self.title), TITLE, WIDTH - 2.0 * MARGIN);
        let subtitle = font::fitted(&font::plain(self.subtitle), LABEL, WIDTH - 2.0 * MARGIN);
        let top = MARGIN + TITLE + if subtitle.is_empty() { 10.0 } else { 10.0 + LABEL + 5.0 };
        let area = Area { left, top, width: WIDTH - left - MARGIN - self.right, height: self.height };

        let rows = rows(self.legend);
        let notes: Vec<String> =
            self.notes.iter().flat_map(|note| font::wrapped(note, NOTE, WIDTH - 2.0 * MARGIN)).collect();
        let below = area.top + area.height + TICK + 4.0 + SMALL + 10.0 + LABEL + 4.0;
        let legend_top = below + if rows.is_empty() { 0.0 } else { 12.0 };
        let notes_top = legend_top + rows.len() as f64 * ROW + if notes.is_empty() { 0.0 } else { 10.0 };
        let mut canvas = Canvas::new(WIDTH, notes_top + notes.len() as f64 * (NOTE + 4.0) + MARGIN - 4.0);

        let middle = WIDTH / 2.0;
        let place = |x, y| Place { x, y, anchor: Anchor::Middle, upwards: false };
        canvas.text(&title, TITLE, BLACK, place(middle, MARGIN + TITLE - 2.0));
        canvas.text(&subtitle, LABEL, GREY, place(middle, MARGIN + TITLE + LABEL + 5.0));
        let (center, bottom) = (area.left + area.width / 2.0, area.top + area.height);
        canvas.text(
            self.x_label,
            LABEL,
            BLACK,
            place(center, bottom + TICK + 4.0 + SMALL + 10.0 + LABEL - 2.0),
        );
        let upwards = Place { upwards: true, ..place(MARGIN + LABEL - 2.0, area.top + area.height / 2.0) };
        canvas.text(self.y_label, LABEL, BLACK, upwards);
        axes(&mut canvas, &area, self.x, self.y, self.grid);

        for (row, entries) in rows.iter().enumerate() {
            let mut x = (WIDTH - row_width(entries)) / 2.0;
            let y = legend_top + row as f64 * ROW + ROW / 2.0;
            for (label, key) in entries {
                key(&mut canvas, x + KEY / 2.0, y);
                let place = Place { x: x + KEY + KEY_GAP, y: y + 4.0, anchor: Anchor::Start, upwards: false };
                canvas.text(label, SMALL, BLACK, place);
                x += entry_width(label);
            }
        }
        for (index, note) in notes.iter().enumerate() {
            canvas.text(note, NOTE, GREY, place(middle, notes_top + NOTE + index as f64 * (NOTE + 4.0)));
        }
        (canvas, area)
    }
}

fn entry_width(label: &str) -> f64 {
    KEY + KEY_GAP + font::width(label, SMALL) + ENTRY_GAP
}

fn row_width(entries: &[(String, Key)]) -> f64 {
    entries.iter().map(|(label, _)| entry_width(label)).sum::<f64>() - ENTRY_GAP
}

/// The entries of a legend in rows as wide as the picture, or one below the other where one is too long for that.
fn rows(legend: Vec<(String, Key)>) -> Vec<Vec<(String, Key)>> {
    let most = WIDTH - 2.0 * MARGIN;
    let mut rows: Vec<Vec<(String, Key)>> = Vec::new();
    for (label, key) in legend {
        let label = font::fitted(&font::plain(&label), SMALL, most - KEY - KEY_GAP);
        match rows.last_mut() {
            Some(row) if row_width(row) + ENTRY_GAP + entry_width(&label) - ENTRY_GAP <= most => {
                row.push((label, key));
            }
            _ => rows.push(vec![(label, key)]),
        }
    }
    rows
}

fn axes(canvas: &mut Canvas, area: &Area, x: &Scale, y: &Scale, grid: bool) {
    let (right, bottom) = (area.left + area.width, area.top + area.height);
    let thin = Paint::Stroke(PALE, 0.7, &[], 1.0);
    let line = Paint::Stroke(BLACK, 1.0, &[], 1.0);
    for (value, label) in &y.ticks {
        let at = area.y(y.position(*value));
        if grid {
            canvas.line("grid", &[(area.left, at), (right, at)], thin);
        }
        canvas.line("tick", &[(area.left - TICK, at), (area.left, at)], line);
        let place = Place { x: area.left - TICK - 4.0, y: at + 4.0, anchor: Anchor::End, upwards: false };
        canvas.text(label, SMALL, BLACK, place);
    }
    for value in &y.minor {
        let at = area.y(y.position(*value));
        canvas.line("tick", &[(area.left - TICK / 2.0, at), (area.left, at)], line);
    }
    for (value, label) in &x.ticks {
        let at = area.x(x.position(*value));
        canvas.line("tick", &[(at, bottom), (at, bottom + TICK)], line);
        let place = Place { x: at, y: bottom + TICK + 3.0 + SMALL, anchor: Anchor::Middle, upwards: false };
        canvas.text(label, SMALL, BLACK, place);
    }
    for value in &x.minor {
        let at = area.x(x.position(*value));
        canvas.line("tick", &[(at, bottom), (at, bottom + TICK / 2.0)], line);
    }
    let corners = area.corners();
    canvas.line("axis", &[corners[0], corners[3], corners[2]], line);
    if let Some(at) = y.break_at() {
        let at = area.y(at);
        canvas.line("grid", &[(area.left, at), (right, at)], Paint::Stroke(GREY, 0.7, &[2.0, 3.0], 1.0));
        // Two short slanted lines with white between them: here the axis leaves something out.
        let slanted = |at: f64| [(area.left - 4.0, at + 1.5), (area.left + 4.0, at - 1.5)];
        let gap = [slanted(at + 2.0)[0], slanted(at + 2.0)[1], slanted(at - 2.0)[1], slanted(at - 2.0)[0]];
        canvas.area("axis", &gap, Paint::Fill(super::canvas::WHITE, 1.0));
        canvas.line("axis", &slanted(at + 2.0), line);
        canvas.line("axis", &slanted(at - 2.0), line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(labels: &[&str]) -> Vec<(String, Key)> {
        labels.iter().map(|label| ((*label).to_owned(), Box::new(|_: &mut Canvas, _, _| ()) as Key)).collect()
    }

    #[test]
    fn a_legend_fills_rows_and_never_leaves_the_picture() {
        let long = "a very long name of a model ".repeat(8);
        let rows = rows(entries(&["base", "filtered", &long, "unlearned"]));
        assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 1]);
        assert!(rows.iter().all(|row| row_width(row) <= WIDTH - 2.0 * MARGIN));
        assert!(rows[1][0].0.contains('…'));
    }

    #[test]
    fn the_data_keep_their_room() {
        let scale = Scale::of(&[0.0, 1.0], &[], super::super::scale::Values::Sizes);
        let draw = |legend: &[&str], notes: &[&str]| {
            let notes = notes.iter().map(|note| (*note).to_owned()).collect();
            let (x, y, title) = (&scale, &scale, "T");
            let (x_label, y_label, subtitle) = ("x", "y", "");
            let legend = entries(legend);
            Frame {
                title,
                subtitle,
                x_label,
                y_label,
                x,
                y,
                height: 300.0,
                right: 0.0,
                legend,
                notes,
                grid: true,
            }
            .draw()
            .1
        };
        assert_eq!(draw(&[], &[]), draw(&["a"; 60], &["a note that is long enough for several lines"; 9]));
    }
}
