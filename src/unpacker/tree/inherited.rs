//! What a volume has of its parent, where it began as a copy of it, and how deletions take that away.
//!
//! A deletion concerns what lower layers have. What the layer itself brings stays, wherever in the archive it stands, and
//! so do the directories that lead to it; but of those the parent's part goes, attributes included. That makes the same
//! of a layer as an overlay shows of it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;

use super::descent::Descent;
use super::{DIRECTORY, OpenDir, Tree, Walk};
use crate::limits::Exceeded;
use crate::sys::{dirfd, xattr};
use crate::unpacker::attributes::Attributes;
use crate::unpacker::error::Error;
use crate::unpacker::path;
use crate::unpacker::path_map::PathId;
use crate::unpacker::portable::is_portable;
use crate::unpacker::whiteout::{WhiteoutFormat, is_whiteout};

impl Tree<'_> {
    /// Notes that `name` in `place`, or the place itself, is this layer's. Where the layer made the directory, all in it
    /// is.
    pub(in crate::unpacker) fn claim(&mut self, place: &OpenDir, name: Option<&OsStr>) -> Result<(), Exceeded> {
        if self.format == WhiteoutFormat::Removal && !place.pristine {
            let path = name.map_or_else(|| place.real.clone(), |name| place.real.join(name));
            self.notes.entry(&path)?.is_own = true;
        }
        Ok(())
    }

    /// Whether this layer has something at `path` or below it.
    fn is_own(&self, path: &Path) -> bool {
        path.parent().is_some_and(|parent| self.is_made(parent)) || self.notes.has_below(path)
    }

    /// Whether what is at `path`, no directory, makes room for a directory that an entry needs there.
    pub(super) fn gives_way(&self, stat: Option<&Stat>, path: &Path) -> bool {
        stat.is_some_and(is_whiteout) || self.format == WhiteoutFormat::Removal && !self.is_own(path)
    }

    /// Whether the symlink at `path` is one to go through: any that this layer brings, and one of its parent's that
    /// leads to a directory. Others of its parent's give way to a directory, as in an overlay.
    pub(super) fn leads_to_a_directory(&mut self, path: &Path) -> bool {
        if self.format != WhiteoutFormat::Removal || self.is_own(path) {
            return true;
        }
        matches!(self.walk(path, false), Ok(Walk::Arrived(_)))
    }

    /// Removes what the parent has as `name` in `place`.
    pub(super) fn remove_inherited(&mut self, place: &OpenDir, name: &OsStr) -> io::Result<()> {
        if place.pristine {
            return Ok(());
        }
        match self.remove_unless_own(place, name)? {
            Some(directory) => {
                let path = self.notes.path(directory);
                self.disinherit(&path)?;
                self.remove_inherited_content(&path)
            }
            None => Ok(()),
        }
    }

    /// Removes all that the parent has in the directory `path`. Each directory in it that this layer needs is entered from
    /// the one it is in, so that none is too deep.
    pub(super) fn remove_inherited_content(&mut self, path: &Path) -> io::Result<()> {
        if self.is_made(path) {
            return Ok(());
        }
        let mut path = path.to_owned();
        let mut descent = Descent::from(self.open(&path)?);
        let mut ahead = vec![self.remove_inherited_in(&path, descent.current()?)?];
        while let Some(within) = ahead.last_mut() {
            let Some(directory) = within.pop() else {
                ahead.pop();
                path.pop();
                descent.leave()?;
                continue;
            };
            let name = self.notes.last_name(directory).to_owned();
            path.push(&name);
            if self.is_made(&path) {
                path.pop();
                continue;
            }
            self.disinherit(&path)?;
            descent
                .enter(&name, |above, name| dirfd::open_beneath(above, Path::new(name), OFlags::PATH | DIRECTORY))?;
            ahead.push(self.remove_inherited_in(&path, descent.current()?)?);
        }
        Ok(())
    }

    /// Makes the parent's directory `path` look as if this layer had made it on the way to what it has in there.
    fn disinherit(&mut self, path: &Path) -> io::Result<()> {
        if !self.is_made(path) {
            let implicit = self.implicit.clone();
            self.directory(path)?.named.get_or_insert(implicit);
        }
        Ok(())
    }

    /// Removes what the parent has in the open directory `path`, and returns the directories in it that this layer needs.
    fn remove_inherited_in(&mut self, path: &Path, directory: &OwnedFd) -> io::Result<Vec<PathId>> {
        let mut within = Vec::new();
        let place = self.place(path, path.to_owned(), directory.try_clone()?)?;
        let listed = dirfd::open_beneath(directory, Path::new(""), OFlags::RDONLY | DIRECTORY)?;
        dirfd::each_name(&listed, |name| {
            within.extend(self.remove_unless_own(&place, name)?);
            Ok::<_, io::Error>(())
        })?;
        Ok(within)
    }

    /// Removes `name` in `place` with all below it, unless this layer has something there. Returns it if it is a directory
    /// with both in it.
    fn remove_unless_own(&mut self, place: &OpenDir, name: &OsStr) -> io::Result<Option<PathId>> {
        let path = place.real.join(name);
        match dirfd::stat_name(&place.fd, name)?.as_ref().map(dirfd::file_type) {
            None => Ok(None),
            Some(_) if !self.is_own(&path) => self.vacate(place, name).map(|()| None),
            Some(FileType::Directory) => Ok(Some(self.notes.id(&path)?)),
            Some(_) => Ok(None),
        }
    }

    pub(super) fn is_made(&self, path: &Path) -> bool {
        self.notes.get(path).and_then(|note| note.directory.as_ref()).is_some_and(|directory| directory.made.is_some())
    }

    /// Checks that the parent has the layer's base directory.
    pub(in crate::unpacker) fn check_inherited_base(&mut self, base: &Path) -> Result<(), Error> {
        for directory in path::directories(base) {
            match self.walk(directory, false) {
                Ok(Walk::Arrived(_)) => {}
                Ok(Walk::Missing(_)) => return Err(Error::no_base_directory(directory, Errno::NOENT)),
                Err(_) => return Err(Error::no_base_directory(directory, Errno::NOTDIR)),
            }
        }
        Ok(())
    }
}

/// Removes those attributes of a directory that a layer could have brought and that `attributes` does not name: a
/// directory's entry replaces all that a lower layer said of it.
pub(super) fn remove_other_xattrs(directory: impl AsFd, attributes: &Attributes) -> io::Result<()> {
    for name in xattr::list(directory.as_fd())? {
        let is_wanted = attributes.xattrs.binary_search_by(|xattr| xattr.name.cmp(&name)).is_ok();
        if is_portable(&name) && !is_wanted {
            xattr::remove(directory.as_fd(), &name)?;
        }
    }
    Ok(())
}
