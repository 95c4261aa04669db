//! Where images and their layers come from: an OCI layout on disk, a local tar archive, or a registry.
//!
//! A fetcher describes an image without touching its layers, then hands out each layer as a stream of bytes. It writes
//! nothing and verifies only the small documents; the layers' digests are checked where the streams are read.

mod docker;
mod documents;
mod oci;
mod tar_file;

use std::io::Read;

pub use docker::{Credentials, Reason, Registry, RegistryError, RegistryOptions};
pub use oci::OciLayout;
pub use tar_file::TarFile;

use crate::image::{Image, InvalidChainId, Layer, ParseError, Reference, without_secret};
use crate::sys::path_error::PathError;

/// A source of one image.
#[derive(Debug)]
pub enum Fetcher {
    /// An OCI image layout directory.
    Oci(OciLayout),
    /// A local tar archive.
    Tar(TarFile),
    /// An image in a registry.
    Docker(Registry),
}

/// Why an image or a layer could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The argument is not an image reference.
    #[error(transparent)]
    Reference(#[from] ParseError),
    /// The layout or the index does not exist.
    #[error("Image source doesn't exist")]
    NoSuchSource,
    /// No image of that name in the layout.
    #[error("fetching image reference: no descriptor found for reference \"{0}\"")]
    NoSuchName(String),
    /// Several images and no name to tell which.
    #[error("fetching image reference: the layout holds {count} images, name one: {names}")]
    Ambiguous {
        /// How many there are.
        count: usize,
        /// Their names.
        names: String,
    },
    /// An index has nothing for this machine.
    #[error("fetching image reference: no image for platform {wanted}, only for {found}")]
    NoPlatform {
        /// The platform of this machine.
        wanted: String,
        /// The platforms there are.
        found: String,
    },
    /// An index or a manifest that cannot be used.
    #[error("fetching image reference: {0}: {1}")]
    BadDocument(String, String),
    /// The image configuration cannot be used.
    #[error("fetching image configuration: {0}")]
    BadConfig(String),
    /// A layer of a kind that is not a tar archive.
    #[error("layer `{digest}` has the unknown media type `{media_type}`")]
    MediaType {
        /// The layer's digest.
        digest: String,
        /// What the manifest calls it.
        media_type: String,
    },
    /// A layer that can be had only from the network.
    #[error(
        "streaming blob `{0}`: the layer is not in the layout, and this build cannot fetch remote layers (`urls`): \
         put the blob into the layout's blobs directory"
    )]
    RemoteLayer(String),
    /// A diff id that cannot name a volume.
    #[error("fetching image configuration: {0}")]
    ChainId(#[from] InvalidChainId),
    /// A document could not be read.
    #[error("fetching image reference: {0}")]
    Document(PathError),
    /// The tar archive's time stamp could not be read.
    #[error("fetching image timestamp: {0}")]
    TimeStamp(PathError),
    /// A directory where a tar archive was expected.
    #[error("invalid base image: directory provided instead of a tar file")]
    Directory,
    /// A registry did not describe the image.
    #[error(transparent)]
    Registry(RegistryError),
    /// A registry did not hand out a layer.
    #[error("streaming blob `{0}`: {1}")]
    RegistryBlob(String, RegistryError),
    /// A blob could not be opened.
    #[error("streaming blob `{0}`: {1}")]
    Blob(String, PathError),
}

impl Fetcher {
    /// The fetcher for an image argument. `verify` is whether digests of a layout's documents must be right; those of
    /// a registry's always must.
    pub fn for_reference(reference: &Reference, text: &str, verify: bool, options: &RegistryOptions) -> Self {
        match reference {
            Reference::Tar(path) => Fetcher::Tar(TarFile::new(path)),
            Reference::Oci { layout, name } => Fetcher::Oci(OciLayout::new(layout, name.as_deref(), verify)),
            Reference::Docker(reference) => Fetcher::Docker(Registry::new(reference, &without_secret(text), options)),
        }
    }

    /// Describes the image.
    pub fn image(&self) -> Result<Image, Error> {
        match self {
            Fetcher::Oci(layout) => layout.image(),
            Fetcher::Tar(tar) => tar.image(),
            Fetcher::Docker(registry) => registry.image(),
        }
    }

    /// Whether layers can be read a second time.
    pub fn is_repeatable(&self) -> bool {
        match self {
            Fetcher::Tar(tar) => tar.is_repeatable(),
            Fetcher::Oci(_) | Fetcher::Docker(_) => true,
        }
    }

    /// Opens the stream of one layer. May block for as long as the source does.
    pub fn open(&self, layer: &Layer) -> Result<Box<dyn Read + Send>, Error> {
        match self {
            Fetcher::Oci(layout) => layout.open(layer),
            Fetcher::Tar(tar) => tar.open(),
            Fetcher::Docker(registry) => registry.open(layer),
        }
    }
}
