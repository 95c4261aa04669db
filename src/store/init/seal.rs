//! Seals on the records that decide what root does: the id mappings, and where the layers are.
//!
//! A store may belong to a user, who can exchange every file and directory in it, be it for others that root has written
//! somewhere: what a registry says of an image, say. So root takes such a record's word only if the store's own directory
//! bears its seal, an extended attribute in `trusted.*`, which nobody else can set or copy, and no image can bring. In a
//! store that is root's own nobody else can write, and seals are not looked for.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{CWD, Mode, OFlags, openat};
use sha2::{Digest, Sha256};

use crate::layout::Layout;
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::{files, xattr};

/// The attributes that hold the seals.
pub(in crate::store) const NAMESPACE: &str = "trusted.grootfs.namespace";
pub(in crate::store) const SHARED_LAYERS: &str = "trusted.grootfs.shared-layers";

/// Whether root may take a record's word. `content` is the record as this program writes it.
pub(in crate::store) fn is_trusted(layout: &Layout, name: &str, content: &[u8]) -> Result<bool, PathError> {
    let stat = files::status(&layout.directories().open("")?)?;
    let is_root_s_own = stat.uid() == 0 && stat.mode() & 0o022 == 0;
    Ok(is_root_s_own || bears(&open(layout)?, layout, name, content)?)
}

/// Whether the store bears the seal of this record.
pub(in crate::store) fn is_sealed(layout: &Layout, name: &str, content: &[u8]) -> Result<bool, PathError> {
    bears(&open(layout)?, layout, name, content)
}

/// Seals a record. For root.
pub(in crate::store) fn seal(layout: &Layout, name: &str, content: &[u8]) -> Result<(), PathError> {
    let store = open(layout)?;
    if bears(&store, layout, name, content)? {
        return Ok(());
    }
    xattr::set(&store, OsStr::new(name), digest(content).as_bytes()).on("setxattr", layout.root())
}

fn bears(store: &OwnedFd, layout: &Layout, name: &str, content: &[u8]) -> Result<bool, PathError> {
    let seal = xattr::get(store, OsStr::new(name)).on("getxattr", layout.root())?;
    Ok(seal.is_some_and(|seal| seal == digest(content).as_bytes()))
}

/// The store's path may be a link: it is the administrator's.
fn open(layout: &Layout) -> Result<OwnedFd, PathError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, layout.root(), flags, Mode::empty()).on("open", layout.root())
}

fn digest(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}
