//! The schema in a Parquet file's footer, looked at before the crate parquet is: that one follows it by recursion and
//! allocates what it claims, so that 8 kB of nested groups end the process.
//!
//! The footer is a struct of Thrift's compact protocol, which begins with a version and then the schema: a list with the
//! nodes of a tree in depth-first order, each with its number of children.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

/// Groups within groups; data sets have a handful.
const DEEPEST: usize = 64;

const MAGIC: &[u8] = b"PAR1";

/// What a field must be: the same as the crate parquet takes it for, which does not look. Others are skipped.
#[derive(Clone, Copy)]
enum Kind {
    Boolean,
    Byte,
    Integer,
    Binary,
    Struct(Fields),
}

type Fields = &'static [(i64, Kind)];

const NOTHING: Kind = Kind::Struct(&[]);
const TIME_UNIT: Kind = Kind::Struct(&[(1, NOTHING), (2, NOTHING), (3, NOTHING)]);
const TIME: Kind = Kind::Struct(&[(1, Kind::Boolean), (2, TIME_UNIT)]);
const LOGICAL_TYPE: Kind = Kind::Struct(&[
    (5, Kind::Struct(&[(1, Kind::Integer), (2, Kind::Integer)])),
    (7, TIME),
    (8, TIME),
    (10, Kind::Struct(&[(1, Kind::Byte), (2, Kind::Boolean)])),
    (16, Kind::Struct(&[(1, Kind::Byte)])),
    (17, Kind::Struct(&[(1, Kind::Binary)])),
    (18, Kind::Struct(&[(1, Kind::Binary), (2, Kind::Integer)])),
]);
const CHILDREN: i64 = 5;
const NODE: Fields = &[
    (1, Kind::Integer),
    (2, Kind::Integer),
    (3, Kind::Integer),
    (4, Kind::Binary),
    (CHILDREN, Kind::Integer),
    (6, Kind::Integer),
    (7, Kind::Integer),
    (8, Kind::Integer),
    (9, Kind::Integer),
    (10, LOGICAL_TYPE),
];

/// Sees that a Parquet file has a schema that can be followed, and goes back to its beginning. What is no Parquet file at
/// all is left to be told by who reads it.
///
/// # Errors
/// The refusal of the operating system, or what is wrong with the schema.
pub(crate) fn check(file: &mut File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut end = [0; 8];
    if length >= 12 {
        file.seek(SeekFrom::End(-8))?;
        file.read_exact(&mut end)?;
    }
    let [a, b, c, d, magic @ ..] = end;
    let footer = u64::from(u32::from_le_bytes([a, b, c, d]));
    if magic == *MAGIC && footer <= length - 12 {
        file.seek(SeekFrom::Start(length - 8 - footer))?;
        let mut bytes = Vec::new();
        file.take(footer).read_to_end(&mut bytes)?;
        Compact { rest: &bytes }.footer().map_err(|Malformed(problem)| {
            io::Error::new(io::ErrorKind::InvalidData, format!("its schema {problem}"))
        })?;
    }
    file.rewind()
}

struct Malformed(&'static str);

const CUT: Malformed = Malformed("is cut off");
const DIFFERENT: Malformed = Malformed("is not one of Parquet");

/// A reader of Thrift's compact protocol.
struct Compact<'a> {
    rest: &'a [u8],
}

impl Compact<'_> {
    fn footer(&mut self) -> Result<(), Malformed> {
        const VERSION: u8 = 0x15;
        const SCHEMA: u8 = 0x19;
        const STRUCT: u8 = 12;
        // Every writer begins so. Other orders would have to be read in all detail to be read as the crate does.
        if self.byte()? != VERSION {
            return Err(DIFFERENT);
        }
        self.varint()?;
        if self.byte()? != SCHEMA {
            return Err(DIFFERENT);
        }
        let header = self.byte()?;
        if header & 15 != STRUCT {
            return Err(DIFFERENT);
        }
        let nodes = if header >> 4 == 15 { self.varint()? } else { u64::from(header >> 4) };
        // Of each group that is not complete, how many children are to come.
        let mut open: Vec<u64> = Vec::new();
        for node in 0..nodes {
            if let Some(to_come) = open.last_mut() {
                *to_come -= 1;
            }
            let children = self.structure(NODE, 0)?;
            match u64::try_from(children) {
                Ok(0) => {}
                Ok(children) if children < nodes - node => open.push(children),
                _ => return Err(Malformed("has groups of more columns than there are")),
            }
            if open.len() > DEEPEST {
                return Err(Malformed("has too many groups within groups"));
            }
            while open.last() == Some(&0) {
                open.pop();
            }
        }
        Ok(())
    }

    /// Reads a struct, whose fields must be what they should, and returns the number of children that it says it has.
    fn structure(&mut self, fields: Fields, depth: usize) -> Result<i64, Malformed> {
        let (mut id, mut children) = (0i64, 0);
        loop {
            let header = self.byte()?;
            let kind = header & 15;
            if kind == 0 {
                return Ok(children);
            }
            id = match header >> 4 {
                0 => self.integer()?,
                step => id + i64::from(step),
            };
            match (fields.iter().find(|field| field.0 == id).map(|field| field.1), kind) {
                (Some(Kind::Boolean) | None, 1 | 2) => {}
                (Some(Kind::Byte), 3) => drop(self.byte()?),
                (Some(Kind::Integer), 5) if depth == 0 && id == CHILDREN => children = self.integer()?,
                (Some(Kind::Integer), 5) => drop(self.varint()?),
                (Some(Kind::Binary), 8) => self.binary()?,
                (Some(Kind::Struct(fields)), 12) => drop(self.structure(fields, depth + 1)?),
                (Some(_), _) => return Err(DIFFERENT),
                (None, kind) => self.skip(kind, depth)?,
            }
        }
    }

    /// Passes over what is not known: a value of a list, or of a field but a boolean.
    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), Malformed> {
        if depth > DEEPEST {
            return Err(DIFFERENT);
        }
        match kind {
            1..=3 => drop(self.byte()?),
            4..=6 => drop(self.varint()?),
            7 => drop(self.take(8)?),
            8 => self.binary()?,
            9 | 10 => {
                let header = self.byte()?;
                let values = if header >> 4 == 15 { self.varint()? } else { u64::from(header >> 4) };
                (0..values).try_for_each(|_| self.skip(header & 15, depth + 1))?;
            }
            11 => {
                let entries = self.varint()?;
                let kinds = if entries == 0 { 0 } else { self.byte()? };
                for _ in 0..entries {
                    self.skip(kinds >> 4, depth + 1)?;
                    self.skip(kinds & 15, depth + 1)?;
                }
            }
            12 => drop(self.structure(&[], depth + 1)?),
            _ => return Err(DIFFERENT),
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&[u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(CUT)?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.take(1).map(|taken| taken[0])
    }

    fn binary(&mut self) -> Result<(), Malformed> {
        let length = usize::try_from(self.varint()?).map_err(|_| CUT)?;
        self.take(length).map(|_| ())
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DIFFERENT)
    }

    /// A signed number, "zigzag": 0, −1, 1, −2, …
    fn integer(&mut self) -> Result<i64, Malformed> {
        self.varint().map(|value| (value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails
    use super::*;

    /// A Parquet file without rows, whose root has one child, and that has `depth` groups around one column of text.
    fn nested(depth: usize, children: &[u8]) -> Vec<u8> {
        let root = b"\x48\x01s\x15\x02\0"; // name, children
        let group = [b"\x35\0\x18\x01a\x15", children, b"\0"].concat(); // repetition, name, children
        let column = b"\x15\x0c\x25\0\x18\x04text\x25\0\0"; // type, repetition, name, converted type
        let mut count = Vec::new();
        let mut nodes = depth + 2;
        while nodes > 127 {
            count.push(nodes as u8 | 128);
            nodes >>= 7;
        }
        count.push(nodes as u8);
        let schema = [&b"\x15\x02\x19\xfc"[..], &count, root, &group.repeat(depth), column].concat();
        let footer = [&schema, &b"\x16\0\x19\x0c\0"[..]].concat(); // rows, row groups
        [MAGIC, &footer, &(footer.len() as u32).to_le_bytes(), MAGIC].concat()
    }

    fn checked(bytes: &[u8]) -> Result<(), String> {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, bytes).unwrap();
        let result = check(&mut file).map_err(|error| error.to_string());
        assert!(result.is_err() || file.stream_position().unwrap() == 0);
        result
    }

    #[test]
    fn depth_and_children_are_bounded() {
        assert_eq!(checked(&nested(0, b"\x02")), Ok(()));
        assert_eq!(checked(&nested(DEEPEST - 1, b"\x02")), Ok(()));
        for depth in [DEEPEST, 1000, 100_000] {
            assert_eq!(
                checked(&nested(depth, b"\x02")).unwrap_err(),
                "its schema has too many groups within groups"
            );
        }
        for children in [&b"\x06"[..], b"\x01", b"\xfe\xff\xff\xff\x0f"] {
            let error = checked(&nested(1, children)).unwrap_err();
            assert_eq!(error, "its schema has groups of more columns than there are", "{children:?}");
        }
    }

    #[test]
    fn what_the_crate_would_read_otherwise_is_refused() {
        let valid = nested(1, b"\x02");
        let footer = valid.len() - 8;
        for cut in 5..footer {
            let length = ((cut - 4) as u32).to_le_bytes();
            let _ = checked(&[&valid[..cut], &length, MAGIC].concat()); // whatever it says, it says it at once
        }
        let replaced = |from: &[u8], to: &[u8]| {
            let at = valid.windows(from.len()).position(|window| window == from).unwrap();
            let mut bytes = valid.clone();
            bytes[at..at + from.len()].copy_from_slice(to);
            checked(&bytes).unwrap_err()
        };
        assert_eq!(replaced(b"\x15\x02\x19", b"\x25\x02\x19"), "its schema is not one of Parquet");
        assert_eq!(replaced(b"\x48\x01s\x15\x02", b"\x48\x01s\x11\x02"), "its schema is not one of Parquet");
        assert_eq!(replaced(b"\x48\x01s", b"\x48\x7fs"), "its schema is cut off");
    }

    #[test]
    fn what_is_no_parquet_file_is_left_to_others() {
        for other in [&b""[..], b"PAR1PAR1", b"PAR1\xff\xff\xff\xffPAR1", b"a,b\n1,2\n3,4\n"] {
            assert_eq!(checked(other), Ok(()));
        }
    }
}
