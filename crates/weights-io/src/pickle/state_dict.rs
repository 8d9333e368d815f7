//! Finds the state dict in a pickle and recognises its tensors, by an exact allow-list.

use std::collections::HashSet;

use serde_pickle::{HashableValue, Value};

use super::machine::{Node, NodeId, Pickle};
use super::plain::{self, Budget};
use crate::Dtype;
use crate::error::PickleError;

/// A tensor as a pickle describes it, nothing checked against the file yet.
#[derive(Debug, PartialEq)]
pub(crate) struct SavedTensor {
    pub(crate) dtype: Dtype,
    pub(crate) storage: SavedStorage,
    /// Elements from the start of the storage.
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
}

/// The storage that a tensor lies in.
#[derive(Debug, PartialEq)]
pub(crate) struct SavedStorage {
    pub(crate) key: String,
    /// Size of the unit that `length` counts: the element of a typed storage, one byte of an untyped one.
    pub(crate) unit: usize,
    pub(crate) length: usize,
    /// First unit and number of units of the part of the root storage that this is (before PyTorch 1.6).
    pub(crate) part: Option<(usize, usize)>,
}

/// What an entry of the state dict turned out to be.
#[derive(Debug, PartialEq)]
pub(crate) enum Entry {
    Tensor(SavedTensor),
    /// Something that is no dense tensor of a known dtype, and what it is.
    Unsupported(String),
    /// A call that no tensor needs.
    Code(String),
}

/// The state dict of a pickle: names with their entries, in the order they were saved.
pub(crate) struct StateDict {
    pub(crate) entries: Vec<(String, Entry)>,
    /// A name that occurs twice.
    pub(crate) repeated: Option<String>,
}

/// Why there is no state dict.
pub(crate) enum Refusal {
    Pickle(PickleError),
    /// The root asks for this call.
    Code(String),
}

impl From<PickleError> for Refusal {
    fn from(error: PickleError) -> Self {
        Self::Pickle(error)
    }
}

/// Keys under which training scripts nest the state dict.
const NESTED: [&[u8]; 2] = [b"state_dict", b"model"];

/// Reads the state dict at the root, or nested under `state_dict` or `model`.
pub(crate) fn read(pickle: &Pickle<'_>) -> Result<StateDict, Refusal> {
    let mut budget = Budget::for_pickle(pickle.end);
    let mut dict = StateDict { entries: Vec::new(), repeated: None };
    let mut seen = HashSet::new();
    for (key, value) in entries(pickle)? {
        let range = match pickle.node(*key) {
            Node::Text(range) => range,
            Node::Call { callable, .. } => return Err(Refusal::Code(pickle.callable_name(*callable))),
            _ => continue,
        };
        let name = pickle.text(range);
        // Nothing is kept of a name that repeats: a long one could be named a million times.
        if !seen.insert(&pickle.input[range.clone()]) {
            dict.repeated = Some(name);
            break;
        }
        dict.entries.push((name, entry(pickle, *value, &mut budget)?));
    }
    Ok(dict)
}

fn entries<'p>(pickle: &'p Pickle<'_>) -> Result<&'p [(NodeId, NodeId)], Refusal> {
    let mut entries = match pickle.node(pickle.root) {
        Node::Dict(entries) => entries,
        Node::Call { callable, .. } => {
            let name = pickle.callable_name(*callable);
            return Err(if is_rebuild(&name) {
                PickleError::NotAStateDict("holds one bare tensor, not a state dict".into()).into()
            } else {
                Refusal::Code(name)
            });
        }
        _ => return Err(PickleError::NotAStateDict("its root is not a dict".into()).into()),
    };
    for key in NESTED {
        let nested =
            entries.iter().rev().find_map(|(name, value)| match (pickle.node(*name), pickle.node(*value)) {
                (Node::Text(range), Node::Dict(inner)) if &pickle.input[range.clone()] == key => Some(inner),
                _ => None,
            });
        entries = nested.unwrap_or(entries);
    }
    Ok(entries)
}

fn entry(pickle: &Pickle<'_>, id: NodeId, budget: &mut Budget) -> Result<Entry, PickleError> {
    // What is plainly no tensor is not worth lowering, and may be large.
    let other = match pickle.node(id) {
        Node::Call { .. } => return interpret(&plain::value(pickle, id, budget)?),
        Node::PersistentId(_) => "a bare storage",
        Node::None => "None",
        Node::Bool(_) => "a bool",
        Node::Int(_) | Node::BigInt(_) => "an int",
        Node::Float(_) => "a float",
        Node::Text(_) => "a str",
        Node::Bytes => "bytes",
        Node::Tuple(_) => "a tuple",
        Node::List(_) => "a list",
        Node::Dict(_) => "a dict",
        Node::Set => "a set",
        Node::Global { .. } => "a Python name",
    };
    Ok(Entry::Unsupported(format!("not a tensor but {other}")))
}

fn interpret(value: &Value) -> Result<Entry, PickleError> {
    match call(value) {
        Some((name, arguments)) => built(name, arguments),
        None => Err(malformed("call")),
    }
}

fn malformed(what: &str) -> PickleError {
    PickleError::NotAStateDict(format!("a tensor is described with a malformed {what}"))
}

/// What a rebuild function makes of its arguments.
fn built(name: &str, arguments: &[Value]) -> Result<Entry, PickleError> {
    match name {
        "torch._utils._rebuild_tensor"
        | "torch._utils._rebuild_tensor_v2"
        | "torch._utils._rebuild_tensor_v3" => {
            tensor(name, arguments).ok_or_else(|| malformed("size, stride or storage"))
        }
        "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => {
            interpret(arguments.first().ok_or_else(|| malformed("parameter"))?)
        }
        "torch._tensor._rebuild_from_type_v2" => {
            let [function, class, inner, ..] = arguments else { return Err(malformed("parameter")) };
            match global(class) {
                Some("torch.Tensor" | "torch._tensor.Tensor" | "torch.nn.parameter.Parameter") => {
                    let (name, arguments) = named(function, inner);
                    built(name, arguments)
                }
                Some(class) => Ok(Entry::Unsupported(format!("a tensor of class {class}"))),
                None => Err(malformed("class")),
            }
        }
        _ if name.starts_with("torch.") || name.starts_with("numpy.") => {
            Ok(Entry::Unsupported(kind_of(name)))
        }
        _ => Ok(Entry::Code(name.to_owned())),
    }
}

/// One of torch's own rebuild functions, also of kinds that are not read here.
fn is_rebuild(name: &str) -> bool {
    ["torch._utils._rebuild_", "torch._tensor._rebuild_"]
        .iter()
        .any(|prefix| name.strip_prefix(prefix).is_some_and(|rest| !rest.contains('.')))
}

fn is_numpy(name: &str) -> bool {
    ["numpy.core.", "numpy._core."].iter().any(|prefix| {
        name.strip_prefix(prefix).is_some_and(|rest| {
            matches!(rest, "multiarray._reconstruct" | "multiarray.scalar" | "numeric._frombuffer")
        })
    })
}

/// Calls that belong to a state dict; any other is worth a word to the user.
pub(crate) fn is_ordinary_call(name: &str) -> bool {
    is_rebuild(name) || is_numpy(name) || matches!(name, "torch.Size" | "torch.device" | "numpy.dtype")
}

/// Says what a refused rebuild function builds, in the words that torch's users know.
fn kind_of(name: &str) -> String {
    let kind = if name.contains("sparse") {
        "sparse tensor"
    } else if name.contains("qtensor") {
        "quantised tensor"
    } else if name.contains("meta_tensor") {
        "meta tensor without data"
    } else if name.starts_with("numpy.") {
        "NumPy value"
    } else {
        "unknown kind of tensor"
    };
    format!("{kind} ({name})")
}

/// A dense tensor; `None` where the description is malformed.
fn tensor(function: &str, arguments: &[Value]) -> Option<Entry> {
    let [storage, offset, size, stride, rest @ ..] = arguments else { return None };
    let (storage, storage_class) = storage_tuple(storage)?;
    let (dtype_name, metadata) = if function.ends_with("_v3") {
        (Some(global(rest.get(2)?)?), rest.get(3))
    } else {
        (None, rest.get(2))
    };
    for view in ["conj", "neg"] {
        if metadata.is_some_and(|metadata| is_set(metadata, view)) {
            return Some(Entry::Unsupported(format!("lazy {view} view")));
        }
    }
    let unsupported = |name: &str| Some(Entry::Unsupported(format!("dtype {name}")));
    let dtype = match dtype_name {
        Some(name) => match dtype(name) {
            Some(dtype) => dtype,
            None => return unsupported(name),
        },
        None => match storage_dtype(storage_class) {
            Some(dtype) => dtype,
            None if storage_class.starts_with("torch.") => return unsupported(storage_class),
            None => return Some(Entry::Code(storage_class.to_owned())),
        },
    };
    let unit = storage_unit(storage_class)?;
    Some(Entry::Tensor(SavedTensor {
        dtype,
        storage: SavedStorage { unit, ..storage },
        offset: integer(offset)?,
        shape: integers(size)?,
        strides: integers(stride)?,
    }))
}

/// `('storage', class, key, location, length[, view])`
fn storage_tuple(value: &Value) -> Option<(SavedStorage, &str)> {
    let Value::Tuple(outer) = value else { return None };
    let [Value::String(tag), Value::Tuple(id)] = outer.as_slice() else { return None };
    let [Value::String(kind), class, Value::String(key), _location, length, view @ ..] = id.as_slice() else {
        return None;
    };
    if tag != "persistent" || kind != "storage" {
        return None;
    }
    let part = match view {
        [] | [Value::None] => None,
        [Value::Tuple(view)] => Some((integer(view.get(1)?)?, integer(view.get(2)?)?)),
        _ => return None,
    };
    Some((SavedStorage { key: key.clone(), unit: 1, length: integer(length)?, part }, global(class)?))
}

fn is_untyped(class: &str) -> bool {
    matches!(class, "torch.storage.UntypedStorage" | "torch.UntypedStorage" | "torch.storage._UntypedStorage")
}

/// Bytes of the unit in which the length of a storage of this class counts; `None` for an unknown class.
pub(crate) fn storage_unit(class: &str) -> Option<usize> {
    if is_untyped(class) {
        return Some(1);
    }
    // Element types that are refused still have to be stepped over in the format before 1.6.
    Some(match class {
        "torch.ComplexFloatStorage" => 8,
        "torch.ComplexDoubleStorage" => 16,
        "torch.QInt32Storage" => 4,
        "torch.QInt8Storage" | "torch.QUInt8Storage" | "torch.QUInt4x2Storage" | "torch.QUInt2x4Storage" => 1,
        _ => storage_dtype(class)?.size(),
    })
}

fn storage_dtype(class: &str) -> Option<Dtype> {
    let class = class.strip_prefix("torch.")?;
    Some(match class.strip_prefix("cuda.").unwrap_or(class) {
        "DoubleStorage" => Dtype::F64,
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::Bf16,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::Bool,
        _ => return None,
    })
}

fn dtype(name: &str) -> Option<Dtype> {
    Some(match name.strip_prefix("torch.")? {
        "float64" => Dtype::F64,
        "float32" => Dtype::F32,
        "float16" => Dtype::F16,
        "bfloat16" => Dtype::Bf16,
        "float8_e4m3fn" => Dtype::F8E4M3,
        "float8_e5m2" => Dtype::F8E5M2,
        "int64" => Dtype::I64,
        "int32" => Dtype::I32,
        "int16" => Dtype::I16,
        "int8" => Dtype::I8,
        "uint8" => Dtype::U8,
        "bool" => Dtype::Bool,
        _ => return None,
    })
}

fn call(value: &Value) -> Option<(&str, &[Value])> {
    let Value::Tuple(parts) = value else { return None };
    match parts.as_slice() {
        [Value::String(tag), callable, arguments] if tag == "call" => Some(named(callable, arguments)),
        _ => None,
    }
}

fn named<'v>(callable: &'v Value, arguments: &'v Value) -> (&'v str, &'v [Value]) {
    let arguments = if let Value::Tuple(arguments) = arguments { arguments.as_slice() } else { &[] };
    (global(callable).unwrap_or("a computed value"), arguments)
}

fn global(value: &Value) -> Option<&str> {
    let Value::Tuple(parts) = value else { return None };
    match parts.as_slice() {
        [Value::String(tag), Value::String(name)] if tag == "global" => Some(name),
        _ => None,
    }
}

fn is_set(metadata: &Value, key: &str) -> bool {
    let Value::Dict(metadata) = metadata else { return false };
    metadata.get(&HashableValue::String(key.into())) == Some(&Value::Bool(true))
}

fn integer(value: &Value) -> Option<usize> {
    match value {
        Value::I64(value) => usize::try_from(*value).ok(),
        _ => None,
    }
}

/// A tuple of sizes, or `torch.Size` of one.
fn integers(value: &Value) -> Option<Vec<usize>> {
    match value {
        Value::Tuple(parts) => match call(value) {
            Some(("torch.Size", [inner])) => integers(inner),
            _ => parts.iter().map(integer).collect(),
        },
        Value::List(parts) => parts.iter().map(integer).collect(),
        _ => None,
    }
}
