//! Images that are made to do harm: to the host, to other images, or to whoever cleans up after them.

use std::fs;
use std::path::PathBuf;

use nix::mount::{MntFlags, umount2};
use rustix::fs::{XattrFlags, setxattr};

use crate::support::{Archive, DRIVER, Driver, Image, Layer, Node, TempStore, layers, mount, small_image, wait_for};

fn image(store: &TempStore, name: &str, archives: impl IntoIterator<Item = Archive>) -> String {
    let image = archives.into_iter().fold(Image::new(), |image, archive| image.layer(Layer::new(archive.bytes())));
    image.write(&store.beside(name), "latest")
}

/// Where the only layer in the store has its files.
fn only_volume(store: &TempStore) -> PathBuf {
    let [volume] = &store.volumes()[..] else { panic!("{:?}", store.volumes()) };
    store.path().join("volumes").join(volume)
}

/// XFS keeps access control lists in attributes of this name, and opens no directory with one that it cannot read.
const XFS_ACL: &str = "trusted.SGI_ACL_FILE";

#[test]
fn an_attribute_that_speaks_for_the_filesystem_or_the_overlay_is_left_out_and_logged() {
    let store = TempStore::new();
    let names = [XFS_ACL, "trusted.SGI_ACL_DEFAULT", "trusted.overlay.redirect", "user.overlay.opaque", "trusted.any"];
    let archive = names.iter().fold(Archive::new(), |archive, name| archive.xattr(name, b"y"));
    let archive = archive.xattr("security.ima", b"x").xattr("system.posix_acl_access", b"y").xattr("user.", b"x");
    let url = image(&store, "image", [archive.xattr("user.kept", b"y").directory("d", 0o755).file("d/f", 0o644, b"x")]);
    let log = store.beside("log");
    store.ok(["--log-level", "debug", "--log-file", log.to_str().unwrap(), "create", &url, "x"]);
    let xattrs = Node::read(&store.rootfs("x").join("d")).xattrs;
    assert_eq!(xattrs.keys().collect::<Vec<_>>(), ["user.kept"]);
    let logged = fs::read_to_string(log).unwrap();
    assert!(names.iter().all(|name| logged.contains(&format!(r#""name":"{name}""#))), "{logged}");
    store.ok(["delete", "x"]);
    store.ok(["clean"]);
    assert!(store.volumes().is_empty());
}

#[test]
fn a_directory_that_cannot_be_opened_can_be_removed() {
    let store = TempStore::new();
    // For their owner the kernel looks at no list.
    let archive = Archive::new().owner(4711, 4711).directory("d/empty", 0o755).directory("full", 0o755);
    let archive = archive.file("full/f", 0o644, b"x");
    store.create(&image(&store, "image", [archive]), "x");
    // As older versions let images do.
    for name in ["d/empty", "full"] {
        setxattr(only_volume(&store).join(name), XFS_ACL, b"y", XattrFlags::empty()).unwrap();
    }
    store.ok(["delete", "x"]);
    // The kernel knows the directories from before.
    wait_for("unmounting", || umount2(store.path(), MntFlags::empty()).is_ok());
    mount(&store.backing_file(), store.path(), DRIVER.filesystem(), "loop");
    if DRIVER == Driver::OverlayXfs {
        assert!(fs::read_dir(only_volume(&store).join("full")).is_err(), "the attribute does no harm");
    }
    store.ok(["clean"]);
    assert!(store.volumes().is_empty());
    store.ok(["delete-store"]);
}

#[test]
fn an_attribute_that_is_too_large_is_no_full_store() {
    let store = TempStore::new();
    let (unused, chain) = layers(&store, "unused", 2);
    store.create(&unused, "unused");
    store.ok(["delete", "unused"]);
    // XFS has room for that with any file, btrfs for less than a block.
    let archive = Archive::new().xattr("user.large", &vec![b'x'; 60_000]).file("f", 0o644, b"");
    let url = image(&store, "image", [archive]);
    if DRIVER == Driver::OverlayXfs {
        store.create(&url, "x");
    } else {
        let message = store.fails(["create", &url, "x"]);
        let expected =
            "setting xattr `user.large` for file `f`: 60000 bytes are more than the filesystem keeps with one";
        assert!(message.contains(expected) && !message.contains("no space"), "{message}");
    }
    let mut left = store.volumes();
    left.retain(|volume| chain.contains(volume));
    assert_eq!(left.len(), 2, "layers that no image uses were sacrificed");
}

#[test]
fn a_symlink_that_leads_nowhere_gives_way_to_a_directory() {
    let store = TempStore::new();
    let long = "x".repeat(256);
    let targets = ["self", "/self", "self/..", "other", "nothing", "file", "file/x", long.as_str()];
    for (number, target) in targets.iter().enumerate() {
        let lower = Archive::new().file("file", 0o644, b"").symlink("other", "self").symlink("self", target);
        let url = image(&store, &format!("image-{number}"), [lower, Archive::new().file("self/x", 0o644, b"inside")]);
        let rootfs = store.create(&url, &number.to_string());
        assert!(fs::symlink_metadata(rootfs.join("self")).unwrap().is_dir(), "{target}");
        assert_eq!(fs::read_to_string(rootfs.join("self/x")).unwrap(), "inside", "{target}");
    }
    store.create(&small_image(&store.beside("small")), "small");
}
