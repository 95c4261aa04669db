//! One GET over HTTP, redirects followed: which hosts are trusted, and which of them see credentials.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, LOCATION, RANGE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};

use super::auth::Authorization;
use super::error::{Error, Reason};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a server may be silent. A download as a whole may take as long as it takes.
const IDLE_TIMEOUT: Duration = if cfg!(test) { Duration::from_millis(400) } else { Duration::from_secs(30) };
const REDIRECTS: usize = 10;
const USER_AGENT: &str = concat!("grootfs/", env!("CARGO_PKG_VERSION"));

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) url: Url,
    /// Media types that are understood; empty for any.
    pub(super) accept: &'static str,
    /// Bytes to leave out from the beginning.
    pub(super) offset: u64,
}

impl Request {
    /// Asks for anything at `url`.
    pub(super) fn new(url: Url) -> Self {
        Request { url, accept: "", offset: 0 }
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if !self.accept.is_empty() {
            headers.insert(ACCEPT, HeaderValue::from_static(self.accept));
        }
        if let (true, Ok(range)) = (self.offset > 0, HeaderValue::try_from(format!("bytes={}-", self.offset))) {
            headers.insert(RANGE, range);
        }
        headers
    }
}

/// The HTTP clients. Each is built when it is first needed: reading the system's certificates takes milliseconds, and a
/// machine without any can still use a registry that is not verified.
#[derive(Debug)]
pub(super) struct Http {
    insecure_hosts: Vec<String>,
    verifying: Mutex<Option<Client>>,
    trusting: Mutex<Option<Client>>,
}

impl Http {
    /// `insecure_hosts` are those, as `host` or `host:port`, whose certificates are not verified.
    pub(super) fn new(insecure_hosts: &[String]) -> Self {
        // An error means that there is a provider already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Http { insecure_hosts: insecure_hosts.to_vec(), verifying: Mutex::default(), trusting: Mutex::default() }
    }

    /// Whether the user named this very host and port. A name without a port means the scheme's own.
    pub(super) fn is_insecure(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let with_port = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
        let is_named = |name: &String| {
            name.eq_ignore_ascii_case(&with_port) || (url.port().is_none() && name.eq_ignore_ascii_case(host))
        };
        self.insecure_hosts.iter().any(is_named)
    }

    /// Sends the request and follows redirects; any answer that is no redirect is a success here.
    ///
    /// Redirects are not left to the client, because the next host may be trusted less than the first.
    pub(super) async fn get(
        &self,
        request: &Request,
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

    fn follow(&self, from: &Url, location: &str) -> Result<Url, Failure> {
        let refused = |to: &str| Failure::new(from, Reason::Redirect(to.to_owned()));
        let next = from.join(location).map_err(|_| refused("no address"))?;
        let is_allowed = match next.scheme() {
            "https" => true,
            "http" => from.scheme() == "http" || self.is_insecure(&next),
            _ => false,
        };
        if is_allowed { Ok(next) } else { Err(refused(&shown(&next))) }
    }

    fn client(&self, url: &Url) -> Result<Client, Failure> {
        let is_insecure = self.is_insecure(url);
        let slot = if is_insecure { &self.trusting } else { &self.verifying };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*slot {
            return Ok(client.clone());
        }
        let client = build(is_insecure).map_err(|error| Failure::Setup(setup_message(&error)))?;
        Ok(slot.insert(client).clone())
    }
}

/// No automatic decompression: digests are of the bytes as they are sent. The proxies are those of the environment.
fn build(is_insecure: bool) -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(USER_AGENT)
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(IDLE_TIMEOUT)
        .tls_danger_accept_invalid_certs(is_insecure)
        .build()
}

fn setup_message(error: &reqwest::Error) -> String {
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message = error.to_string();
        cause = error.source();
    }
    format!("{message} (are the system's root certificates installed?)")
}

fn redirect(response: &Response) -> Option<String> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| is_redirect)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// A failed request, before it is known which image it was for.
#[derive(Debug)]
pub(super) enum Failure {
    /// A request and what came of it.
    Request { url: String, reason: Reason },
    /// No request could be made.
    Setup(String),
    /// Final, and independent of the request.
    Final(Error),
}

impl Failure {
    pub(super) fn new(url: &Url, reason: Reason) -> Self {
        Failure::Request { url: shown(url), reason }
    }

    /// Turns it into what the user is told.
    pub(super) fn of_image(self, image: &str) -> Error {
        match self {
            Failure::Request { reason: Reason::Tls(detail), url } => {
                tracing::error!(url, detail, "registry-is-insecure");
                Error::Insecure
            }
            Failure::Request { url, reason } => Error::Request { image: image.to_owned(), url, reason },
            Failure::Setup(message) => Error::Setup(message),
            Failure::Final(error) => error,
        }
    }
}

/// A URL without what may be secret in it.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // These fail for URLs without a host, which have no user either.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_host_and_port_is_insecure() {
        let http = Http::new(&["a.example".into(), "b.example:5000".into()]);
        for (url, expected) in [
            ("https://a.example/v2/", true),
            ("http://a.example/v2/", true),
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
        let http = Http::new(&["plain.example".into()]);
        let from = Url::parse("https://a.example/v2/x").unwrap();
        assert!(http.follow(&from, "http://b.example/").is_err());
        assert!(http.follow(&from, "file:///etc/passwd").is_err());
        assert!(http.follow(&from, "http://plain.example/").is_ok());
        assert_eq!(http.follow(&from, "/y").unwrap().as_str(), "https://a.example/y");
    }

    #[test]
    fn secrets_in_a_url_are_not_shown() {
        let url = Url::parse("https://me:secret@a.example/b?signature=secret").unwrap();
        assert_eq!(shown(&url), "https://a.example/b");
    }
}
