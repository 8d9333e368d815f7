//! Whatever is damaged in a table: it is read or refused, without a panic, a word on stderr, or memory without bound.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use report::{
    ActivationNormRow, Format, LayerRow, Provenance, Table, Tables, activation_pictures, param_stats_pictures,
};

const TRIALS: usize = 1500;

fn below(random: &mut ChaCha8Rng, bound: usize) -> usize {
    (random.next_u64() % bound as u64) as usize
}

/// The file with a few bytes flipped, replaced by telling ones, left out or doubled, or its end cut off.
fn damaged(whole: &[u8], random: &mut ChaCha8Rng) -> Vec<u8> {
    const TELLING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b',', b'"', b'\n'];
    let mut bytes = whole.to_vec();
    for _ in 0..=below(random, 4) {
        let at = below(random, bytes.len());
        match below(random, 8) {
            0..=2 => bytes[at] ^= 1 << below(random, 8),
            3..=4 => bytes[at] = TELLING[below(random, TELLING.len())],
            5 => drop(bytes.drain(at..(at + 1 + below(random, 8)).min(bytes.len()))),
            6 => {
                let piece = bytes[at..(at + 1 + below(random, 8)).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => bytes.truncate(at + 1),
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

/// All that readers do with a table.
fn used(table: &Table) {
    for column in table.columns() {
        assert!(table.texts(column).is_none_or(|texts| texts.len() == table.rows()));
        assert!(table.numbers(column).is_none_or(|numbers| {
            numbers.len() == table.rows() && numbers.iter().flatten().all(|number| number.is_finite())
        }));
        let _ = table.is_numeric(column);
    }
    if let Ok(rows) = table.rows_of::<LayerRow>() {
        assert_eq!(rows.len(), table.rows());
    }
    let pictures = [param_stats_pictures(table, None, None, ""), activation_pictures(table, None, "")];
    for picture in pictures.into_iter().flatten().flatten() {
        assert!(picture.svg().starts_with("<svg"));
    }
}

fn tables(folder: &Path) -> Vec<Vec<u8>> {
    let row = |layer| LayerRow {
        layer,
        group: "attn",
        delta_frobenius: 0.1 + f64::from(layer),
        delta_stable_rank_mean: Some(2.5),
        count: 2,
        count_changed: 1,
        a_frobenius: 1e-300,
        delta_frobenius_relative: Some(1.0 / 3.0),
        delta_spectral_max: None,
        delta_spectral_relative_max: None,
    };
    let mut tables = Tables::create(folder, &[Format::Csv, Format::Parquet]).unwrap();
    let mut provenance = Provenance::default();
    provenance.add("model_diffs.seed", "7");
    tables.stage(&[row(0), row(1), row(2)], &provenance).unwrap();
    tables.stage::<ActivationNormRow>(&[], &provenance).unwrap();
    tables.finish().unwrap().iter().map(|file| std::fs::read(file).unwrap()).collect()
}

#[test]
fn no_damage_is_a_panic_or_a_word() {
    let reports = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reports);
    std::panic::set_hook(Box::new(move |panic| {
        eprintln!("{panic}");
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    let folder = tempfile::tempdir().unwrap();
    let files = tables(folder.path());
    let path = folder.path().join("damaged");
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let (mut read, mut refused) = (0, 0);
    for trial in 0..TRIALS {
        std::fs::write(&path, damaged(&files[trial % files.len()], &mut random)).unwrap();
        match Table::read(&path) {
            Ok(table) => {
                used(&table);
                read += 1;
            }
            Err(error) => {
                assert!(error.to_string().len() < 1000 && !error.hint().is_empty(), "{error}");
                refused += 1;
            }
        }
    }
    drop(std::panic::take_hook());
    assert_eq!(reports.load(Ordering::Relaxed), 0, "contained panics are silent");
    assert!(read > TRIALS / 10 && refused > TRIALS / 10, "{read} read, {refused} refused");
}

const COLUMNS: [&str; 5] = [
    "layer,group,dW_fro_layer,mean_dW_stable_rank,count_mats,count_changed,W_fro_layer,dW_fro_layer_rel,\
     max_dW_spectral,max_dW_spectral_rel",
    "layer,name,group,component,dW_fro,dW_stable_rank,W_fro,dW_stable_rank_lo,dW_stable_rank_hi",
    "index,name,operator,value,lower,upper",
    "layer,model,split,site,mean_norm,mean_norm_lo,mean_norm_hi",
    "layer,split,site,model_a,model_b,model_a_l2_norm,model_b_l2_norm,mean_diff_l2,mean_cosine,relative_diff,\
     mean_diff_l2_lo,mean_diff_l2_hi",
];

/// A table of these columns with whatever in its cells.
fn extreme(columns: &str, path: &Path, random: &mut ChaCha8Rng) -> Table {
    const NUMBERS: [&str; 14] = [
        "0",
        "1",
        "-1",
        "1e308",
        "-1e308",
        "1.7976931348623157e308",
        "1e-320",
        "5e-324",
        "-5e-324",
        "inf",
        "nan",
        "",
        "1e16",
        "x",
    ];
    const LAYERS: [&str; 8] = ["0", "1", "2", "4294967295", "-1", "0.5", "", "1000000"];
    const NAMES: [&str; 6] = ["attn", "mlp", "dW", "../\u{1b}[2J</svg>\u{202e}", "", "resid_post"];
    let mut csv = format!("{columns}\n");
    for _ in 0..=below(random, 8) {
        let cells = columns.split(',').map(|column| match column {
            "layer" | "index" => LAYERS[below(random, LAYERS.len())],
            "name" | "group" | "component" | "operator" | "model" | "split" | "site" | "model_a"
            | "model_b" => NAMES[below(random, NAMES.len())],
            _ => NUMBERS[below(random, NUMBERS.len())],
        });
        csv += &(cells.collect::<Vec<_>>().join(",") + "\n");
    }
    std::fs::write(path, csv).unwrap();
    Table::read(path).unwrap()
}

#[test]
fn no_number_leaves_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv");
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let mut drawn = 0;
    for _ in 0..40 {
        let [layers, matrices, values, norms, differences] =
            COLUMNS.map(|columns| extreme(columns, &path, &mut random));
        let pictures = [
            param_stats_pictures(&layers, Some(&matrices), Some(&values), "title"),
            activation_pictures(&norms, Some(&differences), "title"),
        ];
        for picture in pictures.into_iter().flatten().flatten() {
            let svg = picture.svg();
            let paths: String =
                svg.split(" d=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
            assert!(!paths.contains("NaN") && !paths.contains("inf"), "{}", picture.name);
            let numbers =
                paths.split(|c: char| c.is_alphabetic() || c == ' ').filter(|text| !text.is_empty());
            assert!(
                numbers.map(|text| text.parse::<f64>().unwrap()).all(|place| (-1.0..1000.0).contains(&place)),
                "{}",
                picture.name
            );
            drawn += 1;
        }
    }
    assert!(drawn > 80, "{drawn}");
    let name = "long".repeat(250_000);
    std::fs::write(&path, format!("layer,group,dW_fro_layer\n0,{name},1\n")).unwrap();
    let pictures = param_stats_pictures(&Table::read(&path).unwrap(), None, None, "").unwrap();
    assert!(pictures[0].png().is_ok());
}
