//! How lines are told apart: by colour, by marker and by dashes, so that no reader depends on one of them.

use super::canvas::{Canvas, Color, Paint, WHITE, hundredths};

/// The palette of Okabe and Ito, which colour-blind readers can tell apart; black and grey at its end, not its yellow,
/// which is too pale on paper.
const COLORS: [Color; 8] = [
    Color(0x00, 0x72, 0xb2),
    Color(0xd5, 0x5e, 0x00),
    Color(0x00, 0x9e, 0x73),
    Color(0xcc, 0x79, 0xa7),
    Color(0xe6, 0x9f, 0x00),
    Color(0x56, 0xb4, 0xe9),
    Color(0x00, 0x00, 0x00),
    Color(0x80, 0x80, 0x80),
];

const DASHES: [&[f32]; 5] = [&[], &[6.0, 2.5], &[1.8, 1.8], &[7.0, 2.0, 1.8, 2.0], &[10.0, 3.0]];

const LINE_WIDTH: f32 = 1.6;
/// Sizes of the markers of the first lines and of all others: where lines meet, those below are still seen.
const SIZES: [f64; 3] = [3.7, 3.2, 2.8];
const HOLLOW: f64 = 3.8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    Inverted,
}

const MARKERS: [Marker; 5] =
    [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond, Marker::Inverted];

/// How one line is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) color: Color,
    dash: &'static [f32],
    marker: Marker,
    size: f64,
    width: f32,
    opacity: f32,
}

impl Look {
    /// Of the line of this index. Colours repeat after eight lines, and then stand with other dashes and markers.
    pub(super) fn nth(index: usize) -> Self {
        Self {
            color: COLORS[index % COLORS.len()],
            dash: DASHES[index % DASHES.len()],
            marker: MARKERS[index % MARKERS.len()],
            size: SIZES[index.min(SIZES.len() - 1)],
            width: LINE_WIDTH,
            opacity: 1.0,
        }
    }

    /// Of one of many lines whose colour tells something: thin, without markers.
    pub(super) fn of_many(color: Color, dash: usize, opacity: f32) -> Self {
        Self { color, width: 1.0, opacity, dash: DASHES[dash % DASHES.len()], ..Self::nth(0) }
    }

    pub(super) fn stroke(self) -> Paint {
        Paint::Stroke(self.color, self.width, self.dash, self.opacity)
    }

    /// Of one of so many bands: many lie over each other.
    pub(super) fn band(self, of: usize) -> Paint {
        Paint::Fill(self.color, if of > 3 { 0.1 } else { 0.2 })
    }

    pub(super) fn bar(self) -> Paint {
        Paint::Stroke(self.color, 1.0, &[], 1.0)
    }

    /// A faint point: one of many that a point of the line is the mean of.
    pub(super) fn faint(self, canvas: &mut Canvas, x: f64, y: f64) {
        let path = tiny_skia::PathBuilder::from_circle(hundredths(x), hundredths(y), 1.9);
        canvas.add("single", path, Paint::Fill(self.color, 0.45));
    }

    pub(super) fn marker(self, canvas: &mut Canvas, x: f64, y: f64) {
        self.shape(canvas, "marker", (x, y), self.size, Paint::Fill(self.color, 1.0));
    }

    /// The marker as an outline: a value beside the line.
    pub(super) fn hollow(self, canvas: &mut Canvas, x: f64, y: f64) {
        self.shape(canvas, "hollow", (x, y), HOLLOW, Paint::Fill(WHITE, 1.0));
        self.shape(canvas, "hollow", (x, y), HOLLOW, Paint::Stroke(self.color, 1.4, &[], 1.0));
    }

    fn shape(self, canvas: &mut Canvas, class: &'static str, (x, y): (f64, f64), size: f64, paint: Paint) {
        let corners: &[(f64, f64)] = match self.marker {
            Marker::Circle => {
                let path = tiny_skia::PathBuilder::from_circle(hundredths(x), hundredths(y), size as f32);
                return canvas.add(class, path, paint);
            }
            Marker::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Marker::Triangle => &[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
            Marker::Diamond => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
            Marker::Inverted => &[(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)],
        };
        let corners: Vec<_> =
            corners.iter().map(|corner| (x + corner.0 * size, y + corner.1 * size)).collect();
        canvas.area(class, &corners, paint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forty_lines_differ_in_colour_or_in_both_dashes_and_marker() {
        let looks: Vec<Look> = (0..40).map(Look::nth).collect();
        for (index, one) in looks.iter().enumerate() {
            for other in &looks[..index] {
                let same_color = one.color == other.color;
                assert!(!same_color || (one.dash != other.dash && one.marker != other.marker), "{index}");
            }
        }
        assert_ne!(looks[0].dash, looks[1].dash, "neighbours differ in more than their colour");
    }
}
