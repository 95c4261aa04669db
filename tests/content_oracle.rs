//! The content oracle: a created root filesystem equals what `umoci unpack` makes of the same layout, file by file.
//!
//! The images are real: busybox, a minimal Debian, and a stack of ten layers with replaced files, whiteouts, opaque
//! directories, hard links, capabilities and odd names; each also packed anew by `umoci`, `skopeo` and `buildah`.
//! `hack/make-test-images` makes them.
//!
//! Set aside are: device nodes, which an image of this store never has, and the attributes of the root directory,
//! which are the store's.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};

use support::{Node, TempStore, Tree, differences, succeed};

fn test_images() -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-images");
    let directory = std::env::var_os("GROOTFS_TEST_IMAGES").map_or(default, PathBuf::from);
    assert!(
        directory.join("busybox/index.json").exists(),
        "no test images in {0}: run `sudo hack/make-test-images {0}`, or set GROOTFS_TEST_IMAGES to where they are",
        directory.display()
    );
    directory
}

/// What `umoci` makes of an image.
fn expected(image: &Path, scratch: &Path) -> Tree {
    let bundle = scratch.join("umoci");
    let image = format!("{}:latest", image.display());
    let _ = std::fs::remove_dir_all(&bundle);
    succeed("umoci", ["unpack", "--image", &image, &bundle.to_string_lossy()]);
    let mut tree = Node::read_tree(&bundle.join("rootfs"));
    let devices: Vec<PathBuf> = tree.extract_if(.., |_, node| node.kind == "device").map(|(path, _)| path).collect();
    println!("devices set aside: {devices:?}");
    tree
}

/// Compares every packing of an image with what `umoci` makes of it.
#[track_caller]
fn equals_umoci(image: &str, packings: &[&str]) {
    let images = test_images();
    let store = TempStore::with_size(4 * 1024 * support::MIB);
    for packing in packings {
        let name = format!("{image}{packing}");
        // umoci 0.4.7 reads no zstd: that packing is a copy of another, compressed anew.
        let readable = name.strip_suffix("-zstd").unwrap_or(&name);
        let expected = expected(&images.join(readable), store.path().parent().unwrap());
        let rootfs = store.create(&format!("oci://{}:latest", images.join(&name).display()), &name);
        let actual = Node::read_tree(&rootfs);
        let differences = differences(&expected, &actual, 20);
        assert!(differences.is_empty(), "{name}:\n{}", differences.join("\n"));
        store.ok(["delete", &name]);
    }
}

const PACKINGS: [&str; 5] = ["", "-umoci", "-skopeo", "-skopeo-zstd", "-buildah"];

#[test]
fn busybox_equals_what_umoci_makes() {
    equals_umoci("busybox", &PACKINGS);
}

#[test]
fn debian_equals_what_umoci_makes() {
    equals_umoci("debian", &PACKINGS);
}

#[test]
fn a_stack_of_ten_layers_equals_what_umoci_makes() {
    equals_umoci("stack", &PACKINGS);
}
