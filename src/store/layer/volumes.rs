//! Unpacked layers: which there are, how large they are, and how they come and go.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, OFlags, Stat, fstat};
use serde::{Deserialize, Serialize};

use crate::driver::{self, Volume};
use crate::entries::{self, Place};
use crate::image::{ChainId, FileIdentity, Layer};
use crate::layout::Layout;
use crate::store::Store;
use crate::store::image::dependencies;
use crate::store::layer::durability;
use crate::store::layer::sizes;
use crate::store::layer::turn::{SECOND, second_lock};
use crate::sys::dirfd;
use crate::sys::files;
use crate::sys::lock;
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::random::random_number;
use crate::unpacker::{Finished, LeftOut};

const CONDEMNED: &str = "gc.";
const KEPT: &str = "kept.";
/// What a layer left out can make its record long.
const LARGEST_RECORD: u64 = 16 << 20;
const INCOMPLETE: &str = "-incomplete-";

/// Most bytes of names of left out entries that are kept for a layer: more than the devices of any root filesystem take.
const LEFT_OUT_BYTES: usize = 64 << 10;

/// What is on record about a layer. The original knows the size alone, and reads over the rest.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(in crate::store) struct VolumeRecord {
    /// Bytes of content.
    pub(in crate::store) size: u64,
    /// Counted when a limit first includes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inodes: Option<u64>,
    /// Entries of the archive that no file was made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<PathBuf>,
    /// The file that the layer was unpacked from, where no digest tells what is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<FileIdentity>,
}

impl VolumeRecord {
    /// The record of a layer of which no more is known than its size.
    pub(in crate::store) fn of_size(size: u64) -> Self {
        VolumeRecord { size, ..Self::default() }
    }

    /// The record of a layer that has been unpacked.
    pub(in crate::store) fn of_layer(layer: &Finished, source: Option<FileIdentity>) -> Self {
        let mut room = LEFT_OUT_BYTES;
        let fits = |path: &&Path| {
            let length = path.as_os_str().len();
            room = room.saturating_sub(length);
            room > 0 && path.to_str().is_some()
        };
        let left_out = layer.left_out.paths().filter(fits).map(Path::to_owned).collect();
        VolumeRecord { left_out, source, ..Self::of_size(layer.size) }
    }
}

/// What the name of an entry of `volumes/` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) enum Entry {
    /// A finished layer.
    Layer(String),
    /// A layer that a clean of the original has found unused. It may have been killed while it was removing it, so
    /// nobody takes it back.
    Condemned(String),
    /// A layer that was being unpacked: the name of its lock, which is its chain id or the second one of that.
    Incomplete(String),
}

impl Entry {
    pub(in crate::store) fn of_name(name: &str) -> Self {
        if let Some(layer) = name.strip_prefix(CONDEMNED) {
            return Entry::Condemned(layer.to_owned());
        }
        match name.split_once(INCOMPLETE) {
            Some((layer, rest)) if rest.ends_with(SECOND) => Entry::Incomplete(second_lock(layer)),
            Some((layer, _)) => Entry::Incomplete(layer.to_owned()),
            None => Entry::Layer(name.to_owned()),
        }
    }
}

/// Whether a layer is there under its final name, and so whole.
pub(in crate::store) fn is_present(layout: &Layout, chain_id: &ChainId) -> Result<bool, PathError> {
    files::is_directory(&layout.volume(chain_id.as_str()))
}

/// Whether the volume under a layer's name is that layer: not another file's that had the same path and time. A volume
/// of which nothing is on record, such as the original's, is taken at its name.
pub(in crate::store) fn is_of_source(layout: &Layout, layer: &Layer) -> Result<bool, PathError> {
    let Some(source) = layer.source else { return Ok(true) };
    let recorded = read_record(layout, layer.chain_id.as_str())?.and_then(|record| record.source);
    Ok(recorded.is_none_or(|recorded| recorded == source))
}

/// Gives layers whose usual name is another file's a name of their own.
pub(in crate::store) fn name_by_source(layout: &Layout, layers: &mut [Layer]) -> Result<(), PathError> {
    for layer in layers {
        let Some(own) = layer.chain_id_of_source() else { continue };
        let is_taken = is_present(layout, &layer.chain_id)? && !is_of_source(layout, layer)?;
        if is_taken || is_present(layout, &own)? {
            layer.chain_id = own;
        }
    }
    Ok(())
}

/// A name for a layer while it is unpacked, which nobody has had before.
pub(in crate::store) fn incomplete_name(chain_id: &ChainId) -> Result<String, PathError> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok(format!("{chain_id}{INCOMPLETE}{}-{}", now.as_nanos(), random_number()?))
}

/// The same for one who takes over a layer from another process.
pub(in crate::store) fn second_incomplete_name(chain_id: &ChainId) -> Result<String, PathError> {
    Ok(incomplete_name(chain_id)? + SECOND)
}

/// Bytes of the files of a layer that is being unpacked under its first lock; 0 if that has not begun.
pub(in crate::store) fn unpacked_so_far(layout: &Layout, chain_id: &ChainId) -> Result<u64, PathError> {
    let mut sum: u64 = 0;
    for name in entries::names(layout, Place::Volumes)? {
        if Entry::of_name(&name) == Entry::Incomplete(chain_id.as_str().to_owned()) {
            // It changes while it is looked at, and may be gone.
            let sizes = files_below(&layout.volume(&name)).unwrap_or_default();
            sum = sizes.into_values().fold(sum, u64::saturating_add);
        }
    }
    Ok(sum)
}

/// Removes what a dead process left of a layer. The caller holds the layer's lock.
pub(in crate::store) fn remove_leftovers(store: &Store, chain_id: &ChainId) -> Result<(), driver::Error> {
    for name in files::names(&store.layout.volumes())? {
        if Entry::of_name(&name) == Entry::Incomplete(chain_id.as_str().to_owned()) {
            remove(store, &store.layout.volume(&name))?;
        }
    }
    Ok(())
}

/// Takes a layer away that another takes the place of. What images show that are mounted is the old one, so it is kept
/// while an image needs the layer: clean removes it.
pub(in crate::store) fn set_aside(store: &Store, chain_id: &ChainId) -> Result<(), driver::Error> {
    let volume = store.layout.volume(chain_id.as_str());
    // Images are copies where layers are.
    if store.driver.volumes_are_snapshots() || !is_in_use(store, chain_id)? {
        return remove(store, &volume);
    }
    let kept = store.layout.tmp().join(format!("{KEPT}{chain_id}~{}", random_number()?));
    match files::rename(&volume, &kept) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        renamed => Ok(renamed?),
    }
}

/// Whether a finished image, of this store or of one that uses its layers, needs the layer or may need it. An image that is
/// being deleted is among them: it is mounted still, and comes back if it is busy.
fn is_in_use(store: &Store, chain_id: &ChainId) -> Result<bool, PathError> {
    let needs = |id: &String| {
        let layers = dependencies::read(&store.layout, &dependencies::image_key(id));
        layers.map_or(true, |layers| layers.iter().any(|layer| layer == chain_id.as_str()))
    };
    let mut ids = entries::names(&store.layout, Place::Images)?;
    let unfinished = entries::names(&store.layout, Place::Staging)?;
    ids.extend(unfinished.iter().filter_map(|name| name.strip_prefix("delete.")).map(str::to_owned));
    Ok(ids.iter().any(needs) || store.registered_layers()?.iter().any(|layer| layer == chain_id.as_str()))
}

/// The layer that an entry of `tmp/` was the volume of, if it is kept for images that are mounted.
pub(in crate::store) fn kept_layer(name: &str) -> Option<&str> {
    Some(name.strip_prefix(KEPT)?.rsplit_once('~')?.0)
}

/// Removes a volume's directory: first out of sight, then for good.
pub(in crate::store) fn remove(store: &Store, volume: &Path) -> Result<(), driver::Error> {
    match retire(store, volume)? {
        Some(dead) => store.driver.remove_volume(&dead),
        None => Ok(()),
    }
}

/// Takes a volume's directory out of sight, to be removed later; returns its new path. `None` if it is gone already.
///
/// Into `tmp/`, whose few names XFS keeps in the directory itself: a full disk has room for no other rename. A full btrfs
/// has room for none at all, but for removing a volume in one step.
pub(in crate::store) fn retire(store: &Store, volume: &Path) -> Result<Option<PathBuf>, driver::Error> {
    let dead = store.layout.tmp().join(format!("dead.{}", random_number()?));
    let renamed = match files::rename(volume, &dead) {
        // Moving a directory takes the right to write to it, which the roots of some images give to nobody.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied && files::is_directory(volume)? => {
            files::chmod_directory(volume, 0o700)?;
            files::rename(volume, &dead)
        }
        renamed => renamed,
    };
    match renamed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) if e.kind() == io::ErrorKind::StorageFull && store.driver.try_remove_atomically(volume)? => Ok(None),
        renamed => Ok(renamed.map(|()| Some(dead))?),
    }
}

/// Removes what is on record about a layer, unless it exists or is being unpacked.
pub(in crate::store) fn forget(store: &Store, name: &str) -> Result<(), driver::Error> {
    let file = store.layout.lock_file();
    let Some(_lock) = lock::try_own(&file, name)? else { return Ok(()) };
    let Some(_second) = lock::try_own(&file, &second_lock(name))? else { return Ok(()) };
    if files::exists(&store.layout.volume(name))? {
        return Ok(());
    }
    // Before the record, by which it is found.
    entries::remove_record(&store.layout.layer_digests(name))?;
    entries::remove_record(&store.layout.volume_size(name))?;
    durability::unmark(&store.layout, name)?;
    store.driver.forget_volume(&store.layout, name)
}

/// Notes that these layers, bottom first, have been in use until now: as the time of last change of their records. Lower ones
/// get a later time, as more images may come to need them.
pub(in crate::store) fn note_use(layout: &Layout, layers: &[String]) {
    let now = SystemTime::now();
    for (above, layer) in layers.iter().enumerate() {
        let time = now - Duration::from_micros(above as u64);
        if let Err(error) = files::set_times(&layout.volume_size(layer), time) {
            // Another owner's, perhaps. It goes a little sooner.
            tracing::debug!(%error, "noting-use-of-layer-failed");
        }
    }
}

/// When a layer was last in use, as far as is known: when it was unpacked, or the last image that needed it was deleted.
pub(in crate::store) fn last_use(layout: &Layout, name: &str) -> SystemTime {
    let status = files::status(&layout.volume_size(name));
    status.ok().and_then(|status| status.modified().ok()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Records the size of a layer of which nothing else is known.
pub(in crate::store) fn record_size(layout: &Layout, name: &str, size: u64) -> Result<(), PathError> {
    record(layout, name, &VolumeRecord::of_size(size))
}

/// Records what is known of a layer.
pub(in crate::store) fn record(layout: &Layout, name: &str, record: &VolumeRecord) -> Result<(), PathError> {
    let path = layout.volume_size(name);
    let mut content = serde_json::to_vec(record).on("write", &path)?;
    content.push(b'\n');
    // In place: a record cut short counts as missing.
    files::write(&path, &content)?;
    sizes::forget_copy(layout)
}

/// Size of a layer in bytes; measured and recorded where it is not on record.
pub(in crate::store) fn size(store: &Store, chain_id: &ChainId) -> Result<u64, driver::Error> {
    if let Some(size) = recorded_size(&store.layout, chain_id.as_str())? {
        return Ok(size);
    }
    let size = measure(store, chain_id.as_str())?;
    tracing::info!(volume = %chain_id, size, "volume-size-was-not-on-record");
    record_size(&store.layout, chain_id.as_str(), size)?;
    Ok(size)
}

/// How many inodes a layer has, the directory that it is included; counted and recorded where that is not on record.
pub(in crate::store) fn inodes(store: &Store, chain_id: &ChainId) -> Result<u64, driver::Error> {
    let (layout, name) = (&store.layout, chain_id.as_str());
    let size = size(store, chain_id)?;
    let known = read_record(layout, name)?.unwrap_or_else(|| VolumeRecord::of_size(size));
    if let Some(inodes) = known.inodes {
        return Ok(inodes);
    }
    let inodes = count_inodes(&layout.volume(name))?;
    record(layout, name, &VolumeRecord { inodes: Some(inodes), ..known })?;
    Ok(inodes)
}

/// The volumes of an image's layers with their sizes, bottom first.
pub(in crate::store) fn with_sizes(store: &Store, layers: &[Layer]) -> Result<Vec<Volume>, driver::Error> {
    let chain_ids = layers.iter().map(|layer| layer.chain_id.clone());
    chain_ids.map(|chain_id| Ok(Volume { size: size(store, &chain_id)?, chain_id })).collect()
}

/// How many inodes an image's layers have together.
pub(in crate::store) fn total_inodes(store: &Store, layers: &[Layer]) -> Result<u64, driver::Error> {
    layers.iter().try_fold(0, |sum: u64, layer| Ok(sum.saturating_add(inodes(store, &layer.chain_id)?)))
}

/// Writes the size of every layer that has none on record.
pub(in crate::store) fn record_missing_sizes(store: &Store) -> Result<(), driver::Error> {
    let layout = &store.layout;
    for name in entries::names(layout, Place::Volumes)? {
        let Entry::Layer(layer) = Entry::of_name(&name) else { continue };
        if recorded_size(layout, &layer)?.is_none() {
            record_size(layout, &layer, measure(store, &layer)?)?;
        }
    }
    Ok(())
}

pub(in crate::store) fn recorded_size(layout: &Layout, name: &str) -> Result<Option<u64>, PathError> {
    Ok(read_record(layout, name)?.map(|record| record.size))
}

/// What these layers left out, as far as it is on record.
pub(in crate::store) fn left_out(layout: &Layout, layers: &[Layer]) -> Result<LeftOut, PathError> {
    let mut paths = Vec::new();
    for layer in layers {
        paths.extend(read_record(layout, layer.chain_id.as_str())?.unwrap_or_default().left_out);
    }
    Ok(paths.into_iter().collect())
}

/// `None` also for a record that a power cut emptied, and for what is no file in its place.
fn read_record(layout: &Layout, name: &str) -> Result<Option<VolumeRecord>, PathError> {
    let content = files::read_record(LARGEST_RECORD, &layout.volume_size(name))?;
    Ok(content.and_then(|content| serde_json::from_slice(&content).ok()))
}

/// Bytes of the contents of all files that a layer brought.
fn measure(store: &Store, name: &str) -> Result<u64, driver::Error> {
    let volume = store.layout.volume(name);
    let mut files = files_below(&volume)?;
    if let Some(parent) = store.driver.parent_volume(&store.layout, &volume)? {
        // A copy's files have the inode numbers of the originals, and no layer changes a file in place.
        let inherited = files_below(&parent)?;
        files.retain(|inode, _| !inherited.contains_key(inode));
    }
    Ok(files.values().fold(0, |total, size| total.saturating_add(*size)))
}

/// The sizes of all files below a directory by inode number, so that each counts once however many names it has.
fn files_below(directory: &Path) -> Result<HashMap<u64, u64>, PathError> {
    let mut sizes = HashMap::new();
    walk(directory, |stat| {
        if dirfd::file_type(stat) == FileType::RegularFile {
            sizes.insert(stat.st_ino, stat.st_size.unsigned_abs());
        }
    })?;
    Ok(sizes)
}

fn count_inodes(directory: &Path) -> Result<u64, PathError> {
    let mut inodes = HashSet::new();
    walk(directory, |stat| {
        inodes.insert(stat.st_ino);
    })?;
    Ok(inodes.len() as u64)
}

/// Shows the status of a directory and of everything below it that does not go away meanwhile. No link is followed, and no
/// mount point entered or shown.
pub(in crate::store) fn walk(directory: &Path, mut see: impl FnMut(&Stat)) -> Result<(), PathError> {
    let root = files::open_directory(directory)?;
    let mut pending = vec![PathBuf::new()];
    while let Some(below) = pending.pop() {
        let shown = directory.join(&below);
        let opened = match dirfd::open_beneath(&root, &below, OFlags::RDONLY | OFlags::DIRECTORY) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EXDEV | libc::ENOENT)) => continue,
            opened => opened.on("open", &shown)?,
        };
        see(&fstat(&opened).on("stat", &shown)?);
        for name in dirfd::names(&opened).on("read", &shown)? {
            let Some(stat) = dirfd::stat_name(&opened, &name).on("stat", shown.join(&name))? else { continue };
            if dirfd::file_type(&stat).is_dir() {
                pending.push(below.join(name));
            } else {
                see(&stat);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::driver::overlay_xfs::OverlayXfs;
    use crate::sys::caller::Caller;

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path(), Box::new(OverlayXfs::default()), Caller::Root).unwrap();
        for name in ["volumes", "meta", "tmp"] {
            store.layout.directories().ensure(name).unwrap();
        }
        (directory, store)
    }

    #[test]
    fn tells_names_apart() {
        assert_eq!(Entry::of_name("abc"), Entry::Layer("abc".into()));
        assert_eq!(Entry::of_name("gc.abc"), Entry::Condemned("abc".into()));
        let name = incomplete_name(&ChainId::new("abc").unwrap()).unwrap();
        assert_eq!(Entry::of_name(&name), Entry::Incomplete("abc".into()));
    }

    #[test]
    fn a_condemned_layer_may_be_half_removed_and_is_never_used() {
        let (_directory, store) = store();
        let layout = &store.layout;
        let abc = ChainId::new("abc").unwrap();
        fs::create_dir(layout.volume("gc.abc")).unwrap();
        assert!(!is_present(layout, &abc).unwrap());
        fs::create_dir(layout.volume("abc")).unwrap();
        assert!(is_present(layout, &abc).unwrap());
    }

    #[test]
    fn a_missing_or_emptied_size_is_measured_and_recorded() {
        let (_directory, store) = store();
        let layout = &store.layout;
        let abc = ChainId::new("abc").unwrap();
        fs::create_dir_all(layout.volume("abc").join("d")).unwrap();
        fs::write(layout.volume("abc").join("d/f"), "12345").unwrap();
        fs::hard_link(layout.volume("abc").join("d/f"), layout.volume("abc").join("g")).unwrap();
        fs::write(layout.volume_size("abc"), "").unwrap();
        assert_eq!(size(&store, &abc).unwrap(), 5);
        assert_eq!(fs::read_to_string(layout.volume_size("abc")).unwrap(), "{\"Size\":5}\n");
        assert_eq!(inodes(&store, &abc).unwrap(), 3, "a file of two names, its directory, and the layer's");
        assert_eq!(fs::read_to_string(layout.volume_size("abc")).unwrap(), "{\"Size\":5,\"Inodes\":3}\n");
        fs::write(layout.volume("abc").join("later"), "").unwrap();
        assert_eq!((size(&store, &abc).unwrap(), inodes(&store, &abc).unwrap()), (5, 3), "on record");
    }
}
