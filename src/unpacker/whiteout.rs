//! Deletions: how a layer spells them and how a volume stores them.
//!
//! In a layer a deletion is a file name with a prefix (OCI image specification, "Whiteouts"); in the upper directory of
//! an overlay it is a character device 0:0, or an attribute of a directory (Linux, Documentation/filesystems/overlayfs);
//! in a volume that begins as a copy of its parent it is nothing: what is deleted is not there.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{FileType, Mode, Stat, makedev, mknodat};

use crate::sys::{dirfd, xattr};

/// What becomes of deletions of lower layers' entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhiteoutFormat {
    /// Character device 0:0; `trusted.overlay.opaque` = `y` on directories that hide all below them.
    Overlay,
    /// Character devices alone, one for each entry that such a directory hides. For whoever cannot set or see attributes
    /// of that kind: users, and those who mount in a user namespace, with `userxattr` (Linux 5.11).
    OverlayDevices,
    /// The volume begins with all that its parent has, and what the layer deletes is removed from it.
    Removal,
}

const OPAQUE: &str = "trusted.overlay.opaque";
/// Marks of opaque directories, those that other users set included.
pub(super) const OPAQUE_MARKS: [&str; 2] = [OPAQUE, "user.overlay.opaque"];

impl WhiteoutFormat {
    /// Whether a directory can be marked as hiding all entries of the same directory in lower layers.
    pub(super) fn has_opaque_mark(self) -> bool {
        self == Self::Overlay
    }

    /// Marks the open directory so, where that can be.
    pub(super) fn mark_opaque(self, directory: impl AsFd) -> io::Result<()> {
        if self.has_opaque_mark() { xattr::set(directory, OsStr::new(OPAQUE), b"y") } else { Ok(()) }
    }

    /// Whether the open directory is marked so. Volumes of one store may have been made by different callers.
    pub(super) fn is_opaque(self, directory: impl AsFd) -> io::Result<bool> {
        if self == Self::Removal {
            return Ok(false);
        }
        Ok(xattr::get(directory, OsStr::new(OPAQUE))?.is_some_and(|value| value == b"y"))
    }

    /// Makes `name` in `directory` hide the same name in lower layers.
    pub(super) fn hide(self, directory: impl AsFd, name: &OsStr) -> io::Result<()> {
        // Needs CAP_MKNOD, except for 0:0 since Linux 5.8.
        Ok(mknodat(directory, name, FileType::CharacterDevice, Mode::empty(), makedev(0, 0))?)
    }
}

/// Whether it is the device that hides a name. Layers cannot bring devices of their own into a volume.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    dirfd::file_type(stat) == FileType::CharacterDevice && stat.st_rdev == makedev(0, 0)
}

/// Where aufs keeps the files that have several names (aufs(5), "pseudo-link").
pub(super) const AUFS_LINKS: &str = ".wh..wh.plnk";

/// What the last component of an entry's name says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// An ordinary file.
    None,
    /// Lower layers' file of this name is deleted.
    Whiteout(OsString),
    /// All that lower layers have in this directory is deleted.
    Opaque,
    /// Bookkeeping of aufs that got into the layer.
    Metadata,
    /// The prefix of a whiteout and nothing else.
    Nameless,
}

/// Reads a file name. Only a prefix counts: `foo.wh.bar` is an ordinary file.
pub(super) fn mark(name: &OsStr) -> Mark {
    match name.as_bytes() {
        b".wh..wh..opq" => Mark::Opaque,
        b".wh." => Mark::Nameless,
        name if is_metadata(name) => Mark::Metadata,
        name => name.strip_prefix(b".wh.").map_or(Mark::None, |name| match name {
            // A directory cannot delete itself or its parent.
            b"." | b".." => Mark::Nameless,
            name => Mark::Whiteout(OsStr::from_bytes(name).to_owned()),
        }),
    }
}

/// Whether `component` of a path is aufs's own, and all below it.
pub(super) fn is_metadata(component: &[u8]) -> bool {
    component.starts_with(b".wh..wh.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let cases = [
            ("file", Mark::None),
            ("foo.wh.bar", Mark::None),
            (".wh", Mark::None),
            (".wh.file", Mark::Whiteout("file".into())),
            (".wh..hidden", Mark::Whiteout(".hidden".into())),
            (".wh.a.wh.b", Mark::Whiteout("a.wh.b".into())),
            (".wh..wh..opq", Mark::Opaque),
            (".wh..wh.plnk", Mark::Metadata),
            (".wh..wh.aufs", Mark::Metadata),
            (".wh.", Mark::Nameless),
            (".wh..", Mark::Nameless),
            (".wh...", Mark::Nameless),
        ];
        for (name, expected) in cases {
            assert_eq!(mark(OsStr::new(name)), expected, "{name}");
        }
    }
}
