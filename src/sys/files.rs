//! Small files and directories, with errors that name their path.

use std::ffi::OsString;
use std::fs::{self, File, FileType, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::owner::Owner;
use super::path_error::{OnPath, PathError};
use super::rename::rename;
use super::{descriptors, dirfd};

/// Writes `content` to `path` by way of `temporary`, so that a reader sees the old content or the new, never a part.
/// Nothing is flushed: a power cut can leave the file empty.
pub fn replace(path: &Path, temporary: &Path, content: &[u8]) -> Result<(), PathError> {
    write(temporary, content)?;
    rename(temporary, path).on("rename", path)
}

/// Writes a file in place. A link there is not followed: it may be somebody else's.
pub fn write(path: &Path, content: &[u8]) -> Result<(), PathError> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let opened = File::options().write(true).create(true).truncate(true).custom_flags(flags).open(path);
    opened.on("open", path)?.write_all(content).on("write", path)
}

/// The same for a file that others hang on, which gets the mode `mode`: a power cut does not find its name on disk without
/// its content. What is at `temporary` goes.
pub fn replace_flushed(path: &Path, temporary: &Path, content: &[u8], mode: u32) -> Result<(), PathError> {
    remove_if_there(temporary)?;
    let mut file = File::options().write(true).create_new(true).open(temporary).on("open", temporary)?;
    file.write_all(content).on("write", temporary)?;
    file.set_permissions(Permissions::from_mode(mode)).on("chmod", temporary)?;
    file.sync_all().on("fsync", temporary)?;
    rename(temporary, path).on("rename", path)
}

/// The most that [`read_small`] reads, in bytes.
const SMALL: u64 = 64 * 1024;

/// Content and owner of a small file; see [`read_up_to`].
pub fn read_small(path: &Path) -> Result<Option<(Vec<u8>, u32)>, PathError> {
    read_up_to(SMALL, path)
}

/// Content and owner of a file of no more than `limit` bytes that may be in a stranger's directory: a link is not followed,
/// what is no file is not waited for. `None` if there is nothing there.
pub fn read_up_to(limit: u64, path: &Path) -> Result<Option<(Vec<u8>, u32)>, PathError> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = match File::options().read(true).custom_flags(flags).open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.on("open", path)?,
    };
    let metadata = file.metadata().on("stat", path)?;
    if !metadata.is_file() || metadata.len() > limit {
        return Err(PathError::new("read", path, io::Error::other("it is no small file")));
    }
    let content = read_whole(file.take(limit), metadata.len()).on("read", path)?;
    Ok(Some((content, metadata.uid())))
}

/// Reads to the end what is `length` bytes long as far as is known. Where that is right, one call does: room for one more
/// byte shows that there is none.
pub fn read_whole(mut source: impl Read, length: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut content = vec![0; length + 1];
    let count = source.read(&mut content)?;
    content.truncate(count);
    if count != length {
        source.read_to_end(&mut content)?;
    }
    Ok(content)
}

/// Removes a file that may be gone already.
pub fn remove_if_there(path: &Path) -> Result<(), PathError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(PathError::new("remove", path, e)),
        _ => Ok(()),
    }
}

/// Makes a directory that may be there already.
pub fn ensure_directory(path: &Path) -> Result<(), PathError> {
    match fs::create_dir(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(PathError::new("mkdir", path, e)),
        _ => Ok(()),
    }
}

/// Makes a directory, or takes one over, for `owner`. A link there is not followed.
pub fn settle_directory(path: &Path, mode: u32, owner: Owner) -> Result<(), PathError> {
    ensure_directory(path)?;
    let flags = libc::O_NOFOLLOW | libc::O_DIRECTORY;
    let directory = File::options().read(true).custom_flags(flags).open(path).on("open", path)?;
    fchown(&directory, owner.uid, owner.gid).on("chown", path)?;
    directory.set_permissions(Permissions::from_mode(mode)).on("chmod", path)
}

/// What there is at `path` itself; `None` if nothing.
pub fn file_type(path: &Path) -> Result<Option<FileType>, PathError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata.file_type())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(PathError::new("stat", path, e)),
    }
}

/// Whether there is a directory at `path` itself: a link to one is none.
pub fn is_directory(path: &Path) -> Result<bool, PathError> {
    Ok(file_type(path)?.is_some_and(|found| found.is_dir()))
}

/// Whether there is anything at `path`, a dangling symbolic link included.
pub fn exists(path: &Path) -> Result<bool, PathError> {
    Ok(file_type(path)?.is_some())
}

/// Names of all entries of a directory that exists. A link to one is not followed.
pub fn entry_names(directory: &Path) -> Result<Vec<OsString>, PathError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let flags = if descriptors::is_name(directory) { flags } else { flags | OFlags::NOFOLLOW };
    let opened = openat(CWD, directory, flags, Mode::empty()).on("open", directory)?;
    dirfd::names(opened.as_fd()).on("read", directory)
}

/// The same; none where there is no directory. Names that are not UTF-8 are left out: none of this program's are.
pub fn names(directory: &Path) -> Result<Vec<String>, PathError> {
    match entry_names(directory) {
        Ok(names) => Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}
