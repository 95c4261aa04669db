//! What is the store's own of what is in its directories.
//!
//! A store is a directory that anybody with the rights can put something into: a file by mistake, a pipe, a name that is not
//! UTF-8. What is foreign is named in the log, once in a process, and left alone; no command reads it, fails by it or
//! removes it. Whoever lists a directory of a store does so here, so that this is decided in one place.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use rustix::fs::FileType;

use crate::layout::{ENTRIES, Layout};
use crate::sys::files;
use crate::sys::path_error::{PathError, named};

/// A directory of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The store's own directory.
    Root,
    /// Finished images: any directory may be one.
    Images,
    /// Layers, and what becomes of them.
    Volumes,
    /// Records about layers and the store.
    Meta,
    /// Records of what images need.
    Dependencies,
    /// Marks of layers that are not flushed.
    Unflushed,
    /// Records of other stores that use the layers of this one.
    ClientStores,
    /// What registries said.
    ManifestCache,
    /// Everything unfinished.
    Staging,
    /// The lock file, and those of other versions.
    Locks,
    /// Project ids in use (overlay-xfs).
    ProjectIds,
    /// Short names of layers (overlay-xfs).
    Links,
}

impl Place {
    /// All of them.
    pub const ALL: [Place; 12] = [
        Place::Root,
        Place::Images,
        Place::Volumes,
        Place::Meta,
        Place::Dependencies,
        Place::Unflushed,
        Place::ClientStores,
        Place::ManifestCache,
        Place::Staging,
        Place::Locks,
        Place::ProjectIds,
        Place::Links,
    ];

    fn path(self, layout: &Layout) -> PathBuf {
        match self {
            Place::Root => layout.directories().path(""),
            Place::Images => layout.images(),
            Place::Volumes => layout.volumes(),
            Place::Meta => layout.meta(),
            Place::Dependencies => layout.dependencies(),
            Place::Unflushed => layout.unflushed(),
            Place::ClientStores => layout.client_stores(),
            Place::ManifestCache => layout.manifest_cache(),
            Place::Staging => layout.tmp(),
            Place::Locks => layout.locks(),
            Place::ProjectIds => layout.project_ids(),
            Place::Links => layout.links(),
        }
    }

    fn is_ours(self, layout: &Layout, name: &str, kind: FileType) -> bool {
        let is_directory = kind == FileType::Directory;
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        match self {
            // The original makes a device node for btrfs.
            Place::Root => ENTRIES.contains(&name) || name == "storeDevice",
            Place::Images => is_directory,
            Place::Volumes => is_directory && is_volume(layout, name),
            Place::Meta if is_directory => ["dependencies", "unflushed", "lent", "documents"].contains(&name),
            Place::Meta => {
                begins(&["volume-", "digests-"])
                    || ["namespace.json", "sizes.json", "totals.json", "shared-layers.json"].contains(&name)
            }
            Place::Dependencies => !is_directory && begins(&["image:", "baseimage:"]) && name.ends_with(".json"),
            Place::Unflushed => kind == FileType::Symlink && (name.contains('~') || is_volume(layout, name)),
            Place::ClientStores => is_directory && (name.parse::<u64>().is_ok() || begins(&["new."])),
            Place::ManifestCache => {
                kind == FileType::RegularFile
                    && (begins(&["new-"]) || is_hex(name.strip_prefix("tag-").unwrap_or(name).as_bytes()))
            }
            Place::Staging => {
                begins(&["create.", "delete.", "record.", "dead.", "kept.", "blob-"])
                    || ["namespace.json", "shared-layers.json"].contains(&name)
            }
            Place::Locks => kind == FileType::RegularFile,
            Place::ProjectIds => is_directory && name.parse::<u32>().is_ok(),
            Place::Links if kind == FileType::Symlink => linked_volume(layout, name).is_some(),
            Place::Links => !is_directory && is_volume(layout, name),
        }
    }
}

/// Whether a name is a layer's. Of layers that are not called by a digest something is on record.
fn is_volume(layout: &Layout, name: &str) -> bool {
    let is_digest = name.split_at_checked(64).is_some_and(|(digest, rest)| {
        let is_time = |time: &str| time.bytes().all(|b| b.is_ascii_digit());
        is_hex(digest.as_bytes()) && (rest.is_empty() || rest.strip_prefix('-').is_some_and(is_time))
    });
    let is_unfinished = name.starts_with("gc.") || name.contains("-incomplete-");
    is_digest || is_unfinished || files::exists(&layout.volume_size(name)).unwrap_or(true)
}

fn is_hex(digest: &[u8]) -> bool {
    digest.len() == 64 && digest.iter().all(u8::is_ascii_hexdigit)
}

/// Name of the volume that a short name stands for; `None` for what is no link into `volumes/`. Links are absolute: one that
/// was made when the store was elsewhere, or was reached by another path, is the store's all the same.
pub fn linked_volume(layout: &Layout, short: &str) -> Option<String> {
    let target = files::read_link(&layout.links().join(short)).ok()?;
    let volume = target.file_name()?.to_str()?;
    let is_made_elsewhere = || target.is_absolute() && target.parent().is_some_and(|path| path.ends_with("volumes"));
    let is_ours = target == layout.volume_path(volume) || is_made_elsewhere() && is_volume(layout, volume);
    is_ours.then(|| volume.to_owned())
}

/// Names of what is the store's own in `place`; none where there is no such directory.
///
/// # Errors
/// Where the directory cannot be read.
pub fn names(layout: &Layout, place: Place) -> Result<Vec<String>, PathError> {
    let (ours, foreign) = sort(layout, place)?;
    foreign.iter().for_each(|path| tell(path));
    Ok(ours)
}

/// Paths of what is not.
///
/// # Errors
/// Where the directory cannot be read.
pub fn foreign(layout: &Layout, place: Place) -> Result<Vec<PathBuf>, PathError> {
    Ok(sort(layout, place)?.1)
}

fn sort(layout: &Layout, place: Place) -> Result<(Vec<String>, Vec<PathBuf>), PathError> {
    let directory = place.path(layout);
    let entries = match files::entries(&directory) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        entries => entries?,
    };
    let (mut ours, mut foreign) = (Vec::new(), Vec::new());
    for (name, kind) in entries {
        match name.to_str().filter(|name| place.is_ours(layout, name, kind)) {
            Some(name) => ours.push(name.to_owned()),
            None => foreign.push(named(&directory).join(OsStr::new(&name))),
        }
    }
    Ok((ours, foreign))
}

/// Names a foreign entry in the log, the first time that it is met.
pub fn tell(path: &Path) {
    static TOLD: LazyLock<Mutex<HashSet<PathBuf>>> = LazyLock::new(Mutex::default);
    let path = named(path);
    if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone()) {
        tracing::info!(path = %path.display(), "foreign-entry");
    }
}

/// Removes a record. A directory in its place is foreign, and stays.
///
/// # Errors
/// Those of unlink(2) for anything else.
pub fn remove_record(path: &Path) -> Result<(), PathError> {
    match files::remove_if_there(path) {
        Err(_) if files::is_directory(path)? => {
            tell(path);
            Ok(())
        }
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_layer_is_known_by_its_digest_or_by_its_record() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        for name in ["meta", "volumes", "l"] {
            layout.directories().ensure(name).unwrap();
        }
        let digest = "a".repeat(64);
        let ours = [digest.clone(), format!("{digest}-17"), format!("gc.{digest}"), format!("{digest}-incomplete-1-2")];
        for name in ours.iter().map(String::as_str).chain(["recorded", "stray", "-x"]) {
            fs::create_dir(layout.volume(name)).unwrap();
        }
        fs::write(layout.volume("b").with_file_name("b".repeat(64)), "").unwrap();
        fs::write(layout.volume_size("recorded"), "").unwrap();
        let mut found = names(&layout, Place::Volumes).unwrap();
        found.retain(|name| !ours.contains(name));
        assert_eq!(found, ["recorded"]);
        symlink(layout.volume_path("recorded"), layout.links().join("ABCD")).unwrap();
        symlink("/etc", layout.links().join("EFGH")).unwrap();
        assert_eq!(names(&layout, Place::Links).unwrap(), ["ABCD"]);
        assert_eq!(foreign(&layout, Place::Links).unwrap(), [directory.path().join("l/EFGH")]);
    }
}
