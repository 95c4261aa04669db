//! The content oracle: a created root filesystem equals what `umoci unpack` makes of the same layout, file by file.
//!
//! The images are real: busybox, a minimal Debian, and a stack of ten layers with replaced files, whiteouts, opaque
//! directories, hard links, capabilities and odd names; each also packed anew by `umoci`, `skopeo` and `buildah`.
//! `hack/make-test-images` makes them.
//!
//! Set aside are: device nodes, which an image of this store never has, and the attributes of the root directory,
//! which are the store's.

#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};

use crate::support::{Node, TempStore, Tree, differences, succeed};

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
fn umoci(layout: &Path, bundle: &Path) -> Tree {
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

#[track_caller]
fn assert_created_equals(store: &TempStore, layout: &Path, expected: &Tree) {
    let id = layout.file_name().unwrap().to_str().unwrap();
    let actual = Node::read_tree(&store.create(&format!("oci://{}:latest", layout.display()), id));
    let differences = differences(expected, &actual, 20);
    assert!(differences.is_empty(), "{id}:\n{}", differences.join("\n"));
    store.ok(["delete", id]);
    store.ok(["clean"]);
}

/// `umoci` and `buildah` add a layer of their own to the image, so that each is its own oracle; `skopeo` repacks the
/// same content, once by way of Docker's formats and once with zstd, which `umoci` cannot read.
#[track_caller]
fn equals_umoci(name: &str) {
    let layout = |packing: &str| test_images().join(format!("{name}{packing}"));
    let store = TempStore::with_size(4 * 1024 * crate::support::MIB);
    let bundle = store.beside("umoci");
    let original = umoci(&layout(""), &bundle);
    for packing in ["", "-skopeo", "-skopeo-zstd"] {
        assert_created_equals(&store, &layout(packing), &original);
    }
    for packing in ["-umoci", "-buildah"] {
        assert_created_equals(&store, &layout(packing), &umoci(&layout(packing), &bundle));
    }
}

#[test]
fn busybox_equals_what_umoci_makes() {
    equals_umoci("busybox");
}

#[test]
fn debian_equals_what_umoci_makes() {
    equals_umoci("debian");
}

#[test]
fn a_stack_of_ten_layers_equals_what_umoci_makes() {
    equals_umoci("stack");
}
