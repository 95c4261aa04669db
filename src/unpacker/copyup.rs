//! Copies of lower layers' files, with all that they are.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    FileType, Mode, OFlags, SeekFrom, Stat, copy_file_range, fstat, ftruncate, ioctl_ficlone, mknodat, openat, seek,
    symlinkat,
};
use rustix::io::{Errno, read, write};

use super::attributes::{AlreadySet, Attributes, Owner, Target};
use super::error::Error;
use super::merged::{MergedFile, MergedView};
use super::portable::is_portable;
use super::tree::times;
use crate::archive::Xattr;
use crate::sys::confine::Confinement;
use crate::sys::{dirfd, xattr};

/// The attributes of the open file `file`, which `stat` describes.
pub(super) fn attributes_of(file: impl AsFd, stat: &Stat) -> io::Result<Attributes> {
    let mut xattrs = Vec::new();
    for name in xattr::list(file.as_fd())?.into_iter().filter(|name| is_portable(name)) {
        if let Some(value) = xattr::get(file.as_fd(), &name)? {
            xattrs.push(Xattr { name, value });
        }
    }
    Ok(Attributes { xattrs, ..plain_attributes(stat) })
}

fn plain_attributes(stat: &Stat) -> Attributes {
    let owner = Owner::can_be_given().then_some(Owner { uid: stat.st_uid, gid: stat.st_gid });
    Attributes { owner, mode: stat.st_mode & 0o7777, xattrs: Vec::new(), mtime: times(stat).last_modification }
}

/// Makes a copy of `file` called `name` in `directory`, where there is no such name; `path` is for messages. Returns
/// the bytes that it takes, holes and shared blocks aside.
pub(super) fn copy_up(
    view: &MergedView<'_>,
    file: &MergedFile,
    directory: BorrowedFd<'_>,
    name: &OsStr,
    path: &Path,
    confinement: Confinement,
) -> Result<u64, Error> {
    let failed = |error: io::Error| Error::file("copying up", path, error);
    let named = |is_symlink| Target::Named { directory, name, is_symlink, confinement, path };
    let (attributes, unknown) = (plain_attributes(&file.stat), AlreadySet::default());
    match dirfd::file_type(&file.stat) {
        FileType::RegularFile => {
            // Not waiting, should its owner put a pipe in its place.
            let source = view.open(file, OFlags::RDONLY | OFlags::NONBLOCK).map_err(failed)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let copy = openat(directory, name, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| failed(errno.into()))?;
            copy_content(&source, &copy, file.stat.st_size.unsigned_abs()).map_err(failed)?;
            let attributes = attributes_of(&source, &file.stat).map_err(failed)?;
            attributes.apply(&Target::Open { file: copy.as_fd(), noun: "file", path }, unknown)?;
            Ok(size_of(&file.stat))
        }
        FileType::Symlink => {
            let text = view.read_link(file).map_err(failed)?;
            symlinkat(text, directory, name).map_err(|errno| failed(errno.into()))?;
            attributes.apply(&named(true), unknown).map(|()| 0)
        }
        FileType::Fifo => {
            let made = mknodat(directory, name, FileType::Fifo, Mode::RUSR, 0);
            made.map_err(|errno| failed(errno.into()))?;
            attributes.apply(&named(false), unknown).map(|()| 0)
        }
        // link(2) refuses directories; other types never get into a volume.
        _ => Err(failed(Errno::PERM.into())),
    }
}

/// Bytes of content, or of blocks if holes make these fewer.
fn size_of(stat: &Stat) -> u64 {
    stat.st_size.min(stat.st_blocks.saturating_mul(512)).unsigned_abs()
}

/// Shares the blocks where the filesystem can, else copies the data between the holes.
fn copy_content(source: &OwnedFd, copy: &OwnedFd, size: u64) -> io::Result<()> {
    if ioctl_ficlone(copy, source).is_ok() {
        return Ok(());
    }
    let mut end = 0;
    while end < size {
        let start = match seek(source, SeekFrom::Data(end)) {
            Ok(start) => start,
            // No data up to the end of the file.
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        end = seek(source, SeekFrom::Hole(start))?;
        copy_range(source, copy, start, end)?;
    }
    Ok(ftruncate(copy, size)?)
}

fn copy_range(source: &OwnedFd, copy: &OwnedFd, start: u64, end: u64) -> io::Result<()> {
    let (mut from, mut to) = (start, start);
    while from < end {
        let length = usize::try_from(end - from).unwrap_or(usize::MAX).min(1 << 30);
        match copy_file_range(source, Some(&mut from), copy, Some(&mut to), length) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            // Volumes on different filesystems, or one that cannot.
            Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => {
                return read_and_write(source, copy, from, end);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn read_and_write(source: &OwnedFd, copy: &OwnedFd, start: u64, end: u64) -> io::Result<()> {
    seek(source, SeekFrom::Start(start))?;
    seek(copy, SeekFrom::Start(start))?;
    let mut buffer = vec![0; 128 << 10];
    let mut left = end - start;
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = rustix::io::retry_on_intr(|| read(source, &mut buffer[..wanted]))?;
        if count == 0 {
            return Ok(());
        }
        let mut bytes = &buffer[..count];
        while !bytes.is_empty() {
            let written = rustix::io::retry_on_intr(|| write(copy, bytes))?;
            bytes = &bytes[written..];
        }
        left -= count as u64;
    }
    Ok(())
}

/// The attributes of the directory `file` of the view.
pub(super) fn directory_attributes(view: &MergedView<'_>, file: &MergedFile) -> io::Result<Attributes> {
    let directory = view.open(file, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let stat = fstat(&directory)?;
    attributes_of(&directory, &stat)
}
