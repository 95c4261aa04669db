//! What the flags say about who we are to a registry.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::Failure;
use super::source::{Secret, SourceArgs};
use crate::fetcher::Credentials;
use crate::sys::path_error::{OnPath, PathError};

/// Longest password, far beyond any.
const LIMIT: u64 = 64 * 1024;

/// Name and password as the flags say; `None` if they say nothing.
pub(super) fn of_flags(args: &SourceArgs) -> Result<Option<Credentials>, Failure> {
    let (username, password, file) = args.credentials();
    let password = match file {
        Some(path) => read(path).map_err(|error| Failure::from(format!("reading the password file: {error}")))?,
        None => password.map_or("", Secret::expose).to_owned(),
    };
    Ok(Credentials::of_user(username.unwrap_or_default(), &password))
}

/// A file's content without the line feed that editors leave at its end.
fn read(path: &Path) -> Result<String, PathError> {
    let mut content = Vec::new();
    File::open(path).on("open", path)?.take(LIMIT + 1).read_to_end(&mut content).on("read", path)?;
    let refused = |reason: &str| PathError::new("read", path, std::io::Error::other(reason.to_owned()));
    if content.len() as u64 > LIMIT {
        return Err(refused("larger than any password"));
    }
    let content = String::from_utf8(content).map_err(|_| refused("not text"))?;
    let content = content.strip_suffix('\n').unwrap_or(&content);
    Ok(content.strip_suffix('\r').unwrap_or(content).to_owned())
}
