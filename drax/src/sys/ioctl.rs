//! ioctl(2) by typed requests. The number of a request is composed of its type, as `<asm-generic/ioctl.h>` does, so it
//! cannot disagree with the structure that is passed; its type is the one that the C library wants.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

/// A request whose argument is one `T`.
#[derive(Debug)]
pub struct Request<T> {
    number: libc::Ioctl,
    argument: PhantomData<fn(&mut T)>,
}

impl<T> Request<T> {
    /// `_IOR(group, number, T)`: the kernel fills a `T`.
    ///
    /// # Safety
    /// The kernel writes nothing but one `T`, any value of which is valid, and keeps no reference to it.
    pub const unsafe fn read(group: u8, number: u8) -> Self {
        Self { number: libc::_IOR::<T>(group as u32, number as u32), argument: PhantomData }
    }

    /// `_IOW(group, number, T)`: the kernel reads a `T`.
    ///
    /// # Safety
    /// As for [`Request::read`].
    pub const unsafe fn write(group: u8, number: u8) -> Self {
        Self { number: libc::_IOW::<T>(group as u32, number as u32), argument: PhantomData }
    }

    /// `_IOWR(group, number, T)`: the kernel reads a `T` and changes it.
    ///
    /// # Safety
    /// As for [`Request::read`].
    pub const unsafe fn read_write(group: u8, number: u8) -> Self {
        Self { number: libc::_IOWR::<T>(group as u32, number as u32), argument: PhantomData }
    }

    /// `_IOWR(group, number, Head)`, where a `T` is a `Head` with the room that it announces behind it.
    ///
    /// # Safety
    /// As for [`Request::read`], as long as the head announces no more than `T` has.
    pub const unsafe fn read_write_behind<Head>(group: u8, number: u8) -> Self {
        assert!(size_of::<Head>() <= size_of::<T>());
        Self { number: libc::_IOWR::<Head>(group as u32, number as u32), argument: PhantomData }
    }

    /// A request from before numbers had a size in them.
    ///
    /// # Safety
    /// As for [`Request::read`].
    pub const unsafe fn unsized_number(number: u16) -> Self {
        Self { number: number as libc::Ioctl, argument: PhantomData }
    }

    /// Makes the request. Returns the kernel's answer, which is 0 for most.
    ///
    /// # Errors
    /// Those of the request.
    pub fn submit(&self, file: BorrowedFd<'_>, argument: &mut T) -> io::Result<libc::c_int> {
        // SAFETY: whoever made the request vouched for its type; the reference is valid for reads and writes of a `T`.
        check(unsafe { libc::ioctl(file.as_raw_fd(), self.number, std::ptr::from_mut(argument)) })
    }
}

/// A request whose argument is a number, or nothing.
#[derive(Debug)]
pub struct Command(libc::Ioctl);

impl Command {
    /// `_IO(group, number)`
    ///
    /// # Safety
    /// The kernel does not take the argument for an address.
    pub const unsafe fn new(group: u8, number: u8) -> Self {
        Self(libc::_IO(group as u32, number as u32))
    }

    /// Makes the request. Returns the kernel's answer, which is 0 for most.
    ///
    /// # Errors
    /// Those of the request.
    pub fn submit(&self, file: BorrowedFd<'_>, argument: usize) -> io::Result<libc::c_int> {
        // SAFETY: whoever made the command vouched that the argument is no address.
        check(unsafe { libc::ioctl(file.as_raw_fd(), self.0, argument) })
    }
}

#[cfg(test)]
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_header_files() {
        // SAFETY: none of them is submitted.
        let numbers = unsafe {
            [
                Request::<[u8; 28]>::read(b'X', 31).number,
                Request::<[u8; 28]>::write(b'X', 32).number,
                Request::<[u8; 16]>::read_write(0x94, 40).number,
                Request::<[u8; 4096]>::read_write_behind::<[u8; 112]>(0x94, 17).number,
                Request::<[u8; 304]>::unsized_number(0x4c0a).number,
                Command::new(0x94, 46).0,
            ]
        };
        // FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR, BTRFS_IOC_QUOTA_CTL, BTRFS_IOC_TREE_SEARCH_V2, LOOP_CONFIGURE and
        // BTRFS_IOC_QUOTA_RESCAN_WAIT, as a C compiler has them.
        assert_eq!(numbers.map(|n| n as u32), [0x801c_581f, 0x401c_5820, 0xc010_9428, 0xc070_9411, 0x4c0a, 0x942e]);
    }
}
