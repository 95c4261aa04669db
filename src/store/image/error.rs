//! Why an image is not made, not deleted, or not worked on.

use std::path::PathBuf;

use crate::image::UnknownUser;
use crate::limits::Exceeded;
use crate::store::Store;
use crate::store::error::{StoreError, from_store_errors};
use crate::store::image::dependencies;
use crate::store::layer::error::LayerError;
use crate::store::shared::SharedLayersError;
use crate::sys::path_error::reason;
use crate::{driver, fetcher, unpacker};

/// Why an id cannot be one of an image.
#[derive(Debug, thiserror::Error)]
pub enum IdError {
    /// It has a slash, or another character that cannot be in the name of an image.
    #[error("id `{id}` contains invalid characters: `{characters}`")]
    InvalidCharacters {
        /// The id.
        id: String,
        /// The first that is invalid.
        characters: String,
    },
    /// It is too long, or reserved.
    #[error("id `{id}` is not usable: {reason}")]
    Unusable {
        /// The id.
        id: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// Why what names an image names none.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// No such image.
    #[error("Image `{id}` not found.")]
    NotFound {
        /// Its id.
        id: String,
    },
    /// A path that is not one of an image of the store.
    #[error("path `{path}` is outside store path")]
    OutsideStore {
        /// The path.
        path: PathBuf,
    },
}

/// Another process works on the image.
#[derive(Debug, thiserror::Error)]
#[error(
    "image `{id}` is being created, deleted, changed or read by another grootfs process: try again when it has ended"
)]
pub struct ImageBusy {
    /// The image.
    pub id: String,
}

/// The filesystem of the store counts no inodes that a limit could be set on.
#[derive(Debug, thiserror::Error)]
#[error(
    "applying disk limits: {driver} counts inodes as bytes, so that a limit on bytes limits them, too: \
     leave out --disk-limit-inodes (config: create.disk_limit_inodes)"
)]
pub struct NoInodeLimits {
    /// The driver of the store.
    pub driver: &'static str,
}

/// Why an image of the store cannot be looked at, or worked on.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// There is no such image.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// Another process works on it.
    #[error(transparent)]
    Busy(#[from] ImageBusy),
    /// It cannot be told which layers it has.
    #[error("mounting the image {id}: {source}: delete the image and create it again")]
    UnreadableRecord {
        /// The image.
        id: String,
        /// What is wrong with its record.
        source: dependencies::Error,
    },
    /// Something is wrong with the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an image was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteError {
    /// Another process works on it.
    #[error(transparent)]
    Busy(#[from] ImageBusy),
    /// Something is wrong with the store, or with what is mounted in it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an image was not mounted, or not unmounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// One of all images of the store.
    #[error("mounting the image {id}: {source}")]
    OneOfAll {
        /// The image.
        id: String,
        /// What happened.
        source: Box<MountError>,
    },
    /// A layer is not there that it needs.
    #[error("mounting the image {id}: its layer {layer} is missing: delete the image and create it again")]
    LayerMissing {
        /// The image.
        id: String,
        /// Where the layer should be.
        layer: PathBuf,
    },
    /// It cannot be worked on.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Something is wrong with the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the limit of an image was not changed.
#[derive(Debug, thiserror::Error)]
pub enum LimitError {
    /// The filesystem has no such limits.
    #[error(transparent)]
    NoInodeLimits(#[from] NoInodeLimits),
    /// Its record is to be changed and cannot be read.
    #[error("changing the record of image `{id}`: {source}")]
    UnreadableRecord {
        /// The image.
        id: String,
        /// What is wrong with its record.
        source: dependencies::Error,
    },
    /// It cannot be worked on.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Something is wrong with the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the changes of a container were not written as an image.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Its image was made by a version that kept no record of its source.
    #[error("the source of image `{id}` is not on record: create the image again to commit what it has")]
    UnknownOrigin {
        /// The image.
        id: String,
    },
    /// The destination is none that images are written to.
    #[error(
        "`{destination}` cannot be written to: name an image layout, as oci:///path:tag or oci-archive:PATH:tag, or an \
         image in a registry, as docker://HOST/NAME:TAG"
    )]
    NotATarget {
        /// The destination as it was given.
        destination: String,
    },
    /// The name is none for an image in a layout.
    #[error(
        "`{name}` cannot be the name of an image in a layout: it has letters and digits, and one of `-._:@+/` or `--` \
         between them"
    )]
    NotAName {
        /// The name as it was given.
        name: String,
    },
    /// The layers that it is to be on top of cannot be had.
    #[error("the base of image `{id}` is read from {reference} again, which failed: {source}")]
    Base {
        /// The image.
        id: String,
        /// What it was created from.
        reference: String,
        /// What happened.
        source: Box<BaseError>,
    },
    /// The image was deleted and created again meanwhile.
    #[error("image `{id}` was replaced while it was committed; commit it again")]
    Replaced {
        /// The image.
        id: String,
    },
    /// The registry does not take it.
    #[error(transparent)]
    Push(Box<fetcher::PushError>),
    /// The layers that it is to be on top of cannot be copied.
    #[error(transparent)]
    Copy(#[from] BaseError),
    /// The image cannot be worked on.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Something is wrong with the store, or with a file of the new image.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the image that a container was created from cannot be had from its source.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The source does not describe it.
    #[error(transparent)]
    Fetch(#[from] fetcher::Error),
    /// The source does not hand out a layer.
    #[error("pulling the image: {0}")]
    Read(#[source] fetcher::Error),
    /// The source has another image now.
    #[error("its layers differ from those of the image")]
    Changed,
    /// A blob is not what the manifest says.
    #[error("a layer of the base is damaged at its source: expected: {expected}, actual: {actual}")]
    WrongBlob {
        /// The digest that it should have.
        expected: String,
        /// The digest that it has.
        actual: String,
    },
    /// A blob is longer or shorter than the manifest says. Of a longer one no more is read than shows it to be so.
    #[error("a layer of the base is damaged at its source: expected: {expected} bytes, actual: {actual} or more")]
    WrongSize {
        /// Bytes in the manifest.
        expected: u64,
        /// Bytes read.
        actual: u64,
    },
    /// The image cannot be compared with it.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Something is wrong with the store, or with a file of the new image.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a volume that an image declares was not made.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// No container can have it.
    #[error(
        "the image declares a volume at `{declared}`, where nothing can be mounted: leave its volumes out with \
         --image-volumes=ignore (config: create.image_volumes)"
    )]
    Unusable {
        /// Where it is to be mounted, as the image has it.
        declared: String,
    },
    /// The directory that it begins with could not be copied.
    #[error("making image: volume `{destination}`: {source}")]
    Copy {
        /// Where it is to be mounted.
        destination: String,
        /// What happened.
        source: Box<unpacker::Error>,
    },
    /// Its directory could not be made.
    #[error("making image: creating image: {0}")]
    Make(#[source] driver::Error),
    /// Something is wrong with the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the user of an image's process cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The image does not have that user.
    #[error("{0}: write a number instead, or create the image without --bundle")]
    Unknown(#[from] UnknownUser),
    /// A file of the image that tells its users could not be read.
    #[error("reading /{file} of the image: {reason}", reason = reason(.source))]
    Read {
        /// The file, in the image.
        file: PathBuf,
        /// What happened.
        source: std::io::Error,
    },
    /// Something is wrong with the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an image was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// The id cannot be one of an image.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The image is there already.
    #[error("image for id `{id}` already exists")]
    AlreadyExists {
        /// Its id.
        id: String,
    },
    /// Another process works on it.
    #[error(transparent)]
    Busy(#[from] ImageBusy),
    /// The source does not describe the image.
    #[error(transparent)]
    Fetch(#[from] fetcher::Error),
    /// The image has more of something than it may.
    #[error(transparent)]
    Limit(#[from] Exceeded),
    /// More is to be downloaded than the image may use.
    #[error("pulling the image: layers exceed disk quota {blobs}/{limit} bytes")]
    BlobsExceedLimit {
        /// Sum of the blobs' sizes.
        blobs: u64,
        /// The limit.
        limit: u64,
    },
    /// The filesystem has no such limits.
    #[error(transparent)]
    NoInodeLimits(#[from] NoInodeLimits),
    /// A layer does not get into the store.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The same, where the error does not tell by itself which image it is about.
    #[error("{source} ({image})")]
    LayerOf {
        /// The image at its registry.
        image: String,
        /// What happened.
        source: Box<LayerError>,
    },
    /// The store that keeps the layers cannot be used.
    #[error(transparent)]
    SharedLayers(#[from] SharedLayersError),
    /// A volume that it declares could not be made.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The user of its process cannot be told.
    #[error(transparent)]
    User(#[from] UserError),
    /// Its root filesystem could not be made.
    #[error("making image: creating image: {0}")]
    Make(#[source] driver::Error),
    /// A store had no room.
    #[error("{source}: the store {store} is full: delete images, then run `grootfs clean`")]
    Full {
        /// The store that is full.
        store: PathBuf,
        /// What could not be done.
        source: Box<CreateError>,
    },
    /// A store had room for bytes, but for no more files.
    #[error(
        "{source}: the store {store} has no inodes left, although {free_percent} % of its space is free: \
         delete images with many files, then run `grootfs clean`"
    )]
    NoInodesLeft {
        /// The store.
        store: PathBuf,
        /// How much of its space is free.
        free_percent: u64,
        /// What could not be done.
        source: Box<CreateError>,
    },
    /// Something is wrong with the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the layers of an image were not pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// What can be read once, and could not be found again.
    #[error("`{reference}` can be read only once, so that no create would find its layer: create an image from it")]
    ReadOnce {
        /// The image argument.
        reference: String,
    },
    /// What a create of the image would fail of, too.
    #[error(transparent)]
    Create(#[from] CreateError),
}

from_store_errors!(
    ImageError,
    DeleteError,
    MountError,
    LimitError,
    CommitError,
    BaseError,
    VolumeError,
    UserError,
    CreateError
);

impl From<fetcher::PushError> for CommitError {
    fn from(error: fetcher::PushError) -> Self {
        CommitError::Push(Box::new(error))
    }
}

impl CreateError {
    /// Names `store`, if it is its having no room that this is about.
    pub(in crate::store) fn of_store(self, store: &Store) -> Self {
        let is_named = matches!(self, CreateError::Full { .. } | CreateError::NoInodesLeft { .. });
        if is_named || !self.is_full() {
            return self;
        }
        let (root, source) = (store.layout.root().to_owned(), Box::new(self));
        match store.space() {
            Ok(space) if space.lacks_inodes() => {
                let free_percent = space.available.saturating_mul(100) / space.size.max(1);
                CreateError::NoInodesLeft { store: root, free_percent, source }
            }
            _ => CreateError::Full { store: root, source },
        }
    }

    /// Whether a store had no room.
    pub(in crate::store) fn is_full(&self) -> bool {
        !self.is_of_source() && matches!(os_error(self), Some(libc::ENOSPC | libc::EDQUOT))
    }

    /// Whether the image could not be read, wherever it is. That a store is full is never said of such an error.
    fn is_of_source(&self) -> bool {
        match self {
            CreateError::Fetch(_) => true,
            CreateError::Layer(error) => error.is_of_source(),
            CreateError::LayerOf { source, .. } => source.is_of_source(),
            _ => false,
        }
    }
}

impl PullError {
    /// Names `store`, if it is its having no room that this is about.
    pub(in crate::store) fn of_store(self, store: &Store) -> Self {
        match self {
            PullError::Create(error) => error.of_store(store).into(),
            error => error,
        }
    }
}

/// The kernel's error number at the bottom of an error, if there is one.
fn os_error(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    let quota = error.downcast_ref::<drax::Error>().map(drax::Error::errno);
    let number = quota.or_else(|| error.downcast_ref::<std::io::Error>()?.raw_os_error());
    number.or_else(|| os_error(error.source()?))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::sys::path_error::PathError;

    #[test]
    fn only_the_store_itself_is_said_to_be_full() {
        let full = || io::Error::from_raw_os_error(libc::ENOSPC);
        let unpack = |source| LayerError::unpack("sha256:x", source);
        let writing = || unpack(unpacker::Error::File { operation: "write".into(), path: "a".into(), source: full() });
        let reading = || unpack(unpacker::Error::Source(full()));
        let of_image = |source| CreateError::LayerOf { image: "docker:///a".into(), source: Box::new(source) };
        assert!(CreateError::from(writing()).is_full() && of_image(writing()).is_full());
        assert!(!CreateError::from(reading()).is_full() && !of_image(reading()).is_full());
        let document = fetcher::Error::ManifestOrIndex(PathError::new("read", "index.json", full()));
        assert!(!CreateError::from(document).is_full());
        assert!(CreateError::from(PathError::new("mkdir", "images/x", full())).is_full());
    }
}
