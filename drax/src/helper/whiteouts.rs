//! Directories of layers that hide those below them, in an overlay.

use super::caller::Caller;
use super::directory::Directory;
use super::error::HelperError;
use super::store::{Last, Store};
use super::store_path::StorePath;
use crate::sys;
use std::path::{Path, PathBuf};

/// Marks directories in layers of the caller's as opaque; prints nothing. All are looked up before the first is marked,
/// and again then: a layer may have more of them than a process may have open.
pub(super) fn make_opaque(caller: &Caller, paths: &[PathBuf]) -> Result<String, HelperError> {
    for path in paths {
        open(caller, path)?;
    }
    for path in paths {
        let directory = open(caller, path)?;
        let marked = sys::set_attribute(directory.fd(), c"trusted.overlay.opaque", b"y");
        marked.map_err(|error| HelperError::SetOpaque { path: directory.path, error })?;
    }
    Ok(String::new())
}

/// Of several ways to read a path, the first that leads into a store.
fn open(caller: &Caller, path: &Path) -> Result<Directory, HelperError> {
    let mut refusal = None;
    for place in StorePath::in_volumes(path)? {
        match Store::open(caller, &place).and_then(|store| enter(&store, &place.below)) {
            Ok(directory) => return Ok(directory),
            Err(error) => drop(refusal.get_or_insert(error)),
        }
    }
    Err(refusal.unwrap_or_else(|| HelperError::NotAStore(path.to_owned())))
}

/// The layer and what is in it may belong to whom the image says.
fn enter(store: &Store<'_>, below: &[String]) -> Result<Directory, HelperError> {
    let (layer, inner) = below.split_at(2.min(below.len()));
    inner.iter().try_fold(store.enter(layer, Last::Any)?, |directory, name| directory.enter(name))
}
