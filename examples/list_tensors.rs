//! Lists every tensor of a checkpoint, without reading its data:
//!
//! ```sh
//! cargo run -p examples --example list_tensors -- fixtures/pairs/neox/a
//! ```
//!
//! One line a tensor, in storage order: name, dtype, shape, file; for an entry that cannot be read, the reason. Which
//! file was taken goes to stderr. Exit code 2 and a hint where the path is no checkpoint.

use std::error::Error;
use std::io::{BufWriter, ErrorKind, Write, stderr, stdout};
use std::path::Path;
use std::process::ExitCode;

use weights_io::Checkpoint;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: list_tensors PATH    a folder with weights, a weight file or an index file");
        return ExitCode::from(2);
    };
    let checkpoint = match Checkpoint::open(path) {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            let mut message = error.to_string();
            for cause in
                std::iter::successors(error.source(), |&cause| cause.source()).map(ToString::to_string)
            {
                // Some crates repeat their cause in their own message.
                if !message.ends_with(&cause) {
                    message.push_str(": ");
                    message.push_str(&cause);
                }
            }
            eprintln!("error: {message}\nhint: {}", error.hint());
            return ExitCode::from(2);
        }
    };
    match list(&checkpoint) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS, // `| head` has seen enough
        Err(error) => {
            eprintln!("error: cannot write the list: {error}");
            ExitCode::from(2)
        }
    }
}

fn list(checkpoint: &Checkpoint) -> std::io::Result<()> {
    writeln!(stderr(), "took {}", checkpoint.took().display())?;
    for other in checkpoint.also_present() {
        writeln!(stderr(), "also present, not read: {}", other.display())?;
    }
    let readable = checkpoint.tensors().iter().map(|tensor| {
        let shape = format!("{:?}", tensor.shape);
        [escaped(&tensor.name), tensor.dtype.to_string(), shape, file_name(checkpoint.file_of(tensor))]
    });
    let unsupported = checkpoint.unsupported().iter().map(|entry| {
        let shape = entry.shape.as_ref().map_or("unknown".into(), |shape| format!("{shape:?}"));
        let file = file_name(checkpoint.file_of_unsupported(entry));
        [escaped(&entry.name), "unsupported".into(), shape, format!("{file}  ({})", escaped(&entry.reason))]
    });
    let rows: Vec<[String; 4]> = readable.chain(unsupported).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (names, dtypes, shapes) = (width(0), width(1), width(2));
    let mut out = BufWriter::new(stdout().lock());
    for [name, dtype, shape, file] in &rows {
        writeln!(out, "{name:<names$}  {dtype:<dtypes$}  {shape:<shapes$}  {file}")?;
    }
    out.flush()
}

/// Names come from strangers: control characters must not reach the terminal.
fn escaped(text: &str) -> String {
    text.escape_debug().to_string()
}

fn file_name(path: &Path) -> String {
    escaped(&path.file_name().unwrap_or_default().to_string_lossy())
}
