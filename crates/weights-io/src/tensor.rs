//! What is known of a tensor before its data is read, and a borrowed view of the data.

use std::borrow::Cow;

use crate::Dtype;

/// Name, type, shape and place of one tensor; the data stays where it is until [`crate::Checkpoint::view`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Parameter name, as stored.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Length of each axis; empty for a 0-d tensor.
    pub shape: Vec<usize>,
    /// Distance between neighbours along each axis, in elements; row-major unless a view was saved.
    pub strides: Vec<usize>,
    pub(crate) shard: usize,
    pub(crate) storage: Storage,
}

/// Where the first element lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Storage {
    /// At a byte offset of the shard.
    Stored { start: usize },
    /// In a deflated zip entry: its bytes in the shard, and the byte offset once inflated.
    Deflated { compressed_start: usize, compressed_len: usize, start: usize },
}

/// Axes that torch allows.
pub(crate) const MAX_AXES: usize = 64;

impl TensorInfo {
    /// Number of elements. Checked when the tensor is listed, so it never overflows.
    #[must_use]
    pub fn element_count(&self) -> usize {
        element_count(&self.shape)
    }

    /// Bytes from the first to the last element that the tensor uses, gaps included.
    #[must_use]
    pub fn extent(&self) -> usize {
        if self.element_count() == 0 {
            return 0;
        }
        let last: usize =
            self.shape.iter().zip(&self.strides).map(|(length, stride)| (length - 1) * stride).sum();
        (last + 1) * self.dtype.size()
    }

    /// True if the elements lie one after another in row-major order.
    #[must_use]
    pub fn is_contiguous(&self) -> bool {
        self.element_count() == 0
            || self
                .shape
                .iter()
                .zip(&self.strides)
                .zip(row_major(&self.shape))
                .all(|((length, stride), expected)| *length == 1 || *stride == expected)
    }

    /// The tensor at `index` of the first axis, named `name[index]`; `None` if there is no such slice.
    #[must_use]
    pub fn slice(&self, index: usize) -> Option<Self> {
        if index >= *self.shape.first()? {
            return None;
        }
        let skipped = if self.element_count() == 0 { 0 } else { index * self.strides[0] * self.dtype.size() };
        let mut storage = self.storage.clone();
        match &mut storage {
            Storage::Stored { start } | Storage::Deflated { start, .. } => *start += skipped,
        }
        Some(Self {
            name: format!("{}[{index}]", self.name),
            dtype: self.dtype,
            shape: self.shape[1..].to_vec(),
            strides: self.strides[1..].to_vec(),
            shard: self.shard,
            storage,
        })
    }

    /// The elements in row-major order as tensors of one axis and at most `bytes`; `None` if they do not lie so in the file.
    pub(crate) fn pieces(&self, bytes: usize) -> Option<impl Iterator<Item = Self>> {
        let &Storage::Stored { start } = &self.storage else { return None };
        let (size, end) = (self.dtype.size(), start + self.extent());
        let step = bytes.next_multiple_of(size);
        self.is_contiguous().then(|| {
            (start..end).step_by(step).map(move |start| Self {
                name: self.name.clone(),
                dtype: self.dtype,
                shape: vec![step.min(end - start) / size],
                strides: vec![1],
                shard: self.shard,
                storage: Storage::Stored { start },
            })
        })
    }

    /// True if both are one and the same stretch of stored bytes: tied parameters.
    #[must_use]
    pub fn shares_storage_with(&self, other: &Self) -> bool {
        self.element_count() > 0
            && self.shard == other.shard
            && self.storage == other.storage
            && self.shape == other.shape
    }
}

/// The product of the axes. An empty tensor may have other axes whose product overflows, so zero is looked for first.
fn element_count(shape: &[usize]) -> usize {
    if shape.contains(&0) { 0 } else { shape.iter().product() }
}

/// Row-major strides of a shape, in elements. Saturates, so that an empty tensor with huge axes has strides too.
pub(crate) fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis].max(1));
    }
    strides
}

/// Checks that shape and strides can be counted: (elements, extent in elements); `None` on overflow.
pub(crate) fn counts(shape: &[usize], strides: &[usize]) -> Option<(usize, usize)> {
    let elements = if shape.contains(&0) {
        0
    } else {
        shape.iter().try_fold(1usize, |product, length| product.checked_mul(*length))?
    };
    if elements == 0 {
        return Some((0, 0));
    }
    let last = shape
        .iter()
        .zip(strides)
        .try_fold(0usize, |sum, (length, stride)| sum.checked_add((length - 1).checked_mul(*stride)?))?;
    Some((elements, last.checked_add(1)?))
}

/// Borrowed data of one tensor: little-endian, of any alignment.
///
/// Element `[i, j, …]` lies at `(i·strides[0] + j·strides[1] + …)·dtype.size()` of `bytes`.
#[derive(Clone, Debug)]
pub struct TensorView<'a> {
    /// Element type.
    pub dtype: Dtype,
    /// Length of each axis.
    pub shape: &'a [usize],
    /// Strides in elements.
    pub strides: &'a [usize],
    /// The bytes from the first to the last element. Borrowed where the file is mapped, but for deflated zip entries.
    pub bytes: Cow<'a, [u8]>,
}

impl TensorView<'_> {
    /// The elements as bytes in row-major order: borrowed when they lie so, else gathered into a copy.
    #[must_use]
    pub fn to_contiguous(&self) -> Cow<'_, [u8]> {
        let size = self.dtype.size();
        let count = element_count(self.shape);
        if self.strides == row_major(self.shape) {
            return Cow::Borrowed(&self.bytes[..count * size]);
        }
        let mut gathered = Vec::with_capacity(count * size);
        self.elements().for_each(|element| gathered.extend_from_slice(element));
        Cow::Owned(gathered)
    }

    /// The elements in row-major order, one by one, so that those of an expanded tensor need no memory.
    pub(crate) fn elements(&self) -> impl Iterator<Item = &[u8]> {
        let size = self.dtype.size();
        let mut index = vec![0usize; self.shape.len()];
        (0..element_count(self.shape)).map(move |_| {
            let at = index.iter().zip(self.strides).map(|(i, stride)| i * stride).sum::<usize>() * size;
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                if index[axis] < self.shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
            &self.bytes[at..at + size]
        })
    }
}
