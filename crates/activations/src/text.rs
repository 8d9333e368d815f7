//! Samples of a text file: one a line, as the Python scripts read them.

use std::io::{BufRead, BufReader};
use std::path::Path;

use intake::Foreign;

use crate::Error;

/// Bytes that a line may have. A novel fits; a file without line ends, which is no list of samples, does not.
pub const MAX_LINE: usize = 4 << 20;

/// The first `max_samples` lines of a UTF-8 file that are not blank, stripped.
///
/// Lines end as in Python's text mode (`\n`, `\r\n` or `\r`) and are stripped as by `str.strip()`. A byte order mark
/// is skipped. The file is read no further than the last sample.
///
/// # Errors
/// [`Error::TextNotFound`]; [`Error::Io`], also for what is plainly no text file, and for a pipe or device, which is not
/// opened; [`Error::NotUtf8`] and [`Error::LineTooLong`] up to the last sample; [`Error::NoSamples`].
pub fn read_samples(path: &Path, max_samples: usize) -> Result<Vec<String>, Error> {
    let io = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => Error::TextNotFound { path: path.into() },
        _ if Foreign::behind(&source) == Some(Foreign::Empty) => Error::NoSamples { path: path.into() },
        _ => Error::Io { path: path.into(), source },
    };
    let mut reader = BufReader::new(intake::open_known(path).map_err(io)?);
    let (mut samples, mut line) = (Vec::new(), Vec::new());
    let mut number = 0;
    while samples.len() < max_samples && read_line(&mut reader, &mut line).map_err(io)? {
        number += 1;
        if line.len() > MAX_LINE {
            return Err(Error::LineTooLong { path: path.into(), line: number, limit: MAX_LINE });
        }
        let text = std::str::from_utf8(&line).map_err(|source| Error::NotUtf8 {
            path: path.into(),
            line: number,
            source,
        })?;
        let text = if number == 1 { text.strip_prefix('\u{feff}').unwrap_or(text) } else { text };
        let sample = text.trim_matches(is_space);
        if !sample.is_empty() {
            samples.push(sample.to_owned());
        }
    }
    if samples.is_empty() && max_samples > 0 {
        return Err(Error::NoSamples { path: path.into() });
    }
    Ok(samples)
}

/// Reads one line without its end, or a little more than [`MAX_LINE`] of it. False at the end of the file.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    let mut found = false;
    while line.len() <= MAX_LINE {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        found = true;
        let Some(end) = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            line.extend_from_slice(buffer);
            let all = buffer.len();
            reader.consume(all);
            continue;
        };
        line.extend_from_slice(&buffer[..end]);
        let is_return = buffer[end] == b'\r';
        reader.consume(end + 1);
        if is_return && reader.fill_buf()?.first() == Some(&b'\n') {
            reader.consume(1);
        }
        break;
    }
    Ok(found)
}

/// Python's whitespace: Unicode's, and the four separators of ASCII.
fn is_space(character: char) -> bool {
    character.is_whitespace() || matches!(character, '\x1c'..='\x1f')
}
