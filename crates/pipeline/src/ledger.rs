//! What became of every name of both checkpoints.

use std::path::Path;

use report::LedgerRow;
use spectral::NonFinite;
use weights_io::{Checkpoint, Pairing, Side, Status};

/// Status of a pair of matrices that was compared: it has a row in `per_matrix`.
pub const COMPARED: &str = "compared";
/// Status of a pair with entries that are no finite numbers.
pub const NON_FINITE: &str = "non_finite";

/// What reading a comparable pair told about it.
#[derive(Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) a: NonFinite,
    pub(crate) b: NonFinite,
}

pub(crate) fn ledger_row(
    pairing: &Pairing<'_>,
    counts: Option<Counts>,
    a: &Checkpoint,
    b: &Checkpoint,
) -> LedgerRow {
    let finite = counts.is_none_or(|counts| counts.a.is_none() && counts.b.is_none());
    let (status, reason) = if finite {
        (status_name(pairing.status), Some(pairing.reason.clone()).filter(|reason| !reason.is_empty()))
    } else {
        (NON_FINITE, counts.map(reason))
    };
    let shape = |side: &Side<'_>| side.shape().map(|shape| format!("{shape:?}"));
    let dtype = |side: &Side<'_>| side.dtype().map(weights_io::Dtype::name);
    LedgerRow {
        name: pairing.name.clone(),
        status,
        reason,
        selected: pairing.selected,
        layer: pairing.role.layer,
        group: pairing.role.group.name(),
        component: pairing.role.component.name(),
        dtype_a: dtype(&pairing.a),
        dtype_b: dtype(&pairing.b),
        shape_a: shape(&pairing.a),
        shape_b: shape(&pairing.b),
        nan_a: counts.map(|counts| counts.a.nan),
        inf_a: counts.map(|counts| counts.a.infinite),
        nan_b: counts.map(|counts| counts.b.nan),
        inf_b: counts.map(|counts| counts.b.infinite),
        file_a: file(&pairing.a, a),
        file_b: file(&pairing.b, b),
    }
}

pub(crate) fn status_name(status: Status) -> &'static str {
    match status {
        Status::Comparable => COMPARED,
        Status::OnlyInA => "only_in_a",
        Status::OnlyInB => "only_in_b",
        Status::ShapesDiffer => "shapes_differ",
        Status::NotLinear => "not_linear",
        Status::UnsupportedDtype => "unsupported_dtype",
    }
}

fn reason(counts: Counts) -> String {
    let sides = [("A", counts.a), ("B", counts.b)];
    let parts: Vec<String> = sides
        .iter()
        .filter(|(_, count)| !count.is_none())
        .map(|(side, count)| format!("{} NaN and {} infinite entries in {side}", count.nan, count.infinite))
        .collect();
    parts.join(", ")
}

/// The file that a side lies in, relative to the model's folder.
fn file(side: &Side<'_>, checkpoint: &Checkpoint) -> Option<String> {
    let path = match side {
        Side::Absent => return None,
        Side::Tensor(tensor) => checkpoint.file_of(tensor),
        Side::Unsupported(tensor) => checkpoint.file_of_unsupported(tensor),
    };
    let folder = checkpoint.took().parent().unwrap_or(Path::new(""));
    Some(path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned())
}
