//! Owner, mode, extended attributes and times, in the one order that keeps them all: changing the owner clears set-id
//! bits and capabilities, and any change may move the times.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, Uid, chmodat, chownat, fchmod, fchown, fstatvfs, futimens, utimensat,
};
use rustix::io::Errno;
use tracing::debug;

use super::attribute_ids;
use super::error::Error;
use super::portable::CAPABILITY;
use crate::archive::Xattr;
use crate::sys::confine::Confinement;
use crate::sys::xattr;

/// A user id and a group id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Owner {
    /// Whether this process may give files away: root of whatever user namespace may. Anybody else keeps what it makes,
    /// which is all that a container of that one user needs.
    pub(super) fn can_be_given() -> bool {
        rustix::process::geteuid().is_root()
    }
}

/// All attributes of a file, as it shall have them.
#[derive(Debug, Clone)]
pub(super) struct Attributes {
    /// `None` if the caller may not give files away: then they stay its own.
    pub(super) owner: Option<Owner>,
    /// Permission bits with set-id and sticky bits.
    pub(super) mode: u32,
    pub(super) xattrs: Vec<Xattr>,
    /// Both the modification and the access time.
    pub(super) mtime: Timespec,
}

/// Attributes that a file is known to have already; setting them again can be spared.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AlreadySet {
    pub(super) owner: Option<Owner>,
    pub(super) mode: Option<u32>,
}

/// The file whose attributes are set.
pub(super) enum Target<'a> {
    /// A regular file or a directory, open.
    Open { file: BorrowedFd<'a>, noun: &'static str, path: &'a Path },
    /// A symlink or a FIFO, by its name in an open directory.
    Named { directory: BorrowedFd<'a>, name: &'a OsStr, is_symlink: bool, confinement: Confinement, path: &'a Path },
}

impl Attributes {
    /// Gives `target` these attributes.
    pub(super) fn apply(&self, target: &Target<'_>, known: AlreadySet) -> Result<(), Error> {
        if let Some(owner) = self.owner.filter(|owner| known.owner != Some(*owner)) {
            target.chown(owner).map_err(|error| {
                // The kernel's way to say that a user namespace has no such id.
                let unknown = if error == Errno::INVAL { ", which the id mappings leave out," } else { "" };
                target.error(format!("chowning {} {}:{}{unknown}", target.noun(), owner.uid, owner.gid), error)
            })?;
        }
        // Whoever is not root may set them only on what he may write to.
        let first_xattrs = self.owner.is_none() && !self.xattrs.is_empty();
        if first_xattrs {
            target.change_mode(self.mode | 0o600)?;
        } else if known.mode != Some(self.mode) {
            target.change_mode(self.mode)?;
        }
        for xattr in &self.xattrs {
            target.set_xattr(xattr)?;
        }
        if first_xattrs {
            target.change_mode(self.mode)?;
        }
        target
            .set_times(self.mtime)
            .map_err(|error| target.error(format!("setting the modtime for {}", target.noun()), error))
    }
}

impl Target<'_> {
    fn path(&self) -> &Path {
        match self {
            Self::Open { path, .. } | Self::Named { path, .. } => path,
        }
    }

    fn noun(&self) -> &'static str {
        match self {
            Self::Open { noun, .. } => noun,
            Self::Named { is_symlink: true, .. } => "link",
            Self::Named { .. } => "file",
        }
    }

    fn error(&self, operation: impl Into<Cow<'static, str>>, error: Errno) -> Error {
        Error::file(operation, self.path(), error)
    }

    fn chown(&self, owner: Owner) -> rustix::io::Result<()> {
        let (uid, gid) = (Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)));
        match self {
            Self::Open { file, .. } => fchown(file, uid, gid),
            Self::Named { directory, name, .. } => chownat(directory, *name, uid, gid, AtFlags::SYMLINK_NOFOLLOW),
        }
    }

    fn change_mode(&self, mode: u32) -> Result<(), Error> {
        self.chmod(mode).map_err(|error| self.error(format!("chmoding {}", self.noun()), error))
    }

    fn chmod(&self, mode: u32) -> rustix::io::Result<()> {
        let mode = Mode::from_raw_mode(mode);
        match self {
            Self::Open { file, .. } => fchmod(file, mode),
            // The mode of a symlink means nothing and cannot be changed.
            Self::Named { is_symlink: true, .. } => Ok(()),
            Self::Named { directory, name, .. } => chmodat(directory, *name, mode, AtFlags::empty()),
        }
    }

    fn set_times(&self, mtime: Timespec) -> rustix::io::Result<()> {
        let times = Timestamps { last_access: mtime, last_modification: mtime };
        match self {
            Self::Open { file, .. } => futimens(file, &times),
            Self::Named { directory, name, .. } => utimensat(directory, *name, &times, AtFlags::SYMLINK_NOFOLLOW),
        }
    }

    /// Filesystems say of an attribute that they keep no space for what they say when they are full (setxattr(2)).
    fn is_on_a_filesystem_with_room(&self) -> bool {
        // A block of the largest size that a filesystem keeps attributes in.
        const ROOM: u64 = 64 << 10;
        let (Self::Open { file: directory, .. } | Self::Named { directory, .. }) = self;
        fstatvfs(directory).is_ok_and(|status| status.f_bavail.saturating_mul(status.f_frsize) > ROOM)
    }

    fn set_xattr(&self, xattr: &Xattr) -> Result<(), Error> {
        let Xattr { name, value } = xattr;
        let result = match self {
            Self::Open { file, .. } => xattr::set(file, name, value),
            Self::Named { directory, name: file, confinement, .. } => {
                set_xattr_by_name(*directory, file, *confinement, xattr)
            }
        };
        match result {
            Ok(()) => Ok(()),
            Err(error) if is_unsupported(&error, name) => {
                debug!(path = %self.path().display(), name = %name.display(), "xattr-not-supported");
                Ok(())
            }
            Err(source) => {
                let (name, path) = (name.display().to_string(), self.path().to_owned());
                if source.kind() == io::ErrorKind::StorageFull && self.is_on_a_filesystem_with_room() {
                    return Err(Error::XattrTooLarge { name, size: value.len(), path });
                }
                Err(Error::Xattr { name, ids: attribute_ids::ids_of(xattr), path, source })
            }
        }
    }
}

/// Attributes of a symlink can be set by path only, so the thread goes where the path is a bare name.
fn set_xattr_by_name(
    directory: BorrowedFd<'_>,
    file: &OsStr,
    confinement: Confinement,
    xattr: &Xattr,
) -> io::Result<()> {
    if confinement.change_directory(directory)? {
        return xattr::set_by_path(file, &xattr.name, &xattr.value);
    }
    let mut path = OsString::from(format!("/proc/self/fd/{}/", std::os::fd::AsRawFd::as_raw_fd(&directory)));
    path.push(file);
    xattr::set_by_path(&path, &xattr.name, &xattr.value)
}

/// Whether it is the filesystem, the kind of file or the namespace that has no such attributes, rather than a failure.
fn is_unsupported(error: &io::Error, name: &OsStr) -> bool {
    match error.raw_os_error() {
        Some(libc::ENOTSUP) => true,
        // `user.*` exists on files and directories only; capabilities are root's to give, like files.
        Some(libc::EPERM) if name == CAPABILITY => !Owner::can_be_given(),
        Some(libc::EPERM) => name.as_bytes().starts_with(b"user."),
        _ => false,
    }
}
