//! What a volume has of its parent, where it began as a copy of it, and how deletions take that away.
//!
//! A deletion concerns what lower layers have. What the layer itself brings stays, wherever in the archive it stands, and
//! so do the directories that lead to it; but of those the parent's part goes, attributes included. That makes the same
//! of a layer as an overlay shows of it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags, Stat};
use rustix::io::Errno;

use super::{DIRECTORY, OpenDir, Tree, Walk};
use crate::sys::{dirfd, xattr};
use crate::unpacker::attributes::Attributes;
use crate::unpacker::error::Error;
use crate::unpacker::path;
use crate::unpacker::portable::is_portable;
use crate::unpacker::whiteout::{WhiteoutFormat, is_whiteout};

impl Tree<'_> {
    /// Notes that `name` in `place`, or the place itself, is this layer's. Where the layer made the directory, all in it
    /// is.
    pub(in crate::unpacker) fn claim(&mut self, place: &OpenDir, name: Option<&OsStr>) {
        if self.format == WhiteoutFormat::Removal && !place.pristine {
            self.own.insert(name.map_or_else(|| place.real.clone(), |name| place.real.join(name)), ());
        }
    }

    /// Whether this layer has something at `path` or below it.
    fn is_own(&self, path: &Path) -> bool {
        let is_in_made = path.parent().is_some_and(|parent| self.is_made(parent));
        is_in_made || has_below(&self.own, path) || has_below(&self.directories, path)
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
        let path = place.real.join(name);
        match dirfd::stat_name(&place.fd, name)?.as_ref().map(dirfd::file_type) {
            None => Ok(()),
            Some(_) if !self.is_own(&path) => self.vacate(place, name),
            Some(FileType::Directory) => self.disinherit(&path),
            Some(_) => Ok(()),
        }
    }

    /// Removes all that the parent has in the directory `path`.
    pub(super) fn remove_inherited_content(&mut self, path: &Path) -> io::Result<()> {
        if self.is_made(path) {
            return Ok(());
        }
        let fd = self.open(path)?;
        let place = self.place(path, path.to_owned(), fd)?;
        let names = dirfd::names(dirfd::open_beneath(self.root, path, OFlags::RDONLY | DIRECTORY)?)?;
        names.iter().try_for_each(|name| self.remove_inherited(&place, name))
    }

    /// Makes the parent's directory `path` look as if this layer had made it on the way to what it has in there.
    fn disinherit(&mut self, path: &Path) -> io::Result<()> {
        if self.is_made(path) {
            return Ok(());
        }
        let implicit = self.implicit.clone();
        self.directories.entry(path.to_owned()).or_default().named.get_or_insert(implicit);
        self.remove_inherited_content(path)
    }

    pub(super) fn is_made(&self, path: &Path) -> bool {
        self.directories.get(path).is_some_and(|directory| directory.made.is_some())
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
        let is_wanted = attributes.xattrs.iter().any(|xattr| xattr.name == name);
        if is_portable(&name) && !is_wanted {
            xattr::remove(directory.as_fd(), &name)?;
        }
    }
    Ok(())
}

/// Paths sort by component, so what is below a path follows it at once.
fn has_below<T>(map: &BTreeMap<PathBuf, T>, path: &Path) -> bool {
    map.range(path.to_owned()..).next().is_some_and(|(key, _)| key.starts_with(path))
}
