//! A conversation with one registry or mirror about one image: schemes, credentials, retries.

use std::future::Future;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::header::ETAG;
use reqwest::{Method, Response, StatusCode, Url};

use super::auth::{Challenge, parse_token, token_url};
use super::credentials::{self, Credentials, Found, Secret, Wanted};
use super::endpoint::Endpoint;
use crate::fetcher::http::{
    ATTEMPTS, Authorization, Content, FEW_ATTEMPTS, Failure, Http, HttpRequest, NOT_CANCELLED, Network, Reach, Reason,
    Zone, document, in_time, successful, with_retries,
};

/// Who says to a token server that it is asking (OAuth 2.0, `client_id`).
const CLIENT: &str = "grootfs";

/// What is asked of a registry, and how.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) network: Arc<Network>,
    pub(super) http: Http,
}

/// One place that an image can be had from. Any thread may ask.
#[derive(Debug)]
pub(super) struct Session {
    transport: Arc<Transport>,
    endpoint: Endpoint,
    /// What the user said; else the files of logins are looked through.
    given: Option<Credentials>,
    /// What is to be done in the repository, in the words of scopes of tokens.
    actions: &'static str,
    /// What was found in them.
    found: Mutex<Option<Found>>,
    /// The scheme that the registry is known to speak.
    scheme: Mutex<Option<&'static str>>,
    authorization: Mutex<Option<Authorization>>,
    /// Whether the registry was asked at its root how it wants to know who asks.
    was_pinged: AtomicBool,
}

/// What is asked of the registry.
#[derive(Clone, Copy, Debug)]
pub(super) struct RegistryRequest<'a> {
    pub(super) method: &'a Method,
    pub(super) target: Target<'a>,
    pub(super) content: Option<&'a Content>,
    pub(super) accept: &'static [&'static str],
    pub(super) offset: u64,
    pub(super) end: Option<u64>,
    pub(super) if_none_match: &'a [String],
}

/// Of what it is asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    /// A path below the repository.
    Path(&'a str),
    /// Where the registry has sent its client, which may be away from it.
    Url(&'a Url),
}

impl<'a> RegistryRequest<'a> {
    /// Asks for what is at a path.
    fn get(path: &'a str) -> Self {
        RegistryRequest::new(&Method::GET, Target::Path(path))
    }

    pub(super) fn new(method: &'a Method, target: Target<'a>) -> Self {
        RegistryRequest { method, target, content: None, accept: &[], offset: 0, end: None, if_none_match: &[] }
    }

    fn at(self, url: Url, reach: Reach) -> HttpRequest {
        HttpRequest {
            method: self.method.clone(),
            url,
            content: self.content.cloned(),
            accept: self.accept,
            offset: self.offset,
            end: self.end,
            reach,
            if_none_match: self.if_none_match.to_vec(),
        }
    }
}

/// A document as it was sent.
#[derive(Debug)]
pub(super) struct FetchedManifest {
    pub(super) bytes: Vec<u8>,
    /// Its entity tag.
    pub(super) tag: Option<String>,
    url: Url,
}

impl FetchedManifest {
    /// Passes it on if there is nothing wrong with it.
    pub(super) fn validate(self, wrong: Option<String>) -> Result<Self, Failure> {
        wrong.map_or(Ok(()), |wrong| Err(Failure::new(&self.url, Reason::ManifestOrIndex(wrong))))?;
        Ok(self)
    }
}

impl Session {
    /// Sends nothing yet.
    pub(super) fn new(transport: Arc<Transport>, endpoint: Endpoint, given: Option<Credentials>) -> Self {
        let scheme = Mutex::new(endpoint.scheme);
        Session {
            transport,
            endpoint,
            given,
            actions: "pull",
            found: Mutex::default(),
            scheme,
            authorization: Mutex::default(),
            was_pinged: AtomicBool::new(false),
        }
    }

    /// The same, for a repository that is to be written to.
    pub(super) fn for_push(self) -> Self {
        Session { actions: "pull,push", ..self }
    }

    /// How the registry is talked to.
    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Where an answer leads to.
    ///
    /// # Errors
    /// When that is no place to go to.
    pub(super) fn follow(&self, response: &Response, location: &str) -> Result<Url, Failure> {
        self.transport.http.follow(response.url(), location)
    }

    /// How far the registry may send its clients.
    pub(super) fn reach(&self) -> Reach {
        self.url(self.scheme(), "").map_or(Reach::NetworkAnd(Zone::Network), |url| self.transport.http.reach_from(&url))
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A manifest or another small document.
    pub(super) fn document(&self, path: &str, accept: &'static [&'static str]) -> Result<FetchedManifest, Failure> {
        let unasked =
            || Failure { url: path.to_owned(), reason: Reason::ManifestOrIndex("there is nothing new".to_owned()) };
        self.changed_document(path, accept, &[])?.ok_or_else(unasked)
    }

    /// The same. `None` if it has one of the entity tags in `if_none_match`.
    pub(super) fn changed_document(
        &self,
        path: &str,
        accept: &'static [&'static str],
        if_none_match: &[String],
    ) -> Result<Option<FetchedManifest>, Failure> {
        let request = RegistryRequest { accept, if_none_match, ..RegistryRequest::get(path) };
        let transfer_limits = self.transport.http.transfer_limits();
        self.with_retries(&NOT_CANCELLED, || {
            in_time(path, transfer_limits, async {
                let response = self.ask(request).await?;
                match response.status() {
                    StatusCode::NOT_MODIFIED if !if_none_match.is_empty() => Ok(None),
                    _ => {
                        let response = successful(response)?;
                        let (url, tag) = (response.url().clone(), response.headers().get(ETAG).cloned());
                        let tag = tag.and_then(|tag| tag.to_str().ok().map(str::to_owned));
                        Ok(Some(FetchedManifest { bytes: document(response, transfer_limits).await?, tag, url }))
                    }
                }
            })
        })
    }

    /// A blob from byte `offset` on. The answer may start at 0 all the same, see [`Response::status`].
    pub(super) fn blob(&self, digest: &str, offset: u64, cancel: &AtomicBool) -> Result<Response, Failure> {
        let path = format!("blobs/{digest}");
        let request = RegistryRequest { offset, ..RegistryRequest::get(&path) };
        self.with_retries(cancel, || async { successful(self.ask(request).await?) })
    }

    /// Bytes of a blob, asked for once. The answer may be of all of it.
    pub(super) async fn part(&self, digest: &str, range: Range<u64>) -> Result<Response, Failure> {
        let path = format!("blobs/{digest}");
        let (offset, end) = (range.start, Some(range.end));
        successful(self.ask(RegistryRequest { offset, end, ..RegistryRequest::get(&path) }).await?)
    }

    /// Makes a request again as long as that may help.
    pub(super) fn with_retries<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        cancel: &AtomicBool,
        request: impl Fn() -> F,
    ) -> Result<T, Failure> {
        let attempts = if self.endpoint.is_origin { ATTEMPTS } else { FEW_ATTEMPTS };
        with_retries(&self.transport.network, cancel, attempts, request)
    }

    /// One request with whatever authorization it takes. Answers that are no success are the caller's.
    pub(super) async fn ask(&self, request: RegistryRequest<'_>) -> Result<Response, Failure> {
        let mut authorization = self.authorization().clone();
        let mut is_new = false;
        loop {
            let response = self.send(request, authorization.as_ref()).await?;
            // Only the registry's own word counts: a host that it redirects to has no say in who we are.
            let is_challenge = response.status() == StatusCode::UNAUTHORIZED && self.is_registry(response.url());
            let says_how = authorization.is_some() || Challenge::of(response.headers()).is_some();
            if !(is_challenge && says_how) {
                match self.authorize_by_ping(&response, authorization.as_ref()).await? {
                    Some(fresh) => authorization = Some(fresh),
                    None if is_challenge => return self.refused(response),
                    None => return Ok(response),
                }
                is_new = true;
                continue;
            }
            if is_new {
                return match (&authorization, self.credentials(response.url())?) {
                    (Some(Authorization::Basic { .. }), Some(credentials)) => {
                        Err(Failure::new(response.url(), Reason::WrongCredentials(credentials.origin)))
                    }
                    _ => self.refused(response),
                };
            }
            let Some(fresh) = self.authorize(&response, authorization).await? else { return self.refused(response) };
            authorization = Some(fresh);
            is_new = true;
        }
    }

    /// Some registries say only at their root that they want to know who asks, and hide from strangers what there is: for
    /// them, asks there, once.
    async fn authorize_by_ping(
        &self,
        response: &Response,
        authorization: Option<&Authorization>,
    ) -> Result<Option<Authorization>, Failure> {
        let is_hiding = matches!(response.status().as_u16(), 401 | 403 | 404);
        if !is_hiding || authorization.is_some() || !self.is_registry(response.url()) {
            return Ok(None);
        }
        // Another layer's request may have been faster.
        let current = self.authorization().clone();
        if current.is_some() { Ok(current) } else { self.ping().await }
    }

    async fn ping(&self) -> Result<Option<Authorization>, Failure> {
        if self.was_pinged.swap(true, Ordering::Relaxed) {
            return Ok(None);
        }
        let root = format!("{}://{}/v2/", self.scheme(), self.endpoint.server);
        let Ok(root) = Url::parse(&root) else { return Ok(None) };
        match self.transport.http.send(&HttpRequest::new(root, Reach::Anywhere), None).await {
            Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED && self.is_registry(answer.url()) => {
                self.authorize(&answer, None).await
            }
            // What was answered before says more.
            _ => Ok(None),
        }
    }

    /// Says what might have helped, if something is known.
    fn refused(&self, response: Response) -> Result<Response, Failure> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match found.as_ref().and_then(|found| found.missing.as_ref()) {
            Some(missing) => Err(Failure::new(response.url(), Reason::Lookup(missing.to_string()))),
            None => Ok(response),
        }
    }

    async fn send(
        &self,
        request: RegistryRequest<'_>,
        authorization: Option<&Authorization>,
    ) -> Result<Response, Failure> {
        match request.target {
            Target::Path(path) => self.send_to_registry(path, request, authorization).await,
            Target::Url(url) => self.send_on(url, request, authorization).await,
        }
    }

    /// Asks over TLS, and where that is allowed and there is none, without.
    async fn send_to_registry(
        &self,
        path: &str,
        request: RegistryRequest<'_>,
        authorization: Option<&Authorization>,
    ) -> Result<Response, Failure> {
        let http = &self.transport.http;
        let settled = *self.scheme.lock().unwrap_or_else(PoisonError::into_inner);
        let scheme = settled.unwrap_or("https");
        let request = request.at(self.url(scheme, path)?, Reach::Anywhere);
        let sent = http.send(&request, authorization).await;
        let (response, spoken) = match sent {
            Err(failure) if settled.is_none() && is_unreachable(&failure) && http.is_insecure(&request.url) => {
                let plain = HttpRequest { url: self.url("http", path)?, ..request };
                let response = http.send(&plain, authorization).await?;
                let broke = matches!(failure.reason, Reason::Transport(_));
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

    /// Asks where the registry has sent its client. Another host is told nothing of who we are, and must be where the
    /// registry may send anybody.
    async fn send_on(
        &self,
        url: &Url,
        request: RegistryRequest<'_>,
        authorization: Option<&Authorization>,
    ) -> Result<Response, Failure> {
        let is_registry = self.is_registry(url);
        let reach = if is_registry { Reach::Anywhere } else { self.reach() };
        self.transport.http.send(&request.at(url.clone(), reach), authorization.filter(|_| is_registry)).await
    }

    /// What to answer to the registry's challenge; `None` if there is nothing. `stale` is what it just refused: a token
    /// that has expired, for one.
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
        let credentials = self.credentials(response.url())?;
        let fresh = match (Challenge::of(response.headers()), credentials) {
            (Some(Challenge::Bearer { realm, service, scope }), credentials) => {
                let scope = self.scope(&scope.unwrap_or_default());
                let realm = Realm { url: realm, service: service.unwrap_or_default(), scope };
                let transfer_limits = self.transport.http.transfer_limits();
                in_time(response.url().as_str(), transfer_limits, self.token(response.url(), &realm, credentials))
                    .await?
            }
            (Some(Challenge::Basic), Some(Credentials { secret: Secret::Password { username, password }, .. })) => {
                Some(Authorization::Basic { username, password })
            }
            _ => None,
        };
        self.authorization().clone_from(&fresh);
        Ok(fresh)
    }

    /// What a token is asked for: all that is to be done in the repository, and what the registry wants besides.
    fn scope(&self, wanted: &str) -> String {
        let own = format!("repository:{}:", self.endpoint.repository);
        let others = wanted.split_whitespace().filter(|scope| !scope.starts_with(&own));
        others.fold(format!("{own}{}", self.actions), |all, scope| format!("{all} {scope}"))
    }

    /// A token, for the user if there is one. `None` if anonymous users get none.
    async fn token(
        &self,
        registry: &Url,
        realm: &Realm,
        credentials: Option<Credentials>,
    ) -> Result<Option<Authorization>, Failure> {
        let refused = |reason: &str| Failure::new(registry, Reason::Token(reason.to_owned()));
        let url = Url::parse(&realm.url).map_err(|_| refused("the realm is no address"))?;
        let is_allowed = match url.scheme() {
            "https" => true,
            "http" => registry.scheme() == "http" || self.transport.http.is_insecure(&url),
            _ => false,
        };
        if !is_allowed {
            return Err(refused("the realm is not secure"));
        }
        let http = &self.transport.http;
        let response = self.ask_for_token(url, http.reach_from(registry), realm, credentials.as_ref()).await?;
        match (response.status(), credentials) {
            // Some answer 400 to an identity token that has expired (RFC 6749, 5.2).
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST, Some(credentials)) => {
                Err(Failure::new(response.url(), Reason::WrongCredentials(credentials.origin)))
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, None) => Ok(None),
            _ => {
                let url = response.url().clone();
                let token = parse_token(&document(successful(response)?, http.transfer_limits()).await?);
                let token = token.ok_or_else(|| Failure::new(&url, Reason::Token("no token".into())))?;
                Ok(Some(Authorization::Bearer(token)))
            }
        }
    }

    async fn ask_for_token(
        &self,
        url: Url,
        reach: Reach,
        realm: &Realm,
        credentials: Option<&Credentials>,
    ) -> Result<Response, Failure> {
        let http = &self.transport.http;
        let authorization = match credentials.map(|credentials| &credentials.secret) {
            Some(Secret::IdentityToken(token)) => {
                let fields = [
                    ("grant_type", "refresh_token"),
                    ("service", realm.service.as_str()),
                    ("scope", realm.scope.as_str()),
                    ("client_id", CLIENT),
                    ("refresh_token", token),
                ];
                return http.post_form(&url, reach, &fields).await;
            }
            Some(Secret::Password { username, password }) => {
                Some(Authorization::Basic { username: username.clone(), password: password.clone() })
            }
            None => None,
        };
        let url = token_url(url, &realm.service, &realm.scope);
        http.send(&HttpRequest::new(url, reach), authorization.as_ref()).await
    }

    /// Who we are to this registry. Looked up once, when it first asks.
    fn credentials(&self, url: &Url) -> Result<Option<Credentials>, Failure> {
        if let Some(given) = &self.given {
            return Ok(Some(given.clone()));
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = &*found {
            return Ok(found.credentials.clone());
        }
        let wanted = Wanted { registry: &self.endpoint.registry, repository: &self.endpoint.repository };
        let fresh = credentials::find(wanted).map_err(|error| Failure::new(url, Reason::Lookup(error.to_string())))?;
        Ok(found.insert(fresh).credentials.clone())
    }

    fn url(&self, scheme: &str, path: &str) -> Result<Url, Failure> {
        let Endpoint { server, repository, .. } = &self.endpoint;
        let url = format!("{scheme}://{server}/v2/{repository}/{path}");
        Url::parse(&url).map_err(|error| Failure { url, reason: Reason::Setup(error.to_string()) })
    }

    fn scheme(&self) -> &'static str {
        self.scheme.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or("https")
    }

    /// Whether this URL is one of the registry. One without TLS is not, where the registry has it: what is for the registry
    /// would be sent for everybody to read.
    pub(super) fn is_registry(&self, url: &Url) -> bool {
        let leaves_tls = url.scheme() == "http" && self.scheme() == "https";
        !leaves_tls && self.url(url.scheme(), "").is_ok_and(|own| own.origin() == url.origin())
    }

    fn authorization(&self) -> MutexGuard<'_, Option<Authorization>> {
        self.authorization.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where to request a token, and for what.
struct Realm {
    url: String,
    service: String,
    scope: String,
}

/// Whether nobody was there, or nobody who speaks TLS.
fn is_unreachable(failure: &Failure) -> bool {
    matches!(failure.reason, Reason::Tls(_) | Reason::Transport(_) | Reason::Refused(_))
}
