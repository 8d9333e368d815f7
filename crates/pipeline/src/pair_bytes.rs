//! The bytes of a pair of matrices: in buffers that are used again, or, of a large pair, read anew in every pass.

use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};

use rayon::prelude::*;
use spectral::{Matrix, ReadAt};
use weights_io::{Checkpoint, TensorInfo, TensorView};

use crate::matrix_row::spectral_dtype;
use crate::{Error, Side, memory};

/// Bytes that one thread reads of a large matrix at once.
const PIECE: usize = 4 << 20;
/// Bytes of a pair that is held in memory, at most. Reading one through costs no more where the system has a cache of files;
/// not all file systems of clusters do.
const MOST_HELD: u64 = 1 << 30;

/// Reads pairs of two checkpoints.
pub(crate) struct PairBytes<'a> {
    checkpoints: [&'a Checkpoint; 2],
    /// Bytes of a pair up to which it is held in memory.
    held: u64,
    buffers: Mutex<Vec<[Vec<u8>; 2]>>,
}

impl<'a> PairBytes<'a> {
    /// Of A and B.
    pub(crate) fn new(checkpoints: [&'a Checkpoint; 2]) -> Self {
        let held = memory::default_budget().min(MOST_HELD);
        Self { checkpoints, held, buffers: Mutex::default() }
    }

    /// What `compare` makes of pairs of two-dimensional tensors. They are held in memory if `hold` is true and they are not
    /// too large.
    pub(crate) fn with_matrices<T>(
        &self,
        pairs: &[[&TensorInfo; 2]],
        hold: bool,
        compare: impl FnOnce(&[[Matrix<'_>; 2]]) -> Result<T, spectral::Error>,
    ) -> Result<Result<T, spectral::Error>, Error> {
        const SIDES: [Side; 2] = [Side::A, Side::B];
        let pool = || self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffers: Vec<[Vec<u8>; 2]> = pairs.iter().map(|_| pool().pop().unwrap_or_default()).collect();
        let mut bytes = Vec::with_capacity(pairs.len());
        for (tensors, buffers) in pairs.iter().zip(&mut buffers) {
            let held = hold && tensors.iter().map(|tensor| tensor.extent() as u64).sum::<u64>() <= self.held;
            let [buffer_a, buffer_b] = buffers;
            let ([a, b], [of_a, of_b]) = (self.checkpoints, *tensors);
            bytes.push([
                Bytes::of(a, of_a, held, buffer_a)
                    .map_err(|source| Error::Model { side: Side::A, source })?,
                Bytes::of(b, of_b, held, buffer_b)
                    .map_err(|source| Error::Model { side: Side::B, source })?,
            ]);
        }
        let matrices =
            bytes.iter().zip(pairs).map(|([a, b], [of_a, of_b])| Ok([a.matrix(of_a)?, b.matrix(of_b)?]));
        let compared =
            matrices.collect::<Result<Vec<_>, spectral::Error>>().and_then(|matrices| compare(&matrices));
        for (side, bytes) in bytes.into_iter().flat_map(|bytes| SIDES.into_iter().zip(bytes)) {
            if let Some(source) = bytes.failure() {
                return Err(Error::Model { side, source });
            }
        }
        for (checkpoint, tensor) in pairs.iter().flat_map(|tensors| self.checkpoints.into_iter().zip(tensors))
        {
            checkpoint.give_back(tensor);
        }
        pool().extend(buffers);
        Ok(compared)
    }
}

/// The bytes of one matrix.
enum Bytes<'a> {
    View(TensorView<'a>),
    Held(&'a [u8]),
    Through(Through<'a>),
}

impl<'a> Bytes<'a> {
    fn of(
        checkpoint: &'a Checkpoint,
        tensor: &'a TensorInfo,
        held: bool,
        buffer: &'a mut Vec<u8>,
    ) -> Result<Self, weights_io::Error> {
        if !checkpoint.reads_in_parts(tensor) {
            return Ok(Self::View(checkpoint.view(tensor)?));
        }
        let more = tensor.extent().saturating_sub(buffer.len());
        if !held || buffer.try_reserve_exact(more).is_err() {
            return Ok(Self::Through(Through { checkpoint, tensor, failure: OnceLock::new() }));
        }
        buffer.resize(buffer.len() + more, 0);
        let bytes = &mut buffer[..tensor.extent()];
        bytes
            .par_chunks_mut(PIECE)
            .enumerate()
            .try_for_each(|(index, piece)| checkpoint.read_into(tensor, index * PIECE, piece))?;
        Ok(Self::Held(bytes))
    }

    fn matrix(&self, tensor: &TensorInfo) -> Result<Matrix<'_>, spectral::Error> {
        let (shape, strides) = ((tensor.shape[0], tensor.shape[1]), (tensor.strides[0], tensor.strides[1]));
        let dtype = spectral_dtype(tensor.dtype);
        match self {
            Self::View(view) => Matrix::strided(shape, strides, dtype, &view.bytes),
            Self::Held(bytes) => Matrix::new(shape.0, shape.1, dtype, bytes),
            Self::Through(through) => Matrix::read_through(shape.0, shape.1, dtype, through),
        }
    }

    /// What kept a part of it from being read.
    fn failure(self) -> Option<weights_io::Error> {
        match self {
            Self::Through(through) => through.failure.into_inner(),
            Self::View(_) | Self::Held(_) => None,
        }
    }
}

/// A tensor that is read in every pass.
#[derive(Debug)]
struct Through<'a> {
    checkpoint: &'a Checkpoint,
    tensor: &'a TensorInfo,
    failure: OnceLock<weights_io::Error>,
}

impl ReadAt for Through<'_> {
    fn read_at(&self, start: usize, out: &mut [u8]) -> io::Result<()> {
        self.checkpoint.read_into(self.tensor, start, out).map_err(|error| {
            let told = io::Error::other(error.to_string());
            let _ = self.failure.set(error);
            told
        })
    }
}

#[cfg(test)]
mod tests {
    use spectral::{Options, summarize_pair};
    use weights_io::Access;

    use super::*;

    #[test]
    fn held_mapped_and_read_through_are_the_same() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/pairs/neox");
        let open = |access| ["a", "b"].map(|side| Checkpoint::open_with(folder.join(side), access).unwrap());
        let (read, mapped) = (open(Access::Read), open(Access::Map));
        let all = |models: &[Checkpoint; 2], held| {
            let [a, b] = models;
            let pairs = PairBytes { held, ..PairBytes::new([a, b]) };
            let matrices = a.tensors().iter().filter(|tensor| tensor.shape.len() == 2);
            let compared = matrices.map(|tensor| {
                let tensors = [tensor, b.get(&tensor.name).unwrap()];
                let compare = |matrices: &[[Matrix<'_>; 2]]| {
                    let [a, b] = &matrices[0];
                    summarize_pair(a, b, &tensor.name, &Options::default())
                };
                format!("{:?}", pairs.with_matrices(&[tensors], true, compare).unwrap().unwrap())
            });
            compared.collect::<Vec<String>>()
        };
        let expected = all(&mapped, MOST_HELD);
        assert!(expected.len() > 10);
        assert_eq!(all(&read, MOST_HELD), expected);
        assert_eq!(all(&read, 0), expected);
    }

    #[test]
    fn a_file_cut_short_within_a_comparison_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let header = r#"{"w":{"dtype":"F32","shape":[512,512],"data_offsets":[0,1048576]}}"#;
        let head = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
        for held in [0, MOST_HELD] {
            std::fs::write(&path, [&head[..], &vec![1; 1 << 20]].concat()).unwrap();
            let [a, b] = [(); 2].map(|()| Checkpoint::open(&path).unwrap());
            let pairs = PairBytes { held, ..PairBytes::new([&a, &b]) };
            let tensors = [&a, &b].map(|model| &model.tensors()[0]);
            let cut = |matrices: &[[Matrix<'_>; 2]]| {
                let [a, b] = &matrices[0];
                std::fs::File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
                summarize_pair(a, b, "w", &Options::default())
            };
            let compared = pairs.with_matrices(&[tensors], true, cut);
            let found =
                compared.and_then(|_| a.unchanged().map_err(|source| Error::Model { side: Side::A, source }));
            let error = found.unwrap_err();
            let Error::Model { source: weights_io::Error::Changed { path: named }, .. } = &error else {
                panic!("{error:?}");
            };
            assert_eq!(named, &path);
        }
    }
}
