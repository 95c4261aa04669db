//! Images of layers that another store keeps, shown with the ids of this one.
//!
//! The other store is mounted with the ids translated, the overlay above that, and the overlay keeps it for as long as it
//! is mounted itself. Nothing but the overlay is ever seen: the other mount is nowhere or, on kernels that take no layers
//! from such a one (before 6.15), in mounts of one thread's own.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, mount as mount2, move_mount, open_tree};

use super::mount::{Failure, Parts, mount_parts};
use super::{SharedLayers, Volume};
use crate::sys::descriptors;
use crate::sys::idmapped_mount;
use crate::sys::mount_namespace::in_own_mounts;
use crate::sys::path_error::{OnPath, PathError, reason};
use crate::sys::working_directory::WorkingDirectory;

/// Mounts an overlay of `volumes` on the `rootfs` of the directory `image`.
pub(super) fn mount(shared: &SharedLayers<'_>, image: &Path, volumes: &[Volume]) -> Result<(), Failure> {
    let store = mapped(shared).on("translate ids of", shared.layout.root())?;
    let open = |volume: &Volume| {
        let path = Path::new("volumes").join(volume.chain_id.as_str());
        open_directory(&store, &path).on("open", shared.layout.root().join(path))
    };
    let lowers: Vec<OwnedFd> = volumes.iter().rev().map(open).collect::<Result<_, PathError>>()?;
    match mount_parts(&parts(&lowers, &image.display().to_string())) {
        Err(Failure::Refused(Errno::INVAL)) => mount_elsewhere(&store, image, &lowers),
        mounted => mounted,
    }
}

/// With the store where this kernel takes layers from, among the mounts of a thread, which end with it. Only the overlay
/// is carried out.
fn mount_elsewhere(store: &OwnedFd, image: &Path, lowers: &[OwnedFd]) -> Result<(), Failure> {
    let rootfs = image.join("rootfs");
    // What is open is among the mounts of others.
    let named = fs::canonicalize(image).on("resolve", image)?;
    let wanted = fs::metadata(image).on("stat", image)?;
    let mounted = in_own_mounts(|| {
        let _in_image = WorkingDirectory::enter(&named).on("chdir", &named)?;
        let found = fs::metadata(".").on("stat", &named)?;
        if (found.dev(), found.ino()) != (wanted.dev(), wanted.ino()) {
            let reason = io::Error::other("it was exchanged for another directory");
            return Err(PathError::new("chdir", &named, reason).into());
        }
        let rootfs = Path::new("rootfs");
        attach(store, rootfs).on("mount with ids translated on", named.join(rootfs))?;
        // The overlay goes over it.
        mount_parts(&parts(lowers, "."))?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        Ok::<_, Failure>(open_tree(CWD, rootfs, flags).on("open the mount on", named.join(rootfs))?)
    });
    let overlay = mounted.on("unshare mounts for", image)??;
    Ok(attach(&overlay, &rootfs).on("move the mount to", &rootfs)?)
}

/// An overlay of these layers in the image's directory, which is called `image`.
fn parts(lowers: &[OwnedFd], image: &str) -> Parts {
    let place = |name: &str| format!("{image}/{name}");
    let lowers = lowers.iter().map(|lower| descriptors::name_of(lower).display().to_string()).collect();
    Parts { lowers, upper: place("diff"), work: place("workdir"), target: place("rootfs") }
}

/// Makes an overlay of directories that the other store has in any case, and looks at whose they seem to be.
pub(super) fn check(shared: &SharedLayers<'_>) -> Result<(), String> {
    const NEEDS: &str = "overlays of mounts with translated ids take Linux 5.19";
    // By their paths: what is open is among the mounts of others. The store with the layers is root's own.
    let (shown, overlay) = (shared.layout.root().join("tmp"), shared.layout.images_path());
    let tried = in_own_mounts(|| {
        attach(&mapped(shared)?, &shown)?;
        let options = CString::new(format!("lowerdir={0}/volumes:{0}/meta", shown.display()))?;
        mount2("overlay", &overlay, "overlay", MountFlags::empty(), options.as_c_str())?;
        fs::metadata(&overlay)
    });
    match tried.and_then(|tried| tried) {
        Ok(metadata) if Ok(metadata.uid()) == shared.mappings.uid(0) => Ok(()),
        Ok(metadata) => Err(format!("root's files seem to be those of user {}: {NEEDS}", metadata.uid())),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) => {
            Err(format!("{}: {NEEDS}", reason(&error)))
        }
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Err(format!(
            "{}: {NEEDS}, and a container's seccomp profile must allow open_tree, mount_setattr and move_mount",
            reason(&error)
        )),
        Err(error) => Err(format!("trying to: {}", reason(&error))),
    }
}

/// The other store, mounted nowhere.
fn mapped(shared: &SharedLayers<'_>) -> io::Result<OwnedFd> {
    let (uids, gids) = (shared.mappings.uids.as_mount_map(), shared.mappings.gids.as_mount_map());
    idmapped_mount::clone(shared.layout.root(), &uids, &gids)
}

fn open_directory(base: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    openat(base, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

fn attach(mount: &OwnedFd, target: &Path) -> rustix::io::Result<()> {
    move_mount(mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}
