//! Images written to a registry (OCI distribution specification, "Push").
//!
//! A blob is sent in one request, as containerd does: there are registries that take no blob in parts, and none that take
//! none whole. One that breaks off is sent again from the beginning.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, LOCATION};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;

use super::MANIFESTS;
use super::endpoint;
use super::endpoints::{CERTIFICATES, transport};
use super::error::server;
use super::session::{RegistryRequest, Session, Target};
use crate::fetcher::Options;
use crate::fetcher::http::{Content, Failure, NOT_CANCELLED, Reason, in_time, refusal};
use crate::image::{DockerReference, is_sha256};
use crate::shorten;

/// What a registry takes the content for.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Bytes of an error's body that are read, and for how long.
const ERROR_BYTES: usize = 16 * 1024;
const ERROR_TIMEOUT: Duration = Duration::from_secs(5);

/// Why an image could not be written. Never holds credentials or a query, which may be a secret too.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Its certificate cannot be verified, or it speaks plain HTTP.
    #[error("pushing {image}: {server}: {reason}. This registry is insecure; --insecure-registry allows it")]
    Insecure {
        /// The image.
        image: String,
        /// `host` or `host:port`.
        server: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Not for this user.
    #[error(
        "pushing {image}: the registry denies access: {reason}: log in to it (podman login, docker login), or pass \
         --username and --password-file"
    )]
    Denied {
        /// The image.
        image: String,
        /// What the registry says.
        reason: Reason,
    },
    /// A request failed.
    #[error("pushing {image}: {url}: {reason}")]
    Request {
        /// The image.
        image: String,
        /// What was asked for, without a query.
        url: String,
        /// What came of it.
        reason: Reason,
    },
    /// No request could be made.
    #[error("pushing {image}: {reason}")]
    NoRequest {
        /// The image.
        image: String,
        /// Why not.
        reason: Reason,
    },
    /// The network is not to be used.
    #[error("pushing {0}: --offline is set")]
    Offline(String),
    /// A name that the content decides on.
    #[error("pushing {0}: an image is pushed by a tag, not by a digest")]
    ByDigest(String),
}

/// A repository that an image is written to.
#[derive(Debug)]
pub struct Push {
    session: Session,
    tag: String,
    image: String,
}

/// What is sent, as the registry knows it.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// Its digest.
    pub digest: &'a str,
    /// Bytes.
    pub size: u64,
}

impl Push {
    /// Sends nothing yet. Messages call the image `text`.
    ///
    /// # Errors
    /// When nothing can or may be sent.
    pub fn new(reference: &DockerReference, text: &str, options: &Options) -> Result<Self, PushError> {
        let image = text.to_owned();
        let (Some(tag), None) = (reference.tag.clone(), &reference.digest) else {
            return Err(PushError::ByDigest(image));
        };
        if options.offline {
            return Err(PushError::Offline(image));
        }
        let transport = match transport(options) {
            Ok(transport) => Arc::new(transport),
            Err(error) => return Err(PushError::NoRequest { image, reason: Reason::Setup(error.to_string()) }),
        };
        let session = Session::new(transport, endpoint::origin(reference), options.credentials.clone()).for_push();
        Ok(Push { session, tag, image })
    }

    /// Whether the repository has a blob, or gets it from repository `from` of the same registry.
    ///
    /// # Errors
    /// When the registry does not say, or has something else under that digest.
    pub fn has_blob(&self, blob: Sent<'_>, from: Option<&str>) -> Result<bool, PushError> {
        let asked = self.with_retries(async || {
            if self.is_there(&format!("blobs/{}", blob.digest), blob).await? {
                return Ok(true);
            }
            match from {
                Some(from) => self.mount(blob, from).await,
                None => Ok(false),
            }
        });
        asked.map_err(|failure| self.error(failure))
    }

    /// Sends a blob that is in a file.
    ///
    /// # Errors
    /// When the registry does not take it, or has something else afterwards.
    pub fn blob(&self, blob: Sent<'_>, path: &Path) -> Result<(), PushError> {
        let content = Content::File(path.to_owned(), blob.size);
        let sent = self.with_retries(async || {
            let mut url = self.begin_upload().await?;
            url.query_pairs_mut().append_pair("digest", blob.digest);
            let request = RegistryRequest::new(&Method::PUT, Target::Url(&url));
            let response = self.ask(RegistryRequest { content: Some(&content), ..request }).await?;
            check(&response, blob, None)?;
            self.expect(&format!("blobs/{}", blob.digest), blob).await
        });
        sent.map_err(|failure| self.error(failure))
    }

    /// Names the image with this manifest, all of whose blobs are there, by the tag.
    ///
    /// # Errors
    /// When the registry does not take it, or has something else afterwards.
    pub fn manifest(&self, manifest: Sent<'_>, media_type: &'static str, bytes: Vec<u8>) -> Result<(), PushError> {
        let content = Content::Document(media_type, Bytes::from(bytes));
        let path = format!("manifests/{}", self.tag);
        let transfer_limits = self.session.transport().http.transfer_limits();
        let sent = self.with_retries(|| {
            in_time(&path, transfer_limits, async {
                let request = RegistryRequest::new(&Method::PUT, Target::Path(&path));
                let response = self.ask(RegistryRequest { content: Some(&content), ..request }).await?;
                check(&response, manifest, None)?;
                self.expect(&format!("manifests/{}", manifest.digest), manifest).await
            })
        });
        sent.map_err(|failure| self.error(failure))
    }

    /// Has the registry take a blob over from another of its repositories. Registries that do not, whatever they say of it,
    /// are sent the blob.
    async fn mount(&self, blob: Sent<'_>, from: &str) -> Result<bool, Failure> {
        let path = format!("blobs/uploads/?mount={}&from={from}", blob.digest);
        let asked = self.session.ask(RegistryRequest::new(&Method::POST, Target::Path(&path))).await;
        let Ok(response) = asked else { return Ok(false) };
        match response.status() {
            StatusCode::CREATED => self.is_there(&format!("blobs/{}", blob.digest), blob).await,
            StatusCode::ACCEPTED => {
                // An upload that nobody goes on with: a registry that cannot be told so forgets it in time.
                if let Ok(url) = self.location(&response)
                    && self.session.is_registry(&url)
                {
                    let _ = self.session.ask(RegistryRequest::new(&Method::DELETE, Target::Url(&url))).await;
                }
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// Where a blob may be sent to.
    async fn begin_upload(&self) -> Result<Url, Failure> {
        let request = RegistryRequest::new(&Method::POST, Target::Path("blobs/uploads/"));
        let response = self.ask(request).await?;
        self.location(&response)
    }

    fn location(&self, response: &Response) -> Result<Url, Failure> {
        let location = response.headers().get(LOCATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let location = location.filter(|location| !location.is_empty());
        let none = || failed(response, "the server does not say where to send the blob (no Location)");
        self.session.follow(response, &location.ok_or_else(none)?)
    }

    async fn expect(&self, path: &str, sent: Sent<'_>) -> Result<(), Failure> {
        let request = RegistryRequest::new(&Method::HEAD, Target::Path(path));
        let response = self.ask(RegistryRequest { accept: MANIFESTS, ..request }).await?;
        check(&response, sent, Some(sent.size))
    }

    async fn is_there(&self, path: &str, sent: Sent<'_>) -> Result<bool, Failure> {
        match self.session.ask(RegistryRequest::new(&Method::HEAD, Target::Path(path))).await? {
            response if response.status().is_success() => check(&response, sent, Some(sent.size)).map(|()| true),
            response if response.status() == StatusCode::NOT_FOUND => Ok(false),
            response => Err(refused(response).await),
        }
    }

    /// A request that must be a success.
    async fn ask(&self, request: RegistryRequest<'_>) -> Result<Response, Failure> {
        let response = self.session.ask(request).await?;
        if response.status().is_success() { Ok(response) } else { Err(refused(response).await) }
    }

    fn with_retries<T, F: Future<Output = Result<T, Failure>>>(&self, request: impl Fn() -> F) -> Result<T, Failure> {
        self.session.with_retries(&NOT_CANCELLED, request)
    }

    fn error(&self, failure: Failure) -> PushError {
        let (image, Failure { url, reason }) = (self.image.clone(), failure);
        match reason {
            Reason::Untrusted(detail) => {
                let server = server(&url);
                let certificates = CERTIFICATES[0];
                let reason = format!(
                    "{detail}; put the authority's certificate into {certificates}/{server}/ca.crt to trust it"
                );
                PushError::Insecure { image, server, reason }
            }
            Reason::Tls(reason) => PushError::Insecure { image, server: server(&url), reason },
            Reason::Status { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. } => {
                PushError::Denied { image, reason }
            }
            Reason::Setup(_) | Reason::Lookup(_) | Reason::WrongCredentials(_) => {
                PushError::NoRequest { image, reason }
            }
            reason => PushError::Request { image, url, reason },
        }
    }
}

/// Compares what a registry says that it has with what was sent. What it does not say counts as right: nor is a length of 0
/// one in an answer that has no content, which is what some servers and proxies make of it.
fn check(response: &Response, sent: Sent<'_>, size: Option<u64>) -> Result<(), Failure> {
    let text = |name: &HeaderName| header(response.headers(), name);
    if let Some(digest) = text(&CONTENT_DIGEST).filter(|digest| is_sha256(digest) && digest != sent.digest) {
        return Err(failed(response, &format!("the server has {digest} where {} was sent", sent.digest)));
    }
    let stated = text(&CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok()).filter(|length| *length > 0);
    match (size, stated) {
        (Some(size), Some(stated)) if size != stated => {
            Err(failed(response, &format!("the server has {stated} bytes of {}, which has {size}", sent.digest)))
        }
        _ => Ok(()),
    }
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.trim().to_owned())
}

fn failed(response: &Response, reason: &str) -> Failure {
    Failure::new(response.url(), Reason::ManifestOrIndex(reason.to_owned()))
}

/// Reads from the beginning of the body what the registry says of its refusal.
async fn refused(mut response: Response) -> Failure {
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk[..chunk.len().min(ERROR_BYTES - body.len())]);
            if body.len() == ERROR_BYTES {
                break;
            }
        }
    };
    // What has come until then will do.
    let _ = tokio::time::timeout(ERROR_TIMEOUT, read).await;
    refusal(&response, reported(&body))
}

/// The first error of a registry's document of them, as `code: message`; empty if it is none.
fn reported(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        errors: Vec<Reported>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Reported {
        code: String,
        message: String,
    }
    let Ok(Answer { errors }) = serde_json::from_slice(body) else { return String::new() };
    let Some(Reported { code, message }) = errors.into_iter().next() else { return String::new() };
    let text = [code, message].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    shorten::message(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_of_a_registry_is_told() {
        for (body, expected) in [
            (r#"{"errors":[{"code":"DENIED","message":"no quota"},{"code":"UNKNOWN"}]}"#, "DENIED: no quota"),
            (r#"{"errors":[{"code":"DENIED","message":null}]}"#, ""),
            (r#"{"errors":[{"message":"only this","detail":[1]}]}"#, "only this"),
            (r#"{"errors":[]}"#, ""),
            ("<html>", ""),
            ("", ""),
        ] {
            assert_eq!(reported(body.as_bytes()), expected, "{body}");
        }
    }
}
