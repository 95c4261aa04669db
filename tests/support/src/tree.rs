//! Reads a directory tree with everything an image can say about a file, and compares two of them.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::sha256_hex;

/// One file, as a user of the tree sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `file`, `directory`, `symlink`, `fifo`, `device` or `socket`.
    pub kind: &'static str,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Modification time: seconds, nanoseconds.
    pub mtime: (i64, i64),
    /// Hard links; 0 for directories, whose count filesystems disagree about.
    pub links: u64,
    /// Digest of a file's content, or a symbolic link's target.
    pub content: String,
    /// Extended attributes.
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

/// All files of a tree by their path below its root, the root itself left out.
pub type Tree = BTreeMap<PathBuf, Node>;

impl Node {
    /// Reads one file, links not followed.
    pub fn read(path: &Path) -> Self {
        let metadata = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("stat {}: {e}", path.display()));
        let file_type = metadata.file_type();
        let (kind, content) = if file_type.is_dir() {
            ("directory", String::new())
        } else if file_type.is_symlink() {
            ("symlink", fs::read_link(path).expect("link read").to_string_lossy().into_owned())
        } else if file_type.is_file() {
            ("file", sha256_hex(&fs::read(path).unwrap_or_else(|e| panic!("read {}: {e}", path.display()))))
        } else if file_type.is_fifo() {
            ("fifo", String::new())
        } else if file_type.is_socket() {
            ("socket", String::new())
        } else {
            ("device", format!("{:x}", metadata.rdev()))
        };
        Node {
            kind,
            mode: metadata.mode() & 0o7777,
            owner: (metadata.uid(), metadata.gid()),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            links: if file_type.is_dir() { 0 } else { metadata.nlink() },
            content,
            xattrs: xattrs(path),
        }
    }

    /// Reads a tree, sorted by path.
    pub fn read_tree(root: &Path) -> Tree {
        let mut tree = Tree::new();
        let mut pending = vec![root.to_owned()];
        while let Some(directory) = pending.pop() {
            for entry in fs::read_dir(&directory).unwrap_or_else(|e| panic!("list {}: {e}", directory.display())) {
                let path = entry.expect("entry").path();
                let node = Node::read(&path);
                if node.kind == "directory" {
                    pending.push(path.clone());
                }
                tree.insert(path.strip_prefix(root).expect("below the root").to_owned(), node);
            }
        }
        tree
    }
}

/// What differs, one line a path, at most the first `limit`.
pub fn differences(expected: &Tree, actual: &Tree, limit: usize) -> Vec<String> {
    let paths: std::collections::BTreeSet<_> = expected.keys().chain(actual.keys()).collect();
    let lines = paths.into_iter().filter_map(|path| match (expected.get(path), actual.get(path)) {
        (Some(e), Some(a)) if e == a => None,
        (Some(e), Some(a)) => Some(format!("{}:\n  expected {e:?}\n  actual   {a:?}", path.display())),
        (Some(e), None) => Some(format!("{}: missing, expected {e:?}", path.display())),
        (None, Some(a)) => Some(format!("{}: not expected: {a:?}", path.display())),
        (None, None) => None,
    });
    lines.take(limit).collect()
}

/// Every extended attribute that root can see, except those that overlayfs keeps for itself.
fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0_u8; 64 * 1024];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap_or(0);
    let names = names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let kept = names.filter(|name| !name.starts_with(b"trusted.overlay."));
    kept.map(|name| {
        let mut value = vec![0_u8; 64 * 1024];
        let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value)
            .unwrap_or_else(|e| panic!("getxattr {}: {e}", path.display()));
        value.truncate(length);
        (OsString::from_vec(name.to_vec()).to_string_lossy().into_owned(), value)
    })
    .collect()
}
