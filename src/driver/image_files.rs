//! The numbers that an image has on record in its directory, in the original's format: decimal, without a line feed.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::layout::Layout;
use crate::sys::files;
use crate::sys::owner::Owner;
use crate::sys::path_error::PathError;

/// Bytes that the image's layers have together.
pub(super) const INFO: &str = "image_info";
/// Bytes that the image's own data is limited to; images without a limit have no such file.
pub(super) const QUOTA: &str = "image_quota";
/// Bytes that copies of layers take in an image with a limit, which are not its own data; there is no such file if it has
/// none.
pub(super) const COPIED: &str = "image_copied";
/// Inodes that the image's own files are limited to, where that is not what goes with the bytes.
pub(super) const INODE_QUOTA: &str = "image_inode_quota";

/// What the image in `directory` was limited to when it was made, in bytes; 0 without a limit, without a readable record
/// of it, and where there is no image any more.
pub fn recorded_limit(directory: &Path) -> Result<u64, PathError> {
    match files::read_small(&directory.join(QUOTA)) {
        Ok(content) => Ok(content.and_then(|content| number(&content)).unwrap_or(0)),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => Ok(0),
        Err(e) => Err(e),
    }
}

/// Writes a number, for the owner's eyes alone.
pub(super) fn write(path: &Path, number: u64) -> Result<(), PathError> {
    files::write_with_copy(path, number.to_string().as_bytes(), 0o600)
}

/// Replaces a number of the finished image at `image`, whose lock the caller holds. The file stays its owner's.
pub(super) fn replace(layout: &Layout, image: &Path, name: &str, number: u64) -> Result<(), PathError> {
    let path = image.join(name);
    let id = image.file_name().unwrap_or_default().to_string_lossy();
    let temporary = layout.recording(&id);
    let owner = match files::status(&path) {
        Ok(found) => Owner { uid: Some(found.uid()), gid: Some(found.gid()) },
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let image = files::status(image)?;
            Owner { uid: Some(image.uid()), gid: Some(image.gid()) }
        }
        Err(e) => return Err(e),
    };
    write(&temporary, number)?;
    let replaced = owner.chown(&temporary).and_then(|()| files::rename(&temporary, &path));
    if replaced.is_err() {
        files::remove_if_there(&temporary)?;
    }
    replaced
}

/// Reads a number.
pub(super) fn read(path: &Path) -> Result<u64, PathError> {
    let Some(content) = files::read_small(path)? else {
        return Err(PathError::new("open", path, io::Error::from(io::ErrorKind::NotFound)));
    };
    parse(path, &content)
}

fn parse(path: &Path, content: &[u8]) -> Result<u64, PathError> {
    let reason = match content {
        [] => "it is empty, as a power cut leaves a file: delete the image and create it again",
        _ => "it holds no size",
    };
    number(content).ok_or_else(|| PathError::new("read", path, io::Error::other(reason)))
}

/// The same where there may be no such file; then 0.
pub(super) fn read_if_there(path: &Path) -> Result<Option<u64>, PathError> {
    files::read_small(path)?.map(|content| parse(path, &content)).transpose()
}

fn number(content: &[u8]) -> Option<u64> {
    str::from_utf8(content).ok()?.trim().parse().ok()
}
