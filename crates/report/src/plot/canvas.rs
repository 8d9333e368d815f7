//! Filled and stroked paths, and how they become SVG and PNG: the same ones, so that both look the same.

use std::fmt::Write;

use tiny_skia::{
    Color as SkiaColor, FillRule, LineCap, LineJoin, Paint as SkiaPaint, Path, PathBuilder, PathSegment,
    Pixmap, Stroke, StrokeDash, Transform,
};

use super::font::{self, Place, SUBSCRIPT};
use crate::escape;

/// Pixels of a PNG for each unit; a unit is 1/96 inch, as in CSS.
const SCALE: f32 = 300.0 / 96.0;
/// 300 pixels an inch.
const PIXELS_PER_METRE: u32 = 11811;

/// Red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Color(pub(super) u8, pub(super) u8, pub(super) u8);

pub(super) const BLACK: Color = Color(0x1a, 0x1a, 0x1a);
pub(super) const GREY: Color = Color(0x59, 0x59, 0x59);
pub(super) const PALE: Color = Color(0xd9, 0xd9, 0xd9);
pub(super) const WHITE: Color = Color(0xff, 0xff, 0xff);

/// How a path is painted; the last number of each is the opacity.
#[derive(Clone, Copy, Debug)]
pub(super) enum Paint {
    Fill(Color, f32),
    /// With its width, and the lengths of dashes and gaps; none for a solid line.
    Stroke(Color, f32, &'static [f32], f32),
}

/// What a shape is, as the class of its SVG element.
pub(super) type Class = &'static str;

#[derive(Clone, Debug)]
struct Shape {
    class: Class,
    path: Path,
    paint: Paint,
    text: Option<String>,
}

/// What is drawn, first things first. Coordinates are in 1/96 inch, from the top left.
#[derive(Clone, Debug)]
pub(super) struct Canvas {
    width: f64,
    height: f64,
    shapes: Vec<Shape>,
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64) -> Self {
        Self { width, height: height.ceil(), shapes: Vec::new() }
    }

    pub(super) fn add(&mut self, class: Class, path: Option<Path>, paint: Paint) {
        self.shapes.extend(path.map(|path| Shape { class, path, paint, text: None }));
    }

    pub(super) fn line(&mut self, class: Class, points: &[(f64, f64)], paint: Paint) {
        self.add(class, polygon(points, false), paint);
    }

    pub(super) fn area(&mut self, class: Class, points: &[(f64, f64)], paint: Paint) {
        self.add(class, polygon(points, true), paint);
    }

    pub(super) fn text(&mut self, text: &str, size: f64, color: Color, place: Place) {
        let said = text.replace(SUBSCRIPT, "_");
        let shape = |path| Shape { class: "text", path, paint: Paint::Fill(color, 1.0), text: Some(said) };
        self.shapes.extend(font::outline(text, size, place).map(shape));
    }

    /// As an SVG document. Every text is an outline that bears what it says as a label.
    pub(super) fn svg(&self, title: &str) -> String {
        let (width, height) = (self.width, self.height);
        let title = escaped(title);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{title}</title>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
        );
        for shape in &self.shapes {
            let _ = write!(svg, "<path class=\"{}\"", shape.class);
            if let Some(text) = &shape.text {
                let _ = write!(svg, " aria-label=\"{}\"", escaped(text));
            }
            let opacity = match shape.paint {
                Paint::Fill(color, opacity) => {
                    let _ = write!(svg, " fill=\"{}\"", hexadecimal(color));
                    opacity
                }
                Paint::Stroke(color, width, dash, opacity) => {
                    let _ = write!(
                        svg,
                        " fill=\"none\" stroke=\"{}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"",
                        hexadecimal(color)
                    );
                    if !dash.is_empty() {
                        let dash: Vec<String> = dash.iter().map(ToString::to_string).collect();
                        let _ = write!(svg, " stroke-dasharray=\"{}\"", dash.join(" "));
                    }
                    opacity
                }
            };
            if opacity < 1.0 {
                let _ = write!(svg, " opacity=\"{opacity}\"");
            }
            let _ = writeln!(svg, " d=\"{}\"/>", data(&shape.path));
        }
        svg.push_str("</svg>\n");
        svg
    }

    /// As a PNG of 300 pixels an inch; `None` for a picture without size, or larger than memory.
    pub(super) fn png(&self) -> Option<Result<Vec<u8>, png::EncodingError>> {
        let pixels = |length: f64| (length as f32 * SCALE).ceil() as u32;
        let mut pixmap = Pixmap::new(pixels(self.width), pixels(self.height))?;
        pixmap.fill(SkiaColor::WHITE);
        let scale = Transform::from_scale(SCALE, SCALE);
        for shape in &self.shapes {
            let (Paint::Fill(color, opacity) | Paint::Stroke(color, _, _, opacity)) = shape.paint;
            let mut paint = SkiaPaint { anti_alias: true, ..SkiaPaint::default() };
            paint.set_color_rgba8(color.0, color.1, color.2, (opacity * 255.0).round() as u8);
            match shape.paint {
                Paint::Fill(..) => pixmap.fill_path(&shape.path, &paint, FillRule::Winding, scale, None),
                Paint::Stroke(_, width, dash, _) => {
                    let stroke = Stroke {
                        width,
                        line_cap: LineCap::Butt,
                        line_join: LineJoin::Round,
                        dash: StrokeDash::new(dash.to_vec(), 0.0),
                        ..Stroke::default()
                    };
                    pixmap.stroke_path(&shape.path, &paint, &stroke, scale, None);
                }
            }
        }
        Some(encoded(&pixmap))
    }
}

/// A coordinate as SVG says it, so that a PNG has the same.
pub(super) fn hundredths(value: f64) -> f32 {
    ((value * 100.0).round() / 100.0) as f32
}

/// Straight lines from point to point.
fn polygon(points: &[(f64, f64)], closed: bool) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for (index, (x, y)) in points.iter().enumerate() {
        let (x, y) = (hundredths(*x), hundredths(*y));
        if index == 0 { builder.move_to(x, y) } else { builder.line_to(x, y) }
    }
    if closed {
        builder.close();
    }
    builder.finish()
}

/// Opaque, since it was filled with white: without the alpha channel.
fn encoded(pixmap: &Pixmap) -> Result<Vec<u8>, png::EncodingError> {
    let mut opaque = Vec::with_capacity(pixmap.data().len() / 4 * 3);
    pixmap.data().chunks_exact(4).for_each(|pixel| opaque.extend_from_slice(&pixel[..3]));
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, pixmap.width(), pixmap.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_pixel_dims(Some(png::PixelDimensions {
        xppu: PIXELS_PER_METRE,
        yppu: PIXELS_PER_METRE,
        unit: png::Unit::Meter,
    }));
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&opaque)?;
    writer.finish()?;
    Ok(bytes)
}

fn data(path: &Path) -> String {
    let mut data = String::new();
    for segment in path.segments() {
        let (letter, points) = match segment {
            PathSegment::MoveTo(to) => ('M', vec![to]),
            PathSegment::LineTo(to) => ('L', vec![to]),
            PathSegment::QuadTo(by, to) => ('Q', vec![by, to]),
            PathSegment::CubicTo(by, then, to) => ('C', vec![by, then, to]),
            PathSegment::Close => ('Z', vec![]),
        };
        data.push(letter);
        let numbers = points.iter().flat_map(|point| [short(point.x), short(point.y)]);
        data.push_str(&numbers.collect::<Vec<_>>().join(" "));
    }
    data
}

/// To hundredths, without zeros at the end.
fn short(value: f32) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

fn hexadecimal(color: Color) -> String {
    format!("#{:02x}{:02x}{:02x}", color.0, color.1, color.2)
}

fn escaped(text: &str) -> String {
    escape::text(&font::plain(text))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails
    use super::super::font::Anchor;
    use super::*;

    #[test]
    fn svg_says_what_is_drawn() {
        let mut canvas = Canvas::new(20.0, 10.0);
        canvas.line("line", &[(0.0, 0.0), (10.004, 5.5)], Paint::Stroke(BLACK, 1.5, &[4.0, 2.0], 1.0));
        canvas.area("band", &[(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)], Paint::Fill(Color(0, 114, 178), 0.25));
        canvas.text(" ", 10.0, BLACK, Place { x: 0.0, y: 0.0, anchor: Anchor::Start, upwards: false });
        insta::assert_snapshot!(canvas.svg("a < b & \"c\""));
    }

    #[test]
    fn png_has_what_svg_has() {
        let mut canvas = Canvas::new(96.0, 48.0);
        canvas.area(
            "cell",
            &[(0.0, 0.0), (48.0, 0.0), (48.0, 48.0), (0.0, 48.0)],
            Paint::Fill(Color(255, 0, 0), 1.0),
        );
        let bytes = canvas.png().unwrap().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let info = reader.info();
        assert_eq!((info.width, info.height, info.pixel_dims.unwrap().xppu), (300, 150, 11811));
        assert_eq!((&pixels[..3], &pixels[299 * 3..300 * 3]), (&[255, 0, 0][..], &[255, 255, 255][..]));
    }
}
