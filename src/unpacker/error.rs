//! What can go wrong while a layer becomes files.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::attribute_ids::Id;
use super::merged::Unreadable;
use crate::archive::ArchiveError;
use crate::idmap::IdError;
use crate::limits::Exceeded;
use crate::sys::path_error::reason;

/// Why a layer could not be unpacked. The text is one line and complete: it repeats what the source says.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes of the blob are not those that the manifest names.
    #[error("layerID digest mismatch: expected: {expected}, actual: {actual}")]
    BlobDigest {
        /// SHA-256 in the manifest, in hex.
        expected: String,
        /// SHA-256 of what was read, in hex.
        actual: String,
    },
    /// The uncompressed bytes are not those that the image configuration names.
    #[error("diffID digest mismatch: expected: {expected}, actual: {actual}")]
    DiffId {
        /// SHA-256 in the configuration, in hex.
        expected: String,
        /// SHA-256 of what was unpacked, in hex.
        actual: String,
    },
    /// The blob is shorter than the manifest says, or longer. Of a longer one no more is read than shows it to be so.
    #[error("layer size is different from the value in the manifest; expected: {expected}, actual {actual}")]
    BlobSize {
        /// Bytes in the manifest.
        expected: u64,
        /// Bytes read.
        actual: u64,
    },
    /// The uncompressed layers of this image are larger than its limit.
    #[error("uncompressed layer size exceeds quota")]
    Quota,
    /// The layers of this image have more files than its limit.
    #[error("the layers have more inodes than the disk limit allows")]
    InodeQuota,
    /// The store would be left without its reserve.
    #[error("the image unpacks to more than there is room for beside the store's reserve (create.limits.unpacked_bytes): {}", reason(.0))]
    Room(#[source] io::Error),
    /// The source of the blob failed.
    #[error("reading the layer: {}", reason(.0))]
    Source(#[source] io::Error),
    /// The blob is what the manifest names, but no valid gzip or zstd stream.
    #[error("decompressing the layer: {}", reason(.0))]
    Decompress(#[source] io::Error),
    /// The uncompressed bytes are not a tar archive, or end too early.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// An entry's owner cannot be translated.
    #[error("unpacking `{}`: {source}", .path.display())]
    Id {
        /// Path of the entry in the layer.
        path: PathBuf,
        /// Which id, and why not.
        #[source]
        source: IdError,
    },
    /// An operation on one file failed.
    #[error("{operation} `{}`: {}", .path.display(), reason(.source))]
    File {
        /// What was tried, e.g. `writing to file`.
        operation: Cow<'static, str>,
        /// Path of the file in the layer.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The unpacking user may not write to a directory that the layer writes to.
    #[error(
        "'/{}' does not give write permission to its owner. This image can only be unpacked using uid and gid mappings, \
         or by running as root.",
        .parent.display()
    )]
    NoWritePermission {
        /// Path of the directory in the layer.
        parent: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The unpacking user may not read what a lower layer has, which this one needs.
    #[error(
        "'/{}' cannot be read by its owner. This image can only be unpacked using uid and gid mappings, or by running as \
         root.",
        .0.display()
    )]
    Unreadable(PathBuf),
    /// A hard link could not be made.
    #[error("link {} {}: {}", .old.display(), .new.display(), reason(.source))]
    Link {
        /// The file to link to.
        old: PathBuf,
        /// The link.
        new: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An extended attribute could not be set.
    #[error("setting xattr `{name}`{} for file `{}`: {}", unmapped(.ids, .source), .path.display(), reason(.source))]
    Xattr {
        /// The attribute.
        name: String,
        /// The ids in it.
        ids: Vec<Id>,
        /// Path of the file in the layer.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An extended attribute for which the filesystem has no place, however empty it is.
    #[error(
        "setting xattr `{name}` for file `{}`: {size} bytes are more than the filesystem keeps with one file",
        .path.display()
    )]
    XattrTooLarge {
        /// The attribute.
        name: String,
        /// Bytes of its value.
        size: usize,
        /// Path of the file in the layer.
        path: PathBuf,
    },
    /// The image asks for more than a limit allows.
    #[error(transparent)]
    Limit(#[from] Exceeded),
    /// A whiteout that names nothing.
    #[error("invalid whiteout `{}`: no name follows `.wh.`", .0.display())]
    NamelessWhiteout(PathBuf),
    /// The base directory of the layer is not absolute.
    #[error("base directory `{}` is not an absolute path", .0.display())]
    RelativeBaseDirectory(PathBuf),
    /// The base directory of the layer exists in no layer below.
    #[error("base directory not found in parent layer: stat {}: {}", .path.display(), reason(.source))]
    BaseDirectoryNotFound {
        /// The first missing directory.
        path: PathBuf,
        /// `ENOENT`, or `ENOTDIR`.
        #[source]
        source: io::Error,
    },
    /// The thread that writes could not be started or confined.
    #[error("starting to unpack: {}", reason(.0))]
    Start(#[source] io::Error),
    /// The caller asked to stop.
    #[error("unpacking was cancelled")]
    Cancelled,
}

impl Error {
    pub(super) fn file(
        operation: impl Into<Cow<'static, str>>,
        path: impl Into<PathBuf>,
        source: impl Into<io::Error>,
    ) -> Self {
        let source = source.into();
        let told = Self::of_source(source);
        told.unwrap_or_else(|source| Self::File { operation: operation.into(), path: path.into(), source })
    }

    /// An error of making `path`. Where the directory refuses, the user is told what that means.
    pub(super) fn creating(operation: impl Into<Cow<'static, str>>, path: &Path, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        if source.kind() == io::ErrorKind::PermissionDenied {
            let parent = path.parent().unwrap_or(Path::new("")).to_owned();
            return Self::NoWritePermission { parent, source };
        }
        Self::file(operation, path, source)
    }

    pub(super) fn no_base_directory(path: &Path, errno: Errno) -> Self {
        Self::BaseDirectoryNotFound { path: Path::new("/").join(path), source: errno.into() }
    }

    pub(super) fn link(old: &Path, new: &Path, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        let told = Self::of_source(source);
        told.unwrap_or_else(|source| Self::Link { old: old.to_owned(), new: new.to_owned(), source })
    }

    /// An error that says all by itself, whatever was being done: one of these, a limit, or a lower layer's file that could
    /// not be read. Others are given back.
    fn of_source(error: io::Error) -> Result<Self, io::Error> {
        let error = error.downcast::<Self>().or_else(|error| error.downcast::<Exceeded>().map(Self::Limit));
        error.or_else(|error| error.downcast::<Unreadable>().map(|Unreadable(path)| Self::Unreadable(path)))
    }

    /// Whether a corrupt blob may be the cause.
    pub(super) fn accuses_content(&self) -> bool {
        matches!(self, Self::Decompress(_) | Self::Archive(_) | Self::Id { .. } | Self::NamelessWhiteout(_))
    }
}

/// The kernel says no more of an attribute with an id that the namespace lacks than of a malformed one. To be asked where
/// `/proc` is, unlike in the thread that unpacks.
fn unmapped(ids: &[Id], error: &io::Error) -> String {
    match ids.iter().find(|id| error.raw_os_error() == Some(libc::EINVAL) && !id.is_mapped()) {
        Some(id) => format!(" with {id}, which the id mappings leave out,"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_callers_match() {
        let missing = || io::Error::from_raw_os_error(libc::ENOENT);
        let cases = [
            (
                Error::BlobDigest { expected: "ab".into(), actual: "cd".into() },
                "layerID digest mismatch: expected: ab, actual: cd",
            ),
            (
                Error::DiffId { expected: "ab".into(), actual: "cd".into() },
                "diffID digest mismatch: expected: ab, actual: cd",
            ),
            (
                Error::BlobSize { expected: 3, actual: 4 },
                "layer size is different from the value in the manifest; expected: 3, actual 4",
            ),
            (Error::Quota, "uncompressed layer size exceeds quota"),
            (
                Error::file("writing to file", "a/b", io::Error::from_raw_os_error(libc::ENOSPC)),
                "writing to file `a/b`: no space left on device",
            ),
            (
                Error::creating("creating file", Path::new("a/b"), io::Error::from_raw_os_error(libc::EACCES)),
                "'/a' does not give write permission to its owner. This image can only be unpacked using uid and gid \
                 mappings, or by running as root.",
            ),
            (Error::link(Path::new("a"), Path::new("b"), missing()), "link a b: no such file or directory"),
            (
                Error::BaseDirectoryNotFound { path: "/home".into(), source: missing() },
                "base directory not found in parent layer: stat /home: no such file or directory",
            ),
        ];
        for (error, text) in cases {
            assert_eq!(error.to_string(), text);
        }
    }
}
