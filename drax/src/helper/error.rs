//! Why the helper refuses or fails, in the words the user reads.

use crate::error::{Error, reason};
use std::fmt;
use std::io;
use std::path::PathBuf;

#[derive(Debug)]
pub(super) enum HelperError {
    /// The process could not be made safe.
    Harden(io::Error),
    /// The setuid bit or its owner is missing.
    NotPrivileged { program: String },
    /// An ordinary user.
    OnlyRoot { program: String, uid: u32 },
    /// The command line.
    Usage(String),
    /// Something a later version does.
    Unsupported(String),
    /// Not of the form `<store>/images/<id>`.
    NotAnImagePath(PathBuf),
    /// A step on the way to the image.
    Open { path: PathBuf, error: io::Error },
    /// The image and its store are not on one XFS filesystem.
    NotXfs(PathBuf),
    /// Something is mounted between the store and its image.
    ForeignFilesystem(PathBuf),
    /// Setting the limit.
    Limit { image: PathBuf, error: Error },
    /// Reading project or usage.
    Measure { image: PathBuf, error: Error },
    /// `image_info` is missing or holds no number.
    ImageInfo { path: PathBuf, error: io::Error },
}

impl fmt::Display for HelperError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Harden(error) => write!(f, "preparing the process: {}", system(error)),
            Self::NotPrivileged { program } => write!(
                f,
                "{program} must be owned by root and have the setuid bit: chown root {program} && chmod u+s {program}"
            ),
            Self::OnlyRoot { program, uid } => {
                write!(
                    f,
                    "this version of {program} acts for root only, and uid {uid} is not root: run grootfs as root"
                )
            }
            Self::Usage(text) | Self::Unsupported(text) => f.write_str(text),
            Self::NotAnImagePath(path) => {
                write!(
                    f,
                    "image path `{}` is not of the form <store>/images/<id>, absolute and without `.` and `..`",
                    path.display()
                )
            }
            Self::Open { path, error } if is_link_or_file(error) => {
                write!(
                    f,
                    "opening directory: {}: not a directory, or a symbolic link (which are not followed)",
                    path.display()
                )
            }
            Self::Open { path, error } => write!(f, "opening directory: {}: {}", path.display(), system(error)),
            Self::NotXfs(path) => {
                write!(f, "`{}` is not on XFS, the only filesystem whose quotas this version handles", path.display())
            }
            Self::ForeignFilesystem(path) => {
                write!(f, "`{}` is not on the filesystem of its store", path.display())
            }
            Self::Limit { image, error } => write!(f, "setting quota to {}: {error}", image.display()),
            Self::Measure { image, error } => write!(f, "getting quota {}: {error}", image.display()),
            Self::ImageInfo { path, error } => write!(f, "reading image info {}: {}", path.display(), system(error)),
        }
    }
}

impl std::error::Error for HelperError {}

fn is_link_or_file(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTDIR | libc::ELOOP))
}

/// The system's text as the original prints it, or the text of an error that is not the system's.
fn system(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), reason)
}
