//! Real images, and what an independent program makes of them.

#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};

use super::command::succeed;
use super::tree::{Node, Tree};

/// Where `hack/make-test-images` has put the images.
pub(crate) fn test_images() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-images");
    let directory = std::env::var_os("GROOTFS_TEST_IMAGES").map_or(default, PathBuf::from);
    assert!(
        directory.join("busybox/index.json").exists(),
        "no test images in {0}: run `sudo hack/make-test-images {0}`, or set GROOTFS_TEST_IMAGES to where they are",
        directory.display()
    );
    directory
}

/// What `umoci` makes of an image, but for devices.
pub(crate) fn umoci(layout: &Path, bundle: &Path) -> Tree {
    let image = format!("{}:latest", layout.display());
    succeed("umoci", ["unpack", "--image", &image, &bundle.to_string_lossy()]);
    let mut tree = Node::read_tree(&bundle.join("rootfs"));
    std::fs::remove_dir_all(bundle).unwrap();
    let is_device = |path: &PathBuf| tree[path].kind == "device";
    let devices: Vec<PathBuf> = tree.keys().filter(|path| is_device(path)).cloned().collect();
    tree.retain(|_, node| node.kind != "device");
    println!("{}: devices set aside: {devices:?}", layout.display());
    tree
}
