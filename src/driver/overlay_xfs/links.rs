//! Short names of volumes: `l/<short id>` leads to the volume, `l/<chain id>` holds the short id.
//!
//! The kernel reads at most one page of mount options, so with many layers their names must be short.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::image::ChainId;
use crate::layout::Layout;
use crate::sys::files;
use crate::sys::lock;
use crate::sys::path_error::{OnPath, PathError};
use crate::sys::random::random_number;

/// What short ids are made of: none of it means anything in mount options.
const ALPHABET: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
/// Four characters name sixteen million volumes.
pub(super) const LENGTH: usize = 4;

/// The short id of a volume; made where it has none.
pub(super) fn ensure(layout: &Layout, chain_id: &ChainId) -> Result<String, PathError> {
    let target = layout.volume(chain_id.as_str());
    // The original's are up to twenty characters long, of which few fit into a page.
    if let Some(short) = read(layout, chain_id.as_str())?
        && short.len() <= LENGTH
        && fs::read_link(layout.links().join(&short)).is_ok_and(|found| found == target)
    {
        return Ok(short);
    }
    let short = make_link(layout, &target)?;
    // In place: a file cut short counts as none.
    let file = layout.links().join(chain_id.as_str());
    files::write(&file, short.as_bytes())?;
    Ok(short)
}

/// Removes the short name of a volume, if it has one.
pub(super) fn remove(layout: &Layout, name: &str) -> Result<(), PathError> {
    if let Some(short) = read(layout, name)? {
        files::remove_if_there(&layout.links().join(short))?;
    }
    files::remove_if_there(&layout.links().join(name))
}

/// Removes short names that lead nowhere and are nobody's: their makers died between the two steps of [`ensure`].
///
/// A volume gets its short name before it appears under its own, and its maker holds its lock as long.
pub(super) fn collect(layout: &Layout) -> Result<(), PathError> {
    let directory = layout.links();
    for entry in fs::read_dir(&directory).on("open", &directory)? {
        let path = entry.on("read", &directory)?.path();
        if !is_astray(layout, &path)? {
            continue;
        }
        let Some(owner) = owner(&path) else { continue };
        let Some(_lock) = lock::try_own(&layout.lock_file(), &owner)? else { continue };
        // Looked at again: its maker may have ended well between the two looks.
        if is_astray(layout, &path)? {
            files::remove_if_there(&path)?;
        }
    }
    Ok(())
}

/// Whether `link` leads to no volume and no volume calls it its own.
fn is_astray(layout: &Layout, link: &Path) -> Result<bool, PathError> {
    let Some(owner) = owner(link) else { return Ok(false) };
    let is_named = read(layout, &owner)?.is_some_and(|short| link.ends_with(short));
    Ok(!is_named && !files::exists(&layout.volume(&owner))?)
}

/// Name of the volume that a short name stands for; `None` for what is no link.
fn owner(link: &Path) -> Option<String> {
    fs::read_link(link).ok()?.file_name()?.to_str().map(str::to_owned)
}

fn make_link(layout: &Layout, target: &Path) -> Result<String, PathError> {
    loop {
        let short = random_id()?;
        let link = layout.links().join(&short);
        match symlink(target, &link) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            made => return made.on("symlink", &link).map(|()| short),
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

fn read(layout: &Layout, name: &str) -> Result<Option<String>, PathError> {
    let path = layout.links().join(name);
    match fs::read_to_string(&path) {
        // A file that a power cut emptied counts as none.
        Ok(short) => Ok(Some(short).filter(|short| is_plain(short))),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::IsADirectory) => Ok(None),
        Err(e) => Err(PathError::new("open", path, e)),
    }
}

fn is_plain(short: &str) -> bool {
    !short.is_empty() && short.bytes().all(|b| ALPHABET.contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_keeps_its_short_id_until_it_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        fs::create_dir(layout.links()).unwrap();
        let chain_id = ChainId::new("abc").unwrap();

        let short = ensure(&layout, &chain_id).unwrap();
        assert_eq!(ensure(&layout, &chain_id).unwrap(), short);
        assert_eq!(fs::read_to_string(layout.links().join("abc")).unwrap(), short);
        assert_eq!(fs::read_link(layout.links().join(&short)).unwrap(), layout.volume("abc"));

        remove(&layout, "abc").unwrap();
        assert_eq!(fs::read_dir(layout.links()).unwrap().count(), 0);
    }

    #[test]
    fn a_name_without_a_volume_is_collected_once_its_maker_is_dead() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        for path in [layout.links(), layout.volumes(), layout.locks()] {
            fs::create_dir(path).unwrap();
        }
        let names = || files::names(&layout.links()).unwrap().len();
        make_link(&layout, &layout.volume("abc")).unwrap();

        let maker = lock::try_own(&layout.lock_file(), "abc").unwrap();
        collect(&layout).unwrap();
        assert_eq!(names(), 1);

        drop(maker);
        collect(&layout).unwrap();
        assert_eq!(names(), 0);

        fs::create_dir(layout.volume("abc")).unwrap();
        ensure(&layout, &ChainId::new("abc").unwrap()).unwrap();
        make_link(&layout, &layout.volume("abc")).unwrap();
        collect(&layout).unwrap();
        assert_eq!(names(), 3);
    }

    #[test]
    fn an_emptied_file_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        fs::create_dir(layout.links()).unwrap();
        fs::write(layout.links().join("abc"), "").unwrap();
        let short = ensure(&layout, &ChainId::new("abc").unwrap()).unwrap();
        assert!(layout.links().join(short).is_symlink());
    }
}
