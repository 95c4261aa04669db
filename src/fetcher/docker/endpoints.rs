//! The registry of an image and its mirrors, asked in turn.
//!
//! A mirror that fails, in whatever way, is not asked again by this create. The registry itself comes last; what it
//! fails with is what the user is told.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Response;

use super::credentials::Credentials;
use super::endpoint::endpoints;
use super::error::Error;
use super::session::{Session, Transport};
use crate::fetcher::Options;
use crate::fetcher::http::{BlobSource, Failure, Http, Network, RangeSource, Reach, Reason, Trust};
use crate::image::DockerReference;

/// Where engines keep certificates for registries, a directory for each (`containers-certs.d(5)`).
pub(super) const CERTIFICATES: [&str; 2] = ["/etc/containers/certs.d", "/etc/docker/certs.d"];

/// How registries are talked to. Starts the thread for connections; nothing is sent yet.
pub(super) fn transport(options: &Options) -> io::Result<Transport> {
    let trust = Trust {
        insecure_hosts: options.insecure.clone(),
        certificates_by_host: CERTIFICATES.map(Into::into).to_vec(),
        ..Trust::default()
    };
    Ok(Transport {
        network: Arc::new(Network::start(options.observer.clone())?),
        http: Http::new(trust, options.transfer_limits),
    })
}

/// All the endpoints there are for one image. Any thread may ask.
#[derive(Debug)]
pub(super) struct Endpoints {
    transport: Arc<Transport>,
    image: String,
    mirrors: Vec<Mirror>,
    origin: Session,
}

#[derive(Debug)]
struct Mirror {
    session: Session,
    /// It has failed.
    is_disabled: AtomicBool,
}

impl Endpoints {
    /// Starts the thread for connections; nothing is sent yet. `image` is what messages call the image.
    pub(super) fn new(reference: &DockerReference, image: &str, options: &Options) -> Result<Self, Error> {
        let setup = |reason| Error::NoRequest { image: image.to_owned(), reason: Reason::Setup(reason) };
        let mut endpoints = endpoints(reference, &options.mirrors).map_err(|error| setup(error.to_string()))?;
        let transport = Arc::new(transport(options).map_err(|error| setup(error.to_string()))?);
        let session = |endpoint, given: Option<Credentials>| Session::new(Arc::clone(&transport), endpoint, given);
        let origin = endpoints.pop().ok_or_else(|| setup("no registry".to_owned()))?;
        Ok(Endpoints {
            image: image.to_owned(),
            origin: session(origin, options.credentials.clone()),
            // What the user says is meant for the registry, not for whoever stands in for it.
            mirrors: endpoints
                .into_iter()
                .map(|endpoint| Mirror { session: session(endpoint, None), is_disabled: AtomicBool::new(false) })
                .collect(),
            transport,
        })
    }

    /// How far the image may lead.
    pub(super) fn reach(&self) -> Reach {
        self.origin.reach()
    }

    /// What drives the connections.
    pub(super) fn network(&self) -> Arc<Network> {
        Arc::clone(&self.transport.network)
    }

    /// Asks one after the other.
    pub(super) fn ask<T>(&self, ask: impl Fn(&Session) -> Result<T, Failure>) -> Result<T, Error> {
        self.ask_in_turn(ask).map(|(answer, _)| answer)
    }

    /// Asks no mirror any more. Whether there are any.
    pub(super) fn disable_mirrors(&self) -> bool {
        self.mirrors.iter().for_each(|mirror| mirror.is_disabled.store(true, Ordering::Relaxed));
        !self.mirrors.is_empty()
    }

    /// The answer, and which mirror it came from.
    fn ask_in_turn<T>(&self, ask: impl Fn(&Session) -> Result<T, Failure>) -> Result<(T, Option<usize>), Error> {
        for (index, mirror) in self.mirrors.iter().enumerate() {
            if mirror.is_disabled.load(Ordering::Relaxed) {
                continue;
            }
            match ask(&mirror.session) {
                Ok(answer) => return Ok((answer, Some(index))),
                Err(failure @ Failure { reason: Reason::Cancelled, .. }) => return Err(self.error(failure)),
                Err(failure) => mirror.disable(&failure),
            }
        }
        ask(&self.origin).map(|answer| (answer, None)).map_err(|failure| self.error(failure))
    }

    fn error(&self, failure: Failure) -> Error {
        Error::of(failure, &self.image)
    }
}

impl Mirror {
    fn disable(&self, failure: &Failure) {
        let mirror = &self.session.endpoint().server;
        tracing::info!(mirror, url = failure.url, reason = %failure.reason, "mirror-failed");
        self.is_disabled.store(true, Ordering::Relaxed);
    }
}

/// A blob of the image.
pub(super) struct Blob<'a> {
    endpoints: Arc<Endpoints>,
    digest: String,
    cancel: &'a AtomicBool,
    /// The mirror that answered last, by its place in the list.
    mirror: Option<usize>,
}

impl<'a> Blob<'a> {
    /// Asks for nothing yet.
    pub(super) fn new(endpoints: Arc<Endpoints>, digest: &str, cancel: &'a AtomicBool) -> Self {
        Blob { endpoints, digest: digest.to_owned(), cancel, mirror: None }
    }
}

/// The same, of the registry itself.
pub(super) struct BlobRanges {
    endpoints: Arc<Endpoints>,
    digest: String,
}

impl RangeSource for BlobRanges {
    async fn ask(self, range: Range<u64>) -> Result<Response, Failure> {
        self.endpoints.origin.part(&self.digest, range).await
    }
}

impl BlobSource for Blob<'_> {
    type Error = Error;
    type Ranges = BlobRanges;

    /// None of a mirror, which may be one that pulls through: docker-registry asks its origin for all of a blob that it does
    /// not have yet, as often as it is asked for a part.
    fn ranges(&self) -> Option<BlobRanges> {
        let ranges = || BlobRanges { endpoints: Arc::clone(&self.endpoints), digest: self.digest.clone() };
        self.mirror.is_none().then(ranges)
    }

    fn ask(&mut self, offset: u64) -> Result<Response, Error> {
        let ask = |session: &Session| session.blob(&self.digest, offset, self.cancel);
        let (response, mirror) = self.endpoints.ask_in_turn(ask)?;
        self.mirror = mirror;
        Ok(response)
    }

    fn disable(&mut self, failure: Failure) -> Result<(), Error> {
        match self.mirror.and_then(|mirror| self.endpoints.mirrors.get(mirror)) {
            Some(mirror) => {
                mirror.disable(&failure);
                Ok(())
            }
            None => Err(self.error(failure)),
        }
    }

    fn error(&self, failure: Failure) -> Error {
        self.endpoints.error(failure)
    }
}
