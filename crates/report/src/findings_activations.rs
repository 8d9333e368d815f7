//! What the tables of the activations say: how far hidden states moved on the text to forget and on the one to retain,
//! and where their norms changed. "More" and "less" only where 95 % intervals do not overlap.

use crate::distinct::distinct;
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
            let rows: Vec<&Measured> = all.iter().filter(|row| row.of == *pair).collect();
            findings.extend(movement(pair, &rows));
        }
        let named = differences.texts("model_a").zip(differences.texts("model_b"));
        let named = named.into_iter().flat_map(|(a, b)| a.into_iter().zip(b));
        pairs = distinct(named.filter_map(|(a, b)| a.zip(b)));
        findings.extend(non_finite(differences, "differences"));
    }
    let models = distinct(norms_of.iter().map(|row| &row.of));
    if pairs.is_empty() {
        let others = models.iter().skip(1);
        pairs = others.map(|other| (models[0].clone(), (*other).clone())).collect();
    }
    for (a, b) in &pairs {
        for split in distinct(norms_of.iter().map(|row| &row.split)) {
            let of = |model: &str| -> Vec<&Measured> {
                norms_of.iter().filter(|row| row.of == model && row.split == *split).collect()
            };
            findings.extend(norm_change(split, (&short(a), &of(a)), (&short(b), &of(b))));
        }
    }
    findings.extend(non_finite(norms, "norms"));
    Ok(findings)
}

/// The pair of models of each row of `activation_diffs`; empty where it does not tell.
fn pair_names(differences: &Table, short: &dyn Fn(&str) -> String) -> Vec<Option<String>> {
    let (a, b) = (differences.optional_texts("model_a"), differences.optional_texts("model_b"));
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
    table.needed_numbers("layer")?;
    let layers = table.layers();
    let values = table.needed_numbers(column)?;
    let bound = |end| table.optional_numbers(&format!("{column}_{end}"));
    let (lower, upper) = (bound("lo"), bound("hi"));
    let sites = table.optional_texts("site");
    let rows =
        of.into_iter().zip(splits).zip(layers).zip(values).zip(lower.into_iter().zip(upper)).zip(sites);
    let row = |(((((of, split), layer), value), (lower, upper)), site): (_, Option<String>)| {
        let wanted = site.as_deref() != Some("pre_norm");
        let (split, layer, value): (Option<String>, Option<u32>, Option<f64>) = (split, layer, value);
        let row = Measured {
            of: Option::unwrap_or_default(of),
            split: split?,
            layer: layer?,
            value: value?,
            interval: Option::zip(lower, upper),
        };
        wanted.then_some(row)
    };
    Ok(rows.filter_map(row).collect())
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
        let layers = Layers::of(&forget, &retain);
        let detail = numbers_of(top, other) + &layers.say() + &begin(&forget);
        return vec![Finding::new(headed(&contrast(top, other, &layers)), detail)];
    }
    let each = |split: &String| {
        let (rows, most) = (of(split), largest(&of(split))?);
        let text = format!("on {split} text hidden states moved most at layer {}.", most.layer);
        Some(Finding::new(headed(&text), format!("‖Δh‖/‖h‖ is {} there.{}", most.say(), begin(&rows))))
    };
    distinct(rows.iter().map(|row| &row.split)).into_iter().filter_map(each).collect()
}

fn capitalised(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

/// Forget against retain at the layer where forget moved most, and whether it is otherwise elsewhere.
fn contrast(forget: &Measured, retain: &Measured, layers: &Layers) -> String {
    let unknown = "the data do not tell whether hidden states moved more on forget text than on retain text";
    let but = |word: &str, elsewhere: usize| match elsewhere {
        0 => String::new(),
        _ => format!(" at layer {}, but {word} at {}", forget.layer, count(elsewhere, "layer", "layers")),
    };
    if forget.interval.is_none() || retain.interval.is_none() {
        format!("{unknown}: there are no intervals.")
    } else if forget.exceeds(retain) {
        let times =
            (retain.value > 0.0).then(|| format!(", {} times as far", number(forget.value / retain.value)));
        let (times, but) = (times.unwrap_or_default(), but("less", layers.less));
        format!("hidden states moved more on forget text than on retain text{times}{but}.")
    } else if retain.exceeds(forget) {
        let but = but("more", layers.more);
        format!("hidden states moved less on forget text than on retain text{but}.")
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

/// At how many layers the intervals of forget and retain are apart: the one that is told was picked for being the largest.
struct Layers {
    both: usize,
    more: usize,
    less: usize,
}

impl Layers {
    fn of(forget: &[&Measured], retain: &[&Measured]) -> Self {
        let other = |row: &Measured| retain.iter().copied().find(|other| other.layer == row.layer);
        let both: Vec<(&Measured, &Measured)> = forget
            .iter()
            .filter_map(|row| Some((*row, other(row)?)))
            .filter(|(forget, retain)| forget.interval.is_some() && retain.interval.is_some())
            .collect();
        Self {
            both: both.len(),
            more: both.iter().filter(|(forget, retain)| forget.exceeds(retain)).count(),
            less: both.iter().filter(|(forget, retain)| retain.exceeds(forget)).count(),
        }
    }

    fn say(&self) -> String {
        let all = count(self.both, "layer", "layers");
        match self.both {
            0 => String::new(),
            _ => format!(
                " Of {all}, forget moved more at {} and less at {}, with intervals apart.",
                self.more, self.less
            ),
        }
    }
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

/// Whether the mean norm of model B is another than that of A, on one text, and at which layer most.
fn norm_change(split: &str, a: (&str, &[&Measured]), b: (&str, &[&Measured])) -> Option<Finding> {
    let ((name_a, a), (name_b, b)) = (a, b);
    let counterpart = |row: &Measured| b.iter().copied().find(|other| other.layer == row.layer);
    let pairs = a.iter().filter(|row| row.value > 0.0).filter_map(|row| Some((*row, counterpart(row)?)));
    let pairs: Vec<(&Measured, &Measured)> = pairs.collect();
    let size = |(before, after): (&Measured, &Measured)| ((after.value - before.value) / before.value).abs();
    let (rises, falls): (Vec<_>, Vec<_>) = pairs
        .iter()
        .copied()
        .filter(|(before, after)| after.exceeds(before) || before.exceeds(after))
        .partition(|(before, after)| after.exceeds(before));
    let apart: Vec<(&Measured, &Measured)> = rises.iter().chain(&falls).copied().collect();
    let top = if apart.is_empty() { &pairs } else { &apart }
        .iter()
        .copied()
        .max_by(|x, y| size(*x).total_cmp(&size(*y)).then(y.0.layer.cmp(&x.0.layer)))?;
    let (mean, models) = (format!("Mean ‖h‖ on {split} text"), format!("from {name_a} to {name_b}"));
    let most = percent(size(top));
    let text = match (rises.len(), falls.len()) {
        (0, 0) if pairs.iter().all(|(before, after)| before.value == after.value) => {
            return Some(Finding::new(format!("{mean} is the same in {name_a} and {name_b}."), ""));
        }
        (0, 0) => {
            format!("The data do not tell whether mean ‖h‖ on {split} text changes {models}.")
        }
        (_, 0) => format!("{mean} rises {models}, by up to {most}."),
        (0, _) => format!("{mean} falls {models}, by up to {most}."),
        (more, fewer) => {
            let more = count(more, "layer", "layers");
            format!("{mean} changes {models} by up to {most}: it rises at {more} and falls at {fewer}.")
        }
    };
    let (before, after) = top;
    let detail = format!(
        "It differs most at layer {}: {} and {}, {}{most}.",
        before.layer,
        before.say(),
        after.say(),
        if after.value > before.value { "+" } else { "−" },
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
mod tests;
