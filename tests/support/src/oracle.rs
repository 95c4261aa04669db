//! Real images, and what an independent program makes of them.

#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};

use crate::command::succeed;
use crate::tree::{Node, Tree};

/// Where `hack/make-test-images` has put the images.
pub fn test_images() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/test-images");
    let directory = std::env::var_os("GROOTFS_TEST_IMAGES").map_or(default, PathBuf::from);
    assert!(
        directory.join("busybox/index.json").exists(),
        "no test images in {0}: run `sudo hack/make-test-images {0}`, or set GROOTFS_TEST_IMAGES to where they are",
        directory.display()
    );
    directory
}

/// What `umoci` makes of an image, but for devices.
pub fn umoci(layout: &Path, bundle: &Path) -> Tree {
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

/// What buildah makes of an image, `oci-archive:FILE` or `docker://HOST/NAME:TAG`, but for devices. Its storage is below
/// `directory`.
pub fn buildah(image: &str, directory: &Path) -> Tree {
    let (root, run) = (directory.join("root"), directory.join("run"));
    let [root, run] = [root, run].map(|path| path.to_string_lossy().into_owned());
    let storage = ["--root", &root, "--runroot", &run, "--storage-driver", "vfs"];
    let buildah = |arguments: &[&str]| succeed("buildah", [&storage[..], arguments].concat()).trim().to_owned();
    let container = buildah(&["from", "--quiet", "--pull-always", "--tls-verify=false", image]);
    let mut tree = Node::read_tree(Path::new(&buildah(&["mount", &container])));
    tree.retain(|_, node| node.kind != "device");
    buildah(&["rm", &container]);
    std::fs::remove_dir_all(directory).unwrap();
    tree
}

/// A tree with every owner as the mapping has it, those in attributes included.
pub fn shifted(tree: &Tree, map: impl Fn(u32) -> u32) -> Tree {
    let mut tree = tree.clone();
    for node in tree.values_mut() {
        node.owner = (map(node.owner.0), map(node.owner.1));
        if let Some(value) = node.xattrs.get_mut("security.capability") {
            assert_eq!(value[3], 2, "the image's capabilities count for root, whoever that is");
            value[3] = 3;
            value.extend(map(0).to_le_bytes());
        }
        for (name, value) in &mut node.xattrs {
            if name.starts_with("system.posix_acl") {
                for entry in value[4..].chunks_exact_mut(8).filter(|entry| matches!(entry[0], 0x02 | 0x08)) {
                    let id = u32::from_le_bytes(entry[4..].try_into().unwrap());
                    entry[4..].copy_from_slice(&map(id).to_le_bytes());
                }
            }
        }
    }
    tree
}
