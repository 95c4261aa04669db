//! Copies of what several volumes show together: all of it, for mounts that have room for few layers, or one directory,
//! for a volume that an image declares.
//!
//! The copy is what an overlay of the volumes would show. Files share their blocks with the originals where the
//! filesystem can (XFS with reflink, btrfs), so it takes little but names.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, linkat, mkdirat};
use rustix::io::Errno;

use super::attributes::{AlreadySet, Target};
use super::copyup::{copy_up, directory_attributes};
use super::error::Error;
use super::merged::{MergedFile, MergedView, leads_nowhere};
use super::path::split;
use super::path_map::{PathId, PathMap};
use super::{WhiteoutFormat, pipeline};
use crate::limits::{self, MemoryBudget};
use crate::sys::confine::Confinement;
use crate::sys::dirfd;

/// Fills the empty directory `target` with what `volumes`, topmost first, show together.
///
/// # Errors
/// See [`Error`].
pub fn flatten(volumes: &[BorrowedFd<'_>], target: BorrowedFd<'_>, whiteouts: WhiteoutFormat) -> Result<(), Error> {
    copy_directory(volumes, Path::new(""), target, whiteouts)
}

/// Makes the empty directory `target` a copy of the directory `path` that `volumes`, topmost first, show: with its
/// content, owner, mode and other attributes. Symlinks on the way are followed as in a container, never out of the
/// volumes. Where there is no such directory, nothing is done.
///
/// # Errors
/// See [`Error`].
pub fn copy_directory(
    volumes: &[BorrowedFd<'_>],
    path: &Path,
    target: BorrowedFd<'_>,
    whiteouts: WhiteoutFormat,
) -> Result<(), Error> {
    // Most images have nothing where they declare a volume, and starting a thread for it would cost the most.
    if directory_at(&mut MergedView::new(volumes, whiteouts), path)?.is_none() {
        return Ok(());
    }
    pipeline::in_volume(target, volumes, |confinement| {
        let mut view = MergedView::new(volumes, whiteouts);
        let Some(top) = directory_at(&mut view, path)? else { return Ok(()) };
        let memory = MemoryBudget::new(limits::MEMORY);
        let mut copying = Copying {
            view,
            top: top.path,
            target,
            confinement,
            directories: PathMap::new(&memory),
            linked: PathMap::new(&memory),
            links: HashMap::new(),
        };
        copying.copy_all()?;
        copying.finish_directories()
    })
}

/// Bytes of disk and inodes that the files in the directory `path` take which `volumes`, topmost first, show; `None` if
/// they show none.
///
/// # Errors
/// See [`Error`].
pub fn directory_size(
    volumes: &[BorrowedFd<'_>],
    path: &Path,
    whiteouts: WhiteoutFormat,
) -> Result<Option<(u64, u64)>, Error> {
    let mut view = MergedView::new(volumes, whiteouts);
    let Some(top) = directory_at(&mut view, path)? else { return Ok(None) };
    let mut directories: PathMap<()> = PathMap::new(&MemoryBudget::new(limits::MEMORY));
    let mut ahead = vec![directories.id(&top.path)?];
    let (mut bytes, mut inodes, mut counted) = (0u64, 0u64, HashSet::new());
    while let Some(directory) = ahead.pop() {
        let path = directories.path(directory);
        let listed = view.each_file(&path, |_, name, file| {
            if dirfd::file_type(&file.stat).is_dir() {
                inodes += 1;
                ahead.push(directories.set_in(directory, name, ())?);
                return Ok(());
            }
            if file.stat.st_nlink > 1 {
                directories.reserve(LINK)?;
            }
            if file.stat.st_nlink == 1 || counted.insert((file.layer, file.stat.st_ino)) {
                inodes += 1;
                bytes = bytes.saturating_add(file.stat.st_blocks.unsigned_abs().saturating_mul(512));
            }
            Ok::<_, io::Error>(())
        });
        listed.map_err(|error| Error::file("reading", &path, error))?;
    }
    Ok(Some((bytes, inodes)))
}

/// The directory that `path` leads to in the view.
fn directory_at(view: &mut MergedView<'_>, path: &Path) -> Result<Option<MergedFile>, Error> {
    let found = match view.resolve(path) {
        Err(error) if leads_nowhere(&error) => None,
        found => found.map_err(|e| Error::file("reading", path, e))?,
    };
    Ok(found.filter(|found| dirfd::file_type(&found.stat).is_dir()))
}

struct Copying<'a> {
    view: MergedView<'a>,
    /// The directory that is copied.
    top: PathBuf,
    target: BorrowedFd<'a>,
    confinement: Confinement,
    /// The directories in it.
    directories: PathMap<()>,
    linked: PathMap<()>,
    /// Files with several names, by volume and inode: where in the copy the first of them is.
    links: HashMap<(usize, u64), PathId>,
}

impl Copying<'_> {
    /// Copies one directory after the other, so that none is open while those in it are worked on.
    fn copy_all(&mut self) -> Result<(), Error> {
        let mut ahead = vec![self.directories.id(Path::new(""))?];
        while let Some(directory) = ahead.pop() {
            let within = self.directories.path(directory);
            let path = self.top.join(&within);
            let failed = |error: io::Error| Error::file("reading", &path, error);
            let copy = dirfd::open_beneath(self.target, &within, OFlags::PATH | OFlags::DIRECTORY).map_err(failed)?;
            let Self { view, target, confinement, directories, linked, links, .. } = self;
            let copied = view.each_file(&path, |view, name, file| {
                if dirfd::file_type(&file.stat).is_dir() {
                    mkdirat(&copy, name, Mode::RWXU)
                        .map_err(|errno| io::Error::other(Error::file("creating directory", &file.path, errno)))?;
                    ahead.push(directories.set_in(directory, name, ())?);
                    return Ok(());
                }
                let key = (file.layer, file.stat.st_ino);
                if let Some(first) = links.get(&key) {
                    return link(*target, &linked.path(*first), copy.as_fd(), name, &file.path);
                }
                copy_up(view, &file, copy.as_fd(), name, &file.path, *confinement).map_err(io::Error::other)?;
                if file.stat.st_nlink > 1 {
                    linked.reserve(LINK)?;
                    links.insert(key, linked.id(&within.join(name))?);
                }
                Ok(())
            });
            copied.map_err(failed)?;
        }
        Ok(())
    }

    /// After all entries, which would change their times, and the deepest first, which may not be reached later.
    fn finish_directories(&mut self) -> Result<(), Error> {
        for directory in self.directories.top_down().into_iter().rev() {
            let within = self.directories.path(directory);
            let path = &self.top.join(&within);
            let failed = |error: io::Error| Error::file("reading", path, error);
            let Some(shown) = self.view.lookup(path).map_err(failed)? else { continue };
            let attributes = directory_attributes(&self.view, &shown).map_err(failed)?;
            let copy = dirfd::open_beneath(self.target, &within, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
            let copy = Target::Open { file: copy.as_fd(), noun: "directory", path };
            attributes.apply(&copy, AlreadySet::default())?;
        }
        Ok(())
    }
}

/// Links `first`, a path in `target`, as `name`.
fn link(target: BorrowedFd<'_>, first: &Path, copy: BorrowedFd<'_>, name: &OsStr, path: &Path) -> io::Result<()> {
    let failed = |error: io::Error| io::Error::other(Error::link(first, path, error));
    let (parent, first_name) = split(first).ok_or(Errno::PERM)?;
    let parent = dirfd::open_beneath(target, parent, OFlags::PATH | OFlags::DIRECTORY).map_err(failed)?;
    linkat(parent, first_name, copy, name, AtFlags::empty()).map_err(|errno| failed(errno.into()))
}

/// Bytes that an entry of a table of files with several names takes.
const LINK: usize = 48;

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    #[test]
    fn shows_what_an_overlay_would() {
        let root = tempfile::tempdir().unwrap();
        let [lower, upper, flat] = ["lower", "upper", "flat"].map(|name| {
            fs::create_dir(root.path().join(name)).unwrap();
            root.path().join(name)
        });
        fs::create_dir(lower.join("d")).unwrap();
        fs::write(lower.join("d/below"), "lower").unwrap();
        fs::write(lower.join("d/both"), "lower").unwrap();
        fs::hard_link(lower.join("d/below"), lower.join("linked")).unwrap();
        fs::create_dir(upper.join("d")).unwrap();
        fs::set_permissions(upper.join("d"), fs::Permissions::from_mode(0o710)).unwrap();
        fs::write(upper.join("d/both"), "upper").unwrap();

        let (upper, lower) = (File::open(upper).unwrap(), File::open(lower).unwrap());
        let target = File::open(&flat).unwrap();
        flatten(&[upper.as_fd(), lower.as_fd()], target.as_fd(), WhiteoutFormat::Overlay).unwrap();

        assert_eq!(fs::read_to_string(flat.join("d/both")).unwrap(), "upper");
        assert_eq!(fs::metadata(flat.join("d")).unwrap().mode() & 0o7777, 0o710);
        let (below, linked) = (fs::metadata(flat.join("d/below")).unwrap(), fs::metadata(flat.join("linked")).unwrap());
        assert_eq!((below.ino(), below.nlink()), (linked.ino(), 2));
    }

    #[test]
    fn one_directory_with_all_that_it_is_whatever_leads_to_it() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir_all(path("outside")).unwrap();
        fs::write(path("outside/secret"), "secret").unwrap();
        fs::create_dir_all(path("volume/srv/data/deep")).unwrap();
        fs::write(path("volume/srv/data/one"), "one").unwrap();
        fs::hard_link(path("volume/srv/data/one"), path("volume/srv/data/deep/two")).unwrap();
        fs::set_permissions(path("volume/srv/data"), fs::Permissions::from_mode(0o1730)).unwrap();
        symlink("/srv/data", path("volume/link")).unwrap();
        symlink(path("outside"), path("volume/out")).unwrap();
        symlink("../../../../../../../../..", path("volume/up")).unwrap();
        symlink("loop", path("volume/loop")).unwrap();
        let volume = File::open(path("volume")).unwrap();
        let copy = |from: &str, name: &str| {
            fs::create_dir(path(name)).unwrap();
            let target = File::open(path(name)).unwrap();
            copy_directory(&[volume.as_fd()], Path::new(from), target.as_fd(), WhiteoutFormat::Removal)
        };
        for (n, from) in ["/srv/data", "link", "/up/link/deep/.."].into_iter().enumerate() {
            let name = format!("copy-{n}");
            copy(from, &name).unwrap();
            assert_eq!(fs::metadata(path(&name)).unwrap().mode() & 0o7777, 0o1730, "{from}");
            let [one, two] = ["one", "deep/two"].map(|file| fs::metadata(path(&name).join(file)).unwrap());
            assert_eq!((one.ino(), one.nlink()), (two.ino(), 2), "{from}");
            assert_ne!(one.ino(), fs::metadata(path("volume/srv/data/one")).unwrap().ino());
        }
        for from in ["out", "out/secret", "up/outside", "missing", "srv/data/one", "loop"] {
            let name = from.replace('/', "-");
            copy(from, &name).unwrap();
            assert_eq!(fs::read_dir(path(&name)).unwrap().count(), 0, "{from}");
        }
        let size = |from: &str| directory_size(&[volume.as_fd()], Path::new(from), WhiteoutFormat::Removal).unwrap();
        assert_eq!(size("link"), Some((fs::metadata(path("volume/srv/data/one")).unwrap().blocks() * 512, 2)));
        assert_eq!(size("out"), None);
    }
}
