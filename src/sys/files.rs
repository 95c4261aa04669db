//! Small files and directories, with errors that name their path.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, fstat, lgetxattr, mkdirat, openat, unlinkat, utimensat,
};
use rustix::io::{Errno, retry_on_intr};

use super::owner::Owner;
use super::path_error::{OnPath, PathError, named};
use super::{descriptors, dirfd, rename, xattr};

/// Writes `content` to `path` by way of `temporary`, so that a reader sees the old content or the new, never a part.
/// Nothing is flushed: a power cut can leave the file empty.
pub fn replace(path: &Path, temporary: &Path, content: &[u8]) -> Result<(), PathError> {
    write(temporary, content)?;
    rename(temporary, path)
}

/// The same with a copy of the content that survives a power cut; see [`write_with_copy`].
pub fn replace_with_copy(path: &Path, temporary: &Path, content: &[u8]) -> Result<(), PathError> {
    write_with_copy(temporary, content, 0o666)?;
    rename(temporary, path)
}

/// Writes a file in place. Neither a link there nor another name of the same file is written to: it may be somebody else's.
pub fn write(path: &Path, content: &[u8]) -> Result<(), PathError> {
    write_with_mode(path, content, 0o666)
}

/// The same for a file that gets the mode `mode` if it is new.
pub fn write_with_mode(path: &Path, content: &[u8], mode: u32) -> Result<(), PathError> {
    open_emptied(path, mode)?.write_all(content).on("write", path)
}

/// The same for a file that has to be whole when its name is, without being flushed. A journal may bring the name to the
/// disk before the content, but not before the file's attributes: a copy of the content is one of them, and
/// [`read_up_to`] takes it where a power cut has emptied the file. There is no copy of more than 3,000 bytes, nor where
/// the filesystem has no room for it.
pub fn write_with_copy(path: &Path, content: &[u8], mode: u32) -> Result<(), PathError> {
    let mut file = open_emptied(path, mode)?;
    if content.len() <= LARGEST_COPY
        && let Err(error) = xattr::set(&file, OsStr::new(COPY), content)
    {
        tracing::debug!(%error, path = %named(path).display(), "copying-content-to-attribute-failed");
    }
    file.write_all(content).on("write", path)
}

/// The same with a note beside the copy, in the same attribute: what has no place in the file because others read that.
/// [`read_note`] reads it. A note that does not fit ([`room_for_note`]) is left out.
pub fn replace_with_note(path: &Path, temporary: &Path, content: &[u8], note: &[u8]) -> Result<(), PathError> {
    let mut file = open_emptied(temporary, 0o666)?;
    let copy = if content.len() < LARGEST_COPY { content } else { &[] };
    let note = if note.len() > room_for_note(content.len()) { &[] } else { note };
    let value = [copy, &[END_OF_COPY], note].concat();
    let value = if note.is_empty() { copy } else { &value };
    if let Err(error) = xattr::set(&file, OsStr::new(COPY), value) {
        tracing::debug!(%error, path = %named(path).display(), "copying-content-to-attribute-failed");
    }
    file.write_all(content).on("write", temporary)?;
    rename(temporary, path)
}

/// How many bytes a note may have beside a content of `length` bytes.
pub fn room_for_note(length: usize) -> usize {
    match LARGEST_COPY.checked_sub(length + 1) {
        Some(room) => room,
        // There is no copy of that content.
        None => LARGEST_COPY - 1,
    }
}

/// The note that a file was written with; `None` without one, and without a file. A link is not followed.
pub fn read_note(path: &Path) -> Result<Option<Vec<u8>>, PathError> {
    let Some(file) = open_if_there(path)? else { return Ok(None) };
    let value = xattr::get(&file, OsStr::new(COPY)).on("read", path)?.unwrap_or_default();
    let end = value.iter().position(|byte| *byte == END_OF_COPY);
    Ok(end.map(|end| value[end + 1..].to_vec()))
}

/// The copy of its content that a file was written with, by one system call; `None` where there is none. A link is not
/// followed.
pub fn read_copy(path: &Path) -> Option<Vec<u8>> {
    let mut value = vec![0; LARGEST_COPY];
    let length = lgetxattr(path, COPY, &mut value[..]).ok()?;
    let end = value[..length].iter().position(|byte| *byte == END_OF_COPY).unwrap_or(length);
    value.truncate(end);
    Some(value).filter(|copy| !copy.is_empty())
}

const COPY: &str = "user.grootfs.content";
/// Between a copy and a note; no content has it.
const END_OF_COPY: u8 = 0;
/// In bytes. XFS journals values of up to three quarters of a block, and writes larger ones to the disk at once.
const LARGEST_COPY: usize = 3000;

fn open_emptied(path: &Path, mode: u32) -> Result<File, PathError> {
    let file = open(path, OFlags::WRONLY | OFlags::CREATE, mode).on("open", path)?;
    let metadata = file.metadata().on("stat", path)?;
    if !metadata.is_file() || metadata.nlink() > 1 {
        return Err(PathError::new("write", path, io::Error::other(NOT_ITS_OWN)));
    }
    if metadata.len() > 0 {
        file.set_len(0).on("truncate", path)?;
    }
    Ok(file)
}

const NOT_ITS_OWN: &str = "it is no file, or has other names: remove it";

/// Gives a file to `owner` that has no other name: that may be somebody else's.
pub fn chown_file(path: &Path, owner: Owner) -> Result<(), PathError> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty()).on("open", path)?;
    if fstat(&file).on("stat", path)?.st_nlink > 1 {
        return Err(PathError::new("chown", path, io::Error::other(NOT_ITS_OWN)));
    }
    owner.chown_fd(&file).on("chown", path)
}

/// Renames what is at `from`, a link itself if it is one.
pub fn rename(from: &Path, to: &Path) -> Result<(), PathError> {
    rename::rename(from, to).on("rename", from)
}

/// Makes a directory that everybody may search; the program's umask takes away no more than writing.
pub fn create_directory(path: &Path) -> Result<(), PathError> {
    let (directory, name) = descriptors::at(path);
    mkdirat(directory, name, Mode::from_raw_mode(0o777)).on("mkdir", path)
}

/// The same, unless the new name is taken (`EEXIST`).
pub fn rename_to_new(from: &Path, to: &Path) -> Result<(), PathError> {
    rename::rename_with_project(from, to).on("rename", to)
}

/// Makes a directory that nobody else can look into.
pub fn create_private_directory(path: &Path) -> Result<(), PathError> {
    let (directory, name) = descriptors::at(path);
    mkdirat(directory, name, Mode::RWXU).on("making image path: mkdir", path)
}

/// Makes a symbolic link.
pub fn symlink(target: impl AsRef<Path>, link: &Path) -> Result<(), PathError> {
    std::os::unix::fs::symlink(target, link).on("symlink", link)
}

/// What a symbolic link says.
pub fn read_link(link: &Path) -> Result<PathBuf, PathError> {
    fs::read_link(link).on("readlink", link)
}

/// Changes the mode of a directory, which need not be one that may be opened. A link to one is an error.
pub fn chmod_directory(path: &Path, mode: u32) -> Result<(), PathError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(CWD, path, flags, Mode::empty()).on("open", path)?;
    fs::set_permissions(descriptors::name_of(&directory), Permissions::from_mode(mode)).on("chmod", path)
}

/// Sets the times of last access and last change of what is at `path`, a link itself if it is one.
pub fn set_times(path: &Path, time: SystemTime) -> Result<(), PathError> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let time = Timespec { tv_sec: since.as_secs() as i64, tv_nsec: since.subsec_nanos().into() };
    let times = Timestamps { last_access: time, last_modification: time };
    let (directory, name) = descriptors::at(path);
    utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW).on("set the times of", path)
}

/// The status of what is at `path`, a link itself if it is one; of an open directory where that is its name.
pub fn status(path: &Path) -> Result<Metadata, PathError> {
    let looked = if descriptors::is_name(path) { fs::metadata(path) } else { fs::symlink_metadata(path) };
    looked.on("stat", path)
}

/// The same for a file that others hang on, which gets the mode `mode`: a power cut does not find its name on disk without
/// its content. What is at `temporary` goes.
pub fn replace_flushed(path: &Path, temporary: &Path, content: &[u8], mode: u32) -> Result<(), PathError> {
    remove_if_there(temporary)?;
    let mut file = File::options().write(true).create_new(true).open(temporary).on("open", temporary)?;
    file.write_all(content).on("write", temporary)?;
    file.set_permissions(Permissions::from_mode(mode)).on("chmod", temporary)?;
    file.sync_all().on("fsync", temporary)?;
    rename(temporary, path)
}

/// Opens a file that may be in a stranger's directory: a link is not followed, what is no file is not waited for.
fn open_if_there(path: &Path) -> Result<Option<File>, PathError> {
    match open(path, OFlags::RDONLY, 0) {
        Err(Errno::NOENT) => Ok(None),
        opened => opened.map(Some).on("open", path),
    }
}

fn open(path: &Path, flags: OFlags, mode: u32) -> Result<File, Errno> {
    let (directory, name) = descriptors::at(path);
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    retry_on_intr(|| openat(directory, name, flags, Mode::from_raw_mode(mode))).map(File::from)
}

/// The most that [`read_small`] reads, in bytes.
const SMALL: u64 = 64 * 1024;

/// The content of a small file; see [`read_up_to`].
pub fn read_small(path: &Path) -> Result<Option<Vec<u8>>, PathError> {
    read_up_to(SMALL, path)
}

/// The content of a file of no more than `limit` bytes that may be in a stranger's directory: a link is not followed,
/// what is no file is not waited for. An empty file is what its copy says, if it has one ([`write_with_copy`]). `None` if
/// there is nothing there.
pub fn read_up_to(limit: u64, path: &Path) -> Result<Option<Vec<u8>>, PathError> {
    let Some(file) = open_if_there(path)? else { return Ok(None) };
    let metadata = file.metadata().on("stat", path)?;
    if !metadata.is_file() || metadata.len() > limit {
        return Err(PathError::new("read", path, io::Error::other("it is no small file")));
    }
    if metadata.len() == 0
        && let Some(mut copy) = xattr::get(&file, OsStr::new(COPY)).on("read", path)?
    {
        copy.truncate(copy.iter().position(|byte| *byte == END_OF_COPY).unwrap_or(copy.len()));
        return Ok(Some(copy));
    }
    read_whole(file.take(limit), metadata.len()).on("read", path).map(Some)
}

/// The same of a record that may be damaged: what is no file, or no small one, counts as none.
pub fn read_record(limit: u64, path: &Path) -> Result<Option<Vec<u8>>, PathError> {
    match read_up_to(limit, path) {
        Err(error) if is_no_small_file(&error) => Ok(None),
        read => read,
    }
}

/// Whether reading failed by what there is in the place of a file, rather than by the disk: links are `ELOOP`, sockets and
/// devices without a driver `ENXIO`.
pub fn is_no_small_file(error: &PathError) -> bool {
    match error.raw_os_error() {
        Some(number) => matches!(number, libc::ELOOP | libc::ENXIO | libc::ENODEV | libc::ENOTDIR),
        None => error.kind() == io::ErrorKind::Other,
    }
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
    let (directory, name) = descriptors::at(path);
    match unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        removed => removed.on("remove", path),
    }
}

/// What there is at `path` itself; `None` if nothing.
pub fn file_type(path: &Path) -> Result<Option<FileType>, PathError> {
    if descriptors::is_name(path) {
        return Ok(Some(FileType::from_raw_mode(status(path)?.mode())));
    }
    let (directory, name) = descriptors::at(path);
    dirfd::stat_name(directory, name.as_os_str()).map(|stat| stat.map(|stat| dirfd::file_type(&stat))).on("stat", path)
}

/// Whether there is a directory at `path` itself: a link to one is none.
pub fn is_directory(path: &Path) -> Result<bool, PathError> {
    Ok(file_type(path)?.is_some_and(|found| found.is_dir()))
}

/// Whether there is anything at `path`, a dangling symbolic link included.
pub fn exists(path: &Path) -> Result<bool, PathError> {
    Ok(file_type(path)?.is_some())
}

/// Opens a new file on the filesystem of `directory` that has no name, and goes when it is closed.
pub fn create_nameless(directory: &Path) -> Result<File, PathError> {
    let opened = open_directory(directory)?;
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
    openat(opened, ".", flags, Mode::RUSR | Mode::WUSR).map(File::from).on("open", directory)
}

/// Opens a directory. A link to one is not followed.
pub fn open_directory(path: &Path) -> Result<OwnedFd, PathError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let flags = if descriptors::is_name(path) { flags } else { flags | OFlags::NOFOLLOW };
    openat(CWD, path, flags, Mode::empty()).on("open", path)
}

/// Names of all entries of a directory that exists. A link to one is not followed.
pub fn entry_names(directory: &Path) -> Result<Vec<OsString>, PathError> {
    dirfd::names(open_directory(directory)?).on("read", directory)
}

/// The same with their types, as the directory has them.
pub fn entries(directory: &Path) -> Result<Vec<(OsString, FileType)>, PathError> {
    dirfd::entries(open_directory(directory)?).on("read", directory)
}

/// Names of all entries; none where there is no directory. Names that are not UTF-8 are left out: none of this program's are.
pub fn names(directory: &Path) -> Result<Vec<String>, PathError> {
    match entry_names(directory) {
        Ok(names) => Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}
