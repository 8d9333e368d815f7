//! What the tests of several tools do the same way: run in `fixtures/`, read what was said and written, send signals.
#![allow(dead_code)] // no tool needs all of it

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

pub(crate) fn stderr(output: &Output) -> String {
    assert!(output.stdout.is_empty(), "data goes to files");
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) fn redacted(output: &Output, outdir: &Path) -> String {
    stderr(output).replace(&*outdir.to_string_lossy(), "[outdir]")
}

/// What a tool says of itself, by what it was asked with.
pub(crate) fn help_and_version(binary: &Path) -> [(&'static str, String); 3] {
    ["--help", "-h", "--version"].map(|flag| {
        let output = Command::new(binary).arg(flag).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        (flag.trim_start_matches('-'), String::from_utf8(output.stdout).unwrap())
    })
}

/// The names of the files in a folder, in order.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    let names =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Fractions to so many digits: the last ones depend on the processor's instruction set, and so does all of what is
/// rounding alone.
pub(crate) fn rounded(csv: &str, digits: usize) -> String {
    let cell = |cell: &str| match cell.parse::<f64>() {
        Ok(value) if value != 0.0 && value.abs() < 1e-11 => "rounding".to_owned(),
        Ok(value) if cell.contains('.') => format!("{value:.*e}", digits - 1),
        _ => cell.to_owned(),
    };
    csv.lines().map(|line| line.split(',').map(cell).collect::<Vec<_>>().join(",") + "\n").collect()
}

/// A table as CSV; Parquet must hold the same rows.
pub(crate) fn table(folder: &Path, table: &str) -> String {
    let csv = std::fs::read_to_string(folder.join(format!("{table}.csv"))).unwrap();
    let file = File::open(folder.join(format!("{table}.parquet"))).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut as_csv = Vec::new();
    let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(&mut as_csv);
    for batch in reader {
        writer.write(&batch.unwrap()).unwrap();
    }
    drop(writer);
    assert_eq!(String::from_utf8(as_csv).unwrap(), csv, "{table}");
    csv
}

/// What a Parquet file says of its origin under a key.
pub(crate) fn provenance(file: &Path) -> impl Fn(&str) -> String + use<> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap();
    let metadata = reader.metadata().file_metadata().key_value_metadata().unwrap().clone();
    move |key| {
        let entry = metadata.iter().find(|entry| entry.key == format!("model_diffs.{key}"));
        entry.unwrap_or_else(|| panic!("no {key}")).value.clone().unwrap()
    }
}

/// The beginning of a safetensors file of f32 tensors.
pub(crate) fn safetensors_head(tensors: &[(String, Vec<usize>)]) -> Vec<u8> {
    let mut end = 0;
    let mut entries = Vec::new();
    for (name, shape) in tensors {
        let start = end;
        end += bytes(shape);
        entries
            .push(format!(r#""{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{start},{end}]}}"#));
    }
    let header = format!("{{{}}}", entries.join(","));
    [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()
}

fn bytes(shape: &[usize]) -> usize {
    shape.iter().product::<usize>() * 4
}

/// A safetensors file of f32 tensors that occupies no disk: all zeros.
pub(crate) fn sparse_model(path: &Path, tensors: &[(String, Vec<usize>)]) {
    let head = safetensors_head(tensors);
    let data: usize = tensors.iter().map(|(_, shape)| bytes(shape)).sum();
    let mut file = File::create(path).unwrap();
    file.write_all(&head).unwrap();
    file.set_len((head.len() + data) as u64).unwrap();
}

/// Sends a signal to a tool as soon as it begins its work, and sees that it leaves nothing behind.
#[cfg(unix)]
pub(crate) fn assert_interruptible(mut command: Command, outdir: &Path, signal: &str, code: i32) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    // The folder is made after the handlers are set and before the work begins.
    while !outdir.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    assert_eq!(stderr(&output), "error: interrupted; nothing was written\n");
    assert!(!outdir.exists(), "the empty folder is taken away again");
}

/// Changes a file once a tool has begun its work and some time has passed; what the tool ended with.
#[cfg(unix)]
pub(crate) fn change_while_read(
    mut command: Command,
    outdir: &Path,
    delay: std::time::Duration,
    file: &Path,
    how: &str,
) -> Output {
    let mut child = command.spawn().unwrap();
    while !outdir.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    std::thread::sleep(delay);
    assert!(child.try_wait().unwrap().is_none(), "the run is over before the file could be changed");
    let length = std::fs::metadata(file).unwrap().len();
    let open = || File::options().write(true).open(file).unwrap();
    match how {
        "cut" => open().set_len(length / 2).unwrap(),
        "cut to nothing" => open().set_len(0).unwrap(),
        "grown" => open().set_len(length + 1).unwrap(),
        "written" => open().write_all(b"other").unwrap(),
        "replaced by a pipe" => {
            let pipe = file.with_extension("pipe");
            assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
            std::fs::rename(pipe, file).unwrap();
        }
        _ => std::fs::remove_file(file).unwrap(),
    }
    child.wait_with_output().unwrap()
}
