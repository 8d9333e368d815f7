//! The real binary on real files: pictures, messages, exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../cli/tests/support/mod.rs"]
mod support;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use pipeline::{ActivationNormsOptions, Hub, Models, Split, activation_norms};
use support::{files, fixtures, redacted, stderr};

fn command(arguments: &[&str], outdir: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("plot-activation-norms"));
    command.current_dir(fixtures()).args(arguments).arg("--outdir").arg(outdir);
    command
}

/// The tables of two models on two texts, as collect-activation-norms writes them.
fn tables(folder: &Path) -> PathBuf {
    let pair = fixtures().join("activations/pair");
    let split = |name: &str| Split { name: name.into(), path: pair.join(format!("{name}.txt")) };
    let splits = vec![split("forget"), split("retain")];
    let options = ActivationNormsOptions::new(Models::pair(pair.join("a"), pair.join("b")), splits, folder);
    activation_norms(&options, &Hub::default(), &(), &false.into()).unwrap().folder
}

#[test]
fn all_pictures_of_a_run_from_csv_and_parquet_in_both_formats() {
    let folder = tempfile::tempdir().unwrap();
    let tables = tables(&folder.path().join("tables"));
    let draw = |table: &str| {
        let outdir = folder.path().join("plots").join(table.rsplit('.').next().unwrap());
        let table = tables.join(table);
        let arguments = ["--norms", table.to_str().unwrap(), "--format", "svg,png", "--title", "A pair"];
        let output = command(&arguments, &outdir).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        (output, outdir)
    };
    let (output, from_csv) = draw("activation_norms.csv");
    insta::assert_snapshot!("summary", redacted(&output, folder.path()));
    let (_, from_parquet) = draw("activation_norms.parquet");
    let written = files(&from_csv);
    assert_eq!((written.len(), &written), (2 * 6, &files(&from_parquet)));
    for file in written {
        let read = |folder: &Path| std::fs::read(folder.join(&file)).unwrap();
        assert!(read(&from_csv) == read(&from_parquet), "{file}: both tables hold the same numbers");
    }
    let svg = std::fs::read_to_string(from_csv.join("activation_cosine.svg")).unwrap();
    assert!(svg.contains("aria-label=\"A pair: a → b\""));
}

#[test]
fn the_table_of_differences_is_taken_from_where_it_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let tables = tables(&folder.path().join("tables"));
    let alone = folder.path().join("alone.csv");
    std::fs::copy(tables.join("activation_norms.csv"), &alone).unwrap();
    let outdir = folder.path().join("plots");
    let norms = ["--norms", alone.to_str().unwrap()];
    let output = command(&norms, &outdir).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(files(&outdir), ["activation_norms_forget.png", "activation_norms_retain.png"]);
    let differences = tables.join("activation_diffs.parquet");
    let output = command(&norms, &outdir).arg("--diffs").arg(differences).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(files(&outdir).len(), 6);
}

#[test]
fn the_scripts_table_and_flag_work() {
    let folder = tempfile::tempdir().unwrap();
    let mut csv = "model,split,layer,mean_norm\n".to_owned();
    for model in ["base", "tuned"] {
        for split in ["forget", "retain"] {
            for layer in 0..100 {
                let _ = writeln!(csv, "{model},{split},{layer},{}", 10 + layer);
            }
            let _ = writeln!(csv, "{model},{split},ALL_MEAN,59.5");
        }
    }
    let table = folder.path().join("norms.csv");
    std::fs::write(&table, csv).unwrap();
    let draw = |outdir: &str| {
        let outdir = folder.path().join(outdir);
        let output = command(&["--csv", table.to_str().unwrap(), "--quiet"], &outdir).output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
        assert_eq!(files(&outdir), ["activation_norms_forget.png", "activation_norms_retain.png"]);
        std::fs::read(outdir.join("activation_norms_forget.png")).unwrap()
    };
    assert!(draw("one") == draw("other"), "bytes differ");
}

#[test]
fn wrong_files_are_named_with_cause_and_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("no_layers.csv", "model,split,layer,mean_norm\nm,forget,ALL_MEAN,1\n");
    write("per_layer.csv", "layer,group,dW_fro_layer\n0,attn,1\n");
    for case in ["missing.csv", "no_layers.csv", "per_layer.csv"] {
        let table = folder.path().join(case);
        let outdir = folder.path().join("plots");
        let output = command(&["--norms", table.to_str().unwrap()], &outdir).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{case}");
        let name = case.split('.').next().unwrap();
        insta::assert_snapshot!(format!("error_{name}"), redacted(&output, folder.path()));
        assert!(!outdir.exists(), "{case}: nothing is written");
    }
}

#[test]
fn help_and_version() {
    for (name, text) in support::help_and_version(assert_cmd::cargo::cargo_bin!("plot-activation-norms")) {
        insta::assert_snapshot!(name, text);
    }
}
