//! Extended attributes by descriptor (xattr(7)).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    CWD, Mode, OFlags, XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr, getxattr, lsetxattr, openat,
    setxattr,
};
use rustix::io::Errno;

use super::descriptors;

/// Longest value and longest list of names (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX` in linux/limits.h).
const LIMIT: usize = 65536;

/// Sets `name` of the open file to `value`.
///
/// # Errors
/// Those of fsetxattr(2).
pub fn set(file: impl AsFd, name: &OsStr, value: &[u8]) -> io::Result<()> {
    Ok(fsetxattr(file, name, value, XattrFlags::empty())?)
}

/// Sets `name` of the directory at `path`. A link in its place is not followed.
///
/// # Errors
/// Those of setxattr(2) and, unless `path` is the name of a descriptor, of open(2).
pub fn set_of_directory(path: &Path, name: &OsStr, value: &[u8]) -> io::Result<()> {
    if descriptors::is_name(path) {
        return Ok(setxattr(path, name, value, XattrFlags::empty())?);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    set(openat(CWD, path, flags, Mode::empty())?, name, value)
}

/// Sets `name` of the file called `path`, a symlink itself if it is one. The path is resolved as the calling thread
/// sees it: give a bare name in the thread's own working directory.
///
/// # Errors
/// Those of lsetxattr(2).
pub fn set_by_path(path: &OsStr, name: &OsStr, value: &[u8]) -> io::Result<()> {
    Ok(lsetxattr(path, name, value, XattrFlags::empty())?)
}

/// The value of `name`, or `None` if the open file has no such attribute or its filesystem none at all.
///
/// # Errors
/// Those of fgetxattr(2) but `ENODATA` and `ENOTSUP`.
pub fn get(file: impl AsFd, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
    read(|value| fgetxattr(file.as_fd(), name, value))
}

/// The same, of the directory at `path`; give the name of a descriptor (see [`super::descriptors`]), which no link can stand
/// for.
///
/// # Errors
/// Those of getxattr(2) but `ENODATA` and `ENOTSUP`.
pub fn get_of_directory(path: &Path, name: &OsStr) -> io::Result<Option<Vec<u8>>> {
    read(|value| getxattr(path, name, value))
}

fn read(mut call: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; 256];
    loop {
        match call(&mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                return Ok(Some(value));
            }
            Err(Errno::RANGE) if value.len() < LIMIT => value.resize(LIMIT, 0),
            Err(Errno::NODATA | Errno::NOTSUP) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The names of all attributes of the open file; none if its filesystem has no attributes.
///
/// # Errors
/// Those of flistxattr(2) but `ENOTSUP`.
pub fn list(file: impl AsFd) -> io::Result<Vec<OsString>> {
    let mut names = vec![0; 1024];
    loop {
        match flistxattr(file.as_fd(), &mut names[..]) {
            Ok(length) => {
                let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
                return Ok(names.map(|name| OsStr::from_bytes(name).to_owned()).collect());
            }
            Err(Errno::RANGE) if names.len() < LIMIT => names.resize(LIMIT, 0),
            Err(Errno::NOTSUP) => return Ok(Vec::new()),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Removes `name` of the open file.
///
/// # Errors
/// Those of fremovexattr(2).
pub fn remove(file: impl AsFd, name: &OsStr) -> io::Result<()> {
    Ok(fremovexattr(file, name)?)
}
