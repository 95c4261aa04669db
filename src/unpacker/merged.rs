//! Several volumes seen as one tree, as an overlay of them would show it, without mounting one.
//!
//! The topmost volume that has a name decides. Directories of one name are merged downwards until one is opaque or
//! something else, a whiteout included, is in the way (Linux, Documentation/filesystems/overlayfs). Volumes are not
//! changed while they are looked at.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{OFlags, Stat, fstat};
use rustix::io::Errno;

use super::path;
use super::route::Route;
use super::whiteout::{WhiteoutFormat, is_whiteout};
use crate::sys::dirfd;

/// A stack of volumes, topmost first.
pub struct MergedView<'a> {
    layers: Vec<BorrowedFd<'a>>,
    format: WhiteoutFormat,
    /// The directory looked into last and those above it: neighbours are mostly asked for one after the other.
    levels: Vec<Level>,
}

/// A file as the merged view shows it.
#[derive(Debug, Clone)]
pub struct MergedFile {
    /// Its path, without symlinks on the way.
    pub path: PathBuf,
    /// Which volume shows it, counted from the topmost. For a directory: the one whose attributes count.
    pub layer: usize,
    /// Its status, of a symlink itself.
    pub stat: Stat,
}

/// What an error of a view says where a file may not be looked at: which one. Volumes are not changed to have it otherwise.
#[derive(Debug, thiserror::Error)]
#[error("`{}` cannot be read by its owner", .0.display())]
pub(super) struct Unreadable(pub(super) PathBuf);

struct Level {
    name: OsString,
    /// The volumes that take part in this directory.
    layers: Vec<usize>,
}

/// What a name in a merged directory is.
enum Step {
    Nothing,
    Directory(Vec<usize>),
    File(usize),
}

impl<'a> MergedView<'a> {
    /// Looks at `layers`, topmost first, whose deletions are written as `format` says.
    pub fn new(layers: &[BorrowedFd<'a>], format: WhiteoutFormat) -> Self {
        Self { layers: layers.to_vec(), format, levels: Vec::new() }
    }

    /// The file at `path`, which is relative to the root and clean. No symlink is followed, so below one there is
    /// nothing.
    ///
    /// # Errors
    /// Those of the system calls; that there is no such file is none.
    pub fn lookup(&mut self, path: &Path) -> io::Result<Option<MergedFile>> {
        let layer = match path::split(path) {
            None if self.layers.is_empty() => return Ok(None),
            None => 0,
            Some((parent, name)) => {
                let layers = self.enter(parent)?;
                match self.step(parent, &layers, name)? {
                    Step::Nothing => return Ok(None),
                    Step::Directory(layers) => layers[0],
                    Step::File(layer) => layer,
                }
            }
        };
        let stat = fstat(self.open_in(layer, path, OFlags::PATH)?)?;
        Ok(Some(MergedFile { path: path.to_owned(), layer, stat }))
    }

    /// The file that `path` leads to, symlinks followed inside the view as if its root were `/`.
    ///
    /// # Errors
    /// Those of the system calls, and `ELOOP`; that there is no such file is none.
    pub fn resolve(&mut self, path: &Path) -> io::Result<Option<MergedFile>> {
        let mut route = Route::new(path);
        while let Some(step) = route.next() {
            let Some(file) = self.lookup(&route.real().join(&step))? else { return Ok(None) };
            if dirfd::file_type(&file.stat).is_symlink() {
                route.follow(Path::new(&self.read_link(&file)?))?;
            } else {
                route.enter(step);
            }
        }
        self.lookup(route.real())
    }

    /// The files in the directory `path`, by name.
    ///
    /// # Errors
    /// Those of the system calls; a directory that does not exist has no files.
    pub fn read_dir(&mut self, path: &Path) -> io::Result<Vec<(OsString, MergedFile)>> {
        let mut names = BTreeSet::new();
        for layer in self.enter(path)? {
            names.extend(dirfd::names(self.open_in(layer, path, OFlags::RDONLY | OFlags::DIRECTORY)?)?);
        }
        let mut files = Vec::with_capacity(names.len());
        for name in names {
            if let Some(file) = self.lookup(&path.join(&name))? {
                files.push((name, file));
            }
        }
        Ok(files)
    }

    /// Opens a file that this view showed.
    ///
    /// # Errors
    /// Those of openat2(2).
    pub fn open(&self, file: &MergedFile, flags: OFlags) -> io::Result<OwnedFd> {
        self.open_in(file.layer, &file.path, flags | OFlags::NOFOLLOW)
    }

    /// The text of a symlink that this view showed.
    ///
    /// # Errors
    /// Those of openat2(2) and readlinkat(2).
    pub fn read_link(&self, file: &MergedFile) -> io::Result<OsString> {
        let (parent, name) = path::split(&file.path).ok_or(Errno::INVAL)?;
        dirfd::read_link(self.open_in(file.layer, parent, OFlags::PATH | OFlags::DIRECTORY)?, name)
    }

    fn open_in(&self, layer: usize, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        dirfd::open_beneath(self.layers[layer], path, flags | OFlags::NOFOLLOW).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => io::Error::new(error.kind(), Unreadable(path.to_owned())),
            _ => error,
        })
    }

    /// The volumes that take part in the directory `path`; none if it is no directory.
    fn enter(&mut self, path: &Path) -> io::Result<Vec<usize>> {
        let names = || path.components().map(Component::as_os_str);
        let shared = names().zip(&self.levels).take_while(|(name, level)| *name == level.name).count();
        self.levels.truncate(shared);
        let mut parent: PathBuf = self.levels.iter().map(|level| &level.name).collect();
        for name in names().skip(shared) {
            let above = self.innermost();
            let layers = match self.step(&parent, &above, name)? {
                Step::Directory(layers) => layers,
                Step::Nothing | Step::File(_) => Vec::new(),
            };
            self.levels.push(Level { name: name.to_owned(), layers });
            parent.push(name);
        }
        Ok(self.innermost())
    }

    fn innermost(&self) -> Vec<usize> {
        self.levels.last().map_or_else(|| (0..self.layers.len()).collect(), |level| level.layers.clone())
    }

    /// Looks for `name` in the directory `parent` of the volumes `layers`. The root of a volume is never opaque: the
    /// kernel does not look for the attribute there.
    fn step(&self, parent: &Path, layers: &[usize], name: &OsStr) -> io::Result<Step> {
        let path = parent.join(name);
        let mut merged = Vec::new();
        for &layer in layers {
            match self.open_in(layer, &path, OFlags::RDONLY | OFlags::DIRECTORY) {
                Ok(directory) => {
                    merged.push(layer);
                    if self.format.is_opaque(&directory)? {
                        break;
                    }
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::ENOENT) => {}
                    Some(libc::ENOTDIR | libc::ELOOP) if !merged.is_empty() => break,
                    Some(libc::ENOTDIR | libc::ELOOP) => {
                        let stat = fstat(self.open_in(layer, &path, OFlags::PATH)?)?;
                        return Ok(if is_whiteout(&stat) { Step::Nothing } else { Step::File(layer) });
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(if merged.is_empty() { Step::Nothing } else { Step::Directory(merged) })
    }
}
