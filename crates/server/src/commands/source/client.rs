//! An HTTP client of the admin API.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use headcount_http_api::{ADMIN_PATH, BASE_PATH, ProblemBody};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use ureq::http::StatusCode;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use crate::cli::Origin;
use crate::output;

/// The variable that holds the token.
const TOKEN: &str = "HEADCOUNT_TOKEN";
/// How long it may take until the server is reached.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take, one that waits for events included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest answer that is read: a page of the log is 1,000 records.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// Why a server did not answer a question.
#[derive(Debug)]
pub(super) enum Failure {
    /// It was not reached, or the connection broke.
    Unreachable(String),
    /// It refused, with a reason.
    Refused(ProblemBody),
    /// What answered is not the admin API of a Headcount server.
    Foreign(String),
}

impl Failure {
    /// Returns whether the same question may be answered later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(problem) => problem.status == 429 || problem.status >= 500,
            Self::Foreign(_) => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(reason) => write!(f, "the server does not answer: {reason}"),
            Self::Refused(ProblemBody { status, detail, .. }) => {
                write!(f, "the server refused ({status}): {detail}")
            }
            Self::Foreign(what) => {
                write!(f, "this is not a Headcount server: {what}; check --server")
            }
        }
    }
}

impl std::error::Error for Failure {}

impl From<ureq::Error> for Failure {
    fn from(error: ureq::Error) -> Self {
        Self::Unreachable(error.to_string())
    }
}

/// A server, and the token for it.
pub(super) struct Client {
    agent: ureq::Agent,
    /// The base URL of the admin API.
    base: String,
    token: SecretString,
}

impl Client {
    /// Reads the address and the token; nothing is sent yet.
    pub(super) fn new(address: &str, origin: &Origin) -> anyhow::Result<Self> {
        let (server, is_local) = server(address)?;
        if !is_local && server.starts_with("http://") {
            output::note("the token is sent unencrypted; use https:// outside of this machine");
        }
        let roots = match &origin.ca_file {
            None => RootCerts::PlatformVerifier,
            Some(path) => {
                let shown = path.display();
                let all: Result<Vec<_>, _> =
                    CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
                let all = all.ok().filter(|all| !all.is_empty()).with_context(|| {
                    format!("--ca-file: {shown} cannot be read, or contains no certificate in PEM")
                })?;
                let all: Vec<_> =
                    all.iter().map(|one| Certificate::from_der(one).to_owned()).collect();
                RootCerts::new_with_certs(&all)
            }
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(roots);
        let mut agent = ureq::Agent::config_builder()
            .tls_config(tls.build())
            .user_agent(concat!("headcount/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            // The token is for the named server and no other.
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(ANSWER_TIMEOUT));
        if is_local {
            agent = agent.proxy(None);
        }
        Ok(Self { agent: agent.build().into(), base: server + ADMIN_PATH, token: token(origin)? })
    }

    /// Reads a path of the admin API.
    pub(super) fn get<T: for<'de> Deserialize<'de>>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Failure> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = request
            .query_pairs(query.iter().copied())
            .header("Accept", "application/json")
            .header("Authorization", format!("Bearer {}", self.token.expose_secret()));
        let mut response = request.call()?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec()?;
        if status != StatusCode::OK {
            let moved = response.headers().get("location").and_then(|to| to.to_str().ok());
            return Err(match (serde_json::from_slice(&body), moved) {
                (Ok(problem), _) => Failure::Refused(problem),
                (Err(_), Some(to)) => {
                    Failure::Foreign(format!("it answers {status} and points to {to}"))
                }
                // A proxy in front of the server answers so while the server is away.
                (Err(_), None) if status.is_server_error() => {
                    Failure::Unreachable(format!("{status} instead"))
                }
                (Err(_), None) => Failure::Foreign(format!("it answers {status}")),
            });
        }
        serde_json::from_slice(&body)
            .map_err(|error| Failure::Foreign(format!("its answer cannot be read ({error})")))
    }
}

/// Reads the address of a server, and whether it is this machine's own. Base URLs are taken, too.
fn server(address: &str) -> anyhow::Result<(String, bool)> {
    let mut url = address.trim_end_matches('/');
    for path in [BASE_PATH, ADMIN_PATH] {
        url = url.strip_suffix(path).unwrap_or(url).trim_end_matches('/');
    }
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let Some(rest) = rest.filter(|rest| !rest.is_empty() && !rest.contains(is_foreign)) else {
        bail!("--server: \"{address}\" is not a valid address, e.g. https://scim.example.com");
    };
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let is_local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    Ok((url.to_owned(), is_local))
}

/// Returns whether a character cannot be part of an address, or would hide one in another.
fn is_foreign(c: char) -> bool {
    !c.is_ascii_graphic() || matches!(c, '@' | '?' | '#' | '\\')
}

/// Reads the token from the file or variable that the command line names. It is never on the command line
/// itself, which every user of the machine can read.
#[expect(
    clippy::disallowed_methods,
    reason = "the configuration is that of a server; the secret of its client is not part of it"
)]
fn token(origin: &Origin) -> anyhow::Result<SecretString> {
    let (text, place) = match &origin.token_file {
        Some(path) => {
            let place = path.display().to_string();
            let text = std::fs::read_to_string(path);
            (text.with_context(|| format!("--token-file: {place} cannot be read"))?, place)
        }
        None => {
            let text = std::env::var(TOKEN).ok().filter(|text| !text.trim().is_empty());
            let text = text.with_context(|| {
                format!(
                    "--server needs a token of the admin API: put it into {TOKEN}, or into a file and name \
                     that with --token-file. `headcount token create --name desk --scope administration` \
                     makes one"
                )
            })?;
            (text, TOKEN.to_owned())
        }
    };
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!(
            "{place} contains no token: it must be one line, as `headcount token create` printed it"
        );
    }
    Ok(SecretString::from(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_are_addresses_too_and_loopback_is_known() {
        for (address, url, is_local) in [
            ("https://scim.example.com", "https://scim.example.com", false),
            ("https://scim.example.com/scim/v2/", "https://scim.example.com", false),
            (
                "https://example.com:8443/headcount/api/v1",
                "https://example.com:8443/headcount",
                false,
            ),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080", true),
            ("http://[::1]:8080/scim/v2", "http://[::1]:8080", true),
            ("http://[::1]", "http://[::1]", true),
            ("http://localhost", "http://localhost", true),
            ("http://127.0.0.1.example.com", "http://127.0.0.1.example.com", false),
        ] {
            assert_eq!(server(address).unwrap(), (url.to_owned(), is_local), "{address}");
        }
        for wrong in
            ["", "scim.example.com", "ftp://a", "https://", "https://a:b@c", "https://a/?b"]
        {
            assert!(server(wrong).is_err(), "{wrong}");
        }
    }
}
