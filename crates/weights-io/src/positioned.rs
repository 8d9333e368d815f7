//! A regular file that is read range by range into memory of its own, without a map.

use std::borrow::Cow;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use intake::open_without_waiting;

use crate::source::within;
use crate::{Error, Source, Version};

/// A file that is opened anew for each read: a few microseconds, and no number of shards uses up descriptors. One that is
/// not what it was when it was opened first is an error.
#[derive(Debug)]
pub(crate) struct PositionedFile {
    path: PathBuf,
    identity: Identity,
}

impl PositionedFile {
    /// Looks at a regular file; symbolic links are followed to one.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let (_, identity) = regular(path)?;
        Ok(Self { path: path.into(), identity })
    }

    /// The file, still the same.
    fn file(&self) -> io::Result<File> {
        let file = open_without_waiting(&self.path)?;
        self.identity.check(&file.metadata()?)?;
        Ok(file)
    }
}

impl Source for PositionedFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> usize {
        self.identity.len
    }

    fn version(&self) -> Version {
        Version::Modified(self.identity.modified)
    }

    fn read(&self, range: Range<usize>) -> io::Result<Cow<'_, [u8]>> {
        within(&range, self.len())?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(range.len())?;
        let mut file = self.file()?;
        file.seek(SeekFrom::Start(range.start as u64))?;
        file.take(range.len() as u64).read_to_end(&mut bytes)?;
        if bytes.len() == range.len() { Ok(Cow::Owned(bytes)) } else { Err(changed()) }
    }

    fn read_into(&self, start: usize, out: &mut [u8]) -> io::Result<()> {
        within(&(start..start.saturating_add(out.len())), self.len())?;
        let mut file = self.file()?;
        file.seek(SeekFrom::Start(start as u64))?;
        file.read_exact(out).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => changed(),
            _ => error,
        })
    }

    fn unchanged(&self) -> io::Result<()> {
        self.identity.check(&std::fs::metadata(&self.path)?)
    }

    fn reads_in_parts(&self) -> bool {
        true
    }

    /// Asks the system to read a range into its cache. Advice only: failure costs speed, not correctness.
    #[cfg(target_os = "linux")]
    fn will_need(&self, range: Range<usize>) {
        use std::num::NonZeroU64;
        let length = range.end.min(self.len()).saturating_sub(range.start);
        if let (Some(length), Ok(file)) = (NonZeroU64::new(length as u64), open_without_waiting(&self.path)) {
            let _ = rustix::fs::fadvise(file, range.start as u64, Some(length), rustix::fs::Advice::WillNeed);
        }
    }
}

/// What tells a file from another one, and from itself before a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) len: usize,
    pub(crate) modified: Option<SystemTime>,
    /// Device and number of the file: another one may have taken its name.
    #[cfg(unix)]
    number: (u64, u64),
}

impl Identity {
    pub(crate) fn of(metadata: &Metadata) -> io::Result<Self> {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt as _;
        Ok(Self {
            len: usize::try_from(metadata.len()).map_err(|_| io::ErrorKind::FileTooLarge)?,
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            number: (metadata.dev(), metadata.ino()),
        })
    }

    pub(crate) fn check(&self, now: &Metadata) -> io::Result<()> {
        if Self::of(now)? == *self { Ok(()) } else { Err(changed()) }
    }
}

/// That a file is not what it was when it was opened.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("it has changed since it was opened")]
struct Changed;

fn changed() -> io::Error {
    io::Error::other(Changed)
}

/// True for the error of a file that has changed.
pub(crate) fn is_change(error: &io::Error) -> bool {
    error.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Changed>)
}

/// Opens a regular file; anything else is refused unopened, so that a FIFO cannot block.
pub(crate) fn regular(path: &Path) -> Result<(File, Identity), Error> {
    use io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    let io = |source: io::Error| match source.kind() {
        // No file can have a name with a NUL in it, one that is too long, or one inside a file.
        NotFound | NotADirectory | InvalidFilename | InvalidInput => Error::NotFound { path: path.into() },
        _ => Error::Io { path: path.into(), source },
    };
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        return Err(Error::NotARegularFile { path: path.into() });
    }
    let file = open_without_waiting(path).map_err(io)?;
    let identity = file.metadata().and_then(|metadata| Identity::of(&metadata)).map_err(io)?;
    Ok((file, identity))
}

#[cfg(test)]
mod tests {
    use std::fs::FileTimes;
    use std::time::Duration;

    use super::*;
    use crate::mapping::MappedFile;

    /// Each way in which a file ceases to be what it was, and one in which it does not.
    #[test]
    fn a_change_is_told_from_a_look() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let other = folder.path().join("other");
        let written = |path: &Path| {
            std::fs::write(path, [7; 100]).unwrap();
            let file = File::options().append(true).open(path).unwrap();
            let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30);
            file.set_times(FileTimes::new().set_modified(moment)).unwrap();
            file
        };
        let change = |what: &str, mut file: File| match what {
            "nothing" => drop(std::fs::read(&path).unwrap()),
            "shorter" => file.set_len(99).unwrap(),
            "longer" => file.set_len(101).unwrap(),
            "written" => io::Write::write_all(&mut file, b"x").unwrap(),
            "replaced" => std::fs::rename(&other, &path).unwrap(),
            _ => std::fs::remove_file(&path).unwrap(),
        };
        for what in ["nothing", "shorter", "longer", "written", "replaced", "gone"] {
            let file = written(&path);
            written(&other);
            let sources: [Box<dyn Source>; 2] =
                [Box::new(PositionedFile::open(&path).unwrap()), Box::new(MappedFile::open(&path).unwrap())];
            change(what, file);
            for source in sources {
                let (read, mut out) = (source.read(0..10).map(|_| ()), [0; 10]);
                for result in [read, source.read_into(0, &mut out), source.unchanged()] {
                    match what {
                        "nothing" => result.unwrap(),
                        "gone" => assert_eq!(result.unwrap_err().kind(), io::ErrorKind::NotFound),
                        _ => assert!(is_change(&result.unwrap_err()), "{what}: {source:?}"),
                    }
                }
            }
        }
    }
}
