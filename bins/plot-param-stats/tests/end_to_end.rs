//! The real binary on real files: pictures, messages, exit codes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

#[path = "../../cli/tests/support/mod.rs"]
mod support;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{files, fixtures, redacted, stderr};

fn command(arguments: &[&str], outdir: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("plot-param-stats"));
    command.current_dir(fixtures()).args(arguments).arg("--outdir").arg(outdir);
    command
}

/// The tables of a comparison with singular values, as collect-param-stats writes them.
fn tables(folder: &Path) -> PathBuf {
    let pair = fixtures().join("pairs/neox");
    let mut options = pipeline::ParamStatsOptions::new(pair.join("a"), pair.join("b"), folder);
    options.numerics.top_k = 4;
    options.name = Some("base__to__tuned".into());
    pipeline::param_stats(&options, &pipeline::Hub::default(), &(), &false.into()).unwrap().folder
}

const ALL: [&str; 9] = [
    "delta_spectra_attn",
    "delta_spectra_mlp",
    "layer_locality_attn",
    "layer_locality_mlp",
    "relative_change_heatmap",
    "relative_frobenius",
    "relative_spectral_norm",
    "stable_rank_attn",
    "stable_rank_mlp",
];

#[test]
fn all_pictures_of_a_comparison_from_csv_and_parquet_in_both_formats() {
    let folder = tempfile::tempdir().unwrap();
    let tables = tables(folder.path());
    let draw = |table: &str| {
        let outdir = folder.path().join("plots").join(table.rsplit('.').next().unwrap());
        let table = tables.join(table);
        let arguments = ["--per-layer", table.to_str().unwrap(), "--format", "png,svg,png"];
        let output = command(&arguments, &outdir).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        (output, outdir)
    };
    let (output, from_csv) = draw("per_layer.csv");
    insta::assert_snapshot!("summary", redacted(&output, folder.path()));
    let mut expected: Vec<String> =
        ALL.iter().flat_map(|name| [format!("{name}.png"), format!("{name}.svg")]).collect();
    expected.sort();
    assert_eq!(files(&from_csv), expected);
    let (_, from_parquet) = draw("per_layer.parquet");
    assert_eq!(files(&from_parquet), expected);
    let svg = |folder: &Path| std::fs::read_to_string(folder.join("stable_rank_attn.svg")).unwrap();
    assert!(svg(&from_csv).contains("aria-label=\"base → tuned\""), "a CSV file's folder names the models");
    assert!(svg(&from_parquet).contains("aria-label=\"a → b\""), "Parquet names them itself");
    let png = std::fs::read(from_csv.join("relative_frobenius.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG"));
}

#[test]
fn tables_are_taken_from_where_they_are_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let tables = tables(folder.path());
    let alone = folder.path().join("alone.csv");
    std::fs::copy(tables.join("per_layer.csv"), &alone).unwrap();
    let elsewhere = folder.path().join("plots");
    let output = command(&["--per-layer", alone.to_str().unwrap()], &elsewhere).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(files(&elsewhere).len(), 6, "nothing stands beside it");
    let (matrices, values) = (tables.join("per_matrix.parquet"), tables.join("singular_values.csv"));
    let arguments = [
        "--per-layer",
        alone.to_str().unwrap(),
        "--per-matrix",
        matrices.to_str().unwrap(),
        "--singular-values",
        values.to_str().unwrap(),
        "--title",
        "My <title>",
        "--format",
        "svg",
    ];
    let output = command(&arguments, &elsewhere).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!stderr(&output).contains("also drawn"));
    assert_eq!(files(&elsewhere).len(), 6 + 9);
    let svg = std::fs::read_to_string(elsewhere.join("delta_spectra_mlp.svg")).unwrap();
    assert!(svg.contains("aria-label=\"My &lt;title&gt;\""));
}

#[test]
fn the_scripts_table_and_flag_work() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("per_layer.csv");
    std::fs::write(
        &table,
        "layer,group,dW_fro_layer,mean_dW_stable_rank,count_mats\n-1,other,9,9,1\n0,attn,1.5,3,4\n0,mlp,2,2.5,3\n",
    )
    .unwrap();
    let outdir = folder.path().join("plots");
    let output = command(&["--per-layer-csv", table.to_str().unwrap(), "--quiet"], &outdir).output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    assert_eq!(
        files(&outdir),
        ["layer_locality_attn.png", "layer_locality_mlp.png", "stable_rank_attn.png", "stable_rank_mlp.png"]
    );
}

#[test]
fn a_hundred_layers_give_the_same_bytes_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut csv = "layer,group,dW_fro_layer,mean_dW_stable_rank,count_mats,dW_fro_layer_rel\n".to_owned();
    for layer in 0..100 {
        for group in ["attn", "mlp"] {
            let _ = writeln!(csv, "{layer},{group},{layer}.5,{},4,1e-{}", 1 + layer % 7, layer % 5);
        }
    }
    let table = folder.path().join("per_layer.csv");
    std::fs::write(&table, csv).unwrap();
    let draw = |outdir: &str| {
        let outdir = folder.path().join(outdir);
        let output = command(&["--per-layer", table.to_str().unwrap()], &outdir).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let read = |name: &String| std::fs::read(outdir.join(name)).unwrap();
        files(&outdir).iter().map(read).collect::<Vec<_>>()
    };
    let first = draw("one");
    assert_eq!(first.len(), 5);
    assert!(first == draw("other"), "bytes differ");
}

#[test]
fn wrong_files_are_named_with_cause_and_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("no_layers.csv", "layer,group,dW_fro_layer\n-1,other,1\n");
    write("no_column.csv", "layer,group,size\n0,attn,1\n");
    write("text.csv", "layer,group\n1\n");
    write("binary.parquet", "PAR1 and no more");
    for case in ["missing.csv", "no_layers.csv", "no_column.csv", "text.csv", "binary.parquet"] {
        let table = folder.path().join(case);
        let outdir = folder.path().join("plots");
        let output = command(&["--per-layer", table.to_str().unwrap()], &outdir).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{case}");
        let name = case.split('.').next().unwrap();
        insta::assert_snapshot!(format!("error_{name}"), redacted(&output, folder.path()));
        assert!(!outdir.exists(), "{case}: nothing is written");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("per_layer.csv");
    std::fs::write(&table, "layer,group,dW_fro_layer\n0,attn,1\n").unwrap();
    let output = command(&["--per-layer", table.to_str().unwrap()], &table).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = redacted(&output, folder.path());
    assert!(message.contains("cannot write into [outdir]/per_layer.csv"), "{message}");
    assert!(message.contains("hint: "), "{message}");
}

#[test]
fn help_and_version() {
    for (name, text) in support::help_and_version(assert_cmd::cargo::cargo_bin!("plot-param-stats")) {
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn bad_usage_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let outdir = folder.path().join("plots");
    for arguments in [
        &[][..],
        &["--per-layer", "a.csv", "--format", "pdf"],
        &["--per-layer", "a.csv", "--quiet", "--verbose"],
        &["--per-layer", "a.csv", "surplus"],
    ] {
        let output = command(arguments, &outdir).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).starts_with("error: "), "{arguments:?}");
        assert!(!outdir.exists(), "{arguments:?}");
    }
}
