//! From a path on the command line to descriptors.
//!
//! A caller of a privileged program can move, replace and link directories while it runs. So a path is walked once, from
//! `/`, one name at a time, never through a link, and afterwards only the descriptors count.

use super::error::HelperError;
use crate::sys;
use std::ffi::CString;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// An open directory.
pub(super) struct Directory {
    /// For messages.
    pub(super) path: PathBuf,
    fd: OwnedFd,
}

impl Directory {
    /// Opens the directory that `names` lead to from `/`. Those on the way need not be readable.
    pub(super) fn walk(names: &[impl AsRef<str>]) -> Result<Self, HelperError> {
        let root = sys::open_root().map_err(|error| HelperError::Open { path: "/".into(), error })?;
        let root = Self { path: "/".into(), fd: root };
        let Some((last, way)) = names.split_last() else { return Ok(root) };
        let way = way.iter().try_fold(root, |directory, name| directory.step(name.as_ref(), libc::O_PATH))?;
        way.step(last.as_ref(), libc::O_RDONLY)
    }

    fn step(&self, name: &str, flags: libc::c_int) -> Result<Self, HelperError> {
        let path = self.path.join(name);
        let open = CString::new(name).map_err(io::Error::from);
        let open = open.and_then(|name| sys::open_at(self.fd(), &name, flags | libc::O_DIRECTORY));
        match open {
            Ok(fd) => Ok(Self { path, fd }),
            Err(error) => Err(HelperError::Open { path, error }),
        }
    }

    /// Opens a directory in this one, on the same mount.
    pub(super) fn enter(&self, name: &str) -> Result<Self, HelperError> {
        let path = self.path.join(name);
        match sys::open_below(self.fd(), Path::new(name), libc::O_RDONLY | libc::O_DIRECTORY) {
            Ok(fd) => Ok(Self { path, fd }),
            Err(error) => Err(HelperError::Open { path, error }),
        }
    }

    /// Opens a regular file in this directory, on the same mount. What else bears the name is closed again untouched:
    /// opening waits for nobody.
    pub(super) fn open_file(&self, name: &str, flags: libc::c_int) -> io::Result<(File, Metadata)> {
        let file = sys::open_below(self.fd(), Path::new(name), flags | libc::O_NONBLOCK | libc::O_NOCTTY)?;
        let file = File::from(file);
        let metadata = file.metadata()?;
        if metadata.is_file() { Ok((file, metadata)) } else { Err(io::Error::other("not a regular file")) }
    }

    pub(super) fn is_on_xfs(&self) -> Result<bool, HelperError> {
        /// `f_type` of XFS in `statfs(2)`.
        const XFS_MAGIC: u32 = 0x5846_5342;
        let magic = sys::filesystem_magic(self.fd());
        Ok(magic.map_err(|error| HelperError::Open { path: self.path.clone(), error })? == XFS_MAGIC)
    }

    pub(super) fn metadata(&self) -> Result<Metadata, HelperError> {
        let metadata = self.fd.try_clone().and_then(|fd| File::from(fd).metadata());
        metadata.map_err(|error| HelperError::Open { path: self.path.clone(), error })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A directory of its own for one test, removed at the end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("drax-{name}-{}", std::process::id()));
            fs::create_dir_all(path.join("a/b")).unwrap();
            Self(path.canonicalize().unwrap())
        }

        fn walk(&self, below: &str) -> Result<Directory, HelperError> {
            let path = self.0.join(below);
            let names: Vec<&str> = path.to_str().unwrap().split('/').filter(|name| !name.is_empty()).collect();
            Directory::walk(&names)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn links_are_not_followed_at_any_step() {
        let scratch = Scratch::new("links");
        symlink("a", scratch.0.join("link")).unwrap();
        symlink("b", scratch.0.join("a/link")).unwrap();
        for refused in [
            scratch.walk("link/b").err(),
            scratch.walk("a/link").err(),
            scratch.walk("").unwrap().enter("link").err(),
            scratch.walk("a").unwrap().enter("link").err(),
        ] {
            let text = refused.unwrap().to_string();
            assert!(text.contains("a symbolic link (which are not followed)"), "{text}");
        }
    }

    #[test]
    fn a_missing_step_is_named() {
        let scratch = Scratch::new("missing");
        let text = scratch.walk("a/c/b").err().unwrap().to_string();
        let path = scratch.0.join("a/c");
        assert_eq!(text, format!("opening directory: {}: no such file or directory", path.display()));
    }

    #[test]
    fn only_regular_files_are_opened() {
        let scratch = Scratch::new("files");
        symlink("/etc/passwd", scratch.0.join("a/link")).unwrap();
        fs::write(scratch.0.join("a/file"), "x").unwrap();
        let directory = scratch.walk("a").unwrap();
        assert!(directory.open_file("file", libc::O_RDONLY).is_ok());
        assert!(directory.open_file("link", libc::O_RDONLY).is_err());
        assert!(directory.open_file("b", libc::O_RDONLY).is_err());
    }

    #[test]
    fn mounts_are_not_entered_below() {
        let refused = Directory::walk(&["proc"]).unwrap().enter("self").err().unwrap().to_string();
        assert!(refused.contains("symbolic link"), "{refused}");
        let root = Directory { path: "/".into(), fd: File::open("/").unwrap().into() };
        let refused = root.enter("proc").err().unwrap().to_string();
        assert_eq!(refused, "opening directory: /proc: something else is mounted there");
    }
}
