//! Mounting and unmounting an image's overlay.
//!
//! Paths are given to the kernel relative to the image's directory: they stay right when the directory is renamed from
//! `tmp/` to `images/`, which are equally deep, and take little of the one page that mount(2) reads. Images of many
//! layers need the kernel's newer interface (`lowerdir+`, 6.8) or the short names of the volumes.

use std::ffi::CString;
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, fsconfig_create, fsconfig_set_string,
    fsmount, fsopen, mount as mount2, move_mount,
};

use super::{Error, ImageRequest, Mount, Volume, links, shared};
use crate::layout::Layout;
use crate::sys::kernel;
use crate::sys::path_error::OnPath;

/// mount(2) reads one page of options, the last byte being the end of the string.
const OPTIONS_LIMIT: usize = 4095;
/// The most layers of one overlay (`OVL_MAX_STACK` of the kernel's fs/overlayfs/params.h).
const MOST_LAYERS: usize = 500;
const UPPER_AND_WORK: &str = "upperdir=diff,workdir=workdir";
const USER_ATTRIBUTES: &str = ",userxattr";

/// The layers of an image, seen from its directory.
pub(super) struct Lowers<'a> {
    /// The store that they are in.
    pub(super) layout: &'a Layout,
    /// That store as a path from the image's directory.
    pub(super) store: &'static str,
    /// The image's directory as a path from where that store has its short names.
    pub(super) image: String,
    /// Bottom first.
    pub(super) volumes: &'a [Volume],
}

/// Mounts the image's overlay on its `rootfs`.
pub(super) fn mount(layout: &Layout, request: &ImageRequest<'_>) -> Result<(), Error> {
    let (image, volumes) = (request.directory, request.volumes);
    if let Some(shared) = request.shared {
        return shared::mount(shared, image, volumes);
    }
    let from_links = image.strip_prefix(layout.root()).unwrap_or(image);
    mount_lowers(image, &Lowers { layout, store: "../..", image: format!("../{}", from_links.display()), volumes })
}

/// Mounts an overlay on the `rootfs` of the directory `image`.
pub(super) fn mount_lowers(image: &Path, lowers: &Lowers<'_>) -> Result<(), Error> {
    std::env::set_current_dir(image).on("chdir", image)?;
    let paths: Vec<String> =
        lowers.volumes.iter().rev().map(|v| format!("{}/volumes/{}", lowers.store, v.chain_id)).collect();
    let options = format!("lowerdir={},{UPPER_AND_WORK}", paths.join(":"));
    if options.len() <= OPTIONS_LIMIT {
        return mount_with_options(&options, "rootfs", lowers);
    }
    match mount_layer_by_layer(&paths) {
        Err(LayerByLayer::Unsupported) => mount_by_short_names(lowers),
        Err(LayerByLayer::TooMany) => Err(Error::Mount(too_many(paths.len()))),
        Err(LayerByLayer::Failed(errno)) => Err(Error::Mount(explain(errno, lowers))),
        Ok(()) => Ok(()),
    }
}

/// Checks that the kernel can mount so many layers.
pub(super) fn check_count(layers: usize) -> Result<(), Error> {
    if layers > MOST_LAYERS { Err(Error::Mount(too_many(layers))) } else { Ok(()) }
}

/// How many of the lowest layers must become one, so that the options for a caller fit into what mount(2) reads; 0 if
/// they fit as they are. The same for all images of a store, so that they can share the one.
pub(super) fn layers_too_many(layout: &Layout, layers: usize) -> Result<usize, Error> {
    const LONGEST_ID: usize = 244;
    let link = layout.links().as_os_str().len() + "/".len() + links::LENGTH + ":".len();
    let image = layout.images().as_os_str().len() + "/".len() + LONGEST_ID;
    let fixed = "lowerdir=,upperdir=/diff,workdir=/workdir".len() + USER_ATTRIBUTES.len() + 2 * image;
    let room = OPTIONS_LIMIT.saturating_sub(fixed) / link;
    match room {
        _ if layers <= room => Ok(0),
        0 => Err(Error::PathTooLong(layout.root().display().to_string())),
        // One of those there is room for is the one that they become.
        _ => Ok(layers - room + 1),
    }
}

/// The entry for a caller that mounts the root filesystem itself, in the caller's own working directory.
///
/// Root of a user namespace has an overlay keep its attributes among those of users (`userxattr`, Linux 5.11); older kernels
/// let nobody else than root of the machine mount one.
pub(super) fn entry_for_caller(layout: &Layout, request: &ImageRequest<'_>) -> Result<Mount, Error> {
    let mut lowers = Vec::with_capacity(request.volumes.len());
    for volume in request.volumes.iter().rev() {
        let short = links::ensure(layout, &volume.chain_id)?;
        lowers.push(layout.links().join(short).display().to_string());
    }
    let image = request.published.display();
    let mut option = format!("lowerdir={},upperdir={image}/diff,workdir={image}/workdir", lowers.join(":"));
    if !request.is_for_root && kernel::is_at_least(5, 11) {
        option.push_str(USER_ATTRIBUTES);
    }
    Ok(Mount {
        destination: format!("{image}/rootfs"),
        kind: "overlay".into(),
        source: "overlay".into(),
        options: vec![option],
    })
}

fn mount_with_options(options: &str, target: &str, lowers: &Lowers<'_>) -> Result<(), Error> {
    let data = CString::new(options).map_err(|e| Error::Mount(e.to_string()))?;
    mount2("overlay", target, "overlay", MountFlags::empty(), data.as_c_str())
        .map_err(|errno| Error::Mount(explain(errno, lowers)))
}

enum LayerByLayer {
    Unsupported,
    TooMany,
    Failed(Errno),
}

/// One `lowerdir+` for each layer: 500 layers, whatever their names' lengths.
fn mount_layer_by_layer(lowers: &[String]) -> Result<(), LayerByLayer> {
    let failed = LayerByLayer::Failed;
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(|_| LayerByLayer::Unsupported)?;
    fsconfig_set_string(&context, "source", "overlay").map_err(failed)?;
    for (index, lower) in lowers.iter().enumerate() {
        match fsconfig_set_string(&context, "lowerdir+", lower) {
            Err(Errno::INVAL) if index == 0 => return Err(LayerByLayer::Unsupported),
            Err(Errno::INVAL) => return Err(LayerByLayer::TooMany),
            set => set.map_err(failed)?,
        }
    }
    fsconfig_set_string(&context, "upperdir", "diff").map_err(failed)?;
    fsconfig_set_string(&context, "workdir", "workdir").map_err(failed)?;
    fsconfig_create(&context).map_err(failed)?;
    let mounted = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).map_err(failed)?;
    move_mount(&mounted, "", CWD, "rootfs", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(failed)
}

/// For kernels before 6.8: nothing is shorter than short names seen from the directory they are in.
fn mount_by_short_names(lowers: &Lowers<'_>) -> Result<(), Error> {
    let mut names = Vec::with_capacity(lowers.volumes.len());
    for volume in lowers.volumes.iter().rev() {
        names.push(links::ensure(lowers.layout, &volume.chain_id)?);
    }
    let image = &lowers.image;
    let options = format!("lowerdir={},upperdir={image}/diff,workdir={image}/workdir", names.join(":"));
    if options.len() > OPTIONS_LIMIT {
        return Err(Error::Mount(too_many(names.len())));
    }
    let links = Path::new(lowers.store).join("l");
    std::env::set_current_dir(&links).on("chdir", &links)?;
    mount_with_options(&options, &format!("{image}/rootfs"), lowers)
}

fn too_many(layers: usize) -> String {
    format!("the image has {layers} layers and the kernel takes at most {MOST_LAYERS}")
}

/// mount(2) has but a number to say; what it means here can be told from the volumes.
fn explain(errno: Errno, lowers: &Lowers<'_>) -> String {
    let volumes = lowers.volumes.iter().map(|v| lowers.layout.volume(v.chain_id.as_str()));
    let missing = volumes.into_iter().find(|path| !path.exists());
    let reason = crate::sys::path_error::reason(&errno.into());
    match (missing, errno) {
        (Some(path), _) => format!("base volume path does not exist: {}", path.display()),
        (None, Errno::NODEV) => format!("{reason}: the kernel has no overlay filesystem (modprobe overlay)"),
        (None, Errno::PERM) => format!("{reason}: mounting takes root; use --without-mount to leave it to the caller"),
        _ => reason,
    }
}
