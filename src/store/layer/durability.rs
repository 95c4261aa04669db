//! What a power cut may do to a layer, and how it is noticed.
//!
//! A layer is published by a rename, and XFS journals the rename without the files' contents: after a power cut the
//! layer can be there under its final name with every file empty. Flushing before the rename would make each pull wait
//! for the disk. Instead `meta/unflushed/<chain id>~<random>` is made before the rename: a symbolic link whose target
//! is the id of the boot the layer was unpacked in. A link's target is part of the journaled metadata, and the journal
//! keeps its order, so a layer that survives a power cut survives with its mark. A mark from another boot makes its
//! layer suspect: it is fetched again. Marks are removed once `syncfs` has returned, off the create's path. No two
//! unpackings have the same mark, so that a flush removes none that was made after it began.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

use crate::entries::{self, Place};
use crate::image::ChainId;
use crate::layout::{self, Layout};
use crate::sys::files;
use crate::sys::lock;
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::random::random_number;

/// Held by the one who flushes.
const LOCK: &str = "flush";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Which layers bear a mark of an earlier boot.
#[derive(Debug, Default)]
pub(in crate::store) struct UnflushedLayers {
    marks: Vec<String>,
    /// Marks of this boot.
    fresh: Vec<String>,
}

impl UnflushedLayers {
    /// Reads the marks. A store whose layers have all been flushed costs one directory read.
    pub(in crate::store) fn read(layout: &Layout) -> Result<Self, PathError> {
        let marked = entries::names(layout, Place::Unflushed)?;
        if marked.is_empty() {
            return Ok(UnflushedLayers::default());
        }
        let boot_id = boot_id()?;
        // A mark that was removed meanwhile is of a layer that has been flushed; one that cannot be read is no comfort.
        let of_another_boot = |mark: &String| match files::read_link(&layout.unflushed().join(mark)) {
            Ok(target) => target != Path::new(&boot_id),
            Err(e) => e.kind() != std::io::ErrorKind::NotFound,
        };
        let (marks, fresh) = marked.into_iter().partition(of_another_boot);
        Ok(UnflushedLayers { marks, fresh })
    }

    /// Whether layers of this boot are marked, be somebody flushing them or not.
    pub(in crate::store) fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Whether a layer may have been torn.
    pub(in crate::store) fn contains(&self, chain_id: &ChainId) -> bool {
        self.marks.iter().any(|mark| layer_of(mark) == chain_id.as_str())
    }
}

/// Marks a layer that is about to be published as not yet flushed.
pub(in crate::store) fn mark(layout: &Layout, chain_id: &ChainId) -> Result<(), PathError> {
    let directory = layout.directories().ensure(layout::UNFLUSHED)?;
    let mark = format!("{chain_id}~{}", random_number()?);
    files::symlink(boot_id()?, &directory.join(&mark))?;
    // Only then: another process may just have published the layer, and this would be its only mark.
    let marks = entries::names(layout, Place::Unflushed)?;
    let others = marks.iter().filter(|other| layer_of(other) == chain_id.as_str() && **other != mark);
    others.into_iter().try_for_each(|other| remove(layout, other))
}

/// Marks a layer that is not what it was, as if a power cut had torn it.
pub(in crate::store) fn condemn(layout: &Layout, chain_id: &ChainId) -> Result<(), PathError> {
    let directory = layout.directories().ensure(layout::UNFLUSHED)?;
    files::symlink("not-what-was-unpacked", &directory.join(format!("{chain_id}~{}", random_number()?)))
}

/// Layers that bear a mark.
pub(in crate::store) fn marked(layout: &Layout) -> Result<Vec<String>, PathError> {
    Ok(entries::names(layout, Place::Unflushed)?.iter().map(|mark| layer_of(mark).to_owned()).collect())
}

fn layer_of(mark: &str) -> &str {
    mark.rsplit_once('~').map_or(mark, |(layer, _)| layer)
}

/// Removes a layer's marks, if it has any.
pub(in crate::store) fn unmark(layout: &Layout, layer: &str) -> Result<(), PathError> {
    let marks = entries::names(layout, Place::Unflushed)?;
    marks.iter().filter(|mark| layer_of(mark) == layer).try_for_each(|mark| remove(layout, mark))
}

fn remove(layout: &Layout, mark: &str) -> Result<(), PathError> {
    files::remove_if_there(&layout.unflushed().join(mark))
}

/// Flushes the store until no layer of this boot is marked. Returns at once where another process is doing so.
pub fn flush(layout: &Layout) -> Result<(), PathError> {
    // Looked at without the lock: whoever marked a layer and found the lock taken relies on its holder looking again
    // after letting go of it.
    while !fresh_marks(layout)?.is_empty() {
        let Some(_lock) = lock::try_own(&layout.lock_file(), LOCK)? else { return Ok(()) };
        let marked = fresh_marks(layout)?;
        let root = fs::File::open(layout.root()).on("open", layout.root())?;
        rustix::fs::syncfs(root.as_fd()).on("syncfs", layout.root())?;
        for mark in marked {
            remove(layout, &mark)?;
        }
    }
    Ok(())
}

/// Whether there are layers to be flushed, and nobody does so.
pub(in crate::store) fn is_pending(layout: &Layout) -> Result<bool, PathError> {
    Ok(!pending(layout)?.is_empty())
}

/// Marks of layers that are to be flushed; none while somebody does so.
pub(in crate::store) fn pending(layout: &Layout) -> Result<Vec<String>, PathError> {
    // The lock is not taken: whoever is about to flush would leave it to its holder.
    if lock::is_held(&layout.lock_file(), LOCK)? { Ok(Vec::new()) } else { fresh_marks(layout) }
}

/// Marks of this boot. Those of another stay until their layers have been fetched again.
fn fresh_marks(layout: &Layout) -> Result<Vec<String>, PathError> {
    Ok(UnflushedLayers::read(layout)?.fresh)
}

fn boot_id() -> Result<String, PathError> {
    Ok(fs::read_to_string(BOOT_ID).on("read", BOOT_ID)?.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn store() -> (tempfile::TempDir, Layout) {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        for name in ["meta", "locks"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        (directory, layout)
    }

    #[test]
    fn only_marks_of_another_boot_are_suspect_and_survive_a_flush() {
        let (_directory, layout) = store();
        let (fresh, torn) = (ChainId::new("fresh").unwrap(), ChainId::new("torn").unwrap());
        mark(&layout, &fresh).unwrap();
        symlink("00000000-0000-0000-0000-000000000000", layout.unflushed().join("torn~1")).unwrap();

        let unflushed = UnflushedLayers::read(&layout).unwrap();
        assert!(unflushed.contains(&torn) && !unflushed.contains(&fresh));

        flush(&layout).unwrap();
        assert_eq!(files::names(&layout.unflushed()).unwrap(), ["torn~1"]);
    }

    #[test]
    fn a_layer_fetched_again_is_no_longer_suspect() {
        let (_directory, layout) = store();
        let torn = ChainId::new("torn").unwrap();
        layout.directories().ensure(layout::UNFLUSHED).unwrap();
        symlink("another-boot", layout.unflushed().join("torn~1")).unwrap();
        assert!(UnflushedLayers::read(&layout).unwrap().contains(&torn));
        mark(&layout, &torn).unwrap();
        assert!(!UnflushedLayers::read(&layout).unwrap().contains(&torn));
    }
}
