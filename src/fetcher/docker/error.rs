//! Why a registry did not give what it was asked for.

use std::time::Duration;

use crate::sys::path_error::PathError;

/// A failure, as the user is told of it. Never holds credentials or a query, which may be a secret too.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its certificate cannot be verified, or it speaks plain HTTP.
    #[error("This registry is insecure. To pull images from this registry, please use the --insecure-registry option.")]
    Insecure,
    /// Not there, or not for this user; registries do not say which.
    #[error("{0} does not exist or you do not have permissions to see it.")]
    NotVisible(String),
    /// The user name or the password is wrong.
    #[error("unable to retrieve auth token: invalid username/password")]
    Credentials,
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
    /// The program could not get ready for the network.
    #[error("preparing for the network: {0}")]
    Setup(String),
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] PathError),
}

/// What came of a request.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// An answer that is no success.
    #[error("the registry answers {status}")]
    Status {
        /// Code and phrase.
        status: reqwest::StatusCode,
        /// How long the registry wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// No answer, or half of one.
    #[error("{0}")]
    Transport(String),
    /// The certificate cannot be verified, or what answers does not speak TLS.
    #[error("the connection is not secure: {0}")]
    Tls(String),
    /// One redirect after the other.
    #[error("too many redirects")]
    RedirectLoop,
    /// A redirect to nowhere, or to where no request may go.
    #[error("redirected to {0}, which is not a place to go to")]
    Redirect(String),
    /// A document larger than any should be.
    #[error("the answer is larger than any image document")]
    TooLarge,
    /// The registry asks for credentials in a way that is not known.
    #[error("unable to retrieve auth token: {0}")]
    Token(String),
    /// The answer does not go on where the last one stopped.
    #[error("the registry resumes at the wrong place: {0}")]
    Range(String),
}

impl Reason {
    /// Whether it may be different the next time.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Reason::Status { status, .. } => matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504),
            Reason::Transport(_) => true,
            _ => false,
        }
    }

    /// How long to wait at least before the next try.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Reason::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Classifies what the HTTP client reports. Its own message names the URL, query and all, so only the causes are
    /// kept.
    pub(super) fn of(error: &reqwest::Error) -> Self {
        let causes = causes(error);
        if let Some(tls) = causes.iter().find_map(|cause| cause.downcast_ref::<rustls::Error>())
            && is_insecure(tls)
        {
            return Reason::Tls(tls.to_string());
        }
        let last = causes.last().map(|cause| cause.to_string());
        Reason::Transport(match last {
            _ if error.is_timeout() => "no answer in time".to_owned(),
            Some(cause) if error.is_connect() => format!("cannot connect: {cause}"),
            Some(cause) => format!("the connection broke: {cause}"),
            None => "the connection broke".to_owned(),
        })
    }
}

/// Alerts and broken records may be an accident on the way; these are not.
fn is_insecure(error: &rustls::Error) -> bool {
    use rustls::Error::{InvalidCertificate, InvalidMessage, NoCertificatesPresented, PeerIncompatible};
    matches!(error, InvalidCertificate(_) | InvalidMessage(_) | NoCertificatesPresented | PeerIncompatible(_))
}

/// The causes of an error, without the error itself. An I/O error does not count the error that it wraps among its
/// sources, so that one is asked for.
fn causes(error: &reqwest::Error) -> Vec<&(dyn std::error::Error + 'static)> {
    let mut causes = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        causes.push(cause);
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped as &(dyn std::error::Error + 'static)),
            None => cause.source(),
        };
    }
    causes
}
