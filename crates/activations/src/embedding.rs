//! The rows of the embedding matrices that a group of samples needs, read once for all its batches.

use std::collections::BTreeSet;

use candle_core::{DType, Device, Result, Tensor};
use weights_io::CandleBackend;

/// Some rows of a matrix, loaded.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Which ones, ascending.
    ids: Vec<u32>,
    /// `[ids, width]`
    table: Tensor,
}

impl Rows {
    pub(crate) fn load(
        backend: CandleBackend<'_>,
        name: &str,
        ids: impl Iterator<Item = u32>,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let ids: Vec<u32> = ids.collect::<BTreeSet<_>>().into_iter().collect();
        let table = backend.rows(name, &ids, dtype, device)?;
        Ok(Self { ids, table })
    }

    /// The rows of these ids, which must be among the loaded ones, in their order: `[ids, width]`.
    pub(crate) fn pick(&self, ids: &[u32]) -> Result<Tensor> {
        let places = ids.iter().map(|id| self.ids.partition_point(|loaded| loaded < id) as u32);
        self.table.index_select(&Tensor::from_iter(places, self.table.device())?, 0)
    }
}
