//! Whether a tensor is the same in two checkpoints, byte for byte.

use rayon::prelude::*;
use weights_io::{Checkpoint, Error, TensorInfo};

/// Bytes that are compared at once.
const PIECE: usize = 1 << 20;

/// True if both tensors are of one dtype and have the same bytes in row-major order.
pub(crate) fn same_bytes(
    (a, tensor_a): (&Checkpoint, &TensorInfo),
    (b, tensor_b): (&Checkpoint, &TensorInfo),
) -> Result<bool, Error> {
    if tensor_a.dtype != tensor_b.dtype || tensor_a.element_count() != tensor_b.element_count() {
        return Ok(false);
    }
    if !(a.reads_in_parts(tensor_a) && b.reads_in_parts(tensor_b)) {
        return Ok(a.view(tensor_a)?.to_contiguous() == b.view(tensor_b)?.to_contiguous());
    }
    let length = tensor_a.extent();
    let pieces = (0..length.div_ceil(PIECE)).into_par_iter().map_init(Default::default, |buffers, piece| {
        let [bytes_a, bytes_b]: &mut [Vec<u8>; 2] = buffers;
        let start = piece * PIECE;
        for (checkpoint, tensor, bytes) in [(a, tensor_a, &mut *bytes_a), (b, tensor_b, &mut *bytes_b)] {
            bytes.resize(PIECE.min(length - start), 0);
            checkpoint.read_into(tensor, start, bytes)?;
        }
        Ok(bytes_a == bytes_b)
    });
    // The first difference, or failure, that is found decides: nothing needs to be read beyond it.
    pieces.find_any(|same| !matches!(same, Ok(true))).unwrap_or(Ok(true))
}
