//! What is on disk, and the transactions that change it.
//!
//! `image` makes, mounts and removes images, `layer` pulls layers and keeps them, `garbage` takes away what nobody
//! needs, `init` makes and removes stores, and `report` tells what there is. `shared` is about layers that are another
//! store's, `on_disk_format` about whose the files are, `claims` about the lock between creates and clean, and `totals`
//! about sums over all images.
//!
//! ```text
//! <store>/                     0700
//!   images/<id>/               0700  a finished image; appears and disappears by one rename
//!   volumes/<chain id>/        0755  an unpacked layer; appears by one rename, below its parents
//!           <chain id>-incomplete-<ns>-<random>/   a layer being unpacked, under the layer's lock
//!           gc.<chain id>/     a layer that a clean of the original was removing; garbage
//!   (attribute user.grootfs.format: the version of this layout, init/format.rs)
//!   meta/namespace.json        the store's id mappings; written last by init-store
//!        volume-<chain id>     {"Size":<bytes>}
//!        digests-<chain id>    what each of its files is like (layer/digests.rs)
//!        sizes.json            a copy of all of them (layer/sizes.rs)
//!        totals.json           totals over all images (totals.rs)
//!        unflushed/<chain id>~<random>  link to a boot id: a power cut may have torn the layer (layer/durability.rs)
//!        dependencies/image:<id>.json   the layers an image needs; an attribute tells where it came from (image/origin.rs)
//!        shared-layers.json, lent/       layers that are, or are also, another store's (shared.rs)
//!        documents/     manifests and configs of images whose layers are there (layer/manifest_cache.rs)
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
//! - `<chain id>.second` while a layer is unpacked by one who takes it over from a slow holder of the one above.
//! - `groot-gc-lock` by clean, so that there is one at a time. Nobody waits for it but another clean.
//! - The lock file as a whole, for moments and never across the network: shared by a create while it writes its record
//!   and looks for its layers, alone by clean while it reads the records and takes away what none of them names. So a
//!   create either has its layers spared, or sees that they are gone.
//! - `projectids` for moments: shared by a create that allocates one, alone by clean while it collects (overlay-xfs).
//! - The file `meta/totals.json` while an image is renamed into or out of `images/` (totals.rs).
//! - `flush` by the one process that writes new layers to disk. Nobody waits for it.
//!
//! Clean waits for none of the first two: what is locked is alive.

mod claims;
mod error;
mod garbage;
mod image;
mod init;
mod layer;
mod on_disk_format;
mod report;
mod shared;
mod totals;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub use error::{LayersClaimed, StoreError};
pub use garbage::{CleanError, CleanWhen, Cleaned, Removed, RemovedLayer};
pub use image::commit::Committed;
pub use image::create::{CleanFirst, CreateRequest, Created, PullRequest, Pulled, PulledLayer};
pub use image::delete::Deleted;
pub use image::error::{
    BaseError, CommitError, CreateError, DeleteError, IdError, ImageBusy, ImageError, LimitError, MountError,
    NoInodeLimits, PullError, SelectError, UserError, VolumeError,
};
pub use image::id::{ImageId, ImageSelector};
pub use image::limit::LimitRequest;
pub use image::mounting::Remounted;
pub use image::origin::Origin;
pub use init::InitRequest;
pub use init::error::{DeleteStoreError, InitError, InitLockError};
pub use layer::durability::flush;
pub use layer::error::LayerError;
pub use report::check::Finding;
pub use report::deep::Compared;
pub use report::doctor::{Diagnosis, Programs, Status};
pub use report::exact::OnDisk;
pub use report::inspect::{DescribeError, Described, DescribedLayer, Inspected, InspectedLayer};
pub use report::measure::{LayerSizes, StoreSizes};
pub use report::scan::{BackingFile, ImageReport, LayerReport, ReportTotals, StoreReport};
pub use shared::SharedLayersError;

use crate::driver::{self, Driver, Usage};
use crate::entries::{self, Place};
use crate::idmap::IdMappings;
use crate::layout::{self, Layout};
use crate::sys::caller::Caller;
use crate::sys::files;
use crate::sys::path_error::{OnPath, PathError};
pub use crate::unpacker::{Change, ChangeKind};

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
    pub fn new(path: &Path, driver: Box<dyn Driver>, caller: Caller) -> Result<Self, PathError> {
        Ok(Store { layout: Layout::new(absolute(path)?), driver, caller, is_checked: OnceLock::new() })
    }

    /// The name of the store's driver.
    pub fn driver_name(&self) -> &'static str {
        self.driver.name()
    }

    /// On whose behalf it is worked on.
    pub fn caller(&self) -> Caller {
        self.caller
    }

    /// The store's paths.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Checks that the store has been initialised, for a driver of its kind. Looks only once.
    pub fn check_initialised(&self) -> Result<(), StoreError> {
        if self.is_checked.get().is_some() {
            return Ok(());
        }
        if !self.is_initialised()? {
            return Err(StoreError::NotInitialised);
        }
        self.driver.validate(self.layout.root())?;
        let _ = self.is_checked.set(());
        Ok(())
    }

    /// Checks that there is something at the store's path.
    pub fn check_exists(&self) -> Result<(), StoreError> {
        if files::exists(self.layout.root())? {
            return Ok(());
        }
        Err(StoreError::Missing { store: self.layout.root().to_owned() })
    }

    /// Checks that the filesystem that holds the store is mounted, if it has one of its own.
    pub fn check_mounted(&self) -> Result<(), StoreError> {
        let backing = self.layout.backing_file();
        // Whose the file is matters to whoever mounts it: an ordinary user's namespace shows root's as nobody's.
        let is_hidden = files::exists(&backing)? && files::exists(self.layout.root())? && !self.is_mount_point()?;
        if !is_hidden {
            return Ok(());
        }
        Err(StoreError::NotMounted { store: self.layout.root().to_owned(), backing, driver: self.driver.name() })
    }

    /// Checks that the store is of a version that this program knows.
    pub fn check_format(&self) -> Result<(), StoreError> {
        init::format::check(&self.layout)
    }

    /// Paths of all images.
    pub fn images(&self) -> Result<Vec<PathBuf>, PathError> {
        let _session = tracing::debug_span!("groot-listing").entered();
        let names = entries::names(&self.layout, Place::Images)?;
        let mut paths: Vec<PathBuf> = names.into_iter().map(|name| self.layout.images_path().join(name)).collect();
        paths.sort();
        Ok(paths)
    }

    /// Disk usage of an image.
    pub fn usage(&self, id: &ImageId) -> Result<Usage, ImageError> {
        let _session = tracing::debug_span!("groot-stats", imageID = %id).entered();
        let image = self.layout.image(id.as_str());
        if !files::is_directory(&image)? {
            return Err(SelectError::NotFound { id: id.to_string() }.into());
        }
        Ok(self.driver.usage(&self.layout, &image)?)
    }

    /// Whether layers are to be flushed, and nobody does so.
    pub fn has_pending_flush(&self) -> Result<bool, PathError> {
        layer::durability::is_pending(&self.layout)
    }

    /// Writes the size of every layer that has none on record.
    pub fn generate_volume_sizes(&self) -> Result<(), driver::Error> {
        layer::volumes::record_missing_sizes(self)
    }

    /// The mappings of the store's ids.
    ///
    /// # Errors
    /// Where the store is not initialised, among others.
    pub fn mappings(&self) -> Result<IdMappings, StoreError> {
        init::namespace::mappings(&self.layout, self.caller)
    }

    fn has_directory(&self, below: &str) -> Result<bool, StoreError> {
        self.layout.has_directory(below).map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP | libc::ENOTDIR) => StoreError::NotADirectory { path: self.layout.root().join(below) },
            _ => error.into(),
        })
    }

    fn is_initialised(&self) -> Result<bool, StoreError> {
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
    let _ = image::dependencies::read_at(path);
}
