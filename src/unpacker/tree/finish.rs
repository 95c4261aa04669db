//! The last pass over the directories of a volume, the deepest first: each gets its attributes, or back what it had.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::before::{self, Before};
use super::descent::Descent;
use super::{DIRECTORY, Directory, Note, Tree, inherited};
use crate::sys::dirfd;
use crate::unpacker::attributes::Target;
use crate::unpacker::error::Error;
use crate::unpacker::path_map::{PathId, PathMap};

/// A directory that was entered, and what is still to be entered in it.
struct Entered {
    id: PathId,
    /// The same in the map of what was there before.
    before: Option<PathId>,
    ahead: Vec<PathId>,
}

impl Tree<'_> {
    /// Gives all directories their attributes, the deepest first, and puts back what changed of those that have none to
    /// get.
    pub(in crate::unpacker) fn finish_directories(&mut self) -> Result<(), Error> {
        self.current = None;
        let before = std::mem::replace(&mut self.before, PathMap::new(self.targets.budget()));
        for id in before.top_down() {
            self.notes.id(&before.path(id))?;
        }
        let mut path = PathBuf::new();
        let failed = |path: &Path, error: io::Error| Error::file("settling directory", path, error);
        let mut descent = Descent::new(self.root).map_err(|error| failed(&path, error))?;
        let root = PathMap::<Note>::root();
        let mut entered =
            vec![Entered { id: root, before: Some(PathMap::<Box<Before>>::root()), ahead: self.notes.children(root) }];
        while let Some(level) = entered.last_mut() {
            if let Some(id) = level.ahead.pop() {
                let name = self.notes.last_name(id).to_owned();
                let in_before = level.before.and_then(|above| before.child(above, &name));
                let has_attributes =
                    self.directory_at(id).is_some() || in_before.is_some_and(|id| before.at(id).is_some());
                let ahead = self.notes.children(id);
                if !has_attributes && ahead.is_empty() {
                    continue;
                }
                path.push(&name);
                let user = self.maker.uid;
                let opened =
                    descent.enter(&name, |above, name| open(above, Path::new(name), has_attributes.then_some(user)));
                opened.map_err(|error| failed(&path, error))?;
                entered.push(Entered { id, before: in_before, ahead });
                continue;
            }
            let directory = descent.leave().map_err(|error| failed(&path, error))?;
            let (id, before) = (level.id, level.before.and_then(|id| before.at(id)));
            self.finish_directory(directory.as_fd(), &path, id, before.map(|before| &**before))?;
            path.pop();
            entered.pop();
        }
        Ok(())
    }

    fn directory_at(&self, id: PathId) -> Option<&Directory> {
        self.notes.at(id)?.directory.as_deref()
    }

    fn finish_directory(
        &self,
        fd: BorrowedFd<'_>,
        path: &Path,
        id: PathId,
        before: Option<&Before>,
    ) -> Result<(), Error> {
        let gets_attributes = match self.directory_at(id) {
            Some(directory) => self.apply_directory_metadata(fd, path, directory)?,
            None => false,
        };
        match before.filter(|_| !gets_attributes) {
            Some(before) => before.restore(fd).map_err(|error| Error::file("settling directory", path, error)),
            None => Ok(()),
        }
    }

    /// Returns whether this layer says what attributes the directory has.
    fn apply_directory_metadata(&self, fd: BorrowedFd<'_>, path: &Path, directory: &Directory) -> Result<bool, Error> {
        let failed = |error| Error::file("settling directory", path, error);
        if directory.hides_lower() && !path.as_os_str().is_empty() {
            self.format.mark_opaque(fd).map_err(failed)?;
        }
        let made = directory.made;
        let Some(attributes) = directory.named.as_ref().or(made.map(|_| &self.implicit)) else { return Ok(false) };
        if made.is_none() {
            inherited::remove_other_xattrs(fd, attributes).map_err(failed)?;
        }
        let target = Target::Open { file: fd, noun: "directory", path };
        attributes.apply(&target, made.unwrap_or_default())?;
        Ok(true)
    }
}

/// Opens a directory for `user` to change its attributes, or only to go through.
fn open(above: &OwnedFd, name: &Path, user: Option<u32>) -> io::Result<OwnedFd> {
    let to_go_through = || dirfd::open_beneath(above, name, OFlags::PATH | DIRECTORY);
    let Some(user) = user else { return to_go_through() };
    match dirfd::open_beneath(above, name, OFlags::RDONLY | DIRECTORY) {
        // Of an inherited directory an entry may say what it has and nothing else, so nobody has been let in yet.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => before::open_closed(&to_go_through()?, user),
        opened => opened,
    }
}
