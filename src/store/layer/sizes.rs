//! The sizes of all layers at once.
//!
//! Each layer has its size on record in a file of its own, and to read thousands of those takes longer than a warm
//! create. So whoever has read them leaves a copy in one file, `meta/sizes.json`. It holds as long as the directory
//! `volumes/` is as it was, which its time of last change tells: every layer comes and goes by a rename there.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::entries::{self, Place};
use crate::layout::Layout;
use crate::store::layer::volumes::{Entry, recorded_size};
use crate::sys::files;
use crate::sys::path_error::{OnPath, PathError};

/// Two changes of a directory in quick succession can bear the same time: some kernels' clocks for it tick every 10 ms.
const SETTLED_AFTER: Duration = Duration::from_millis(100);

/// Copies are not read beyond this: the store may be somebody else's.
const LARGEST: u64 = 16 << 20;

/// Bytes by name of the volume; those that are being unpacked are not among them.
pub(in crate::store) type Sizes = BTreeMap<String, u64>;

#[derive(Deserialize, Serialize)]
struct Copy {
    /// When the volumes had changed last, since 1970.
    changed: Duration,
    sizes: Sizes,
}

/// Sizes of all layers as they are on record; 0 for one that is on no record.
pub(in crate::store) fn of_all(layout: &Layout) -> Result<Sizes, PathError> {
    // Before the names are looked at: what changes meanwhile makes the copy an old one.
    let changed = last_change(&layout.volumes())?;
    if let Some(copy) = read_copy(layout).filter(|copy| copy.changed == changed) {
        return Ok(copy.sizes);
    }
    let mut sizes = Sizes::new();
    for name in entries::names(layout, Place::Volumes)? {
        if let Entry::Layer(layer) | Entry::Condemned(layer) = Entry::of_name(&name) {
            sizes.insert(name, recorded_size(layout, &layer)?.unwrap_or(0));
        }
    }
    if changed + SETTLED_AFTER < since_1970(SystemTime::now()) {
        write_copy(layout, &Copy { changed, sizes: sizes.clone() });
    }
    Ok(sizes)
}

/// Sum of the sizes on record of all layers.
pub(in crate::store) fn total(layout: &Layout) -> Result<u64, PathError> {
    Ok(of_all(layout)?.into_values().fold(0, u64::saturating_add))
}

/// Removes the copy: a record has changed.
pub(in crate::store) fn forget_copy(layout: &Layout) -> Result<(), PathError> {
    entries::remove_record(&layout.sizes_file())
}

fn last_change(volumes: &Path) -> Result<Duration, PathError> {
    Ok(since_1970(files::status(volumes)?.modified().on("stat", volumes)?))
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A copy that cannot be read, or only in part, is none.
fn read_copy(layout: &Layout) -> Option<Copy> {
    serde_json::from_slice(&files::read_up_to(LARGEST, &layout.sizes_file()).ok()??).ok()
}

/// In place: what is cut short, or written by two at once, cannot be read.
fn write_copy(layout: &Layout, copy: &Copy) {
    let path = layout.sizes_file();
    let content = serde_json::to_vec(copy).on("write", &path);
    if let Err(error) = content.and_then(|content| files::write(&path, &content)) {
        // The store may be full, or somebody else's.
        tracing::debug!(%error, "copying-sizes-failed");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::layer::volumes::record_size;

    fn store() -> (tempfile::TempDir, Layout) {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        layout.directories().ensure("volumes").unwrap();
        layout.directories().ensure("meta").unwrap();
        (directory, layout)
    }

    fn add(layout: &Layout, name: &str, size: u64) {
        record_size(layout, name, size).unwrap();
        fs::create_dir(layout.volume(name)).unwrap();
    }

    /// As if the last change had been this long ago.
    fn age(layout: &Layout, age: Duration) {
        fs::File::open(layout.volumes()).unwrap().set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn sizes_are_those_on_record() {
        let (_directory, layout) = store();
        assert_eq!(total(&layout).unwrap(), 0);
        add(&layout, "a", 5);
        add(&layout, "b-incomplete-1-2", 7);
        add(&layout, "c", 8);
        fs::create_dir(layout.volume(&"d".repeat(64))).unwrap();
        fs::rename(layout.volume("c"), layout.volume("gc.c")).unwrap();
        let expected: Sizes = [("a".to_owned(), 5), ("gc.c".to_owned(), 8), ("d".repeat(64), 0)].into();
        assert_eq!(of_all(&layout).unwrap(), expected);
        assert_eq!(total(&layout).unwrap(), 13);
    }

    #[test]
    fn a_copy_holds_until_the_volumes_change() {
        let (_directory, layout) = store();
        add(&layout, "a", 5);
        age(&layout, Duration::from_secs(60));
        assert_eq!(total(&layout).unwrap(), 5);
        fs::remove_file(layout.volume_size("a")).unwrap();
        assert_eq!(total(&layout).unwrap(), 5, "from the copy");
        fs::create_dir(layout.volume("b")).unwrap();
        assert_eq!(total(&layout).unwrap(), 0, "the copy is old");
    }

    #[test]
    fn what_has_just_changed_may_change_again_unnoticed() {
        let (_directory, layout) = store();
        add(&layout, "a", 5);
        assert_eq!(total(&layout).unwrap(), 5);
        assert!(!layout.sizes_file().exists());
    }

    #[test]
    fn a_copy_cut_short_is_none() {
        let (_directory, layout) = store();
        add(&layout, "a", 5);
        age(&layout, Duration::from_secs(60));
        total(&layout).unwrap();
        let copy = fs::read(layout.sizes_file()).unwrap();
        for length in [0, copy.len() / 2, copy.len() - 1] {
            fs::write(layout.sizes_file(), &copy[..length]).unwrap();
            assert_eq!(total(&layout).unwrap(), 5);
        }
    }

    #[test]
    fn a_record_that_is_mended_is_seen() {
        let (_directory, layout) = store();
        add(&layout, "a", 5);
        fs::remove_file(layout.volume_size("a")).unwrap();
        age(&layout, Duration::from_secs(60));
        assert_eq!(total(&layout).unwrap(), 0);
        record_size(&layout, "a", 6).unwrap();
        assert_eq!(total(&layout).unwrap(), 6);
    }
}
