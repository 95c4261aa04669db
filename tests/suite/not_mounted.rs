//! A store whose filesystem is not mounted, and images whose root filesystems are not, as a reboot leaves both.

use std::fs;
use std::thread;
use std::time::Duration;

use crate::support::{DRIVER, Driver, TempStore, detach_loops, layers, small_image, unmount_below};

/// What a reboot does to mounts.
fn reboot(store: &TempStore) {
    unmount_below(store.path());
    detach_loops(store.path().parent().unwrap());
}

fn init(store: &TempStore, flags: &[&str]) {
    let quota: &[&str] = if *DRIVER == Driver::OverlayXfs { &["--without-quota"] } else { &[] };
    store.ok([&["init-store"], quota, flags].concat());
}

#[test]
fn every_command_says_that_the_store_is_not_mounted_and_how_to_mount_it() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    store.create(&url, "x");
    reboot(&store);
    for command in [
        &["create", &url, "y"][..],
        &["delete", "x"],
        &["delete", store.image("x").to_str().unwrap()],
        &["stats", "x"],
        &["list"],
        &["clean"],
        &["mount", "x"],
        &["umount", "x"],
        &["generate-volume-size-metadata"],
        &["delete-store"],
    ] {
        let message = store.fails(command);
        let remedy =
            format!("`grootfs --driver {} --store {} init-store`", DRIVER.name(), store.path().to_str().unwrap());
        assert!(message.contains("is not mounted") && message.contains(&remedy), "{command:?}: {message}");
        assert!(message.contains(store.backing_file().to_str().unwrap()), "{command:?}: {message}");
    }
    assert_eq!(fs::read_dir(store.path()).unwrap().count(), 0, "nothing is made below the mount point");
    init(&store, &[]);
    assert!(store.image("x").exists());
    store.ok(["delete", "x"]);
    store.ok(["delete-store"]);
    assert!(!store.path().exists());
    store.ok(["delete-store"]);
}

#[test]
fn images_are_mounted_again_by_hand_or_with_the_store() {
    let store = TempStore::new();
    let (url, _) = layers(&store, "image", 3);
    let ids = ["x", "y"];
    for id in ids {
        store.create(&url, id);
        fs::write(store.rootfs(id).join("own"), id).unwrap();
    }
    store.ok(["create", "--without-mount", &url, "callers"]);
    let is_whole = |id: &str| {
        let own = fs::read_to_string(store.rootfs(id).join("own")).ok();
        own.as_deref() == Some(id) && (0..3).all(|n| store.rootfs(id).join(format!("file-{n}")).exists())
    };
    reboot(&store);
    init(&store, &[]);

    let is_overlay = *DRIVER == Driver::OverlayXfs;
    for id in ids {
        assert_eq!(is_whole(id), !is_overlay, "{id}");
        assert_eq!(store.ok(["stats", id]).contains("is not mounted"), is_overlay, "{id}");
        assert!(store.stats(id)["total_bytes_used"].is_u64());
    }
    assert!(!store.ok(["stats", "callers"]).contains("is not mounted"));
    if is_overlay {
        assert_eq!(store.ok(["mount", "x"]), "Image x mounted\n");
        assert_eq!(store.ok(["mount", store.image("x").to_str().unwrap()]), "Image x is mounted already\n");
    } else {
        assert!(store.ok(["mount", "x"]).starts_with("Image x needs no mount"));
        assert!(store.ok(["umount", "x"]).starts_with("Image x has no mount"));
    }
    assert!(is_whole("x") && !store.ok(["stats", "x"]).contains("is not mounted"));

    init(&store, &["--mount-images"]);
    assert!(is_whole("x") && is_whole("y"));
    assert_eq!(store.mounted_images().len(), DRIVER.mounts(2), "those of callers are left to them");

    if is_overlay {
        let in_use = fs::File::open(store.rootfs("y").join("own")).unwrap();
        let message = store.fails(["umount", "y"]);
        assert!(message.contains("is in use") && message.contains("fuser"), "{message}");
        // Who only looks is waited for.
        let look = thread::spawn(move || {
            thread::sleep(Duration::from_millis(50));
            drop(in_use);
        });
        assert_eq!(store.ok(["umount", "y"]), "Image y unmounted\n");
        look.join().unwrap();
        assert_eq!(store.ok(["umount", "y"]), "Image y is not mounted\n");
    }
    assert_eq!(store.fails(["mount", "nobody"]), "Image `nobody` not found.");
    for id in ["x", "y", "callers"] {
        store.ok(["delete", id]);
    }
}

#[test]
fn an_image_that_cannot_be_mounted_keeps_no_other_from_it() {
    if *DRIVER != Driver::OverlayXfs {
        return;
    }
    let store = TempStore::new();
    store.create(&layers(&store, "image", 2).0, "damaged");
    store.create(&small_image(&store.beside("other")), "whole");
    reboot(&store);
    init(&store, &[]);
    fs::write(store.path().join("meta/dependencies/image:damaged.json"), "[").unwrap();
    let message = store.fails(["init-store", "--without-quota", "--mount-images"]);
    assert!(message.contains("mounting the image damaged") && message.contains("image:damaged.json"), "{message}");
    assert!(store.rootfs("whole").join("hello").exists());
}
