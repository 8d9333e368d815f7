//! Some rows of a matrix: of a large embedding only those that are asked for, in few reads.

use std::borrow::Cow;

use crate::planned::Planned;
use crate::tensor::Storage;
use crate::{Checkpoint, Error, TensorInfo, TensorView};

/// The rows of a matrix, all of which it has, one after another in the order asked for.
pub(super) fn read(checkpoint: &Checkpoint, matrix: &TensorInfo, rows: &[u32]) -> Result<Vec<u8>, Error> {
    let (&[_, columns], &[row_stride, stride]) = (&matrix.shape[..], &matrix.strides[..]) else {
        return Ok(Vec::new());
    };
    if rows.is_empty() || columns == 0 {
        return Ok(Vec::new());
    }
    let length = columns * matrix.dtype.size();
    let offset = |row: u32| row as usize * row_stride * matrix.dtype.size();
    let mut bytes = vec![0; rows.len() * length];
    if let (Storage::Stored { start }, true) = (&matrix.storage, stride == 1 || columns == 1) {
        let range = |row: u32| start + offset(row)..start + offset(row) + length;
        let file = &*checkpoint.shards()[matrix.shard];
        let mut planned = Planned::new(file, rows.iter().map(|row| range(*row)).collect());
        let mut places: Vec<(u32, &mut [u8])> = rows.iter().copied().zip(bytes.chunks_mut(length)).collect();
        places.sort_unstable_by_key(|(row, _)| *row);
        for (row, place) in places {
            place.copy_from_slice(planned.read(range(row))?);
        }
    } else {
        // Rows that lie scattered over the matrix, or deflated with all before them, take it whole.
        let whole = checkpoint.view(matrix)?;
        for (row, place) in rows.iter().zip(bytes.chunks_mut(length)) {
            let bytes = Cow::Borrowed(&whole.bytes[offset(*row)..]);
            let view = TensorView { shape: &[columns], strides: &[stride], bytes, ..whole };
            place.copy_from_slice(&view.to_contiguous());
        }
    }
    Ok(bytes)
}
