//! What a layer could not know while its parents were still being unpacked.
//!
//! An archive may go on where a lower layer left off: put a file into a directory it does not itself describe, link to
//! a file it does not contain, or go through a symlink it has never seen. Extraction notes these, and here, with the
//! lower volumes at hand, they are settled in the volume itself, so that the overlay of all of them shows what
//! extracting the layers one into the other would have made.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{AtFlags, OFlags, Stat, linkat, unlinkat};
use rustix::io::Errno;

use super::copyup::{copy_up, directory_attributes};
use super::error::Error;
use super::left_out::log_link;
use super::merged::{MergedFile, MergedView};
use super::path::{directories, moved, split};
use super::tree::{OpenDir, Tree, take_below};
use super::whiteout::is_whiteout;
use super::{Finished, LeftOut, Unpacked, WhiteoutFormat};
use crate::sys::confine::Confinement;
use crate::sys::dirfd;

/// Leaves out the links of a layer in a volume that has all that its parent has: what they lead to was not there.
pub(super) fn leave_out_links(unpacked: Unpacked, left_out_below: &LeftOut) -> Result<Finished, Error> {
    let mut left_out = unpacked.left_out;
    for (new, old) in unpacked.unsettled.links {
        if !left_out_below.contains(&old) {
            return Err(Error::link(&old, &new, Errno::NOENT));
        }
        log_link(&old, &new);
        left_out.add(new);
    }
    Ok(Finished { size: unpacked.size, left_out })
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
    let mut finisher = Finisher {
        parents: MergedView::new(parents, unpacked.whiteouts),
        whole,
        tree: Tree::new(volume, confinement, unpacked.implicit_owner, unpacked.whiteouts),
        volume,
        confinement,
        opaque: unpacked.unsettled.opaque.into_iter().map(|path| (path, ())).collect(),
        implicit: unpacked.unsettled.implicit.into_iter().map(|path| (path, ())).collect(),
        links: unpacked.unsettled.links,
        whiteouts: unpacked.unsettled.whiteouts,
        format: unpacked.whiteouts,
        size: unpacked.size,
        left_out: unpacked.left_out,
        left_out_below,
    };
    if unpacked.unsettled.root_is_opaque {
        finisher.opaque.insert(PathBuf::new(), ());
    }
    finisher.check_base(&unpacked.base)?;
    let found = finisher.follow_lower_symlinks()?;
    finisher.make_links()?;
    finisher.remove_idle_whiteouts()?;
    finisher.hide_without_marks()?;
    finisher.finish_implicit(found)?;
    Ok(Finished { size: finisher.size, left_out: finisher.left_out })
}

struct Finisher<'a> {
    parents: MergedView<'a>,
    /// The volume itself and its parents.
    whole: Vec<BorrowedFd<'a>>,
    tree: Tree<'a>,
    volume: BorrowedFd<'a>,
    confinement: Confinement,
    /// Directories that show nothing of lower layers.
    opaque: BTreeMap<PathBuf, ()>,
    /// Directories to be settled.
    implicit: BTreeMap<PathBuf, ()>,
    links: BTreeMap<PathBuf, PathBuf>,
    whiteouts: BTreeMap<PathBuf, ()>,
    format: WhiteoutFormat,
    size: u64,
    left_out: LeftOut,
    /// What lower layers left out.
    left_out_below: &'a LeftOut,
}

/// Implicit directories, each with what lower layers have in its place.
type Found = BTreeMap<PathBuf, Option<MergedFile>>;

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
    fn follow_lower_symlinks(&mut self) -> Result<Found, Error> {
        let mut found = Found::new();
        while let Some((path, ())) = self.implicit.pop_first() {
            let file = self.lower(&path)?;
            let is_symlink = file.as_ref().is_some_and(|file| dirfd::file_type(&file.stat).is_symlink());
            if !is_symlink {
                found.insert(path, file);
                continue;
            }
            let target = match self.parents.resolve(&path) {
                Err(error) if leads_nowhere(&error) => None,
                target => target.map_err(|error| Error::file("following", &path, error))?,
            };
            match target.filter(|target| is_directory(&target.stat)) {
                Some(target) => self.relocate(&path, &target.path, &mut found)?,
                None => {
                    found.insert(path, None);
                }
            }
        }
        Ok(found)
    }

    /// What lower layers have at `path`, unless this layer hides it.
    fn lower(&mut self, path: &Path) -> Result<Option<MergedFile>, Error> {
        if self.is_hidden(path) {
            return Ok(None);
        }
        self.parents.lookup(path).map_err(|error| Error::file("looking up", path, error))
    }

    /// Moves what is in the directory `from` of this volume to `to`, and removes `from`.
    fn relocate(&mut self, from: &Path, to: &Path, found: &mut Found) -> Result<(), Error> {
        let to = self.tree.enter(to)?.real.clone();
        if to.starts_with(from) {
            // A symlink of this layer leads back: it has its own idea of the two.
            found.insert(from.to_owned(), None);
            return Ok(());
        }
        self.merge(from, &to).map_err(|error| Error::file("moving", from, error))?;
        for (new, old) in take_below(&mut self.links, from) {
            self.links.insert(rebased(&new, from, &to), old);
        }
        for (path, ()) in take_below(&mut self.implicit, from) {
            self.implicit.insert(rebased(&path, from, &to), ());
        }
        for (path, ()) in take_below(&mut self.whiteouts, from) {
            self.whiteouts.insert(rebased(&path, from, &to), ());
        }
        for (path, _) in take_below(found, from) {
            self.implicit.insert(rebased(&path, from, &to), ());
        }
        for (path, ()) in take_below(&mut self.opaque, from) {
            let path = rebased(&path, from, &to);
            if path == to {
                self.hide_content(&to).map_err(|error| Error::file("hiding the content of", &to, error))?;
            }
            self.opaque.insert(path, ());
        }
        self.adopt_made();
        Ok(())
    }

    /// Where both directories have a name, directories are merged and otherwise the one from `from` stays; but what the
    /// layer adds stays where it is also deleted.
    fn merge(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (parent, from_name) = split(from).ok_or(Errno::INVAL)?;
        let source = self.enter(from)?;
        let target = self.enter(to)?;
        for name in dirfd::names(dirfd::open_beneath(self.volume, from, OFlags::RDONLY | OFlags::DIRECTORY)?)? {
            match (dirfd::stat_name(&source.fd, &name)?, dirfd::stat_name(&target.fd, &name)?) {
                (None, _) | (_, None) => {}
                (Some(old), Some(there)) if is_directory(&old) && is_directory(&there) => {
                    self.merge(&from.join(&name), &to.join(&name))?;
                    continue;
                }
                (Some(old), Some(there)) if is_whiteout(&old) => {
                    if is_directory(&there) {
                        self.hide_content(&to.join(&name))?;
                    }
                    continue;
                }
                (Some(old), Some(there)) if is_directory(&old) && is_whiteout(&there) => {
                    self.hide_content(&from.join(&name))?;
                    self.tree.vacate(&target, &name)?;
                }
                (Some(_), Some(_)) => self.tree.vacate(&target, &name)?,
            }
            self.tree.rename(&source, &target, &name)?;
        }
        let parent = self.enter(parent)?;
        self.tree.vacate(&parent, from_name)
    }

    /// Makes the directory `path` of this volume opaque.
    fn hide_content(&mut self, path: &Path) -> io::Result<()> {
        if self.format.has_opaque_mark() {
            self.format.mark_opaque(dirfd::open_beneath(self.volume, path, OFlags::RDONLY | OFlags::DIRECTORY)?)?;
        }
        self.opaque.insert(path.to_owned(), ());
        Ok(())
    }

    fn enter(&mut self, path: &Path) -> io::Result<Rc<OpenDir>> {
        self.tree.enter(path).map_err(io::Error::other)
    }

    /// Directories that were made on the way to something are implicit like those of the extraction.
    fn adopt_made(&mut self) {
        self.implicit.extend(self.tree.made().map(|path| (path.to_owned(), ())));
    }

    /// Makes the hard links to files of lower layers.
    fn make_links(&mut self) -> Result<(), Error> {
        // Where the copy of a lower file is, once there is one.
        let mut copies: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
        for (new, old) in std::mem::take(&mut self.links) {
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
                Some(copy) => copy.clone(),
                None => self.copy_to(&source, &new)?,
            };
            if copy != new {
                self.link(&copy, &new)?;
            }
            copies.insert(source.path, copy);
        }
        Ok(())
    }

    /// The lower layers' file at `path`, through whatever symlinks lead to its directory. It may be hidden by what the
    /// archive says further on.
    fn lower_file(&mut self, path: &Path) -> io::Result<MergedFile> {
        let (parent, name) = split(path).ok_or(Errno::PERM)?;
        // The volume changes with each copy, so what was seen of it before does not count.
        let directory = MergedView::new(&self.whole, self.format).resolve(parent)?.ok_or(Errno::NOENT)?;
        let file = self.parents.lookup(&directory.path.join(name))?;
        Ok(file.ok_or(Errno::NOENT)?)
    }

    /// Whether the layer hides what lower ones have at `path`.
    fn is_hidden(&self, path: &Path) -> bool {
        path.ancestors().skip(1).any(|above| self.opaque.contains_key(above))
    }

    /// Copies `source` to its own name or, if a later entry of this layer took that, to `new`. Returns which.
    fn copy_to(&mut self, source: &MergedFile, new: &Path) -> Result<PathBuf, Error> {
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
        self.adopt_made();
        Ok(path.to_owned())
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
        for (path, ()) in std::mem::take(&mut self.whiteouts) {
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
        let has_mark = |path: &Path| self.format.has_opaque_mark() && !path.as_os_str().is_empty();
        let unmarked: Vec<PathBuf> = self.opaque.keys().filter(|path| !has_mark(path)).cloned().collect();
        for path in unmarked {
            self.hide_lower_entries(&path)?;
        }
        Ok(())
    }

    fn hide_lower_entries(&mut self, path: &Path) -> Result<(), Error> {
        let failed = |error: io::Error| Error::file("hiding the content of", path, error);
        let place = self.tree.enter(path)?;
        for (name, _) in self.parents.read_dir(path).map_err(failed)? {
            match dirfd::stat_name(&place.fd, &name).map_err(failed)? {
                None => self.format.hide(&place.fd, &name).map_err(failed)?,
                Some(stat) if is_directory(&stat) && self.format.has_opaque_mark() => {
                    self.hide_content(&path.join(name)).map_err(failed)?;
                }
                Some(stat) if is_directory(&stat) => self.hide_lower_entries(&path.join(name))?,
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Gives implicit directories the attributes of the lower layers' directories that they continue.
    fn finish_implicit(&mut self, mut found: Found) -> Result<(), Error> {
        while let Some((path, ())) = self.implicit.pop_first() {
            let file = self.lower(&path)?;
            found.insert(path, file);
        }
        if found.get(Path::new("")).is_some_and(Option::is_none) {
            self.tree.set_time(Path::new(""));
        }
        for (path, file) in found.iter().rev() {
            let Some(file) = file.as_ref().filter(|file| is_directory(&file.stat)) else {
                continue;
            };
            let failed = |error| Error::file("settling directory", path, error);
            let attributes = directory_attributes(&self.parents, file).map_err(failed)?;
            self.tree.set_attributes(path, attributes);
        }
        self.tree.finish_directories()
    }
}

fn rebased(path: &Path, from: &Path, to: &Path) -> PathBuf {
    moved(path, from, to).unwrap_or_else(|| path.to_owned())
}

/// Whether a symlink of a lower layer leads to nothing, rather than that following it failed. Where it does, a directory
/// takes its place, as it does where volumes begin as copies of their parents.
fn leads_nowhere(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ELOOP | libc::ENAMETOOLONG))
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn is_directory(stat: &Stat) -> bool {
    dirfd::file_type(stat).is_dir()
}
