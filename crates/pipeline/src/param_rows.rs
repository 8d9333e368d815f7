//! From the outcomes of a comparison to the rows of its tables.

use std::collections::HashMap;

use report::{LedgerRow, MatrixRow, Provenance, SingularValueRow, Tables, per_component, per_layer};
use spectral::{NonFinite, Outcome};
use weights_io::{Checkpoint, Pairing};

use crate::ledger::{Counts, ledger_row};
use crate::matrix_row::{matrix_row, singular_value_rows};
use crate::param_stats::Work;
use crate::setup::stage_if;
use crate::{Error, ParamStatsOptions};

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
        let mut ledger: Vec<LedgerRow> = pairings
            .iter()
            .map(|pairing| ledger_row(pairing, counted.get(pairing.name.as_str()).copied(), a, b))
            .collect();
        matrices.sort_by(|a, b| a.name.cmp(&b.name));
        singular_values.sort_by(|a: &SingularValueRow, b| a.name.cmp(&b.name)); // stable: index by index
        ledger.sort_by(|a, b| a.name.cmp(&b.name));
        Self { matrices, singular_values, ledger }
    }

    pub(crate) fn stage(
        &self,
        tables: &mut Tables,
        options: &ParamStatsOptions,
        provenance: &Provenance,
    ) -> Result<(), Error> {
        let tables_error = |source| Error::Tables { source };
        tables.stage(&self.matrices, provenance).map_err(tables_error)?;
        tables.stage(&per_layer(&self.matrices, options.zero_deltas), provenance).map_err(tables_error)?;
        tables.stage(&per_component(&self.matrices), provenance).map_err(tables_error)?;
        let has_values = options.numerics.top_k > 0 || options.numerics.full_spectrum;
        stage_if(has_values, tables, &self.singular_values, provenance)?;
        tables.stage(&self.ledger, provenance).map_err(tables_error)
    }
}
