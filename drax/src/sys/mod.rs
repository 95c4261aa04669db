//! The system calls that the standard library does not have, each as a safe function over checked types.
//!
//! This is the only place of the crate with `unsafe` in it. It is cut by what the calls are about.

mod btrfs;
mod files;
pub mod ioctl;
mod process;
mod xfs;

pub(crate) use btrfs::*;
pub(crate) use files::*;
pub(crate) use process::*;
pub(crate) use xfs::*;

use std::io;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
