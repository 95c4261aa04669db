//! Entries become files.

use std::ffi::OsStr;
use std::io::BufRead;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, ftruncate, linkat, mknodat, openat, seek, symlinkat};
use rustix::io::{Errno, write};
use tracing::{debug, info};

use super::attribute_ids;
use super::attributes::{Attributes, Owner, Target};
use super::digest::Budget;
use super::error::Error;
use super::fingerprint::{ContentHasher, WrittenFiles};
use super::path::clean;
use super::portable;
use super::privilege;
use super::tree::{Tree, Whereabouts};
use super::whiteout::{self, Mark, WhiteoutFormat};
use super::{Layer, LeftOut, Privileged, Unpacked, left_out};
use crate::archive::{Archive, ArchiveError, Entry, EntryKind, SparseMap, Xattr};
use crate::idmap::IdMappings;
use crate::limits::Usage;
use crate::sys::confine::Confinement;

/// Extracts the archive in `stream` into the directory `volume`, and reads the stream to its end.
pub(super) fn extract(
    stream: impl BufRead,
    volume: BorrowedFd<'_>,
    layer: &Layer<'_>,
    confinement: Confinement,
) -> Result<Unpacked, Error> {
    let owners = Owners::new(layer);
    let implicit_owner = owners.translate(0, 0, Path::new(""))?;
    let mut extractor = Extractor {
        usage: layer.usage,
        archive: Archive::new(stream, layer.usage.limits.clone()),
        tree: Tree::new(volume, confinement, implicit_owner, layer.whiteouts, &layer.usage.memory),
        base: clean(layer.base_directory.unwrap_or(Path::new("")), b""),
        owners,
        confinement,
        size: 0,
        left_out: LeftOut::default(),
        written: layer.fingerprints.then(WrittenFiles::default),
        has_dropped_xattr: false,
        has_aufs_links: false,
        inode_budget: layer.inode_budget,
    };
    if !extractor.base.as_os_str().is_empty() {
        let base = extractor.base.clone();
        if layer.whiteouts == WhiteoutFormat::Removal {
            extractor.tree.check_inherited_base(&base)?;
        }
        extractor.tree.enter(&base)?;
    }
    while let Some(entry) = extractor.archive.next_entry()? {
        extractor.unpack(entry)?;
    }
    extractor.archive.drain()?;
    if layer.is_unnamed && extractor.archive.is_empty() {
        return Err(ArchiveError::Empty.into());
    }
    extractor.remove_aufs_links()?;
    extractor.tree.finish_directories()?;
    Ok(Unpacked {
        size: extractor.size,
        unsettled: extractor.tree.into_unsettled()?,
        left_out: extractor.left_out,
        written: extractor.written,
        base: extractor.base,
        implicit_owner,
        whiteouts: layer.whiteouts,
    })
}

struct Extractor<'a, R> {
    usage: &'a Usage,
    archive: Archive<R>,
    tree: Tree<'a>,
    /// Where the layer's root is in the volume, clean.
    base: PathBuf,
    owners: Owners<'a>,
    confinement: Confinement,
    size: u64,
    /// Entries that no file was made of.
    left_out: LeftOut,
    written: Option<WrittenFiles>,
    /// Some extended attribute was none that an image may bring.
    has_dropped_xattr: bool,
    /// There are files in the directory in which aufs keeps what has several names.
    has_aufs_links: bool,
    inode_budget: Option<&'a Budget>,
}

impl<R: BufRead> Extractor<'_, R> {
    fn unpack(&mut self, entry: Entry) -> Result<(), Error> {
        self.tree.allow_entry();
        self.check_limits(&entry)?;
        let path = clean(&self.base, &entry.name);
        let parents = path.parent().into_iter().flatten();
        if parents.into_iter().any(|component| whiteout::is_metadata(component.as_bytes())) {
            return self.keep_aufs_link(entry, &path);
        }
        match path.file_name().map_or(Mark::None, whiteout::mark) {
            Mark::None => self.make(entry, &path),
            Mark::Whiteout(name) => self.tree.hide(&path.with_file_name(name)),
            Mark::Opaque => self.tree.hide_content(path.parent().unwrap_or(Path::new(""))),
            Mark::Metadata => Ok(()),
            Mark::Nameless => Err(Error::NamelessWhiteout(path)),
        }
    }

    /// The names of a file in aufs are hard links to one in a directory of its own, which comes first in the layer and is
    /// no part of the image. All else that is below aufs's names is left out.
    fn keep_aufs_link(&mut self, entry: Entry, path: &Path) -> Result<(), Error> {
        let is_file = matches!(entry.kind, EntryKind::Regular | EntryKind::Sparse(_));
        if !is_file || path.parent() != Some(&self.base.join(whiteout::AUFS_LINKS)) {
            return Ok(());
        }
        self.has_aufs_links = true;
        self.make(entry, path)
    }

    fn remove_aufs_links(&mut self) -> Result<(), Error> {
        if !self.has_aufs_links {
            return Ok(());
        }
        let path = self.base.join(whiteout::AUFS_LINKS);
        let (place, name) = self.tree.parent_of(&path)?.ok_or_else(|| is_root("remove"))?;
        self.tree.vacate(&place, name).map_err(|error| Error::file("remove", &path, error))
    }

    fn check_limits(&self, entry: &Entry) -> Result<(), Error> {
        self.usage.count_entry()?;
        self.usage.check_time()?;
        let limits = &self.usage.limits;
        limits.check_path(&entry.name)?;
        limits.check_path(&entry.link)?;
        Ok(limits.check_xattrs(entry.xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len()).sum())?)
    }

    fn make(&mut self, entry: Entry, path: &Path) -> Result<(), Error> {
        if let Some(budget) = self.inode_budget
            && !matches!(entry.kind, EntryKind::HardLink | EntryKind::Device | EntryKind::Other(_))
        {
            budget.spend(1).map_err(|_| Error::InodeQuota)?;
        }
        match entry.kind {
            EntryKind::Directory => {
                let attributes = self.attributes(entry, path)?;
                self.tree.add_directory(path, attributes)
            }
            EntryKind::Regular | EntryKind::Sparse(_) => self.make_file(entry, path),
            EntryKind::HardLink => self.make_hard_link(&clean(&self.base, &entry.link), path),
            EntryKind::Symlink => self.make_symlink(entry, path),
            EntryKind::Fifo => self.make_fifo(entry, path),
            EntryKind::Device | EntryKind::Other(_) => {
                debug!(path = %path.display(), kind = ?entry.kind, "skipping-entry");
                let path = self.tree.locate(path);
                self.left_out.add(path);
                Ok(())
            }
        }
    }

    fn make_file(&mut self, mut entry: Entry, path: &Path) -> Result<(), Error> {
        let (place, name) = self.tree.parent_of(path)?.ok_or_else(|| is_root("creating file"))?;
        let (size, kind) = (entry.size, std::mem::replace(&mut entry.kind, EntryKind::Regular));
        let attributes = self.attributes(entry, path)?;
        // Without set-id bits, which writing and chown would clear anyway.
        let mode = attributes.mode & 0o777;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = self
            .tree
            .create(&place, name, |directory, name| openat(directory, name, flags, Mode::from_raw_mode(mode)))
            .map_err(|error| Error::creating("creating file", path, error))?;
        // Of a sparse file the archive does not have all the bytes.
        let is_hashed = self.written.is_some() && !matches!(kind, EntryKind::Sparse(_));
        let mut hasher = is_hashed.then(ContentHasher::new);
        match kind {
            EntryKind::Sparse(map) => self.write_sparse(file.as_fd(), &map, path)?,
            _ => self.write(file.as_fd(), size, path, hasher.as_mut())?,
        }
        self.size = self.size.saturating_add(size);
        attributes.apply(&Target::Open { file: file.as_fd(), noun: "file", path }, self.tree.known(&place, mode))?;
        match (&mut self.written, hasher) {
            (Some(written), Some(hasher)) => {
                written.add(file.as_fd(), hasher).map_err(|error| Error::file("stat", path, error))
            }
            _ => Ok(()),
        }
    }

    fn make_symlink(&mut self, mut entry: Entry, path: &Path) -> Result<(), Error> {
        let (place, name) = self.tree.parent_of(path)?.ok_or_else(|| is_root("creating symlink"))?;
        let text = std::mem::take(&mut entry.link);
        let attributes = self.attributes(entry, path)?;
        self.tree.create(&place, name, |directory, name| symlinkat(text.as_slice(), directory, name)).map_err(
            |error| Error::creating(format!("create symlink `{}` ->", String::from_utf8_lossy(&text)), path, error),
        )?;
        let confinement = self.confinement;
        let target = Target::Named { directory: place.fd.as_fd(), name, is_symlink: true, confinement, path };
        // No mode of a symlink is ever different from the one wanted.
        let known = self.tree.known(&place, attributes.mode);
        attributes.apply(&target, known)
    }

    fn make_fifo(&mut self, entry: Entry, path: &Path) -> Result<(), Error> {
        let (place, name) = self.tree.parent_of(path)?.ok_or_else(|| is_root("creating fifo"))?;
        let attributes = self.attributes(entry, path)?;
        let mode = attributes.mode & 0o777;
        self.tree
            .create(&place, name, |directory, name| {
                mknodat(directory, name, FileType::Fifo, Mode::from_raw_mode(mode), 0)
            })
            .map_err(|error| Error::creating("creating fifo", path, error))?;
        let confinement = self.confinement;
        let target = Target::Named { directory: place.fd.as_fd(), name, is_symlink: false, confinement, path };
        attributes.apply(&target, self.tree.known(&place, mode))
    }

    /// Links to a file of this layer at once; a file of a lower layer has to wait until that layer is there.
    fn make_hard_link(&mut self, old: &Path, new: &Path) -> Result<(), Error> {
        let failed = |error: std::io::Error| Error::link(old, new, error);
        let (place, name) = self.tree.parent_of(new)?.ok_or_else(|| failed(Errno::EXIST.into()))?;
        let found = self.tree.find(old).map_err(|error| match error {
            Error::File { source, .. } => failed(source),
            other => other,
        })?;
        match found {
            Whereabouts::Elsewhere(old) if self.left_out.contains(&old) => {
                left_out::log_link(&old, new);
                self.left_out.add(place.real.join(name));
                Ok(())
            }
            Whereabouts::Elsewhere(old) => self.tree.link_later(&place, name, &old).map_err(failed),
            // Making room for a link to itself would remove the file.
            Whereabouts::Exists(target, target_name) if target.real == place.real && target_name == name => {
                self.tree.claim(&place, Some(name))?;
                Ok(())
            }
            Whereabouts::Exists(target, target_name) => self
                .tree
                .create(&place, name, |directory, name| {
                    linkat(&target.fd, &*target_name, directory, name, AtFlags::empty())
                })
                .map_err(failed),
        }
    }

    fn attributes(&mut self, entry: Entry, path: &Path) -> Result<Attributes, Error> {
        let is_directory = entry.kind == EntryKind::Directory;
        let (privileged, ids) = (self.owners.privileged, self.owners.ids);
        let objection = |xattr: &Xattr| {
            let withheld = (!privileged.allows(xattr, entry.uid, ids)).then_some(privilege::WITHHELD);
            portable::objection(xattr, is_directory).or(withheld)
        };
        let mut xattrs = entry.xattrs;
        xattrs.retain(|xattr| match objection(xattr) {
            None => true,
            Some(reason) => {
                self.log_dropped(path, &xattr.name, reason);
                false
            }
        });
        self.owners.translate_attributes(&mut xattrs, path)?;
        let owner = self.owners.translate(entry.uid, entry.gid, path)?;
        let mode = privileged.mode(entry.mode, entry.uid, entry.gid, ids);
        if mode != entry.mode {
            debug!(path = %path.display(), uid = entry.uid, gid = entry.gid, "dropping-set-id-bits");
        }
        Ok(Attributes { owner, mode, xattrs, mtime: entry.mtime })
    }

    /// Logs the first where operators see it and the rest for who looks closer: there may be one for every few bytes.
    fn log_dropped(&mut self, path: &Path, name: &OsStr, reason: &'static str) {
        if std::mem::replace(&mut self.has_dropped_xattr, true) {
            debug!(path = %path.display(), name = %name.display(), reason, "dropping-xattr");
        } else {
            info!(path = %path.display(), name = %name.display(), reason, "dropping-xattr");
        }
    }

    /// Writes the next `length` bytes of the entry's content at the file's position.
    fn write(
        &mut self,
        file: BorrowedFd<'_>,
        length: u64,
        path: &Path,
        mut hasher: Option<&mut ContentHasher>,
    ) -> Result<(), Error> {
        self.archive.read_body(length, |mut bytes| {
            if let Some(hasher) = &mut hasher {
                hasher.update(bytes);
            }
            while !bytes.is_empty() {
                match write(file, bytes) {
                    Ok(count) => bytes = &bytes[count..],
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(Error::file("writing to file", path, errno)),
                }
            }
            Ok(())
        })
    }

    /// Writes the content where it belongs and leaves holes between.
    fn write_sparse(&mut self, file: BorrowedFd<'_>, map: &SparseMap, path: &Path) -> Result<(), Error> {
        let failed = |errno: Errno| Error::file("writing to file", path, errno);
        for segment in &map.segments {
            seek(file, SeekFrom::Start(segment.offset)).map_err(failed)?;
            self.write(file, segment.length, path, None)?;
        }
        ftruncate(file, map.size).map_err(failed)
    }
}

/// Owners as files get them.
struct Owners<'a> {
    ids: &'a IdMappings,
    privileged: Privileged,
    given_away: bool,
}

impl<'a> Owners<'a> {
    fn new(layer: &Layer<'a>) -> Self {
        Self { ids: layer.ids, privileged: layer.privileged, given_away: Owner::can_be_given() }
    }

    fn translate(&self, uid: u32, gid: u32, path: &Path) -> Result<Option<Owner>, Error> {
        if !self.given_away {
            return Ok(None);
        }
        let failed = |source| Error::Id { path: path.to_owned(), source };
        let (uid, gid) = (self.ids.uid(uid).map_err(failed)?, self.ids.gid(gid).map_err(failed)?);
        Ok(Some(Owner { uid, gid }))
    }

    fn translate_attributes(&self, xattrs: &mut [Xattr], path: &Path) -> Result<(), Error> {
        if self.ids.is_identity() {
            return Ok(());
        }
        let failed = |source| Error::Id { path: path.to_owned(), source };
        xattrs.iter_mut().try_for_each(|xattr| attribute_ids::translate(xattr, self.ids).map_err(failed))
    }
}

/// An entry that is no directory cannot be the root of the volume.
fn is_root(operation: &'static str) -> Error {
    Error::file(operation, "/", Errno::ISDIR)
}
