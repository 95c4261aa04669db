//! From a path on the command line to checked descriptors.
//!
//! A caller of a privileged program can move, replace and link directories while it runs. So a path is walked once, from
//! `/`, one name at a time, never through a link, and afterwards only the descriptors count.

use super::error::HelperError;
use crate::sys;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// `f_type` of XFS in `statfs(2)`.
const XFS_MAGIC: u32 = 0x5846_5342;

/// An image directory of a store on XFS, open.
pub(super) struct Image {
    pub(super) path: PathBuf,
    pub(super) directory: OwnedFd,
    store_path: PathBuf,
    store: OwnedFd,
}

impl Image {
    /// Opens `<store>/images/<id>`.
    pub(super) fn open(path: &Path) -> Result<Self, HelperError> {
        let names = names(path).ok_or_else(|| HelperError::NotAnImagePath(path.to_owned()))?;
        let [store_names @ .., "images", _id] = names.as_slice() else {
            return Err(HelperError::NotAnImagePath(path.to_owned()));
        };
        if store_names.is_empty() {
            return Err(HelperError::NotAnImagePath(path.to_owned()));
        }
        let (store, store_path) = walk(root()?, PathBuf::from("/"), store_names)?;
        let (directory, path) = walk(duplicate(&store, &store_path)?, store_path.clone(), &names[store_names.len()..])?;
        let image = Self { path, directory, store_path, store };
        image.check_filesystem()?;
        Ok(image)
    }

    /// The store that the image belongs to.
    pub(super) fn store(&self) -> BorrowedFd<'_> {
        self.store.as_fd()
    }

    /// The directory of the store's project ids.
    pub(super) fn project_ids(&self) -> Result<OwnedFd, HelperError> {
        step(self.store.as_fd(), "projectids", &self.store_path.join("projectids"))
    }

    /// The file of the image that tells the size of its layers.
    pub(super) fn info(&self) -> std::io::Result<File> {
        sys::open_at(self.directory.as_fd(), c"image_info", libc::O_RDONLY | libc::O_NONBLOCK).map(File::from)
    }

    fn check_filesystem(&self) -> Result<(), HelperError> {
        let failed = |error| HelperError::Open { path: self.path.clone(), error };
        if sys::filesystem_magic(self.directory.as_fd()).map_err(failed)? != XFS_MAGIC {
            return Err(HelperError::NotXfs(self.path.clone()));
        }
        if device(&self.directory).map_err(failed)? != device(&self.store).map_err(failed)? {
            return Err(HelperError::ForeignFilesystem(self.path.clone()));
        }
        Ok(())
    }
}

/// The names a path goes through, unless it is relative or has `.` or `..` in it.
fn names(path: &Path) -> Option<Vec<&str>> {
    let path = path.as_os_str().as_bytes().strip_prefix(b"/")?;
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    names.map(|name| std::str::from_utf8(name).ok().filter(|name| *name != "." && *name != "..")).collect()
}

fn root() -> Result<OwnedFd, HelperError> {
    let root = File::open("/").map_err(|error| HelperError::Open { path: "/".into(), error })?;
    Ok(root.into())
}

fn duplicate(directory: &OwnedFd, path: &Path) -> Result<OwnedFd, HelperError> {
    directory.try_clone().map_err(|error| HelperError::Open { path: path.to_owned(), error })
}

fn walk(start: OwnedFd, path: PathBuf, names: &[&str]) -> Result<(OwnedFd, PathBuf), HelperError> {
    names.iter().try_fold((start, path), |(directory, path), name| {
        let path = path.join(name);
        Ok((step(directory.as_fd(), name, &path)?, path))
    })
}

/// Opens one directory below another, never through a link. `path` is for the message.
fn step(parent: BorrowedFd<'_>, name: &str, path: &Path) -> Result<OwnedFd, HelperError> {
    let failed = |error| HelperError::Open { path: path.to_owned(), error };
    let name = CString::new(OsStr::new(name).as_bytes()).map_err(|error| failed(error.into()))?;
    sys::open_at(parent, &name, libc::O_RDONLY | libc::O_DIRECTORY).map_err(failed)
}

fn device(directory: &OwnedFd) -> std::io::Result<u64> {
    Ok(File::from(directory.try_clone()?).metadata()?.dev())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn refusal(path: impl AsRef<Path>) -> String {
        Image::open(path.as_ref()).err().map(|error| error.to_string()).unwrap_or_default()
    }

    /// A directory of its own for one test, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("drax-{name}-{}", std::process::id()));
            fs::create_dir_all(path.join("store/images/x")).unwrap();
            Self(path.canonicalize().unwrap())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn only_an_absolute_path_below_images_is_an_image() {
        for path in [
            "/tmp",
            "/images/x",
            "store/images/x",
            "/s/images",
            "/s/images/x/rootfs",
            "/s/images/../x",
            "/s/./images/x",
            "",
        ] {
            assert!(refusal(path).contains("is not of the form <store>/images/<id>"), "{path}: {}", refusal(path));
        }
    }

    #[test]
    fn doubled_and_trailing_slashes_do_no_harm() {
        assert_eq!(names(Path::new("//s//images/x/")), Some(vec!["s", "images", "x"]));
    }

    #[test]
    fn links_are_not_followed_at_any_step() {
        let scratch = Scratch::new("links");
        let Scratch(dir) = &scratch;
        symlink(dir.join("store"), dir.join("link")).unwrap();
        symlink(dir.join("store/images/x"), dir.join("store/images/y")).unwrap();
        for path in [dir.join("link/images/x"), dir.join("store/images/y")] {
            assert!(refusal(&path).contains("a symbolic link (which are not followed)"), "{}", refusal(&path));
        }
    }

    #[test]
    fn a_missing_step_is_named() {
        let scratch = Scratch::new("missing");
        let path = scratch.0.join("store/images/z");
        assert_eq!(refusal(&path), format!("opening directory: {}: no such file or directory", path.display()));
    }

    #[test]
    fn another_filesystem_is_refused() {
        // /proc has no directory `images`, and /dev/shm or /run may be writable: any tmpfs will do.
        let dir = PathBuf::from(format!("/dev/shm/drax-{}", std::process::id()));
        fs::create_dir_all(dir.join("images/x")).unwrap();
        let refused = refusal(dir.join("images/x"));
        fs::remove_dir_all(&dir).unwrap();
        assert!(refused.contains("is not on XFS"), "{refused}");
    }
}
