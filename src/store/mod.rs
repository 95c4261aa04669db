//! What is on disk, and the transactions that change it.
//!
//! ```text
//! <store>/                     0700
//!   images/<id>/               0700  a finished image; appears and disappears by one rename
//!   volumes/<chain id>/        0755  an unpacked layer; appears by one rename, below its parents
//!           <chain id>-incomplete-<ns>-<random>/   a layer being unpacked, under the layer's lock
//!           gc.<chain id>/     a layer that a clean of the original was removing; garbage
//!   meta/namespace.json        the store's id mappings; written last by init-store
//!        volume-<chain id>     {"Size":<bytes>}
//!        sizes.json            a copy of all of them (sizes.rs)
//!        totals.json           totals over all images (totals.rs)
//!        unflushed/<chain id>~<random>  link to a boot id: a power cut may have torn the layer (durability.rs)
//!        dependencies/image:<id>.json   the layers an image needs
//!        shared-layers.json, lent/       layers that are, or are also, another store's (shared.rs)
//!        documents/     manifests and configs of images whose layers are there (manifest_cache.rs)
//!   locks/global-groot-lock.lock   the file of all locks (sys/lock.rs)
//!   tmp/create.<id>/           an image being made, under the image's lock
//!       delete.<id>/           an image being removed, under the image's lock
//!       dead.<random>/         a layer being removed
//!       kept.<chain id>~<random>/   a layer that was unpacked again, for images that show the old one
//!   (and what the driver adds)
//! ```
//!
//! Locks, in the order in which they are taken:
//! - `image:<id>` for a whole create or delete of that image, and by clean to tell a dead one.
//! - `<chain id>` while a layer is unpacked, lower layers first, and by clean to tell a dead one.
//! - `groot-gc-lock` by clean, so that there is one at a time. Nobody waits for it but another clean.
//! - The lock file as a whole, for moments and never across the network: shared by a create while it writes its record
//!   and looks for its layers, alone by clean while it reads the records and takes away what none of them names. So a
//!   create either has its layers spared, or sees that they are gone.
//! - `projectids` for moments: shared by a create that allocates one, alone by clean while it collects (overlay-xfs).
//! - The file `meta/totals.json` while an image is renamed into or out of `images/` (totals.rs).
//! - `flush` by the one process that writes new layers to disk. Nobody waits for it.
//!
//! Clean waits for none of the first two: what is locked is alive.

mod backing_file;
mod check;
mod claims;
mod create;
mod delete;
mod delete_store;
mod dependencies;
mod doctor;
mod durability;
mod flatten;
mod garbage;
mod id;
mod image_volumes;
mod init;
mod layers;
mod manifest_cache;
mod measure;
mod mounting;
mod namespace;
mod publish;
mod removal;
mod scan;
mod seal;
mod shared;
mod sizes;
mod totals;
mod volumes;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub use check::Finding;
pub use create::{CleanFirst, CreateRequest, Created};
pub use delete::Deleted;
pub use doctor::{Diagnosis, Programs, Status};
pub use durability::flush;
pub use garbage::Cleaned;
pub use id::{ImageId, ImageSelector};
pub use init::InitRequest;
pub use measure::{LayerSizes, StoreSizes};
pub use mounting::Remounted;
pub use scan::{BackingFile, ImageReport, LayerReport, ReportTotals, StoreReport};

use crate::driver::{self, Driver, Usage};
use crate::idmap::IdMappings;
use crate::layout::{self, Layout};
use crate::limits::Exceeded;
use crate::sys::caller::Caller;
use crate::sys::files;
use crate::sys::owner::Owner;
use crate::sys::path_error::{OnPath, PathError};
use crate::unpacker::{Privileged, WhiteoutFormat};
use crate::{fetcher, unpacker};

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
    /// Records that clean cannot do without.
    #[error("{0}: no layer was removed, since what the image needs cannot be told: delete the image and clean again")]
    Record(#[source] dependencies::Error),
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
    fn of_store(self, store: &Store) -> Self {
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
    fn is_wrong_layer(&self) -> bool {
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

/// A store directory and the driver of the filesystem it is on.
pub struct Store {
    layout: Layout,
    driver: Box<dyn Driver>,
    caller: Caller,
    /// Set once the store was found to be initialised.
    is_checked: OnceLock<()>,
}

impl Store {
    /// Names a store; nothing is looked at yet.
    pub fn new(path: &Path, driver: Box<dyn Driver>, caller: Caller) -> Result<Self, Error> {
        Ok(Store { layout: Layout::new(absolute(path)?), driver, caller, is_checked: OnceLock::new() })
    }

    /// The name of the store's driver.
    pub fn driver_name(&self) -> &'static str {
        self.driver.name()
    }

    /// The store's paths.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Checks that the store has been initialised, for a driver of its kind. Looks only once.
    pub fn check_initialised(&self) -> Result<(), Error> {
        if self.is_checked.get().is_some() {
            return Ok(());
        }
        if !self.is_initialised()? {
            return Err(Error::NotInitialised);
        }
        self.driver.validate(self.layout.root())?;
        let _ = self.is_checked.set(());
        Ok(())
    }

    /// Whom to give what is made in a store with these mappings. Root alone makes things that are not its own.
    fn owner(&self, mappings: &IdMappings) -> Owner {
        match self.caller {
            Caller::Root => Owner { uid: mappings.uids.root(), gid: mappings.gids.root() },
            Caller::User | Caller::MappedUser => Owner::default(),
        }
    }

    /// How ids are to be translated in a store with these mappings. Where they are those of a user namespace, the kernel
    /// does it.
    fn ids<'a>(&self, mappings: &'a IdMappings) -> &'a IdMappings {
        static NONE: IdMappings = IdMappings::identity();
        if self.caller == Caller::Root { mappings } else { &NONE }
    }

    /// Whose files keep set-id bits and capabilities in a store with these mappings.
    fn privileged(&self, mappings: &IdMappings) -> Privileged {
        match self.caller {
            // The kernel lets nobody make files of ids that are not their own.
            Caller::User | Caller::MappedUser => Privileged::All,
            Caller::Root if !mappings.is_identity() => Privileged::Mapped,
            Caller::Root if self.belongs_to_root() => Privileged::All,
            Caller::Root => Privileged::Nobody,
        }
    }

    fn belongs_to_root(&self) -> bool {
        std::fs::metadata(self.layout.root()).is_ok_and(|root| root.uid() == 0)
    }

    /// How layers of a store with these mappings write down what they delete.
    fn whiteouts(&self, mappings: &IdMappings) -> WhiteoutFormat {
        self.driver.whiteouts(self.is_for_root(mappings))
    }

    /// Whether images of a store with these mappings are mounted by root of the machine, who alone sees all attributes of
    /// their files, rather than by root of a user namespace. Root may have made a layer in the store of a user.
    fn is_for_root(&self, mappings: &IdMappings) -> bool {
        self.caller == Caller::Root && mappings.is_identity() && self.belongs_to_root()
    }

    /// Checks that there is something at the store's path.
    pub fn check_exists(&self) -> Result<(), Error> {
        if files::exists(self.layout.root())? {
            return Ok(());
        }
        Err(Error::Missing(self.layout.root().display().to_string()))
    }

    /// Checks that the filesystem that holds the store is mounted, if it has one of its own.
    pub fn check_mounted(&self) -> Result<(), Error> {
        let backing = self.layout.backing_file();
        // Whose the file is matters to whoever mounts it: an ordinary user's namespace shows root's as nobody's.
        let is_hidden = files::exists(&backing)? && files::exists(self.layout.root())? && !self.is_mount_point()?;
        if !is_hidden {
            return Ok(());
        }
        let (store, backing) = (self.layout.root().display().to_string(), backing.display().to_string());
        Err(Error::NotMounted { store, backing, driver: self.driver.name() })
    }

    /// Paths of all images.
    pub fn images(&self) -> Result<Vec<PathBuf>, Error> {
        let _session = tracing::debug_span!("groot-listing").entered();
        let names = files::entry_names(&self.layout.images())?;
        let mut paths: Vec<PathBuf> = names.into_iter().map(|name| self.layout.images_path().join(name)).collect();
        paths.sort();
        Ok(paths)
    }

    /// Disk usage of an image.
    pub fn usage(&self, id: &ImageId) -> Result<Usage, Error> {
        let _session = tracing::debug_span!("groot-stats", imageID = %id).entered();
        let image = self.layout.image(id.as_str());
        if !files::is_directory(&image)? {
            return Err(Error::NotFound(id.to_string()));
        }
        Ok(self.driver.usage(&self.layout, &image)?)
    }

    /// Writes the size of every layer that has none on record.
    pub fn generate_volume_sizes(&self) -> Result<(), Error> {
        volumes::record_missing_sizes(self)
    }

    /// The mappings of the store's ids.
    ///
    /// # Errors
    /// Where the store is not initialised, among others.
    pub fn mappings(&self) -> Result<IdMappings, Error> {
        namespace::mappings(&self.layout, self.caller)
    }

    fn has_directory(&self, below: &str) -> Result<bool, Error> {
        self.layout.has_directory(below).map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP | libc::ENOTDIR) => {
                Error::NotADirectory(self.layout.root().join(below).display().to_string())
            }
            _ => error.into(),
        })
    }

    fn is_initialised(&self) -> Result<bool, Error> {
        for directory in layout::DIRECTORIES {
            if !self.has_directory(directory)? {
                return Ok(false);
            }
        }
        Ok(files::exists(&self.layout.namespace_file())?)
    }
}

/// Mounts, links and answers need the store's path from the root; a link on the way to it is nobody's business.
fn absolute(path: &Path) -> Result<PathBuf, PathError> {
    let path = std::path::absolute(path).on("resolve", path)?;
    // Without trailing and doubled slashes, so that names made from it compare equal.
    Ok(path.components().collect())
}

/// Reads a dependency record.
#[cfg(fuzzing)]
pub fn fuzz_record(path: &std::path::Path) {
    let _ = dependencies::read_at(path);
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn only_the_store_itself_is_said_to_be_full() {
        let full = || io::Error::from_raw_os_error(libc::ENOSPC);
        let unpack = |source| layers::unpack_error("sha256:x", source);
        let writing = || unpack(unpacker::Error::File { operation: "write".into(), path: "a".into(), source: full() });
        let reading = || unpack(unpacker::Error::Source(full()));
        assert!(writing().is_full() && Error::OfImage(Box::new(writing()), "docker:///a".into()).is_full());
        assert!(!reading().is_full() && !Error::OfImage(Box::new(reading()), "docker:///a".into()).is_full());
        let document = fetcher::Error::ManifestOrIndex(PathError::new("read", "index.json", full()));
        assert!(!Error::Fetch(document).is_full());
        assert!(Error::Path(PathError::new("mkdir", "images/x", full())).is_full());
    }
}
