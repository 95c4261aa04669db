//! Thin typed wrappers over raw system calls: the only place for `unsafe`. They know nothing of images or stores.

pub mod confine;
pub mod dirfd;
pub mod xattr;
