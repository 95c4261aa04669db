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
mod descent;
mod finish;
mod inherited;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, Stat, Timespec, Timestamps, mkdirat, renameat};
use rustix::io::Errno;

use super::attributes::{AlreadySet, Attributes, Owner};
use super::detours::Detours;
use super::error::Error;
use super::path;
use super::path_map::{PathId, PathMap};
use super::route::Route;
use super::whiteout::{WhiteoutFormat, is_whiteout};
use crate::archive::Xattr;
use crate::limits::{Exceeded, MemoryBudget};
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
    /// What is noted of it, where that is at hand.
    id: Option<PathId>,
}

/// What is known of a directory that this layer made, named or marked.
#[derive(Default)]
pub(super) struct Directory {
    /// This layer made it, and so it has these attributes.
    made: Option<AlreadySet>,
    /// What an entry of its own says.
    named: Option<Attributes>,
    /// It took the place of something else, or its name was whited out: lower layers' directory is gone.
    replaced: bool,
    /// What lower layers have in it is gone.
    opaque: bool,
}

/// Where a path leads that may not exist.
pub(super) enum Whereabouts {
    Exists(OpenDir, OsString),
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
    notes: PathMap<Note>,
    /// Directories that were there before.
    before: PathMap<Box<Before>>,
    /// Files that this layer has hard links to and does not have.
    targets: PathMap<()>,
    has_links: bool,
    detours: Detours,
    /// Directories made since they were last asked for, if anybody asks.
    made: Option<Vec<PathBuf>>,
}

/// What is known of a path that this layer has something to say of.
#[derive(Default)]
struct Note {
    directory: Option<Box<Directory>>,
    /// It is a hard link to one of [`Tree::targets`].
    link: Option<PathId>,
    /// Lower layers' file of this name is hidden.
    is_whiteout: bool,
    /// In a volume that began as a copy of its parent: this layer put it there or went through it, and did not make the
    /// directory it is in.
    is_own: bool,
}

impl Note {
    fn directory(&mut self) -> &mut Directory {
        self.directory.get_or_insert_default()
    }

    fn hides_lower(&self) -> bool {
        self.directory.as_ref().is_some_and(|directory| directory.hides_lower())
    }
}

/// What a tree leaves to be settled with the lower layers at hand.
pub(super) struct Unfinished {
    pub(super) paths: PathMap<Open>,
    /// Files of lower layers that the layer has hard links to.
    pub(super) targets: PathMap<()>,
    /// What is left of them.
    pub(super) detours: Detours,
}

impl Unfinished {
    /// Whether there are hard links to files that the layer does not have.
    pub(super) fn has_links(&self) -> bool {
        self.targets.has_below(Path::new(""))
    }

    /// Whether there is anything that only a look at lower layers can decide.
    pub(super) fn needs_parents(&self, format: WhiteoutFormat) -> bool {
        let root = PathMap::<Open>::root();
        // An overlay sees the mark of an opaque directory, but not that of the root.
        let is_marked = |id: PathId| format.has_opaque_mark() && id != root;
        let settles_itself = |id: PathId| {
            let open = self.paths.at(id);
            open.is_none_or(|open| {
                !open.is_implicit && !open.is_whiteout && open.link.is_none() && (!open.is_opaque || is_marked(id))
            })
        };
        !self.paths.top_down().into_iter().all(settles_itself)
    }
}

/// What is still to be done about a path. Nothing is noted of others.
#[derive(Default)]
pub(super) struct Open {
    /// A directory that was made because something in it was, or the root, if it is not named.
    pub(super) is_implicit: bool,
    /// A directory that shows nothing of lower layers.
    pub(super) is_opaque: bool,
    /// It hides what lower layers have.
    pub(super) is_whiteout: bool,
    /// A hard link to a file of lower layers.
    pub(super) link: Option<PathId>,
    /// An implicit directory that has been looked up in lower layers.
    pub(super) is_looked_up: bool,
}

impl<'v> Tree<'v> {
    pub(super) fn new(
        root: BorrowedFd<'v>,
        confinement: Confinement,
        implicit_owner: Option<Owner>,
        format: WhiteoutFormat,
        memory: &Arc<MemoryBudget>,
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
            notes: PathMap::new(memory),
            before: PathMap::new(memory),
            targets: PathMap::new(memory),
            has_links: false,
            detours: Detours::default(),
            made: None,
        }
    }

    /// The directories made since the last call, on the way to something; at first none.
    pub(super) fn take_made(&mut self) -> Vec<PathBuf> {
        self.made.replace(Vec::new()).unwrap_or_default()
    }

    /// Goes on with what another tree left.
    pub(super) fn continue_detours(&mut self, detours: Detours) {
        self.detours = detours;
    }

    /// Counts one more thing that is only done for where a symlink leads.
    pub(super) fn spend_detour(&mut self) -> io::Result<()> {
        Ok(self.detours.spend(1)?)
    }

    /// Counts one more entry of the layer, which may go its ways.
    pub(super) fn allow_entry(&mut self) {
        self.detours.allow_entry();
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
        self.claim(&place, None)?;
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
                Ok(Whereabouts::Exists(place, name.to_owned()))
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
        if self.notes.any_above(&real, Note::hides_lower) {
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
        if self.has_links {
            self.forget_link(&place.real.join(name));
        }
        let made = match make(place.fd.as_fd(), name) {
            Err(Errno::EXIST) => {
                self.vacate(place, name)?;
                make(place.fd.as_fd(), name)?
            }
            result => result?,
        };
        self.claim(place, Some(name))?;
        Ok(made)
    }

    /// Returns whether there was to be a link.
    fn forget_link(&mut self, path: &Path) -> bool {
        let is_link = self.notes.get(path).is_some_and(|note| note.link.is_some());
        if is_link {
            // A link is no directory, nor anything else that is noted.
            self.notes.remove(path);
        }
        is_link
    }

    /// Removes `name` with all below it.
    pub(super) fn vacate(&mut self, place: &OpenDir, name: &OsStr) -> io::Result<()> {
        // It may be, or lead to, the directory that entries were made in last.
        self.current = None;
        remove_entry(place.fd.as_fd(), name).map_err(PathError::into_source)?;
        let path = place.real.join(name);
        self.notes.remove_below(&path);
        self.before.remove_below(&path);
        Ok(())
    }

    /// Moves `name` from one directory to another, which has no such name.
    pub(super) fn rename(&mut self, from: &OpenDir, to: &OpenDir, name: &OsStr) -> io::Result<()> {
        self.current = None;
        renameat(&from.fd, name, &to.fd, name)?;
        let (from, to) = (from.real.join(name), to.real.join(name));
        self.notes.move_below(&from, &to, |from, _| from)?;
        self.before.move_below(&from, &to, |from, _| from)?;
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
        self.set_attributes(&real, attributes)
    }

    /// Hides `path` of lower layers; what this layer has under the name stays.
    pub(super) fn hide(&mut self, path: &Path) -> Result<(), Error> {
        let Some((place, name)) = self.parent_of(path)? else { return Ok(()) };
        if self.format == WhiteoutFormat::Removal {
            let removed = self.remove_inherited(&place, name);
            return removed.map_err(|error| Error::file("deleting whiteout file", path, error));
        }
        let real = place.real.join(name);
        if self.has_links && self.notes.get(&real).is_some_and(|note| note.link.is_some()) {
            return Ok(());
        }
        let failed = |error| Error::file("failed to create whiteout node:", path, error);
        match self.format.hide(&place.fd, name) {
            Ok(()) => {
                self.notes.entry(&real)?.is_whiteout = true;
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        let there = dirfd::stat_name(&place.fd, name).map_err(failed)?;
        if there.is_some_and(|stat| dirfd::file_type(&stat).is_dir()) {
            self.directory(&real)?.replaced = true;
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
        self.directory(&real)?.opaque = true;
        Ok(())
    }

    /// Notes a hard link to `old`, which is not in this layer. Where the volume has all that the parent has, it is not
    /// there either.
    pub(super) fn link_later(&mut self, place: &OpenDir, name: &OsStr, old: &Path) -> io::Result<()> {
        if self.format != WhiteoutFormat::Removal {
            self.vacate(place, name)?;
        }
        // It may be a link itself.
        let link = match self.notes.get(old).and_then(|note| note.link) {
            Some(first) => first,
            None => self.targets.id(old)?,
        };
        self.notes.entry(&place.real.join(name))?.link = Some(link);
        self.has_links = true;
        Ok(())
    }

    /// What a file made in `place` with `mode` can be relied on to have.
    pub(super) fn known(&self, place: &OpenDir, mode: u32) -> AlreadySet {
        if !place.pristine {
            return AlreadySet::default();
        }
        AlreadySet { owner: Some(self.maker), mode: self.confinement.own_filesystem_context.then_some(mode) }
    }

    /// Sets the attributes that the directory `path` is to get in the end.
    pub(super) fn set_attributes(&mut self, path: &Path, attributes: Attributes) -> Result<(), Error> {
        let held: usize = attributes.xattrs.iter().map(Xattr::memory).sum();
        if held > 0 {
            self.notes.reserve(held)?;
        }
        self.directory(path)?.named = Some(attributes);
        Ok(())
    }

    fn directory(&mut self, path: &Path) -> Result<&mut Directory, Exceeded> {
        if self.notes.get(path).is_none_or(|note| note.directory.is_none()) {
            self.notes.reserve(size_of::<Directory>())?;
        }
        Ok(self.notes.entry(path)?.directory())
    }

    /// Makes the directory `path`, which was there before, as old as directories that no entry names.
    pub(super) fn set_time(&mut self, path: &Path) -> Result<(), Error> {
        let mtime = self.implicit.mtime;
        let times = Timestamps { last_access: mtime, last_modification: mtime };
        match self.before.get_mut(path) {
            Some(before) => before.times = times,
            None => drop(self.before.set(path, Box::new(Before::of_times(times)))?),
        }
        Ok(())
    }

    /// What remains to be done: nothing where the parent was there from the beginning.
    pub(super) fn into_unsettled(self) -> Result<Unfinished, Error> {
        let Self { mut notes, targets, format, detours, .. } = self;
        let mut paths: PathMap<Open> = PathMap::new(targets.budget());
        if format == WhiteoutFormat::Removal {
            for id in notes.top_down() {
                if let Some(link) = notes.at(id).and_then(|note| note.link) {
                    paths.entry(&notes.path(id))?.link = Some(link);
                }
            }
            return Ok(Unfinished { paths, targets, detours });
        }
        if notes.get(Path::new("")).is_none_or(|note| !note.is_named()) {
            paths.entry(Path::new(""))?.is_implicit = true;
        }
        for id in notes.top_down() {
            let Some(note) = notes.take(id) else { continue };
            let open = note.open(id == PathMap::<Note>::root());
            if open.is_implicit || open.is_opaque || open.is_whiteout || open.link.is_some() {
                let path = notes.path(id);
                let is_implicit = open.is_implicit || paths.get(&path).is_some_and(|open| open.is_implicit);
                *paths.entry(&path)? = Open { is_implicit, ..open };
            }
        }
        Ok(Unfinished { paths, targets, detours })
    }

    fn open(&mut self, real: &Path) -> io::Result<OwnedFd> {
        match dirfd::open_beneath(self.root, real, OFlags::PATH | DIRECTORY) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => self.open_closed(real),
            opened => opened,
        }
    }

    /// Opens a directory behind others that do not let their owner through.
    fn open_closed(&mut self, real: &Path) -> io::Result<OwnedFd> {
        let mut here = dirfd::open_beneath(self.root, Path::new(""), OFlags::PATH | DIRECTORY)?;
        let mut way = PathBuf::new();
        for name in real.iter() {
            here = match dirfd::open_beneath(&here, Path::new(name), OFlags::PATH | DIRECTORY) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    self.take_over(&way, &here)?;
                    dirfd::open_beneath(&here, Path::new(name), OFlags::PATH | DIRECTORY)?
                }
                opened => opened?,
            };
            way.push(name);
        }
        Ok(here)
    }

    fn place(&mut self, named: &Path, real: PathBuf, fd: OwnedFd) -> io::Result<OpenDir> {
        let pristine = self.take_over(&real, &fd)?;
        Ok(OpenDir { named: named.to_owned(), real, fd, pristine, id: None })
    }

    /// Gets a directory ready to be worked in. Returns whether it was made by this layer.
    fn take_over(&mut self, real: &Path, fd: &OwnedFd) -> io::Result<bool> {
        let pristine = self.is_made(real);
        if !pristine && self.before.get(real).is_none() {
            self.before.reserve(size_of::<Before>())?;
            self.before.set(real, Box::new(Before::take_over(fd, self.maker.uid)?))?;
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

    /// Makes the directory `name` in `place` unless there is one. Returns what is noted of it, if it was made.
    fn make(&mut self, place: &OpenDir, name: &OsStr, mode: u32) -> io::Result<Option<PathId>> {
        let mut replaced = self.has_links && self.forget_link(&place.real.join(name));
        match mkdirat(&place.fd, name, Mode::from_raw_mode(mode)) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                if dirfd::stat_name(&place.fd, name)?.is_some_and(|stat| dirfd::file_type(&stat).is_dir()) {
                    return Ok(None);
                }
                self.vacate(place, name)?;
                replaced = true;
                mkdirat(&place.fd, name, Mode::from_raw_mode(mode))?;
            }
            Err(errno) => return Err(errno.into()),
        }
        let directory = Directory { made: Some(self.known(place, mode)), replaced, ..Directory::default() };
        let note = Note { directory: Some(Box::new(directory)), ..Note::default() };
        self.notes.reserve(size_of::<Directory>())?;
        let id = match place.id {
            Some(parent) => self.notes.set_in(parent, name, note)?,
            None => self.notes.set(&place.real.join(name), note)?,
        };
        if let Some(made) = &mut self.made {
            made.push(place.real.join(name));
        }
        Ok(Some(id))
    }

    /// Follows `named` step by step, through symlinks too, as a process would whose root is the volume. With `make`,
    /// missing directories are made and the walk always arrives. Each step is taken from the directory before it.
    fn walk(&mut self, named: &Path, make: bool) -> Result<Walk, Error> {
        let failed = |error: io::Error| Error::creating("creating parent dir", named, error);
        let mut route = Route::new(named);
        let mut here = self.open(Path::new("")).map_err(failed)?;
        // Of a directory that the walk itself made.
        let mut here_made: Option<PathId> = None;
        while let Some(step) = route.next() {
            if route.take_jump() {
                (here, here_made) = (self.open(route.real()).map_err(failed)?, None);
            }
            if let Ok(next) = dirfd::open_beneath(&here, Path::new(&step), OFlags::PATH | DIRECTORY) {
                (here, here_made) = (next, None);
                route.enter(step);
                continue;
            }
            let stat = self.look(route.real(), &here, &step).map_err(failed)?;
            match stat.as_ref().map(dirfd::file_type) {
                Some(FileType::Directory) => {
                    here = dirfd::open_beneath(&here, Path::new(&step), OFlags::PATH | DIRECTORY).map_err(failed)?;
                    here_made = None;
                    route.enter(step);
                }
                Some(FileType::Symlink) if !make || self.leads_to_a_directory(&route.real().join(&step)) => {
                    let text = dirfd::read_link(&here, &step).map_err(failed)?;
                    let names = route.follow(Path::new(&text)).map_err(|errno| failed(errno.into()))?;
                    self.detours.spend(names).map_err(|errno| failed(errno.into()))?;
                }
                None if !make => return Ok(Walk::Missing(route.missing(step))),
                Some(_) if !make || !self.gives_way(stat.as_ref(), &route.real().join(&step)) => {
                    return Err(failed(Errno::NOTDIR.into()));
                }
                None | Some(_) => {
                    let real = route.real().to_owned();
                    let pristine =
                        if here_made.is_some() { true } else { self.take_over(&real, &here).map_err(failed)? };
                    let place = OpenDir { named: PathBuf::new(), real, fd: here, pristine, id: here_made };
                    here_made = self.make(&place, &step, 0o755).map_err(failed)?;
                    let made = dirfd::open_beneath(&place.fd, Path::new(&step), OFlags::PATH | DIRECTORY);
                    here = made.map_err(failed)?;
                    route.enter(step);
                }
            }
        }
        Ok(Walk::Arrived(route.arrived()))
    }
}

impl Note {
    fn is_named(&self) -> bool {
        self.directory.as_ref().is_some_and(|directory| directory.named.is_some())
    }

    /// What is to be done about it with the lower layers at hand.
    fn open(&self, is_root: bool) -> Open {
        let directory = self.directory.as_ref();
        let is_implicit = |directory: &Directory| {
            !is_root && directory.made.is_some() && directory.named.is_none() && !directory.replaced
        };
        Open {
            is_implicit: directory.is_some_and(|directory| is_implicit(directory)),
            is_opaque: self.hides_lower(),
            is_whiteout: self.is_whiteout,
            link: self.link,
            is_looked_up: false,
        }
    }
}

impl Open {
    /// Both, where one path comes to another.
    pub(super) fn with(self, there: Self) -> Self {
        Self {
            is_implicit: self.is_implicit || there.is_implicit,
            is_opaque: self.is_opaque || there.is_opaque,
            is_whiteout: self.is_whiteout || there.is_whiteout,
            link: self.link.or(there.link),
            is_looked_up: self.is_looked_up,
        }
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
