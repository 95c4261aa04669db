//! Why a transaction on a store fails, in words for its user.

use std::path::PathBuf;

use crate::limits::Exceeded;
use crate::store::Store;
use crate::store::image::dependencies;
use crate::sys::path_error::PathError;
use crate::{driver, fetcher, unpacker};

/// Why the store could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was unpacked as a root filesystem is an image in files.
    #[error("`{0}` holds an image, not a root filesystem: store it in a file and create from {1}:FILE")]
    HoldsImage(String, &'static str),
    /// A local archive was replaced while two creates read it.
    #[error("`{0}` was replaced while images were created from it; create the image again")]
    SourceReplaced(String),
    /// The directory is no store.
    #[error("Store path is not initialized. Please run init-store.")]
    NotInitialised,
    /// There is nothing at the store's path.
    #[error("no store found at {0}")]
    Missing(String),
    /// `init-store` by somebody else than root.
    #[error("store {0} can only be initialized by Root user")]
    NotRoot(String),
    /// The filesystem that holds the store is not mounted.
    #[error(
        "the store {store} is not mounted: {backing} holds it. Mount it, as root, with \
         `grootfs --driver {driver} --store {store} init-store`"
    )]
    NotMounted {
        /// The store.
        store: String,
        /// The file that holds it.
        backing: String,
        /// The driver it was named with.
        driver: &'static str,
    },
    /// An image's root filesystem could not be mounted.
    #[error("mounting the image {0}: {1}")]
    MountImage(String, #[source] Box<Error>),
    /// A layer is not there that an image needs.
    #[error("mounting the image {0}: its layer {path} is missing: delete the image and create it again", path = .1.display())]
    LayerMissing(String, PathBuf),
    /// It cannot be told which layers an image has.
    #[error("mounting the image {0}: {1}: delete the image and create it again")]
    UnreadableRecord(String, #[source] dependencies::Error),
    /// An image id with a slash, or one that cannot be a file name.
    #[error("id `{0}` contains invalid characters: `{1}`")]
    InvalidId(String, String),
    /// An image id that is too long, or reserved.
    #[error("id `{0}` is not usable: {1}")]
    UnusableId(String, &'static str),
    /// The image is there already.
    #[error("image for id `{0}` already exists")]
    AlreadyExists(String),
    /// Another process works on the image.
    #[error("image `{0}` is being created or deleted by another grootfs process: try again when it has ended")]
    Busy(String),
    /// No such image.
    #[error("Image `{0}` not found.")]
    NotFound(String),
    /// A path that is not below the store.
    #[error("path `{0}` is outside store path")]
    OutsideStore(String),
    /// The image could not be described.
    #[error(transparent)]
    Fetch(#[from] fetcher::Error),
    /// More is to be downloaded than the image may use.
    #[error("pulling the image: layers exceed disk quota {blobs}/{limit} bytes")]
    BlobsExceedLimit {
        /// Sum of the blobs' sizes.
        blobs: u64,
        /// The limit.
        limit: u64,
    },
    /// A layer could not be read.
    #[error("pulling the image: {0}")]
    Pull(#[source] fetcher::Error),
    /// A layer could not be unpacked.
    #[error("pulling the image: {stage} `{layer}`: {source}")]
    Unpack {
        /// Whether reading or unpacking failed.
        stage: &'static str,
        /// The layer.
        layer: String,
        /// What happened.
        source: Box<unpacker::Error>,
    },
    /// An error that does not tell by itself which image it is about.
    #[error("{0} ({1})")]
    OfImage(#[source] Box<Error>, String),
    /// A store had no room.
    #[error("{0}: the store {1} is full: delete images, then run `grootfs clean`")]
    Full(#[source] Box<Error>, String),
    /// A volume that no container can have.
    #[error(
        "the image declares a volume at `{0}`, where nothing can be mounted: leave its volumes out with \
         --image-volumes=ignore (config: create.image_volumes)"
    )]
    UnusableVolume(String),
    /// A pull of what can be read once, and could not be found again.
    #[error("`{0}` can be read only once, so that no create would find its layer: create an image from it")]
    ReadOnce(String),
    /// A commit of an image of which it is not known what it was created from.
    #[error("the source of image `{0}` is not on record: create the image again to commit what it has")]
    UnknownOrigin(String),
    /// A commit to what is no image layout.
    #[error("`{0}` cannot be written to: name an image layout, as oci:///path:tag or oci-archive:PATH:tag")]
    NotATarget(String),
    /// The layers that a commit is to be on top of cannot be had.
    #[error("the base of image `{0}` is read from {1} again, and is not to be had: {2}")]
    Base(String, String, #[source] Box<Error>),
    /// The source of an image has another image now.
    #[error("its layers are others than those of the image")]
    BaseChanged,
    /// A blob of a source is not what its manifest says.
    #[error("a layer of the base is damaged at its source: expected: {0}, actual: {1}")]
    WrongBlob(String, String),
    /// A record that is to be changed cannot be read.
    #[error("changing the record of image `{0}`: {1}")]
    DamagedRecord(String, #[source] dependencies::Error),
    /// The image's process is to be one of a user that the image does not have.
    #[error("{0}: write a number instead, or create the image without --bundle")]
    UnknownUser(#[from] crate::image::UnknownUser),
    /// A file of the image that tells its users could not be read.
    #[error("reading /{path} of the image: {reason}", path = .0.display(), reason = crate::sys::path_error::reason(.1))]
    ReadUsers(PathBuf, #[source] std::io::Error),
    /// The directory that a volume begins with could not be copied.
    #[error("making image: volume `{destination}`: {source}")]
    ImageVolume {
        /// Where the volume is to be mounted.
        destination: String,
        /// What happened.
        source: Box<unpacker::Error>,
    },
    /// A store had room for bytes, but for no more files.
    #[error(
        "{0}: the store {1} has no inodes left, although {2} % of its space is free: \
         delete images with many files, then run `grootfs clean`"
    )]
    NoInodesLeft(#[source] Box<Error>, String, u64),
    /// A limit on inodes where the filesystem counts none.
    #[error(
        "applying disk limits: {0} counts inodes as bytes, so that a limit on bytes limits them, too: \
         leave out --disk-limit-inodes (config: create.disk_limit_inodes)"
    )]
    NoInodeLimits(&'static str),
    /// The image could not be made.
    #[error("making image: creating image: {0}")]
    MakeImage(#[source] driver::Error),
    /// The image could not be removed.
    #[error("{0}")]
    DeleteImage(#[source] driver::Error),
    /// An earlier layer of the same image failed.
    #[error("pulling the image: cancelled")]
    Cancelled,
    /// Another init-store or delete-store takes its time.
    #[error("another init-store or delete-store is running (it holds {0}): try again when it has ended")]
    InitBusy(&'static str),
    /// A store of the given size cannot be made.
    #[error("store size must be at least 200Mb")]
    TooSmall,
    /// A store cannot be made smaller.
    #[error("store {path} has {actual} bytes and cannot be made smaller: {wanted} were asked for, nothing was changed")]
    CannotShrink {
        /// The store.
        path: String,
        /// Its size.
        actual: u64,
        /// The size asked for.
        wanted: u64,
    },
    /// The backing file holds something else.
    #[error(
        "{path} holds {found} and was left as it is: move it away to have a new store made, \
         or mount it on {store} yourself"
    )]
    NotFormatted {
        /// The backing file.
        path: String,
        /// What is in it.
        found: &'static str,
        /// The store.
        store: String,
    },
    /// The store is of a later version.
    #[error(
        "the store {path} has the format {recorded}, and this grootfs knows no later one than {known}: use the grootfs that \
         made it, or a later one", path = .store.display()
    )]
    UnknownFormat {
        /// The store.
        store: PathBuf,
        /// What it has on record.
        recorded: String,
        /// The latest version known.
        known: u32,
    },
    /// The store's path is no directory.
    #[error("path `{0}` is not a directory")]
    NotADirectory(String),
    /// The path has characters that mount options give a meaning.
    #[error("store path `{0}` contains one of `:`, `,` and `\\`, which mount options cannot: choose another")]
    UnusablePath(String),
    /// The path cannot be said in JSON.
    #[error("store path `{0}` is not UTF-8, which the answers of create are: choose another")]
    PathIsNoText(String),
    /// The store has other id mappings than asked for.
    #[error("provided {0} mappings do not match those already configured in the store")]
    MappingsDiffer(&'static str),
    /// The store's id mappings cannot be read.
    #[error("invalid namespace file: {0} ({path}): remove it and run init-store with the store's mappings", path = .1.display())]
    BadNamespaceFile(String, PathBuf),
    /// The store's id mappings are not what root has recorded.
    #[error("{path} is not what root has on record of this store: run init-store with the store's mappings", path = .0.display())]
    UntrustedNamespaceFile(PathBuf),
    /// Another, or no, store is to keep the layers than the one that does.
    #[error("the store's layers are kept elsewhere than asked for: init.shared_layers cannot be changed")]
    SharedLayersDiffer,
    /// A store that cannot keep another one's layers.
    #[error("the layers cannot be shared with the store {0}: {1}")]
    CannotShare(String, &'static str),
    /// The layers are in a store that is not there.
    #[error("the store {0}, which keeps the layers of this one, is not initialised: run init-store on it")]
    LayerStoreMissing(String),
    /// Shared layers cannot be used that way.
    #[error("the layers of this store are shared with another one: {0}")]
    SharedLayersNeed(&'static str),
    /// Images of another store would lose their layers.
    #[error("images of the store {0} need layers of this one: delete that store first, or {1} if it is lost")]
    LayersInUse(String, PathBuf),
    /// `delete-store` on something that is no store.
    #[error("refusing to delete possibly corrupted store: {0} is not a store: it has no {1}")]
    NotAStore(String, &'static str),
    /// A create of the original holds the lock while it downloads.
    #[error("another process claims layers of the store for more than 3 s: clean again when it has ended")]
    ClaimsBusy,
    /// A clean that hangs, or was stopped, keeps creates from claiming their layers.
    #[error("the store was locked for {seconds} s by {holders}: end it if it hangs, then try again")]
    StoreLocked {
        /// How long the lock was waited for.
        seconds: u64,
        /// Who holds it.
        holders: String,
    },
    /// The image has more of something than it may.
    #[error(transparent)]
    Limit(#[from] Exceeded),
    /// The filesystem underneath could not do its part.
    #[error(transparent)]
    Driver(#[from] driver::Error),
    /// A path could not be worked on.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl Error {
    /// Names `store`, if it is its having no room that this is about.
    pub(in crate::store) fn of_store(self, store: &Store) -> Self {
        let is_named = matches!(self, Error::Full(..) | Error::NoInodesLeft(..));
        if is_named || !self.is_full() {
            return self;
        }
        let root = store.layout.root().display().to_string();
        match store.space() {
            Ok(space) if space.lacks_inodes() => {
                let free = space.available.saturating_mul(100) / space.size.max(1);
                Error::NoInodesLeft(Box::new(self), root, free)
            }
            _ => Error::Full(Box::new(self), root),
        }
    }

    /// Whether the store had no room.
    pub fn is_full(&self) -> bool {
        !self.is_of_source() && matches!(os_error(self), Some(libc::ENOSPC | libc::EDQUOT))
    }

    /// Whether the image could not be read, wherever it is.
    fn is_of_source(&self) -> bool {
        match self {
            Error::Fetch(_) | Error::Pull(_) => true,
            Error::Unpack { source, .. } => matches!(**source, unpacker::Error::Source(_)),
            Error::OfImage(error, _) | Error::Full(error, _) | Error::NoInodesLeft(error, ..) => error.is_of_source(),
            _ => false,
        }
    }

    /// Whether a layer is not what the manifest says.
    pub(in crate::store) fn is_wrong_layer(&self) -> bool {
        use unpacker::Error::{BlobDigest, BlobSize, DiffId};
        matches!(self, Error::Unpack { source, .. }
            if matches!(**source, BlobDigest { .. } | BlobSize { .. } | DiffId { .. }))
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

    #[test]
    fn only_the_store_itself_is_said_to_be_full() {
        let full = || io::Error::from_raw_os_error(libc::ENOSPC);
        let unpack = |source| crate::store::layer::pull::unpack_error("sha256:x", source);
        let writing = || unpack(unpacker::Error::File { operation: "write".into(), path: "a".into(), source: full() });
        let reading = || unpack(unpacker::Error::Source(full()));
        assert!(writing().is_full() && Error::OfImage(Box::new(writing()), "docker:///a".into()).is_full());
        assert!(!reading().is_full() && !Error::OfImage(Box::new(reading()), "docker:///a".into()).is_full());
        let document = fetcher::Error::ManifestOrIndex(PathError::new("read", "index.json", full()));
        assert!(!Error::Fetch(document).is_full());
        assert!(Error::Path(PathError::new("mkdir", "images/x", full())).is_full());
    }
}
