//! What the tables of the activations say: how far hidden states moved on the text to forget and on the one to retain,
//! and where their norms changed. "More" and "less" only where 95 % intervals do not overlap.

use crate::findings_words::{count, number, percent};
use crate::{Error, Finding, Table};

/// Findings about hidden states: from `activation_norms`, and from `activation_diffs` where there is one. Models are
/// called what `short` makes of their names.
///
/// # Errors
/// [`Error::Column`] if `activation_norms` lacks `model`, `split`, `layer` or `mean_norm`, or `activation_diffs` lacks
/// `layer`, `split` or `relative_diff`.
pub fn activation_findings(
    norms: &Table,
    differences: Option<&Table>,
    short: &dyn Fn(&str) -> String,
) -> Result<Vec<Finding>, Error> {
    let norms_of = measured(norms, norms.needed_texts("model")?, "mean_norm")?;
    let mut findings = Vec::new();
    let mut pairs: Vec<(String, String)> = Vec::new();
    if let Some(differences) = differences {
        let all = measured(differences, pair_names(differences, short), "relative_diff")?;
        for pair in distinct(all.iter().map(|row| &row.of)) {
            let rows: Vec<&Measured> = all.iter().filter(|row| row.of == pair).collect();
            findings.extend(movement(&pair, &rows));
        }
        let named = differences.texts("model_a").zip(differences.texts("model_b"));
        pairs.extend(named.into_iter().flat_map(|(a, b)| a.into_iter().zip(b)).filter_map(|(a, b)| a.zip(b)));
        pairs.dedup();
        pairs = distinct(pairs.iter());
        findings.extend(non_finite(differences, "differences"));
    }
    let models = distinct(norms_of.iter().map(|row| &row.of));
    if pairs.is_empty() {
        let others = models.iter().skip(1);
        pairs = models
            .first()
            .map(|base| others.map(|other| (base.clone(), other.clone())).collect())
            .unwrap_or_default();
    }
    for (a, b) in &pairs {
        for split in distinct(norms_of.iter().map(|row| &row.split)) {
            let of = |model: &str| -> Vec<&Measured> {
                norms_of.iter().filter(|row| row.of == model && row.split == split).collect()
            };
            findings.extend(norm_change(&split, (&short(a), &of(a)), (&short(b), &of(b))));
        }
    }
    findings.extend(non_finite(norms, "norms"));
    Ok(findings)
}

/// The pair of models of each row of `activation_diffs`; empty where it does not tell.
fn pair_names(differences: &Table, short: &dyn Fn(&str) -> String) -> Vec<Option<String>> {
    let (Some(a), Some(b)) = (differences.texts("model_a"), differences.texts("model_b")) else {
        return vec![None; differences.rows()];
    };
    let pair = |(a, b): (Option<String>, Option<String>)| {
        a.zip(b).map(|(a, b)| format!("{} → {}", short(&a), short(&b)))
    };
    a.into_iter().zip(b).map(pair).collect()
}

/// A mean at one layer on one text, with its interval where there is one.
#[derive(Clone)]
struct Measured {
    of: String,
    split: String,
    layer: u32,
    value: f64,
    interval: Option<(f64, f64)>,
}

impl Measured {
    fn exceeds(&self, other: &Self) -> bool {
        self.interval.zip(other.interval).is_some_and(|((lower, _), (_, upper))| lower > upper)
    }

    fn say(&self) -> String {
        match self.interval {
            Some((lower, upper)) => {
                format!("{} ({} to {})", number(self.value), number(lower), number(upper))
            }
            None => format!("{} (no interval)", number(self.value)),
        }
    }
}

/// Rows with a value, but for those of the extra site before the final norm, which has the last layer's number too.
fn measured(table: &Table, of: Vec<Option<String>>, column: &'static str) -> Result<Vec<Measured>, Error> {
    let splits = table.needed_texts("split")?;
    let layers = table.needed_numbers("layer")?;
    let values = table.needed_numbers(column)?;
    let bound = |end| table.numbers(&format!("{column}_{end}")).unwrap_or_else(|| vec![None; values.len()]);
    let (lower, upper) = (bound("lo"), bound("hi"));
    let sites = table.texts("site").unwrap_or_else(|| vec![None; values.len()]);
    let rows =
        of.into_iter().zip(splits).zip(layers).zip(values).zip(lower.into_iter().zip(upper)).zip(sites);
    let row = |(((((of, split), layer), value), (lower, upper)), site): (_, Option<String>)| {
        let wanted = site.as_deref() != Some("pre_norm");
        let (split, layer, value): (Option<String>, Option<f64>, Option<f64>) = (split, layer, value);
        let row = Measured {
            of: Option::unwrap_or_default(of),
            split: split?,
            layer: layer? as u32,
            value: value?,
            interval: Option::zip(lower, upper),
        };
        wanted.then_some(row)
    };
    Ok(rows.filter_map(row).collect())
}

/// Each once, in the order in which they appear.
fn distinct<'a, T: PartialEq + Clone + 'a>(values: impl Iterator<Item = &'a T>) -> Vec<T> {
    values.fold(Vec::new(), |mut known, value| {
        if !known.contains(value) {
            known.push(value.clone());
        }
        known
    })
}

fn largest<'a>(rows: &[&'a Measured]) -> Option<&'a Measured> {
    rows.iter().copied().max_by(|a, b| a.value.total_cmp(&b.value).then(b.layer.cmp(&a.layer)))
}

/// How far the hidden states of a pair are apart.
fn movement(pair: &str, rows: &[&Measured]) -> Vec<Finding> {
    let headed = |text: &str| if pair.is_empty() { capitalised(text) } else { format!("{pair}: {text}") };
    let of =
        |split: &str| -> Vec<&Measured> { rows.iter().copied().filter(|row| row.split == split).collect() };
    if !rows.is_empty() && rows.iter().all(|row| row.value == 0.0) {
        return vec![Finding::new(headed("no hidden state differs, on any text, at any layer."), "")];
    }
    let (forget, retain) = (of("forget"), of("retain"));
    if let Some(top) = largest(&forget)
        && let Some(other) = retain.iter().copied().find(|row| row.layer == top.layer)
    {
        let detail = numbers_of(top, other) + &at_all_layers(&forget, &retain) + &begin(&forget);
        return vec![Finding::new(headed(&contrast(top, other)), detail)];
    }
    let each = |split: String| {
        let (rows, most) = (of(&split), largest(&of(&split))?);
        let text = format!("on {split} text hidden states moved most at layer {}.", most.layer);
        Some(Finding::new(headed(&text), format!("‖Δh‖/‖h‖ is {} there.{}", most.say(), begin(&rows))))
    };
    distinct(rows.iter().map(|row| &row.split)).into_iter().filter_map(each).collect()
}

fn capitalised(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

/// Forget against retain at the layer where forget moved most.
fn contrast(forget: &Measured, retain: &Measured) -> String {
    let unknown = "the data do not tell whether hidden states moved more on forget text than on retain text";
    if forget.interval.is_none() || retain.interval.is_none() {
        format!("{unknown}: there are no intervals.")
    } else if forget.exceeds(retain) {
        let times =
            (retain.value > 0.0).then(|| format!(", {} times as far", number(forget.value / retain.value)));
        format!("hidden states moved more on forget text than on retain text{}.", times.unwrap_or_default())
    } else if retain.exceeds(forget) {
        "hidden states moved less on forget text than on retain text.".into()
    } else {
        format!("{unknown}: the intervals overlap.")
    }
}

/// The numbers of that layer, and their ratio.
fn numbers_of(forget: &Measured, retain: &Measured) -> String {
    let intervals = forget.interval.zip(retain.interval).filter(|(_, (lower, _))| *lower > 0.0);
    let ends = intervals.map(|((lowest, highest), (lower, upper))| {
        let (lowest, highest) = (number(lowest / upper), number(highest / lower));
        format!(" ({lowest} to {highest} by the ends of the intervals)")
    });
    let ratio = if retain.value > 0.0 {
        format!("The ratio is {}{}.", number(forget.value / retain.value), ends.unwrap_or_default())
    } else {
        "On retain text they did not move at all.".into()
    };
    format!(
        "At layer {}, where forget moved most, ‖Δh‖/‖h‖ is {} on forget and {} on retain text. {ratio}",
        forget.layer,
        forget.say(),
        retain.say()
    )
}

/// At how many layers the intervals are apart: the one above was picked for being the largest.
fn at_all_layers(forget: &[&Measured], retain: &[&Measured]) -> String {
    let other = |row: &Measured| retain.iter().copied().find(|other| other.layer == row.layer);
    let both: Vec<(&Measured, &Measured)> = forget
        .iter()
        .filter_map(|row| Some((*row, other(row)?)))
        .filter(|(forget, retain)| forget.interval.is_some() && retain.interval.is_some())
        .collect();
    if both.is_empty() {
        return String::new();
    }
    let more = both.iter().filter(|(forget, retain)| forget.exceeds(retain)).count();
    let less = both.iter().filter(|(forget, retain)| retain.exceeds(forget)).count();
    let all = count(both.len(), "layer", "layers");
    format!(" Of {all}, forget moved more at {more} and less at {less}, with intervals apart.")
}

/// Where differences begin.
fn begin(rows: &[&Measured]) -> String {
    let first = rows.iter().filter(|row| row.value > 0.0).map(|row| row.layer).min();
    match first {
        Some(first) if rows.iter().any(|row| row.layer < first) => {
            format!(" Before layer {first} nothing differs.")
        }
        _ => String::new(),
    }
}

/// Where the mean norm of model B differs most from that of A, on one text.
fn norm_change(split: &str, a: (&str, &[&Measured]), b: (&str, &[&Measured])) -> Option<Finding> {
    let ((name_a, a), (name_b, b)) = (a, b);
    let pairs = a.iter().filter_map(|row| Some((*row, *b.iter().find(|other| other.layer == row.layer)?)));
    let change = |(a, b): &(&Measured, &Measured)| (b.value - a.value) / a.value;
    let size = |pair: &(&Measured, &Measured)| change(pair).abs();
    let top = pairs
        .filter(|(a, _)| a.value > 0.0)
        .max_by(|x, y| size(x).total_cmp(&size(y)).then(y.0.layer.cmp(&x.0.layer)))?;
    let (before, after) = top;
    let models = format!("from {name_a} to {name_b}");
    let text = if before.value == after.value {
        return Some(Finding::new(
            format!("Mean ‖h‖ on {split} text is the same in {name_a} and {name_b}."),
            "",
        ));
    } else if before.exceeds(after) {
        format!("Mean ‖h‖ on {split} text falls {models}, by up to {}.", percent(size(&top)))
    } else if after.exceeds(before) {
        format!("Mean ‖h‖ on {split} text rises {models}, by up to {}.", percent(size(&top)))
    } else {
        format!("The data do not tell whether mean ‖h‖ on {split} text changes {models}.")
    };
    let detail = format!(
        "It differs most at layer {}: {} and {}, {}{}.",
        before.layer,
        before.say(),
        after.say(),
        if after.value > before.value { "+" } else { "−" },
        percent(size(&top)),
    );
    Some(Finding::new(text, detail))
}

fn non_finite(table: &Table, of: &str) -> Option<Finding> {
    let most = table.numbers("non_finite_tokens")?.into_iter().flatten().fold(0.0, f64::max);
    (most > 0.0).then(|| {
        let tokens = count(most as usize, "token has", "tokens have");
        Finding::caution(
            format!("At the layer with the most, {tokens} {of} that are not finite."),
            "They are in no mean.",
        )
    })
}

#[cfg(test)]
#[expect(unreachable_pub)] // rows are public wherever they are defined
mod tests {
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
        let differences =
            [difference("forget", 1, 0.40, Some(0.04)), difference("retain", 1, 0.38, Some(0.04))];
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
}
