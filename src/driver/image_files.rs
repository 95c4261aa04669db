//! The numbers that an image has on record in its directory, in the original's format: decimal, without a line feed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::sys::path_error::{OnPath, PathError};

/// Bytes that the image's layers have together.
pub(super) const INFO: &str = "image_info";
/// Bytes that the image's own data is limited to; images without a limit have no such file.
pub(super) const QUOTA: &str = "image_quota";

/// What the image in `directory` was limited to when it was made, in bytes; 0 without a limit, without a readable record
/// of it, and where there is no image any more.
pub fn recorded_limit(directory: &Path) -> Result<u64, PathError> {
    let path = directory.join(QUOTA);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().parse().unwrap_or(0)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(0),
        Err(e) => Err(PathError::new("open", path, e)),
    }
}

/// Writes a number, for the owner's eyes alone.
pub(super) fn write(path: &Path, number: u64) -> Result<(), PathError> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path).on("open", path)?;
    file.write_all(number.to_string().as_bytes()).on("write", path)
}

/// Reads a number.
pub(super) fn read(path: &Path) -> Result<u64, PathError> {
    let text = fs::read_to_string(path).on("open", path)?;
    let reason = match text.as_str() {
        "" => "it is empty, as a power cut leaves a file: delete the image and create it again".to_owned(),
        _ => format!("`{text}` is no size"),
    };
    text.trim().parse().map_err(|_| PathError::new("read", path, io::Error::other(reason)))
}
