//! An I/O error that says what was done to which path, in the words users of GrootFS know.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A failed operation on a path; prints as `open /x: no such file or directory`.
#[derive(Debug)]
pub struct PathError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl PathError {
    /// `operation` is the name of the system call or of the plain deed (`open`, `mkdir`, `mount`).
    pub fn new(operation: &'static str, path: impl AsRef<Path>, source: impl Into<io::Error>) -> Self {
        PathError { operation, path: named(path.as_ref()), source: source.into() }
    }

    /// What was worked on.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The error underneath, without operation and path.
    pub fn into_source(self) -> io::Error {
        self.source
    }

    /// The kind of the error underneath.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }

    /// The error number underneath, where it came from the kernel.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.operation, self.path.display(), reason(&self.source))
    }
}

impl std::error::Error for PathError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Adds the operation and the path to a plain I/O error.
pub trait OnPath<T> {
    /// Turns the error into a [`PathError`].
    fn on(self, operation: &'static str, path: impl AsRef<Path>) -> Result<T, PathError>;
}

impl<T, E: Into<io::Error>> OnPath<T> for Result<T, E> {
    fn on(self, operation: &'static str, path: impl AsRef<Path>) -> Result<T, PathError> {
        self.map_err(|e| PathError::new(operation, path, e))
    }
}

/// A path, be it by way of a descriptor, as users know it.
pub fn named(path: &Path) -> PathBuf {
    if let Some(meant) = super::anchors::meant_by(path) {
        return meant;
    }
    let mut components = path.components();
    let descriptor: PathBuf = components.by_ref().take(5).collect();
    if descriptor.starts_with("/proc/self/fd")
        && let Ok(directory) = std::fs::read_link(&descriptor)
    {
        return directory.components().chain(components).collect();
    }
    path.to_owned()
}

/// The text of an I/O error as callers of the original match it: lower case, no error number.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = match (error.raw_os_error(), text.rfind(" (os error ")) {
        (Some(_), Some(end)) => &text[..end],
        _ => &text,
    };
    let mut chars = text.chars();
    match chars.next() {
        // Not where it begins an abbreviation.
        Some(first) if !chars.as_str().starts_with(char::is_uppercase) => first.to_lowercase().chain(chars).collect(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_operation_path_and_reason() {
        let error = std::fs::File::open("/nowhere/x").on("open", "/nowhere/x").unwrap_err();
        assert_eq!(error.to_string(), "open /nowhere/x: no such file or directory");
    }

    #[test]
    fn a_descriptor_is_told_by_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let open = std::fs::File::open(directory.path()).unwrap();
        let path = format!("/proc/self/fd/{}/missing/x", std::os::fd::AsRawFd::as_raw_fd(&open));
        let error = std::fs::File::open(&path).on("open", &path).unwrap_err();
        let shown = directory.path().join("missing/x");
        assert_eq!(error.to_string(), format!("open {}: no such file or directory", shown.display()));
    }

    #[test]
    fn keeps_texts_that_did_not_come_from_the_kernel() {
        assert_eq!(reason(&io::Error::other("Odd thing (os error of sorts)")), "odd thing (os error of sorts)");
        assert_eq!(reason(&io::Error::other("EOF while parsing")), "EOF while parsing");
    }
}
