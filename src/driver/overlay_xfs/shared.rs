//! Images of layers that another store keeps, shown with the ids of this one.
//!
//! The other store is mounted with the ids translated, the overlay above that, and the overlay keeps it for as long as it
//! is mounted itself. All this is done where nobody sees it; what is moved to the image is the finished overlay.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, mount as mount2, move_mount, open_tree};

use super::mount::{Lowers, mount_lowers};
use super::{Error, SharedLayers, Volume};
use crate::sys::idmapped_mount;
use crate::sys::mount_namespace::in_own_mounts;
use crate::sys::path_error::{OnPath, reason};

/// Mounts an overlay of `volumes` on the `rootfs` of the directory `image`.
pub(super) fn mount(shared: &SharedLayers<'_>, image: &Path, volumes: &[Volume]) -> Result<(), Error> {
    let rootfs = image.join("rootfs");
    let mounted = in_own_mounts(|| {
        attach(shared, &rootfs).on("mount with ids translated on", &rootfs)?;
        // The overlay goes over it, once it has found its layers there.
        let lowers = Lowers { layout: shared.layout, store: "rootfs", image: "../..".to_owned(), volumes };
        mount_lowers(image, &lowers)?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        Ok::<_, Error>(open_tree(CWD, &rootfs, flags).on("open the mount on", &rootfs)?)
    });
    let mounted = mounted.on("unshare mounts for", image)??;
    let moved = move_mount(&mounted, "", CWD, &rootfs, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH);
    Ok(moved.on("move the mount to", &rootfs)?)
}

/// Makes an overlay of directories that the other store has in any case, and looks at whose they seem to be.
pub(super) fn check(shared: &SharedLayers<'_>) -> Result<(), String> {
    let (shown, overlay) = (shared.layout.tmp(), shared.layout.images());
    let tried = in_own_mounts(|| {
        attach(shared, &shown)?;
        let options = format!("lowerdir={0}/volumes:{0}/meta", shown.display());
        let options = std::ffi::CString::new(options)?;
        mount2("overlay", &overlay, "overlay", MountFlags::empty(), options.as_c_str())?;
        fs::metadata(&overlay)
    });
    let needs = "overlays of mounts with translated ids take Linux 5.19";
    match tried.and_then(|tried| tried) {
        Ok(metadata) if Ok(metadata.uid()) == shared.mappings.uid(0) => Ok(()),
        Ok(metadata) => Err(format!("root's files seem to be those of user {}: {needs}", metadata.uid())),
        Err(error) => Err(format!("{}: {needs}", reason(&error))),
    }
}

fn attach(shared: &SharedLayers<'_>, target: &Path) -> io::Result<()> {
    let (uids, gids) = (shared.mappings.uids.as_mount_map(), shared.mappings.gids.as_mount_map());
    idmapped_mount::mount(shared.layout.root(), target, &uids, &gids)
}
