//! Mounting an image's overlay, and what its directory records of its layers.
//!
//! Paths are given to the kernel relative to the image's directory: they stay right when the directory is renamed from
//! `tmp/` to `images/`, which are equally deep, and take little of the one page that mount(2) reads. Images of many
//! layers need the kernel's newer interface (`lowerdir+`, 6.8) or the short names of the volumes.
//!
//! Relative paths need a working directory (`sys/working_directory.rs`).

use std::ffi::{CString, OsStr};
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, fsconfig_create, fsconfig_set_string,
    fsmount, fsopen, mount as mount2, move_mount,
};

use super::{Error, ImageRequest, Mount, RootfsState, SharedLayers, Volume, links, shared};
use crate::driver::filesystem::open;
use crate::entries::linked_volume;
use crate::layout::Layout;
use crate::sys::path_error::{OnPath, PathError, named};
use crate::sys::working_directory::WorkingDirectory;
use crate::sys::{descriptors, files, mount_point, xattr};

/// mount(2) reads one page of options, the last byte being the end of the string.
const OPTIONS_LIMIT: usize = 4095;
/// The most layers of one overlay (`OVL_MAX_STACK` of the kernel's fs/overlayfs/params.h).
const MOST_LAYERS: usize = 500;
const USER_ATTRIBUTES: &str = ",userxattr";

/// What an overlay is made of, by names that say where it is.
pub(super) struct Parts {
    /// The layers, topmost first.
    pub(super) lowers: Vec<String>,
    pub(super) upper: String,
    pub(super) work: String,
    /// Where it is mounted.
    pub(super) target: String,
}

impl Parts {
    fn options(&self) -> String {
        format!("lowerdir={},upperdir={},workdir={}", self.lowers.join(":"), self.upper, self.work)
    }
}

/// Why an overlay could not be mounted.
pub(super) enum Failure {
    /// The names are too long for mount(2), and the kernel has no other way.
    TooLong,
    /// There are more layers than the kernel takes.
    TooMany,
    /// The kernel refuses the mount.
    Refused(Errno),
    /// Something that comes before the mount.
    Before(Error),
}

impl From<PathError> for Failure {
    fn from(error: PathError) -> Self {
        Failure::Before(error.into())
    }
}

/// The attribute of an image whose root filesystem was mounted by this program. It is part of the directory, so that a power
/// cut leaves both or neither.
const MOUNTED: &str = "user.grootfs.mounted";

/// The attribute of an image whose caller mounts it.
const LAYERS: &str = "user.grootfs.layers";

/// In bytes. XFS journals values of up to three quarters of a block.
const LONGEST_VALUE: usize = 3000;
/// So many letters of a layer's name tell it apart where all of them are too many.
const BEGINNING: usize = 16;

/// The names of the layers, or their beginnings, as the value of an attribute; without names where even those are too many.
fn names_as_value(volumes: &[Volume]) -> String {
    let join = |length: usize| {
        let names = volumes.iter().map(|volume| volume.chain_id.as_str());
        let names: Vec<&str> = names.map(|name| name.get(..length).unwrap_or(name)).collect();
        names.join(",")
    };
    let values = [usize::MAX, BEGINNING].into_iter().map(join);
    let mut fitting = values.filter(|value| !value.is_empty() && value.len() <= LONGEST_VALUE);
    fitting.next().unwrap_or_else(|| NO_NAMES.to_owned())
}

/// What the attribute says without names.
const NO_NAMES: &str = "1";

/// Leaves the names of the layers with an image that is not mounted: they tell what it needs where its record is damaged.
pub(super) fn record_layers(image: &Path, volumes: &[Volume]) -> Result<(), PathError> {
    xattr::set(open(image)?, OsStr::new(LAYERS), names_as_value(volumes).as_bytes()).on("write attributes of", image)
}

/// The names that are left with an image, or their beginnings; `None` if there are none.
pub(super) fn recorded_layers(image: &Path) -> Result<Option<Vec<String>>, PathError> {
    let image_directory = open(image)?;
    for attribute in [MOUNTED, LAYERS] {
        let value = xattr::get(&image_directory, OsStr::new(attribute)).on("read attributes of", image)?;
        let names = value.and_then(|value| String::from_utf8(value).ok());
        if let Some(names) = names.filter(|names| names != NO_NAMES && !names.is_empty()) {
            return Ok(Some(names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()));
        }
    }
    Ok(None)
}

/// The names of the layers that the mounted root filesystem of an image is made of; `None` if it is not mounted here.
pub(super) fn mounted_layers(layout: &Layout, image: &Path) -> Result<Option<Vec<String>>, PathError> {
    let options = mount_point::filesystem_options(&named(image).join("rootfs"))?;
    let Some(options) = options else { return Ok(None) };
    let lowers = options.iter().filter_map(|option| {
        let option = option.strip_prefix("lowerdir=").or_else(|| option.strip_prefix("lowerdir+="))?;
        Some(option.split(':').filter(|lower| !lower.is_empty()))
    });
    let name_of = |lower: &str| {
        let (directory, name) = lower.rsplit_once('/').unwrap_or_default();
        let is_volume = directory.ends_with("volumes");
        // Otherwise it is a short name, if it is this store's at all.
        if is_volume { Some(name.to_owned()) } else { linked_volume(layout, lower.rsplit('/').next()?) }
    };
    Ok(lowers.flatten().map(name_of).collect::<Option<Vec<String>>>().filter(|names| !names.is_empty()))
}

/// Whether the root filesystem of the image at `path` is mounted.
pub(super) fn state(path: &Path) -> Result<RootfsState, PathError> {
    let image = open(path)?;
    let rootfs = descriptors::name_of(&image).join("rootfs");
    if files::is_directory(&rootfs)? && mount_point::is_mount_point(&rootfs)? {
        return Ok(RootfsState::Present);
    }
    let is_marked = xattr::get(&image, OsStr::new(MOUNTED)).on("read attributes of", path)?.is_some();
    Ok(if is_marked { RootfsState::Unmounted } else { RootfsState::LeftToCaller })
}

/// Whether the overlay of the image at `path` keeps its attributes in `user.*`: as the mount says that is there, else if its
/// caller mounts it as told.
pub(super) fn has_user_attributes(path: &Path, is_for_root: bool) -> Result<bool, PathError> {
    let image = open(path)?;
    let rootfs = descriptors::resolve(&descriptors::name_of(&image)).on("resolve", path)?.join("rootfs");
    match mount_point::filesystem_options(&rootfs)? {
        Some(options) => Ok(options.iter().any(|option| *option == USER_ATTRIBUTES[1..])),
        None => Ok(!is_for_root && state(path)? == RootfsState::LeftToCaller),
    }
}

/// Mounts the image's overlay of `volumes`, bottom first, on its `rootfs`.
pub(super) fn mount(
    layout: &Layout,
    image: &Path,
    volumes: &[Volume],
    shared: Option<&SharedLayers<'_>>,
) -> Result<(), Error> {
    let mounted = match shared {
        Some(shared) => shared::mount(shared, image, volumes),
        None => mount_own(layout, image, volumes),
    };
    mounted.map_err(|failure| match failure {
        Failure::TooLong => {
            Error::Mount(format!("the names of the image's {} layers are too long for this kernel", volumes.len()))
        }
        Failure::TooMany => Error::Mount(too_many(volumes.len())),
        Failure::Refused(errno) => {
            let layers_in = shared.map_or(layout, |shared| shared.layout);
            Error::Mount(explain(errno, volumes, layers_in))
        }
        Failure::Before(error) => error,
    })?;
    let layers = names_as_value(volumes);
    Ok(xattr::set_of_directory(image, OsStr::new(MOUNTED), layers.as_bytes()).on("mark as mounted", image)?)
}

fn mount_own(layout: &Layout, image: &Path, volumes: &[Volume]) -> Result<(), Failure> {
    let in_image = WorkingDirectory::enter(image).on("chdir", image)?;
    let lowers = volumes.iter().rev().map(|v| format!("../../volumes/{}", v.chain_id)).collect();
    let (upper, work, target) = ("diff".to_owned(), "workdir".to_owned(), "rootfs".to_owned());
    let mounted = mount_parts(&Parts { lowers, upper, work, target });
    drop(in_image);
    match mounted {
        Err(Failure::TooLong) => mount_by_short_names(layout, image, volumes),
        mounted => mounted,
    }
}

/// Mounts an overlay.
pub(super) fn mount_parts(parts: &Parts) -> Result<(), Failure> {
    let options = parts.options();
    if options.len() <= OPTIONS_LIMIT { mount_at_once(parts, options) } else { mount_layer_by_layer(parts) }
}

/// Checks that the kernel can mount so many layers.
pub(super) fn check_count(layers: usize) -> Result<(), Error> {
    if layers > MOST_LAYERS { Err(Error::Mount(too_many(layers))) } else { Ok(()) }
}

/// How many of the lowest layers must become one, so that the options for a caller fit into what mount(2) reads; 0 if
/// they fit as they are. The same for all images of a store, so that they can share the one.
pub(super) fn layers_to_flatten(layout: &Layout, layers: usize) -> Result<usize, Error> {
    const LONGEST_ID: usize = 244;
    let link = layout.links_path().as_os_str().len() + "/".len() + links::LENGTH + ":".len();
    let image = layout.images_path().as_os_str().len() + "/".len() + LONGEST_ID;
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
/// In a user namespace an overlay keeps its attributes in `user.*` (`userxattr`, Linux 5.11).
pub(super) fn entry_for_caller(layout: &Layout, request: &ImageRequest<'_>) -> Result<Mount, Error> {
    let mut lowers = Vec::with_capacity(request.volumes.len());
    for volume in request.volumes.iter().rev() {
        let short = links::ensure(layout, &volume.chain_id)?;
        lowers.push(layout.links_path().join(short).display().to_string());
    }
    let image = request.published.display();
    let mut option = format!("lowerdir={},upperdir={image}/diff,workdir={image}/workdir", lowers.join(":"));
    if !request.is_for_root {
        option.push_str(USER_ATTRIBUTES);
    }
    Ok(Mount {
        destination: format!("{image}/rootfs"),
        kind: "overlay".into(),
        source: "overlay".into(),
        options: vec![option],
    })
}

fn mount_at_once(parts: &Parts, options: String) -> Result<(), Failure> {
    let data = CString::new(options).map_err(|_| Failure::Refused(Errno::INVAL))?;
    mount2("overlay", &parts.target, "overlay", MountFlags::empty(), data.as_c_str()).map_err(Failure::Refused)
}

/// One `lowerdir+` for each layer: 500 layers, whatever their names' lengths.
fn mount_layer_by_layer(parts: &Parts) -> Result<(), Failure> {
    let refused = Failure::Refused;
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(|_| Failure::TooLong)?;
    fsconfig_set_string(&context, "source", "overlay").map_err(refused)?;
    for (index, lower) in parts.lowers.iter().enumerate() {
        match fsconfig_set_string(&context, "lowerdir+", lower) {
            Err(Errno::INVAL) if index == 0 => return Err(Failure::TooLong),
            Err(Errno::INVAL) => return Err(Failure::TooMany),
            set => set.map_err(refused)?,
        }
    }
    fsconfig_set_string(&context, "upperdir", &parts.upper).map_err(refused)?;
    fsconfig_set_string(&context, "workdir", &parts.work).map_err(refused)?;
    fsconfig_create(&context).map_err(refused)?;
    let mounted = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).map_err(refused)?;
    move_mount(&mounted, "", CWD, &parts.target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH).map_err(refused)
}

/// For kernels before 6.8, which have no `lowerdir+`: short names relative to `l/` need the fewest bytes.
fn mount_by_short_names(layout: &Layout, image: &Path, volumes: &[Volume]) -> Result<(), Failure> {
    let mut lowers = Vec::with_capacity(volumes.len());
    for volume in volumes.iter().rev() {
        lowers.push(links::ensure(layout, &volume.chain_id)?);
    }
    let place = |name: &str| image.join(name).display().to_string();
    let parts = Parts { lowers, upper: place("diff"), work: place("workdir"), target: place("rootfs") };
    let options = parts.options();
    if options.len() > OPTIONS_LIMIT {
        return Err(Failure::TooMany);
    }
    let links = open(&layout.links())?;
    let _in_links = WorkingDirectory::enter(&descriptors::name_of(&links)).on("chdir", layout.links())?;
    mount_at_once(&parts, options)
}

fn too_many(layers: usize) -> String {
    format!("the image has {layers} layers and the kernel takes at most {MOST_LAYERS}")
}

/// mount(2) has but a number to say; what it means here can be told from the volumes.
fn explain(errno: Errno, volumes: &[Volume], layout: &Layout) -> String {
    let is_missing = |volume: &&Volume| !files::exists(&layout.volume(volume.chain_id.as_str())).unwrap_or(true);
    let missing = volumes.iter().find(is_missing).map(|volume| layout.volume_path(volume.chain_id.as_str()));
    let reason = crate::sys::path_error::reason(&errno.into());
    match (missing, errno) {
        (Some(path), _) => format!("base volume path does not exist: {}", path.display()),
        (None, Errno::NODEV) => format!("{reason}: the kernel has no overlay filesystem (modprobe overlay)"),
        (None, Errno::PERM) => format!("{reason}: mounting takes root; use --without-mount to leave it to the caller"),
        _ => reason,
    }
}
