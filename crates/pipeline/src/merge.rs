//! From the parts of a comparison to its tables.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use hub::{Hub, Wanted};
use report::Tables;
use weights_io::pairs;

use crate::fingerprint::Inputs;
use crate::param_rows::ParamRows;
use crate::parts::{Part, is_finished, part_folder, parts_in};
use crate::resumption::remove_journal;
use crate::setup::{open, unless_interrupted, unless_interrupted_meanwhile};
use crate::{Error, Observer, ParamStats, ParamStatsOptions, Share, Side, provenance};

/// Joins the parts that [`param_stats`](crate::param_stats) made of a comparison's shares into its tables: those of one
/// machine that does it all, to the byte, if all machines have the same instructions.
///
/// `folder` is that of the comparison, `<outdir>/<A>__to__<B>`. Models are not read. What the tables say of their origin is
/// what part 0 says. Parts stay where they are.
///
/// # Errors
/// [`Error::NoParts`], [`Error::PartsMissing`], [`Error::PartsOfSeveral`], [`Error::PartsDiffer`]; [`Error::Part`] and
/// [`Error::PartTable`] for what was not written by a part; [`Error::Tables`], [`Error::Interrupted`]. Nothing is written
/// then.
pub fn merge_param_stats(
    folder: &Path,
    observer: &dyn Observer,
    interrupted: &AtomicBool,
) -> Result<ParamStats, Error> {
    let parts = parts_in(folder)?;
    let counts: Vec<u32> = parts.keys().copied().collect();
    let count = match counts[..] {
        [] => return Err(Error::NoParts { folder: folder.to_path_buf() }),
        [count] => count,
        _ => return Err(Error::PartsOfSeveral { folder: folder.to_path_buf(), counts }),
    };
    let set = Set::read(folder, count, interrupted)?;
    set.machines.iter().chain(&set.origins).for_each(|warning| observer.warned(warning));
    set.write(interrupted)
}

/// Does what [`param_stats`](crate::param_stats) does, if there is a complete set of parts of the very comparison that the
/// options ask for: by merging them, without reading any matrix. `None` if there are no parts, or none that can be taken
/// over, of which the observer is told why; nothing is written then.
///
/// What decides is the version, the numerics, the selection, the names of the parameters, and both models as they are now:
/// by their commits, or by path, size and time of change of their weights and the content of what describes them. Formats
/// and provenance are those of the options.
///
/// # Errors
/// As [`param_stats`](crate::param_stats), for models that cannot be opened and tables that cannot be written.
pub fn take_over_param_stats(
    options: &ParamStatsOptions,
    hub: &Hub,
    observer: &dyn Observer,
    interrupted: &AtomicBool,
) -> Result<Option<ParamStats>, Error> {
    unless_interrupted_meanwhile(take_over(options, hub, observer, interrupted), interrupted)
}

fn take_over(
    options: &ParamStatsOptions,
    hub: &Hub,
    observer: &dyn Observer,
    interrupted: &AtomicBool,
) -> Result<Option<ParamStats>, Error> {
    let folder = options.folder();
    let refused =
        |why: &str| observer.warned(&format!("the parts of this comparison are not taken over: {why}"));
    let parts = parts_in(&folder).unwrap_or_else(|error| {
        refused(&error.with_causes());
        BTreeMap::new()
    });
    if parts.is_empty() {
        return Ok(None);
    }
    let open = |side, model| open(side, model, Wanted::default(), options.stream, hub, observer);
    let models = [open(Side::A, &options.model_a)?, open(Side::B, &options.model_b)?];
    let [a, b] = models.each_ref().map(|model| &model.checkpoint);
    let pairings = pairs(a, b, options.selection);
    let names = pairings.iter().map(|pairing| pairing.name.as_str());
    let identity = Inputs::of_parts(options, &models, names);
    for count in parts.into_keys() {
        let mut set = match Set::read(&folder, count, interrupted) {
            Ok(set) => set,
            Err(error @ Error::Interrupted) => return Err(error),
            Err(error) => {
                refused(&error.with_causes());
                continue;
            }
        };
        if let Some(what) = identity.first_change(&set.first.identity.0) {
            refused(&format!("{what} changed"));
            continue;
        }
        set.machines.iter().for_each(|warning| observer.warned(warning));
        set.first.formats.clone_from(&options.formats);
        set.first.zero_deltas = options.zero_deltas;
        set.first.provenance = provenance::of_param_stats(options, &models, set.first.engine());
        return set.write(interrupted).map(Some);
    }
    Ok(None)
}

/// All parts of a comparison, which belong together.
struct Set<'a> {
    folder: &'a Path,
    /// Part 0.
    first: Part,
    rows: ParamRows,
    /// How the machines differed, if they did.
    machines: Option<String>,
    /// How what parts tell of their origin differs, if it does.
    origins: Option<String>,
}

impl<'a> Set<'a> {
    fn read(folder: &'a Path, count: u32, interrupted: &AtomicBool) -> Result<Self, Error> {
        let missing = |missing| Error::PartsMissing { folder: folder.to_path_buf(), missing, count };
        let shares = || (0..count).filter_map(|index| Share::new(index, count));
        let is_missing = |share: &Share| !is_finished(&part_folder(folder, *share));
        let absent: Vec<u32> = shares().filter(is_missing).map(Share::index).collect();
        if !absent.is_empty() {
            return Err(missing(absent));
        }
        let mut first: Option<Part> = None;
        let (mut rows, mut machines, mut origins) = (Vec::new(), None, None);
        for share in shares() {
            unless_interrupted(interrupted)?;
            let place = part_folder(folder, share);
            // One that is made again may have gone meanwhile.
            let part = Part::read(&place, share)?.ok_or_else(|| missing(vec![share.index()]))?;
            if let Some(first) = &first {
                if let Some(what) = first.first_difference(&part) {
                    let one = shares().next().map_or_else(PathBuf::new, |share| part_folder(folder, share));
                    return Err(Error::PartsDiffer { one, other: place, what });
                }
                machines = machines.or_else(|| other_machine(first, &part, share));
                origins = origins.or_else(|| other_origin(first, &part, share));
            }
            rows.push(part.rows(&place)?);
            first.get_or_insert(part);
        }
        let first = first.ok_or_else(|| Error::NoParts { folder: folder.to_path_buf() })?;
        let rows = ParamRows::of_parts(rows);
        if !first.has_names(rows.ledger.iter().map(|row| row.name.as_str())) {
            let why = "its parts together have other names than the two models";
            return Err(Error::Part { path: folder.to_path_buf(), source: io::Error::other(why) });
        }
        Ok(Self { folder, first, rows, machines, origins })
    }

    /// As part 0 says.
    fn write(self, interrupted: &AtomicBool) -> Result<ParamStats, Error> {
        let tables_error = |source| Error::Tables { source };
        let has_singular_values = self.first.has_singular_values();
        let Part { formats, zero_deltas, provenance, .. } = self.first;
        let mut tables = Tables::create(self.folder, &formats).map_err(tables_error)?;
        self.rows.stage(&mut tables, has_singular_values, zero_deltas, &provenance)?;
        unless_interrupted(interrupted)?;
        let files = tables.finish().map_err(tables_error)?;
        remove_journal(self.folder);
        let ParamRows { matrices, singular_values, ledger } = self.rows;
        Ok(ParamStats {
            folder: self.folder.to_path_buf(),
            share: None,
            files,
            matrices,
            singular_values,
            ledger,
        })
    }
}

fn other_machine(first: &Part, part: &Part, share: Share) -> Option<String> {
    let keys = first.made_with.keys().chain(part.made_with.keys());
    let value = |part: &Part, key| part.made_with.get(key).map_or("none", String::as_str).to_owned();
    let mut differing = keys.filter(|key| first.made_with.get(*key) != part.made_with.get(*key));
    differing.next().map(|key| {
        let (ours, theirs) = (value(first, key), value(part, key));
        format!(
            "part {} was made with another {key} ({theirs}) than part 0 ({ours}): last digits may differ from those of \
             one machine",
            share.index()
        )
    })
}

fn other_origin(first: &Part, part: &Part, share: Share) -> Option<String> {
    let mut entries = first.provenance.entries().chain(part.provenance.entries());
    let differs = |(key, _): &(&str, &str)| first.provenance.get(key) != part.provenance.get(key);
    entries.find(differs).map(|(key, _)| {
        let key = key.strip_prefix(provenance::PREFIX).unwrap_or(key);
        format!("part {} has other {key} than part 0; the tables tell those of part 0", share.index())
    })
}
