//! What a path means: which store it names, and what in it.

use super::error::HelperError;
use std::path::Path;

/// Names of an image's directory while it is made, while it is removed, and of a layer while it is removed.
const MAKING: &str = "create.";
const REMOVING: [&str; 2] = ["delete.", "dead."];

/// A path, cut into the store and what is below it. Names are plain: neither empty, `.` nor `..`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StorePath {
    pub(super) store: Vec<String>,
    pub(super) below: Vec<String>,
}

impl StorePath {
    fn new(store: &[&str], below: &[&str]) -> Self {
        let own = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        Self { store: own(store), below: own(below) }
    }

    /// A store itself.
    pub(super) fn store(path: &Path) -> Result<Self, HelperError> {
        Self::at(path, 0, "<store>", |_| true)
    }

    /// The directory of an image, also while it is made.
    pub(super) fn image(path: &Path) -> Result<Self, HelperError> {
        Self::at(path, 2, "<store>/images/<id>", is_image)
    }

    /// A subvolume of an image, also while it is made.
    pub(super) fn image_subvolume(path: &Path) -> Result<Self, HelperError> {
        Self::at(path, 3, "<store>/images/<id>/rootfs", is_image_subvolume)
    }

    /// Whether a path is rather a subvolume of an image than its directory.
    pub(super) fn is_image_subvolume(path: &Path) -> bool {
        StorePath::image_subvolume(path).is_ok()
    }

    /// A subvolume that is to be removed: a layer, or that of an image.
    pub(super) fn subvolume(path: &Path) -> Result<Self, HelperError> {
        let layer = Self::at(path, 2, "<store>/volumes/<name>", |below| is_layer(below) || is_dead_layer(below));
        layer.or_else(|_| {
            let wanted = "<store>/images/<id>/rootfs or <store>/volumes/<name>";
            Self::at(path, 3, wanted, |below| is_image_subvolume(below) || is_removed_image_subvolume(below))
        })
    }

    /// Where subvolumes may be: all of the above, and the directory of an image that is being removed.
    pub(super) fn with_subvolumes(path: &Path) -> Result<Self, HelperError> {
        let directory = |below: &[&str]| is_image(below) || is_removed(below) || is_layer(below);
        Self::at(path, 2, "<store>/images/<id>", directory).or_else(|_| Self::subvolume(path))
    }

    /// Directories in layers; a path may have more than one `volumes` in it, the outermost comes first.
    pub(super) fn in_volumes(path: &Path) -> Result<Vec<Self>, HelperError> {
        let wanted = "<store>/volumes/<name>/...";
        let names = names(path).ok_or_else(|| refusal(path, wanted))?;
        let places = (1..names.len().saturating_sub(1))
            .filter(|at| names[*at] == "volumes")
            .map(|at| Self::new(&names[..at], &names[at..]));
        Some(places.collect::<Vec<_>>()).filter(|places| !places.is_empty()).ok_or_else(|| refusal(path, wanted))
    }

    fn at(
        path: &Path,
        depth: usize,
        wanted: &'static str,
        is_wanted: impl Fn(&[&str]) -> bool,
    ) -> Result<Self, HelperError> {
        let names = names(path).unwrap_or_default();
        match names.len().checked_sub(depth).map(|at| names.split_at(at)) {
            Some((store, below)) if !store.is_empty() && is_wanted(below) => Ok(Self::new(store, below)),
            _ => Err(refusal(path, wanted)),
        }
    }
}

fn refusal(path: &Path, wanted: &'static str) -> HelperError {
    HelperError::NotAPlace { path: path.to_owned(), wanted }
}

fn is_image(below: &[&str]) -> bool {
    match below {
        ["images", _] => true,
        ["tmp", name] => name.starts_with(MAKING),
        _ => false,
    }
}

fn is_removed(below: &[&str]) -> bool {
    matches!(below, ["tmp", name] if REMOVING.iter().any(|prefix| name.starts_with(prefix)))
}

fn is_image_subvolume(below: &[&str]) -> bool {
    matches!(below, [image @ .., name] if is_image(image) && is_subvolume_of_image(name))
}

fn is_removed_image_subvolume(below: &[&str]) -> bool {
    matches!(below, [image @ .., name] if is_removed(image) && is_subvolume_of_image(name))
}

/// The root filesystem, mounted or not, and the volumes that the image declares.
fn is_subvolume_of_image(name: &str) -> bool {
    matches!(name, "rootfs" | "snapshot") || name.starts_with("vol-")
}

fn is_layer(below: &[&str]) -> bool {
    matches!(below, ["volumes", _])
}

fn is_dead_layer(below: &[&str]) -> bool {
    matches!(below, ["tmp", name] if name.starts_with("dead."))
}

/// The names a path goes through, unless it is relative, has `.` or `..` in it, or is no text.
fn names(path: &Path) -> Option<Vec<&str>> {
    let path = path.to_str()?.strip_prefix('/')?;
    let names = path.split('/').filter(|name| !name.is_empty());
    names.map(|name| Some(name).filter(|name| !matches!(*name, "." | ".."))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Reading = fn(&Path) -> Result<StorePath, HelperError>;

    #[track_caller]
    fn is(reading: Reading, path: &str, store: &str, below: &str) {
        let place = reading(Path::new(path)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((place.store.join("/").as_str(), place.below.join("/").as_str()), (store, below));
    }

    #[track_caller]
    fn is_not(reading: Reading, paths: &[&str]) {
        for path in paths {
            assert!(reading(Path::new(path)).is_err(), "{path}");
        }
    }

    const INVALID: [&str; 14] = [
        "",
        "/",
        "s/images/x",
        "./s/images/x",
        "/images/x",
        "/s/images",
        "/s/images/../x",
        "/s/./images/x",
        "/s/images/x/..",
        "/s/images/..",
        "/s/tmp/x",
        "/s/tmp/create",
        "/s/meta/x",
        "/s/images/x/diff",
    ];

    #[test]
    fn an_image_is_finished_or_being_made() {
        is(StorePath::image, "/s/images/x", "s", "images/x");
        is(StorePath::image, "//a//s/images/x/", "a/s", "images/x");
        is(StorePath::image, "/s/tmp/create.x", "s", "tmp/create.x");
        is(StorePath::image, "/s/images/y/images/x", "s/images/y", "images/x");
        is_not(StorePath::image, &INVALID);
        is_not(StorePath::image, &["/s/images/x/rootfs", "/s/volumes/x", "/s/tmp/delete.x", "/s/tmp/dead.x"]);
    }

    #[test]
    fn the_subvolumes_of_an_image_are_its_rootfs_its_snapshot_and_its_volumes() {
        is(StorePath::image_subvolume, "/s/images/x/rootfs", "s", "images/x/rootfs");
        is(StorePath::image_subvolume, "/s/tmp/create.x/snapshot", "s", "tmp/create.x/snapshot");
        is(StorePath::image_subvolume, "/s/tmp/create.x/vol-12ab", "s", "tmp/create.x/vol-12ab");
        is_not(StorePath::image_subvolume, &INVALID);
        is_not(StorePath::image_subvolume, &["/s/images/x", "/s/tmp/delete.x/rootfs", "/s/volumes/rootfs"]);
    }

    #[test]
    fn what_is_removed_may_also_be_aside_or_a_layer() {
        is(StorePath::subvolume, "/s/images/x/rootfs", "s", "images/x/rootfs");
        is(StorePath::subvolume, "/s/tmp/delete.x/rootfs", "s", "tmp/delete.x/rootfs");
        is(StorePath::subvolume, "/s/tmp/dead.17", "s", "tmp/dead.17");
        is(StorePath::subvolume, "/s/volumes/abc", "s", "volumes/abc");
        is_not(StorePath::subvolume, &INVALID);
        is_not(StorePath::subvolume, &["/s/images/x", "/s/tmp/delete.x", "/s/tmp/create.x", "/s/volumes/a/b"]);
    }

    #[test]
    fn subvolumes_are_listed_below_images_and_layers() {
        for below in ["images/x", "tmp/delete.x", "tmp/create.x", "tmp/dead.x", "volumes/v", "images/x/rootfs"] {
            is(StorePath::with_subvolumes, &format!("/s/{below}"), "s", below);
        }
        is_not(StorePath::with_subvolumes, &INVALID);
    }

    #[test]
    fn a_directory_in_a_layer_has_each_store_tried_from_the_outermost_on() {
        let places = StorePath::in_volumes(Path::new("/volumes/s/volumes/v/volumes/d")).unwrap();
        let stores: Vec<String> = places.iter().map(|place| place.store.join("/")).collect();
        assert_eq!(stores, ["volumes/s", "volumes/s/volumes/v"]);
        assert_eq!(places[0].below, ["volumes", "v", "volumes", "d"]);
        for path in ["/s/volumes", "/volumes/v", "/s/volumes/v/../w", "s/volumes/v", "/s/images/x"] {
            assert!(StorePath::in_volumes(Path::new(path)).is_err(), "{path}");
        }
    }

    #[test]
    fn a_store_is_any_directory_but_the_root() {
        is(StorePath::store, "/var/lib/s", "var/lib/s", "");
        is_not(StorePath::store, &["/", "", "s", "/var/../s"]);
    }

    #[test]
    fn the_refusal_says_what_would_do() {
        let text = StorePath::image(Path::new("/tmp")).unwrap_err().to_string();
        assert_eq!(text, "path `/tmp` is not of the form <store>/images/<id>, absolute and without `.` and `..`");
    }
}
