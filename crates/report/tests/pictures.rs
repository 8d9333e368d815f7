//! Pictures of whole tables: which there are, what they say, and that nothing leaves them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a panic is how a test fails

use std::fmt::Write;

use report::{Error, Picture, Table, activation_pictures, param_stats_pictures};

const PER_LAYER: &str = "layer,group,dW_fro_layer,mean_dW_stable_rank,count_mats,count_changed,W_fro_layer,\
    dW_fro_layer_rel,max_dW_spectral,max_dW_spectral_rel\n";
const PER_MATRIX: &str = "name,layer,group,dW_fro,dW_stable_rank,component,W_fro,dW_stable_rank_lo,\
    dW_stable_rank_hi\n";
const SINGULAR_VALUES: &str = "name,operator,index,value,lower,upper\n";
const NORMS: &str = "model,split,layer,mean_norm,site,mean_norm_lo,mean_norm_hi\n";
const DIFFERENCES: &str = "layer,split,model_a_l2_norm,model_b_l2_norm,mean_diff_l2,mean_cosine,relative_diff,site,\
    mean_diff_l2_lo,mean_diff_l2_hi,model_a,model_b\n";

fn table(csv: &str) -> Table {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv");
    std::fs::write(&path, csv).unwrap();
    Table::read(path).unwrap()
}

fn names(pictures: &[Picture]) -> Vec<&str> {
    pictures.iter().map(|picture| picture.name.as_str()).collect()
}

fn svg(pictures: &[Picture], name: &str) -> String {
    pictures.iter().find(|picture| picture.name == name).unwrap_or_else(|| panic!("no {name}")).svg()
}

fn count(svg: &str, class: &str) -> usize {
    svg.matches(&format!("class=\"{class}\"")).count()
}

/// What is written in a picture, in order.
fn texts(svg: &str) -> Vec<&str> {
    svg.split("aria-label=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[track_caller]
fn assert_says(svg: &str, expected: &[&str]) {
    for text in expected {
        assert!(texts(svg).contains(text), "{text} is not in {:?}", texts(svg));
    }
}

/// A model in which layers from the second on changed, with two attention matrices and one MLP matrix a layer.
fn comparison(layers: usize, experts: usize) -> [Table; 3] {
    let (mut per_layer, mut per_matrix) = (PER_LAYER.to_owned(), PER_MATRIX.to_owned());
    let mut singular_values = SINGULAR_VALUES.to_owned();
    let matrices = |group| if group == "attn" { vec!["qkv", "proj"] } else { vec!["mlp_expand"; experts] };
    for layer in 0..layers {
        for group in ["attn", "mlp"] {
            let changed = layer > 0;
            let rank = if changed { format!("{}", 3 + layer) } else { String::new() };
            let size = if changed { 1.0 / layer as f64 } else { 0.0 };
            let count = matrices(group).len();
            let _ = writeln!(
                per_layer,
                "{layer},{group},{size},{rank},{count},{},10,{},{size},{}",
                if changed { count } else { 0 },
                size / 10.0,
                size / 5.0
            );
            for (index, component) in matrices(group).into_iter().enumerate() {
                let name = format!("layers.{layer}.{group}.{component}[{index}]");
                let bounds = if changed { format!("{},{}", 2 + layer, 4 + layer) } else { ",".into() };
                let _ = writeln!(per_matrix, "{name},{layer},{group},{size},{rank},{component},5,{bounds}");
                for value in 1..=4 {
                    let sigma = size / f64::from(value);
                    let _ = writeln!(singular_values, "{name},dW,{value},{sigma},{},{sigma}", sigma * 0.9);
                    let _ = writeln!(singular_values, "{name},W,{value},7,7,7");
                }
            }
        }
    }
    [per_layer, per_matrix, singular_values].map(|csv| table(&csv))
}

fn pictures_of([per_layer, per_matrix, singular_values]: &[Table; 3], title: &str) -> Vec<Picture> {
    param_stats_pictures(per_layer, Some(per_matrix), Some(singular_values), title).unwrap()
}

fn activations(models: &[&str], layers: usize, pairs: &[(&str, &str)]) -> (Table, Table) {
    let (mut norms, mut differences) = (NORMS.to_owned(), DIFFERENCES.to_owned());
    for split in ["forget", "retain"] {
        for layer in 0..=layers {
            for (index, model) in models.iter().enumerate() {
                let norm = 10 + layer + index;
                let _ =
                    writeln!(norms, "{model},{split},{layer},{norm},resid_post,{},{}", norm - 1, norm + 1);
                if layer == layers {
                    let _ = writeln!(norms, "{model},{split},{layer},{},pre_norm,1,99", norm + 20);
                }
            }
            for (a, b) in pairs {
                let apart = layer as f64 / 10.0;
                let _ = writeln!(
                    differences,
                    "{layer},{split},10,{},{apart},{},{},resid_post,{},{},{a},{b}",
                    10.0 - apart,
                    1.0 - apart / 100.0,
                    apart / 10.0,
                    apart * 0.9,
                    apart * 1.1
                );
            }
        }
    }
    (table(&norms), table(&differences))
}

#[test]
fn every_picture_of_a_comparison_is_there() {
    let pictures = pictures_of(&comparison(6, 1), "base → tuned");
    assert_eq!(
        names(&pictures),
        [
            "layer_locality_attn",
            "layer_locality_mlp",
            "stable_rank_attn",
            "stable_rank_mlp",
            "relative_frobenius",
            "relative_spectral_norm",
            "relative_change_heatmap",
            "delta_spectra_attn",
            "delta_spectra_mlp"
        ]
    );
    for picture in &pictures {
        let svg = picture.svg();
        assert_says(
            &svg,
            &[&picture.title, "base → tuned", if svg.contains("Index") { "5" } else { "Layer" }],
        );
    }
    assert_says(&svg(&pictures, "layer_locality_attn"), &["‖ΔW‖_F of a layer’s matrices", "0", "5"]);
    assert_says(
        &svg(&pictures, "relative_frobenius"),
        &["attention", "MLP", "‖ΔW‖_F / ‖W‖_F of a layer’s matrices"],
    );
    assert_says(&svg(&pictures, "relative_spectral_norm"), &["max σ₁(ΔW) / σ₁(W) of a layer’s matrices"]);
    assert_says(
        &svg(&pictures, "relative_change_heatmap"),
        &["qkv", "proj", "mlp_expand", "unchanged (0)", "0.05"],
    );
    assert_says(&svg(&pictures, "delta_spectra_attn"), &["σ_i of ΔW", "qkv", "proj", "Layer"]);
}

#[test]
fn stable_ranks_have_gaps_bars_and_single_values() {
    let pictures = pictures_of(&comparison(6, 3), "");
    let attention = svg(&pictures, "stable_rank_attn");
    assert_eq!(count(&attention, "line"), 1, "layer 0 is no part of it");
    assert_eq!(count(&attention, "marker"), 5 + 1, "five layers and the legend");
    assert_eq!(count(&attention, "error"), 5 * 3, "a bar and its two ends for each layer");
    assert_eq!(count(&attention, "single"), 5 * 2 + 1);
    assert_says(
        &attention,
        &[
            "Stable rank ‖ΔW‖_F² / σ₁(ΔW)²",
            "single matrices",
            "mean of the layer",
            "Layers without a point: none of their matrices changed.",
        ],
    );
    assert_eq!(count(&svg(&pictures, "stable_rank_mlp"), "single"), 5 * 3 + 1);
    let [per_layer, ..] = comparison(6, 3);
    let alone = param_stats_pictures(&per_layer, None, None, "").unwrap();
    assert_eq!(alone.len(), 6);
    assert_eq!(count(&svg(&alone, "stable_rank_attn"), "error"), 0);
}

#[test]
fn a_mean_over_other_matrices_has_no_bar() {
    let [_, per_matrix, _] = comparison(3, 1);
    // As with --zero-deltas include: 1.5 is not between the bounds of the changed matrices, 3 and 5.
    let per_layer =
        table(&format!("{PER_LAYER}1,attn,1,1.5,4,2,10,0.1,1,0.2\n2,attn,1,5,2,2,10,0.1,1,0.2\n"));
    let pictures = param_stats_pictures(&per_layer, Some(&per_matrix), None, "").unwrap();
    assert_eq!(count(&svg(&pictures, "stable_rank_attn"), "error"), 3);
}

#[test]
fn a_group_without_change_has_its_pictures_too() {
    let per_layer = table(&format!("{PER_LAYER}0,attn,0,,2,0,10,0,0,0\n0,mlp,1,2,1,1,10,0.1,1,0.2\n"));
    let pictures = param_stats_pictures(&per_layer, None, None, "").unwrap();
    let attention = svg(&pictures, "stable_rank_attn");
    assert_says(&attention, &["no stable rank: none of these matrices changed"]);
    assert_eq!(count(&attention, "marker"), 0, "never 0");
    assert_eq!(count(&svg(&pictures, "layer_locality_attn"), "marker"), 1, "but no change is a size of 0");
}

#[test]
fn tables_of_the_python_scripts_give_what_they_can() {
    let per_layer = table(
        "layer,group,dW_fro_layer,mean_dW_stable_rank,count_mats\n\
         -1,other,9,9,1\n0,attn,1.5,3,4\n0,mlp,2,0,3\n1,attn,1,0.5,4\n1,mlp,0,2,3\n",
    );
    let per_matrix = table(
        "name,layer,group,shape0,shape1,dW_fro,dW_stable_rank,W_stable_rank\n\
         a,0,attn,8,8,1,2,3\nb,0,attn,8,8,1,4,3\nc,0,mlp,8,8,0,0,3\n",
    );
    let pictures = param_stats_pictures(&per_layer, Some(&per_matrix), None, "").unwrap();
    assert_eq!(
        names(&pictures),
        ["layer_locality_attn", "layer_locality_mlp", "stable_rank_attn", "stable_rank_mlp"],
        "the embedding as layer −1 is no layer"
    );
    let attention = svg(&pictures, "stable_rank_attn");
    assert_eq!(count(&attention, "single"), 2 + 1);
    assert!(
        texts(&attention).iter().any(|text| text.starts_with("Points below 1")),
        "{:?}",
        texts(&attention)
    );
    assert_eq!(count(&svg(&pictures, "stable_rank_mlp"), "marker"), 1, "0 is no stable rank");

    let norms = table("model,split,layer,mean_norm\nm,forget,0,3\nm,forget,1,4\nm,forget,ALL_MEAN,3.5\n");
    let pictures = activation_pictures(&norms, None, "").unwrap();
    assert_eq!(names(&pictures), ["activation_norms_forget"]);
    let forget = svg(&pictures, "activation_norms_forget");
    assert_eq!((count(&forget, "marker"), count(&forget, "band")), (2 + 1, 0));
    let differences = table(
        "layer,split,model_a_l1_norm,model_a_l2_norm,model_b_l1_norm,model_b_l2_norm,mean_diff_l1,mean_diff_l2\n\
         0,forget,1,1,1,1,1,1\n",
    );
    let pictures = activation_pictures(&norms, Some(&differences), "").unwrap();
    assert_eq!(
        names(&pictures),
        ["activation_norms_forget", "activation_difference_norm", "activation_norm_change"]
    );
}

#[test]
fn norms_have_a_line_and_a_band_for_each_model() {
    let (norms, _) = activations(&["models/base", "models/tuned"], 4, &[]);
    let pictures = activation_pictures(&norms, None, "Pythia").unwrap();
    assert_eq!(names(&pictures), ["activation_norms_forget", "activation_norms_retain"]);
    let forget = svg(&pictures, "activation_norms_forget");
    assert_eq!((count(&forget, "line"), count(&forget, "band"), count(&forget, "marker")), (2, 2, 5 * 2 + 2));
    assert_eq!(count(&forget, "hollow"), 2 * (2 + 1), "before the final norm: beside the line, not of it");
    assert_says(
        &forget,
        &[
            "Activation norms by layer: forget",
            "Pythia",
            "base",
            "tuned",
            "Mean ‖h‖₂ over tokens",
            "Layer (0: embeddings, i: after i blocks)",
            "Shaded: 95 % bootstrap interval over samples.",
            "last block’s output before the final norm",
        ],
    );
}

#[test]
fn each_pair_has_its_pictures_of_differences() {
    let (norms, differences) = activations(&["m/base"], 3, &[("m/base", "m/a"), ("m/base", "m/b")]);
    let pictures = activation_pictures(&norms, Some(&differences), "").unwrap();
    assert_eq!(
        names(&pictures)[2..],
        [
            "activation_difference_norm_base__to__a",
            "activation_cosine_base__to__a",
            "activation_relative_difference_base__to__a",
            "activation_norm_change_base__to__a",
            "activation_difference_norm_base__to__b",
            "activation_cosine_base__to__b",
            "activation_relative_difference_base__to__b",
            "activation_norm_change_base__to__b",
        ]
    );
    let distance = svg(&pictures, "activation_difference_norm_base__to__a");
    assert_says(&distance, &["base → a", "forget", "retain", "Mean ‖h_b − h_a‖₂ over tokens"]);
    assert_eq!((count(&distance, "line"), count(&distance, "band")), (2, 2));
    let change = svg(&pictures, "activation_norm_change_base__to__b");
    assert_says(&change, &["Mean ‖h_b‖₂ − mean ‖h_a‖₂", "−0.30"]);
    assert_eq!(count(&change, "band"), 0, "the table has no interval of it");

    let (norms, differences) = activations(&["m/base"], 3, &[("m/base", "m/ä"), ("m/base", "m/ö")]);
    let pictures = activation_pictures(&norms, Some(&differences), "").unwrap();
    let mut files = names(&pictures);
    files.sort_unstable();
    files.dedup();
    assert_eq!(files.len(), 10, "other names that look alike in a file's name have other files");
}

#[test]
fn names_from_tables_neither_collide_nor_break_a_picture() {
    let splits = ["a b", "a/b", "A?B", &"long ".repeat(99), "\u{1b}[2J<&>"];
    let rows: Vec<String> = splits.iter().map(|split| format!("m,{split},0,1\nm,{split},1,2\n")).collect();
    let norms = table(&format!("model,split,layer,mean_norm\n{}", rows.concat()));
    let pictures = activation_pictures(&norms, None, "\u{7}title").unwrap();
    assert_eq!(
        names(&pictures)[..3],
        ["activation_norms_a_b", "activation_norms_a_b_2", "activation_norms_A_B_3"]
    );
    assert!(names(&pictures)[3].len() < 120, "{}", names(&pictures)[3]);
    let last = svg(&pictures, "activation_norms__2J_");
    assert!(last.contains("\u{fffd}[2J&lt;&amp;&gt;") && !last.contains(['\u{1b}', '\u{7}']));

    let long = "component".repeat(50);
    let per_matrix = table(&format!("{PER_MATRIX}a,0,attn,1,1,{long},5,1,1\n"));
    let pictures = param_stats_pictures(&comparison(1, 1)[0], Some(&per_matrix), None, "").unwrap();
    let heat_map = svg(&pictures, "relative_change_heatmap");
    assert!(coordinates(&heat_map).all(|(x, _)| (0.0..=672.0).contains(&x)));
}

#[test]
fn spectra_without_a_table_of_matrices_are_in_one_picture() {
    let [per_layer, _, singular_values] = comparison(3, 1);
    let pictures = param_stats_pictures(&per_layer, None, Some(&singular_values), "").unwrap();
    let spectra = svg(&pictures, "delta_spectra");
    assert_eq!(count(&spectra, "line"), 6, "of ΔW, and not of what did not change");
    assert_eq!(count(&spectra, "band"), 6, "bounds 10 % apart");
}

#[test]
fn what_rounding_leaves_of_zero_is_left_out_of_spectra_and_said() {
    let [per_layer, ..] = comparison(2, 1);
    let values: String = (1..=300).fold(SINGULAR_VALUES.to_owned(), |csv, index| {
        let value = if index <= 200 { 1.0 / f64::from(index) } else { 1e-17 };
        format!("{csv}a,dW,{index},{value},{value},{value}\n")
    });
    let pictures = param_stats_pictures(&per_layer, None, Some(&table(&values)), "").unwrap();
    let spectra = svg(&pictures, "delta_spectra");
    assert_says(
        &spectra,
        &["100", "Left out: values below 10⁻⁸ of the largest, which rounding leaves of zero."],
    );
    assert!(!spectra.contains("10⁻¹⁷"));
}

/// Every coordinate in a picture's paths.
fn coordinates(svg: &str) -> impl Iterator<Item = (f64, f64)> {
    svg.split(" d=\"").skip(1).flat_map(|rest| {
        let data = rest.split('"').next().unwrap();
        let numbers: Vec<f64> = data
            .split(|c: char| c.is_alphabetic() || c == ' ')
            .filter_map(|text| text.parse().ok())
            .collect();
        numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect::<Vec<_>>()
    })
}

#[test]
fn nothing_leaves_a_picture_of_one_layer_or_of_a_hundred() {
    let long = "a-very-long-name-of-a-model-that-goes-on-".repeat(6);
    let models: Vec<String> = (0..8).map(|index| format!("models/{long}{index}")).collect();
    let models: Vec<&str> = models.iter().map(String::as_str).collect();
    for layers in [1, 2, 24, 100] {
        let mut pictures = pictures_of(&comparison(layers, 8), &long);
        let (norms, differences) = activations(&models, layers, &[(models[0], models[1])]);
        pictures.extend(activation_pictures(&norms, Some(&differences), &long).unwrap());
        for picture in &pictures {
            let svg = picture.svg();
            let size = svg.split("viewBox=\"0 0 ").nth(1).unwrap().split('"').next().unwrap();
            let (width, height) = size.split_once(' ').unwrap();
            let (width, height): (f64, f64) = (width.parse().unwrap(), height.parse().unwrap());
            assert!(width == 672.0 && height < 700.0, "{}: {width} × {height}", picture.name);
            for (x, y) in coordinates(&svg) {
                let inside = (0.0..=width).contains(&x) && (0.0..=height).contains(&y);
                assert!(inside, "{} of {layers} layers: {x} {y}", picture.name);
            }
        }
    }
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

/// If one of these changes without a change to pictures, then the font, the rasteriser, the compressor or the processor
/// made it.
#[test]
fn the_same_table_gives_the_same_bytes_on_every_machine() {
    let pictures = pictures_of(&comparison(6, 1), "base → tuned");
    let (svg, png) = (svg(&pictures, "stable_rank_attn"), pictures[2].png().unwrap());
    insta::assert_snapshot!(format!("svg {:016x}, png {:016x}", hash(svg.as_bytes()), hash(&png)));
}

#[test]
fn tables_of_something_else_are_refused() {
    let [per_layer, per_matrix, _] = comparison(2, 1);
    let (norms, differences) = activations(&["m"], 2, &[("m", "n")]);
    for (refused, column) in [
        (param_stats_pictures(&norms, None, None, ""), "group"),
        (param_stats_pictures(&per_matrix, None, None, ""), "dW_fro_layer"),
        (param_stats_pictures(&per_layer, Some(&norms), None, ""), "group"),
        (param_stats_pictures(&per_layer, None, Some(&per_matrix), ""), "operator"),
        (activation_pictures(&per_layer, None, ""), "model"),
        (activation_pictures(&differences, None, ""), "model"),
        (activation_pictures(&norms, Some(&per_layer), ""), "split"),
    ] {
        match refused.map(|pictures| names(&pictures).len()) {
            Err(Error::Column { column: missing, .. }) => assert_eq!(missing, column),
            other => panic!("{column}: {other:?}"),
        }
    }
    for empty in [PER_LAYER.to_owned(), format!("{PER_LAYER}-1,other,1,1,1,1,1,1,1,1\n")] {
        let error = param_stats_pictures(&table(&empty), None, None, "").unwrap_err();
        assert!(matches!(error, Error::NothingToPlot { .. }), "{error}");
        assert!(!error.hint().is_empty());
    }
    let old = table("model,split,layer,mean_norm\nm,forget,ALL_MEAN,3\n");
    assert!(matches!(activation_pictures(&old, None, ""), Err(Error::NothingToPlot { .. })));
}
