//! Where the Hub is, who asks, and where its files are kept: the environment variables of the Python library.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of a [`Hub`](crate::Hub).
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Folder of the cache, in which every repository has one: `models--org--name`, `datasets--org--name`.
    pub cache: PathBuf,
    /// Address of the Hub, without a slash at its end.
    pub endpoint: String,
    /// Token of the user.
    pub token: Option<String>,
    /// Nothing but the cache is asked.
    pub offline: bool,
    /// How long a connection may stay silent before it counts as lost.
    pub timeout: Duration,
    /// Pause before a request that failed is repeated; doubled each time that it fails again.
    pub pause: Duration,
    /// Certificates of authorities to trust in place of the usual ones, in PEM.
    pub certificates: Option<PathBuf>,
    /// Bytes that a stream may hold which were asked for ahead of their use.
    pub read_ahead: usize,
}

impl Settings {
    /// Reads the environment as `huggingface_hub` does: `HF_HUB_CACHE`, or `hub` in `HF_HOME`, for the cache;
    /// `HF_ENDPOINT`; `HF_TOKEN`, or the token file that `hf auth login` leaves (`HF_TOKEN_PATH`, or `token` in
    /// `HF_HOME`), unless `HF_HUB_DISABLE_IMPLICIT_TOKEN` is set; `HF_HUB_OFFLINE`; `HF_HUB_DOWNLOAD_TIMEOUT` in
    /// seconds; `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE` or `SSL_CERT_FILE`. A variable that is empty counts as not set.
    #[must_use]
    pub fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let get = |name: &str| variable(name).filter(|value| !value.is_empty());
        let text = |name: &str| get(name).map(|value| value.to_string_lossy().trim().to_owned());
        let is_set = |name: &str| {
            text(name)
                .is_some_and(|value| ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str()))
        };
        let user = || get("HOME").map(PathBuf::from).or_else(std::env::home_dir).unwrap_or_default();
        // `~` stands for the user's folder, as Python has it expanded.
        let path = |name: &str| {
            let given = PathBuf::from(get(name)?);
            Some(given.strip_prefix("~").map(|below| user().join(below)).unwrap_or(given))
        };
        let home = path("HF_HOME").unwrap_or_else(|| {
            path("XDG_CACHE_HOME").unwrap_or_else(|| user().join(".cache")).join("huggingface")
        });
        let token_file = || {
            let file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
            std::fs::read_to_string(file).ok().map(|token| token.trim().to_owned())
        };
        let token = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN"));
        let token = token.or_else(|| (!is_set("HF_HUB_DISABLE_IMPLICIT_TOKEN")).then(token_file)?);
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        let seconds = text("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|seconds| seconds.parse().ok());
        Self {
            cache: path("HF_HUB_CACHE")
                .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
                .unwrap_or_else(|| home.join("hub")),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: token.filter(|token| !token.is_empty()),
            offline: is_set("HF_HUB_OFFLINE") || is_set("TRANSFORMERS_OFFLINE"),
            timeout: Duration::from_secs(seconds.unwrap_or(10).max(1)),
            pause: Duration::from_millis(300),
            certificates: ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"]
                .into_iter()
                .find_map(path),
            read_ahead: 512 << 20,
        }
    }
}

// Without the token, so that no message shows it.
impl std::fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cache, endpoint, token, offline, timeout, pause, certificates, read_ahead } = self;
        formatter
            .debug_struct("Settings")
            .field("cache", cache)
            .field("endpoint", endpoint)
            .field("token", &token.as_ref().map(|_| "…"))
            .field("offline", offline)
            .field("timeout", timeout)
            .field("pause", pause)
            .field("certificates", certificates)
            .field("read_ahead", read_ahead)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Settings {
        Settings::from_environment(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn variables_mean_what_they_mean_in_python() {
        let cache = |variables: &[(&str, &str)]| settings(variables).cache.to_string_lossy().into_owned();
        assert_eq!(cache(&[("HOME", "/u")]), "/u/.cache/huggingface/hub");
        assert_eq!(cache(&[("HOME", "/u"), ("XDG_CACHE_HOME", "/c")]), "/c/huggingface/hub");
        assert_eq!(cache(&[("HOME", "/u"), ("HF_HOME", "~/h")]), "/u/h/hub");
        assert_eq!(cache(&[("HF_HOME", "/h"), ("HF_HUB_CACHE", "/x")]), "/x");
        assert_eq!(settings(&[]).endpoint, "https://huggingface.co");
        assert_eq!(settings(&[("HF_ENDPOINT", "http://localhost:1/")]).endpoint, "http://localhost:1");
        for (value, offline) in [("1", true), ("true", true), ("0", false), ("", false)] {
            assert_eq!(settings(&[("HF_HUB_OFFLINE", value)]).offline, offline, "{value}");
        }
        let timeout = |value| settings(&[("HF_HUB_DOWNLOAD_TIMEOUT", value)]).timeout.as_secs();
        assert_eq!(["3", "x", "0"].map(timeout), [3, 10, 1]);
    }

    #[test]
    fn the_token_comes_from_the_environment_or_a_file_and_is_never_shown() {
        let home = tempfile::tempdir().unwrap();
        let home_path = home.path().to_str().unwrap();
        assert_eq!(settings(&[("HF_HOME", home_path)]).token, None);
        std::fs::write(home.path().join("token"), "hf_file\n").unwrap();
        assert_eq!(settings(&[("HF_HOME", home_path)]).token.as_deref(), Some("hf_file"));
        let given = settings(&[("HF_HOME", home_path), ("HF_TOKEN", " hf_given ")]);
        assert_eq!(given.token.as_deref(), Some("hf_given"));
        assert!(!format!("{given:?}").contains("hf_given"));
        let none = settings(&[("HF_HOME", home_path), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]);
        assert_eq!(none.token, None);
    }
}
