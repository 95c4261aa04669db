//! Why a registry did not give what it was asked for.

use reqwest::StatusCode;

use crate::fetcher::http::{Failure, Reason};

/// A failure, as the user is told of it. Never holds credentials or a query, which may be a secret too.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its certificate cannot be verified, or it speaks plain HTTP.
    #[error("This registry is insecure. To pull images from this registry, please use the --insecure-registry option.")]
    Insecure,
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
    #[error("fetching {image}: {missing} is not in the store, and --offline keeps it from being fetched")]
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
            Failure { reason: Reason::Tls(detail), url } => {
                tracing::error!(url, detail, "registry-is-insecure");
                Error::Insecure
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
