//! Why the helper refuses or fails, in the words the user reads.

use crate::error::{Error, reason};
use crate::limit::SmallerThanLayers;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) enum HelperError {
    /// The process could not be made safe.
    Harden(io::Error),
    /// The program has no rights beyond the caller's.
    NotPrivileged { program: String, reason: &'static str },
    /// The command line.
    Usage(String),
    /// A path that is not of the form wanted.
    NotAPlace { path: PathBuf, wanted: &'static str },
    /// A step on the way.
    Open { path: PathBuf, error: io::Error },
    /// Without what every store has.
    NotAStore(PathBuf),
    /// A directory of somebody else's.
    NotOwner { path: PathBuf, uid: u32 },
    /// A directory in which others may change what is there.
    WritableByOthers(PathBuf),
    /// Not on XFS.
    NotXfs(PathBuf),
    /// Not a btrfs subvolume.
    NotASubvolume(PathBuf),
    /// Btrfs quotas are off.
    QuotasOff(PathBuf),
    /// Btrfs quotas do not count, and the kernel has not mended them in time.
    Inconsistent(PathBuf),
    /// A subvolume that has no quota group.
    NotCounted(PathBuf),
    /// The image has a project id.
    LimitedAlready(PathBuf),
    /// The lock of the store could not be used.
    Lock { path: PathBuf, error: io::Error },
    /// The lock of the store is held.
    Busy(PathBuf),
    /// Setting the limit.
    Limit { path: PathBuf, error: Error },
    /// The limit includes layers that are larger.
    TooSmall(SmallerThanLayers),
    /// Reading project, usage or state of quotas.
    Measure { path: PathBuf, error: Error },
    /// Removing a quota group.
    Remove { path: PathBuf, error: Error },
    /// Listing subvolumes.
    List { path: PathBuf, error: Error },
    /// `image_info` is missing or holds no number.
    ImageInfo { path: PathBuf, error: io::Error },
    /// Marking a directory.
    SetOpaque { path: PathBuf, error: io::Error },
}

impl HelperError {
    /// The size of an image's layers is needed and not noted.
    pub(super) fn no_image_info(image: &Path) -> Self {
        Self::ImageInfo { path: image.join("image_info"), error: io::Error::from_raw_os_error(libc::ENOENT) }
    }

    /// Whether something that was to be opened is not there.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Open { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for HelperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Harden(error) => write!(f, "preparing the process: {}", system(error)),
            Self::NotPrivileged { program, reason } => write!(f, "{program} lacks the privileges it needs: {reason}"),
            Self::Usage(text) => f.write_str(text),
            Self::NotAPlace { path, wanted } => {
                write!(f, "path `{}` is not of the form {wanted}, absolute and without `.` and `..`", path.display())
            }
            Self::Open { path, error } => write!(f, "opening directory: {}: {}", path.display(), way(error)),
            Self::NotAStore(path) => {
                write!(f, "`{}` is not a store: it lacks directories that init-store creates", path.display())
            }
            Self::NotOwner { path, uid } => {
                write!(
                    f,
                    "`{}` does not belong to the user who called, uid {uid}: only the owner of a store",
                    path.display()
                )?;
                write!(f, " and root may do this")
            }
            Self::WritableByOthers(path) => {
                write!(
                    f,
                    "others may write in `{}`, so what is there is not its owner's for certain: ",
                    path.display()
                )?;
                write!(f, "chmod go-w {}", path.display())
            }
            Self::NotXfs(path) => {
                write!(f, "`{}` is not on XFS; limits on btrfs are set with --volume-path", path.display())
            }
            Self::NotASubvolume(path) => write!(f, "`{}` is not a btrfs volume", path.display()),
            Self::QuotasOff(path) => {
                write!(
                    f,
                    "quotas are off on the btrfs filesystem of `{}`: run init-store, or `btrfs quota enable`",
                    path.display()
                )
            }
            Self::Inconsistent(path) => {
                let path = path.display();
                write!(
                    f,
                    "quotas of the btrfs filesystem of `{path}` are inconsistent, so that no limit would hold, "
                )?;
                write!(f, "and counting anew takes longer than 30 s: run `btrfs quota rescan -w {path}`")
            }
            Self::NotCounted(path) => write!(f, "qgroup usage: `{}` has no qgroup", path.display()),
            Self::LimitedAlready(path) => {
                write!(f, "`{}` has a project id already: an image is limited once, when it is made", path.display())
            }
            Self::Lock { path, error } => write!(f, "locking {}: {}", path.display(), system(error)),
            Self::Busy(store) => write!(
                f,
                "another process has held the project ids of the store {} for more than 3 s: try again when it has ended",
                store.display()
            ),
            Self::Limit { path, error } => write!(f, "setting quota to {}: {error}", path.display()),
            Self::TooSmall(error) => write!(f, "{error}"),
            Self::Measure { path, error } => write!(f, "getting quota {}: {error}", path.display()),
            Self::Remove { path, error } => write!(f, "removing quota of {}: {error}", path.display()),
            Self::List { path, error } => write!(f, "listing {}: {error}", path.display()),
            Self::ImageInfo { path, error } => write!(f, "reading image info {}: {}", path.display(), system(error)),
            Self::SetOpaque { path, error } => write!(f, "set xattr for {}: {}", path.display(), system(error)),
        }
    }
}

impl std::error::Error for HelperError {}

/// Why a step on the way to a directory failed.
fn way(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOTDIR | libc::ELOOP) => "not a directory, or a symbolic link (which are not followed)".to_owned(),
        Some(libc::EXDEV) => "something else is mounted there".to_owned(),
        _ => system(error),
    }
}

/// The system's text as the original prints it, or the text of an error that is not the system's.
fn system(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), reason)
}
