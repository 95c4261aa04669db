//! Getting things over HTTP, whoever keeps them: a registry, or a server that an image names.
//!
//! ```text
//! mod          one request: which hosts are verified, what a redirect may do
//! addresses    where whom the user did not name may send a request
//! certificates authorities and client certificates of a directory
//! content      what a request sends along
//! curves       elliptic curves beside those of the TLS library
//! failure      what can come of a request
//! network      the thread that connections live in
//! pace         how slow a server may be
//! parallel     a large blob's bytes over several connections
//! proxies      what the environment says of proxies, as far as the client does not read it
//! retry        how often, how soon
//! stream       a blob's bytes, resumed when the connection breaks
//! tls          whom to believe who they are
//! ```

mod addresses;
mod certificates;
mod content;
mod curves;
mod failure;
mod network;
mod pace;
mod parallel;
mod proxies;
mod retry;
mod stream;
mod tls;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io::Read;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use flate2::read::MultiGzDecoder;

use self::addresses::{Resolver, SeenZones};
use self::pace::Pace;
use reqwest::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, IF_NONE_MATCH, LOCATION, RANGE, RETRY_AFTER,
    TRANSFER_ENCODING,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};

use crate::limits;

pub(super) use addresses::{Reach, Zone};
pub(super) use certificates::Certificates;
pub(super) use content::Content;
pub(super) use failure::Failure;
pub use failure::Reason;
pub(super) use network::{NOT_CANCELLED, Network};
pub use pace::TransferLimits;
pub(super) use parallel::ParallelStream;
pub(super) use retry::{ATTEMPTS, FEW_ATTEMPTS, with_retries};
pub(super) use stream::{BlobSource, RangeSource};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const REDIRECTS: usize = 10;
/// Lines of a header; some gateways are talkative.
const HEADERS: usize = 1000;
const USER_AGENT: &str = concat!("grootfs/", env!("CARGO_PKG_VERSION"));
/// How gzip begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct HttpRequest {
    pub(super) method: Method,
    pub(super) url: Url,
    /// What is sent along.
    pub(super) content: Option<Content>,
    /// Media types that are understood; empty for any.
    pub(super) accept: &'static [&'static str],
    /// Bytes to leave out from the beginning.
    pub(super) offset: u64,
    /// Where to stop, the first byte that is not wanted; `None` for the end.
    pub(super) end: Option<u64>,
    /// How far it may go. Redirects may go only where the first host itself is.
    pub(super) reach: Reach,
    /// Entity tags of what is there already and need not be sent.
    pub(super) if_none_match: Vec<String>,
}

impl HttpRequest {
    /// Asks for anything at `url`.
    pub(super) fn new(url: Url, reach: Reach) -> Self {
        HttpRequest {
            method: Method::GET,
            url,
            content: None,
            accept: &[],
            offset: 0,
            end: None,
            reach,
            if_none_match: Vec::new(),
        }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        // A line for each, as other clients send them: some registries read no further than the first comma.
        for media_type in self.accept {
            headers.append(ACCEPT, HeaderValue::from_static(media_type));
        }
        if self.offset > 0 || self.end.is_some() {
            let last = self.end.map_or_else(String::new, |end| end.saturating_sub(1).to_string());
            headers.extend(HeaderValue::try_from(format!("bytes={}-{last}", self.offset)).map(|range| (RANGE, range)));
        }
        // A line for each: registries are known to take the whole line for one tag.
        for tag in self.if_none_match.iter().filter_map(|tag| HeaderValue::try_from(tag).ok()) {
            headers.append(IF_NONE_MATCH, tag);
        }
        match &self.content {
            Some(content) => _ = headers.insert(CONTENT_TYPE, HeaderValue::from_static(content.media_type())),
            // Without it some servers answer 411 (RFC 9110, 8.6 and 15.5.12).
            None if self.method == Method::POST => _ = headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0")),
            None => {}
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
    /// The answer comes after a file was sent, which has timeouts of its own.
    sends_file: bool,
    reach: Reach,
    certificates: Option<PathBuf>,
}

/// The HTTP clients. Each is built when it is first needed: reading the system's certificates takes milliseconds, and a
/// machine without any can still use a registry that is not verified.
#[derive(Debug)]
pub(super) struct Http {
    trust: Trust,
    transfer_limits: TransferLimits,
    seen: SeenZones,
    clients: Mutex<HashMap<ClientKind, Client>>,
}

impl Http {
    /// Builds nothing yet.
    pub(super) fn new(trust: Trust, transfer_limits: TransferLimits) -> Self {
        // An error means that there is a provider already.
        let _ = curves::provider().install_default();
        Http { trust, transfer_limits, seen: SeenZones::default(), clients: Mutex::default() }
    }

    /// Whether the user named this very host and port. A name without a port means the scheme's own.
    pub(super) fn is_insecure(&self, url: &Url) -> bool {
        let names = host_names(url);
        self.trust.insecure_hosts.iter().any(|named| names.iter().any(|name| name.eq_ignore_ascii_case(named)))
    }

    /// How slow servers may be.
    pub(super) fn transfer_limits(&self) -> TransferLimits {
        self.transfer_limits
    }

    /// How far a server may send its clients, by a redirect, a challenge or a manifest.
    pub(super) fn reach_from(&self, url: &Url) -> Reach {
        self.seen.reach_from(url)
    }

    /// Sends the request and follows redirects; any answer that is no redirect is a success here.
    ///
    /// Redirects are not left to the client, because the next host may be trusted less than the first. They keep the method,
    /// but status 303, which would make it GET (RFC 9110, 15.4.4), is followed by requests that change nothing only.
    pub(super) async fn send(
        &self,
        request: &HttpRequest,
        authorization: Option<&Authorization>,
    ) -> Result<Response, Failure> {
        let mut url = request.url.clone();
        let mut authorization = authorization;
        let mut reach = request.reach;
        for _ in 0..=REDIRECTS {
            let response = self.send_once(request, &url, reach, authorization).await?;
            let Some(location) = redirect(&response) else { return Ok(response) };
            if response.status() == StatusCode::SEE_OTHER && !request.method.is_safe() {
                return Ok(response);
            }
            let next = self.follow(&url, &location)?;
            if next.origin() != url.origin() {
                // Once away from the registry, nobody is sent its credentials again.
                authorization = None;
            }
            if request.reach == Reach::Anywhere {
                reach = self.reach_from(&request.url);
            }
            url = next;
        }
        Err(Failure::new(&request.url, Reason::RedirectLoop))
    }

    async fn send_once(
        &self,
        request: &HttpRequest,
        url: &Url,
        reach: Reach,
        authorization: Option<&Authorization>,
    ) -> Result<Response, Failure> {
        let failed = |reason| Failure::new(url, reason);
        let sends_file = matches!(request.content, Some(Content::File(..)));
        let client = self.client(url, reach, sends_file)?;
        let mut builder = client.request(request.method.clone(), url.clone()).headers(request.headers());
        if let Some(authorization) = authorization {
            builder = authorization.add_to(builder);
        }
        let Some(content) = &request.content else {
            return builder.send().await.map_err(|error| failed(Reason::of(&error)));
        };
        let (body, watch) = content.body(self.transfer_limits).map_err(failed)?;
        let answer = builder.body(body).send();
        let answer = match watch {
            Some(watch) => watch.over(answer).await.map_err(failed)?,
            None => answer.await,
        };
        answer.map_err(|error| failed(Reason::of(&error)))
    }

    /// Sends a form. What it holds may be secret, so that redirects are not followed.
    pub(super) async fn post_form(
        &self,
        url: &Url,
        reach: Reach,
        fields: &[(&str, &str)],
    ) -> Result<Response, Failure> {
        let mut form = url.clone();
        form.query_pairs_mut().clear().extend_pairs(fields);
        let body = form.query().unwrap_or_default().to_owned();
        let request =
            self.client(url, reach, false)?.post(url.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        request.body(body).send().await.map_err(|error| Failure::new(url, Reason::of(&error)))
    }

    /// Where an answer of `from` leads to.
    ///
    /// # Errors
    /// When that is no address, or one without the security of the first.
    pub(super) fn follow(&self, from: &Url, location: &str) -> Result<Url, Failure> {
        let refused = |to: &str| Failure::new(from, Reason::Redirect(to.to_owned()));
        let next = from.join(location).map_err(|_| refused("no address"))?;
        let is_allowed = match next.scheme() {
            "https" => true,
            "http" => from.scheme() == "http" || self.is_insecure(&next),
            _ => false,
        };
        if is_allowed { Ok(next) } else { Err(refused(&failure::shown(&next))) }
    }

    fn client(&self, url: &Url, reach: Reach, sends_file: bool) -> Result<Client, Failure> {
        reach.check(url).map_err(|out| Failure::new(url, Reason::OutOfReach(out.to_string())))?;
        let kind = ClientKind {
            is_insecure: self.is_insecure(url),
            is_direct: is_loopback(url) || proxies::is_excepted(url),
            sends_file,
            reach,
            certificates: self.certificates_for(url),
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&kind) {
            return Ok(client.clone());
        }
        let client = self.build(&kind).map_err(|reason| Failure::new(url, reason))?;
        Ok(clients.entry(kind).or_insert(client).clone())
    }

    /// No automatic decompression: digests are of the bytes as they are sent. The proxies are those of the environment,
    /// but for this machine itself, which no proxy is asked for by the programs that the variables were made for.
    fn build(&self, kind: &ClientKind) -> Result<Client, Reason> {
        let proxies = proxies::names();
        let resolver = Resolver { reach: kind.reach, seen: self.seen.clone(), proxies };
        let mut builder = Client::builder()
            .user_agent(USER_AGENT)
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .dns_resolver(Arc::new(resolver))
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_max_headers(HEADERS);
        if let Some(timeout) = self.transfer_limits.stall_timeout.filter(|_| !kind.sends_file) {
            builder = builder.read_timeout(timeout);
        }
        if kind.is_direct {
            builder = builder.no_proxy();
        }
        builder = if kind.is_insecure {
            builder.tls_danger_accept_invalid_certs(true)
        } else {
            let read = kind.certificates.as_deref().map_or_else(|| Ok(Certificates::default()), Certificates::read);
            let certificates = read.map_err(|error| Reason::Setup(error.to_string()))?;
            builder.tls_backend_preconfigured(tls::config(certificates, self.trust.identity)?)
        };
        builder.build().map_err(|error| Reason::Setup(setup_message(&error)))
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
    if response.status().is_success() { Ok(response) } else { Err(refusal(&response, String::new())) }
}

/// The failure that an answer is; `detail` is what its body says.
pub(super) fn refusal(response: &Response, detail: String) -> Failure {
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|value| retry::retry_after(value, SystemTime::now()));
    Failure::new(response.url(), Reason::Status { status: response.status(), detail, retry_after })
}

/// The whole body of an answer that is a document. Some gateways compress it unasked; no document begins like that.
pub(super) async fn document(mut response: Response, transfer_limits: TransferLimits) -> Result<Vec<u8>, Failure> {
    let url = response.url().clone();
    let failed = |reason| Failure::new(&url, reason);
    let (mut body, mut pace) = (Vec::new(), Pace::new(transfer_limits));
    loop {
        let begin = Instant::now();
        let chunk = match response.chunk().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(error) if is_unannounced_end(&response, &error) => break,
            Err(error) => return Err(failed(Reason::of(&error))),
        };
        pace.add(chunk.len(), begin).map_err(failed)?;
        let bytes = (body.len() + chunk.len()) as u64;
        limits::check_manifest(transfer_limits.manifest_bytes, bytes)
            .map_err(|exceeded| failed(Reason::TooLarge(Box::new(exceeded))))?;
        body.extend_from_slice(&chunk);
    }
    if body.starts_with(&GZIP) { inflated(&body, transfer_limits.manifest_bytes).map_err(failed) } else { Ok(body) }
}

fn inflated(body: &[u8], limit: u64) -> Result<Vec<u8>, Reason> {
    let mut document = Vec::new();
    let read = MultiGzDecoder::new(body).take(limit.saturating_add(1)).read_to_end(&mut document);
    read.map_err(|error| Reason::ManifestOrIndex(format!("it is compressed, and cannot be read: {error}")))?;
    limits::check_manifest(limit, document.len() as u64).map_err(|exceeded| Reason::TooLarge(Box::new(exceeded)))?;
    Ok(document)
}

/// Whether the connection ended where nothing said how long the body is, so that its end is the body's. Over TLS the end
/// should be announced; some servers do not. A body that was cut short has another digest, or is no JSON.
fn is_unannounced_end(response: &Response, error: &reqwest::Error) -> bool {
    let headers = response.headers();
    let is_framed = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
    !is_framed && failure::is_unexpected_end(error)
}

/// Has a document, headers, redirects and all, come in time. `url` is what is asked for.
pub(super) async fn in_time<T>(
    url: &str,
    transfer_limits: TransferLimits,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Some(limit) = transfer_limits.manifest_timeout else { return work.await };
    let too_long = |_| Failure { url: url.to_owned(), reason: Reason::TooLong(limit.as_secs()) };
    tokio::time::timeout(limit, work).await.map_err(too_long)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(insecure: &[&str]) -> Http {
        let insecure_hosts = insecure.iter().map(|host| (*host).to_owned()).collect();
        Http::new(Trust { insecure_hosts, ..Trust::default() }, TransferLimits::default())
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
    fn a_host_with_a_directory_of_certificates_gets_them() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("a.example:5000")).unwrap();
        let certificates_by_host = vec!["/no/such/directory".into(), directory.path().to_owned()];
        let http = Http::new(Trust { certificates_by_host, ..Trust::default() }, TransferLimits::default());
        let certificates = |url: &str| http.certificates_for(&Url::parse(url).unwrap());
        assert_eq!(certificates("https://a.example:5000/"), Some(directory.path().join("a.example:5000")));
        assert_eq!(certificates("https://a.example/"), None);
    }
}
