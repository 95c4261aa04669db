//! Failed requests: what failed, and whether and when to try again.

use std::io;
use std::time::Duration;

use reqwest::Url;

use super::addresses::OutOfReach;
use super::retry::{ATTEMPTS, FEW_ATTEMPTS};
use super::tls::{describe, missing_in_common};
use crate::limits::Exceeded;

/// A request that did not bring what was asked for.
#[derive(Debug)]
pub(in crate::fetcher) struct Failure {
    /// Where it went, without what may be secret in it.
    pub(in crate::fetcher) url: String,
    pub(in crate::fetcher) reason: Reason,
}

impl Failure {
    pub(in crate::fetcher) fn new(url: &Url, reason: Reason) -> Self {
        Failure { url: shown(url), reason }
    }

    /// Takes a refusal for what it means where a registry is asked for an image: registries do not say whether it is not
    /// there or not for this user.
    pub(in crate::fetcher) fn or_not_visible(self) -> Self {
        match self.reason {
            Reason::Status { status, .. } if matches!(status.as_u16(), 401 | 403 | 404) => {
                Failure { reason: Reason::NotVisible, ..self }
            }
            _ => self,
        }
    }
}

/// What came of a request.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// An answer that is no success.
    #[error("the server answers {status}{}{}", says(.detail), when(.retry_after))]
    Status {
        /// Code and phrase.
        status: reqwest::StatusCode,
        /// What the server says of it; may be empty.
        detail: String,
        /// How long the server wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// No answer, or half of one.
    #[error("{0}")]
    Transport(String),
    /// Nobody listens there.
    #[error("cannot connect: {0}")]
    Refused(String),
    /// The certificate is nobody's who is trusted.
    #[error("the connection is not secure: {0}")]
    Untrusted(String),
    /// The certificate is wrong, or what answers does not speak TLS.
    #[error("the connection is not secure: {0}")]
    Tls(String),
    /// The server wants what cannot be had.
    #[error("no TLS connection: {0}")]
    Incompatible(&'static str),
    /// One redirect after the other.
    #[error("too many redirects")]
    RedirectLoop,
    /// A redirect to nowhere, or to where no request may go.
    #[error("redirected to {0}, which is not an allowed URL")]
    Redirect(String),
    /// Where only the user may send a request.
    #[error("referred to an address that is not allowed: {0}")]
    OutOfReach(String),
    /// Hardly anything came.
    #[error(
        "only {bytes} bytes received in {seconds} s: fewer than {min_rate} a second count as a stall \
         (create.limits.min_bytes_per_second)"
    )]
    TooSlow {
        /// What came.
        bytes: u64,
        /// While it was waited for.
        seconds: u64,
        /// Bytes a second that should have come.
        min_rate: u64,
    },
    /// A document took too long in all.
    #[error("no complete response within {0} s (create.limits.manifest_timeout_seconds)")]
    TooLong(u64),
    /// A document that is too large.
    #[error("{0}")]
    TooLarge(Box<Exceeded>),
    /// A document that is not what was asked for.
    #[error("{0}")]
    ManifestOrIndex(String),
    /// The registry asks for credentials in a way that is not known.
    #[error("unable to retrieve auth token: {0}")]
    Token(String),
    /// The user name or the password is wrong; tells where they were found.
    #[error("unable to retrieve auth token: invalid username/password ({0})")]
    WrongCredentials(String),
    /// Nothing there, or nothing for this user.
    #[error("not found, or access denied")]
    NotVisible,
    /// Credentials could not be looked up.
    #[error("{0}")]
    Lookup(String),
    /// The answer does not go on where the last one stopped.
    #[error("the server resumes at the wrong place: {0}")]
    Range(String),
    /// The program could not get ready for the network.
    #[error("preparing for the network: {0}")]
    Setup(String),
    /// Nobody wants the answer any more.
    #[error("cancelled")]
    Cancelled,
}

impl Reason {
    /// Whether it may be different the next time.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Reason::Status { status, .. } => matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504),
            Reason::Transport(_) | Reason::Refused(_) | Reason::TooSlow { .. } | Reason::TooLong(_) => true,
            _ => false,
        }
    }

    /// The most tries that may be worth it. What is slow is given up sooner, since each try takes long,
    /// and so is a port at which nobody listens.
    pub(super) fn attempts(&self) -> u32 {
        match self {
            Reason::TooSlow { .. } | Reason::TooLong(_) | Reason::Refused(_) => FEW_ATTEMPTS,
            _ => ATTEMPTS,
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
    pub(in crate::fetcher) fn of(error: &reqwest::Error) -> Self {
        let causes = causes(error);
        if let Some(out) = causes.iter().find_map(|cause| cause.downcast_ref::<OutOfReach>()) {
            return Reason::OutOfReach(out.to_string());
        }
        let tls = causes.iter().find_map(|cause| cause.downcast_ref::<rustls::Error>());
        if let Some(tls) = tls.filter(|tls| is_insecure(tls)) {
            return describe(tls);
        }
        if let Some(missing) = tls.and_then(missing_in_common) {
            return Reason::Incompatible(missing);
        }
        let is_refused = |cause: &&(dyn std::error::Error + 'static)| {
            cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        };
        if let Some(refused) = causes.iter().find(|cause| is_refused(cause)) {
            return Reason::Refused(refused.to_string());
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

/// Whether the connection ended without saying so.
pub(super) fn is_unexpected_end(error: &reqwest::Error) -> bool {
    let is_end = |cause: &&(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
    };
    causes(error).iter().any(is_end)
}

fn says(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(" ({detail})") }
}

/// Told only where the server asks to wait longer than allowed.
fn when(retry_after: &Option<Duration>) -> String {
    let too_long = retry_after.filter(|pause| *pause > super::retry::LONGEST_PAUSE);
    too_long.map_or_else(String::new, |pause| format!(" and asks to be left alone for {} s", pause.as_secs()))
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

/// A URL without what may be secret in it.
pub(super) fn shown(url: &Url) -> String {
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
    fn secrets_in_a_url_are_not_shown() {
        let url = Url::parse("https://me:secret@a.example/b?signature=secret").unwrap();
        assert_eq!(shown(&url), "https://a.example/b");
    }
}
