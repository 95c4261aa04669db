//! Images in registries (OCI distribution specification, Docker registry API version 2).
//!
//! ```text
//! mod         from the reference over index and manifest to the configuration
//! places      the registry and its mirrors, asked in turn
//! endpoint    which those are
//! session     one of them, one image: scheme, authorization, retries
//! auth        challenges and tokens
//! credentials who we are
//! error       what the user is told
//! ```
//!
//! No thread is started, no certificate and no login read before something is needed that [`Documents`] does not have.

mod auth;
mod credentials;
mod endpoint;
mod error;
mod places;
mod session;

use std::io::Read;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

pub use credentials::Credentials;
pub use error::Error as RegistryError;

use self::places::Places;
use self::session::{Sent, Session};
use super::http::{BlobStream, Failure};
use super::remote::{self, RemoteError, RemoteLayers};
use super::{Documents, Error, Options, Tag, documents};
use crate::image::{Descriptor, DockerReference, Document, Image, Layer, is_sha256, parse_document};

/// What manifests are understood. The last two, of schema 1, are asked for only to be refused by name.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.1, \
    application/vnd.docker.distribution.manifest.v1+json;q=0.1";

/// What a document is to the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The index or manifest that the reference names.
    Named,
    /// A manifest that an index leads to.
    Manifest,
    /// The configuration.
    Config,
}

impl Kind {
    fn path(self, version: &str) -> String {
        format!("{}/{version}", if self == Kind::Config { "blobs" } else { "manifests" })
    }

    fn accept(self) -> &'static str {
        if self == Kind::Config { "" } else { MANIFESTS }
    }

    /// Only of what the user has named a refusal means that there is no such image for this user.
    fn failure(self, failure: Failure) -> Failure {
        if self == Kind::Named { failure.or_not_visible() } else { failure }
    }
}

/// One image in its registry.
#[derive(Debug)]
pub(super) struct Registry {
    reference: DockerReference,
    text: String,
    options: Options,
    places: Mutex<Option<Arc<Places>>>,
    remote: RemoteLayers,
}

impl Registry {
    /// Names the image, by `text` to the user; nothing is sent yet.
    pub(super) fn new(reference: &DockerReference, text: &str, options: &Options) -> Self {
        Registry {
            reference: reference.clone(),
            text: text.to_owned(),
            options: options.clone(),
            places: Mutex::default(),
            // The client certificates are for what layouts keep elsewhere.
            remote: RemoteLayers::default(),
        }
    }

    /// What the image is called.
    pub(super) fn name(&self) -> &str {
        &self.text
    }

    /// Walks from the tag or digest over indexes and the manifest to the configuration.
    pub(super) fn image(&self, known: &dyn Documents) -> Result<Image, Error> {
        self.resolve(known).map_err(|error| error.of_image(&self.text))
    }

    fn resolve(&self, known: &dyn Documents) -> Result<Image, Error> {
        let (config, layers) = self.manifest(known)?;
        if let Some(unusable) = layers.iter().chain([&config]).find(|blob| !is_sha256(&blob.digest)) {
            return Err(bad_digest(unusable));
        }
        documents::image(&self.by_digest(Kind::Config, &config.digest, known)?, layers)
    }

    /// Opens the stream of a layer's blob. Reading ends with an error soon after `cancel` is set.
    pub(super) fn open<'a>(&self, layer: &Layer, cancel: &'a AtomicBool) -> Result<Box<dyn Read + Send + 'a>, Error> {
        let urls = remote::supported(layer);
        if layer.is_foreign && !urls.is_empty() {
            return self.open_elsewhere(urls, layer, cancel);
        }
        let opened = self.places(&layer.blob_id).and_then(|places| {
            let network = places.network();
            BlobStream::open(places::Blob::new(places, &layer.blob_id, cancel), network, layer.size, cancel)
        });
        match opened {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) if error.is_missing() && !urls.is_empty() => self.open_elsewhere(urls, layer, cancel),
            Err(error) => Err(Error::RegistryBlob(layer.blob_id.clone(), error)),
        }
    }

    fn open_elsewhere<'a>(
        &self,
        urls: Vec<reqwest::Url>,
        layer: &Layer,
        cancel: &'a AtomicBool,
    ) -> Result<Box<dyn Read + Send + 'a>, Error> {
        let opened =
            if self.options.offline { Err(RemoteError::Offline) } else { self.remote.open(urls, layer, cancel) };
        opened.map_err(|error| Error::RemoteLayer(layer.blob_id.clone(), error).of_image(&self.text))
    }

    /// Asks no mirror any more. Whether there are any, one of which may be to blame for wrong bytes.
    pub(super) fn leave_mirrors(&self) -> bool {
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.as_ref().is_some_and(|places| places.leave_mirrors())
    }

    fn manifest(&self, known: &dyn Documents) -> Result<(Descriptor, Vec<Descriptor>), Error> {
        let mut json = match &self.reference.digest {
            Some(digest) => self.by_digest(Kind::Named, digest, known)?,
            None => self.by_tag(self.reference.version(), known)?,
        };
        for _ in 0..=documents::INDEX_DEPTH {
            match documents::parse(&json, &self.text)? {
                Document::Manifest { config, layers } => return Ok((config, layers)),
                Document::Index(entries) => {
                    let entry = documents::choose_by_platform(entries)?;
                    if !is_sha256(&entry.digest) {
                        return Err(bad_digest(&entry));
                    }
                    json = self.by_digest(Kind::Manifest, &entry.digest, known)?;
                }
            }
        }
        Err(Error::BadDocument(self.text.clone(), "indexes nest too deeply".into()))
    }

    /// A document that cannot change.
    fn by_digest(&self, kind: Kind, digest: &str, known: &dyn Documents) -> Result<Vec<u8>, Error> {
        if let Some(bytes) = known.get(digest) {
            return Ok(bytes);
        }
        let path = kind.path(digest);
        let sent = self.ask(digest, |session| {
            let sent = session.document(&path, kind.accept()).map_err(|failure| kind.failure(failure))?;
            let mismatch = documents::digest_mismatch(&sent.bytes, digest);
            sent.unless(mismatch)
        })?;
        known.add(digest, &sent.bytes);
        Ok(sent.bytes)
    }

    /// What a tag stands for today. Costs one short answer where that has not changed.
    fn by_tag(&self, tag: &str, known: &dyn Documents) -> Result<Vec<u8>, Error> {
        let name = format!("{}/{}:{tag}", self.reference.registry, self.reference.repository);
        let before = known.tag(&name).and_then(|tag| Some((known.get(&tag.digest)?, tag)));
        let (bytes, before) = match before {
            Some((bytes, _)) if self.options.offline => return Ok(bytes),
            Some((bytes, tag)) => (bytes, Some(tag)),
            None => (Vec::new(), None),
        };
        let path = Kind::Named.path(tag);
        let changed = self.ask(&name, |session| {
            let server = &session.endpoint().server;
            let tags = before.as_ref().map_or_else(Vec::new, |before| before.entity_tags(server));
            let sent = session.changed_document(&path, MANIFESTS, &tags);
            let Some(sent) = sent.map_err(|failure| Kind::Named.failure(failure))? else { return Ok(None) };
            let wrong = parse_document(&sent.bytes).err().map(|wrong| documents::flat(&wrong));
            Ok(Some((sent.unless(wrong)?, server.clone())))
        })?;
        let Some((Sent { bytes, tag, .. }, server)) = changed else { return Ok(bytes) };
        let now = Tag { digest: documents::digest(&bytes), entity_tag: tag.unwrap_or_default(), server };
        // A registry that knows no entity tags sends what is known already.
        if before.as_ref() != Some(&now) {
            known.add(&now.digest, &bytes);
            known.set_tag(&name, now);
        }
        Ok(bytes)
    }

    /// Asks the mirrors and the registry in turn for `wanted`.
    fn ask<T>(&self, wanted: &str, ask: impl Fn(&Session) -> Result<T, Failure>) -> Result<T, Error> {
        self.places(wanted).and_then(|places| places.ask(ask)).map_err(Error::Registry)
    }

    fn places(&self, wanted: &str) -> Result<Arc<Places>, RegistryError> {
        if self.options.offline {
            return Err(RegistryError::Offline { image: self.text.clone(), missing: wanted.to_owned() });
        }
        let mut slot = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = &*slot {
            return Ok(Arc::clone(places));
        }
        let places = Places::new(&self.reference, &self.text, &self.options)?;
        Ok(Arc::clone(slot.insert(Arc::new(places))))
    }
}

/// Digests become parts of URLs, and are what the bytes are verified by.
fn bad_digest(descriptor: &Descriptor) -> Error {
    Error::BadDocument(descriptor.digest.clone(), "not a sha256 digest".into())
}
