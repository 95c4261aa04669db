//! Names in an archive as paths in a volume.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Joins `name` to `base` and cleans the result without looking at any file: relative, no `.`, no `..`, no empty
/// components. Absolute names begin at `base` too, and `..` stops at the volume's root, as it does in a chroot.
pub(super) fn clean(base: &Path, name: &[u8]) -> PathBuf {
    let mut path = PathBuf::new();
    for component in base.components().chain(Path::new(OsStr::from_bytes(name)).components()) {
        match component {
            Component::Normal(component) => path.push(component),
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    path
}

/// The directory and the name in it; `None` for the root.
pub(super) fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    Some((path.parent()?, path.file_name()?))
}

/// The directories on the way to `path`, from the top down, and `path` itself.
pub(super) fn directories(path: &Path) -> Vec<&Path> {
    let mut directories: Vec<&Path> = path.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
    directories.reverse();
    directories
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning() {
        let cases = [
            ("", "", ""),
            ("", "./", ""),
            ("", "/", ""),
            ("", "a/b", "a/b"),
            ("", "/a//b/./c/", "a/b/c"),
            ("", "../x", "x"),
            ("", "a/../../../x", "x"),
            ("/home/vcap", "x", "home/vcap/x"),
            ("/home/vcap", "/x", "home/vcap/x"),
            ("/home/vcap", "../x", "home/x"),
            ("/home/vcap", "../../../x", "x"),
            ("/home/vcap", "./", "home/vcap"),
        ];
        for (base, name, expected) in cases {
            assert_eq!(clean(Path::new(base), name.as_bytes()), Path::new(expected), "{base} {name}");
        }
    }
}
