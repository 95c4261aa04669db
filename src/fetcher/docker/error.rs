//! Why a registry did not give what it was asked for.

use reqwest::StatusCode;

use crate::fetcher::http::{Failure, Reason};

/// Where certificates of authorities belong.
const CERTIFICATES: &str = super::endpoints::CERTIFICATES[0];

/// A failure, as the user is told of it. Never holds credentials or a query, which may be a secret too.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its certificate cannot be verified, or it speaks plain HTTP.
    #[error(
        "{server}: {reason}. This registry is insecure. To pull images from this registry, please use the \
         --insecure-registry option."
    )]
    Insecure {
        /// `host` or `host:port`.
        server: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Not there, or not for this user; registries do not say which.
    #[error(
        "{0} does not exist or you do not have permissions to see it. (requested access to the resource is denied)"
    )]
    NotVisible(String),
    /// A request failed.
    #[error("fetching {image}: {url}: {reason}")]
    Request {
        /// The image argument.
        image: String,
        /// What was asked for, without a query.
        url: String,
        /// What came of it.
        reason: Reason,
    },
    /// No request could be made, or none is wanted any more.
    #[error("fetching {image}: {reason}")]
    NoRequest {
        /// The image argument.
        image: String,
        /// Why not.
        reason: Reason,
    },
    /// The network is needed and not to be used.
    #[error("fetching {image}: {missing} is not in the store, and --offline is set")]
    Offline {
        /// The image argument.
        image: String,
        /// What is needed.
        missing: String,
    },
}

impl Error {
    /// Whether the registry says that there is no such thing.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Error::Request { reason: Reason::Status { status, .. }, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// What the user is told of a failed request for `image`.
    pub(super) fn of(failure: Failure, image: &str) -> Self {
        let image = image.to_owned();
        match failure {
            Failure { reason: Reason::Untrusted(detail), url } => {
                tracing::error!(url, detail, "registry-is-insecure");
                let server = server(&url);
                let remedy = format!("put the authority's certificate into {CERTIFICATES}/{server}/ca.crt to trust it");
                Error::Insecure { server, reason: format!("{detail}; {remedy}") }
            }
            Failure { reason: Reason::Tls(detail), url } => {
                tracing::error!(url, detail, "registry-is-insecure");
                Error::Insecure { server: server(&url), reason: detail }
            }
            Failure { reason: Reason::NotVisible, .. } => Error::NotVisible(image),
            Failure {
                reason:
                    reason @ (Reason::Setup(_) | Reason::Cancelled | Reason::Lookup(_) | Reason::WrongCredentials(_)),
                ..
            } => Error::NoRequest { image, reason },
            Failure { url, reason } => Error::Request { image, url, reason },
        }
    }
}

/// Where the server of a URL is, as directories of certificates and `--insecure-registry` name it.
pub(super) fn server(url: &str) -> String {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    host.split('/').next().unwrap_or_default().to_owned()
}
