//! Getting things over HTTP, whoever keeps them: a registry, or a server that an image names.
//!
//! ```text
//! mod          one request: which hosts are verified, what a redirect may do
//! certificates authorities and client certificates of a directory
//! failure      what can come of a request
//! network      the thread that connections live in
//! retry        how often, how soon
//! stream       a blob's bytes, resumed when the connection breaks
//! tls          whom to believe who they are
//! ```

mod certificates;
mod failure;
mod network;
mod retry;
mod stream;
mod tls;

use std::collections::HashMap;
use std::env;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, IF_NONE_MATCH, LOCATION, RANGE, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, Url};

pub(super) use certificates::Certificates;
pub(super) use failure::Failure;
pub use failure::Reason;
pub(super) use network::{NOT_CANCELLED, Network};
pub(super) use retry::{ATTEMPTS, FEW_ATTEMPTS, with_retries};
pub(super) use stream::{BlobSource, BlobStream};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a server may be silent. A download as a whole may take as long as it takes.
const IDLE_TIMEOUT: Duration = if cfg!(test) { Duration::from_millis(400) } else { Duration::from_secs(30) };
const REDIRECTS: usize = 10;
const USER_AGENT: &str = concat!("grootfs/", env!("CARGO_PKG_VERSION"));
/// Manifests and configurations are a few kilobytes; whatever is larger than this is not one.
const DOCUMENT_LIMIT: usize = 8 * 1024 * 1024;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct HttpRequest {
    pub(super) url: Url,
    /// Media types that are understood; empty for any.
    pub(super) accept: &'static str,
    /// Bytes to leave out from the beginning.
    pub(super) offset: u64,
    /// Entity tags of what is there already and need not be sent.
    pub(super) if_none_match: Vec<String>,
}

impl HttpRequest {
    /// Asks for anything at `url`.
    pub(super) fn new(url: Url) -> Self {
        HttpRequest { url, accept: "", offset: 0, if_none_match: Vec::new() }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !self.accept.is_empty() {
            headers.insert(ACCEPT, HeaderValue::from_static(self.accept));
        }
        if let (true, Ok(range)) = (self.offset > 0, HeaderValue::try_from(format!("bytes={}-", self.offset))) {
            headers.insert(RANGE, range);
        }
        // A line for each: registries are known to take the whole line for one tag.
        for tag in self.if_none_match.iter().filter_map(|tag| HeaderValue::try_from(tag).ok()) {
            headers.append(IF_NONE_MATCH, tag);
        }
        headers
    }
}

/// What goes into the `Authorization` header. Prints as `[redacted]`.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Authorization {
    Basic { username: String, password: String },
    Bearer(String),
}

impl Authorization {
    fn add_to(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Authorization::Basic { username, password } => request.basic_auth(username, Some(password)),
            Authorization::Bearer(token) => request.bearer_auth(token),
        }
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Whom to trust.
#[derive(Clone, Debug, Default)]
pub(super) struct Trust {
    /// Those, as `host` or `host:port`, whose certificates are not verified and that may be asked without TLS.
    pub(super) insecure_hosts: Vec<String>,
    /// Directories with a directory of certificates for each `host` or `host:port`.
    pub(super) certificates_by_host: Vec<PathBuf>,
    /// A directory of certificates for all hosts.
    pub(super) certificates: Option<PathBuf>,
    /// Which of those client certificates is to be shown, counted from 0.
    pub(super) identity: usize,
}

/// What tells clients apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ClientKind {
    is_insecure: bool,
    is_direct: bool,
    certificates: Option<PathBuf>,
}

/// The HTTP clients. Each is built when it is first needed: reading the system's certificates takes milliseconds, and a
/// machine without any can still use a registry that is not verified.
#[derive(Debug)]
pub(super) struct Http {
    trust: Trust,
    clients: Mutex<HashMap<ClientKind, Client>>,
}

impl Http {
    /// Builds nothing yet.
    pub(super) fn new(trust: Trust) -> Self {
        // An error means that there is a provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Http { trust, clients: Mutex::default() }
    }

    /// Whether the user named this very host and port. A name without a port means the scheme's own.
    pub(super) fn is_insecure(&self, url: &Url) -> bool {
        let names = host_names(url);
        self.trust.insecure_hosts.iter().any(|named| names.iter().any(|name| name.eq_ignore_ascii_case(named)))
    }

    /// Sends the request and follows redirects; any answer that is no redirect is a success here.
    ///
    /// Redirects are not left to the client, because the next host may be trusted less than the first.
    pub(super) async fn get(
        &self,
        request: &HttpRequest,
        authorization: Option<&Authorization>,
    ) -> Result<Response, Failure> {
        let mut url = request.url.clone();
        let mut authorization = authorization;
        for _ in 0..=REDIRECTS {
            let mut builder = self.client(&url)?.get(url.clone()).headers(request.headers());
            if let Some(authorization) = authorization {
                builder = authorization.add_to(builder);
            }
            let response = builder.send().await.map_err(|error| Failure::new(&url, Reason::of(&error)))?;
            let Some(location) = redirect(&response) else { return Ok(response) };
            let next = self.follow(&url, &location)?;
            if next.origin() != url.origin() {
                // Once away from the registry, nobody is sent its credentials again.
                authorization = None;
            }
            url = next;
        }
        Err(Failure::new(&request.url, Reason::RedirectLoop))
    }

    /// Sends a form. What it holds may be secret, so that redirects are not followed.
    pub(super) async fn post_form(&self, url: &Url, fields: &[(&str, &str)]) -> Result<Response, Failure> {
        let mut form = url.clone();
        form.query_pairs_mut().clear().extend_pairs(fields);
        let body = form.query().unwrap_or_default().to_owned();
        let request = self.client(url)?.post(url.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        request.body(body).send().await.map_err(|error| Failure::new(url, Reason::of(&error)))
    }

    fn follow(&self, from: &Url, location: &str) -> Result<Url, Failure> {
        let refused = |to: &str| Failure::new(from, Reason::Redirect(to.to_owned()));
        let next = from.join(location).map_err(|_| refused("no address"))?;
        let is_allowed = match next.scheme() {
            "https" => true,
            "http" => from.scheme() == "http" || self.is_insecure(&next),
            _ => false,
        };
        if is_allowed { Ok(next) } else { Err(refused(&failure::shown(&next))) }
    }

    fn client(&self, url: &Url) -> Result<Client, Failure> {
        let kind = ClientKind {
            is_insecure: self.is_insecure(url),
            is_direct: is_loopback(url) || is_excepted(url, &no_proxy()),
            certificates: self.certificates_for(url),
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&kind) {
            return Ok(client.clone());
        }
        let client = build(&kind, self.trust.identity).map_err(|reason| Failure::new(url, reason))?;
        Ok(clients.entry(kind).or_insert(client).clone())
    }

    fn certificates_for(&self, url: &Url) -> Option<PathBuf> {
        let names = host_names(url);
        let by_host = self.trust.certificates_by_host.iter();
        let mut by_host = by_host.flat_map(|directory| names.iter().map(|name| directory.join(name)));
        self.trust.certificates.clone().or_else(|| by_host.find(|directory| directory.is_dir()))
    }
}

/// `host:port`, and `host` alone where the port is the scheme's own.
fn host_names(url: &Url) -> Vec<String> {
    let host = url.host_str().unwrap_or_default();
    let with_port = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
    if url.port().is_none() { vec![with_port, host.to_owned()] } else { vec![with_port] }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn no_proxy() -> String {
    env::var("NO_PROXY").or_else(|_| env::var("no_proxy")).unwrap_or_default()
}

/// Whether `NO_PROXY` has an entry for this URL of a kind that the client does not know: `*` for addresses too, or
/// `host:port`. The client knows names, domains, addresses and blocks of them.
fn is_excepted(url: &Url, no_proxy: &str) -> bool {
    let names = host_names(url);
    no_proxy.split(',').map(str::trim).any(|entry| entry == "*" || names.iter().any(|name| name == entry))
}

/// No automatic decompression: digests are of the bytes as they are sent. The proxies are those of the environment, but
/// for this machine itself, which no proxy is asked for by the programs that the variables were made for.
fn build(kind: &ClientKind, identity: usize) -> Result<Client, Reason> {
    let mut builder = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(IDLE_TIMEOUT);
    if kind.is_direct {
        builder = builder.no_proxy();
    }
    builder = if kind.is_insecure {
        builder.tls_danger_accept_invalid_certs(true)
    } else {
        let read = kind.certificates.as_deref().map_or_else(|| Ok(Certificates::default()), Certificates::read);
        let certificates = read.map_err(|error| Reason::Setup(error.to_string()))?;
        builder.tls_backend_preconfigured(tls::config(certificates, identity)?)
    };
    builder.build().map_err(|error| Reason::Setup(setup_message(&error)))
}

fn setup_message(error: &reqwest::Error) -> String {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message = error.to_string();
        cause = error.source();
    }
    message
}

fn redirect(response: &Response) -> Option<String> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| is_redirect)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// Passes on an answer that is a success.
pub(super) fn successful(response: Response) -> Result<Response, Failure> {
    if response.status().is_success() {
        return Ok(response);
    }
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|value| retry::retry_after(value, SystemTime::now()));
    Err(Failure::new(response.url(), Reason::Status { status: response.status(), retry_after }))
}

/// The whole body of an answer that is a document.
pub(super) async fn document(mut response: Response) -> Result<Vec<u8>, Failure> {
    let url = response.url().clone();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Failure::new(&url, Reason::of(&error)))? {
        if body.len() + chunk.len() > DOCUMENT_LIMIT {
            return Err(Failure::new(&url, Reason::TooLarge));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(insecure: &[&str]) -> Http {
        let insecure_hosts = insecure.iter().map(|host| (*host).to_owned()).collect();
        Http::new(Trust { insecure_hosts, ..Trust::default() })
    }

    #[test]
    fn only_the_named_host_and_port_is_insecure() {
        let http = http(&["a.example", "b.example:5000"]);
        for (url, expected) in [
            ("https://a.example/v2/", true),
            ("http://A.example/v2/", true),
            ("https://a.example:5000/v2/", false),
            ("https://b.example:5000/v2/", true),
            ("https://b.example/v2/", false),
            ("https://x.a.example/v2/", false),
        ] {
            assert_eq!(http.is_insecure(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn redirects_do_not_lead_out_of_encryption() {
        let http = http(&["plain.example"]);
        let from = Url::parse("https://a.example/v2/x").unwrap();
        assert!(http.follow(&from, "http://b.example/").is_err());
        assert!(http.follow(&from, "file:///etc/passwd").is_err());
        assert!(http.follow(&from, "http://plain.example/").is_ok());
        assert_eq!(http.follow(&from, "/y").unwrap().as_str(), "https://a.example/y");
    }

    #[test]
    fn this_machine_is_told_apart() {
        for (url, expected) in [
            ("http://localhost:5000/", true),
            ("http://127.1.2.3/", true),
            ("http://[::1]:1/", true),
            ("http://192.0.2.1/", false),
            ("http://localhost.example/", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn exceptions_from_proxies() {
        let is = |list: &str| is_excepted(&Url::parse("http://192.0.2.1:5000/v2/").unwrap(), list);
        assert!(is("*") && is("a.example, *") && is("192.0.2.1:5000"));
        assert!(!is("") && !is("192.0.2.1:5001") && !is("*.example"));
    }

    #[test]
    fn a_host_with_a_directory_of_certificates_gets_them() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("a.example:5000")).unwrap();
        let certificates_by_host = vec!["/no/such/directory".into(), directory.path().to_owned()];
        let http = Http::new(Trust { certificates_by_host, ..Trust::default() });
        let certificates = |url: &str| http.certificates_for(&Url::parse(url).unwrap());
        assert_eq!(certificates("https://a.example:5000/"), Some(directory.path().join("a.example:5000")));
        assert_eq!(certificates("https://a.example/"), None);
    }
}
