//! Lines of a text file, one at a time.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;

use crate::Error;

/// Bytes that a line, or a row of a CSV file, may have: more than any sample, and little enough for any machine.
pub(crate) const LONGEST: u64 = 64 << 20;

/// What is wrong with a longer one.
pub(crate) const TOO_LONG: &str = "longer than 64 MiB";

/// Sees each line and its number from 1.
pub(crate) type OnLine<'a> = dyn FnMut(usize, &str) -> Result<ControlFlow<()>, Error> + 'a;

/// Opens a file, and nothing that could block as a pipe does, or is plainly no data.
pub(crate) fn open(path: &Path) -> Result<File, Error> {
    intake::open_known(path).map_err(|source| Error::DatasetFile { path: path.into(), source })
}

/// Hands over each line, ended by `\n` and without its end, until one breaks off. A byte order mark is skipped.
pub(crate) fn for_each(path: &Path, on_line: &mut OnLine<'_>) -> Result<ControlFlow<()>, Error> {
    let mut reader = BufReader::new(open(path)?);
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let read = reader.by_ref().take(LONGEST).read_until(b'\n', &mut bytes);
        if read.map_err(|source| Error::DatasetFile { path: path.into(), source })? == 0 {
            break;
        }
        let wrong = |message: String| Error::DatasetLine { path: path.into(), line: number as u64, message };
        if bytes.len() as u64 == LONGEST {
            return Err(wrong(TOO_LONG.to_owned()));
        }
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let line = std::str::from_utf8(line).map_err(|error| wrong(error.to_string()))?;
        let line = if number == 1 { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        if on_line(number, line)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
