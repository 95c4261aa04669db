//! A conversation with one registry about one image: schemes, credentials, retries.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode, Url};

use super::auth::{Authorization, Challenge, Credentials, parse_token, token_url};
use super::error::{Error, Reason};
use super::http::{Failure, Http, Request};
use super::network::Network;
use super::retry::{self, ATTEMPTS};
use crate::image::DockerReference;

/// Manifests and configurations are a few kilobytes; whatever is larger than this is not one.
const DOCUMENT_LIMIT: usize = 8 * 1024 * 1024;

/// The registry of one image, reached over the network. Any thread may ask.
#[derive(Debug)]
pub(super) struct Session {
    network: Network,
    http: Http,
    reference: DockerReference,
    image: String,
    credentials: Option<Credentials>,
    /// The scheme that the registry is known to speak.
    scheme: Mutex<Option<&'static str>>,
    authorization: Mutex<Option<Authorization>>,
}

impl Session {
    /// Starts the thread for its connections; nothing is sent yet.
    pub(super) fn new(
        reference: DockerReference,
        image: &str,
        insecure_hosts: &[String],
        credentials: Option<Credentials>,
    ) -> Result<Self, Error> {
        let network = Network::start().map_err(|error| Error::Setup(error.to_string()))?;
        Ok(Session {
            network,
            http: Http::new(insecure_hosts),
            reference,
            image: image.to_owned(),
            credentials,
            scheme: Mutex::default(),
            authorization: Mutex::default(),
        })
    }

    pub(super) fn reference(&self) -> &DockerReference {
        &self.reference
    }

    /// A manifest or another small document. An answer without it means that there is no such image for this user.
    pub(super) fn document(&self, path: &str, accept: &'static str) -> Result<Vec<u8>, Error> {
        self.with_retries(|| async {
            let response = self.ask(path, accept, 0).await?;
            let url = response.url().clone();
            match response.status() {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                    Err(Failure::Final(Error::NotVisible(self.image.clone())))
                }
                _ => small_body(successful(response)?, &url).await,
            }
        })
    }

    /// A blob from byte `offset` on. The answer may start at 0 all the same, see [`Response::status`].
    pub(super) fn blob(&self, digest: &str, offset: u64) -> Result<Response, Error> {
        let path = format!("blobs/{digest}");
        self.with_retries(|| async { successful(self.ask(&path, "", offset).await?) })
    }

    /// Waits for something of this session's connections.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.network.wait(work)
    }

    /// What the user is told of a failure.
    pub(super) fn error(&self, url: &Url, reason: Reason) -> Error {
        Failure::new(url, reason).of_image(&self.image)
    }

    fn with_retries<T, F: Future<Output = Result<T, Failure>>>(&self, request: impl Fn() -> F) -> Result<T, Error> {
        let mut failures = 0;
        loop {
            let failure = match self.wait(request()) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            failures += 1;
            match &failure {
                Failure::Request { reason, url } if reason.is_transient() && failures < ATTEMPTS => {
                    tracing::info!(url, %reason, failures, "retrying");
                    std::thread::sleep(retry::pause(failures, reason)?);
                }
                _ => return Err(failure.of_image(&self.image)),
            }
        }
    }

    /// One request with whatever authorization it takes. Answers that are no success are the caller's.
    async fn ask(&self, path: &str, accept: &'static str, offset: u64) -> Result<Response, Failure> {
        let mut authorization = self.authorization().clone();
        let mut is_new = false;
        loop {
            let response = self.send(path, accept, offset, authorization.as_ref()).await?;
            // Only the registry's own word counts: a host that it redirects to has no say in who we are.
            let is_challenge = response.status() == StatusCode::UNAUTHORIZED && self.is_registry(response.url());
            if !is_challenge {
                return Ok(response);
            }
            if is_new {
                let is_refused = matches!(authorization, Some(Authorization::Basic(_)));
                return if is_refused { Err(Failure::Final(Error::Credentials)) } else { Ok(response) };
            }
            let Some(fresh) = self.authorize(&response, authorization).await? else { return Ok(response) };
            authorization = Some(fresh);
            is_new = true;
        }
    }

    /// Asks over TLS, and where that is allowed and there is none, without.
    async fn send(
        &self,
        path: &str,
        accept: &'static str,
        offset: u64,
        authorization: Option<&Authorization>,
    ) -> Result<Response, Failure> {
        let known = *self.scheme.lock().unwrap_or_else(PoisonError::into_inner);
        let scheme = known.unwrap_or("https");
        let request = Request { accept, offset, ..Request::new(self.url(scheme, path)?) };
        let sent = self.http.get(&request, authorization).await;
        let (response, spoken) = match sent {
            Err(failure) if known.is_none() && is_unreachable(&failure) && self.http.is_insecure(&request.url) => {
                let plain = Request { url: self.url("http", path)?, ..request };
                let response = self.http.get(&plain, authorization).await?;
                let broke = matches!(failure, Failure::Request { reason: Reason::Transport(_), .. });
                if broke && response.status() == StatusCode::BAD_REQUEST {
                    // So answers who does speak TLS, and failed to do so a moment ago.
                    return Err(failure);
                }
                (response, "http")
            }
            sent => (sent?, scheme),
        };
        *self.scheme.lock().unwrap_or_else(PoisonError::into_inner) = Some(spoken);
        Ok(response)
    }

    /// What to answer to the registry's challenge; `None` if there is nothing. `stale` is what it just refused.
    async fn authorize(
        &self,
        response: &Response,
        stale: Option<Authorization>,
    ) -> Result<Option<Authorization>, Failure> {
        let current = self.authorization().clone();
        if current != stale {
            // Another layer's request was faster.
            return Ok(current);
        }
        let fresh = match (Challenge::of(response.headers()), &self.credentials) {
            (Some(Challenge::Bearer { realm, service, scope }), _) => {
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.reference.repository));
                self.token(response.url(), &realm, service.as_deref(), &scope).await?
            }
            (Some(Challenge::Basic), Some(credentials)) => Some(Authorization::Basic(credentials.clone())),
            (Some(Challenge::Basic), None) | (None, _) => None,
        };
        self.authorization().clone_from(&fresh);
        Ok(fresh)
    }

    /// A token, for the user if there is one. `None` if anonymous users get none.
    async fn token(
        &self,
        registry: &Url,
        realm: &str,
        service: Option<&str>,
        scope: &str,
    ) -> Result<Option<Authorization>, Failure> {
        let refused = |reason: &str| Failure::new(registry, Reason::Token(reason.to_owned()));
        let url = token_url(realm, service, scope).ok_or_else(|| refused("the realm is no address"))?;
        let is_allowed = match url.scheme() {
            "https" => true,
            "http" => registry.scheme() == "http" || self.http.is_insecure(&url),
            _ => false,
        };
        if !is_allowed {
            return Err(refused("the realm is not secure"));
        }
        let credentials = self.credentials.clone().map(Authorization::Basic);
        let response = self.http.get(&Request::new(url), credentials.as_ref()).await?;
        match (response.status(), &credentials) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(_)) => Err(Failure::Final(Error::Credentials)),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, None) => Ok(None),
            _ => {
                let url = response.url().clone();
                let answer = small_body(successful(response)?, &url).await?;
                let token = parse_token(&answer).ok_or_else(|| Failure::new(&url, Reason::Token("no token".into())))?;
                Ok(Some(Authorization::Bearer(token)))
            }
        }
    }

    fn url(&self, scheme: &str, path: &str) -> Result<Url, Failure> {
        let (server, repository) = (self.reference.server(), &self.reference.repository);
        let url = format!("{scheme}://{server}/v2/{repository}/{path}");
        Url::parse(&url).map_err(|error| Failure::Setup(format!("{url}: {error}")))
    }

    fn is_registry(&self, url: &Url) -> bool {
        self.url(url.scheme(), "").is_ok_and(|own| own.origin() == url.origin())
    }

    fn authorization(&self) -> MutexGuard<'_, Option<Authorization>> {
        self.authorization.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether nobody was there, or nobody who speaks TLS.
fn is_unreachable(failure: &Failure) -> bool {
    matches!(failure, Failure::Request { reason: Reason::Tls(_) | Reason::Transport(_), .. })
}

fn successful(response: Response) -> Result<Response, Failure> {
    if response.status().is_success() {
        return Ok(response);
    }
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after: Option<Duration> = retry::retry_after(retry_after);
    Err(Failure::new(response.url(), Reason::Status { status: response.status(), retry_after }))
}

async fn small_body(mut response: Response, url: &Url) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Failure::new(url, Reason::of(&error)))? {
        if body.len() + chunk.len() > DOCUMENT_LIMIT {
            return Err(Failure::new(url, Reason::TooLarge));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
