//! Thin typed wrappers over system calls: the only `unsafe` of this package lives below here.

pub mod files;
pub mod lock;
pub mod loop_device;
pub mod mount_point;
pub mod path_error;
pub mod remove_tree;
