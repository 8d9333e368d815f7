//! object_store's requests, sent by this crate's client.

use std::io::{ErrorKind, Read};
use std::sync::Arc;

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use ureq::http::Request;

use crate::Error;
use crate::network::Client;

/// Redirects in a row that are followed; credentials stay behind.
const HOPS: u32 = 10;

#[derive(Clone, Debug)]
pub(crate) struct Connector(pub(crate) Arc<Client>);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl HttpService for Connector {
    /// Blocks: each thread that waits for an answer has a runtime of its own.
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let Self(client) = self;
        let (parts, body) = request.into_parts();
        let agent = &client.agent;
        let sent = if body.is_empty() {
            let request = Request::from_parts(parts, ());
            agent.run(agent.configure_request(request).max_redirects(HOPS).build())
        } else {
            let body = body.as_bytes().map(|bytes| bytes.to_vec()).unwrap_or_default();
            agent.run(Request::from_parts(parts, body))
        };
        let (parts, body) = sent.map_err(|error| self.failed(error))?.into_parts();
        let mut bytes = Vec::new();
        let mut reader = body.into_reader();
        reader.read_to_end(&mut bytes).map_err(|error| self.failed(error.into()))?;
        Ok(HttpResponse::from_parts(parts, bytes.into()))
    }
}

impl Connector {
    fn failed(&self, error: ureq::Error) -> HttpError {
        let kind = match &error {
            _ if self.0.is_interrupted() => {
                return HttpError::new(HttpErrorKind::Unknown, Error::Interrupted);
            }
            ureq::Error::Timeout(_) => HttpErrorKind::Timeout,
            ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => HttpErrorKind::Connect,
            ureq::Error::Io(_) | ureq::Error::Protocol(_) => HttpErrorKind::Interrupted,
            _ => HttpErrorKind::Unknown,
        };
        HttpError::new(kind, error)
    }
}
