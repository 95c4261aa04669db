//! Images in registries (OCI distribution specification, Docker registry API version 2).
//!
//! ```text
//! mod     from the reference over index and manifest to the configuration
//! client  one registry, one image: scheme, authorization, retries
//! http    one GET: which hosts are verified, what a redirect may do
//! auth    challenges, tokens, credentials
//! network the thread that connections live in
//! blob    a layer's bytes, resumed when the connection breaks
//! retry   how often, how soon
//! error   what the user is told
//! ```
//!
//! No thread is started and no certificate read before [`Registry::image`] is called.

mod auth;
mod blob;
mod client;
mod error;
mod http;
mod network;
mod retry;

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

pub use auth::Credentials;
pub use error::{Error as RegistryError, Reason};

use self::blob::Blob;
use self::client::Session;
use super::{Error, documents};
use crate::image::{Descriptor, DockerReference, Document, Image, Layer, is_sha256};

/// What manifests are understood. The last two, of schema 1, are asked for only to be refused by name.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v1+prettyjws;q=0.1, \
    application/vnd.docker.distribution.manifest.v1+json;q=0.1";

/// How registries are to be talked to.
#[derive(Clone, Debug, Default)]
pub struct RegistryOptions {
    /// `host` or `host:port` of registries whose certificates are not verified and that may speak plain HTTP.
    pub insecure: Vec<String>,
    /// For the registry of the image; `None` is anonymous.
    pub credentials: Option<Credentials>,
}

/// One image in its registry.
#[derive(Debug)]
pub struct Registry {
    reference: DockerReference,
    text: String,
    options: RegistryOptions,
    session: Mutex<Option<Arc<Session>>>,
}

impl Registry {
    /// Names the image, by `text` to the user; nothing is sent yet.
    pub fn new(reference: &DockerReference, text: &str, options: &RegistryOptions) -> Self {
        Registry {
            reference: reference.clone(),
            text: text.to_owned(),
            options: options.clone(),
            session: Mutex::default(),
        }
    }

    /// Walks from the tag or digest over indexes and the manifest to the configuration.
    pub(super) fn image(&self) -> Result<Image, Error> {
        let session = self.session().map_err(Error::Registry)?;
        let (config, layers) = self.manifest(&session)?;
        if let Some(layer) = layers.iter().find(|layer| !is_sha256(&layer.digest)) {
            return Err(bad_digest(layer));
        }
        let config = blob_document(&session, &config)?;
        documents::image(&config, layers)
    }

    /// Opens the stream of a layer's blob.
    pub(super) fn open(&self, layer: &Layer) -> Result<Box<dyn Read + Send>, Error> {
        let opened = self.session().and_then(|session| Blob::open(session, &layer.blob_id, layer.size));
        match opened {
            Ok(blob) => Ok(Box::new(blob)),
            Err(error) => Err(Error::RegistryBlob(layer.blob_id.clone(), error)),
        }
    }

    fn manifest(&self, session: &Session) -> Result<(Descriptor, Vec<Descriptor>), Error> {
        let reference = session.reference();
        let mut json = manifest_document(session, reference.version())?;
        if let Some(digest) = &reference.digest {
            documents::check_digest(&json, digest)?;
        }
        for _ in 0..=documents::INDEX_DEPTH {
            match documents::parse(&json, &self.text)? {
                Document::Manifest { config, layers } => return Ok((config, layers)),
                Document::Index(entries) => {
                    let entry = documents::choose_by_platform(entries)?;
                    if !is_sha256(&entry.digest) {
                        return Err(bad_digest(&entry));
                    }
                    json = manifest_document(session, &entry.digest)?;
                    documents::check_digest(&json, &entry.digest)?;
                }
            }
        }
        Err(Error::BadDocument(self.text.clone(), "indexes nest too deeply".into()))
    }

    fn session(&self) -> Result<Arc<Session>, RegistryError> {
        let mut slot = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = &*slot {
            return Ok(Arc::clone(session));
        }
        let RegistryOptions { insecure, credentials } = &self.options;
        let session = Session::new(self.reference.clone(), &self.text, insecure, credentials.clone())?;
        Ok(Arc::clone(slot.insert(Arc::new(session))))
    }
}

fn manifest_document(session: &Session, version: &str) -> Result<Vec<u8>, Error> {
    session.document(&format!("manifests/{version}"), MANIFESTS).map_err(Error::Registry)
}

fn blob_document(session: &Session, descriptor: &Descriptor) -> Result<Vec<u8>, Error> {
    if !is_sha256(&descriptor.digest) {
        return Err(bad_digest(descriptor));
    }
    let bytes = session.document(&format!("blobs/{}", descriptor.digest), "").map_err(Error::Registry)?;
    documents::check_digest(&bytes, &descriptor.digest)?;
    Ok(bytes)
}

/// Digests become parts of URLs, and are what the bytes are verified by.
fn bad_digest(descriptor: &Descriptor) -> Error {
    Error::BadDocument(descriptor.digest.clone(), "not a sha256 digest".into())
}
