//! A user whose store has no mappings: everything belongs to that one user.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::rootless::{USER, UsersStore};
use crate::support::{Archive, DRIVER, Driver, Image, Layer, small_image};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).mode() & 0o7777
}

#[test]
fn everything_is_the_user_s() {
    let store = UsersStore::unmapped();
    let archive = Archive::new().owner(33, 33).file("www", 0o4750, b"").owner(0, 0).file("root", 0o600, b"").bytes();
    let url = Image::new().layer(Layer::new(archive)).write(&store.images().join("image"), "latest");
    let rootfs = store.create_and_show(&url, "x");
    for name in ["www", "root"] {
        assert_eq!(fs::metadata(rootfs.join(name)).unwrap().uid(), USER, "{name}");
    }
    assert_eq!(mode(&rootfs.join("www")), 0o4750);
}

#[test]
fn volumes_of_the_image_begin_with_what_it_has_there() {
    let store = UsersStore::unmapped();
    let archive = Archive::new().owner(33, 33).directory("data", 0o550).file("data/file", 0o400, b"www's").bytes();
    let image = Image::new().layer(Layer::new(archive)).volume("/data");
    let printed = store.create(&image.write(&store.images().join("image"), "latest"), "x");
    let source = Path::new(printed["mounts"].as_array().unwrap().last().unwrap()["source"].as_str().unwrap());
    assert_eq!((mode(source), fs::metadata(source).unwrap().uid()), (0o550, USER));
    assert_eq!(fs::read_to_string(source.join("file")).unwrap(), "www's");
    store.ok(&["delete", "x"]);
    store.ok(&["clean"]);
    store.is_empty();
}

/// As `/root` is in images of some distributions. Not even the user that owns it all may write there.
#[test]
fn directories_that_let_nobody_write_are_filled_changed_and_deleted() {
    let store = UsersStore::unmapped();
    let lower = Archive::new()
        .directory("root", 0o550)
        .file("root/.profile", 0o400, b"first")
        .file("root/gone", 0o400, b"")
        .directory("root/deep", 0o555)
        .file("root/deep/kept", 0o444, b"kept")
        .file("root/deep/hidden", 0o444, b"")
        .directory("closed", 0o000)
        .file("closed/in", 0o000, b"in");
    let upper = Archive::new()
        .file("root/.wh.gone", 0o644, b"")
        .file("root/new", 0o444, b"new")
        .hard_link("root/deep/link", "root/deep/kept")
        .file("root/deep/.wh.hidden", 0o644, b"");
    let top =
        Archive::new().directory("root", 0o500).file("root/.wh..wh..opq", 0o644, b"").file("root/last", 0o400, b"");
    let layers = [lower, upper, top].map(Archive::bytes);
    let image = |name: &str, layers: &[Vec<u8>]| {
        let add = |image: Image, archive: &Vec<u8>| image.layer(Layer::new(archive.clone()));
        layers.iter().fold(Image::new(), add).write(&store.images().join(name), "latest")
    };
    let (below, url) = (image("below", &layers[..2]), image("image", &layers));

    let rootfs = store.create_and_show(&below, "below");
    assert_eq!(
        (mode(&rootfs.join("root")), mode(&rootfs.join("root/deep")), mode(&rootfs.join("closed"))),
        (0o550, 0o555, 0)
    );
    assert_eq!(names(&rootfs.join("root")), [".profile", "deep", "new"]);
    assert_eq!(names(&rootfs.join("root/deep")), ["kept", "link"]);
    assert_eq!(fs::metadata(rootfs.join("root/deep/kept")).unwrap().nlink(), 2);
    assert_eq!(fs::read_to_string(rootfs.join("closed/in")).unwrap(), "in");

    let rootfs = store.create_and_show(&url, "x");
    assert_eq!(mode(&rootfs.join("root")), 0o500);
    assert_eq!(names(&rootfs.join("root")), ["last"]);

    for id in ["below", "x"] {
        if *DRIVER == Driver::OverlayXfs {
            crate::support::unmount_below(&store.store.rootfs(id));
        }
        store.ok(&["delete", id]);
    }
    store.ok(&["clean"]);
    store.is_empty();
}

fn names(directory: &Path) -> Vec<String> {
    crate::support::names(directory)
}

#[test]
fn directories_that_let_nobody_read_are_described_again() {
    let store = UsersStore::unmapped();
    let lower = Archive::new()
        .directory("drop", 0o300)
        .file("drop/old", 0o644, b"")
        .directory("drop/in", 0o100)
        .directory("closed", 0o000)
        .file("closed/in", 0o644, b"");
    let upper = Archive::new()
        .directory("drop", 0o311)
        .directory("drop/in", 0o000)
        .file("drop/in/new", 0o644, b"")
        .xattr("user.note", b"of the upper layer")
        .directory("closed", 0o000);
    let image = Image::new().layer(Layer::new(lower.bytes())).layer(Layer::new(upper.bytes()));
    let rootfs = store.create_and_show(&image.write(&store.images().join("image"), "latest"), "x");
    let modes = ["drop", "drop/in", "closed"].map(|name| mode(&rootfs.join(name)));
    assert_eq!(modes, [0o311, 0o000, 0o000]);
    assert_eq!(
        (names(&rootfs.join("drop")), names(&rootfs.join("drop/in"))),
        (vec!["in".into(), "old".into()], vec!["new".into()])
    );
    let note = crate::support::Node::read(&rootfs.join("closed")).xattrs.into_values().collect::<Vec<_>>();
    assert_eq!(note, [b"of the upper layer"]);
}

/// Only a volume that began as a copy of the one below has what its owner may not look at.
#[test]
fn lower_layers_that_their_owner_cannot_read_are_added_to_or_refused() {
    let store = UsersStore::unmapped();
    let lower = || {
        let archive = Archive::new()
            .directory("closed", 0o000)
            .directory("closed/deep", 0o755)
            .file("closed/f", 0o644, b"")
            .symlink("way", "closed/deep")
            .directory("drop", 0o300)
            .directory("unsearched", 0o600)
            .directory("unsearched/deep", 0o755)
            .file("secret", 0o000, b"secret");
        archive.bytes()
    };
    // What to add, what of it is to be seen where that can be, and what is in the way where it cannot.
    let cases = [
        (Archive::new().file("closed/new", 0o644, b""), "closed/new", "closed"),
        (Archive::new().file("closed/deep/new", 0o644, b""), "closed/deep/new", "closed"),
        (Archive::new().file("way/new", 0o644, b""), "closed/deep/new", "closed"),
        (Archive::new().whiteout("closed/deep"), "closed/f", "closed"),
        (Archive::new().file("drop/new", 0o644, b""), "drop/new", "drop"),
        (Archive::new().file("unsearched/deep/new", 0o644, b""), "unsearched/deep/new", "unsearched/deep"),
        (Archive::new().hard_link("new", "secret"), "new", "secret"),
        (Archive::new().hard_link("new", "closed/f"), "new", "closed"),
    ];
    for (number, (upper, added, unreadable)) in cases.into_iter().enumerate() {
        let image = Image::new().layer(Layer::new(lower())).layer(Layer::new(upper.bytes()));
        let url = image.write(&store.images().join(format!("image-{number}")), "latest");
        let id = number.to_string();
        if *DRIVER == Driver::Btrfs {
            let rootfs = store.create_and_show(&url, &id);
            assert!(fs::symlink_metadata(rootfs.join(added)).is_ok(), "{added}");
            assert_eq!(["closed", "drop", "unsearched"].map(|name| mode(&rootfs.join(name))), [0o000, 0o300, 0o600]);
            continue;
        }
        let message = store.fails(&["create", "--without-mount", &url, &id]);
        let expected = format!(
            "'/{unreadable}' cannot be read by its owner. This image can only be unpacked using uid and gid mappings, or \
             by running as root."
        );
        assert!(message.ends_with(&expected), "{message}");
        assert_eq!(store.store.leftovers(), [""; 0]);
    }
    store.ok(&["clean"]);
}

#[test]
fn attributes_that_only_root_may_set_are_left_out_and_others_kept() {
    let store = UsersStore::unmapped();
    let archive = Archive::new()
        .xattr("user.note", b"kept")
        .xattr(
            "security.capability",
            b"\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        )
        .file("tool", 0o555, b"")
        .bytes();
    let url = Image::new().layer(Layer::new(archive)).write(&store.images().join("image"), "latest");
    let rootfs = store.create_and_show(&url, "x");
    let node = crate::support::Node::read(&rootfs.join("tool"));
    assert_eq!(node.xattrs.into_iter().collect::<Vec<_>>(), [("user.note".to_owned(), b"kept".to_vec())]);
    assert_eq!(node.mode, 0o555);
}

#[test]
fn stats_list_delete_and_clean_work() {
    let store = UsersStore::unmapped();
    store.create(&small_image(&store.images().join("image")), "x");
    assert!(store.ok(&["stats", "x"]).contains("disk_usage"));
    assert_eq!(store.ok(&["list"]).lines().count(), 1);
    store.ok(&["delete", "x"]);
    store.ok(&["clean"]);
    store.is_empty();
}

/// What root of the machine alone can see would show to the user what the layer hides.
#[test]
fn layers_that_root_has_made_hide_the_same_from_the_user() {
    let store = UsersStore::unmapped();
    let lower = Archive::new().directory("d", 0o755).file("d/hidden", 0o644, b"").file("gone", 0o644, b"").bytes();
    let upper =
        Archive::new().file("d/.wh..wh..opq", 0o644, b"").file("d/own", 0o644, b"").file(".wh.gone", 0o644, b"");
    let image = Image::new().layer(Layer::new(lower)).layer(Layer::new(upper.bytes()));
    let url = image.write(&store.images().join("image"), "latest");
    let by_root = store.store.create(&url, "by-root");
    // A snapshot is made by nobody but the owner of its original.
    let by_user = (*DRIVER == Driver::OverlayXfs).then(|| store.create_and_show(&url, "by-user"));
    for rootfs in [Some(by_root), by_user].into_iter().flatten() {
        assert_eq!((names(&rootfs), names(&rootfs.join("d"))), (vec!["d".to_owned()], vec!["own".to_owned()]));
    }
}
