//! Names of tensors are whatever a file says: they come back from the tables as they were, and are text everywhere else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use pipeline::{
    ComparisonTables, HtmlReportOptions, Hub, ParamStatsOptions, PictureFormat, PlotParamStatsOptions,
    html_report, param_stats, plot_param_stats,
};
use report::Table;
use serde_json::{Map, Value, json};
use weights_io::{Checkpoint, Selection};

fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        "model.layers.0.mlp.up_proj.weight",
        "model.layers.1.a\nb\r\nc.weight",
        "model.layers.2.comma, \"quote\" 'and' back\\slash.weight",
        "model.layers.3.\u{1b}[2J\u{1b}]0;owned\u{7}.weight",
        "model.layers.4.\u{202e}thgiew.\u{2066}\u{feff}.weight",
        "model.layers.5.nul\0nul.weight",
        "=HYPERLINK(\"http://example.com\").weight",
        "+1.weight",
        "@SUM(1).weight",
        "-1.weight",
        " leading and trailing ",
        "\t",
        "model.layers.6.</script><img src=x onerror=alert(1)>&amp;.weight",
        "model.layers.7.größe.数.\u{1f600}.weight",
        "model.layers.18446744073709551616.mlp.weight",
        "model.layers.4294967295.mlp.up_proj.weight",
        "nan",
        "../../../etc/passwd",
    ]
    .map(str::to_owned)
    .into();
    names.push(format!("model.layers.8.{}.weight", "long".repeat(2500)));
    names.sort();
    names
}

/// A model of 2 × 2 matrices with these names.
fn model(path: &Path, names: &[String], seed: f32) {
    let mut header = Map::new();
    for (index, name) in names.iter().enumerate() {
        let offsets = [16 * index, 16 * (index + 1)];
        header.insert(name.clone(), json!({"dtype": "F32", "shape": [2, 2], "data_offsets": offsets}));
    }
    let header = Value::Object(header).to_string();
    let data = (0..4 * names.len()).flat_map(|index| (seed + index as f32).to_le_bytes());
    let length = (header.len() as u64).to_le_bytes();
    std::fs::write(path, [&length, header.as_bytes(), &data.collect::<Vec<u8>>()].concat()).unwrap();
}

struct Compared {
    folder: tempfile::TempDir,
    tables: PathBuf,
}

fn compared() -> Compared {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = [("a", 1.0), ("b", 1.5)].map(|(name, seed)| {
        let path = folder.path().join(format!("{name}.safetensors"));
        model(&path, &names(), seed);
        path
    });
    let mut options = ParamStatsOptions::new(&a, &b, folder.path().join("tables"));
    options.selection = Selection::AllMatrices;
    options.numerics.top_k = 2;
    let found = param_stats(&options, &Hub::default(), &(), &AtomicBool::new(false)).unwrap();
    Compared { tables: found.folder, folder }
}

#[test]
fn tables_give_names_back() {
    let Compared { folder: _folder, tables } = compared();
    let mut reader = csv::Reader::from_path(tables.join("per_matrix.csv")).unwrap();
    assert_eq!(&reader.headers().unwrap()[0], "name");
    let mut by_csv: Vec<String> = reader.records().map(|record| record.unwrap()[0].to_owned()).collect();
    by_csv.sort();
    assert_eq!(by_csv, names());
    for file in ["per_matrix.csv", "per_matrix.parquet", "ledger.csv", "ledger.parquet"] {
        let table = Table::read(tables.join(file)).unwrap();
        let mut read: Vec<String> = table.needed_texts("name").unwrap().into_iter().flatten().collect();
        read.sort();
        assert_eq!(read, names(), "{file}");
    }
}

#[test]
fn pictures_and_pages_show_names_as_text() {
    let Compared { folder, tables } = compared();
    let options = PlotParamStatsOptions {
        per_layer: tables.join("per_layer.parquet"),
        per_matrix: None,
        singular_values: None,
        outdir: folder.path().join("plots"),
        title: Some("</title><script>\u{1b}[2J\0\u{202e}".into()),
        formats: vec![PictureFormat::Svg, PictureFormat::Png],
    };
    let plotted = plot_param_stats(&options, &(), &AtomicBool::new(false)).unwrap();
    assert!(plotted.files.len() > 2);
    for file in plotted.files {
        assert_eq!(file.parent().unwrap(), options.outdir, "no name of a file leaves the folder");
        if file.extension().unwrap() == "svg" {
            let svg = std::fs::read_to_string(&file).unwrap();
            let no_text_of_xml = |character: char| character.is_control() && character != '\n';
            assert!(!svg.contains(no_text_of_xml), "{}", file.display());
            assert!(!svg.contains("<img") && !svg.contains("<script") && svg.contains("</svg>"));
        }
    }
    let options = HtmlReportOptions {
        title: "</title><script>x</script>".into(),
        comparisons: vec![ComparisonTables {
            label: names()[3].clone(),
            a: names()[5].clone(),
            b: "b".into(),
            folder: tables,
        }],
        activations: None,
        file: folder.path().join("report.html"),
        failures: names(),
    };
    let page = html_report(&options, &(), &AtomicBool::new(false)).unwrap();
    let page = std::fs::read_to_string(page).unwrap();
    assert!(!page.contains("<img src=x") && !page.contains("<script>x") && !page.contains('\0'));
}

#[test]
fn a_name_that_is_no_text_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let header = r#"{"lone \ud800 surrogate": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}"#;
    std::fs::write(&path, [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()).unwrap();
    let error = Checkpoint::open(&path).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        error.to_string().contains("model.safetensors") && cause.contains("hex escape"),
        "{error}: {cause}"
    );
}
