//! Images in registries (OCI distribution specification, Docker registry API version 2).
//!
//! ```text
//! mod         from the reference over index and manifest to the configuration
//! endpoints      the registry and its mirrors, asked in turn
//! endpoint    which those are
//! push        images written to the registry
//! session     one of them, one image: scheme, authorization, retries
//! auth        challenges and tokens
//! credentials who we are
//! error       what the user is told
//! ```
//!
//! No thread is started, no certificate and no login read before something is needed that [`MetadataCache`] does not have.

mod auth;
mod credentials;
mod endpoint;
mod endpoints;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod push;
mod session;

use std::io::Read;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

pub use credentials::Credentials;
pub use error::Error as RegistryError;
pub use push::{Push, PushError, Sent};

use self::endpoints::Endpoints;
use self::session::{FetchedManifest, Session};
use super::http::{Failure, ParallelStream};
use super::remote::{self, RemoteError, RemoteLayers};
use super::{Error, MetadataCache, Options, Tag, metadata};
use crate::image::{Descriptor, DockerReference, Image, Layer, ManifestOrIndex, is_sha256, parse_manifest_or_index};

/// What manifests are understood. The last two, of schema 1, are asked for only to be refused by name.
const MANIFESTS: &[&str] = &[
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/vnd.docker.distribution.manifest.v1+json",
];

/// What a document is to the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ManifestKind {
    /// The index or manifest that the reference names.
    Named,
    /// A manifest that an index leads to.
    Manifest,
    /// The configuration.
    Config,
}

impl ManifestKind {
    fn path(self, version: &str) -> String {
        format!("{}/{version}", if self == ManifestKind::Config { "blobs" } else { "manifests" })
    }

    fn accept(self) -> &'static [&'static str] {
        if self == ManifestKind::Config { &[] } else { MANIFESTS }
    }

    /// Only of what the user has named a refusal means that there is no such image for this user.
    fn failure(self, failure: Failure) -> Failure {
        if self == ManifestKind::Named { failure.or_not_visible() } else { failure }
    }
}

/// One image in its registry.
#[derive(Debug)]
pub(super) struct Registry {
    reference: DockerReference,
    text: String,
    options: Options,
    endpoints: Mutex<Option<Arc<Endpoints>>>,
    remote: RemoteLayers,
}

impl Registry {
    /// Names the image, by `text` to the user; nothing is sent yet.
    pub(super) fn new(reference: &DockerReference, text: &str, options: &Options) -> Self {
        Registry {
            reference: reference.clone(),
            text: text.to_owned(),
            options: options.clone(),
            endpoints: Mutex::default(),
            // The client certificates are for what layouts keep elsewhere.
            remote: RemoteLayers::new(None, options),
        }
    }

    /// What the image is called.
    pub(super) fn name(&self) -> &str {
        &self.text
    }

    /// Walks from the tag or digest over indexes and the manifest to the configuration.
    pub(super) fn image(&self, cached: &dyn MetadataCache) -> Result<Image, Error> {
        self.resolve(cached).map_err(|error| error.of_image(&self.text))
    }

    fn resolve(&self, cached: &dyn MetadataCache) -> Result<Image, Error> {
        let (digest, config, layers) = self.manifest(cached)?;
        if let Some(unusable) = layers.iter().chain([&config]).find(|blob| !is_sha256(&blob.digest)) {
            return Err(bad_digest(unusable));
        }
        let image = metadata::image(&self.by_digest(ManifestKind::Config, &config.digest, cached)?, layers)?;
        Ok(Image { manifest_digest: Some(digest), ..image })
    }

    /// Opens the stream of a layer's blob. Reading ends with an error soon after `cancel` is set.
    pub(super) fn open<'a>(&self, layer: &Layer, cancel: &'a AtomicBool) -> Result<Box<dyn Read + Send + 'a>, Error> {
        let urls = remote::supported(layer);
        if layer.is_foreign && !urls.is_empty() {
            return self.open_elsewhere(urls, layer, cancel);
        }
        let opened = self.endpoints(&layer.blob_id).and_then(|endpoints| {
            let (network, transfer_limits) = (endpoints.network(), self.options.transfer_limits);
            let blob = endpoints::Blob::new(endpoints, &layer.blob_id, cancel);
            ParallelStream::open(blob, network, layer.size, transfer_limits, cancel)
        });
        match opened {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) if error.is_missing() && !urls.is_empty() => self.open_elsewhere(urls, layer, cancel),
            Err(error) => Err(Error::RegistryBlob(layer.blob_id.clone(), Box::new(error))),
        }
    }

    fn open_elsewhere<'a>(
        &self,
        urls: Vec<reqwest::Url>,
        layer: &Layer,
        cancel: &'a AtomicBool,
    ) -> Result<Box<dyn Read + Send + 'a>, Error> {
        let of_layer = |error| Error::RemoteLayer(layer.blob_id.clone(), error).of_image(&self.text);
        if self.options.offline {
            return Err(of_layer(RemoteError::Offline));
        }
        let reach = self.endpoints(&layer.blob_id).map_err(Error::Registry)?.reach();
        self.remote.open(urls, reach, layer, cancel).map_err(of_layer)
    }

    /// Asks no mirror any more, and for no parts of blobs. Whether that was done, and may be to blame for wrong bytes.
    pub(super) fn disable_alternatives(&self) -> bool {
        let endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(endpoints) = &*endpoints else { return false };
        // Both, whatever the first says.
        endpoints.disable_mirrors() | endpoints.network().forbid_parts()
    }

    /// The manifest's digest, its configuration and its layers.
    fn manifest(&self, cached: &dyn MetadataCache) -> Result<(String, Descriptor, Vec<Descriptor>), Error> {
        let mut json = match &self.reference.digest {
            Some(digest) => self.by_digest(ManifestKind::Named, digest, cached)?,
            None => self.by_tag(self.reference.version(), cached)?,
        };
        for _ in 0..=metadata::INDEX_DEPTH {
            match metadata::parse(&json, &self.text)? {
                ManifestOrIndex::Manifest { config, layers } => return Ok((metadata::digest(&json), config, layers)),
                ManifestOrIndex::Index(entries) => {
                    let entry = metadata::choose_by_platform(entries)?;
                    if !is_sha256(&entry.digest) {
                        return Err(bad_digest(&entry));
                    }
                    json = self.by_digest(ManifestKind::Manifest, &entry.digest, cached)?;
                }
            }
        }
        Err(Error::BadManifest(self.text.clone(), "indexes nest too deeply".into()))
    }

    /// A document that cannot change.
    fn by_digest(&self, kind: ManifestKind, digest: &str, cached: &dyn MetadataCache) -> Result<Vec<u8>, Error> {
        if let Some(bytes) = cached.get(digest) {
            return Ok(bytes);
        }
        let path = kind.path(digest);
        let sent = self.ask(digest, |session| {
            let sent = session.document(&path, kind.accept()).map_err(|failure| kind.failure(failure))?;
            let mismatch = metadata::digest_mismatch(&sent.bytes, digest);
            sent.validate(mismatch)
        })?;
        cached.add(digest, &sent.bytes);
        Ok(sent.bytes)
    }

    /// What a tag stands for today. Costs one short answer where that has not changed.
    fn by_tag(&self, tag: &str, cached: &dyn MetadataCache) -> Result<Vec<u8>, Error> {
        let name = format!("{}/{}:{tag}", self.reference.registry, self.reference.repository);
        let before = cached.tag(&name).and_then(|tag| Some((cached.get(&tag.digest)?, tag)));
        let (bytes, before) = match before {
            Some((bytes, _)) if self.options.offline => return Ok(bytes),
            Some((bytes, tag)) => (bytes, Some(tag)),
            None => (Vec::new(), None),
        };
        let path = ManifestKind::Named.path(tag);
        let changed = self.ask(&name, |session| {
            let server = &session.endpoint().server;
            let tags = before.as_ref().map_or_else(Vec::new, |before| before.entity_tags(server));
            let sent = session.changed_document(&path, MANIFESTS, &tags);
            let Some(sent) = sent.map_err(|failure| ManifestKind::Named.failure(failure))? else { return Ok(None) };
            let wrong = parse_manifest_or_index(&sent.bytes).err().map(|wrong| metadata::flat(&wrong));
            Ok(Some((sent.validate(wrong)?, server.clone())))
        })?;
        let Some((FetchedManifest { bytes, tag, .. }, server)) = changed else { return Ok(bytes) };
        let now = Tag { digest: metadata::digest(&bytes), entity_tag: tag.unwrap_or_default(), server };
        // A registry that knows no entity tags sends what is cached already.
        if before.as_ref() != Some(&now) {
            cached.add(&now.digest, &bytes);
            cached.set_tag(&name, now);
        }
        Ok(bytes)
    }

    /// Asks the mirrors and the registry in turn for `wanted`.
    fn ask<T>(&self, wanted: &str, ask: impl Fn(&Session) -> Result<T, Failure>) -> Result<T, Error> {
        self.endpoints(wanted).and_then(|endpoints| endpoints.ask(ask)).map_err(Error::Registry)
    }

    fn endpoints(&self, wanted: &str) -> Result<Arc<Endpoints>, RegistryError> {
        if self.options.offline {
            return Err(RegistryError::Offline { image: self.text.clone(), missing: wanted.to_owned() });
        }
        let mut slot = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoints) = &*slot {
            return Ok(Arc::clone(endpoints));
        }
        let endpoints = Endpoints::new(&self.reference, &self.text, &self.options)?;
        Ok(Arc::clone(slot.insert(Arc::new(endpoints))))
    }
}

/// Digests become parts of URLs, and are what the bytes are verified by.
fn bad_digest(descriptor: &Descriptor) -> Error {
    let not_sha256 = || Error::BadManifest(descriptor.digest.clone(), "not a sha256 digest".into());
    metadata::check_algorithm(&descriptor.digest).err().unwrap_or_else(not_sha256)
}
