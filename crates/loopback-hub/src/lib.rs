//! The Hugging Face Hub's HTTP interface on 127.0.0.1, over repositories held in memory, for tests without a network.
//!
//! [`LoopbackHub`] answers as huggingface.co does, as far as a client that reads repositories can tell:
//!
//! - `/api/models/{id}`, `/api/models/{id}/revision/{rev}` and the same for datasets: what a revision is made of, with
//!   `?blobs=true` sizes and hashes; `…/tree/{rev}` lists it.
//! - `/{id}/resolve/{rev}/{file}`, datasets under `/datasets/`: a small text file is a relative redirect to this host, a
//!   file in LFS a redirect to another host name (`localhost`, where the endpoint says `127.0.0.1`), with `X-Repo-Commit`,
//!   `X-Linked-Etag` and `X-Linked-Size`. That host plays the content delivery network: it serves byte ranges, gives
//!   another ETag, expires signatures, and refuses a request with an `Authorization` header, so that a client which gives
//!   its token away fails its test.
//! - Errors have the Hub's status, `X-Error-Code` and `X-Error-Message`. A repository that does not exist and one that is
//!   private look alike: 401 without a token, 404 with one. The description of a gated repository is public, its files
//!   are not: 401 without a token, 403 with the token of someone who has not accepted the licence.
//! - `/s3/{bucket}/{key}` and `/files/{name}` are an object store and a plain web server, put there by
//!   [`LoopbackHub::put`].
//!
//! [`LoopbackHub::fail`] breaks what the interface promises, so many times: errors, dropped connections, damage.
//! [`LoopbackHub::requests`] tells what was asked, [`LoopbackHub::sent`] how many bytes of files went out.
//!
//! ```
//! use std::io::{Read, Write};
//! use loopback_hub::{Fault, LoopbackHub};
//!
//! let hub = LoopbackHub::start()?;
//! let commit = hub.add_model("org/tiny", [("config.json".to_owned(), b"{}".to_vec())]);
//! hub.fail("/api/models", Fault::RetryAfter(429, 1), 1);
//!
//! let get = |path: &str| -> std::io::Result<String> {
//!     let mut stream = std::net::TcpStream::connect(hub.address())?;
//!     write!(stream, "GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n")?;
//!     let mut answer = String::new();
//!     stream.read_to_string(&mut answer)?;
//!     Ok(answer)
//! };
//! assert!(get("/api/models/org/tiny")?.starts_with("HTTP/1.1 429 Too Many Requests\r\n"));
//! assert!(get("/api/models/org/tiny")?.contains(&commit));
//! assert_eq!(hub.requests()[0].status, 429);
//! # Ok::<(), std::io::Error>(())
//! ```

mod content;
mod fault;
mod http;
mod json;
mod log;
mod repository;
mod routes;
mod sending;
mod server;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

pub use content::Content;
pub use fault::Fault;
pub use log::Request;
pub use repository::Kind;

use crate::server::{Server, Shared};

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct LoopbackHub {
    server: Server,
}

impl LoopbackHub {
    /// Starts a server without repositories on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// If no port or thread can be had.
    pub fn start() -> io::Result<Self> {
        Ok(Self { server: Server::start(0)? })
    }

    /// As [`start`](Self::start), on this port.
    ///
    /// # Errors
    /// If the port is taken or no thread can be had.
    pub fn start_on(port: u16) -> io::Result<Self> {
        Ok(Self { server: Server::start(port)? })
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.server.shared
    }

    /// What `HF_ENDPOINT` has to be: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address())
    }

    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Adds a commit with these files (name, and bytes or [`Content`]) to a model, which need not be there yet, and points
    /// its branch `main` at it. Returns the commit, which depends on names and contents alone.
    pub fn add_model(
        &self,
        id: &str,
        files: impl IntoIterator<Item = (String, impl Into<Content>)>,
    ) -> String {
        self.add_revision(Kind::Model, id, "main", files)
    }

    /// As [`add_model`](Self::add_model), for a data set.
    pub fn add_dataset(
        &self,
        id: &str,
        files: impl IntoIterator<Item = (String, impl Into<Content>)>,
    ) -> String {
        self.add_revision(Kind::Dataset, id, "main", files)
    }

    /// Adds a commit with these files and points a branch, tag or other reference (`refs/convert/parquet`) at it.
    pub fn add_revision(
        &self,
        kind: Kind,
        id: &str,
        revision: &str,
        files: impl IntoIterator<Item = (String, impl Into<Content>)>,
    ) -> String {
        let files = files.into_iter().map(|(name, content)| (name, Arc::new(content.into()))).collect();
        self.shared().site().repositories.add(kind, id, revision, files)
    }

    /// Makes a repository known by another name too: requests for it are redirected, as after a renaming.
    pub fn add_alias(&self, alias: &str, id: &str) {
        self.shared().site().repositories.aliases.insert(alias.to_owned(), id.to_owned());
    }

    /// Makes a repository private: it is there for this token only.
    pub fn require_token(&self, id: &str, token: &str) {
        self.shared().site().repositories.access_mut(id).private_to = Some(token.to_owned());
    }

    /// Gates a repository: its files are there for those only who accepted its licence, see [`accept`](Self::accept).
    pub fn gate(&self, id: &str) {
        self.shared().site().repositories.access_mut(id).gated = true;
    }

    /// Accepts the licence of a gated repository for this token.
    pub fn accept(&self, id: &str, token: &str) {
        self.shared().site().repositories.access_mut(id).accepted.insert(token.to_owned());
    }

    /// Puts a file at a path: `/s3/{bucket}/{key}` or `/files/{name}`; another one there is replaced.
    pub fn put(&self, path: &str, content: impl Into<Content>) {
        self.shared().site().objects.insert(path.to_owned(), Arc::new(content.into()));
    }

    /// Lets the next `times` requests whose target (path and query, as sent) contains `path_part`, and that can suffer
    /// this fault, fail so. Faults come in the order they were asked for; `usize::MAX` is for ever.
    pub fn fail(&self, path_part: &str, fault: Fault, times: usize) {
        self.shared().site().faults.add(path_part, fault, times);
    }

    /// Forgets all faults; requests that were stalled stay so.
    pub fn heal(&self) {
        self.shared().site().faults.clear();
    }

    /// All requests, in the order they came in; those being answered have what was sent so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared().log().requests.clone()
    }

    /// Bytes of files that were sent, all together: no heads, redirects, descriptions or errors.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared().log().sent()
    }

    /// Forgets all requests, and the bytes sent for them.
    pub fn forget_requests(&self) {
        self.shared().log().forget();
    }
}

/// The files of a folder and its folders, as [`LoopbackHub::add_model`] takes them: name relative to the folder, with `/`,
/// and bytes. Hidden files are left out.
///
/// # Errors
/// If the folder or a file cannot be read.
pub fn folder_files(folder: impl AsRef<Path>) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            let inner = folder_files(&path)?;
            files.extend(inner.into_iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            files.push((name, std::fs::read(&path)?));
        }
    }
    files.sort();
    Ok(files)
}
