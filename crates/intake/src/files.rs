//! Opening and reading files that may be anything.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;

use crate::{Foreign, parquet_schema};

/// Opens a regular file, behind whatever links. A pipe or device, which could block or never end, is refused unopened.
///
/// # Errors
/// The refusal of the operating system, or that it is no regular file.
pub fn open(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    open_without_waiting(path)
}

/// Opens a file that was seen to be regular. A pipe that has taken its place meanwhile would block otherwise.
///
/// # Errors
/// The refusal of the operating system.
pub fn open_without_waiting(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    options.read(true).open(path)
}

/// Opens a regular file that is not plainly something else.
///
/// # Errors
/// As [`open`]; a [`Foreign`].
pub fn open_known(path: &Path) -> io::Result<File> {
    let mut file = open(path)?;
    let mut head = Vec::with_capacity(Foreign::HEAD);
    file.by_ref().take(Foreign::HEAD as u64).read_to_end(&mut head)?;
    file.rewind()?;
    Foreign::of(&head).map_or(Ok(file), |foreign| Err(foreign.into()))
}

/// Opens a regular file that is not plainly something else, and whose schema, if it is Parquet, can be followed.
///
/// # Errors
/// As [`open_known`]; a schema that would take the crate parquet beyond the end of the stack or of memory.
pub fn open_parquet(path: &Path) -> io::Result<File> {
    let mut file = open_known(path)?;
    parquet_schema::check(&mut file)?;
    Ok(file)
}

/// A whole regular file of at most `limit` bytes.
///
/// # Errors
/// As [`open`]; that it is larger.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let problem = format!("it has more than the {limit} bytes that are read of such a file");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a panic is how a test fails
    use super::*;

    #[test]
    fn no_more_than_the_limit_is_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "1234").unwrap();
        assert_eq!(read(file.path(), 4).unwrap(), b"1234");
        assert_eq!(read(file.path(), 3).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        file.as_file().set_len(200 << 30).unwrap();
        assert_eq!(read(file.path(), 9).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_known_file_is_read_from_its_beginning() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "1234").unwrap();
        assert_eq!(io::read_to_string(open_known(file.path()).unwrap()).unwrap(), "1234");
        std::fs::write(file.path(), "").unwrap();
        let error = open_known(file.path()).unwrap_err();
        assert_eq!(Foreign::behind(&error), Some(Foreign::Empty));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert_eq!(open(&path).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let refused = |path: &Path| read(path, 1 << 20).unwrap_err().to_string();
        assert_eq!(refused(folder.path()), "it is not a regular file");
        assert_eq!(refused(Path::new("/dev/zero")), "it is not a regular file");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&path, &path).unwrap();
        assert!(open(&path).is_err(), "a link to itself");
        #[cfg(target_os = "linux")]
        {
            std::fs::remove_file(&path).unwrap();
            assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
            assert!(open_without_waiting(&path).is_ok(), "nobody writes into the pipe");
        }
    }
}
