//! Follows redirects by hand: what the Hub says of a file stands in its own answers, and the token must not leave it.

use ureq::Body;
use ureq::http::{HeaderMap, Response, Uri};

use super::http::{Client, Subject, finish, text};
use super::retry::Failure;
use crate::Error;

/// Redirects in a row that are followed.
const HOPS: usize = 10;

/// An answer, and how it was come by.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) response: Response<Body>,
    /// Where it came from.
    pub(crate) address: String,
    /// What the Hub said on the way, the first answer first.
    pub(crate) said: HeaderMap,
}

impl Client {
    /// Sends a request and follows where it is redirected; away from the endpoint only if `away`.
    pub(crate) fn follow(
        &self,
        method: &str,
        address: &str,
        range: Option<&str>,
        subject: &Subject,
        away: bool,
    ) -> Result<Followed, Failure> {
        let mut address = address.to_owned();
        let mut said = HeaderMap::new();
        for _ in 0..HOPS {
            let mut response = self.send(method, &address, range, subject)?;
            if self.is_endpoint(&address) {
                for (name, value) in response.headers() {
                    said.entry(name).or_insert_with(|| value.clone());
                }
            }
            let location = text(response.headers(), "location");
            let next = response.status().is_redirection().then(|| join(&address, location)).flatten();
            match next {
                Some(next) if away || self.is_endpoint(&next) => {
                    finish(&mut response);
                    address = next;
                }
                _ => return Ok(Followed { response, address, said }),
            }
        }
        Err(Error::Answer { address, reason: "redirects in a circle".into() }.into())
    }
}

/// What a `Location` means at an address; `None` if nothing.
fn join(address: &str, location: &str) -> Option<String> {
    let uri: Uri = address.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    if location.starts_with("http://") || location.starts_with("https://") {
        return Some(location.into());
    }
    if let Some(elsewhere) = location.strip_prefix("//") {
        return Some(format!("{scheme}://{elsewhere}"));
    }
    if location.is_empty() || location.contains("://") {
        return None;
    }
    let folder = if location.starts_with('/') { "" } else { uri.path().rsplit_once('/')?.0 };
    let slash = if location.starts_with('/') { "" } else { "/" };
    Some(format!("{scheme}://{authority}{folder}{slash}{location}"))
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn locations_are_joined_to_the_address() {
        for (location, expected) in [
            ("https://cdn/x?y", Some("https://cdn/x?y")),
            ("//cdn/x", Some("http://cdn/x")),
            ("/x?y=/z", Some("http://hub:1/x?y=/z")),
            ("x", Some("http://hub:1/a/x")),
            ("", None),
            ("ftp://cdn/x", None),
        ] {
            assert_eq!(join("http://hub:1/a/b?c=/d", location).as_deref(), expected, "{location}");
        }
    }
}
