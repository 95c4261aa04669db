//! Where images and their layers come from: a layout or an archive on disk, a local tar archive, or a registry.
//!
//! ```text
//! local      what a local path means: an image in a directory or an archive, or a root filesystem in a tar
//! oci        a layout, in a directory or an archive
//! docker_archive  an archive of docker save
//! image_archive   the members of an archive that holds an image
//! tar_file   a root filesystem in a tar
//! docker     registries and their mirrors
//! remote     layers that an image keeps on servers of its own
//! http       what the last two have in common
//! metadata   indexes, manifests and configs, wherever they come from
//! progress   reports of how far the layers are
//! ```
//!
//! A fetcher describes an image without touching its layers, then hands out each layer as a stream of bytes. It writes
//! nothing and verifies only the small documents; the layers' digests are checked where the streams are read.

mod docker;
#[cfg(fuzzing)]
pub use docker::fuzzing;
mod docker_archive;
mod http;
mod image_archive;
mod local;
mod metadata;
mod oci;
mod progress;
mod remote;
mod tar_file;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use docker::Registry;
pub use docker::{Credentials, Push, PushError, RegistryError, Sent};
use docker_archive::DockerArchive;
pub use http::{Reason, TransferLimits};
pub use local::transport_of_unpacked;
use oci::OciLayout;
pub use progress::{Progress, ProgressReporter, Retry};
pub use remote::{Failures, RemoteError};
use tar_file::TarFile;

use crate::archive::ArchiveError;
use crate::image::{EMPTY_ARCHIVE, Image, InvalidChainId, Layer, ParseError, Reference};
use crate::limits::Limits;
use crate::redact;
use crate::sys::path_error::PathError;

/// How sources are to be used.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Do not compare the digests of a layout's documents. Those of a registry always must be right.
    pub skip_validation: bool,
    /// `host` or `host:port` of registries whose certificates are not verified and that may speak plain HTTP.
    pub insecure: Vec<String>,
    /// For the registry of the image; `None` leaves it to what logins left on disk.
    pub credentials: Option<Credentials>,
    /// For each registry the places to ask before it: `[http://|https://]host[:port][/prefix]`.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// Use no network.
    pub offline: bool,
    /// Directory of certificates for layers that a layout keeps elsewhere.
    pub certificates: Option<PathBuf>,
    /// How slow servers may be.
    pub transfer_limits: TransferLimits,
    /// What archives of images are held to.
    pub limits: Limits,
    /// Is told how layers come along.
    pub observer: Option<Arc<dyn ProgressReporter>>,
}

/// MetadataCache that earlier creates have got from registries.
pub trait MetadataCache {
    /// The document with this digest; only if it really has it.
    fn get(&self, digest: &str) -> Option<Vec<u8>>;
    /// Takes note of a document that was fetched.
    fn add(&self, digest: &str, bytes: &[u8]);
    /// What a tag, `registry/repository:tag`, stood for when it was asked for last.
    fn tag(&self, name: &str) -> Option<Tag>;
    /// Takes note of what a tag stands for.
    fn set_tag(&self, name: &str, tag: Tag);
}

/// What a tag stood for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tag {
    /// Digest of the index or manifest.
    pub digest: String,
    /// The entity tag that came with it; may be empty.
    pub entity_tag: String,
    /// Who said so, `host` or `host:port`.
    pub server: String,
}

impl Tag {
    /// What to ask `server` with for something newer. Many registries take the digest for an entity tag; any other
    /// means something only to the server that it came from.
    fn entity_tags(&self, server: &str) -> Vec<String> {
        let mut tags = vec![format!("\"{}\"", self.digest)];
        if server == self.server && !self.entity_tag.is_empty() && !tags.contains(&self.entity_tag) {
            tags.push(self.entity_tag.clone());
        }
        tags
    }
}

/// The source of one image.
#[derive(Debug)]
pub struct Fetcher {
    source: Source,
    observer: Option<Arc<dyn ProgressReporter>>,
    /// The file that the name of an image in a registry could have been as well.
    missing_file: Option<PathBuf>,
}

#[derive(Debug)]
enum Source {
    Oci(Box<OciLayout>),
    DockerArchive(DockerArchive),
    Tar(TarFile),
    Docker(Box<Registry>),
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
    #[error("fetching image reference: no descriptor found for reference \"{0}\"{others}", others = there_are(.1))]
    NoSuchName(String, String),
    /// A layout that would be found at a relative path.
    #[error("Image source doesn't exist: {absolute} is absolute; write oci:{relative} for the one in this directory",
        absolute = .0.display(),
        relative = .1.display()
    )]
    RelativeLayout(PathBuf, PathBuf),
    /// A local file that holds no image.
    #[error("`{path}`: {1}", path = .0.display())]
    NotAnArchive(PathBuf, ArchiveError),
    /// An image in a form that only Docker itself ever read.
    #[error("`{path}`: it is an image saved by Docker before 1.10, without a manifest.json: load it into a newer Docker and save it again", path = .0.display())]
    SavedByOldDocker(PathBuf),
    /// Neither a file nor an image in a registry.
    #[error("{0}; and there is no such file: stat {path}: no such file or directory", path = .1.display())]
    NeitherFileNorImage(Box<Error>, PathBuf),
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
    BadManifest(String, String),
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
    /// A layer is only on other servers, and could not be fetched there.
    #[error("streaming blob `{0}`: {1}")]
    RemoteLayer(String, RemoteError),
    /// A diff id that cannot name a volume.
    #[error("fetching image configuration: {0}")]
    ChainId(#[from] InvalidChainId),
    /// A document could not be read.
    #[error("fetching image reference: {0}")]
    ManifestOrIndex(PathError),
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
    RegistryBlob(String, Box<RegistryError>),
    /// A blob could not be opened.
    #[error("streaming blob `{0}`: {1}")]
    Blob(String, PathError),
    /// An error that does not tell by itself which image it is about.
    #[error("{0} ({1})")]
    OfImage(Box<Error>, String),
}

fn there_are(names: &str) -> String {
    if names.is_empty() { ", nor any other name".to_owned() } else { format!(", there are: {names}") }
}

impl Error {
    /// Names the image, where the error does not.
    fn of_image(self, image: &str) -> Self {
        match self {
            Error::Registry(_) | Error::RegistryBlob(..) => self,
            other if other.to_string().contains(image) => other,
            other => Error::OfImage(Box::new(other), image.to_owned()),
        }
    }
}

impl Fetcher {
    /// The fetcher for an image argument. Local files are looked at, to tell what they are.
    pub fn for_reference(reference: &Reference, text: &str, options: &Options) -> Result<Self, Error> {
        let registry = |reference| Source::Docker(Box::new(Registry::new(reference, &redact::address(text), options)));
        let mut missing_file = None;
        let source = match reference {
            Reference::Docker(reference) => registry(reference),
            Reference::Name { path, .. } if path.exists() => local::source(path, options)?,
            Reference::Name { path, docker } => {
                missing_file = Some(path.clone());
                registry(docker)
            }
            Reference::Tar(path) => local::source(path, options)?,
            Reference::Oci { layout, name } => local::layout(layout, name.as_deref(), options),
            Reference::OciArchive { path, name } => local::oci_archive(path, name.as_deref(), options)?,
            Reference::DockerArchive { path, name } => local::docker_archive(path, name.as_deref(), options)?,
            Reference::Directory(path) => local::directory(path, options),
        };
        Ok(Fetcher { source, observer: options.observer.clone(), missing_file })
    }

    /// Describes the image.
    pub fn image(&self, cached: &dyn MetadataCache) -> Result<Image, Error> {
        let image = match &self.source {
            Source::Oci(layout) => layout.image(),
            Source::DockerArchive(archive) => archive.image(),
            Source::Tar(tar) => tar.image(),
            Source::Docker(registry) => registry.image(cached),
        };
        image.map_err(|error| match &self.missing_file {
            Some(path) => Error::NeitherFileNorImage(Box::new(error), path.clone()),
            None => error,
        })
    }

    /// Lets layers that are packed twice, as those of a compressed archive, take room in `directory` while they are read.
    pub fn use_scratch(&self, directory: &Path) {
        match &self.source {
            Source::Oci(layout) => layout.use_scratch(directory),
            Source::DockerArchive(archive) => archive.use_scratch(directory),
            Source::Tar(_) | Source::Docker(_) => {}
        }
    }

    /// Whether layers can be read a second time.
    pub fn is_repeatable(&self) -> bool {
        match &self.source {
            Source::Tar(tar) => tar.is_repeatable(),
            Source::Oci(_) | Source::DockerArchive(_) | Source::Docker(_) => true,
        }
    }

    /// Opens the stream of one layer. May block for as long as the source does; but where that is the network, only for
    /// a moment after `cancel` is set.
    pub fn open<'a>(&self, layer: &Layer, cancel: &'a AtomicBool) -> Result<Box<dyn Read + Send + 'a>, Error> {
        if layer.blob_id == EMPTY_ARCHIVE {
            return Ok(Box::new(metadata::empty_archive()));
        }
        let stream = match &self.source {
            Source::Oci(layout) => layout.open(layer, cancel),
            Source::DockerArchive(archive) => archive.open(layer),
            Source::Tar(tar) => tar.open(layer),
            Source::Docker(registry) => registry.open(layer, cancel),
        }?;
        Ok(match &self.observer {
            Some(observer) => Box::new(progress::ProgressReader::new(stream, observer.layer(layer))),
            None => stream,
        })
    }

    /// Whether layers of `image` come over a network.
    pub fn is_remote(&self, image: &Image) -> bool {
        matches!(&self.source, Source::Docker(_)) || image.layers.iter().any(|layer| self.is_remote_layer(layer))
    }

    /// Whether this layer does.
    pub fn is_remote_layer(&self, layer: &Layer) -> bool {
        matches!(&self.source, Source::Docker(_)) || !layer.urls.is_empty()
    }

    /// Whether layers are to be opened one after the other, because each that is open takes much memory.
    pub fn opens_one_at_a_time(&self) -> bool {
        match &self.source {
            Source::Oci(layout) => layout.takes_much_memory(),
            Source::DockerArchive(archive) => archive.takes_much_memory(),
            Source::Tar(_) | Source::Docker(_) => false,
        }
    }

    /// Who is told how layers come along; `None` where nobody looks.
    pub fn observer(&self) -> Option<&dyn ProgressReporter> {
        self.observer.as_deref()
    }

    /// The registry's name of the image, where there is a registry.
    pub fn registry_image(&self) -> Option<&str> {
        match &self.source {
            Source::Docker(registry) => Some(registry.name()),
            _ => None,
        }
    }

    /// Has no mirror asked any more, and no layer put together of parts. Whether that was done and may be to blame for a
    /// layer that is not what the manifest says, so that opening it again may help.
    pub fn disable_alternatives(&self) -> bool {
        matches!(&self.source, Source::Docker(registry) if registry.disable_alternatives())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_server_is_asked_with_an_entity_tag() {
        let tag = |entity_tag: &str| Tag {
            digest: "sha256:x".into(),
            entity_tag: entity_tag.into(),
            server: "a.example".into(),
        };
        assert_eq!(tag("W/\"7\"").entity_tags("a.example"), ["\"sha256:x\"", "W/\"7\""]);
        assert_eq!(tag("W/\"7\"").entity_tags("b.example"), ["\"sha256:x\""]);
        assert_eq!(tag("\"sha256:x\"").entity_tags("a.example"), ["\"sha256:x\""]);
        assert_eq!(tag("").entity_tags("a.example"), ["\"sha256:x\""]);
    }
}
