//! `diff` and `commit` of what an overlay keeps elsewhere than in its upper directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::support::{Archive, Image, Layer, TempStore, mount, unmount_below};

/// Works in an image that was mounted with one more option, and unmounts it.
fn work_with(store: &TempStore, option: &str, work: impl FnOnce(&Path)) {
    let files =
        Archive::new().directory("kept", 0o755).file("kept/file", 0o644, b"content").file("plain", 0o644, b"before");
    let url = Image::new().layer(Layer::new(files.bytes())).write(&store.beside("image"), "latest");
    let printed: Value = serde_json::from_str(&store.ok(["create", "--without-mount", &url, "x"])).unwrap();
    let entry = &printed["mounts"][0];
    let options = format!("{},{option}", entry["options"][0].as_str().unwrap());
    let rootfs = store.rootfs("x");
    mount(Path::new(entry["source"].as_str().unwrap()), &rootfs, "overlay", &options);
    work(&rootfs);
    unmount_below(&rootfs);
}

#[test]
fn a_file_of_which_the_overlay_copied_the_attributes_alone_is_not_committed() {
    let store = TempStore::new();
    let destination = format!("oci://{}", store.beside("mine").display());
    work_with(&store, "metacopy=on", |rootfs| {
        fs::set_permissions(rootfs.join("plain"), fs::Permissions::from_mode(0o600)).unwrap();
    });
    assert_eq!(store.ok(["diff", "x"]), "C /plain\n");
    let refused = store.fails(["commit", "x", &destination]);
    assert!(refused.starts_with("pack plain: its content is in a layer below (metacopy"), "{refused}");
    store.ok(["delete", "x"]);
    work_with(&store, "metacopy=on", |rootfs| {
        fs::set_permissions(rootfs.join("plain"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::File::options().append(true).open(rootfs.join("plain")).unwrap();
    });
    store.ok(["commit", "x", &destination]);
    store.ok(["create", &format!("{destination}:latest"), "y"]);
    assert_eq!(fs::read_to_string(store.rootfs("y").join("plain")).unwrap(), "before");
}

#[test]
fn a_directory_that_the_overlay_redirects_is_not_compared() {
    let store = TempStore::new();
    work_with(&store, "redirect_dir=on", |rootfs| {
        fs::rename(rootfs.join("kept"), rootfs.join("renamed")).unwrap();
    });
    let destination = format!("oci://{}", store.beside("mine").display());
    for arguments in [&["diff", "x"][..], &["commit", "x", &destination]] {
        let refused = store.fails(arguments);
        assert!(refused.contains("renamed: it was renamed by a redirection of the overlay"), "{refused}");
    }
}
