//! Entries that are not extracted, mainly devices, and the links to them.
//!
//! A second name of a device is left out like the device itself. The link may be in a layer further up, so a layer's
//! list is kept as long as its volume.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Most bytes of paths that are remembered. Whole root filesystems have a few hundred devices; an archive of nothing else packs
/// millions into a few kilobytes. A link to one that is forgotten is an error.
const LIMIT: usize = 1 << 20;
/// Bytes that each takes beside its name.
const COST: usize = 64;

/// Paths, relative to the volume's root, of entries that no file was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    paths: BTreeSet<PathBuf>,
    bytes: usize,
}

impl LeftOut {
    /// Remembers a path, unless there are too many.
    pub fn add(&mut self, path: PathBuf) {
        let bytes = path.as_os_str().len() + COST;
        if self.bytes + bytes <= LIMIT && self.paths.insert(path) {
            self.bytes += bytes;
        }
    }

    /// Whether the entry at `path` was left out.
    pub fn contains(&self, path: &Path) -> bool {
        self.paths.contains(path)
    }

    /// The paths, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter().map(PathBuf::as_path)
    }
}

impl FromIterator<PathBuf> for LeftOut {
    fn from_iter<I: IntoIterator<Item = PathBuf>>(paths: I) -> Self {
        let mut left_out = Self::default();
        paths.into_iter().for_each(|path| left_out.add(path));
        left_out
    }
}

/// Says that the hard link `new` is left out for the sake of its target.
pub(super) fn log_link(target: &Path, new: &Path) {
    tracing::info!(path = %new.display(), target = %target.display(), "skipping-link-to-skipped-entry");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_of_devices_alone_takes_no_memory_without_end() {
        let left_out: LeftOut = (0..LIMIT / COST).map(|number| PathBuf::from(number.to_string())).collect();
        let bytes: usize = left_out.paths().map(|path| path.as_os_str().len() + COST).sum();
        assert!((LIMIT - 2 * COST..=LIMIT).contains(&bytes), "{bytes}");
        assert!(left_out.contains(Path::new("0")) && !left_out.contains(Path::new("x")));
    }
}
