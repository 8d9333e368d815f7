//! From the outcomes of a comparison to the rows of its tables.

use std::collections::HashMap;

use report::{
    LedgerRow, MatrixRow, Provenance, SingularValueRow, Tables, ZeroDeltas, per_component, per_layer,
};
use spectral::{NonFinite, Outcome};
use weights_io::{Checkpoint, Pairing};

use crate::Error;
use crate::ledger::{Counts, ledger_row};
use crate::matrix_row::{matrix_row, singular_value_rows};
use crate::param_stats::Work;
use crate::setup::stage_if;

/// Rows of the tables that are not made of other tables.
pub(crate) struct ParamRows {
    pub(crate) matrices: Vec<MatrixRow>,
    pub(crate) singular_values: Vec<SingularValueRow>,
    pub(crate) ledger: Vec<LedgerRow>,
}

impl ParamRows {
    /// In string order of the names, whatever the order of the outcomes.
    pub(crate) fn of(
        compared: Vec<(Work<'_>, Outcome)>,
        pairings: &[Pairing<'_>],
        [a, b]: [&Checkpoint; 2],
        top_k: usize,
    ) -> Self {
        let mut counted = HashMap::new();
        let mut matrices = Vec::new();
        let mut singular_values = Vec::new();
        for (work, outcome) in compared {
            let counts = match outcome {
                Outcome::Finite(pair) => {
                    let dtypes = (work.a.dtype, work.b.dtype);
                    matrices.push(matrix_row(work.pairing, work.shape(), dtypes, &pair, top_k));
                    singular_values.extend(singular_value_rows(&work.pairing.name, &pair));
                    Counts { a: NonFinite::default(), b: NonFinite::default() }
                }
                Outcome::NonFinite { a, b } => Counts { a, b },
            };
            counted.insert(work.pairing.name.as_str(), counts);
        }
        let ledger: Vec<LedgerRow> = pairings
            .iter()
            .map(|pairing| ledger_row(pairing, counted.get(pairing.name.as_str()).copied(), a, b))
            .collect();
        Self { matrices, singular_values, ledger }.sorted()
    }

    /// In string order of the names, whatever the order of the parts.
    pub(crate) fn of_parts(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self { matrices: Vec::new(), singular_values: Vec::new(), ledger: Vec::new() };
        for mut part in parts {
            all.matrices.append(&mut part.matrices);
            all.singular_values.append(&mut part.singular_values);
            all.ledger.append(&mut part.ledger);
        }
        all.sorted()
    }

    fn sorted(mut self) -> Self {
        self.matrices.sort_by(|a, b| a.name.cmp(&b.name));
        self.singular_values.sort_by(|a, b| a.name.cmp(&b.name)); // stable: index by index
        self.ledger.sort_by(|a, b| a.name.cmp(&b.name));
        self
    }

    pub(crate) fn stage(
        &self,
        tables: &mut Tables,
        has_singular_values: bool,
        zero_deltas: ZeroDeltas,
        provenance: &Provenance,
    ) -> Result<(), Error> {
        let tables_error = |source| Error::Tables { source };
        tables.stage(&self.matrices, provenance).map_err(tables_error)?;
        tables.stage(&per_layer(&self.matrices, zero_deltas), provenance).map_err(tables_error)?;
        tables.stage(&per_component(&self.matrices), provenance).map_err(tables_error)?;
        stage_if(has_singular_values, tables, &self.singular_values, provenance)?;
        tables.stage(&self.ledger, provenance).map_err(tables_error)
    }
}
