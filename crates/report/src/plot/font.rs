//! Text as outlines of glyphs: it looks the same wherever a picture is opened, whatever fonts there are.

use std::sync::OnceLock;

use tiny_skia::{Path, PathBuilder};
use ttf_parser::{Face, OutlineBuilder};

/// In a text, makes the next character a subscript. No name in a table is drawn with it: [`plain`] takes it out.
pub(super) const SUBSCRIPT: char = '\u{1}';

/// A subscript's size, and how far it goes down, in sizes of its text.
const SUBSCRIPT_SIZE: f64 = 0.7;
const SUBSCRIPT_DROP: f64 = 0.2;

/// Which point of a text stands at its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Where a text stands: its baseline goes through `x`, `y`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) anchor: Anchor,
    /// It is read from below to above.
    pub(super) upwards: bool,
}

fn face() -> Option<&'static Face<'static>> {
    static FACE: OnceLock<Option<Face<'static>>> = OnceLock::new();
    FACE.get_or_init(|| Face::parse(dejavu::sans::regular(), 0).ok()).as_ref()
}

/// Each character with its place from the start of the text, its size and how far down it goes.
fn laid_out(text: &str, size: f64) -> (Vec<(char, f64, f64, f64)>, f64) {
    let mut pen = 0.0;
    let mut characters = Vec::new();
    let mut is_subscript = false;
    for character in text.chars() {
        if character == SUBSCRIPT {
            is_subscript = true;
            continue;
        }
        let (scale, drop) = if is_subscript { (SUBSCRIPT_SIZE, SUBSCRIPT_DROP) } else { (1.0, 0.0) };
        is_subscript = false;
        characters.push((character, pen, size * scale, size * drop));
        pen += advance(character) * size * scale;
    }
    (characters, pen)
}

/// In sizes of the text.
fn advance(character: char) -> f64 {
    let Some(face) = face() else { return 0.0 };
    let glyph = face.glyph_index(character).unwrap_or_default();
    f64::from(face.glyph_hor_advance(glyph).unwrap_or_default()) / f64::from(face.units_per_em())
}

/// How wide a text is.
pub(super) fn width(text: &str, size: f64) -> f64 {
    laid_out(text, size).1
}

/// The outline of a text; `None` if there is nothing to see.
pub(super) fn outline(text: &str, size: f64, place: Place) -> Option<Path> {
    let face = face()?;
    let (characters, width) = laid_out(text, size);
    let start = match place.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => -width / 2.0,
        Anchor::End => -width,
    };
    let mut outline = Outline { builder: PathBuilder::new(), place, pen: 0.0, drop: 0.0, scale: 0.0 };
    for (character, pen, size, drop) in characters {
        outline.pen = start + pen;
        outline.drop = drop;
        outline.scale = size / f64::from(face.units_per_em());
        face.outline_glyph(face.glyph_index(character).unwrap_or_default(), &mut outline);
    }
    outline.builder.finish()
}

/// A name from a table: characters that cannot be drawn are replaced.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

/// A text no wider than that: of a longer one, the middle is left out.
pub(super) fn fitted(text: &str, size: f64, most: f64) -> String {
    let characters: Vec<char> = text.chars().collect();
    let shortened = |kept: usize| {
        let (first, last) = (kept.div_ceil(2), kept / 2);
        let ends = [&characters[..first], &['…'], &characters[characters.len() - last..]];
        ends.concat().into_iter().collect::<String>()
    };
    if width(text, size) <= most {
        return text.to_owned();
    }
    // A name may have a million characters: between one number that fits and one that does not, halve.
    let (mut fits, mut too_many) = (0, characters.len());
    while too_many - fits > 1 {
        let kept = usize::midpoint(fits, too_many);
        if width(&shortened(kept), size) <= most { fits = kept } else { too_many = kept }
    }
    shortened(fits)
}

/// A text in lines no wider than that, broken between words.
pub(super) fn wrapped(text: &str, size: f64, most: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if width(&format!("{line} {word}"), size) <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Puts a glyph, in units of the font and upwards, where it stands in the picture.
struct Outline {
    builder: PathBuilder,
    place: Place,
    pen: f64,
    drop: f64,
    scale: f64,
}

impl Outline {
    fn at(&self, x: f32, y: f32) -> (f32, f32) {
        let along = self.pen + f64::from(x) * self.scale;
        let across = self.drop - f64::from(y) * self.scale;
        let (x, y) = if self.place.upwards { (across, -along) } else { (along, across) };
        ((self.place.x + x) as f32, (self.place.y + y) as f32)
    }
}

impl OutlineBuilder for Outline {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.builder.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.at(x, y);
        self.builder.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.at(x1, y1), self.at(x, y));
        self.builder.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) = (self.at(x1, y1), self.at(x2, y2), self.at(x, y));
        self.builder.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.builder.close();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails
    use super::*;

    #[test]
    fn all_that_pictures_write_has_a_glyph() {
        let face = face().unwrap();
        for character in "‖ΔWh‖₂σ₁ᵢ√Σ×·⁰¹²³⁴⁵⁶⁷⁸⁹⁻−→…–%ü".chars()
        {
            assert!(face.glyph_index(character).is_some(), "{character}");
        }
    }

    #[test]
    fn outlines_stand_where_they_are_put() {
        let place = Place { x: 100.0, y: 50.0, anchor: Anchor::End, upwards: false };
        let bounds = outline("ΔW", 12.0, place).unwrap().bounds();
        assert!(bounds.right() <= 100.5 && bounds.left() > 75.0, "{bounds:?}");
        assert!(bounds.bottom() <= 50.5 && bounds.top() < 42.0, "{bounds:?}");
        let upwards = outline("ΔW", 12.0, Place { anchor: Anchor::Start, upwards: true, ..place }).unwrap();
        assert!(upwards.bounds().bottom() <= 50.5 && upwards.bounds().right() <= 100.5);
        assert!(outline(" ", 12.0, place).is_none());
    }

    #[test]
    fn a_subscript_is_smaller_and_lower() {
        let place = Place { x: 0.0, y: 0.0, anchor: Anchor::Start, upwards: false };
        assert!(outline("\u{1}F", 10.0, place).unwrap().bounds().bottom() > 1.5);
        assert!((width("W\u{1}F", 10.0) - width("W", 10.0) - width("F", 7.0)).abs() < 1e-9);
    }

    #[test]
    fn long_names_lose_their_middle_and_long_notes_are_broken() {
        assert_eq!(fitted("base", 12.0, 100.0), "base");
        let name = "EleutherAI/pythia-12b-deduped-with-a-long-name";
        let short = fitted(name, 12.0, 100.0);
        assert!(
            width(&short, 12.0) <= 100.0 && short.starts_with("Eleu") && short.ends_with("name"),
            "{short}"
        );
        let lines = wrapped("one two three four", 12.0, width("one two", 12.0));
        assert_eq!(lines, ["one two", "three", "four"]);
        assert_eq!(plain("a\u{1}b\nü"), "a\u{fffd}b\u{fffd}ü");
    }
}
