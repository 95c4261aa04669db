//! Short names of volumes: `l/<short id>` leads to the volume, `l/<chain id>` holds the short id.
//!
//! The kernel reads at most one page of mount options, so with many layers their names must be short.

use std::io;
use std::path::{Path, PathBuf};

use crate::entries::{self, Place, linked_volume};
use crate::image::ChainId;
use crate::layout::{self, Layout};
use crate::sys::files;
use crate::sys::lock;
use crate::sys::path_error::PathError;
use crate::sys::random::random_number;

/// What short ids are made of: none of it means anything in mount options.
const ALPHABET: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
/// Bytes of the largest record that is read.
const LARGEST_RECORD: u64 = 4096;
/// Four characters name sixteen million volumes.
pub(super) const LENGTH: usize = 4;

/// The directory of short names.
struct Links {
    path: PathBuf,
}

impl Links {
    fn open(layout: &Layout) -> Result<Self, PathError> {
        Ok(Links { path: layout.directories().open(layout::LINKS)? })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The short id that a volume has on record.
    fn read(&self, name: &str) -> Result<Option<String>, PathError> {
        let content = files::read_record(LARGEST_RECORD, &self.path(name))?;
        // What a power cut emptied, or damaged in whatever way, counts as none.
        Ok(content.and_then(|content| String::from_utf8(content).ok()).filter(|short| is_plain(short)))
    }
}

/// The short id of a volume; made where it has none.
pub(super) fn ensure(layout: &Layout, chain_id: &ChainId) -> Result<String, PathError> {
    let (links, target) = (Links::open(layout)?, layout.volume_path(chain_id.as_str()));
    // The original's are up to twenty characters long, of which few fit into a page.
    if let Some(short) = links.read(chain_id.as_str())?
        && short.len() <= LENGTH
        && let Ok(found) = files::read_link(&links.path(&short))
        && (found == target || found == layout.real_path(&target))
    {
        return Ok(short);
    }
    // The real one, so that all paths by which the store is reached agree on it.
    let short = make_link(&links, &layout.real_path(&target))?;
    // In place: a file cut short counts as none.
    files::write(&links.path(chain_id.as_str()), short.as_bytes())?;
    Ok(short)
}

/// Removes the short name of a volume, if it has one.
pub(super) fn remove(layout: &Layout, name: &str) -> Result<(), PathError> {
    let links = match Links::open(layout) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        opened => opened?,
    };
    if let Some(short) = links.read(name)? {
        files::remove_if_there(&links.path(&short))?;
    }
    entries::remove_record(&links.path(name))
}

/// Removes the short names that [`dangling`] finds, each while its volume's lock is held.
pub(super) fn collect(layout: &Layout) -> Result<(), PathError> {
    for_each_dangling(layout, files::remove_if_there)
}

/// Short names without a volume, whose makers died between the two steps of [`ensure`].
pub(super) fn dangling(layout: &Layout) -> Result<Vec<PathBuf>, PathError> {
    let mut dangling = Vec::new();
    for_each_dangling(layout, |link| {
        dangling.extend(link.file_name().map(|name| layout.links().join(name)));
        Ok(())
    })?;
    Ok(dangling)
}

/// A volume gets its short name before it appears under its own, and its maker holds its lock as long. So a name without a
/// volume is looked at again once the lock is held: its maker may have ended well between the two looks.
fn for_each_dangling(layout: &Layout, mut work: impl FnMut(&Path) -> Result<(), PathError>) -> Result<(), PathError> {
    let links = Links::open(layout)?;
    for name in entries::names(layout, Place::Links)? {
        let link = links.path(&name);
        let Some(owner) = linked_volume(layout, &name) else { continue };
        if !is_dangling(layout, &links, &name, &owner)? {
            continue;
        }
        let Some(_lock) = lock::try_own(&layout.lock_file(), &owner)? else { continue };
        if is_dangling(layout, &links, &name, &owner)? {
            work(&link)?;
        }
    }
    Ok(())
}

/// Whether the link `name` leads to no volume and no volume calls it its own.
fn is_dangling(layout: &Layout, links: &Links, name: &str, owner: &str) -> Result<bool, PathError> {
    let is_named = links.read(owner)?.is_some_and(|short| short == name);
    Ok(!is_named && !files::exists(&layout.volume(owner))?)
}

fn make_link(links: &Links, target: &Path) -> Result<String, PathError> {
    loop {
        let short = random_id()?;
        let link = links.path(&short);
        match files::symlink(target, &link) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            made => return made.map(|()| short),
        }
    }
}

/// A short id never begins with `-`, so that it is no option to anybody's `ls`.
fn random_id() -> Result<String, PathError> {
    let bytes = random_number()?.to_ne_bytes();
    let mut id: String = bytes[..LENGTH].iter().map(|b| char::from(ALPHABET[usize::from(b & 63)])).collect();
    if id.starts_with('-') {
        id.replace_range(..1, "0");
    }
    Ok(id)
}

fn is_plain(short: &str) -> bool {
    !short.is_empty() && short.bytes().all(|b| ALPHABET.contains(&b))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_volume_keeps_its_short_id_until_it_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        layout.directories().ensure(layout::LINKS).unwrap();
        let chain_id = ChainId::new("abc").unwrap();

        let short = ensure(&layout, &chain_id).unwrap();
        assert_eq!(ensure(&layout, &chain_id).unwrap(), short);
        assert_eq!(fs::read_to_string(layout.links().join("abc")).unwrap(), short);
        assert_eq!(fs::read_link(layout.links().join(&short)).unwrap(), layout.volume_path("abc"));

        remove(&layout, "abc").unwrap();
        assert_eq!(fs::read_dir(layout.links()).unwrap().count(), 0);
    }

    #[test]
    fn a_name_without_a_volume_is_collected_once_its_maker_is_dead() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        for name in [layout::LINKS, "volumes", "locks"] {
            layout.directories().ensure(name).unwrap();
        }
        let names = || files::names(&layout.links()).unwrap().len();
        make_link(&Links::open(&layout).unwrap(), &layout.volume_path("abc")).unwrap();

        let maker = lock::try_own(&layout.lock_file(), "abc").unwrap();
        collect(&layout).unwrap();
        assert_eq!(names(), 1);

        drop(maker);
        // Another test's child may have inherited the lock, until it runs its program.
        for _ in 0..1000 {
            collect(&layout).unwrap();
            if names() == 0 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(names(), 0);

        fs::create_dir(layout.volume("abc")).unwrap();
        ensure(&layout, &ChainId::new("abc").unwrap()).unwrap();
        make_link(&Links::open(&layout).unwrap(), &layout.volume_path("abc")).unwrap();
        collect(&layout).unwrap();
        assert_eq!(names(), 3);
    }

    #[test]
    fn an_emptied_file_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        layout.directories().ensure(layout::LINKS).unwrap();
        fs::write(layout.links().join("abc"), "").unwrap();
        let short = ensure(&layout, &ChainId::new("abc").unwrap()).unwrap();
        assert!(layout.links().join(short).is_symlink());
    }
}
