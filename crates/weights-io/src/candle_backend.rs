//! A checkpoint as a source of candle tensors, so that candle's models load from every format this crate reads.

mod convert;
mod rows;

use candle_core::{DType, Device, Error, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use crate::{Checkpoint, TensorInfo};
use convert::Float;

/// A [`Checkpoint`] behind candle's [`VarBuilder`].
///
/// A tensor is copied from the file straight into the dtype asked for (f16, bf16, f32 or f64; from any stored dtype,
/// rounded as torch's `.to` rounds), and its mapped pages are given back. A tensor of another shape or a missing one
/// is an error: nothing is initialised in its place.
#[derive(Clone, Copy, Debug)]
pub struct CandleBackend<'a> {
    checkpoint: &'a Checkpoint,
}

impl<'a> CandleBackend<'a> {
    /// The tensors of a checkpoint.
    #[must_use]
    pub fn new(checkpoint: &'a Checkpoint) -> Self {
        Self { checkpoint }
    }

    fn find(self, name: &str) -> Result<&'a TensorInfo> {
        let checkpoint = self.checkpoint;
        if let Some(tensor) = checkpoint.get(name) {
            return Ok(tensor);
        }
        Err(match checkpoint.unsupported().iter().find(|entry| entry.name == name) {
            Some(entry) => Error::msg(format_args!("tensor {name} cannot be read: {}", entry.reason))
                .with_path(checkpoint.file_of_unsupported(entry)),
            None => Error::CannotFindTensor { path: name.into() }.with_path(checkpoint.took()),
        })
    }

    /// Some rows of a matrix, in the order asked for, `[rows.len(), columns]`: an embedding of which only the tokens
    /// that occur are read.
    ///
    /// # Errors
    /// A tensor that is missing or no matrix, and rows beyond its end.
    pub fn rows(&self, name: &str, rows: &[u32], dtype: DType, device: &Device) -> Result<Tensor> {
        let tensor = self.find(name)?;
        let [count, columns] = tensor.shape[..] else {
            let error = Error::msg(format_args!("tensor {name} of shape {:?} is no matrix", tensor.shape));
            return Err(error.with_path(self.checkpoint.file_of(tensor)));
        };
        if let Some(row) = rows.iter().find(|row| **row as usize >= count) {
            let error = Error::msg(format_args!("tensor {name} has {count} rows, none at {row}"));
            return Err(error.with_path(self.checkpoint.file_of(tensor)));
        }
        let bytes = rows::read(self.checkpoint, tensor, rows).map_err(unreadable)?;
        let values = tensor_of(tensor, Elements::Read(&bytes), &[rows.len(), columns], dtype, device);
        self.checkpoint.give_back(tensor);
        values
    }

    /// Copies a tensor to a device and gives its pages back.
    fn load(self, tensor: &TensorInfo, dtype: DType, device: &Device) -> Result<Tensor> {
        // candle multiplies the axes unchecked; those of an empty tensor may be of any size.
        let count =
            tensor.shape.iter().try_fold(1usize, |product, length| product.checked_mul((*length).max(1)));
        if count.is_none() {
            let error =
                Error::msg(format_args!("tensor {}: shape {:?} is too large", tensor.name, tensor.shape));
            return Err(error.with_path(self.checkpoint.file_of(tensor)));
        }
        if self.checkpoint.reads_in_parts(tensor) {
            return tensor_of(tensor, Elements::In(self.checkpoint), &tensor.shape, dtype, device);
        }
        let view = self.checkpoint.view(tensor).map_err(unreadable)?;
        let elements = view.to_contiguous();
        let values = tensor_of(tensor, Elements::Read(&elements), &tensor.shape, dtype, device);
        self.checkpoint.give_back(tensor);
        values
    }
}

/// As an I/O error: of candle's wrappers the only one that keeps the cause as such.
fn unreadable(source: crate::Error) -> Error {
    Error::Io(std::io::Error::other(source))
}

/// Stored elements.
#[derive(Clone, Copy)]
enum Elements<'a> {
    /// These bytes.
    Read(&'a [u8]),
    /// All of a tensor, still in the file.
    In(&'a Checkpoint),
}

/// Stored elements of a tensor, or some of them, in the dtype asked for.
fn tensor_of(
    tensor: &TensorInfo,
    elements: Elements<'_>,
    shape: &[usize],
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    fn convert<T: Float>(
        tensor: &TensorInfo,
        elements: Elements<'_>,
        shape: &[usize],
        device: &Device,
    ) -> Result<Tensor> {
        let values = match elements {
            Elements::Read(bytes) => convert::to_vec::<T>(tensor.dtype, bytes),
            Elements::In(checkpoint) => convert::read_to_vec(checkpoint, tensor).map_err(unreadable)?,
        };
        Tensor::from_vec(values, shape, device)
    }
    let convert = match dtype {
        DType::F16 => convert::<half::f16>,
        DType::BF16 => convert::<half::bf16>,
        DType::F32 => convert::<f32>,
        DType::F64 => convert::<f64>,
        other => {
            let error = Error::UnsupportedDTypeForOp(other, "reading weights");
            return Err(error.context(format!("tensor {}", tensor.name)));
        }
    };
    convert(tensor, elements, shape, device)
}

impl SimpleBackend for CandleBackend<'_> {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let tensor = self.find(name)?;
        if shape.dims() != tensor.shape {
            let error = Error::UnexpectedShape {
                msg: format!("shape of tensor {name}"),
                expected: shape,
                got: tensor.shape.clone().into(),
            };
            return Err(error.with_path(self.checkpoint.file_of(tensor)));
        }
        self.load(tensor, dtype, device)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        self.load(self.find(name)?, dtype, device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.checkpoint.get(name).is_some()
    }
}

/// candle's [`VarBuilder`] over a checkpoint; needs the feature `candle`.
///
/// ```
/// use candle_core::{DType, Device};
/// use weights_io::{Checkpoint, var_builder};
///
/// # let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/pairs/neox/a");
/// let checkpoint = Checkpoint::open(folder)?;
/// let weights = var_builder(&checkpoint, DType::F32, &Device::Cpu).pp("gpt_neox");
/// let shape = checkpoint.get("gpt_neox.final_layer_norm.weight").expect("in the fixture").shape.clone();
/// let scale = weights.get(shape, "final_layer_norm.weight")?;
/// assert_eq!(scale.dtype(), DType::F32);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn var_builder<'a>(checkpoint: &'a Checkpoint, dtype: DType, device: &Device) -> VarBuilder<'a> {
    VarBuilder::from_backend(Box::new(CandleBackend::new(checkpoint)), dtype, device.clone())
}
