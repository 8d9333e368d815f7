//! What is said of hidden states in situations that differ in one thing each.

use super::*;
use crate::Provenance;
use crate::column::table;
use crate::findings::lines;

table! {
    /// The columns of `activation_norms` that findings are made of.
    pub struct Norm = "activation_norms" {
        model: String = "model",
        split: &'static str = "split",
        layer: u32 = "layer",
        site: &'static str = "site",
        mean: Option<f64> = "mean_norm",
        lower: Option<f64> = "mean_norm_lo",
        upper: Option<f64> = "mean_norm_hi",
        non_finite: u64 = "non_finite_tokens",
    }
}
table! {
    /// The columns of `activation_diffs` that findings are made of.
    pub struct Difference = "activation_diffs" {
        model_a: String = "model_a",
        model_b: String = "model_b",
        split: &'static str = "split",
        layer: u32 = "layer",
        mean: Option<f64> = "relative_diff",
        lower: Option<f64> = "relative_diff_lo",
        upper: Option<f64> = "relative_diff_hi",
    }
}
table! {
    /// The columns of the oldest tables.
    pub struct Old = "activation_norms" {
        model: String = "model",
        split: &'static str = "split",
        layer: u32 = "layer",
        mean: f64 = "mean_norm",
    }
}

fn norm(model: &str, split: &'static str, layer: u32, mean: f64, half: f64) -> Norm {
    let (lower, upper) = (Some(mean - half), Some(mean + half));
    Norm {
        model: model.into(),
        split,
        layer,
        site: "resid_post",
        mean: Some(mean),
        lower,
        upper,
        non_finite: 0,
    }
}

fn difference(split: &'static str, layer: u32, mean: f64, half: Option<f64>) -> Difference {
    let (lower, upper) = (half.map(|half| mean - half), half.map(|half| mean + half));
    Difference {
        model_a: "m/base".into(),
        model_b: "m/new".into(),
        split,
        layer,
        mean: Some(mean),
        lower,
        upper,
    }
}

fn said(norms: &[Norm], differences: &[Difference]) -> String {
    let norms = Table::of(norms, Provenance::default()).unwrap();
    let differences = Table::of(differences, Provenance::default()).unwrap();
    let short = |name: &str| name.trim_start_matches("m/").to_owned();
    let findings = activation_findings(&norms, Some(&differences), &short).unwrap();
    lines(&findings)
}

#[test]
fn forget_moved_and_retain_stayed() {
    let norms = [
        norm("m/base", "forget", 1, 10.0, 0.1),
        norm("m/base", "forget", 2, 20.0, 0.1),
        norm("m/base", "retain", 2, 20.0, 0.1),
        norm("m/new", "forget", 1, 10.0, 0.1),
        norm("m/new", "forget", 2, 15.0, 0.1),
        norm("m/new", "retain", 2, 20.1, 0.1),
    ];
    let differences = [
        difference("forget", 0, 0.0, Some(0.0)),
        difference("forget", 1, 0.2, Some(0.02)),
        difference("forget", 2, 0.4, Some(0.04)),
        difference("retain", 0, 0.0, Some(0.0)),
        difference("retain", 1, 0.01, Some(0.001)),
        difference("retain", 2, 0.05, Some(0.01)),
    ];
    insta::assert_snapshot!(said(&norms, &differences), @r"
    base → new: hidden states moved more on forget text than on retain text, 8.00 times as far.
        At layer 2, where forget moved most, ‖Δh‖/‖h‖ is 0.400 (0.360 to 0.440) on forget and 0.0500 (0.0400 to 0.0600) on retain text. The ratio is 8.00 (6.00 to 11.0 by the ends of the intervals). Of 3 layers, forget moved more at 2 and less at 0, with intervals apart. Before layer 1 nothing differs.
    Mean ‖h‖ on forget text falls from base to new, by up to 25.0 %.
        It differs most at layer 2: 20.0 (19.9 to 20.1) and 15.0 (14.9 to 15.1), −25.0 %.
    The data do not tell whether mean ‖h‖ on retain text changes from base to new.
        It differs most at layer 2: 20.0 (19.9 to 20.1) and 20.1 (20.0 to 20.2), +0.500 %.
    ");
}

#[test]
fn both_moved_equally() {
    let differences = [difference("forget", 1, 0.40, Some(0.04)), difference("retain", 1, 0.38, Some(0.04))];
    insta::assert_snapshot!(said(&[], &differences), @r"
    base → new: the data do not tell whether hidden states moved more on forget text than on retain text: the intervals overlap.
        At layer 1, where forget moved most, ‖Δh‖/‖h‖ is 0.400 (0.360 to 0.440) on forget and 0.380 (0.340 to 0.420) on retain text. The ratio is 1.05 (0.857 to 1.29 by the ends of the intervals). Of 1 layer, forget moved more at 0 and less at 0, with intervals apart.
    ");
}

#[test]
fn retain_moved_more_or_forget_alone() {
    let less = [difference("forget", 1, 0.1, Some(0.01)), difference("retain", 1, 0.3, Some(0.01))];
    let alone = [difference("forget", 1, 0.1, Some(0.01)), difference("retain", 1, 0.0, Some(0.0))];
    insta::assert_snapshot!([said(&[], &less), said(&[], &alone)].join("\n"), @r"
    base → new: hidden states moved less on forget text than on retain text.
        At layer 1, where forget moved most, ‖Δh‖/‖h‖ is 0.100 (0.0900 to 0.110) on forget and 0.300 (0.290 to 0.310) on retain text. The ratio is 0.333 (0.290 to 0.379 by the ends of the intervals). Of 1 layer, forget moved more at 0 and less at 1, with intervals apart.

    base → new: hidden states moved more on forget text than on retain text.
        At layer 1, where forget moved most, ‖Δh‖/‖h‖ is 0.100 (0.0900 to 0.110) on forget and 0 (0 to 0) on retain text. On retain text they did not move at all. Of 1 layer, forget moved more at 1 and less at 0, with intervals apart.
    ");
}

#[test]
fn without_intervals_nothing_is_more_than_chance() {
    let differences = [difference("forget", 1, 0.9, None), difference("retain", 1, 0.1, None)];
    insta::assert_snapshot!(said(&[], &differences), @r"
    base → new: the data do not tell whether hidden states moved more on forget text than on retain text: there are no intervals.
        At layer 1, where forget moved most, ‖Δh‖/‖h‖ is 0.900 (no interval) on forget and 0.100 (no interval) on retain text. The ratio is 9.00.
    ");
    let old = [("a", 9.0), ("b", 3.0)].map(|(model, mean)| Old {
        model: model.into(),
        split: "forget",
        layer: 1,
        mean,
    });
    let norms = Table::of(&old, Provenance::default()).unwrap();
    let findings = activation_findings(&norms, None, &str::to_owned).unwrap();
    insta::assert_snapshot!(lines(&findings), @r"
    The data do not tell whether mean ‖h‖ on forget text changes from a to b.
        It differs most at layer 1: 9.00 (no interval) and 3.00 (no interval), −66.7 %.
    ");
}

#[test]
fn equal_models_and_other_splits() {
    let equal = [difference("forget", 1, 0.0, Some(0.0)), difference("retain", 1, 0.0, Some(0.0))];
    let code = [difference("code", 1, 0.2, Some(0.1)), difference("prose", 1, 0.3, Some(0.1))];
    insta::assert_snapshot!([said(&[], &equal), said(&[], &code)].join("\n"), @r"
    base → new: no hidden state differs, on any text, at any layer.

    base → new: on code text hidden states moved most at layer 1.
        ‖Δh‖/‖h‖ is 0.200 (0.100 to 0.300) there.
    base → new: on prose text hidden states moved most at layer 1.
        ‖Δh‖/‖h‖ is 0.300 (0.200 to 0.400) there.
    ");
}

#[test]
fn the_site_before_the_final_norm_is_no_layer_and_lost_tokens_are_a_caution() {
    let before = Norm { site: "pre_norm", mean: Some(500.0), ..norm("m/new", "forget", 1, 1.0, 0.1) };
    let lost = Norm { non_finite: 3, ..norm("m/new", "forget", 1, 1.0, 0.1) };
    insta::assert_snapshot!(said(&[norm("m/base", "forget", 1, 1.0, 0.1), before, lost], &[]), @r"
    Mean ‖h‖ on forget text is the same in base and new.
    ! At the layer with the most, 3 tokens have norms that are not finite.
        They are in no mean.
    ");
}

#[test]
fn what_is_otherwise_at_other_layers_is_said_at_once() {
    let norms = [
        norm("m/base", "retain", 1, 10.0, 0.1),
        norm("m/base", "retain", 2, 10.0, 0.1),
        norm("m/base", "retain", 3, 10.0, 0.1),
        norm("m/new", "retain", 1, 12.0, 0.1),
        norm("m/new", "retain", 2, 9.0, 0.1),
        norm("m/new", "retain", 3, 10.1, 0.1),
    ];
    let differences = [
        difference("forget", 1, 0.1, Some(0.01)),
        difference("forget", 2, 0.8, Some(0.01)),
        difference("retain", 1, 0.2, Some(0.01)),
        difference("retain", 2, 0.4, Some(0.01)),
    ];
    insta::assert_snapshot!(said(&norms, &differences), @"
    base → new: hidden states moved more on forget text than on retain text, 2.00 times as far at layer 2, but less at 1 layer.
        At layer 2, where forget moved most, ‖Δh‖/‖h‖ is 0.800 (0.790 to 0.810) on forget and 0.400 (0.390 to 0.410) on retain text. The ratio is 2.00 (1.93 to 2.08 by the ends of the intervals). Of 2 layers, forget moved more at 1 and less at 1, with intervals apart.
    Mean ‖h‖ on retain text changes from base to new by up to 20.0 %: it rises at 1 layer and falls at 1.
        It differs most at layer 1: 10.0 (9.90 to 10.1) and 12.0 (11.9 to 12.1), +20.0 %.
    ");
}
