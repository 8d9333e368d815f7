//! What is said of weights in situations that differ in one thing each.

use super::*;
use crate::Provenance;
use crate::column::table;
use crate::findings::lines;

table! {
    /// The columns of `per_matrix` that findings are made of.
    pub struct Few = "per_matrix" {
        name: String = "name",
        layer: Option<u32> = "layer",
        component: &'static str = "component",
        rows: u64 = "shape0",
        columns: u64 = "shape1",
        frobenius: Option<f64> = "dW_fro",
        rank: Option<f64> = "dW_stable_rank",
        rank_lower: Option<f64> = "dW_stable_rank_lo",
        rank_upper: Option<f64> = "dW_stable_rank_hi",
        relative: Option<f64> = "dW_fro_rel",
    }
}
table! {
    /// The columns of the oldest tables.
    pub struct Old = "per_matrix" {
        name: String = "name",
        frobenius: f64 = "dW_fro",
    }
}
table! {
    /// The columns of `ledger` that findings are made of.
    pub struct Status = "ledger" {
        status: &'static str = "status",
        selected: bool = "selected",
    }
}

/// A matrix of 100 × 400 with this relative change and stable rank.
fn matrix(layer: impl Into<Option<u32>>, component: &'static str, change: Option<(f64, f64)>) -> Few {
    let layer = layer.into();
    let (relative, rank) = change.unzip();
    let name = format!("{}.{component}", layer.map(|layer| layer.to_string()).unwrap_or_default());
    let relative = Some(relative.unwrap_or(0.0));
    Few {
        name,
        layer,
        component,
        rows: 100,
        columns: 400,
        frobenius: relative,
        rank,
        rank_lower: rank,
        rank_upper: rank,
        relative,
    }
}

fn said(matrices: &[Few], ledger: &[(&'static str, bool)]) -> Vec<Finding> {
    let status = ledger.iter().map(|&(status, selected)| Status { status, selected });
    let ledger = Table::of(&status.collect::<Vec<_>>(), Provenance::default()).unwrap();
    weight_findings(&Table::of(matrices, Provenance::default()).unwrap(), &ledger).unwrap()
}

#[test]
fn nothing_changed() {
    let findings = said(&[matrix(0, "qkv", None), matrix(1, "qkv", None)], &[("compared", true)]);
    insta::assert_snapshot!(lines(&findings), @"No matrix changed, of 2 compared matrices.");
}

#[test]
fn everything_changed_in_all_directions() {
    // Random entries of 100 × 400 have a stable rank of 100·400 / (10 + 20)² = 44.4.
    let matrices: Vec<Few> = (0..12)
        .flat_map(|layer| {
            ["qkv", "proj"].map(|of| matrix(layer, of, Some((0.5 + f64::from(layer) / 100.0, 40.0))))
        })
        .collect();
    insta::assert_snapshot!(lines(&said(&matrices, &[])), @r"
    All 24 compared matrices changed, in layers 0–11.
    The changes have high rank, spread over many directions: the median stable rank of ΔW is 40.0, 40.0 % of the largest possible rank.
        Of 24 changed matrices, 24 are high-rank (at least half the stable rank of random entries).
    The largest relative change is ‖ΔW‖/‖W‖ = 0.610, of 11.proj (proj, layer 11).
        The median of the changed matrices is 0.555.
    ");
}

#[test]
fn a_changed_head_is_outside_the_layers() {
    let matrices = [matrix(0, "qkv", Some((0.1, 40.0))), matrix(None, "lm_head", Some((0.1, 40.0)))];
    let text = said(&matrices, &[]).remove(0).text;
    assert_eq!(text, "All 2 compared matrices changed, in layer 0 and outside the layers.");
}

#[test]
fn few_matrices_changed_in_few_directions() {
    let change = |layer: u32, of: &str| {
        let touched = (8..=20).contains(&layer) && of != "qkv" || layer == 30 && of == "proj";
        touched.then(|| (0.01 * f64::from(layer), 1.5 + f64::from(layer) / 10.0))
    };
    let mut matrices: Vec<Few> = (0..32)
        .flat_map(|layer| ["qkv", "proj", "mlp_expand"].map(|of| matrix(layer, of, change(layer, of))))
        .collect();
    matrices.push(matrix(None, "lm_head", Some((0.001, 1.0))));
    insta::assert_snapshot!(lines(&said(&matrices, &[])), @r"
    28 of 97 compared matrices changed: lm_head; mlp_expand in layers 8–20; proj in layers 8–20 and 30.
        The other 69 are equal in both models.
    The changes are low-rank: the median stable rank of ΔW is 2.90, 2.90 % of the largest possible rank.
        It goes from 1.00 to 4.50. Of 28 changed matrices, 1 is nearly one direction (below 2) and 27 are low-rank (up to a tenth of the largest possible rank).
    The largest relative change is ‖ΔW‖/‖W‖ = 0.300, of 30.proj (proj, layer 30).
        The median of the changed matrices is 0.140.
    ");
}

#[test]
fn experts_are_counted_where_not_all_changed() {
    let change = |expert: u32| (expert < 2).then_some((0.1, 1.0));
    let matrices: Vec<Few> = (0..8).map(|expert| matrix(3, "mlp_expand", change(expert))).collect();
    insta::assert_snapshot!(lines(&said(&matrices, &[])), @r"
    2 of 8 compared matrices changed: mlp_expand in layer 3 (2 of the 8 matrices there).
        The other 6 are equal in both models.
    The changes are spikes, nearly one direction each: the median stable rank of ΔW is 1.00, 1.00 % of the largest possible rank.
        Of 2 changed matrices, 2 are nearly one direction (below 2).
    The largest relative change is ‖ΔW‖/‖W‖ = 0.100, of 3.mlp_expand (mlp_expand, layer 3).
        The median of the changed matrices is 0.100.
    ");
}

#[test]
fn ranks_that_differ_or_lie_between_get_no_simple_word() {
    let of = |ranks: [f64; 4]| {
        let matrices = ranks.map(|rank| matrix(0, "qkv", Some((0.1, rank))));
        let findings = said(&matrices, &[]);
        findings[1].text.clone() + " | " + &findings[1].detail
    };
    insta::assert_snapshot!([of([1.0, 1.0, 30.0, 40.0]), of([15.0, 16.0, 17.0, 18.0])].join("\n"), @r"
    The changes differ in rank: the median stable rank of ΔW is 15.5, 15.5 % of the largest possible rank. | It goes from 1.00 to 40.0. Of 4 changed matrices, 2 are nearly one direction (below 2) and 2 are high-rank (at least half the stable rank of random entries).
    The changes have medium rank: the median stable rank of ΔW is 16.5, 16.5 % of the largest possible rank. | It goes from 15.0 to 18.0. Of 4 changed matrices, 4 are between low and high rank.
    ");
}

#[test]
fn gaps_and_wide_intervals_are_cautions() {
    let wide = Few { rank_upper: Some(6.0), ..matrix(0, "qkv", Some((0.1, 5.0))) };
    let untold = Few { frobenius: None, relative: None, ..matrix(0, "proj", None) };
    let ledger = [
        ("compared", true),
        ("shapes_differ", true),
        ("shapes_differ", true),
        ("non_finite", true),
        ("not_linear", false),
        ("only_in_b", false),
    ];
    insta::assert_snapshot!(lines(&said(&[wide, untold], &ledger)), @r"
    1 of 2 compared matrices changed: qkv in layer 0.
        0 equal in both models; of 1 the table does not tell.
    The changes are low-rank: the median stable rank of ΔW is 5.00, 5.00 % of the largest possible rank.
        Of 1 changed matrix, 1 is low-rank (up to a tenth of the largest possible rank).
    The largest relative change is ‖ΔW‖/‖W‖ = 0.100, of 0.qkv (qkv, layer 0).
    ! The stable rank of ΔW of 1 matrix is known only to an interval wider than 10 %.
        The whiskers of the charts show how wide.
    ! 3 tensors should have been compared and could not be: 1 non_finite and 2 shapes_differ.
        Nothing that is said here holds for what was not compared. The ledger tells why.
    ");
    insta::assert_snapshot!(lines(&said(&[], &[])), @"! No matrix was compared: the weights tell nothing.");
}

#[test]
fn old_tables_tell_how_many_changed() {
    let rows = [("a", 0.0), ("b", 1.0)].map(|(name, frobenius)| Old { name: name.into(), frobenius });
    let ledger = Table::of(&[Status { status: "compared", selected: true }], Provenance::default()).unwrap();
    let findings = weight_findings(&Table::of(&rows, Provenance::default()).unwrap(), &ledger).unwrap();
    insta::assert_snapshot!(lines(&findings), @r"
    1 of 2 compared matrices changed.
        The other one is equal in both models.
    ");
}

#[test]
fn without_shapes_no_rank_is_called_low_or_high_and_layer_minus_one_is_none() {
    table! {
        /// What a notebook may have left of a table of the Python scripts.
        pub struct Shapeless = "per_matrix" {
            name: String = "name",
            layer: f64 = "layer",
            frobenius: f64 = "dW_fro",
            rank: f64 = "dW_stable_rank",
        }
    }
    let row =
        |(name, layer, rank): (&str, _, _)| Shapeless { name: name.into(), layer, frobenius: 1.0, rank };
    let ledger = Table::of(&[Status { status: "compared", selected: true }], Provenance::default()).unwrap();
    let said = |rows: &[Shapeless]| {
        let table = Table::of(rows, Provenance::default()).unwrap();
        lines(&weight_findings(&table, &ledger).unwrap())
    };
    let rows = [("embed", -1.0, 5.0), ("a", 3.0, 1.5), ("b", 4.0, 30.0)].map(row);
    insta::assert_snapshot!(said(&rows), @r"
    All 3 compared matrices changed, in layers 3–4 and outside the layers.
    The median stable rank of ΔW is 5.00.
        It goes from 1.50 to 30.0. Of 3 changed matrices, 1 is nearly one direction (below 2).
    ");
}
