//! One client for all requests: addresses, the token, time limits, interruption, and what statuses mean.

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hf_hub::api::sync::{Api, ApiBuilder};
use ureq::config::AutoHeaderValue;
use ureq::http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Timeout};

use super::retry::Failure;
use crate::repository::Repository;
use crate::{Error, Settings};

/// Sends requests to the Hub and to where it redirects.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) agent: Agent,
    pub(crate) api: Api,
    pub(crate) endpoint: String,
    origin: Uri,
    token: Option<String>,
    pub(crate) pause: Duration,
    pub(crate) interrupted: Arc<AtomicBool>,
    /// Whether any request was ever answered.
    answered: AtomicBool,
}

/// What a request is about, for messages.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) repository: Repository,
    /// The file; `None` for the listing.
    pub(crate) file: Option<String>,
}

impl Client {
    pub(crate) fn new(settings: &Settings, interrupted: Arc<AtomicBool>) -> Result<Arc<Self>, Error> {
        let cache = hf_hub::Cache::new(settings.cache.clone());
        // Without the token: its requests are only asked for their addresses, and sent by our agent.
        let api = ApiBuilder::from_cache(cache).with_endpoint(settings.endpoint.clone()).with_token(None);
        let malformed = |reason: String| Error::Url { url: settings.endpoint.clone(), reason };
        let api = api.build().map_err(|error| malformed(error.to_string()))?;
        let origin: Uri =
            settings.endpoint.parse().map_err(|error| malformed(format!("is no endpoint: {error}")))?;
        let limit = Some(settings.timeout);
        let config = Agent::config_builder()
            .user_agent(concat!("model-diffs/", env!("CARGO_PKG_VERSION")))
            .accept_encoding(AutoHeaderValue::Provided(Arc::new("identity".into())))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(limit)
            .timeout_connect(limit)
            .timeout_per_read(limit)
            .timeout_per_write(limit)
            .max_idle_connections_per_host(16)
            .tls_config(TlsConfig::builder().root_certs(authorities(settings)?).build());
        let client = Arc::new(Self {
            agent: config.build().into(),
            api,
            endpoint: settings.endpoint.clone(),
            origin,
            token: settings.token.clone(),
            pause: settings.pause,
            interrupted,
            answered: AtomicBool::new(false),
        });
        end_when_interrupted(&client);
        Ok(client)
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// One request, without following a redirect. The token goes to the endpoint and nowhere else. Answers are those
    /// below 400 and 416; the others are failures.
    pub(crate) fn send(
        &self,
        method: &str,
        address: &str,
        range: Option<&str>,
        subject: &Subject,
    ) -> Result<Response<Body>, Failure> {
        if self.is_interrupted() {
            return Err(Error::Interrupted.into());
        }
        let shown = without_query(address);
        let malformed = |error: String| Error::Answer { address: shown.into(), reason: error };
        let to_endpoint = self.is_endpoint(address);
        let mut request = Request::builder().method(method).uri(address);
        if let Some(token) = self.token.as_ref().filter(|_| to_endpoint) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        let request = request.body(()).map_err(|error| malformed(error.to_string()))?;
        let response = self.agent.run(request).map_err(|error| self.failed(error, shown))?;
        self.answered.store(true, Ordering::Relaxed);
        let status = response.status();
        if status.as_u16() < 400 || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(response);
        }
        Err(self.refused(&response, shown, subject, to_endpoint))
    }

    /// Whether an address has the scheme, host and port of the endpoint.
    pub(crate) fn is_endpoint(&self, address: &str) -> bool {
        let origin = |uri: &Uri| {
            let scheme = uri.scheme_str().map(str::to_ascii_lowercase);
            let usual = if scheme.as_deref() == Some("https") { 443 } else { 80 };
            let host = uri.host().map(str::to_ascii_lowercase);
            (scheme, host, uri.port_u16().unwrap_or(usual))
        };
        address.parse().is_ok_and(|address: Uri| origin(&address) == origin(&self.origin))
    }

    /// What a connection's failure means.
    pub(crate) fn failed(&self, error: ureq::Error, address: &str) -> Failure {
        if self.is_interrupted() {
            return Error::Interrupted.into();
        }
        let was_lost = match &error {
            ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => false,
            ureq::Error::Timeout(timeout) => !matches!(timeout, Timeout::Resolve | Timeout::Connect),
            ureq::Error::Io(error) => is_loss(error.kind()),
            ureq::Error::Protocol(_) => true,
            // Certificates, malformed addresses.
            _ => return Error::Unreachable { address: address.into(), source: Box::new(error) }.into(),
        };
        let error = Error::Unreachable { address: address.into(), source: Box::new(error) };
        // What was never reached is not worth many tries.
        if was_lost || self.answered.load(Ordering::Relaxed) {
            Failure::Passing { error, after: None }
        } else {
            error.into()
        }
    }

    /// What a status means, told by `X-Error-Code` as Python's `hf_raise_for_status` does.
    fn refused(
        &self,
        response: &Response<Body>,
        address: &str,
        subject: &Subject,
        to_endpoint: bool,
    ) -> Failure {
        let (headers, status) = (response.headers(), response.status().as_u16());
        let (code, message) = (text(headers, "x-error-code"), text(headers, "x-error-message"));
        let other = || Error::Status { address: address.into(), status, message: message.into() };
        if !to_endpoint {
            return Failure::Passing { error: other(), after: retry_after(headers) };
        }
        let Subject { repository, file } = subject;
        let no_repository = || Error::NoSuchRepository {
            reference: repository.id.clone(),
            kind: repository.kind.noun(),
            endpoint: self.endpoint.clone(),
        };
        let error = match (code, status, file) {
            ("RepoNotFound", ..) | ("", 404, None) => no_repository(),
            ("RevisionNotFound", ..) => Error::NoSuchRevision {
                repository: repository.id.clone(),
                revision: repository.revision.clone(),
            },
            ("EntryNotFound", ..) | ("", 404, Some(_)) => Error::NoSuchFile {
                repository: repository.to_string(),
                file: file.clone().unwrap_or_default(),
            },
            ("GatedRepo", ..) => Error::Gated {
                repository: repository.id.clone(),
                page: format!("{}/{}", self.endpoint, repository.repo(String::new()).url()),
                with_token: self.token.is_some(),
            },
            // Without a token the Hub says no more of what one may not see than of what is not there.
            ("", 401, _) if self.token.is_none() => no_repository(),
            ("", 401, _) => Error::Token { endpoint: self.endpoint.clone() },
            _ if is_passing(status) => {
                return Failure::Passing { error: other(), after: retry_after(headers) };
            }
            _ => other(),
        };
        error.into()
    }
}

/// A connection that waits for bytes notices no flag: a thread does, and shuts it.
fn end_when_interrupted(client: &Arc<Client>) {
    let (agent, interrupted) = (client.agent.clone(), Arc::clone(&client.interrupted));
    let alive = Arc::downgrade(client);
    std::thread::spawn(move || {
        while alive.strong_count() > 0 {
            if interrupted.load(Ordering::Relaxed) {
                return agent.shutdown();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}

/// Whose certificates are trusted: Mozilla's list, or what the settings name.
fn authorities(settings: &Settings) -> Result<RootCerts, Error> {
    let Some(file) = &settings.certificates else { return Ok(RootCerts::WebPki) };
    let unusable = |source: std::io::Error| Error::Certificates { path: file.clone(), source };
    let pem = std::fs::read(file).map_err(unusable)?;
    let certificates: Vec<Certificate<'static>> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(unusable(std::io::Error::other("it has no certificates")));
    }
    Ok(certificates.into())
}

/// Whether a connection was there and was lost. (A name that cannot be looked up has no kind of its own.)
fn is_loss(kind: ErrorKind) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    matches!(kind, ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof | TimedOut)
}

/// Statuses that may be others the next time.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502..=504 | 506..)
}

/// How long the server asks to wait: by `Retry-After`, or by the Hub's `RateLimit: "api";r=0;t=55`.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let parts = || text(headers, "ratelimit").split(';').map(str::trim);
    let used_up = parts().any(|part| part == "r=0");
    let window = || parts().find_map(|part| part.strip_prefix("t=")).filter(|_| used_up);
    let seconds = text(headers, "retry-after").parse().ok().or_else(|| window()?.parse().ok());
    seconds.map(Duration::from_secs)
}

/// A header's text; empty where it is absent.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// An address as messages show it: signed ones have secrets in their queries.
pub(crate) fn without_query(address: &str) -> &str {
    address.split(['?', '#']).next().unwrap_or(address)
}

/// Reads the small rest of a redirect, so that its connection can be used again.
pub(crate) fn finish(response: &mut Response<Body>) {
    const SMALL: u64 = 64 << 10;
    let mut body = response.body_mut().as_reader().take(SMALL);
    let _ = std::io::copy(&mut body, &mut std::io::sink());
}
