//! Thin typed wrappers over system calls: the only place for `unsafe`. They know nothing of images or stores.

pub mod argv;
pub mod btrfs;
pub mod caller;
pub mod confine;
pub mod descriptors;
pub mod dirfd;
pub mod files;
pub mod idmapped_mount;
pub mod kernel;
pub mod lock;
pub mod loop_device;
pub mod mount_namespace;
pub mod mount_point;
pub mod owner;
pub mod path_error;
pub mod program;
pub mod random;
pub mod remove_tree;
pub mod signals;
pub mod space;
pub mod start;
pub mod stdout;
pub mod subordinate_ids;
pub mod userns;
pub mod xattr;
pub mod xfs;
