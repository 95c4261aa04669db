//! Several volumes seen as one tree, as an overlay of them would show it, without mounting one.
//!
//! The topmost volume that has a name decides. Directories of one name are merged downwards until one is opaque or
//! something else, a whiteout included, is in the way (Linux, Documentation/filesystems/overlayfs). Volumes are not
//! changed while they are looked at.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{OFlags, Stat, fstat};
use rustix::io::Errno;

use super::detours::Detours;
use super::path;
use super::route::Route;
use super::whiteout::{WhiteoutFormat, is_whiteout};
use crate::sys::dirfd;

/// The most volumes whose directories stay open, the one looked into last and the one above it. With more, a view would
/// take too many descriptors.
const OPEN: usize = 64;

/// A stack of volumes, topmost first.
pub struct MergedView<'a> {
    layers: Vec<BorrowedFd<'a>>,
    format: WhiteoutFormat,
    /// The directory looked into last and those above it: neighbours are mostly asked for one after the other.
    levels: Vec<Level>,
    detours: Detours,
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
    layers: Vec<u16>,
    /// It in those volumes, or nothing.
    open: Vec<OwnedFd>,
}

/// What a name in a merged directory is.
#[derive(Default)]
struct Step {
    /// The volumes that take part in it, if it is a directory.
    layers: Vec<u16>,
    /// The directory in those volumes.
    open: Vec<OwnedFd>,
    /// Nothing that further volumes have there is seen.
    is_closed: bool,
    /// The volume that shows it and its status there.
    shown: Option<(u16, Stat)>,
}

impl<'a> MergedView<'a> {
    /// Looks at `layers`, topmost first, whose deletions are written as `format` says.
    pub fn new(layers: &[BorrowedFd<'a>], format: WhiteoutFormat) -> Self {
        Self { layers: layers.to_vec(), format, levels: Vec::new(), detours: Detours::default() }
    }

    /// Forgets what was seen: a volume has changed.
    pub(super) fn forget(&mut self) {
        self.levels.clear();
    }

    /// The file at `path`, which is relative to the root and clean. No symlink is followed, so below one there is
    /// nothing.
    ///
    /// # Errors
    /// Those of the system calls; that there is no such file is none.
    pub fn lookup(&mut self, path: &Path) -> io::Result<Option<MergedFile>> {
        let (file, rest) = self.lookup_longest(path)?;
        Ok(file.filter(|_| rest == 0))
    }

    /// The file at `path`, or the one on the way there that nothing can be below; and how many names are left from there.
    fn lookup_longest(&mut self, path: &Path) -> io::Result<(Option<MergedFile>, usize)> {
        if path.as_os_str().is_empty() {
            self.levels.clear();
            let Some(top) = self.layers.first() else { return Ok((None, 0)) };
            return Ok((Some(MergedFile { path: PathBuf::new(), layer: 0, stat: fstat(top)? }), 0));
        }
        let names: Vec<&OsStr> = path.components().map(Component::as_os_str).collect();
        let shared = names.iter().zip(&self.levels).take_while(|(name, level)| **name == level.name).count();
        // The file itself is looked at again.
        let shared = shared.min(names.len() - 1);
        self.levels.truncate(shared);
        let steps = self.descend(&names[shared..])?;
        for (index, step) in steps.into_iter().enumerate() {
            let way = || names[..=shared + index].iter().collect::<PathBuf>();
            let file = step.shown.map(|(layer, stat)| MergedFile { path: way(), layer: layer.into(), stat });
            let rest = names.len() - 1 - shared - index;
            let is_directory = !step.layers.is_empty();
            if is_directory {
                let Step { layers, open, .. } = step;
                self.levels.push(Level { name: names[shared + index].to_owned(), layers, open });
                if let Some(level) = self.levels.len().checked_sub(3).and_then(|index| self.levels.get_mut(index)) {
                    level.open.clear();
                }
            }
            if rest == 0 || !is_directory {
                return Ok((file, rest));
            }
        }
        Ok((None, 0))
    }

    /// Goes from the innermost level down along `names`. Each volume is gone through by itself, from one directory to the
    /// next, as far as those above it let it be seen.
    fn descend(&mut self, names: &[&OsStr]) -> io::Result<Vec<Step>> {
        let layers = self.innermost();
        let keep = layers.len() <= OPEN;
        let way: PathBuf = self.levels.iter().map(|level| &level.name).collect();
        if keep && self.levels.last().is_some_and(|level| level.open.is_empty()) {
            let open = |layer: &u16| self.open_in((*layer).into(), &way, OFlags::PATH | OFlags::DIRECTORY);
            let opened = layers.iter().map(open).collect::<io::Result<_>>()?;
            if let Some(level) = self.levels.last_mut() {
                level.open = opened;
            }
        }
        let mut steps: Vec<Step> = names.iter().map(|_| Step::default()).collect();
        for (index, layer) in layers.into_iter().enumerate() {
            let opened;
            let here = match self.levels.last() {
                None => self.layers[usize::from(layer)],
                Some(Level { open, .. }) if !open.is_empty() => open[index].as_fd(),
                Some(_) => {
                    opened = self.open_in(layer.into(), &way, OFlags::PATH | OFlags::DIRECTORY)?;
                    opened.as_fd()
                }
            };
            self.descend_in(layer, here, names, &mut steps, keep).map_err(|error| match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    let entered = steps.iter().take_while(|step| step.layers.contains(&layer)).count();
                    let names = names.iter().take(entered + 1).copied();
                    io::Error::new(error.kind(), Unreadable(way.iter().chain(names).collect()))
                }
                _ => error,
            })?;
        }
        Ok(steps)
    }

    /// Adds to `steps` what the volume `layer` has along `names` from the open directory `here`. The root of a volume is
    /// never opaque: the kernel does not look for the attribute there.
    fn descend_in(
        &self,
        layer: u16,
        here: BorrowedFd<'_>,
        names: &[&OsStr],
        steps: &mut [Step],
        keep: bool,
    ) -> io::Result<()> {
        let mut entered: Option<OwnedFd> = None;
        for (index, (name, step)) in names.iter().zip(steps).enumerate() {
            if step.is_closed {
                return Ok(());
            }
            let here = entered.as_ref().map_or(here, |entered| entered.as_fd());
            let name = Path::new(name);
            match dirfd::open_beneath(here, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW) {
                Ok(directory) => {
                    step.layers.push(layer);
                    if step.shown.is_none() {
                        step.shown = Some((layer, fstat(&directory)?));
                    }
                    step.is_closed = self.format.is_opaque(&directory)?;
                    if keep && index + 1 == names.len() {
                        step.open.push(directory);
                    } else {
                        entered = Some(directory);
                    }
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::ENOENT) => return Ok(()),
                    Some(libc::ENOTDIR | libc::ELOOP) => {
                        step.is_closed = true;
                        if step.layers.is_empty() {
                            let stat = fstat(dirfd::open_beneath(here, name, OFlags::PATH | OFlags::NOFOLLOW)?)?;
                            step.shown = (!is_whiteout(&stat)).then_some((layer, stat));
                        }
                        return Ok(());
                    }
                    _ => return Err(error),
                },
            }
        }
        Ok(())
    }

    /// The file that `path` leads to, symlinks followed inside the view as if its root were `/`.
    ///
    /// # Errors
    /// Those of the system calls, and `ELOOP`; that there is no such file is none.
    pub fn resolve(&mut self, path: &Path) -> io::Result<Option<MergedFile>> {
        self.detours.allow_entry();
        let mut route = Route::new(path);
        while let Some(ahead) = route.straight_ahead() {
            let (file, rest) = self.lookup_longest(&route.real().join(&ahead))?;
            let Some(file) = file else { return Ok(None) };
            let is_symlink = dirfd::file_type(&file.stat).is_symlink();
            if !is_symlink && rest > 0 {
                return Ok(None);
            }
            route.pass(ahead.iter().count() - rest - usize::from(is_symlink));
            if is_symlink {
                route.next();
                let names = route.follow(Path::new(&self.read_link(&file)?))?;
                self.detours.spend(names)?;
            }
        }
        self.lookup(route.real())
    }

    /// Calls `each` for every file in the directory `path`, in no order. A directory that does not exist has no files.
    ///
    /// # Errors
    /// Those of the system calls, and of `each`.
    pub fn each_file<E: From<io::Error>>(
        &mut self,
        path: &Path,
        mut each: impl FnMut(&mut Self, &OsStr, MergedFile) -> Result<(), E>,
    ) -> Result<(), E> {
        for layer in self.directory_layers(path)? {
            let directory = self.open_in(layer.into(), path, OFlags::RDONLY | OFlags::DIRECTORY)?;
            dirfd::each_name(directory, |name| match self.lookup(&path.join(name))? {
                // Others come when it is the turn of the volume that shows them.
                Some(file) if file.layer == usize::from(layer) => each(self, name, file),
                _ => Ok(()),
            })?;
        }
        Ok(())
    }

    /// The volumes that take part in the directory `path`; none if it is no directory.
    fn directory_layers(&mut self, path: &Path) -> io::Result<Vec<u16>> {
        self.lookup_longest(path)?;
        Ok(if self.is_innermost(path) { self.innermost() } else { Vec::new() })
    }

    /// Whether the directory looked into last is `path`.
    fn is_innermost(&self, path: &Path) -> bool {
        self.levels.iter().map(|level| level.name.as_os_str()).eq(path.iter())
    }

    /// Opens a file that this view showed.
    ///
    /// # Errors
    /// Those of openat2(2).
    pub fn open(&self, file: &MergedFile, flags: OFlags) -> io::Result<OwnedFd> {
        if let Some(level) = self.levels.last().filter(|_| self.is_innermost(&file.path))
            && let Some(index) = level.layers.iter().position(|layer| usize::from(*layer) == file.layer)
            && let Some(open) = level.open.get(index)
        {
            return dirfd::open_beneath(open, Path::new(""), flags);
        }
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

    fn innermost(&self) -> Vec<u16> {
        self.levels.last().map_or_else(|| (0..self.layers.len() as u16).collect(), |level| level.layers.clone())
    }
}

/// Whether a symlink leads to nothing, rather than that following it failed. Where one of a lower layer does, a directory
/// takes its place, as it does where volumes begin as copies of their parents.
pub(super) fn leads_nowhere(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENAMETOOLONG))
}
