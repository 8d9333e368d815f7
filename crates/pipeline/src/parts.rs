//! The parts of a comparison that several machines do: what each leaves for the merge.
//!
//! A part lies in `parts/<index>-of-<count>` in the folder of the comparison: the tables that are not made of others, as
//! Parquet, from which rows come back exactly, and `part.json`, which comes last and goes first. Where it is, the part is
//! complete.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use report::{Format, Provenance, Row, SingularValueRow, Table, Tables, ZeroDeltas};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use weights_io::Pairing;

use crate::fingerprint::{Inputs, NAMES, content_hash, hexadecimal, set_of_names};
use crate::param_rows::ParamRows;
use crate::resumption::remove_journal;
use crate::setup::{OpenModel, stage_if};
use crate::share::number;
use crate::{COMPARED, Error, NON_FINITE, Observer, ParamStats, ParamStatsOptions, Share};

/// In the folder of the comparison.
const FOLDER: &str = "parts";
/// In the folder of a part.
const FILE: &str = "part.json";
/// No `part.json` is larger: models of ten thousand files each make some megabytes.
const MAX_BYTES: u64 = 1 << 28;
/// The formats of the tables of a part: in CSV, null and empty text are the same.
pub(crate) const PART_FORMATS: &[Format] = &[Format::Parquet];

/// Where a part of a comparison is put.
pub(crate) fn part_folder(comparison: &Path, share: Share) -> PathBuf {
    comparison.join(FOLDER).join(share.to_string())
}

/// Whether a folder has a finished part.
pub(crate) fn is_finished(folder: &Path) -> bool {
    folder.join(FILE).exists()
}

/// The parts of a comparison that are there, whether finished or not: indices by how many they are to be.
///
/// # Errors
/// [`Error::Part`] if the folder cannot be read.
pub(crate) fn parts_in(comparison: &Path) -> Result<BTreeMap<u32, BTreeSet<u32>>, Error> {
    let mut parts: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    let path = comparison.join(FOLDER);
    let refused = |source| Error::Part { path: path.clone(), source };
    let entries = match std::fs::read_dir(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(parts),
        entries => entries.map_err(refused)?,
    };
    for entry in entries {
        let name = entry.map_err(refused)?.file_name();
        let share = name.to_str().and_then(|name| name.split_once("-of-"));
        let share = share.and_then(|(index, count)| Share::new(number(index)?, number(count)?));
        if let Some(share) = share {
            parts.entry(share.count()).or_default().insert(share.index());
        }
    }
    Ok(parts)
}

/// Says that there are parts of this comparison that do not go together with those of this share.
pub(crate) fn warn_of_others(comparison: &Path, share: Share, observer: &dyn Observer) {
    let mut counts = parts_in(comparison).unwrap_or_default();
    counts.remove(&share.count());
    if let Some(other) = counts.keys().next() {
        let folder = comparison.join(FOLDER);
        observer.warned(&format!(
            "{} has parts of {other} too, which cannot be merged with parts of {}",
            folder.display(),
            share.count()
        ));
    }
}

/// What is known of a finished part beside its tables.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// Which part it is, from 0.
    index: u32,
    /// Of how many.
    count: u32,
    /// What all parts of the comparison have in common.
    pub(crate) identity: Inputs,
    /// What may be otherwise in another part, and may show in the last bits of numbers.
    pub(crate) made_with: BTreeMap<String, String>,
    /// The formats that the tables of the comparison are to have.
    pub(crate) formats: Vec<Format>,
    pub(crate) zero_deltas: ZeroDeltas,
    pub(crate) provenance: Provenance,
    /// SHA-256 of the tables of this part, by their names.
    files: BTreeMap<String, String>,
}

/// As it stands in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    part: Part,
    /// Of what is above, as JSON without spaces.
    sha256: String,
}

/// What [`Part::made_with`] has.
const ENGINE: &str = "engine";

impl Part {
    /// What compared it.
    pub(crate) fn engine(&self) -> &str {
        self.made_with.get(ENGINE).map_or("", String::as_str)
    }

    /// What identifies a part that is to be made. The names are those of the whole comparison.
    pub(crate) fn new(
        share: Share,
        options: &ParamStatsOptions,
        models: &[OpenModel],
        pairings: &[Pairing<'_>],
        provenance: &Provenance,
        engine: &str,
    ) -> Self {
        let names = pairings.iter().map(|pairing| pairing.name.as_str());
        Self {
            index: share.index(),
            count: share.count(),
            identity: Inputs::of_parts(options, models, names),
            made_with: [(ENGINE.to_owned(), engine.to_owned())].into(),
            formats: options.formats.clone(),
            zero_deltas: options.zero_deltas,
            provenance: provenance.clone(),
            files: BTreeMap::new(),
        }
    }

    /// Writes the tables of a part and, last, what it is, under temporary names.
    pub(crate) fn stage(
        mut self,
        rows: &ParamRows,
        tables: &mut Tables,
        has_singular_values: bool,
    ) -> Result<(), Error> {
        let refused = |source| Error::Tables { source };
        tables.stage(&rows.matrices, &self.provenance).map_err(refused)?;
        stage_if(has_singular_values, tables, &rows.singular_values, &self.provenance)?;
        tables.stage(&rows.ledger, &self.provenance).map_err(refused)?;
        let hash = |(path, temporary): (&Path, &Path)| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, content_hash(temporary))
        };
        self.files = tables.staged().map(hash).collect();
        let unwritten =
            |error: serde_json::Error| Error::Part { path: tables.folder().join(FILE), source: error.into() };
        let sha256 = self.hash().map_err(unwritten)?;
        let text = serde_json::to_vec_pretty(&Sealed { part: self, sha256 }).map_err(unwritten)?;
        tables.stage_file(FILE, &text).map_err(refused)
    }

    /// The finished part in a folder; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Part`] for a file that cannot be read, or is not as it was written.
    pub(crate) fn read(folder: &Path, share: Share) -> Result<Option<Self>, Error> {
        let path = folder.join(FILE);
        let bytes = match intake::read(&path, MAX_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes,
        };
        let sealed = bytes.and_then(|bytes| Ok(serde_json::from_slice::<Sealed>(&bytes)?));
        let part = sealed.and_then(|Sealed { part, sha256 }| {
            if part.hash()? != sha256 {
                return Err(invalid("it is not as it was written"));
            }
            if part.share() != Some(share) {
                return Err(invalid("it is of another part than its folder's name says"));
            }
            if part.formats.is_empty() {
                return Err(invalid("it asks for no tables"));
            }
            Ok(part)
        });
        part.map(Some).map_err(|source| Error::Part { path, source })
    }

    /// The rows of its tables.
    ///
    /// # Errors
    /// [`Error::Part`], [`Error::PartTable`].
    pub(crate) fn rows(&self, folder: &Path) -> Result<ParamRows, Error> {
        Ok(ParamRows {
            matrices: self.table(folder)?,
            singular_values: if self.has_singular_values() { self.table(folder)? } else { Vec::new() },
            ledger: self.table(folder)?,
        })
    }

    pub(crate) fn has_singular_values(&self) -> bool {
        self.files.contains_key(&file_of::<SingularValueRow>())
    }

    fn table<R: Row>(&self, folder: &Path) -> Result<Vec<R>, Error> {
        let path = folder.join(file_of::<R>());
        let rows = Table::read(&path).and_then(|table| table.rows_of());
        // Only now: another run of this part may have put another file into its place meanwhile.
        if self.files.get(&file_of::<R>()) != Some(&content_hash(&path)) {
            return Err(Error::Part { path, source: invalid("it is missing or not as it was written") });
        }
        rows.map_err(|source| Error::PartTable { source })
    }

    /// What an earlier run into this folder left, if that is this part of this comparison.
    pub(crate) fn finished_earlier(&self, folder: &Path, observer: &dyn Observer) -> Option<ParamStats> {
        let share = self.share()?;
        let found = Self::read(folder, share).and_then(|earlier| {
            let Some(earlier) = earlier else { return Ok(None) };
            if let Some(what) = self.first_difference(&earlier) {
                observer.warned(&format!("the finished part of an earlier run is not kept: {what} changed"));
                return Ok(None);
            }
            let ParamRows { matrices, singular_values, ledger } = earlier.rows(folder)?;
            remove_journal(folder); // of a run that was killed right after it had put the tables into place
            let files = earlier.files.keys().map(String::as_str).chain([FILE]);
            let files = files.map(|name| folder.join(name)).collect();
            let compared = ledger.iter().filter(|row| [COMPARED, NON_FINITE].contains(&row.status)).count();
            observer.resumed(compared, compared);
            let (folder, share) = (folder.to_path_buf(), Some(share));
            Ok(Some(ParamStats { folder, share, files, matrices, singular_values, ledger }))
        });
        found.unwrap_or_else(|error| {
            let message = error.with_causes();
            observer.warned(&format!("the finished part of an earlier run is not kept: {message}"));
            None
        })
    }

    fn share(&self) -> Option<Share> {
        Share::new(self.index, self.count)
    }

    /// Whether these are the names of the whole comparison.
    pub(crate) fn has_names<'a>(&self, names: impl Iterator<Item = &'a str>) -> bool {
        self.identity.0.get(NAMES) == Some(&set_of_names(names))
    }

    /// What is not the same in two parts and decides about their tables.
    pub(crate) fn first_difference(&self, other: &Self) -> Option<String> {
        let identity = self.identity.first_change(&other.identity.0).map(str::to_owned);
        let formats = (self.formats != other.formats).then(|| "the formats of the tables".to_owned());
        let zeros =
            (self.zero_deltas != other.zero_deltas).then(|| "how unchanged matrices count".to_owned());
        identity.or(formats).or(zeros)
    }

    fn hash(&self) -> Result<String, serde_json::Error> {
        Ok(hexadecimal(&Sha256::digest(serde_json::to_vec(self)?)))
    }
}

/// The file of a table of a part.
fn file_of<R: Row>() -> String {
    format!("{}.{}", R::TABLE, Format::Parquet.extension())
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use report::{LedgerRow, MatrixRow};
    use spectral::Stop;
    use weights_io::naming::{Component, Group};
    use weights_io::{Dtype, Status};

    use super::*;
    use crate::ledger::status_name;

    fn read_back<R: Row>(rows: &[R]) -> Vec<R> {
        let folder = tempfile::tempdir().unwrap();
        let mut tables = Tables::create(folder.path(), PART_FORMATS).unwrap();
        tables.stage(rows, &Provenance::default()).unwrap();
        Table::read(&tables.finish().unwrap()[0]).unwrap().rows_of().unwrap()
    }

    /// Crate report knows which words stand in tables; what the others call things has to be among them.
    #[test]
    fn whatever_a_part_may_say_can_be_read() {
        use Component::{Embedding, LmHead, MlpContract, MlpExpand, Norm, Other, Proj, Qkv};
        let statuses = [
            Status::Comparable,
            Status::OnlyInA,
            Status::OnlyInB,
            Status::ShapesDiffer,
            Status::NotLinear,
            Status::UnsupportedDtype,
        ];
        let statuses: Vec<&str> =
            statuses.map(status_name).into_iter().chain([NON_FINITE, COMPARED]).collect();
        let groups = [Group::Attn, Group::Mlp, Group::Other].map(Group::name);
        let components =
            [Qkv, Proj, MlpExpand, MlpContract, LmHead, Embedding, Norm, Other].map(Component::name);
        let ledger: Vec<LedgerRow> = (0..Dtype::ALL.len())
            .map(|index| LedgerRow {
                name: index.to_string(),
                status: statuses[index % statuses.len()],
                reason: None,
                selected: false,
                layer: None,
                group: groups[index % groups.len()],
                component: components[index % components.len()],
                dtype_a: Some(Dtype::ALL[index].name()),
                dtype_b: Some(Dtype::ALL[index].name()),
                shape_a: None,
                shape_b: None,
                nan_a: None,
                inf_a: None,
                nan_b: None,
                inf_b: None,
                file_a: None,
                file_b: None,
            })
            .collect();
        assert_eq!(read_back(&ledger), ledger);
        let stops = [Stop::Certified, Stop::Dense, Stop::Budget, Stop::RoundOff].map(Stop::name);
        let folder = tempfile::tempdir().unwrap();
        let pair = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/pairs/neox");
        let options = ParamStatsOptions::new(format!("{pair}/a"), format!("{pair}/b"), folder.path());
        let flag = std::sync::atomic::AtomicBool::new(false);
        let mut matrices: Vec<MatrixRow> =
            crate::param_stats(&options, &hub::Hub::default(), &(), &flag).unwrap().matrices;
        for (row, stop) in matrices.iter_mut().zip(stops.into_iter().cycle()) {
            row.delta.stop = Some(stop);
        }
        assert!(matrices.len() >= stops.len());
        assert_eq!(read_back(&matrices), matrices);
    }
}
