//! The version of a store's layout, an attribute of the store's directory, so that no command pays more than one system call
//! for looking at it.
//!
//! Version 1 is the layout that [`crate::store`] describes. It is the original's with additions that the original does not
//! look at, so its stores, and those of versions that kept no record, are of version 1 too, and can be given back. A later
//! version may have meanings that this program does not know: it leaves such a store alone.

use std::ffi::OsStr;
use std::io::ErrorKind;

use crate::layout::Layout;
use crate::store::StoreError;
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::xattr;

/// The latest version that this program knows.
const KNOWN: u32 = 1;
const ATTRIBUTE: &str = "user.grootfs.format";

/// Refuses a store of a later version. What is no store, or cannot be looked at, is left to others to judge.
pub(in crate::store) fn check(layout: &Layout) -> Result<(), StoreError> {
    let Ok(root) = layout.directories().open("") else { return Ok(()) };
    let Ok(Some(recorded)) = xattr::get_of_directory(&root, OsStr::new(ATTRIBUTE)) else { return Ok(()) };
    let recorded = String::from_utf8_lossy(&recorded).into_owned();
    match recorded.parse::<u32>() {
        Ok(1..=KNOWN) => Ok(()),
        _ => Err(StoreError::UnknownFormat { store: layout.root().to_owned(), recorded, known: KNOWN }),
    }
}

/// Records the version of a store that [`check`] has let pass: one system call, so that a kill leaves it recorded or not.
pub(in crate::store) fn record(layout: &Layout) -> Result<(), PathError> {
    let root = layout.directories().open("")?;
    let (name, version) = (OsStr::new(ATTRIBUTE), KNOWN.to_string());
    if xattr::get_of_directory(&root, name).is_ok_and(|recorded| recorded.is_some_and(|v| v == version.as_bytes())) {
        return Ok(());
    }
    match xattr::set_of_directory(&root, name, version.as_bytes()) {
        // A full store must start. Without a record it is what it was.
        Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::Unsupported) => {
            tracing::info!(%error, "store-format-not-recorded");
            Ok(())
        }
        set => set.on("setxattr", layout.root()),
    }
}
