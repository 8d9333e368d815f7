//! Pairs the parameters of two checkpoints by name. Every name of either side comes out with a status.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::naming::{Component, Kind, Role, classify};
use crate::tensor::Storage;
use crate::{Checkpoint, Dtype, TensorInfo, TensorView, UnsupportedTensor};

/// Which parameters are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Selection {
    /// The matrices of linear layers: no embedding, norm, bias or position table.
    #[default]
    Linear,
    /// Every two-dimensional tensor, whatever its name, and every fused expert tensor slice by slice.
    AllMatrices,
}

/// What became of one name across A and B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// In both, of one shape, selected: to be compared.
    Comparable,
    /// Only A has it.
    OnlyInA,
    /// Only B has it.
    OnlyInB,
    /// In both with different shapes.
    ShapesDiffer,
    /// In both, but not selected.
    NotLinear,
    /// Selected, but one side cannot be read as numbers.
    UnsupportedDtype,
}

/// Experts that a fused tensor may hold: far more than any model has, and few enough to list slice by slice.
const MAX_EXPERTS: usize = 1 << 16;
/// Pairings, those of slices included, up to which fused tensors are listed slice by slice.
const MAX_PAIRINGS: usize = 1 << 20;
/// Longest name of a tensor that is listed slice by slice, each with its own copy.
const MAX_SLICED_NAME: usize = 1 << 10;

/// Bytes of two tensors that are compared at once.
const PIECE: usize = 8 << 20;

/// Embedding matrices whose values a head is compared with: a model has one of its shape, seldom two or three.
const MAX_TABLES: usize = 8;

/// One side of a pairing.
#[derive(Clone, Debug)]
pub enum Side<'a> {
    /// The checkpoint lacks the name.
    Absent,
    /// A readable tensor, or one slice of a fused one.
    Tensor(Cow<'a, TensorInfo>),
    /// An entry that is no readable tensor.
    Unsupported(&'a UnsupportedTensor),
}

impl Side<'_> {
    /// The readable tensor.
    #[must_use]
    pub fn tensor(&self) -> Option<&TensorInfo> {
        match self {
            Self::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// Shape, where it is known.
    #[must_use]
    pub fn shape(&self) -> Option<&[usize]> {
        match self {
            Self::Absent => None,
            Self::Tensor(tensor) => Some(&tensor.shape),
            Self::Unsupported(tensor) => tensor.shape.as_deref(),
        }
    }

    /// Element type, where it is a known one.
    #[must_use]
    pub fn dtype(&self) -> Option<Dtype> {
        self.tensor().map(|tensor| tensor.dtype)
    }
}

/// One parameter name across the two checkpoints.
#[derive(Clone, Debug)]
pub struct Pairing<'a> {
    /// The name; `name[3]` for a slice of a fused tensor.
    pub name: String,
    /// Side A, the baseline.
    pub a: Side<'a>,
    /// Side B, the changed model.
    pub b: Side<'a>,
    /// What the name says.
    pub role: Role,
    /// What became of it.
    pub status: Status,
    /// True if it belongs to what is compared, so that a status other than comparable is a gap in the result.
    pub selected: bool,
    /// Why it is not comparable; empty if it is.
    pub reason: String,
}

/// Pairs two checkpoints: in storage order of A, so that each shard is visited once, then what only B has.
///
/// Reads no tensor data but where `config.json` ties the output head to the embedding and the file holds both: then
/// their values decide whether the head counts.
#[must_use]
pub fn pairs<'a>(a: &'a Checkpoint, b: &'a Checkpoint, selection: Selection) -> Vec<Pairing<'a>> {
    let sides_a = entries(a);
    let in_a: HashSet<&str> = sides_a.iter().map(|(name, _)| *name).collect();
    let sides_b = entries(b);
    let of_b: HashMap<&str, &Side<'a>> = sides_b.iter().map(|(name, side)| (*name, side)).collect();
    let tied = TiedHeads { a: Embeddings::of(a), b: Embeddings::of(b) };

    let mut pairings = Vec::with_capacity(sides_a.len());
    for (name, side) in &sides_a {
        let other = of_b.get(name).map_or(Side::Absent, |side| (*side).clone());
        pair(name, side.clone(), other, selection, &tied, (a, b), &mut pairings);
    }
    for (name, side) in sides_b.iter().filter(|(name, _)| !in_a.contains(name)) {
        pair(name, Side::Absent, side.clone(), selection, &tied, (a, b), &mut pairings);
    }
    pairings
}

/// All names of a checkpoint, readable ones first.
fn entries(checkpoint: &Checkpoint) -> Vec<(&str, Side<'_>)> {
    let tensors =
        checkpoint.tensors().iter().map(|tensor| (tensor.name.as_str(), Side::Tensor(Cow::Borrowed(tensor))));
    let unsupported =
        checkpoint.unsupported().iter().map(|tensor| (tensor.name.as_str(), Side::Unsupported(tensor)));
    tensors.chain(unsupported).collect()
}

fn pair<'a>(
    name: &str,
    a: Side<'a>,
    b: Side<'a>,
    selection: Selection,
    tied: &TiedHeads<'a>,
    checkpoints: (&Checkpoint, &Checkpoint),
    pairings: &mut Vec<Pairing<'a>>,
) {
    let shape = a.shape().or(b.shape());
    let mut role = classify(name, shape.unwrap_or(&[0, 0])); // of unknown shape: judged by its name
    if let Some(reason) = tied.reason(&a, &b, role.component) {
        role = Role { component: Component::Embedding, kind: Kind::NotLinear(reason), ..role };
    }
    let dimensions = shape.map_or(2, <[usize]>::len);
    let selected = match (selection, role.kind) {
        (_, Kind::FusedExperts | Kind::Linear) => true,
        // Packed codes stand for a linear layer's matrix: that they cannot be compared is a gap.
        (_, Kind::NotLinear(_)) if is_packed(name, checkpoints) => true,
        (Selection::Linear, Kind::NotLinear(_)) => false,
        (Selection::AllMatrices, Kind::NotLinear(_)) => dimensions == 2,
    };
    let (status, reason) = match status(name, &a, &b, role.kind, selected, checkpoints) {
        (Status::Comparable, _)
            if role.kind == Kind::FusedExperts && !sliceable(name, &a, pairings.len()) =>
        {
            let shape = a.shape().unwrap_or_default();
            (Status::NotLinear, format!("{shape:?} is no stack of experts"))
        }
        status => status,
    };
    if status == Status::Comparable
        && role.kind == Kind::FusedExperts
        && let (Side::Tensor(a), Side::Tensor(b)) = (&a, &b)
    {
        for (a, b) in (0..a.shape[0]).filter_map(|index| a.slice(index).zip(b.slice(index))) {
            let name = a.name.clone();
            let (a, b) = (Side::Tensor(Cow::Owned(a)), Side::Tensor(Cow::Owned(b)));
            pairings.push(Pairing { name, a, b, role, status, selected, reason: String::new() });
        }
        return;
    }
    pairings.push(Pairing { name: name.to_owned(), a, b, role, status, selected, reason });
}

/// True for a stack of experts that can be listed slice by slice beside what is `listed` already.
fn sliceable(name: &str, fused: &Side<'_>, listed: usize) -> bool {
    fused.shape().is_some_and(|shape| {
        !shape.contains(&0)
            && shape[0] <= MAX_EXPERTS
            && listed.saturating_add(shape[0]) <= MAX_PAIRINGS
            && name.len() <= MAX_SLICED_NAME
    })
}

fn status(
    name: &str,
    a: &Side<'_>,
    b: &Side<'_>,
    kind: Kind,
    selected: bool,
    checkpoints: (&Checkpoint, &Checkpoint),
) -> (Status, String) {
    match (a, b) {
        (Side::Absent, _) => return (Status::OnlyInB, "A has no tensor of this name".into()),
        (_, Side::Absent) => return (Status::OnlyInA, "B has no tensor of this name".into()),
        _ => {}
    }
    if let (Some(shape_a), Some(shape_b)) = (a.shape(), b.shape())
        && shape_a != shape_b
    {
        return (Status::ShapesDiffer, format!("{shape_a:?} in A, {shape_b:?} in B"));
    }
    if !selected {
        let reason = match kind {
            Kind::NotLinear(reason) => reason,
            Kind::Linear | Kind::FusedExperts => "",
        };
        return (Status::NotLinear, reason.into());
    }
    for (side, label, checkpoint) in [(a, "A", checkpoints.0), (b, "B", checkpoints.1)] {
        if let Side::Unsupported(tensor) = side {
            return (Status::UnsupportedDtype, format!("in {label}: {}", tensor.reason));
        }
        if let Some(scale) = quantisation_scale(name, checkpoint) {
            let reason = format!("in {label}: quantised, its codes mean nothing without `{scale}`");
            return (Status::UnsupportedDtype, reason);
        }
    }
    (Status::Comparable, String::new())
}

/// How names end that hold codes of a quantisation, and the tensor beside them that shows it: block-scaled f8,
/// bitsandbytes in 8 and 4 bits, GPTQ and AWQ, compressed-tensors, MXFP4.
const QUANTISED: [(&str, &str); 7] = [
    (".weight", ".weight_scale_inv"),
    (".weight", ".weight_scale"),
    (".weight", ".SCB"),
    (".weight", ".weight.absmax"),
    (".qweight", ".scales"),
    (".weight_packed", ".weight_scale"),
    ("_blocks", "_scales"),
];

/// The tensor beside a weight that shows that the weight holds codes of a quantisation, not numbers.
fn quantisation_scale(name: &str, checkpoint: &Checkpoint) -> Option<String> {
    QUANTISED.iter().find_map(|(codes, scale)| {
        let scale = format!("{}{scale}", name.strip_suffix(codes)?);
        checkpoint.get(&scale).is_some().then_some(scale)
    })
}

/// True for codes under a name of their own, in either checkpoint.
fn is_packed(name: &str, (a, b): (&Checkpoint, &Checkpoint)) -> bool {
    !name.ends_with(".weight")
        && [a, b].iter().any(|checkpoint| quantisation_scale(name, checkpoint).is_some())
}

/// The embedding matrices of one side: what an output head can be tied to.
struct Embeddings<'a> {
    checkpoint: &'a Checkpoint,
    /// By what [`TensorInfo::shares_storage_with`] compares.
    places: HashSet<(usize, &'a Storage, &'a [usize])>,
    by_shape: HashMap<&'a [usize], Vec<&'a TensorInfo>>,
}

struct TiedHeads<'a> {
    a: Embeddings<'a>,
    b: Embeddings<'a>,
}

impl<'a> Embeddings<'a> {
    fn of(checkpoint: &'a Checkpoint) -> Self {
        let mut embeddings = Self { checkpoint, places: HashSet::new(), by_shape: HashMap::new() };
        for tensor in checkpoint.tensors() {
            if classify(&tensor.name, &tensor.shape).component == Component::Embedding {
                embeddings.places.insert((tensor.shard, &tensor.storage, &tensor.shape));
                embeddings.by_shape.entry(&tensor.shape).or_default().push(tensor);
            }
        }
        embeddings
    }

    /// True if the head is one of the embedding matrices: the same bytes of the file or, where the configuration ties
    /// them, a second copy of the same values. A head that the file holds with values of its own is not tied, whatever
    /// the configuration says.
    fn holds(&self, head: &TensorInfo) -> bool {
        let tied_by_config = self.checkpoint.config().tie_word_embeddings == Some(true);
        let mut tables = self.by_shape.get(&*head.shape).into_iter().flatten().take(MAX_TABLES);
        head.element_count() > 0 && self.places.contains(&(head.shard, &head.storage, &*head.shape))
            || tied_by_config && tables.any(|table| self.equal(table, head))
    }

    /// Compares the values of two tensors, and gives their pages back.
    fn equal(&self, table: &TensorInfo, head: &TensorInfo) -> bool {
        if (table.dtype, &table.shape) != (head.dtype, &head.shape) {
            return false;
        }
        let same =
            |table: &TensorInfo, head: &TensorInfo, equal: fn(&TensorView<'_>, &TensorView<'_>) -> bool| {
                match (self.checkpoint.view(table), self.checkpoint.view(head)) {
                    (Ok(table), Ok(head)) => equal(&table, &head),
                    _ => false, // unreadable: left to the comparison, which reports it
                }
            };
        // Piece by piece, where that is possible: heads that are not tied differ in the first one.
        let equal = match (table.pieces(PIECE), head.pieces(PIECE)) {
            (Some(table), Some(head)) => table
                .zip(head)
                .all(|(table, head)| same(&table, &head, |table, head| table.bytes == head.bytes)),
            _ => same(table, head, |table, head| table.elements().eq(head.elements())),
        };
        self.checkpoint.give_back(table);
        self.checkpoint.give_back(head);
        equal
    }
}

impl TiedHeads<'_> {
    /// A head that is the embedding on every side that has it counts once, as embedding.
    fn reason(&self, a: &Side<'_>, b: &Side<'_>, component: Component) -> Option<&'static str> {
        if component != Component::LmHead {
            return None;
        }
        let tied =
            |side: &Side<'_>, embeddings: &Embeddings<'_>| side.tensor().map(|head| embeddings.holds(head));
        match (tied(a, &self.a), tied(b, &self.b)) {
            (Some(true), Some(true) | None) | (None, Some(true)) => Some("tied to the embedding"),
            _ => None,
        }
    }
}
