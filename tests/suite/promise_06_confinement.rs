//! Promise 6: an image can only write inside its own layer, whatever its archive says.

use std::fs;
use std::path::Path;

use crate::support::{Archive, Image, Layer, TempStore, write_archive};

/// Writes an archive beside the store and creates an image from it.
fn unpack(store: &TempStore, archive: Archive) -> std::path::PathBuf {
    let path = write_archive(store.path().parent().unwrap(), "base.tar", &archive.bytes());
    store.create(path.to_str().unwrap(), "x")
}

#[test]
fn promise_06_names_that_climb_out_stay_inside() {
    let store = TempStore::new();
    let archive = Archive::new()
        .file("../file_outside_root", 0o644, b"caught")
        .file("/absolute", 0o644, b"relative")
        .symlink("up", "../../../../../..")
        .file("up/through-link", 0o644, b"caught too")
        .directory("real", 0o755)
        .symlink("link", "/real")
        .file("link/inside", 0o644, b"below the layer's own root");
    let rootfs = unpack(&store, archive);
    assert_eq!(fs::read(rootfs.join("file_outside_root")).unwrap(), b"caught");
    assert_eq!(fs::read(rootfs.join("absolute")).unwrap(), b"relative");
    assert_eq!(fs::read(rootfs.join("real/inside")).unwrap(), b"below the layer's own root");
    for outside in ["/real", "/file_outside_root", "/through-link", "/absolute"] {
        assert!(!Path::new(outside).exists(), "{outside} was written");
    }
    assert_eq!(store.volumes().len(), 1);
    assert!(!store.path().join("volumes/file_outside_root").exists());
}

#[test]
fn promise_06_a_hard_link_cannot_reach_outside() {
    let store = TempStore::new();
    let archive = Archive::new().symlink("out", "/etc").hard_link("stolen", "out/passwd").bytes();
    let path = write_archive(store.path().parent().unwrap(), "base.tar", &archive);
    let outcome = store.run(["create", path.to_str().unwrap(), "x"]);
    assert_eq!(outcome.code, Some(1), "there is no etc/passwd in the layer: {outcome:?}");
    assert_eq!(store.volumes(), [""; 0]);
}

#[test]
fn promise_06_layers_that_climb_or_lie_change_nothing_outside() {
    let store = TempStore::new();
    let before = fs::read("/etc/passwd").unwrap();
    let archive = Archive::new()
        .symlink("a", "/etc")
        .file("a/passwd", 0o644, b"owned")
        .symlink("b", "/proc/self/root/etc")
        .file("b/passwd", 0o644, b"owned")
        .directory("c", 0o755)
        .file("c/../../../../../etc/passwd", 0o644, b"owned")
        .whiteout("a/shadow")
        .whiteout("../../meta")
        .opaque("../../..");
    let path = write_archive(store.path().parent().unwrap(), "hostile.tar", &archive.bytes());
    store.run(["create", path.to_str().unwrap(), "x"]);
    assert!(fs::read("/etc/passwd").unwrap() == before);
    assert!(store.path().join("meta/namespace.json").exists());
}

#[test]
fn promise_06_a_link_of_a_lower_layer_does_not_lead_out_either() {
    let store = TempStore::new();
    let url = Image::new()
        .layer(Layer::new(Archive::new().symlink("etc", "/etc").symlink("up", "../../..").bytes()))
        .layer(Layer::new(
            Archive::new().file("etc/grootfs-escape", 0o644, b"").file("up/grootfs-escape", 0o644, b"").bytes(),
        ))
        .write(&store.beside("image"), "latest");
    store.run(["create", &url, "x"]);
    assert!(!Path::new("/etc/grootfs-escape").exists());
    assert!(!store.path().join("grootfs-escape").exists());
    assert!(!store.path().join("volumes/grootfs-escape").exists());
}

#[test]
fn promise_06_a_base_directory_does_not_lead_out() {
    let store = TempStore::new();
    for directory in ["/../../escape", "../escape", "relative", "/link/escape"] {
        let url = Image::new()
            .layer(Layer::new(Archive::new().symlink("link", "/etc").bytes()))
            .layer(Layer::new(Archive::new().file("file", 0o644, b"").bytes()).base_directory(directory))
            .write(&store.beside("image"), "latest");
        store.run(["create", &url, "x"]);
        store.run(["delete", "x"]);
        store.ok(["clean"]);
        assert!(!store.path().join("escape").exists() && !Path::new("/etc/escape").exists(), "{directory}");
        assert!(store.leftovers().is_empty(), "{directory}: {:?}", store.leftovers());
    }
}
