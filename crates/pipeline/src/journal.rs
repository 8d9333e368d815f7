//! A file of finished matrices, from which a run that was stopped can go on.
//!
//! It begins with a line that says what it is. Then come records: what identifies the comparison, and one for each
//! matrix. A record is the length of its payload, the same inverted (4 bytes each, little-endian), a SHA-256 over the
//! hash of the record before and the payload, and the payload, written by postcard. So a record is believed only if all
//! before it are as they were written, and an end that is missing is told from one that is damaged.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use spectral::Outcome;

/// Another form of the file, or of [`Outcome`], gets another number.
const FIRST_LINE: &[u8; 22] = b"model-diffs journal 1\n";
/// Bytes of a record before its payload.
const HEAD: u64 = 4 + 4 + 32;

type Hash = [u8; 32];

/// A journal that an earlier run left behind, as far as it can be believed.
pub(crate) struct Earlier {
    /// What identifies the comparison.
    pub(crate) identity: BTreeMap<String, String>,
    /// What was found, by the matrix's name.
    pub(crate) outcomes: HashMap<String, Outcome>,
    /// Whether there is more, but not as it was written.
    pub(crate) is_damaged: bool,
    records: Records,
}

impl Earlier {
    /// Reads a journal, if there is one.
    ///
    /// # Errors
    /// It cannot be read, or is no journal: not even the first record is as it was written.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Self>> {
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Err(invalid("it is no regular file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut records = Records::open(path)?;
        let identity = records.next()?.ok_or_else(|| invalid("it is incomplete"))?;
        let mut earlier = Self { identity, outcomes: HashMap::new(), is_damaged: false, records };
        loop {
            match earlier.records.next() {
                Ok(Some((name, outcome))) => drop(earlier.outcomes.insert(name, outcome)),
                Ok(None) => break,
                Err(_) => {
                    earlier.is_damaged = true;
                    break;
                }
            }
        }
        Ok(Some(earlier))
    }
}

/// The records of a file, one after the other.
struct Records {
    file: BufReader<File>,
    /// Bytes that are believed.
    believed: u64,
    /// Bytes after them.
    left: u64,
    /// The hash of the last record that is believed.
    last: Hash,
}

impl Records {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let left = file.metadata()?.len();
        let mut records = Self { file: BufReader::new(file), believed: 0, left, last: Hash::default() };
        if left < FIRST_LINE.len() as u64 || records.array()? != *FIRST_LINE {
            return Err(invalid("it does not begin like one"));
        }
        records.believe(FIRST_LINE.len() as u64);
        Ok(records)
    }

    /// What the next record holds; `None` at the end, also if that is in the middle of a record.
    fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(left) = self.left.checked_sub(HEAD) else { return Ok(None) };
        let [length, inverted] = [u32::from_le_bytes(self.array()?), u32::from_le_bytes(self.array()?)];
        let hash = self.array()?;
        if length != !inverted {
            return Err(invalid("a length is damaged"));
        }
        if left < u64::from(length) {
            return Ok(None);
        }
        let mut payload = vec![0; length as usize];
        self.file.read_exact(&mut payload)?;
        if hash != chained(&self.last, &payload) {
            return Err(invalid("a record is damaged"));
        }
        let value = postcard::from_bytes(&payload).map_err(io::Error::other)?;
        self.believe(HEAD + u64::from(length));
        self.last = hash;
        Ok(Some(value))
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map(|()| bytes)
    }

    fn believe(&mut self, bytes: u64) {
        self.believed += bytes;
        self.left -= bytes;
    }
}

/// A journal that is written.
pub(crate) struct Journal {
    path: PathBuf,
    /// The file, or what it is to begin with.
    file: Result<File, Box<dyn Read + Send>>,
    last: Hash,
}

impl Journal {
    /// A new journal.
    ///
    /// # Errors
    /// The identity is beyond all measure.
    pub(crate) fn new(path: PathBuf, identity: &BTreeMap<String, String>) -> io::Result<Self> {
        let (record, last) = record(&Hash::default(), identity)?;
        let beginning = Cursor::new([FIRST_LINE, record.as_slice()].concat());
        Ok(Self { path, file: Err(Box::new(beginning)), last })
    }

    /// One that begins with what can be believed of an earlier one.
    ///
    /// # Errors
    /// That cannot be read again.
    pub(crate) fn going_on(path: PathBuf, earlier: Earlier) -> io::Result<Self> {
        let Records { file, believed, last, .. } = earlier.records;
        let mut file = file.into_inner();
        file.rewind()?;
        Ok(Self { path, file: Err(Box::new(file.take(believed))), last })
    }

    /// Adds a matrix. With the first one, the journal takes the place of whatever has its name: until then an earlier
    /// run can be gone on with, and nothing that somebody put there is followed or written to.
    ///
    /// # Errors
    /// The disk is full, for example. What was added before stands.
    pub(crate) fn append(&mut self, name: &str, outcome: &Outcome) -> io::Result<()> {
        let (record, hash) = record(&self.last, &(name, outcome))?;
        match &mut self.file {
            Ok(file) => file.write_all(&record)?,
            Err(beginning) => {
                let folder = self.path.parent().unwrap_or(Path::new("."));
                let mut file =
                    tempfile::Builder::new().prefix(".model-diffs-").suffix(".tmp").tempfile_in(folder)?;
                io::copy(beginning, &mut file)?;
                file.write_all(&record)?;
                file.as_file().sync_all()?; // what it replaces may be hours of work
                self.file = Ok(file.persist(&self.path)?);
            }
        }
        self.last = hash;
        Ok(())
    }
}

fn record(last: &Hash, value: &impl Serialize) -> io::Result<(Vec<u8>, Hash)> {
    let payload = postcard::to_stdvec(value).map_err(io::Error::other)?;
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let hash = chained(last, &payload);
    let record = [&length.to_le_bytes(), &(!length).to_le_bytes(), hash.as_slice(), &payload].concat();
    Ok((record, hash))
}

fn chained(last: &Hash, payload: &[u8]) -> Hash {
    Sha256::new().chain_update(last).chain_update(payload).finalize().into()
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests;
