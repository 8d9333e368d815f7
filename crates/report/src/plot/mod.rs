//! Pictures of the tables: lines over layers with their uncertainty, a heat map, spectra.
//!
//! A picture is drawn once, as paths, and written as SVG or PNG. Text is drawn as outlines of one font that comes with
//! this crate, and pixels without SIMD, so that the same table gives the same bytes on every machine.
//!
//! Lines differ in colour, dashes and markers, in a palette that colour-blind readers can tell apart. The legend stands
//! below the data. An axis is logarithmic where values span two decades; zeros have a place of their own there, below a
//! break of the axis. What is not defined is a gap.

mod activations;
mod canvas;
mod colors;
mod font;
mod frame;
mod heat_map;
mod lines;
mod look;
mod param_stats;
mod rows;
mod scale;
mod spectra;
mod ticks;

pub use activations::activation_pictures;
pub use param_stats::param_stats_pictures;

use canvas::Canvas;

use crate::Error;

/// Gives pictures whose names are the same, or differ in capital letters only, names of their own.
fn with_own_names(mut pictures: Vec<Picture>) -> Vec<Picture> {
    for index in 1..pictures.len() {
        let (earlier, rest) = pictures.split_at_mut(index);
        let Some(picture) = rest.first_mut() else { break };
        let name = picture.name.clone();
        for number in 2.. {
            if !earlier.iter().any(|other| other.name.eq_ignore_ascii_case(&picture.name)) {
                break;
            }
            picture.name = format!("{name}_{number}");
        }
    }
    pictures
}

/// A picture, drawn and not yet written.
#[derive(Clone, Debug)]
pub struct Picture {
    /// Its file name without extension, such as `stable_rank_attn`.
    pub name: String,
    /// What it shows, in a few words.
    pub title: String,
    canvas: Canvas,
}

impl Picture {
    fn new(name: impl Into<String>, title: impl Into<String>, canvas: Canvas) -> Self {
        Self { name: name.into(), title: title.into(), canvas }
    }

    /// As an SVG document that needs nothing else: text is outlines.
    #[must_use]
    pub fn svg(&self) -> String {
        self.canvas.svg(&self.title)
    }

    /// As a PNG, 7 inches wide at 300 pixels an inch.
    ///
    /// # Errors
    /// [`Error::Picture`] if it is larger than memory.
    pub fn png(&self) -> Result<Vec<u8>, Error> {
        let name = || self.name.clone();
        match self.canvas.png() {
            Some(Ok(bytes)) => Ok(bytes),
            Some(Err(source)) => Err(Error::Picture { name: name(), source: Some(source) }),
            None => Err(Error::Picture { name: name(), source: None }),
        }
    }
}
