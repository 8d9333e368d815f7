//! Tables of models that do not exist: as large as asked for, with changes as the test says.
#![allow(dead_code)] // no test needs all of it

use report::{
    ActivationDifferenceRow, ActivationNormRow, Activations, Comparison, HtmlReport, LedgerRow, MatrixRow,
    Provenance, Row, SingularValueRow, Site, SpectrumColumns, Table, ZeroDeltas, per_component, per_layer,
};

/// How much a matrix changed: ‖ΔW‖/‖W‖ and the stable rank of ΔW.
pub(crate) type Change = Option<(f64, f64)>;

pub(crate) fn provenance() -> Provenance {
    let mut provenance = Provenance::default();
    provenance.add("model_diffs.version", "0.1.0");
    provenance.add("model_diffs.tolerance", "1e-4");
    let shards = r#"[{"path":"model.safetensors","bytes":270000000,"modified_unix_seconds":1750000000.25}]"#;
    provenance.add("model_diffs.model_a_shards", shards);
    provenance
}

pub(crate) fn table<R: Row>(rows: &[R]) -> Table {
    Table::of(rows, provenance()).unwrap()
}

/// A number in 0..1 that depends on the seed alone.
fn noise(seed: u64) -> f64 {
    let mixed = seed.wrapping_add(0x9e37_79b9).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 40) as f64 / (1u64 << 24) as f64
}

pub(crate) fn matrix(name: String, layer: u32, component: &'static str, change: Change) -> MatrixRow {
    let group = if component.starts_with("mlp") { "mlp" } else { "attn" };
    let (rows, columns) = if component == "mlp_expand" { (2048, 512) } else { (512, 512) };
    let a = 20.0 + noise(u64::from(layer));
    let relative = change.map(|(relative, _)| relative);
    let rank = change.map(|(_, rank)| rank);
    let delta = relative.unwrap_or(0.0) * a;
    let spectral = rank.map_or(0.0, |rank| delta / rank.sqrt());
    let bounds = |rank: Option<f64>| SpectrumColumns {
        stable_rank_lower: rank.map(|rank| rank * 0.97),
        stable_rank_upper: rank.map(|rank| rank * 1.03),
        stop: Some("certified"),
        ..SpectrumColumns::default()
    };
    MatrixRow {
        name,
        layer: Some(layer),
        group,
        rows,
        columns,
        delta_frobenius: Some(delta),
        delta_stable_rank: rank,
        a_stable_rank: Some(40.0),
        component,
        dtype_a: "bf16",
        dtype_b: "bf16",
        a_frobenius: Some(a),
        b_frobenius: Some(a * 1.01),
        delta_frobenius_relative: Some(relative.unwrap_or(0.0)),
        a_spectral: Some(3.0),
        b_spectral: Some(3.0),
        delta_spectral: Some(spectral),
        delta_spectral_relative: Some(spectral / 3.0),
        b_stable_rank: Some(40.0),
        cosine_similarity: Some(1.0 - relative.unwrap_or(0.0) / 10.0),
        delta_mean: Some(0.0),
        delta_std: Some(delta / 512.0),
        delta_abs_mean: Some(delta / 600.0),
        delta_abs_max: Some(delta / 50.0),
        changed_fraction: Some(if change.is_some() { 0.99 } else { 0.0 }),
        sigma_tolerance: Some(1e-4),
        passes: 12,
        top_overlap: None,
        top_overlap_error: None,
        delta: bounds(rank),
        a: bounds(Some(40.0)),
        b: bounds(Some(40.0)),
    }
}

/// Attention and MLP of each layer; with experts, so many `mlp_expand` matrices a layer.
pub(crate) fn model(
    layers: u32,
    experts: u32,
    change: &dyn Fn(u32, &'static str, u64) -> Change,
) -> Vec<MatrixRow> {
    let mut rows = Vec::new();
    for layer in 0..layers {
        for component in ["qkv", "proj", "mlp_expand", "mlp_contract"] {
            let copies = if component == "mlp_expand" { experts } else { 1 };
            for copy in 0..copies {
                let seed = u64::from(layer) * 1000 + u64::from(copy) * 7 + component.len() as u64;
                let name = format!("model.layers.{layer}.{component}.{copy}.weight");
                rows.push(matrix(name, layer, component, change(layer, component, seed)));
            }
        }
    }
    rows
}

/// All matrices changed, evenly in all directions.
#[allow(clippy::unnecessary_wraps)] // a change like any other
pub(crate) fn retrained(_: u32, _: &'static str, seed: u64) -> Change {
    Some((0.3 + 0.1 * noise(seed), 120.0 + 20.0 * noise(seed + 1)))
}

/// A few matrices in the middle changed, in few directions.
pub(crate) fn edited(layer: u32, component: &'static str, seed: u64) -> Change {
    let touched = (2..=4).contains(&layer) && matches!(component, "proj" | "mlp_contract");
    touched.then(|| (0.02 + 0.02 * noise(seed), 1.2 + 3.0 * noise(seed + 1)))
}

pub(crate) fn ledger(matrices: &[MatrixRow], others: &[(&str, &'static str, bool)]) -> Vec<LedgerRow> {
    let entry = |name: &str, status: &'static str, selected: bool| LedgerRow {
        name: name.to_owned(),
        status,
        reason: (status != "compared").then(|| format!("because it is {status}")),
        selected,
        layer: None,
        group: "other",
        component: "other",
        dtype_a: Some("bf16"),
        dtype_b: None,
        shape_a: Some("[512, 512]".into()),
        shape_b: None,
        nan_a: None,
        inf_a: None,
        nan_b: None,
        inf_b: None,
        file_a: Some("model.safetensors".into()),
        file_b: None,
    };
    let compared = matrices.iter().map(|row| entry(&row.name, "compared", true));
    compared.chain(others.iter().map(|(name, status, selected)| entry(name, status, *selected))).collect()
}

pub(crate) fn comparison(label: &str, a: &str, b: &str, matrices: &[MatrixRow]) -> Comparison {
    let others =
        [("model.embed_tokens.weight", "not_linear", false), ("model.norm.weight", "not_linear", false)];
    let values = matrices.iter().filter(|row| row.delta_stable_rank.is_some()).take(12).flat_map(|row| {
        let rank = row.delta_stable_rank.unwrap();
        let value = move |index: u64| row.delta_spectral.unwrap() * (-(index as f64) / rank).exp();
        (0..64).map(move |index| SingularValueRow {
            name: row.name.clone(),
            operator: "dW",
            index: index + 1,
            value: value(index),
            lower: value(index) * 0.99,
            upper: value(index) * 1.01,
        })
    });
    Comparison {
        label: label.into(),
        a: a.into(),
        b: b.into(),
        per_matrix: table(matrices),
        per_layer: table(&per_layer(matrices, ZeroDeltas::Exclude)),
        per_component: table(&per_component(matrices)),
        ledger: table(&ledger(matrices, &others)),
        singular_values: Some(table(&values.collect::<Vec<_>>())),
    }
}

/// Mean ‖h‖₂ of a model on a split, growing over layers but for a dip on forget text from the middle on.
pub(crate) fn norms(models: &[(&str, f64)], layers: u32) -> Vec<ActivationNormRow> {
    let mut rows = Vec::new();
    for (model, dip) in models {
        for split in ["forget", "retain"] {
            for layer in 0..=layers {
                let late = if layer > layers / 2 && split == "forget" { *dip } else { 0.0 };
                let mean = (6.0 + 0.8 * f64::from(layer)) * (1.0 - late);
                rows.push(ActivationNormRow {
                    model: (*model).into(),
                    split: split.into(),
                    layer,
                    norm_mean: Some(mean),
                    site: if layer == 0 { Site::Embed } else { Site::ResidPost },
                    norm_l1_mean: Some(mean * 18.0),
                    norm_std: Some(0.7),
                    norm_min: Some(mean - 2.0),
                    norm_max: Some(mean + 2.0),
                    tokens: 20_000,
                    samples: 128,
                    norm_mean_lower: Some(mean * 0.98),
                    norm_mean_upper: Some(mean * 1.02),
                    norm_l1_mean_lower: Some(mean * 17.7),
                    norm_l1_mean_upper: Some(mean * 18.3),
                    non_finite_tokens: 0,
                });
            }
        }
    }
    rows
}

/// Relative differences of one pair; `size` tells the largest on a split.
pub(crate) fn differences(
    a: &str,
    b: &str,
    layers: u32,
    size: &dyn Fn(&str) -> f64,
) -> Vec<ActivationDifferenceRow> {
    let mut rows = Vec::new();
    for split in ["forget", "retain"] {
        for layer in 0..=layers {
            let relative = size(split) * f64::from(layer.saturating_sub(layers / 3)) / f64::from(layers);
            let (norm, spread) = (6.0 + 0.8 * f64::from(layer), relative * 0.08);
            let around = |value: f64| (Some(value * 0.97), Some(value * 1.03));
            let (a1, a2, d1, d2) =
                (around(norm * 18.0), around(norm), around(norm * relative * 15.0), around(norm * relative));
            rows.push(ActivationDifferenceRow {
                layer,
                split: split.into(),
                a_l1_mean: Some(norm * 18.0),
                a_l2_mean: Some(norm),
                b_l1_mean: Some(norm * 18.0 * (1.0 - relative / 2.0)),
                b_l2_mean: Some(norm * (1.0 - relative / 2.0)),
                difference_l1_mean: Some(norm * relative * 15.0),
                difference_l2_mean: Some(norm * relative),
                cosine_mean: Some(1.0 - relative / 3.0),
                relative_difference_mean: Some(relative),
                tokens: 20_000,
                site: if layer == 0 { Site::Embed } else { Site::ResidPost },
                samples: 128,
                a_l1_mean_lower: a1.0,
                a_l1_mean_upper: a1.1,
                a_l2_mean_lower: a2.0,
                a_l2_mean_upper: a2.1,
                b_l1_mean_lower: a1.0,
                b_l1_mean_upper: a1.1,
                b_l2_mean_lower: a2.0,
                b_l2_mean_upper: a2.1,
                difference_l1_mean_lower: d1.0,
                difference_l1_mean_upper: d1.1,
                difference_l2_mean_lower: d2.0,
                difference_l2_mean_upper: d2.1,
                cosine_mean_lower: Some(1.0 - relative / 3.0 - spread),
                cosine_mean_upper: Some(1.0 - relative / 3.0 + spread),
                relative_difference_mean_lower: Some(relative - spread),
                relative_difference_mean_upper: Some(relative + spread),
                non_finite_tokens: 0,
                model_a: a.into(),
                model_b: b.into(),
            });
        }
    }
    rows
}

/// Two pairs of a model of six layers, as the demo has them.
pub(crate) fn small() -> HtmlReport {
    let models =
        ["outputs/demo/models/baseline", "outputs/demo/models/filtered", "outputs/demo/models/unlearned"];
    let [base, filtered, unlearned] = models;
    let mut pairs = differences(base, filtered, 6, &|_| 0.6);
    pairs.extend(differences(base, unlearned, 6, &|split| if split == "forget" { 0.5 } else { 0.04 }));
    HtmlReport {
        title: "Baseline, filtered and unlearned".into(),
        comparisons: vec![
            comparison("baseline → filtered", base, filtered, &model(6, 1, &retrained)),
            comparison("baseline → unlearned", base, unlearned, &model(6, 1, &edited)),
        ],
        activations: Some(Activations {
            norms: table(&norms(&[(base, 0.0), (filtered, 0.05), (unlearned, 0.3)], 6)),
            differences: Some(table(&pairs)),
            summary: None,
        }),
        failures: Vec::new(),
    }
}

/// One pair of a model of 100 layers with 97 experts each: 10,000 matrices.
pub(crate) fn large() -> HtmlReport {
    let change = |layer: u32, component: &'static str, seed: u64| {
        if layer % 7 == 3 {
            None
        } else {
            Some((0.3 * noise(seed), 1.0 + f64::from(component == "qkv") * 80.0 * noise(seed + 5)))
        }
    };
    HtmlReport {
        title: "A hundred layers".into(),
        comparisons: vec![comparison("", "org/base-671b", "org/edited-671b", &model(100, 97, &change))],
        activations: Some(Activations {
            norms: table(&norms(&[("org/base-671b", 0.0), ("org/edited-671b", 0.4)], 100)),
            differences: Some(table(&differences("org/base-671b", "org/edited-671b", 100, &|_| 0.3))),
            summary: None,
        }),
        failures: Vec::new(),
    }
}

/// Tables with no more columns than the Python scripts gave them.
pub(crate) fn of_python_scripts() -> HtmlReport {
    let csv = |text: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Table::read(file.path()).unwrap()
    };
    let matrix =
        "name,layer,group,shape0,shape1,dW_fro,dW_stable_rank,W_stable_rank\nw,0,attn,8,8,1.5,2.5,3\n";
    HtmlReport {
        title: "Old tables".into(),
        comparisons: vec![Comparison {
            label: String::new(),
            a: "a".into(),
            b: "b".into(),
            per_matrix: csv(matrix),
            per_layer: csv("layer,group,dW_fro_layer,mean_dW_stable_rank,count_mats\n0,attn,1.5,2.5,1\n"),
            per_component: csv("component,count\nqkv,1\n"),
            ledger: csv("name,status\nw,compared\n"),
            singular_values: None,
        }],
        activations: Some(Activations {
            norms: csv("model,split,layer,mean_norm\nm,forget,0,3.5\n"),
            differences: None,
            summary: None,
        }),
        failures: Vec::new(),
    }
}
