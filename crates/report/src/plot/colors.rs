//! A scale of colours and the bar that explains it.

use super::canvas::{BLACK, Canvas, Color, Paint};
use super::font::{self, Anchor, Place};
use super::frame::{Area, LABEL, SMALL};
use super::scale::Scale;

/// The bar's distance from the data, its width, and the room between it and its label.
const GAP: f64 = 14.0;
const BAR: f64 = 13.0;
const STEPS: u32 = 128;

/// The darker, the greater. From 0 to 1; viridis without its palest tenth, which paper swallows.
pub(super) fn color(position: f64) -> Color {
    let color = colorous::VIRIDIS.eval_continuous(0.92 * (1.0 - position));
    Color(color.r, color.g, color.b)
}

/// How much room a bar takes.
pub(super) fn room(scale: &Scale) -> f64 {
    GAP + BAR + 8.0 + widest(scale) + 8.0 + LABEL
}

fn widest(scale: &Scale) -> f64 {
    scale.ticks.iter().map(|(_, label)| font::width(label, SMALL)).fold(0.0, f64::max)
}

/// Draws the bar at the right of the data.
pub(super) fn bar(canvas: &mut Canvas, data: &Area, scale: &Scale, label: &str) {
    let area = Area { left: data.left + data.width + GAP, width: BAR, ..*data };
    for step in 0..STEPS {
        let [low, high] = [step, step + 1].map(|step| f64::from(step) / f64::from(STEPS));
        let (right, low_y) = (area.left + area.width, area.y(low));
        // Each a little over the next, so that no seam is seen.
        let high_y = (area.y(high) - 0.5).max(area.top);
        let corners = [(area.left, high_y), (right, high_y), (right, low_y), (area.left, low_y)];
        canvas.area("bar", &corners, Paint::Fill(color(f64::midpoint(low, high)), 1.0));
    }
    let line = Paint::Stroke(BLACK, 0.8, &[], 1.0);
    canvas.area("axis", &area.corners(), line);
    let right = area.left + area.width;
    for (value, text) in &scale.ticks {
        let at = area.y(scale.position(*value));
        canvas.line("tick", &[(right, at), (right + 4.0, at)], line);
        canvas.text(
            text,
            SMALL,
            BLACK,
            Place { x: right + 7.0, y: at + 4.0, anchor: Anchor::Start, upwards: false },
        );
    }
    let x = right + 8.0 + widest(scale) + 6.0 + LABEL;
    let place = Place { x, y: area.top + area.height / 2.0, anchor: Anchor::Middle, upwards: true };
    canvas.text(label, LABEL, BLACK, place);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greater_is_darker() {
        let brightness = |position| {
            let Color(red, green, blue) = color(position);
            0.3 * f64::from(red) + 0.59 * f64::from(green) + 0.11 * f64::from(blue)
        };
        let positions: Vec<f64> = (0..=20).map(|step| f64::from(step) / 20.0).collect();
        assert!(positions.windows(2).all(|pair| brightness(pair[0]) > brightness(pair[1])));
    }
}
