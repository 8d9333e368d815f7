//! Lines over layers or indices, with what is known of their uncertainty.

use super::canvas::{Canvas, GREY};
use super::font::{Anchor, Place};
use super::frame::{Area, Frame, Key, LABEL};
use super::look::Look;
use super::scale::{Scale, Values};

const HEIGHT: f64 = 300.0;
/// Markers stand at least so far apart.
const MARKER_DISTANCE: f64 = 14.0;

/// A value that a line goes through.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    /// Not defined: the line has a gap there.
    pub(super) y: Option<f64>,
    pub(super) interval: Option<(f64, f64)>,
}

/// How intervals are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intervals {
    Band,
    Bars,
}

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) label: String,
    /// In order of x.
    pub(super) points: Vec<Point>,
    /// Faint points around the line: those that it is the mean of.
    pub(super) singles: Vec<(f64, f64)>,
    /// Values beside the line, drawn as hollow markers.
    pub(super) beside: Vec<(f64, f64)>,
}

impl Series {
    pub(super) fn new(label: impl Into<String>, points: Vec<Point>) -> Self {
        Self { label: label.into(), points, singles: Vec::new(), beside: Vec::new() }
    }

    fn ys(&self) -> impl Iterator<Item = f64> {
        let around = self.singles.iter().chain(&self.beside).map(|(_, y)| *y);
        self.points.iter().filter_map(|point| point.y).chain(around)
    }

    fn ends(&self) -> impl Iterator<Item = f64> {
        self.points.iter().filter_map(|point| point.interval).flat_map(|(low, high)| [low, high])
    }
}

/// A picture of lines.
pub(super) struct LineChart {
    pub(super) title: String,
    pub(super) subtitle: String,
    pub(super) x_label: &'static str,
    pub(super) y_label: &'static str,
    pub(super) series: Vec<Series>,
    pub(super) intervals: Intervals,
    pub(super) values: Values,
    /// What hollow markers and faint points are, for the legend.
    pub(super) beside: &'static str,
    pub(super) singles: &'static str,
    pub(super) notes: Vec<String>,
    /// Said in place of data where there are none.
    pub(super) nothing: &'static str,
}

impl LineChart {
    pub(super) fn draw(self) -> Canvas {
        let ys: Vec<f64> = self.series.iter().flat_map(Series::ys).collect();
        let ends: Vec<f64> = self.series.iter().flat_map(Series::ends).collect();
        let y = if ys.is_empty() { Scale::empty() } else { Scale::of(&ys, &ends, self.values) };
        let x =
            Scale::integers(self.series.iter().flat_map(|series| series.points.iter().map(|point| point.x)));
        let legend = if ys.is_empty() { Vec::new() } else { self.legend() };
        let frame = Frame {
            title: &self.title,
            subtitle: &self.subtitle,
            x_label: self.x_label,
            y_label: self.y_label,
            x: &x,
            y: &y,
            height: HEIGHT,
            right: 0.0,
            legend,
            notes: self.notes.clone(),
            grid: true,
        };
        let (mut canvas, area) = frame.draw();
        if ys.is_empty() {
            let (x, y) = (area.x(0.5), area.y(0.5));
            canvas.text(self.nothing, LABEL, GREY, Place { x, y, anchor: Anchor::Middle, upwards: false });
        }
        let plane = Plane { x: &x, y: &y, area, bands: self.series.len() };
        for (index, series) in self.series.iter().enumerate() {
            plane.uncertainty(&mut canvas, series, Look::nth(index), self.intervals);
        }
        for (index, series) in self.series.iter().enumerate() {
            plane.line(&mut canvas, series, Look::nth(index));
        }
        canvas
    }

    fn legend(&self) -> Vec<(String, Key)> {
        let mut legend: Vec<(String, Key)> = Vec::new();
        let has_band = self.intervals == Intervals::Band;
        if self.series.len() > 1 || !self.series.iter().all(|series| series.label.is_empty()) {
            for (index, series) in self.series.iter().enumerate() {
                let look = Look::nth(index);
                let has_band = has_band && series.ends().next().is_some();
                legend.push((series.label.clone(), line_key(look, has_band.then_some(self.series.len()))));
            }
        }
        let dark = Look::nth(if self.series.len() > 1 { 6 } else { 0 });
        if self.series.iter().any(|series| !series.singles.is_empty()) {
            legend.push((self.singles.into(), Box::new(move |canvas, x, y| dark.faint(canvas, x, y))));
        }
        if self.series.iter().any(|series| !series.beside.is_empty()) {
            legend.push((self.beside.into(), Box::new(move |canvas, x, y| dark.hollow(canvas, x, y))));
        }
        legend
    }
}

fn line_key(look: Look, bands: Option<usize>) -> Key {
    Box::new(move |canvas, x, y| {
        let (left, right) = (x - 15.0, x + 15.0);
        if let Some(bands) = bands {
            canvas.area(
                "key",
                &[(left, y - 5.0), (right, y - 5.0), (right, y + 5.0), (left, y + 5.0)],
                look.band(bands),
            );
        }
        canvas.line("key", &[(left, y), (right, y)], look.stroke());
        look.marker(canvas, x, y);
    })
}

/// Two axes and where they are.
struct Plane<'a> {
    x: &'a Scale,
    y: &'a Scale,
    area: Area,
    /// How many bands there are.
    bands: usize,
}

impl Plane<'_> {
    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.area.x(self.x.position(x)), self.area.y(self.y.position(y)))
    }

    fn uncertainty(&self, canvas: &mut Canvas, series: &Series, look: Look, intervals: Intervals) {
        for (x, y) in &series.singles {
            let (x, y) = self.at(*x, *y);
            look.faint(canvas, x, y);
        }
        match intervals {
            Intervals::Band => {
                for run in runs(&series.points, |_, _| true) {
                    let (mut low, mut high) = (Vec::new(), Vec::new());
                    for (point, interval) in run.iter().filter_map(|point| Some((point, point.interval?))) {
                        low.push(self.at(point.x, interval.0));
                        high.push(self.at(point.x, interval.1));
                    }
                    high.reverse();
                    low.extend(high);
                    canvas.area("band", &low, look.band(self.bands));
                }
            }
            Intervals::Bars => {
                for (point, (low, high)) in
                    series.points.iter().filter_map(|point| Some((point, point.interval?)))
                {
                    let ((x, low), (_, high)) = (self.at(point.x, low), self.at(point.x, high));
                    canvas.line("error", &[(x, low), (x, high)], look.bar());
                    for end in [low, high] {
                        canvas.line("error", &[(x - 3.0, end), (x + 3.0, end)], look.bar());
                    }
                }
            }
        }
    }

    fn line(&self, canvas: &mut Canvas, series: &Series, look: Look) {
        let mut marked = f64::NEG_INFINITY;
        for run in runs(&series.points, |one, other| self.y.joins(one, other)) {
            let points: Vec<(f64, f64)> =
                run.iter().filter_map(|point| Some(self.at(point.x, point.y?))).collect();
            if points.len() > 1 {
                canvas.line("line", &points, look.stroke());
            }
            // A point without neighbours is seen by its marker only, and the last layer is one that readers look for.
            for (index, (x, y)) in points.iter().enumerate() {
                if index + 1 == points.len() || x - marked >= MARKER_DISTANCE {
                    look.marker(canvas, *x, *y);
                    marked = *x;
                }
            }
        }
        for (x, y) in &series.beside {
            let (x, y) = self.at(*x, *y);
            look.hollow(canvas, x, y);
        }
    }
}

/// The stretches of a line between its gaps.
fn runs(points: &[Point], joins: impl Fn(f64, f64) -> bool) -> Vec<Vec<Point>> {
    let mut runs: Vec<Vec<Point>> = Vec::new();
    let mut last = None;
    for point in points {
        let joined = last.zip(point.y).is_some_and(|(last, y)| joins(last, y));
        match runs.last_mut() {
            Some(run) if joined => run.push(*point),
            _ if point.y.is_some() => runs.push(vec![*point]),
            _ => {}
        }
        last = point.y;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ys: &[Option<f64>]) -> Vec<Point> {
        let point = |(x, y): (usize, &Option<f64>)| Point { x: x as f64, y: *y, interval: None };
        ys.iter().enumerate().map(point).collect()
    }

    fn chart(ys: &[Option<f64>]) -> LineChart {
        LineChart {
            title: "Title".into(),
            subtitle: String::new(),
            x_label: "Layer",
            y_label: "Value",
            series: vec![Series::new("attn", line(ys)), Series::new("mlp", line(&[Some(3.0), Some(2.0)]))],
            intervals: Intervals::Bars,
            values: Values::Sizes,
            beside: "beside",
            singles: "single",
            notes: Vec::new(),
            nothing: "nothing",
        }
    }

    fn count(svg: &str, class: &str) -> usize {
        svg.matches(&format!("class=\"{class}\"")).count()
    }

    #[test]
    fn what_is_not_defined_is_a_gap() {
        let svg = chart(&[Some(1.0), Some(2.0), None, Some(1.0), None, Some(4.0), Some(5.0)]).draw().svg("");
        assert_eq!(count(&svg, "line"), 3, "two stretches of one line, and the other line");
        assert_eq!(count(&svg, "marker"), 5 + 2 + 2, "five points, two points, and the legend's two");
    }

    #[test]
    fn no_line_crosses_the_break_below_a_logarithmic_axis() {
        let svg = chart(&[Some(1e-4), Some(1e-3), Some(0.0), Some(1.0), Some(2.0)]).draw().svg("");
        assert_eq!(count(&svg, "line"), 3);
        assert!(svg.contains("aria-label=\"0\"") && svg.contains("aria-label=\"10⁻³\""));
    }

    #[test]
    fn a_hundred_points_have_fewer_markers_and_single_ones_always_one() {
        let mut ys = vec![Some(1.0); 100];
        (ys[40], ys[42]) = (None, None);
        let svg = chart(&ys).draw().svg("");
        let markers = count(&svg, "marker");
        assert!((30..=70).contains(&markers), "{markers}");
    }

    #[test]
    fn bars_bands_and_points_beside_a_line_are_drawn_and_explained() {
        let mut with = chart(&[Some(1.0), Some(2.0)]);
        with.series[0].points[0].interval = Some((0.5, 1.5));
        with.series[0].singles = vec![(0.0, 0.8), (0.0, 1.2)];
        with.series[0].beside = vec![(1.0, 3.0)];
        let svg = with.draw().svg("");
        assert_eq!((count(&svg, "error"), count(&svg, "single"), count(&svg, "hollow")), (3, 3, 4));
        for label in ["attn", "mlp", "single", "beside", "Layer", "Value"] {
            assert!(svg.contains(&format!("aria-label=\"{label}\"")), "{label}");
        }
        let mut band = chart(&[Some(1.0), Some(2.0)]);
        band.intervals = Intervals::Band;
        band.series[1].points.iter_mut().for_each(|point| point.interval = Some((1.5, 3.5)));
        let svg = band.draw().svg("");
        assert_eq!((count(&svg, "band"), count(&svg, "error")), (1, 0));
    }

    #[test]
    fn a_picture_without_data_says_so() {
        let mut empty = chart(&[None, None]);
        empty.series.truncate(1);
        let svg = empty.draw().svg("");
        assert!(svg.contains("aria-label=\"nothing\"") && count(&svg, "line") == 0);
    }
}
