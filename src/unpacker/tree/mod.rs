//! The directories of a volume while it is written to.
//!
//! Every file is made in, and reached through, an open descriptor of its parent directory, and a directory is opened
//! beneath the volume's root by a path without symlinks: `openat2` refuses all else. Symlinks that the layer itself put
//! on the way to an entry are resolved here, inside the root, and only to find that path. So a mistake in resolving
//! them can make a wrong place, never one outside.
//!
//! Attributes of directories wait until all else is done: later entries would change their times, and a directory may
//! not even let its owner write.

mod before;
mod inherited;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{FileType, Mode, OFlags, Stat, Timespec, Timestamps, mkdirat, renameat};
use rustix::io::Errno;

use super::attributes::{AlreadySet, Attributes, Owner, Target};
use super::error::Error;
use super::path;
use super::route::Route;
use super::whiteout::{WhiteoutFormat, is_whiteout};
use crate::sys::confine::Confinement;
use crate::sys::dirfd;
use crate::sys::path_error::PathError;
use crate::sys::remove_tree::remove_entry;
use before::Before;
pub(super) use before::times;

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW);

/// An open directory of the volume.
pub(super) struct OpenDir {
    /// The path it was asked for by.
    named: PathBuf,
    /// Its path without symlinks.
    pub(super) real: PathBuf,
    pub(super) fd: OwnedFd,
    /// Made by this process in this run: what is created in it gets exactly the owner and mode asked for.
    pub(super) pristine: bool,
}

/// What is known of a directory that this layer made, named or marked.
#[derive(Default)]
pub(super) struct Directory {
    made: Option<Made>,
    /// What an entry of its own says.
    named: Option<Attributes>,
    /// It took the place of something else, or its name was whited out: lower layers' directory is gone.
    replaced: bool,
    /// What lower layers have in it is gone.
    opaque: bool,
}

struct Made {
    known: AlreadySet,
}

/// Where a path leads that may not exist.
pub(super) enum Whereabouts {
    Exists(Rc<OpenDir>, OsString),
    /// Not in this layer; this is its path as far as the layer's symlinks say.
    Elsewhere(PathBuf),
}

/// How a walk along a path ended.
enum Walk {
    Arrived(PathBuf),
    Missing(PathBuf),
}

pub(super) struct Tree<'v> {
    root: BorrowedFd<'v>,
    confinement: Confinement,
    format: WhiteoutFormat,
    /// Owner of what this process makes.
    maker: Owner,
    /// Attributes of directories that no entry names.
    implicit: Attributes,
    current: Option<Rc<OpenDir>>,
    directories: BTreeMap<PathBuf, Directory>,
    /// Directories that were there before.
    before: BTreeMap<PathBuf, Before>,
    /// Hard links to files that this layer does not have: the link and the file.
    links: BTreeMap<PathBuf, PathBuf>,
    whiteouts: BTreeMap<PathBuf, ()>,
    /// In a volume that began as a copy of its parent: what this layer put there or went through, where it did not make
    /// the directory.
    own: BTreeMap<PathBuf, ()>,
}

/// What a tree leaves to be settled with the lower layers at hand.
#[derive(Default)]
pub(super) struct Unfinished {
    /// Directories that were made because something in them was, the root included unless it is named.
    pub(super) implicit: Vec<PathBuf>,
    /// Directories that show nothing of lower layers, the root not among them.
    pub(super) opaque: Vec<PathBuf>,
    pub(super) root_is_opaque: bool,
    pub(super) links: BTreeMap<PathBuf, PathBuf>,
    /// Names of lower layers that are hidden.
    pub(super) whiteouts: BTreeMap<PathBuf, ()>,
}

impl<'v> Tree<'v> {
    pub(super) fn new(
        root: BorrowedFd<'v>,
        confinement: Confinement,
        implicit_owner: Option<Owner>,
        format: WhiteoutFormat,
    ) -> Self {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let epoch = Timespec { tv_sec: 0, tv_nsec: 0 };
        Self {
            root,
            confinement,
            format,
            maker: Owner { uid, gid },
            implicit: Attributes { owner: implicit_owner, mode: 0o755, xattrs: Vec::new(), mtime: epoch },
            current: None,
            directories: BTreeMap::new(),
            before: BTreeMap::new(),
            links: BTreeMap::new(),
            whiteouts: BTreeMap::new(),
            own: BTreeMap::new(),
        }
    }

    /// The open parent directory of `path` and its name in there; missing directories are made. `None` for the root.
    pub(super) fn parent_of<'p>(&mut self, path: &'p Path) -> Result<Option<(Rc<OpenDir>, &'p OsStr)>, Error> {
        match path::split(path) {
            Some((parent, name)) => Ok(Some((self.enter(parent)?, name))),
            None => Ok(None),
        }
    }

    /// Opens the directory `named`; missing directories are made.
    pub(super) fn enter(&mut self, named: &Path) -> Result<Rc<OpenDir>, Error> {
        if let Some(place) = self.current.as_ref().filter(|place| place.named == named) {
            return Ok(place.clone());
        }
        let failed = |error| Error::creating("creating parent dir", named, error);
        let place = match self.open(named) {
            Ok(fd) => self.place(named, named.to_owned(), fd),
            Err(error) if is_detour(&error) => match self.walk(named, true)? {
                Walk::Arrived(real) | Walk::Missing(real) => {
                    self.open(&real).and_then(|fd| self.place(named, real, fd))
                }
            },
            Err(error) => Err(error),
        };
        let place = Rc::new(place.map_err(failed)?);
        self.claim(&place, None);
        self.current = Some(place.clone());
        Ok(place)
    }

    /// Finds `path` in what this layer has so far and makes nothing.
    pub(super) fn find(&mut self, path: &Path) -> Result<Whereabouts, Error> {
        let missing = |errno: Errno| Error::file("stat", path, errno);
        let Some((parent, name)) = path::split(path) else { return Err(missing(Errno::ISDIR)) };
        let (real, fd) = match self.open(parent) {
            Ok(fd) => (parent.to_owned(), fd),
            Err(error) if is_detour(&error) => match self.walk(parent, false)? {
                Walk::Arrived(real) => {
                    let fd = self.open(&real).map_err(|error| Error::file("opening", &real, error))?;
                    (real, fd)
                }
                Walk::Missing(real) => return self.elsewhere(real.join(name), path),
            },
            Err(error) => return Err(Error::file("opening", parent, error)),
        };
        match self.look(&real, &fd, name).map_err(|error| Error::file("stat", path, error))? {
            Some(stat) if is_whiteout(&stat) => Err(missing(Errno::NOENT)),
            Some(_) => {
                let place = self.place(parent, real, fd).map_err(|error| Error::file("stat", path, error))?;
                Ok(Whereabouts::Exists(Rc::new(place), name.to_owned()))
            }
            None => self.elsewhere(real.join(name), path),
        }
    }

    /// `path` without symlinks, as far as this layer says where they lead.
    pub(super) fn locate(&mut self, path: &Path) -> PathBuf {
        match self.find(path) {
            Ok(Whereabouts::Exists(place, name)) => place.real.join(name),
            Ok(Whereabouts::Elsewhere(real)) => real,
            Err(_) => path.to_owned(),
        }
    }

    /// A path that this layer does not have, unless the layer says that lower ones do not have it either.
    fn elsewhere(&self, real: PathBuf, named: &Path) -> Result<Whereabouts, Error> {
        let hides = |path: &Path| self.directories.get(path).is_some_and(|known| known.replaced || known.opaque);
        if real.ancestors().skip(1).any(hides) {
            return Err(Error::file("stat", named, Errno::NOENT));
        }
        Ok(Whereabouts::Elsewhere(real))
    }

    /// Makes something called `name` with `make`, which must fail if there is such a name. What is there goes.
    pub(super) fn create<T>(
        &mut self,
        place: &OpenDir,
        name: &OsStr,
        make: impl Fn(BorrowedFd<'_>, &OsStr) -> rustix::io::Result<T>,
    ) -> io::Result<T> {
        if !self.links.is_empty() {
            self.links.remove(&place.real.join(name));
        }
        let made = match make(place.fd.as_fd(), name) {
            Err(Errno::EXIST) => {
                self.vacate(place, name)?;
                make(place.fd.as_fd(), name)?
            }
            result => result?,
        };
        self.claim(place, Some(name));
        Ok(made)
    }

    /// Removes `name` with all below it.
    pub(super) fn vacate(&mut self, place: &OpenDir, name: &OsStr) -> io::Result<()> {
        // It may be, or lead to, the directory that entries were made in last.
        self.current = None;
        remove_entry(place.fd.as_fd(), name).map_err(PathError::into_source)?;
        let path = place.real.join(name);
        remove_below(&mut self.directories, &path);
        remove_below(&mut self.before, &path);
        remove_below(&mut self.links, &path);
        remove_below(&mut self.whiteouts, &path);
        remove_below(&mut self.own, &path);
        Ok(())
    }

    /// Moves `name` from one directory to another, which has no such name.
    pub(super) fn rename(&mut self, from: &OpenDir, to: &OpenDir, name: &OsStr) -> io::Result<()> {
        self.current = None;
        renameat(&from.fd, name, &to.fd, name)?;
        let (from, to) = (from.real.join(name), to.real.join(name));
        move_below(&mut self.directories, &from, &to);
        move_below(&mut self.before, &from, &to);
        Ok(())
    }

    /// Makes or takes over the directory `path` for an entry of its own.
    pub(super) fn add_directory(&mut self, path: &Path, attributes: Attributes) -> Result<(), Error> {
        let mut real = PathBuf::new();
        if let Some((place, name)) = self.parent_of(path)? {
            // Whatever its mode will be, entries are to be made in it first.
            let mode = attributes.mode & 0o777 | 0o700;
            self.make(&place, name, mode).map_err(|error| Error::creating("creating directory", path, error))?;
            real = place.real.join(name);
        }
        self.directories.entry(real).or_default().named = Some(attributes);
        Ok(())
    }

    /// Hides `path` of lower layers; what this layer has under the name stays.
    pub(super) fn hide(&mut self, path: &Path) -> Result<(), Error> {
        let Some((place, name)) = self.parent_of(path)? else { return Ok(()) };
        if self.format == WhiteoutFormat::Removal {
            let removed = self.remove_inherited(&place, name);
            return removed.map_err(|error| Error::file("deleting whiteout file", path, error));
        }
        let real = place.real.join(name);
        if self.links.contains_key(&real) {
            return Ok(());
        }
        let failed = |error| Error::file("failed to create whiteout node:", path, error);
        match self.format.hide(&place.fd, name) {
            Ok(()) => {
                self.whiteouts.insert(real, ());
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        let there = dirfd::stat_name(&place.fd, name).map_err(failed)?;
        if there.is_some_and(|stat| dirfd::file_type(&stat).is_dir()) {
            self.directories.entry(real).or_default().replaced = true;
        }
        Ok(())
    }

    /// Hides all that lower layers have in the directory `path`.
    pub(super) fn hide_content(&mut self, path: &Path) -> Result<(), Error> {
        let real = self.enter(path)?.real.clone();
        if self.format == WhiteoutFormat::Removal {
            let removed = self.remove_inherited_content(&real);
            return removed.map_err(|error| Error::file("cleaning up whiteout directory", path, error));
        }
        self.directories.entry(real).or_default().opaque = true;
        Ok(())
    }

    /// Notes a hard link to `old`, which is not in this layer. Where the volume has all that the parent has, it is not
    /// there either.
    pub(super) fn link_later(&mut self, place: &OpenDir, name: &OsStr, old: PathBuf) -> io::Result<()> {
        if self.format != WhiteoutFormat::Removal {
            self.vacate(place, name)?;
        }
        let old = self.links.get(&old).cloned().unwrap_or(old);
        self.links.insert(place.real.join(name), old);
        Ok(())
    }

    /// What a file made in `place` with `mode` can be relied on to have.
    pub(super) fn known(&self, place: &OpenDir, mode: u32) -> AlreadySet {
        if !place.pristine {
            return AlreadySet::default();
        }
        AlreadySet { owner: Some(self.maker), mode: self.confinement.own_filesystem_context.then_some(mode) }
    }

    /// Gives all directories their attributes, the deepest first, and puts back what changed of those that have none to
    /// get.
    pub(super) fn finish_directories(&mut self) -> Result<(), Error> {
        self.current = None;
        let before = std::mem::take(&mut self.before);
        let paths: BTreeSet<&Path> = self.directories.keys().chain(before.keys()).map(PathBuf::as_path).collect();
        for path in paths.into_iter().rev() {
            let failed = |error| Error::file("settling directory", path, error);
            let fd = self.open_to_settle(path).map_err(failed)?;
            let gets_attributes = match self.directories.get(path) {
                Some(directory) => self.apply_directory_metadata(fd.as_fd(), path, directory)?,
                None => false,
            };
            if let Some(before) = before.get(path).filter(|_| !gets_attributes) {
                before.restore(fd.as_fd()).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn open_to_settle(&self, path: &Path) -> io::Result<OwnedFd> {
        match dirfd::open_beneath(self.root, path, OFlags::RDONLY | DIRECTORY) {
            // Of an inherited directory an entry may say what it has and nothing else, so nobody has been let in yet.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let directory = dirfd::open_beneath(self.root, path, OFlags::PATH | DIRECTORY)?;
                before::open_closed(&directory, self.maker.uid)
            }
            opened => opened,
        }
    }

    /// Returns whether this layer says what attributes the directory has.
    fn apply_directory_metadata(&self, fd: BorrowedFd<'_>, path: &Path, directory: &Directory) -> Result<bool, Error> {
        let failed = |error| Error::file("settling directory", path, error);
        if directory.hides_lower() && !path.as_os_str().is_empty() {
            self.format.mark_opaque(fd).map_err(failed)?;
        }
        let made = directory.made.as_ref();
        let Some(attributes) = directory.named.as_ref().or(made.map(|_| &self.implicit)) else { return Ok(false) };
        if made.is_none() {
            inherited::remove_other_xattrs(fd, attributes).map_err(failed)?;
        }
        let target = Target::Open { file: fd, noun: "directory", path };
        attributes.apply(&target, made.map(|made| made.known).unwrap_or_default())?;
        Ok(true)
    }

    /// Directories made on the way to something and still there.
    pub(super) fn made(&self) -> impl Iterator<Item = &Path> {
        self.directories.iter().filter(|(_, known)| known.made.is_some()).map(|(path, _)| path.as_path())
    }

    /// Sets the attributes that the directory `path` is to get in the end.
    pub(super) fn set_attributes(&mut self, path: &Path, attributes: Attributes) {
        self.directories.entry(path.to_owned()).or_default().named = Some(attributes);
    }

    /// Makes the directory `path`, which was there before, as old as directories that no entry names.
    pub(super) fn set_time(&mut self, path: &Path) {
        let mtime = self.implicit.mtime;
        let times = Timestamps { last_access: mtime, last_modification: mtime };
        match self.before.get_mut(path) {
            Some(before) => before.times = times,
            None => drop(self.before.insert(path.to_owned(), Before::of_times(times))),
        }
    }

    /// What remains to be done: nothing where the parent was there from the beginning.
    pub(super) fn into_unsettled(self) -> Unfinished {
        if self.format == WhiteoutFormat::Removal {
            return Unfinished { links: self.links, ..Unfinished::default() };
        }
        let root = Path::new("");
        let mut implicit = Vec::new();
        if self.directories.get(root).is_none_or(|known| known.named.is_none()) {
            implicit.push(PathBuf::new());
        }
        let mut opaque = Vec::new();
        let mut root_is_opaque = false;
        for (path, directory) in self.directories {
            if path == root {
                root_is_opaque = directory.hides_lower();
                continue;
            }
            if directory.made.is_some() && directory.named.is_none() && !directory.replaced {
                implicit.push(path.clone());
            }
            if directory.hides_lower() {
                opaque.push(path);
            }
        }
        Unfinished { implicit, opaque, root_is_opaque, links: self.links, whiteouts: self.whiteouts }
    }

    fn open(&mut self, real: &Path) -> io::Result<OwnedFd> {
        match dirfd::open_beneath(self.root, real, OFlags::PATH | DIRECTORY) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                for directory in path::directories(real.parent().unwrap_or(real)) {
                    let fd = dirfd::open_beneath(self.root, directory, OFlags::PATH | DIRECTORY)?;
                    self.place(directory, directory.to_owned(), fd)?;
                }
                dirfd::open_beneath(self.root, real, OFlags::PATH | DIRECTORY)
            }
            opened => opened,
        }
    }

    fn place(&mut self, named: &Path, real: PathBuf, fd: OwnedFd) -> io::Result<OpenDir> {
        let pristine = self.take_over(&real, &fd)?;
        Ok(OpenDir { named: named.to_owned(), real, fd, pristine })
    }

    /// Gets a directory ready to be worked in. Returns whether it was made by this layer.
    fn take_over(&mut self, real: &Path, fd: &OwnedFd) -> io::Result<bool> {
        let pristine = self.is_made(real);
        if !pristine && !self.before.contains_key(real) {
            self.before.insert(real.to_owned(), Before::take_over(fd, self.maker.uid)?);
        }
        Ok(pristine)
    }

    /// The status of `name` in the open directory `real`.
    fn look(&mut self, real: &Path, fd: &OwnedFd, name: &OsStr) -> io::Result<Option<Stat>> {
        match dirfd::stat_name(fd, name) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                self.take_over(real, fd)?;
                dirfd::stat_name(fd, name)
            }
            found => found,
        }
    }

    /// Makes the directory `name` in `place` unless there is one.
    fn make(&mut self, place: &OpenDir, name: &OsStr, mode: u32) -> io::Result<()> {
        let path = place.real.join(name);
        let mut replaced = self.links.remove(&path).is_some();
        match mkdirat(&place.fd, name, Mode::from_raw_mode(mode)) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                if dirfd::stat_name(&place.fd, name)?.is_some_and(|stat| dirfd::file_type(&stat).is_dir()) {
                    return Ok(());
                }
                self.vacate(place, name)?;
                replaced = true;
                mkdirat(&place.fd, name, Mode::from_raw_mode(mode))?;
            }
            Err(errno) => return Err(errno.into()),
        }
        let made = Some(Made { known: self.known(place, mode) });
        self.directories.insert(path, Directory { made, replaced, ..Directory::default() });
        Ok(())
    }

    /// Follows `named` step by step, through symlinks too, as a process would whose root is the volume. With `make`,
    /// missing directories are made and the walk always arrives.
    fn walk(&mut self, named: &Path, make: bool) -> Result<Walk, Error> {
        let failed = |error: io::Error| Error::creating("creating parent dir", named, error);
        let mut route = Route::new(named);
        while let Some(step) = route.next() {
            let fd = self.open(route.real()).map_err(failed)?;
            let stat = self.look(route.real(), &fd, &step).map_err(failed)?;
            match stat.as_ref().map(dirfd::file_type) {
                Some(FileType::Directory) => route.enter(step),
                Some(FileType::Symlink) if !make || self.leads_to_a_directory(&route.real().join(&step)) => {
                    let text = dirfd::read_link(&fd, &step).map_err(failed)?;
                    route.follow(Path::new(&text)).map_err(|errno| failed(errno.into()))?;
                }
                None if !make => return Ok(Walk::Missing(route.missing(step))),
                Some(_) if !make || !self.gives_way(stat.as_ref(), &route.real().join(&step)) => {
                    return Err(failed(Errno::NOTDIR.into()));
                }
                None | Some(_) => {
                    let place = self.place(route.real(), route.real().to_owned(), fd).map_err(failed)?;
                    self.make(&place, &step, 0o755).map_err(failed)?;
                    route.enter(step);
                }
            }
        }
        Ok(Walk::Arrived(route.arrived()))
    }
}

impl Directory {
    fn hides_lower(&self) -> bool {
        self.replaced || self.opaque
    }
}

/// Whether a path may lead somewhere although it cannot be opened as it is.
fn is_detour(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ELOOP | libc::ENOTDIR))
}

/// Paths sort by component, so all that is below a path follows it.
fn remove_below<T>(map: &mut BTreeMap<PathBuf, T>, path: &Path) {
    take_below(map, path);
}

/// Has the map say of what is below `to` what it says of what is below `from`, `from` itself included.
fn move_below<T>(map: &mut BTreeMap<PathBuf, T>, from: &Path, to: &Path) {
    for (path, value) in take_below(map, from) {
        map.insert(path::moved(&path, from, to).unwrap_or(path), value);
    }
}

/// Removes and returns what the map has for `path` and all below it.
pub(super) fn take_below<T>(map: &mut BTreeMap<PathBuf, T>, path: &Path) -> Vec<(PathBuf, T)> {
    let below: Vec<PathBuf> =
        map.range(path.to_owned()..).map(|(key, _)| key).take_while(|key| key.starts_with(path)).cloned().collect();
    below.into_iter().filter_map(|key| map.remove_entry(&key)).collect()
}
