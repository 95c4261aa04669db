//! The content oracle: a created root filesystem equals what `umoci unpack` makes of the same layout, file by file.
//!
//! The images are real: busybox, a minimal Debian, and a stack of ten layers with replaced files, whiteouts, opaque
//! directories, hard links, capabilities and odd names; each also packed anew by `umoci`, `skopeo` and `buildah`.
//! `hack/make-test-images` makes them.
//!
//! Set aside are: device nodes, which an image of this store never has, and the attributes of the root directory,
//! which are the store's.

use std::path::Path;

use crate::support::{Node, TempStore, Tree, differences, test_images, umoci};

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
