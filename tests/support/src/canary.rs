//! A tree beside the store that nothing may change: the oracle of tests that try to reach outside.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, setxattr};

use crate::store::{TempStore, mount_points_below};
use crate::tree::{Node, Tree, differences};

/// What files of the canary say, and no file of an image may.
pub const CANARY_CONTENT: &str = "of the host";

/// A directory with files, a directory, a link and an attribute, and how all of it was.
pub struct Canary {
    /// Where the tree is.
    pub path: PathBuf,
    tree: Tree,
    /// Change times, which tell of attributes, owners and links too, with what is around.
    changed: Vec<(PathBuf, i64, i64)>,
    mounts: usize,
}

impl Canary {
    /// Beside a store, so that `../` leads there from wherever files of images are.
    pub fn beside(store: &TempStore) -> Self {
        let path = store.beside("canary");
        fs::create_dir_all(path.join("directory")).unwrap();
        for file in ["file", "directory/file", ".wh.file"] {
            fs::write(path.join(file), CANARY_CONTENT).unwrap();
        }
        std::os::unix::fs::symlink("file", path.join("link")).unwrap();
        setxattr(path.join("file"), "user.canary", b"x", XattrFlags::empty()).unwrap();
        let (tree, changed) = (Node::read_tree(&path), changed(&path));
        let mounts = mount_points_below(&path).len();
        Canary { path, tree, changed, mounts }
    }

    /// Fails if anything is not as it was.
    #[track_caller]
    pub fn is_unharmed(&self, context: &str) {
        let tree = Node::read_tree(&self.path);
        assert!(tree == self.tree, "{context}: {:?}", differences(&self.tree, &tree, 10));
        assert_eq!(changed(&self.path), self.changed, "{context}");
        assert_eq!(mount_points_below(&self.path).len(), self.mounts, "{context}");
    }
}

fn changed(path: &Path) -> Vec<(PathBuf, i64, i64)> {
    let mut found: Vec<_> = Node::read_tree(path).into_keys().map(|below| path.join(below)).collect();
    found.push(path.to_owned());
    let status = |path: PathBuf| {
        let status = fs::symlink_metadata(&path).unwrap();
        (path, status.ctime(), status.ctime_nsec())
    };
    found.into_iter().map(status).collect()
}
