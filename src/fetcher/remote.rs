//! Layers that an image keeps on servers of its own, at the `urls` of their descriptors (OCI image specification).
//!
//! These servers are nobody that a login is for: no credentials are sent to them, whatever the image says. What shows who
//! we are is a client certificate, if the configuration names some.

use std::fmt;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::{Response, StatusCode, Url};

use super::http::{
    ATTEMPTS, BlobSource, Certificates, FEW_ATTEMPTS, Failure, Http, HttpRequest, Network, ParallelStream, RangeSource,
    Reach, Reason, TransferLimits, Trust, successful, with_retries,
};
use super::{Options, ProgressReporter};
use crate::image::Layer;

/// The way to such layers. Comes into being when it is first needed.
#[derive(Debug, Default)]
pub(super) struct RemoteLayers {
    certificates: Option<std::path::PathBuf>,
    transfer_limits: TransferLimits,
    observer: Option<Arc<dyn ProgressReporter>>,
    client: Mutex<Option<Arc<Client>>>,
}

/// Why none of a layer's URLs gave it.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// What came of each.
    #[error("failed fetching external blob from all urls: {0}")]
    AllFailed(Failures),
    /// The network is needed and not to be used.
    #[error("the layer is not in the store, and --offline is set")]
    Offline,
    /// No request could be made, or none is wanted any more.
    #[error("{0}")]
    NoRequest(Reason),
}

/// URLs without their queries, and why each failed.
#[derive(Debug, Default)]
pub struct Failures(Vec<(String, Reason)>);

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (url, reason)) in self.0.iter().enumerate() {
            write!(f, "{}{url}: {reason}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// Those of a layer's URLs that can be asked.
pub(super) fn supported(layer: &Layer) -> Vec<Url> {
    let parsed = layer.urls.iter().filter_map(|url| Url::parse(url).ok());
    parsed.filter(|url| matches!(url.scheme(), "http" | "https")).collect()
}

impl RemoteLayers {
    /// `certificates` is a directory of further authorities and client certificates.
    pub(super) fn new(certificates: Option<&Path>, options: &Options) -> Self {
        RemoteLayers {
            certificates: certificates.map(Path::to_owned),
            transfer_limits: options.transfer_limits,
            observer: options.observer.clone(),
            client: Mutex::default(),
        }
    }

    /// Opens a layer at the first of `urls` that has it. The image chose them, so whoever the image is from says how far
    /// they may lead.
    pub(super) fn open<'a>(
        &self,
        urls: Vec<Url>,
        reach: Reach,
        layer: &Layer,
        cancel: &'a AtomicBool,
    ) -> Result<Box<dyn Read + Send + 'a>, RemoteError> {
        let client = self.client().map_err(RemoteError::NoRequest)?;
        let network = Arc::clone(&client.network);
        let source = LayerUrls { client, urls, reach, position: 0, failures: Failures::default(), cancel };
        Ok(Box::new(ParallelStream::open(source, network, layer.size, self.transfer_limits, cancel)?))
    }

    fn client(&self) -> Result<Arc<Client>, Reason> {
        let mut slot = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*slot {
            return Ok(Arc::clone(client));
        }
        let network = Network::start(self.observer.clone()).map_err(|error| Reason::Setup(error.to_string()))?;
        let client = Client::new(self.certificates.as_deref(), self.transfer_limits, network)?;
        Ok(Arc::clone(slot.insert(Arc::new(client))))
    }
}

#[derive(Debug)]
struct Client {
    network: Arc<Network>,
    /// One for each client certificate, or one without any: a server takes one of ours, and does not say which.
    identities: Vec<Http>,
}

impl Client {
    fn new(certificates: Option<&Path>, transfer_limits: TransferLimits, network: Network) -> Result<Self, Reason> {
        let read = certificates.map_or_else(|| Ok(Certificates::default()), Certificates::read);
        let count = read.map_err(|error| Reason::Setup(error.to_string()))?.identities();
        let trust = |identity| Trust { certificates: certificates.map(Path::to_owned), identity, ..Trust::default() };
        Ok(Client {
            network: Arc::new(network),
            identities: (0..count.max(1)).map(|identity| Http::new(trust(identity), transfer_limits)).collect(),
        })
    }
}

/// The URLs of one layer, with each identity in turn.
struct LayerUrls<'a> {
    client: Arc<Client>,
    urls: Vec<Url>,
    reach: Reach,
    /// The URL and identity that are being asked; those before have failed.
    position: usize,
    failures: Failures,
    cancel: &'a AtomicBool,
}

impl LayerUrls<'_> {
    fn current(&self) -> Option<(&Url, &Http)> {
        let count = self.client.identities.len();
        Some((self.urls.get(self.position / count)?, self.client.identities.get(self.position % count)?))
    }

    fn request(&self, url: &Url, http: &Http, offset: u64) -> Result<Response, Failure> {
        let request = HttpRequest { offset, ..HttpRequest::new(url.clone(), self.reach) };
        let is_last = self.position + 1 >= self.urls.len() * self.client.identities.len();
        let attempts = if is_last { ATTEMPTS } else { FEW_ATTEMPTS };
        with_retries(&self.client.network, self.cancel, attempts, || async {
            let response = successful(http.send(&request, None).await?)?;
            match response.status() {
                StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
                status => Err(Failure::new(url, Reason::Status { status, detail: String::new(), retry_after: None })),
            }
        })
    }
}

/// One URL of a layer, with one identity.
struct LayerUrl {
    client: Arc<Client>,
    identity: usize,
    request: HttpRequest,
}

impl RangeSource for LayerUrl {
    async fn ask(self, range: Range<u64>) -> Result<Response, Failure> {
        let request = HttpRequest { offset: range.start, end: Some(range.end), ..self.request };
        successful(self.client.identities[self.identity].send(&request, None).await?)
    }
}

impl BlobSource for LayerUrls<'_> {
    type Error = RemoteError;
    type Ranges = LayerUrl;

    fn ranges(&self) -> Option<LayerUrl> {
        let count = self.client.identities.len();
        let request = HttpRequest::new(self.urls.get(self.position / count)?.clone(), self.reach);
        Some(LayerUrl { client: Arc::clone(&self.client), identity: self.position % count, request })
    }

    fn ask(&mut self, offset: u64) -> Result<Response, RemoteError> {
        loop {
            let Some((url, http)) = self.current() else {
                return Err(RemoteError::AllFailed(std::mem::take(&mut self.failures)));
            };
            match self.request(url, http, offset) {
                Ok(response) => return Ok(response),
                Err(failure) => self.disable(failure)?,
            }
        }
    }

    fn disable(&mut self, failure: Failure) -> Result<(), RemoteError> {
        if matches!(failure.reason, Reason::Cancelled | Reason::Setup(_)) {
            return Err(RemoteError::NoRequest(failure.reason));
        }
        tracing::info!(url = failure.url, reason = %failure.reason, "url-of-layer-failed");
        self.failures.0.push((failure.url, failure.reason));
        self.position += 1;
        Ok(())
    }

    fn error(&self, failure: Failure) -> RemoteError {
        RemoteError::NoRequest(failure.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ChainId;

    #[test]
    fn only_http_is_supported() {
        let urls = ["ftp://a/b", "https://a/b", "nothing", "http://c", "file:///etc/passwd"];
        let layer = Layer {
            blob_id: "sha256:x".into(),
            size: None,
            diff_id: None,
            chain_id: ChainId::of_text(b""),
            source: None,
            has_blob_digest: true,
            urls: urls.map(str::to_owned).to_vec(),
            media_type: String::new(),
            is_foreign: false,
            base_directory: None,
        };
        let supported: Vec<String> = supported(&layer).iter().map(Url::to_string).collect();
        assert_eq!(supported, ["https://a/b", "http://c/"]);
    }
}
