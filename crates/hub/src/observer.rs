//! How a download goes on.

/// Hears of downloads, from several threads at once. Every method does nothing unless it is overridden.
#[allow(unused_variables)]
pub trait Observer: Sync {
    /// Files of a repository are about to be fetched: how many, and how many bytes they have together.
    fn download_started(&self, repository: &str, files: usize, bytes: u64) {}

    /// A file of so many bytes is fetched, of which so many are there from an earlier attempt.
    fn file_started(&self, file: &str, bytes: u64, present: u64) {}

    /// So many more bytes of it have arrived.
    fn received(&self, file: &str, bytes: u64) {}

    /// It is complete and has been checked.
    fn file_finished(&self, file: &str) {}

    /// All files are there.
    fn download_finished(&self) {}

    /// Something has to be waited for: another process, or the server after an error.
    fn waiting(&self, why: &str) {}
}

impl Observer for () {}
