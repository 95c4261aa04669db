//! Disk quotas by system call, and the setuid helper built on them.
//!
//! Two users share this crate. `grootfs` running as root calls [`xfs`] and [`btrfs`] directly. A caller without the
//! privilege runs the binary `drax` (see [`helper`]), which carries the setuid bit; that is why the crate depends on
//! `libc` and nothing else.
//!
//! Nothing here takes a path where a descriptor will do: whoever opened the directory has decided which one it is.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod btrfs;
mod error;
pub mod helper;
mod limit;
mod sys;
pub mod xfs;

pub use error::{Error, Operation};
pub use limit::{DiskLimit, InodeLimit, MINIMUM_BYTES, SmallerThanLayers, proportional_inodes};
pub use sys::ioctl;
