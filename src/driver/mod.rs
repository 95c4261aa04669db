//! What depends on the filesystem underneath a store.

pub mod btrfs;
mod filesystem;
mod helper;
mod image_files;
pub mod overlay_xfs;
mod unmount;

use std::path::{Path, PathBuf};

pub use drax::{DiskLimit, InodeLimit};
pub use filesystem::FilesystemError;
pub use helper::{HelperError, Helpers};
pub use image_files::recorded_limit;
use serde::Serialize;

use self::btrfs::Btrfs;
use self::overlay_xfs::OverlayXfs;
use crate::idmap::IdMappings;
use crate::image::ChainId;
use crate::layout::Layout;
use crate::sys::owner::Owner;
use crate::sys::path_error::PathError;
use crate::unpacker::WhiteoutFormat;

/// A layer as an image needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Name of the volume.
    pub chain_id: ChainId,
    /// Bytes of file contents in it.
    pub size: u64,
}

impl Volume {
    /// What several layers take together.
    pub fn total_size(volumes: &[Volume]) -> u64 {
        volumes.iter().map(|volume| volume.size).fold(0, u64::saturating_add)
    }
}

/// Everything a driver needs to make an image.
#[derive(Debug)]
pub struct ImageRequest<'a> {
    /// The image's directory while it is made; exists and is empty.
    pub directory: &'a Path,
    /// Where the directory will be renamed to.
    pub published: &'a Path,
    /// The layers, bottom first.
    pub volumes: &'a [Volume],
    /// How many inodes the layers have; looked at only where [`Driver::counts_inodes`] and the limit includes them.
    pub layer_inodes: u64,
    /// Where the layers are, if not in the image's store.
    pub shared: Option<&'a SharedLayers<'a>>,
    /// The limit, if there is to be one.
    pub limit: Option<DiskLimit>,
    /// How many volumes the image declares; [`Driver::create_image_volume`] makes them.
    pub declared_volumes: usize,
    /// What these begin with. The layers count it already.
    pub volume_size: VolumeSize,
    /// Whose the image is to be.
    pub owner: Owner,
    /// Whether to mount the root filesystem; if not, the caller is told how.
    pub mount: bool,
    /// Whether it is root of the machine who mounts it, rather than root of a user namespace.
    pub is_for_root: bool,
}

/// What an image's volumes are made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VolumeSize {
    /// Bytes of disk.
    pub bytes: u64,
    /// Inodes, those of the volumes' own directories left out.
    pub inodes: u64,
}

/// Layers that are another store's, where they have the ids of images.
#[derive(Clone, Copy, Debug)]
pub struct SharedLayers<'a> {
    /// The other store.
    pub layout: &'a Layout,
    /// What the ids are to be shown as.
    pub mappings: &'a IdMappings,
}

/// An entry of `mounts` in the container configuration (OCI runtime specification).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// Where to mount.
    pub destination: String,
    /// Filesystem type; empty for a bind mount that names it in its options.
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// What to mount.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Mount options.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// Whether an image's root filesystem can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootfsState {
    /// It is there.
    Present,
    /// It was mounted by create and is not any more, as after a reboot.
    Unmounted,
    /// Whoever created the image mounts it, or create left no record that it did.
    LeftToCaller,
}

/// Disk usage of an image, in bytes, as the kernel counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Layers and the image's own data.
    pub total: u64,
    /// The image's own data.
    pub exclusive: u64,
    /// What the image's own data is limited to; 0 without a limit.
    pub quota: u64,
    /// Layers and limit: what the image may come to use.
    pub committed: u64,
    /// Inodes, where the filesystem counts them and the image has a limit.
    pub inodes: Option<InodeUsage>,
}

/// Inodes of an image's own files, as the kernel counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InodeUsage {
    /// How many there are.
    pub used: u64,
    /// How many there may be; 0 without a limit.
    pub limit: u64,
}

/// What `init-store` is to set up below a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilesystemRequest {
    /// Do without quotas where the kernel or the mount has none.
    pub without_quota: bool,
    /// Open the backing file of a loop device with direct I/O.
    pub with_direct_io: bool,
}

/// What a driver is told beside its name.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Directory that holds `mkfs.btrfs`; `None` is `$PATH`.
    pub btrfs_progs: Option<PathBuf>,
    /// What sets limits for a caller who may not; `None` for one who may.
    pub helpers: Option<Helpers>,
}

/// The driver called `name`.
///
/// # Errors
/// [`Error::Unknown`]
pub fn named(name: &str, options: Options) -> Result<Box<dyn Driver>, Error> {
    match name {
        overlay_xfs::NAME => Ok(Box::new(OverlayXfs { helpers: options.helpers })),
        btrfs::NAME => Ok(Box::new(Btrfs { progs: options.btrfs_progs, helpers: options.helpers })),
        other => Err(Error::Unknown(other.to_owned())),
    }
}

/// The driver of a new store, where nobody asks for another one.
pub const DEFAULT: &str = overlay_xfs::NAME;

/// The name of the driver for the filesystem that `path` is on; `None` if there is none for it, or nothing there.
pub fn of_filesystem(path: &Path) -> Option<&'static str> {
    let kind = rustix::fs::statfs(path).ok()?.f_type as i64;
    match kind {
        overlay_xfs::MAGIC => Some(overlay_xfs::NAME),
        btrfs::MAGIC => Some(btrfs::NAME),
        _ => None,
    }
}

/// Why a driver could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--driver` names nothing.
    #[error("filesystem driver not supported: {0}")]
    Unknown(String),
    /// `--driver` names the driver of another filesystem than the store, which is named here, is on.
    #[error("Store path filesystem ({0}) is incompatible with requested driver")]
    OtherDriver(String),
    /// A path could not be worked on.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The filesystem could not be made, mounted or checked.
    #[error(transparent)]
    Filesystem(#[from] FilesystemError),
    /// This driver, or this kernel, cannot show layers with other ids.
    #[error("layers cannot be shared between stores: {0}")]
    NoSharedLayers(String),
    /// Something is mounted where an image is to be removed.
    #[error("deleting image path '{image}' failed: {mount} is a mount point: unmount it and delete again")]
    MountedBelow {
        /// The image's directory.
        image: String,
        /// What is mounted.
        mount: String,
    },
    /// A limit for an image that was made without one.
    #[error("{0} was created without a disk limit, and what is in it is not counted: create it again with one")]
    NoLimit(String),
    /// Changing a limit takes more than the helper does for ordinary users.
    #[error("only root {0}: {1}")]
    LimitNeedsRoot(&'static str, String),
    /// A process uses a root filesystem that is to be unmounted.
    #[error("{0} is in use: end the processes that fuser -vm {0} shows, then try again")]
    InUse(String),
    /// The root filesystem could not be unmounted.
    #[error("deleting image path '{0}' failed: unmount rootfs path {1}")]
    Unmount(String, PathError),
    /// An overlay-xfs operation failed.
    #[error(transparent)]
    OverlayXfs(#[from] overlay_xfs::Error),
    /// A btrfs operation failed.
    #[error(transparent)]
    Btrfs(#[from] btrfs::Error),
}

impl Error {
    /// How the last part of the message begins, if that is what helps.
    pub fn remedy(&self) -> Option<&'static str> {
        const WITHOUT_LIMIT: &str = "leave out --disk-limit-size-bytes";
        use {btrfs::QuotaError as BtrfsQuota, overlay_xfs::QuotaError as XfsQuota, overlay_xfs::XfsError};
        match self {
            Error::Filesystem(FilesystemError::CutShort { .. }) => Some("get the whole file back"),
            Error::Filesystem(FilesystemError::NoQuota { .. }) => Some("Use a kernel and a mount that have them, "),
            Error::OverlayXfs(overlay_xfs::Error::Xfs(XfsError::NoEntryTypes(_))) => {
                Some("make it anew with mkfs.xfs ")
            }
            Error::OverlayXfs(overlay_xfs::Error::Quota(XfsQuota::NotEnforced(..))) => Some(WITHOUT_LIMIT),
            Error::OverlayXfs(overlay_xfs::Error::Quota(XfsQuota::Busy)) => Some("try again when it has ended"),
            Error::Btrfs(btrfs::Error::Quota(BtrfsQuota::Off(_))) => Some(WITHOUT_LIMIT),
            Error::Btrfs(btrfs::Error::Quota(BtrfsQuota::Inconsistent(_))) => Some("run btrfs quota rescan "),
            _ => None,
        }
    }

    /// Something is mounted at `below` in the image that users know as `image`.
    fn mounted_below(image: &Path, below: &Path) -> Self {
        Error::MountedBelow { image: image.display().to_string(), mount: image.join(below).display().to_string() }
    }
}

/// A kind of filesystem that can hold a store: how it is made, mounted, grown and checked.
pub trait BackingFilesystem: Sync {
    /// What [`named`] knows it by.
    fn name(&self) -> &'static str;
    /// What a file that holds this driver's filesystem is called.
    fn content_of_backing_file(&self) -> &'static str;
    /// The kernel's filesystems that the driver uses, as mount(8) has them.
    fn filesystems(&self) -> &'static [&'static str];
    /// The program that makes a filesystem in a file.
    fn formatter(&self) -> PathBuf;
    /// Formats `backing`, an empty file, for this driver.
    fn format(&self, backing: &Path) -> Result<(), Error>;
    /// Mounts `backing` on the store's directory.
    fn mount_backing(&self, layout: &Layout, backing: &Path, request: FilesystemRequest) -> Result<(), Error>;
    /// Has the filesystem that is mounted on the store's directory take all of its device, which may have grown.
    fn grow(&self, layout: &Layout) -> Result<(), Error>;
    /// Checks that `path` is on a filesystem that this driver can work with.
    fn validate(&self, path: &Path) -> Result<(), Error>;
    /// Checks that the filesystem of `path` can do all that is needed, quotas included.
    fn check_features(&self, path: &Path, request: FilesystemRequest) -> Result<(), Error>;
    /// Why limits cannot be enforced in a store; `None` if they can.
    fn missing_quotas(&self, layout: &Layout) -> Result<Option<&'static str>, Error>;
    /// Makes what the driver needs in a store beside the common directories.
    fn configure(&self, layout: &Layout, request: FilesystemRequest, owner: Owner) -> Result<(), Error>;
    /// Waits, for a moment, until the space of what was removed is free.
    fn wait_for_free_space(&self, layout: &Layout) -> Result<(), Error>;
}

/// What the volumes and images of a store are, on its filesystem.
///
/// All methods take names of the store's [`Layout`] and touch nothing else. Volumes and images are made under
/// temporary names; publishing them is the store's doing. What most filesystems have no use for does nothing by default.
pub trait Driver: BackingFilesystem {
    /// How layers write down what they delete; `with_marks` is whether whoever mounts them sees attributes of root's.
    fn whiteouts(&self, with_marks: bool) -> WhiteoutFormat;
    /// Whether a volume begins as a copy of its parent, and so cannot be made before it.
    fn volumes_are_snapshots(&self) -> bool {
        false
    }
    /// Makes the volume `path`: a copy of the volume `parent` where this driver stacks volumes, else an empty one.
    fn create_volume(&self, path: &Path, parent: Option<&Path>) -> Result<(), Error>;
    /// The volume that `volume` began as a copy of; `None` for one that began empty, or whose parent is gone.
    fn parent_volume(&self, _layout: &Layout, _volume: &Path) -> Result<Option<PathBuf>, Error> {
        Ok(None)
    }
    /// Prepares what a volume needs besides its directory, before it is renamed to its chain id.
    fn prepare_volume(&self, _layout: &Layout, _chain_id: &ChainId) -> Result<(), Error> {
        Ok(())
    }
    /// Removes what [`Driver::prepare_volume`] made.
    fn forget_volume(&self, _layout: &Layout, _name: &str) -> Result<(), Error> {
        Ok(())
    }
    /// Removes a volume's directory, wherever it has been moved.
    fn remove_volume(&self, path: &Path) -> Result<(), Error>;
    /// Removes a volume where it is, if this driver can in one step, and tells whether it can.
    fn try_remove_atomically(&self, _path: &Path) -> Result<bool, Error> {
        Ok(false)
    }

    /// Checks that the kernel can mount an image of so many layers.
    fn check_mountable(&self, _layers: usize) -> Result<(), Error> {
        Ok(())
    }
    /// Finds out whether images can be made of these layers, by trying, and leaves nothing.
    fn check_shared(&self, shared: &SharedLayers<'_>) -> Result<(), Error>;

    /// Changes the limit of the finished image at `path`, or takes it off, in the kernel and on record. `layer_inodes` is how
    /// many inodes its layers have; looked at only where the limit includes them.
    fn change_limit(
        &self,
        layout: &Layout,
        path: &Path,
        limit: Option<DiskLimit>,
        layer_inodes: u64,
    ) -> Result<(), Error>;
    /// Whether inodes can be limited by themselves; if not, they count as bytes.
    fn counts_inodes(&self) -> bool {
        false
    }
    /// How many of an image's lowest layers must become one before a caller can mount it; 0 if none need to.
    fn layers_to_flatten(&self, _layout: &Layout, _layers: usize) -> Result<usize, Error> {
        Ok(0)
    }
    /// Makes an image; returns the mounts left to the caller.
    fn create_image(&self, layout: &Layout, request: &ImageRequest<'_>) -> Result<Vec<Mount>, Error>;
    /// Makes the directory `path` in the directory of an image that has been made; its content counts as the image's.
    fn create_image_volume(&self, layout: &Layout, image: &Path, path: &Path) -> Result<(), Error>;
    /// What [`Driver::remove_leftovers`] would remove.
    fn leftovers(&self, layout: &Layout) -> Result<Vec<PathBuf>, Error>;
    /// Names of the layers that an image was made of, or their beginnings, as far as the filesystem tells without the
    /// image's record; `None` if it does not.
    fn layers_of_image(&self, layout: &Layout, image: &Path) -> Result<Option<Vec<String>>, Error>;
    /// Whether root filesystems are mounts of their own, rather than directories of the store.
    fn mounts_images(&self) -> bool {
        false
    }
    /// The directory of the image at `path` that has what its container wrote: all of its files where volumes are
    /// snapshots, else those that differ from the layers'.
    fn own_files(&self, path: &Path) -> Result<PathBuf, Error>;
    /// Whether the root filesystem of the image at `path` is there.
    fn rootfs_state(&self, path: &Path) -> Result<RootfsState, Error>;
    /// Whether an overlay has its own attributes of the files of the image at `path` in `user.*` rather than `trusted.*`.
    /// `is_for_root`: whether the image was made for root of the machine to mount.
    fn has_user_attributes(&self, _path: &Path, _is_for_root: bool) -> Result<bool, Error> {
        Ok(false)
    }
    /// Mounts the root filesystem of the finished image at `path`, of these layers, bottom first. May change the working
    /// directory of the process.
    fn mount_image(
        &self,
        _layout: &Layout,
        _path: &Path,
        _volumes: &[Volume],
        _shared: Option<&SharedLayers<'_>>,
    ) -> Result<(), Error> {
        Ok(())
    }
    /// Unmounts the root filesystem of the image at `path`, unless something uses it.
    fn unmount_unused_image(&self, _path: &Path) -> Result<(), Error> {
        Ok(())
    }
    /// Unmounts the root filesystem of the image at `path`, which messages call `shown`. Nothing is removed, and nothing
    /// is unmounted where anything else is mounted in the image. A driver that mounts nothing is asked, too: the caller of
    /// a create without mount may have done so.
    fn unmount_image(&self, path: &Path, shown: &Path) -> Result<(), Error> {
        unmount::unmount(path, shown, unmount::InUse::Detach)
    }
    /// Removes an unmounted image's directory and gives back what it held of the quota.
    fn remove_image(&self, layout: &Layout, image: &Path) -> Result<(), Error>;
    /// Disk usage of an image.
    fn usage(&self, layout: &Layout, image: &Path) -> Result<Usage, Error>;
    /// Removes what crashed processes left beside volumes and images: reservations, limits, short names.
    fn remove_leftovers(&self, layout: &Layout) -> Result<(), Error>;
}
