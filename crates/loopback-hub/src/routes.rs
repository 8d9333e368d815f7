//! From a request to its answer, faults apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};

use crate::content::Content;
use crate::fault::Faults;
use crate::http::Incoming;
use crate::json;
use crate::repository::{Kind, Repositories, Repository};

/// What stays as it is in the path of a URL.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Everything the server knows.
#[derive(Debug, Default)]
pub(crate) struct Site {
    pub(crate) repositories: Repositories,
    /// Files outside of repositories, by path.
    pub(crate) objects: BTreeMap<String, Arc<Content>>,
    pub(crate) faults: Faults,
    /// The host of the content delivery network: another name of this server.
    pub(crate) delivery_host: String,
    /// Signatures of URLs are numbered.
    signatures: u64,
    expired_signatures: u64,
}

pub(crate) type Headers = Vec<(&'static str, String)>;

#[derive(Debug)]
pub(crate) enum Answer {
    /// A redirect, a description or an error.
    Message { status: u16, headers: Headers, body: Vec<u8> },
    /// A file, all of it or the range that was asked for.
    File { headers: Headers, content: Arc<Content> },
}

impl Answer {
    pub(crate) fn status(status: u16, headers: Headers) -> Self {
        Answer::Message { status, headers, body: Vec::new() }
    }

    fn json(value: &Value) -> Self {
        let headers = vec![("Content-Type", "application/json; charset=utf-8".to_owned())];
        Answer::Message { status: 200, headers, body: value.to_string().into_bytes() }
    }

    /// An error of the Hub.
    fn refusal(status: u16, code: &str, message: &str) -> Self {
        let mut headers = vec![("X-Error-Message", message.to_owned())];
        if !code.is_empty() {
            headers.push(("X-Error-Code", code.to_owned()));
        }
        Answer::Message { status, headers, body: json!({ "error": message }).to_string().into_bytes() }
    }

    /// An error of an object store.
    fn store_error(status: u16, code: &str) -> Self {
        let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code></Error>");
        let headers = vec![("Content-Type", "application/xml".to_owned())];
        Answer::Message { status, headers, body: body.into_bytes() }
    }

    fn file(content: &Arc<Content>, etag: &str) -> Self {
        let headers = vec![
            ("ETag", format!("\"{etag}\"")),
            ("Accept-Ranges", "bytes".to_owned()),
            ("Content-Type", "application/octet-stream".to_owned()),
            ("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT".to_owned()),
        ];
        Answer::File { headers, content: Arc::clone(content) }
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        let (Answer::Message { headers, .. } | Answer::File { headers, .. }) = &mut self;
        headers.push((name, value));
        self
    }
}

/// What of a revision is asked for.
enum Wanted<'a> {
    Description {
        blobs: bool,
    },
    Tree,
    File(&'a str),
    /// A file, after the redirect.
    CachedFile(&'a str),
}

impl Site {
    pub(crate) fn answer(&mut self, request: &Incoming) -> Answer {
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            return Answer::status(405, Vec::new());
        }
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let segments: Vec<_> = path.split('/').skip(1).map(decoded).collect();
        let segments: Vec<_> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["cdn", sha256] => self.delivery(sha256, query, request),
            ["s3" | "files", ..] => self.object(&format!("/{}", segments.join("/")), request),
            ["api", "models", rest @ ..] => self.api(Kind::Model, rest, query, request),
            ["api", "datasets", rest @ ..] => self.api(Kind::Dataset, rest, query, request),
            ["api", "resolve-cache", "models", rest @ ..] => self.resolve_cache(Kind::Model, rest, request),
            ["api", "resolve-cache", "datasets", rest @ ..] => {
                self.resolve_cache(Kind::Dataset, rest, request)
            }
            ["datasets", rest @ ..] => self.resolve(Kind::Dataset, rest, request),
            rest => self.resolve(Kind::Model, rest, request),
        }
    }

    /// Expires the signature of a URL, and all older ones.
    pub(crate) fn expire(&mut self, target: &str) {
        self.expired_signatures = self.expired_signatures.max(signature(target).unwrap_or(0));
    }

    fn api(&mut self, kind: Kind, rest: &[&str], query: &str, request: &Incoming) -> Answer {
        let verb = rest.iter().skip(1).position(|&segment| segment == "revision" || segment == "tree");
        let (id, verb, revision) = match verb.map(|before| rest.split_at(before + 1)) {
            Some((id, [verb, revision @ ..])) => (id.join("/"), *verb, revision.join("/")),
            _ => (rest.join("/"), "revision", "main".to_owned()),
        };
        let blobs = query.split('&').any(|pair| pair == "blobs=true" || pair == "blobs=1");
        let wanted = if verb == "tree" { Wanted::Tree } else { Wanted::Description { blobs } };
        self.repository(kind, &id, |_| (revision, wanted), request)
    }

    fn resolve(&mut self, kind: Kind, segments: &[&str], request: &Incoming) -> Answer {
        let Some(verb) = segments.iter().position(|&segment| segment == "resolve") else {
            return Answer::refusal(404, "", "Sorry, we can't find the page you are looking for.");
        };
        let (id, rest) = segments.split_at(verb);
        let rest = rest.get(1..).unwrap_or_default().join("/");
        let split = |repository: &Repository| {
            let longer = repository.revisions().find(|revision| rest.starts_with(&format!("{revision}/")));
            let length = longer.map_or_else(|| rest.find('/').unwrap_or(rest.len()), str::len);
            let (revision, file) = rest.split_at(length);
            (revision.to_owned(), Wanted::File(file.trim_start_matches('/')))
        };
        self.repository(kind, &id.join("/"), split, request)
    }

    fn resolve_cache(&mut self, kind: Kind, rest: &[&str], request: &Incoming) -> Answer {
        let is_commit =
            |segment: &&str| segment.len() == 40 && segment.bytes().all(|b| b.is_ascii_hexdigit());
        let commit = rest.iter().position(is_commit).unwrap_or(rest.len());
        let (id, rest) = rest.split_at(commit);
        let commit = rest.first().copied().unwrap_or_default().to_owned();
        let file = rest.get(1..).unwrap_or_default().join("/");
        self.repository(kind, &id.join("/"), |_| (commit, Wanted::CachedFile(&file)), request)
    }

    /// What concerns one repository; `wanted` tells the revision and what is wanted of it.
    fn repository<'a>(
        &mut self,
        kind: Kind,
        id: &str,
        wanted: impl FnOnce(&Repository) -> (String, Wanted<'a>),
        request: &Incoming,
    ) -> Answer {
        let token = request.header("authorization").map(|value| value.trim_start_matches("Bearer "));
        if token.is_some_and(|token| !self.repositories.knows_token(token)) {
            return Answer::refusal(401, "", "Invalid credentials in Authorization header");
        }
        if let Some(now) = self.repositories.aliases.get(id) {
            let encoded = utf8_percent_encode(now, PATH).to_string();
            return Answer::status(307, vec![("Location", request.target.replacen(id, &encoded, 1))]);
        }
        let access = self.repositories.access(id);
        let private_to = access.and_then(|access| access.private_to.as_deref());
        let repository = self.repositories.get(kind, id);
        let Some(repository) = repository.filter(|_| private_to.is_none() || private_to == token) else {
            return match token {
                None => Answer::refusal(401, "", "Invalid username or password.")
                    .with("WWW-Authenticate", "Bearer realm=\"Authentication required\"".to_owned()),
                Some(_) => Answer::refusal(404, "RepoNotFound", "Repository not found"),
            };
        };
        let (revision, wanted) = wanted(repository);
        if let (Wanted::File(_) | Wanted::CachedFile(_), Some(access)) = (&wanted, access)
            && access.gated
            && !token.is_some_and(|token| access.accepted.contains(token))
        {
            return gated(kind, id, token.is_some());
        }
        let Some((commit, files)) = repository.at(&revision) else {
            return Answer::refusal(404, "RevisionNotFound", &format!("Invalid rev id: {revision}"));
        };
        let commit = commit.to_owned();
        let answer = match wanted {
            Wanted::Description { blobs } => {
                Answer::json(&json::description(id, &commit, files, access, blobs))
            }
            Wanted::Tree => Answer::json(&json::tree(files)),
            Wanted::File(file) | Wanted::CachedFile(file) => match files.get(file) {
                None => Answer::refusal(404, "EntryNotFound", "Entry not found"),
                Some(content) if matches!(wanted, Wanted::CachedFile(_)) => {
                    Answer::file(content, content.etag(file))
                }
                Some(content) if content.is_lfs(file) => {
                    self.signatures += 1;
                    to_delivery(file, content, &self.delivery_host, self.signatures)
                }
                Some(content) => to_cache(kind, id, &commit, file, content),
            },
        };
        answer.with("X-Repo-Commit", commit)
    }

    /// The content delivery network.
    fn delivery(&self, sha256: &str, query: &str, request: &Incoming) -> Answer {
        if request.header("authorization").is_some() {
            return Answer::store_error(400, "InvalidArgument");
        }
        if signature(query).is_none_or(|signature| signature <= self.expired_signatures) {
            return Answer::store_error(403, "AccessDenied");
        }
        match self.repositories.by_hash(sha256) {
            None => Answer::store_error(404, "NoSuchKey"),
            Some(content) => Answer::file(content, &content.delivery_etag()),
        }
    }

    fn object(&self, path: &str, request: &Incoming) -> Answer {
        let Some(content) = self.objects.get(path) else {
            return Answer::store_error(404, "NoSuchKey");
        };
        let unwanted = |etags: &str| etags != "*" && !etags.contains(&content.sha256);
        if request.header("if-match").is_some_and(unwanted) {
            return Answer::store_error(412, "PreconditionFailed");
        }
        Answer::file(content, &content.sha256)
    }
}

fn gated(kind: Kind, id: &str, known: bool) -> Answer {
    let (noun, prefix) = (kind.noun(), kind.prefix());
    if known {
        let message = format!(
            "Access to {noun} {id} is restricted and you are not in the authorized list. \
             Visit https://huggingface.co/{prefix}{id} to ask for access."
        );
        return Answer::refusal(403, "GatedRepo", &message);
    }
    let message = format!(
        "Access to {noun} {id} is restricted. You must have access to it and be authenticated to access it. \
         Please log in."
    );
    Answer::refusal(401, "GatedRepo", &message)
}

/// A file in git: a relative redirect to the same host.
fn to_cache(kind: Kind, id: &str, commit: &str, file: &str, content: &Content) -> Answer {
    let (noun, etag) = (kind.noun(), content.etag(file));
    let path = format!("{id}/{commit}/{file}");
    let path = utf8_percent_encode(&path, PATH);
    let location = format!("/api/resolve-cache/{noun}s/{path}?etag=%22{etag}%22");
    Answer::status(307, vec![("Location", location), ("X-Linked-Etag", format!("\"{etag}\""))])
}

/// A file in LFS: a signed URL of another host.
fn to_delivery(file: &str, content: &Content, host: &str, signature: u64) -> Answer {
    let name = file.rsplit('/').next().unwrap_or(file);
    let name = utf8_percent_encode(name, PATH);
    let location = format!(
        "http://{host}/cdn/{}?response-content-disposition=inline%3B+filename%3D%22{name}%22&signature={signature}",
        content.sha256
    );
    let headers = vec![
        ("Location", location),
        ("X-Linked-Etag", format!("\"{}\"", content.sha256)),
        ("X-Linked-Size", content.len().to_string()),
        ("Accept-Ranges", "bytes".to_owned()),
    ];
    // The body of a redirect has a length of its own, which is not the file's.
    Answer::Message { status: 302, headers, body: b"Found. Redirecting".to_vec() }
}

fn signature(query: &str) -> Option<u64> {
    query.rsplit_once("signature=")?.1.parse().ok()
}

fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}
