//! What modules do with the privileges of root, called without the program around them: files of any owner, devices,
//! extended attributes in `trusted.*`, mounts and namespaces. Tests beside the code pass as any user; these need root.

#![allow(clippy::unwrap_used)]

mod threads;
mod unpacker;
