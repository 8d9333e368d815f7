//! What the tables of the parameters say: how many matrices changed, where, and how low-rank the changes are.

use std::collections::{BTreeMap, BTreeSet};

use crate::findings_words::{count, layers, list, median, number, percent};
use crate::{Error, Finding, Table};

/// Findings about one pair of models: from `per_matrix`, and from `ledger` what could not be compared.
///
/// # Errors
/// [`Error::Column`] if `per_matrix` lacks `name` or `dW_fro`, or `ledger` lacks `status`.
pub fn weight_findings(per_matrix: &Table, ledger: &Table) -> Result<Vec<Finding>, Error> {
    let matrices = matrices(per_matrix)?;
    let mut findings = vec![how_many(&matrices)];
    findings.extend(how_low_rank(&matrices));
    findings.extend(largest(&matrices));
    findings.extend(wide_intervals(per_matrix));
    findings.extend(gaps(ledger)?);
    Ok(findings)
}

/// What a stable rank is called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rank {
    OneDirection,
    Low,
    Medium,
    High,
}

/// What a row of `per_matrix` says.
struct Matrix {
    name: String,
    layer: Option<u32>,
    component: String,
    /// Rows and columns, the fewer first.
    shape: Option<(f64, f64)>,
    stable_rank: Option<f64>,
    relative: Option<f64>,
    changed: Option<bool>,
}

impl Matrix {
    /// Share of the largest possible rank.
    fn rank_share(&self) -> Option<f64> {
        Some(self.stable_rank? / self.shape?.0)
    }

    /// How its stable rank is called; `None` if it has none, or it is not known how large it could be.
    fn rank(&self) -> Option<Rank> {
        let stable_rank = self.stable_rank?;
        if stable_rank < ONE_DIRECTION {
            return Some(Rank::OneDirection);
        }
        Some(match (self.rank_share()?, self.random_rank()?) {
            (share, _) if share <= LOW_SHARE => Rank::Low,
            (_, random) if stable_rank >= RANDOM_SHARE * random => Rank::High,
            _ => Rank::Medium,
        })
    }

    /// The stable rank that independent random entries of this shape have, for large matrices: mn / (√m + √n)².
    fn random_rank(&self) -> Option<f64> {
        let (shorter, longer) = self.shape?;
        Some(shorter * longer / (shorter.sqrt() + longer.sqrt()).powi(2))
    }
}

fn matrices(table: &Table) -> Result<Vec<Matrix>, Error> {
    let names = table.needed_texts("name")?;
    let frobenius = table.needed_numbers("dW_fro")?;
    let numbers = |column| table.optional_numbers(column);
    let components = table.texts("component").or_else(|| table.texts("group"));
    let (rows, columns) = (numbers("shape0"), numbers("shape1"));
    let (ranks, relative) = (numbers("dW_stable_rank"), numbers("dW_fro_rel"));
    let (layers, changed) = (table.layers(), numbers("changed_fraction"));
    let at = |values: &[Option<f64>], index: usize| values.get(index).copied().flatten();
    let component = |index: usize| components.as_ref().and_then(|all| all.get(index).cloned().flatten());
    let matrix = |(index, name): (usize, Option<String>)| Matrix {
        name: name.unwrap_or_default(),
        layer: layers.get(index).copied().flatten(),
        component: component(index).unwrap_or_default(),
        shape: at(&rows, index).zip(at(&columns, index)).map(|(m, n)| (m.min(n), m.max(n))),
        stable_rank: at(&ranks, index),
        relative: at(&relative, index),
        changed: at(&changed, index).or_else(|| at(&frobenius, index)).map(|value| value > 0.0),
    };
    Ok(names.into_iter().enumerate().map(matrix).collect())
}

fn changed(matrices: &[Matrix]) -> Vec<&Matrix> {
    matrices.iter().filter(|matrix| matrix.changed == Some(true)).collect()
}

fn how_many(matrices: &[Matrix]) -> Finding {
    let all = matrices.len();
    let changed = changed(matrices);
    let equal = matrices.iter().filter(|matrix| matrix.changed == Some(false)).count();
    let untold = all - changed.len() - equal;
    let compared = count(all, "compared matrix", "compared matrices");
    let text = match changed.len() {
        _ if all == 0 => return Finding::caution("No matrix was compared: the weights tell nothing.", ""),
        0 => format!("No matrix changed, of {compared}."),
        some if some == all => {
            let inside = layers(&changed.iter().filter_map(|matrix| matrix.layer).collect());
            let outside = changed.iter().any(|matrix| matrix.layer.is_none());
            let within = match (inside.is_empty(), outside) {
                (true, _) => String::new(),
                (false, true) => format!(", in {inside} and outside the layers"),
                (false, false) => format!(", in {inside}"),
            };
            if all == 1 {
                format!("The one compared matrix changed{within}.")
            } else {
                format!("All {compared} changed{within}.")
            }
        }
        some => format!("{some} of {compared} changed{}.", places(matrices)),
    };
    let others = match (equal, untold) {
        (0, 0) => String::new(),
        (1, 0) => "The other one is equal in both models.".into(),
        (_, 0) => format!("The other {equal} are equal in both models."),
        _ => format!("{equal} equal in both models; of {untold} the table does not tell."),
    };
    Finding::new(text, if changed.is_empty() && untold == 0 { String::new() } else { others })
}

/// Which components changed in which layers; components that changed in the same ones are named together.
fn places(matrices: &[Matrix]) -> String {
    let mut of_components: BTreeMap<&str, Vec<&Matrix>> = BTreeMap::new();
    for matrix in matrices {
        of_components.entry(&matrix.component).or_default().push(matrix);
    }
    // By layers and whether all there changed; a list keeps the order of the first component.
    let mut places: Vec<(String, Vec<String>)> = Vec::new();
    for (component, all) in of_components {
        let changed: Vec<&&Matrix> = all.iter().filter(|matrix| matrix.changed == Some(true)).collect();
        let inside: BTreeSet<Option<u32>> = changed.iter().map(|matrix| matrix.layer).collect();
        let there = all.iter().filter(|matrix| inside.contains(&matrix.layer)).count();
        let layers = layers(&inside.into_iter().flatten().collect());
        if changed.is_empty() {
            continue;
        }
        let within = if layers.is_empty() { String::new() } else { format!(" in {layers}") };
        let place = if changed.len() == there || component.is_empty() {
            within
        } else {
            format!("{within} ({} of the {there} matrices there)", changed.len())
        };
        match places.iter_mut().find(|(known, _)| *known == place) {
            Some((_, components)) => components.push(component.into()),
            None => places.push((place, vec![component.into()])),
        }
    }
    let clause = |(place, components): &(String, Vec<String>)| format!("{}{place}", list(components));
    // Old tables tell neither components nor layers.
    let clauses: Vec<String> = places.iter().map(clause).filter(|clause| !clause.is_empty()).collect();
    if clauses.is_empty() { String::new() } else { format!(": {}", clauses.join("; ")) }
}

/// A stable rank below this is nearly one direction.
const ONE_DIRECTION: f64 = 2.0;
/// A stable rank up to this share of the largest possible rank is low.
const LOW_SHARE: f64 = 0.1;
/// A stable rank of at least this share of that of random entries is high.
const RANDOM_SHARE: f64 = 0.5;
/// What nearly all matrices are, all are said to be.
const NEARLY_ALL: f64 = 0.9;

fn how_low_rank(matrices: &[Matrix]) -> Option<Finding> {
    let ranked: Vec<&Matrix> =
        changed(matrices).into_iter().filter(|matrix| matrix.stable_rank.is_some()).collect();
    let ranks: Vec<f64> = ranked.iter().filter_map(|matrix| matrix.stable_rank).collect();
    let shares: Vec<f64> = ranked.iter().filter_map(|matrix| matrix.rank_share()).collect();
    let middle = median(&ranks)?;
    let (lowest, highest) =
        ranks.iter().fold((f64::INFINITY, 0.0f64), |(low, high), &rank| (low.min(rank), high.max(rank)));

    let number_of = |rank| ranked.iter().filter(|matrix| matrix.rank() == Some(rank)).count();
    let [single, low, medium, high] =
        [Rank::OneDirection, Rank::Low, Rank::Medium, Rank::High].map(number_of);
    let nearly_all = |number: usize| number as f64 >= NEARLY_ALL * ranks.len() as f64;
    let verdict = if nearly_all(single) {
        "The changes are spikes, nearly one direction each: the"
    } else if nearly_all(single + low) {
        "The changes are low-rank: the"
    } else if nearly_all(high) {
        "The changes have high rank, spread over many directions: the"
    } else if nearly_all(medium) {
        "The changes have medium rank: the"
    } else if single + low + medium + high == ranks.len() {
        "The changes differ in rank: the"
    } else {
        "The" // without shapes it is not known what is low or high
    };
    let share = median(&shares).map(|share| format!(", {} of the largest possible rank", percent(share)));
    let text =
        format!("{verdict} median stable rank of ΔW is {}{}.", number(middle), share.unwrap_or_default());
    let kinds = [
        (single, "nearly one direction (below 2)"),
        (low, "low-rank (up to a tenth of the largest possible rank)"),
        (high, "high-rank (at least half the stable rank of random entries)"),
        (medium, "between low and high rank"),
    ];
    let kinds: Vec<String> = kinds
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, kind)| format!("{number} {} {kind}", if *number == 1 { "is" } else { "are" }))
        .collect();
    let range = if lowest < highest {
        format!("It goes from {} to {}. ", number(lowest), number(highest))
    } else {
        String::new()
    };
    let of = count(ranks.len(), "changed matrix", "changed matrices");
    let kinds = if kinds.is_empty() { String::new() } else { format!("Of {of}, {}.", list(&kinds)) };
    Some(Finding::new(text, range + &kinds))
}

fn largest(matrices: &[Matrix]) -> Option<Finding> {
    let changed = changed(matrices);
    let relative: Vec<f64> = changed.iter().filter_map(|matrix| matrix.relative).collect();
    let top = changed.iter().filter(|matrix| matrix.relative.is_some()).max_by(|a, b| {
        let size = |matrix: &Matrix| matrix.relative.unwrap_or_default();
        size(a).total_cmp(&size(b)).then_with(|| b.name.cmp(&a.name)) // the first of equals
    })?;
    let place = [Some(top.component.clone()), top.layer.map(|layer| format!("layer {layer}"))];
    let place: Vec<String> = place.into_iter().flatten().filter(|part| !part.is_empty()).collect();
    let middle = median(&relative).filter(|_| relative.len() > 1);
    let middle = middle.map(|middle| format!("The median of the changed matrices is {}.", number(middle)));
    let text = format!(
        "The largest relative change is ‖ΔW‖/‖W‖ = {}, of {} ({}).",
        number(top.relative?),
        top.name,
        place.join(", ")
    );
    Some(Finding::new(text, middle.unwrap_or_default()))
}

/// Stable ranks that are known only roughly.
fn wide_intervals(per_matrix: &Table) -> Option<Finding> {
    const WIDE: f64 = 1.1;
    let lower = per_matrix.numbers("dW_stable_rank_lo")?;
    let upper = per_matrix.numbers("dW_stable_rank_hi")?;
    let wide = lower
        .iter()
        .zip(&upper)
        .filter(|(lower, upper)| lower.zip(**upper).is_some_and(|(lower, upper)| upper > WIDE * lower));
    let wide = wide.count();
    (wide > 0).then(|| {
        let matrices = count(wide, "matrix", "matrices");
        Finding::caution(
            format!("The stable rank of ΔW of {matrices} is known only to an interval wider than 10 %."),
            "The whiskers of the charts show how wide.",
        )
    })
}

/// What should have been compared and was not.
fn gaps(ledger: &Table) -> Result<Option<Finding>, Error> {
    let status = ledger.needed_texts("status")?;
    let mut gaps: BTreeMap<String, usize> = BTreeMap::new();
    for (status, _) in status.into_iter().zip(are_gaps(ledger)).filter(|(_, is_gap)| *is_gap) {
        *gaps.entry(status.unwrap_or_default()).or_default() += 1;
    }
    if gaps.is_empty() {
        return Ok(None);
    }
    let tensors = count(gaps.values().sum(), "tensor", "tensors");
    let kinds: Vec<String> = gaps.iter().map(|(status, number)| format!("{number} {status}")).collect();
    Ok(Some(Finding::caution(
        format!("{tensors} should have been compared and could not be: {}.", list(&kinds)),
        "Nothing that is said here holds for what was not compared. The ledger tells why.",
    )))
}

/// Which names of a ledger were to be compared and were not. If it does not tell what was selected, all but those that
/// are no matrices of linear layers.
pub(crate) fn are_gaps(ledger: &Table) -> Vec<bool> {
    let status = ledger.texts("status").unwrap_or_default();
    let selected = ledger.texts("selected");
    let is_gap = |(row, status): (usize, &Option<String>)| {
        let status = status.as_deref();
        let wanted = selected.as_ref().map_or(status != Some("not_linear"), |selected| {
            selected.get(row).and_then(Option::as_deref) == Some("true")
        });
        wanted && status != Some("compared")
    };
    status.iter().enumerate().map(is_gap).collect()
}

#[cfg(test)]
#[expect(unreachable_pub)] // rows are public wherever they are defined
mod tests;
