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
    fs::write(&file, &short).on("write", &file)?;
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
pub(super) fn collect(layout: &Layout) -> Result<(), PathError> {
    let directory = layout.links();
    for entry in fs::read_dir(&directory).on("open", &directory)? {
        let path = entry.on("read", &directory)?.path();
        let Ok(target) = fs::read_link(&path) else { continue };
        let owner = target.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_named = read(layout, owner)?.is_some_and(|short| path.ends_with(short));
        if !is_named && !target.exists() && is_old(&path) {
            files::remove_if_there(&path)?;
        }
    }
    Ok(())
}

/// A link younger than this may be between the two steps of [`ensure`].
fn is_old(path: &Path) -> bool {
    let age = fs::symlink_metadata(path).and_then(|m| m.modified()).ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age > std::time::Duration::from_secs(600))
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
    fn an_emptied_file_is_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().to_owned());
        fs::create_dir(layout.links()).unwrap();
        fs::write(layout.links().join("abc"), "").unwrap();
        let short = ensure(&layout, &ChainId::new("abc").unwrap()).unwrap();
        assert!(layout.links().join(short).is_symlink());
    }
}
