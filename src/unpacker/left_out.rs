//! Entries that no file is made of, devices above all, and what links to them.
//!
//! A second name of a device is left out like the device itself. The link may be in a layer further up, so a layer's
//! list is kept as long as its volume.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Most paths that are remembered. Whole root filesystems have a few hundred devices; an archive of nothing else packs
/// millions into a few kilobytes. A link to one that is forgotten is an error.
const LIMIT: usize = 1 << 14;

/// Paths, relative to the volume's root, of entries that no file was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut(BTreeSet<PathBuf>);

impl LeftOut {
    /// Remembers a path, unless there are too many.
    pub fn add(&mut self, path: PathBuf) {
        if self.0.len() < LIMIT {
            self.0.insert(path);
        }
    }

    /// Whether the entry at `path` was left out.
    pub fn contains(&self, path: &Path) -> bool {
        self.0.contains(path)
    }

    /// The paths, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(PathBuf::as_path)
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
        let left_out: LeftOut = (0..LIMIT + 10).map(|number| PathBuf::from(number.to_string())).collect();
        assert_eq!(left_out.paths().count(), LIMIT);
        assert!(left_out.contains(Path::new("0")) && !left_out.contains(Path::new("x")));
    }
}
