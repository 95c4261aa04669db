//! What a layer could not know while its parents were still being unpacked.
//!
//! An archive may go on where a lower layer left off: put a file into a directory it does not itself describe, link to
//! a file it does not contain, or go through a symlink it has never seen. Extraction notes these, and here, with the
//! lower volumes at hand, they are settled in the volume itself, so that the overlay of all of them shows what
//! extracting the layers one into the other would have made.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, OFlags, Stat, linkat, unlinkat};
use rustix::io::Errno;

use super::copyup::{copy_up, directory_attributes};
use super::error::Error;
use super::left_out::log_link;
use super::merged::{MergedFile, MergedView, leads_nowhere};
use super::path::{directories, split};
use super::path_map::{PathId, PathMap};
use super::tree::{Open, OpenDir, Tree, Unfinished};
use super::whiteout::is_whiteout;
use super::{Finished, LeftOut, Unpacked, WhiteoutFormat};
use crate::sys::confine::Confinement;
use crate::sys::dirfd;

/// Leaves out the links of a layer in a volume that has all that its parent has: what they lead to was not there.
pub(super) fn leave_out_links(unpacked: Unpacked, left_out_below: &LeftOut) -> Result<Finished, Error> {
    let mut left_out = unpacked.left_out;
    let Unfinished { paths, targets, .. } = unpacked.unsettled;
    for id in paths.top_down() {
        let Some(link) = paths.at(id).and_then(|open| open.link) else { continue };
        let (new, old) = (paths.path(id), targets.path(link));
        if !left_out_below.contains(&old) {
            return Err(Error::link(&old, &new, Errno::NOENT));
        }
        log_link(&old, &new);
        left_out.add(new);
    }
    Ok(Finished { size: unpacked.size, left_out, written: unpacked.written })
}

/// Settles what `unpacked` left open in `volume`, with the lower volumes `parents`, topmost first.
pub(super) fn finish(
    unpacked: Unpacked,
    volume: BorrowedFd<'_>,
    parents: &[BorrowedFd<'_>],
    left_out_below: &LeftOut,
    confinement: Confinement,
) -> Result<Finished, Error> {
    let mut whole = vec![volume];
    whole.extend_from_slice(parents);
    let Unfinished { paths, targets, detours } = unpacked.unsettled;
    let memory = targets.budget().clone();
    let mut finisher = Finisher {
        parents: MergedView::new(parents, unpacked.whiteouts),
        whole: MergedView::new(&whole, unpacked.whiteouts),
        tree: Tree::new(volume, confinement, unpacked.implicit_owner, unpacked.whiteouts, &memory),
        volume,
        confinement,
        paths,
        targets,
        format: unpacked.whiteouts,
        size: unpacked.size,
        left_out: unpacked.left_out,
        left_out_below,
    };
    finisher.tree.take_made();
    finisher.tree.continue_detours(detours);
    finisher.check_base(&unpacked.base)?;
    finisher.follow_lower_symlinks()?;
    finisher.make_links()?;
    finisher.remove_idle_whiteouts()?;
    finisher.hide_without_marks()?;
    finisher.finish_implicit()?;
    Ok(Finished { size: finisher.size, left_out: finisher.left_out, written: None })
}

struct Finisher<'a> {
    parents: MergedView<'a>,
    /// The volume itself and its parents.
    whole: MergedView<'a>,
    tree: Tree<'a>,
    volume: BorrowedFd<'a>,
    confinement: Confinement,
    paths: PathMap<Open>,
    /// Files that there are to be links to.
    targets: PathMap<()>,
    format: WhiteoutFormat,
    size: u64,
    left_out: LeftOut,
    /// What lower layers left out.
    left_out_below: &'a LeftOut,
}

impl Finisher<'_> {
    fn check_base(&mut self, base: &Path) -> Result<(), Error> {
        for path in directories(base) {
            let missing = |errno| Error::no_base_directory(path, errno);
            let found = self.parents.resolve(path).map_err(|error| Error::file("stat", path, error))?;
            let found = found.ok_or_else(|| missing(Errno::NOENT))?;
            if !is_directory(&found.stat) {
                return Err(missing(Errno::NOTDIR));
            }
        }
        Ok(())
    }

    /// Looks up all implicit directories. Where lower layers have a symlink to a directory, what this layer has moves
    /// to where that leads, as it would have been extracted there.
    fn follow_lower_symlinks(&mut self) -> Result<(), Error> {
        let mut ahead = vec![PathMap::<Open>::root()];
        while let Some(id) = ahead.pop() {
            let Some(open) = self.paths.at_mut(id) else {
                ahead.extend(self.paths.children(id));
                continue;
            };
            let is_implicit = open.is_implicit;
            if std::mem::replace(&mut open.is_looked_up, true) {
                self.tree.spend_detour().map_err(|error| Error::file("following", self.paths.path(id), error))?;
            }
            if is_implicit {
                let path = self.paths.path(id);
                if let Some(target) = self.lower_symlink_to_directory(&path)? {
                    ahead.extend(self.relocate(&path, &target)?);
                    continue;
                }
            }
            ahead.extend(self.paths.children(id));
        }
        Ok(())
    }

    /// Where lower layers' symlink at `path` leads, if they have one and that is a directory.
    fn lower_symlink_to_directory(&mut self, path: &Path) -> Result<Option<PathBuf>, Error> {
        let file = self.lower(path)?;
        if !file.is_some_and(|file| dirfd::file_type(&file.stat).is_symlink()) {
            return Ok(None);
        }
        let target = match self.parents.resolve(path) {
            Err(error) if leads_nowhere(&error) => None,
            target => target.map_err(|error| Error::file("following", path, error))?,
        };
        Ok(target.filter(|target| is_directory(&target.stat)).map(|target| target.path))
    }

    /// What lower layers have at `path`, unless this layer hides it.
    fn lower(&mut self, path: &Path) -> Result<Option<MergedFile>, Error> {
        if self.is_hidden(path) {
            return Ok(None);
        }
        self.parents.lookup(path).map_err(|error| Error::file("looking up", path, error))
    }

    /// Moves what is in the directory `from` of this volume to `to`, and removes `from`. Returns the directories whose
    /// content is to be looked up now.
    fn relocate(&mut self, from: &Path, to: &Path) -> Result<Vec<PathId>, Error> {
        self.tree.spend_detour().map_err(|error| Error::file("moving", from, error))?;
        let to = self.tree.enter(to)?.real.clone();
        if to.starts_with(from) {
            // A symlink of this layer leads back: it has its own idea of the two.
            return Ok(self.paths.find_id(from).map_or(Vec::new(), |id| self.paths.children(id)));
        }
        self.merge(from, &to).map_err(|error| Error::file("moving", from, error))?;
        // What was to be done about the directory itself is done, but for what it hides.
        let open = self.paths.find_id(from).and_then(|id| self.paths.take(id));
        let mut ahead = self.paths.move_below(from, &to, Open::with)?;
        if open.is_some_and(|open| open.is_opaque) {
            self.hide_content(&to).map_err(|error| Error::file("hiding the content of", &to, error))?;
        }
        ahead.extend(self.adopt_made()?);
        Ok(ahead)
    }

    /// Moves what is in `from` to `to`, and removes `from`. Where both directories have a name, directories are merged and
    /// otherwise the one from `from` stays; but what the layer adds stays where it is also deleted.
    fn merge(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (parent, from_name) = split(from).ok_or(Errno::INVAL)?;
        // Directories that both have, and that are worked on one after the other.
        let mut both: PathMap<()> = PathMap::new(self.paths.budget());
        let mut ahead = vec![both.id(Path::new(""))?];
        while let Some(id) = ahead.pop() {
            let within = both.path(id);
            let (from, to) = (from.join(&within), to.join(&within));
            let source = self.enter(&from)?;
            let target = self.enter(&to)?;
            let listed = dirfd::open_beneath(self.volume, &from, OFlags::RDONLY | OFlags::DIRECTORY)?;
            dirfd::each_name(&listed, |name| {
                if self.move_entry(name, &source, &target)? {
                    ahead.push(both.set_in(id, name, ())?);
                }
                Ok::<_, io::Error>(())
            })?;
        }
        let parent = self.enter(parent)?;
        self.tree.vacate(&parent, from_name)
    }

    /// Returns whether both directories have a directory of that name.
    fn move_entry(&mut self, name: &OsStr, source: &OpenDir, target: &OpenDir) -> io::Result<bool> {
        self.tree.spend_detour()?;
        match (dirfd::stat_name(&source.fd, name)?, dirfd::stat_name(&target.fd, name)?) {
            (None, _) | (_, None) => {}
            (Some(old), Some(there)) if is_directory(&old) && is_directory(&there) => return Ok(true),
            (Some(old), Some(there)) if is_whiteout(&old) => {
                if is_directory(&there) {
                    self.hide_content(&target.real.join(name))?;
                }
                return Ok(false);
            }
            (Some(old), Some(there)) if is_directory(&old) && is_whiteout(&there) => {
                self.hide_content(&source.real.join(name))?;
                self.tree.vacate(target, name)?;
            }
            (Some(_), Some(_)) => self.tree.vacate(target, name)?,
        }
        self.tree.rename(source, target, name)?;
        Ok(false)
    }

    /// Makes the directory `path` of this volume opaque.
    fn hide_content(&mut self, path: &Path) -> io::Result<()> {
        mark_opaque(self.format, self.volume, path)?;
        self.paths.entry(path)?.is_opaque = true;
        Ok(())
    }

    fn enter(&mut self, path: &Path) -> io::Result<Rc<OpenDir>> {
        self.tree.enter(path).map_err(io::Error::other)
    }

    /// Directories that were made on the way to something are implicit like those of the extraction. Returns them.
    fn adopt_made(&mut self) -> Result<Vec<PathId>, Error> {
        let mut made = Vec::new();
        for path in self.tree.take_made() {
            self.paths.entry(&path)?.is_implicit = true;
            made.extend(self.paths.find_id(&path));
        }
        Ok(made)
    }

    /// Makes the hard links to files of lower layers.
    fn make_links(&mut self) -> Result<(), Error> {
        // Which lower files have been copied, and for which link, if not to their own name.
        let mut copies: PathMap<Option<PathId>> = PathMap::new(self.paths.budget());
        for id in self.paths.top_down() {
            let Some(link) = self.paths.at(id).and_then(|open| open.link) else { continue };
            let (new, old) = (self.paths.path(id), self.targets.path(link));
            let source = match self.lower_file(&old) {
                Ok(source) if source.path == new && !self.is_hidden(&new) => continue,
                Err(error) if is_missing(&error) && self.left_out_below.contains(&old) => {
                    log_link(&old, &new);
                    self.left_out.add(new);
                    continue;
                }
                source => source.map_err(|error| Error::link(&old, &new, error))?,
            };
            if is_directory(&source.stat) {
                return Err(Error::link(&old, &new, Errno::PERM));
            }
            let copy = match copies.get(&source.path) {
                Some(Some(copy)) => self.paths.path(*copy),
                Some(None) => source.path,
                None => {
                    let is_at_own_name = self.copy_to(&source, &new)?;
                    *copies.entry(&source.path)? = (!is_at_own_name).then_some(id);
                    if is_at_own_name { source.path } else { new.clone() }
                }
            };
            if copy != new {
                self.link(&copy, &new)?;
            }
        }
        Ok(())
    }

    /// The lower layers' file at `path`, through whatever symlinks lead to its directory. It may be hidden by what the
    /// archive says further on.
    fn lower_file(&mut self, path: &Path) -> io::Result<MergedFile> {
        let (parent, name) = split(path).ok_or(Errno::PERM)?;
        // The volume changes with each copy, so what was seen of it before does not count.
        self.whole.forget();
        let directory = self.whole.resolve(parent)?.ok_or(Errno::NOENT)?;
        let file = self.parents.lookup(&directory.path.join(name))?;
        Ok(file.ok_or(Errno::NOENT)?)
    }

    /// Whether the layer hides what lower ones have at `path`.
    fn is_hidden(&self, path: &Path) -> bool {
        self.paths.any_above(path, |open| open.is_opaque)
    }

    /// Copies `source` to its own name or, if a later entry of this layer took that, to `new`. Returns whether it is its
    /// own name.
    fn copy_to(&mut self, source: &MergedFile, new: &Path) -> Result<bool, Error> {
        let own = &source.path;
        let there = match split(own) {
            Some((parent, name)) => {
                let place = self.tree.enter(parent)?;
                dirfd::stat_name(&place.fd, name).map_err(|error| Error::file("stat", own, error))?
            }
            None => None,
        };
        let path = if there.is_none() { own } else { new };
        if let Some((place, name)) = self.tree.parent_of(path)? {
            let size = copy_up(&self.parents, source, place.fd.as_fd(), name, path, self.confinement)?;
            self.size = self.size.saturating_add(size);
        }
        self.adopt_made()?;
        Ok(there.is_none())
    }

    fn link(&mut self, old: &Path, new: &Path) -> Result<(), Error> {
        let failed = |error: io::Error| Error::link(old, new, error);
        let (Some((old_parent, old_name)), Some((new_parent, new_name))) = (split(old), split(new)) else {
            return Err(failed(Errno::PERM.into()));
        };
        let (target, place) = (self.tree.enter(old_parent)?, self.tree.enter(new_parent)?);
        let made = self.tree.create(&place, new_name, |directory, name| {
            linkat(&target.fd, old_name, directory, name, AtFlags::empty())
        });
        made.map_err(failed)
    }

    /// Removes whiteouts of what no lower layer has. In a directory that only one layer has, an overlay would list them
    /// as names that cannot be opened.
    fn remove_idle_whiteouts(&mut self) -> Result<(), Error> {
        for id in self.paths.top_down() {
            if self.paths.at(id).is_none_or(|open| !open.is_whiteout) {
                continue;
            }
            let path = self.paths.path(id);
            if self.lower(&path)?.is_some() {
                continue;
            }
            let Some((place, name)) = self.tree.parent_of(&path)? else { continue };
            let failed = |error| Error::file("removing whiteout", &path, error);
            if dirfd::stat_name(&place.fd, name).map_err(failed)?.is_some_and(|stat| is_whiteout(&stat)) {
                unlinkat(&place.fd, name, AtFlags::empty()).map_err(|errno| failed(errno.into()))?;
            }
        }
        Ok(())
    }

    /// Hides each entry of lower layers by itself in opaque directories that cannot be marked as such: the root, which an
    /// overlay does not ask, and all of them in formats without such marks.
    fn hide_without_marks(&mut self) -> Result<(), Error> {
        let root = PathMap::<Open>::root();
        for id in self.paths.top_down() {
            let is_opaque = self.paths.at(id).is_some_and(|open| open.is_opaque);
            if is_opaque && (id == root || !self.format.has_opaque_mark()) {
                self.hide_lower_entries(self.paths.path(id))?;
            }
        }
        Ok(())
    }

    fn hide_lower_entries(&mut self, top: PathBuf) -> Result<(), Error> {
        // Directories of both, which are worked on one after the other.
        let mut both: PathMap<()> = PathMap::new(self.paths.budget());
        let mut ahead = vec![both.id(&top)?];
        while let Some(id) = ahead.pop() {
            let path = &both.path(id);
            let failed = |error: io::Error| Error::file("hiding the content of", path, error);
            let place = self.tree.enter(path)?;
            let Self { parents, paths, format, volume, .. } = self;
            let hidden = parents.each_file(path, |_, name, _| {
                match dirfd::stat_name(&place.fd, name)? {
                    None => format.hide(&place.fd, name)?,
                    Some(stat) if is_directory(&stat) && format.has_opaque_mark() => {
                        mark_opaque(*format, *volume, &path.join(name))?;
                        paths.entry(&path.join(name))?.is_opaque = true;
                    }
                    Some(stat) if is_directory(&stat) => ahead.push(both.set_in(id, name, ())?),
                    Some(_) => {}
                }
                Ok::<_, io::Error>(())
            });
            hidden.map_err(failed)?;
        }
        Ok(())
    }

    /// Gives implicit directories the attributes of the lower layers' directories that they continue.
    fn finish_implicit(&mut self) -> Result<(), Error> {
        for id in self.paths.top_down() {
            if self.paths.at(id).is_none_or(|open| !open.is_implicit) {
                continue;
            }
            let path = self.paths.path(id);
            let Some(file) = self.lower(&path)? else {
                if path.as_os_str().is_empty() {
                    self.tree.set_time(&path)?;
                }
                continue;
            };
            if is_directory(&file.stat) {
                let failed = |error| Error::file("settling directory", &path, error);
                let attributes = directory_attributes(&self.parents, &file).map_err(failed)?;
                self.tree.set_attributes(&path, attributes)?;
            }
        }
        self.tree.finish_directories()
    }
}

/// Makes the directory `path` of `volume` opaque where a mark does that.
fn mark_opaque(format: WhiteoutFormat, volume: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    if format.has_opaque_mark() {
        format.mark_opaque(dirfd::open_beneath(volume, path, OFlags::RDONLY | OFlags::DIRECTORY)?)?;
    }
    Ok(())
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn is_directory(stat: &Stat) -> bool {
    dirfd::file_type(stat).is_dir()
}
