//! `delete-store`.

use std::fs;
use std::path::Path;

use crate::support::{TempStore, mount, mount_points_below, mounted_filesystem, small_image, with_fault};

#[test]
fn images_volumes_and_the_store_go_and_the_backing_file_stays() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    store.create(&url, "mounted");
    store.ok(["create", "--without-mount", &url, "unmounted"]);
    assert_eq!(store.ok(["delete-store"]), "");
    assert!(!store.path().exists());
    assert!(mount_points_below(store.path()).is_empty());
    assert!(store.backing_file().exists());
}

#[test]
fn what_a_killed_create_left_mounted_does_not_keep_the_store() {
    let store = TempStore::new();
    mount(Path::new("none"), &store.path().join("tmp/create.dead/rootfs"), "tmpfs", "size=1m");
    assert_eq!(store.ok(["delete-store"]), "");
    assert!(!store.path().exists());
    assert!(mount_points_below(store.path()).is_empty());
}

#[test]
fn the_backing_file_serves_the_next_store() {
    let store = TempStore::new();
    store.create(&small_image(&store.beside("image")), "x");
    store.ok(["delete-store"]);
    store.ok(["init-store", "--store-size-bytes", "1073741824", "--without-quota"]);
    assert_eq!(store.ok(["list"]), "Store empty\n");
    assert!(store.volumes().is_empty());
    store.create(&small_image(&store.beside("image")), "x");
}

#[test]
fn a_store_below_a_mount_leaves_the_filesystem_as_it_was() {
    let disk = TempStore::uninitialised();
    let point = mounted_filesystem(&disk);
    fs::write(point.join("neighbour"), "kept").unwrap();
    let store = TempStore::at(point.join("store"));
    store.ok(["init-store", "--without-quota"]);
    store.create(&small_image(&disk.beside("image")), "x");
    store.ok(["delete-store"]);
    assert_eq!(crate::support::names(&point), ["neighbour"]);
}

#[test]
fn what_else_is_in_the_stores_directory_is_left_alone() {
    let (_disk, store) = store_below_a_mount();
    store.create(&small_image(&store.beside("image")), "x");
    fs::create_dir(store.path().join("mine")).unwrap();
    fs::write(store.path().join("mine/file"), "kept").unwrap();
    store.ok(["delete-store"]);
    assert_eq!(crate::support::names(store.path()), ["mine"]);
    assert_eq!(fs::read_to_string(store.path().join("mine/file")).unwrap(), "kept");
}

#[test]
fn a_store_behind_a_link_goes_with_the_link() {
    let (disk, _) = store_below_a_mount();
    let real = disk.path().join("real");
    fs::create_dir(&real).unwrap();
    let store = TempStore::at(disk.path().join("link"));
    std::os::unix::fs::symlink(&real, store.path()).unwrap();
    store.ok(["init-store", "--without-quota"]);
    store.create(&small_image(&store.beside("image")), "x");
    store.ok(["delete-store"]);
    assert!(!real.exists() && fs::symlink_metadata(store.path()).is_err());
}

#[test]
fn a_directory_that_is_no_store_is_refused_and_left_alone() {
    let store = TempStore::uninitialised();
    fs::create_dir_all(store.path().join("images/precious")).unwrap();
    fs::write(store.path().join("images/precious/file"), "kept").unwrap();
    let message = store.fails(["delete-store"]);
    assert!(message.contains("refusing to delete possibly corrupted store"), "{message}");
    assert_eq!(fs::read_to_string(store.path().join("images/precious/file")).unwrap(), "kept");
}

#[test]
fn a_file_at_the_stores_path_is_left_alone() {
    let store = TempStore::uninitialised();
    fs::write(store.path(), "kept").unwrap();
    store.fails(["delete-store"]);
    assert_eq!(fs::read_to_string(store.path()).unwrap(), "kept");
}

#[test]
fn a_store_that_does_not_exist_is_deleted_already() {
    let store = TempStore::uninitialised();
    assert_eq!(store.ok(["delete-store"]), "");
    assert!(!Path::new(store.path()).exists());
}

/// A store in a directory of an XFS filesystem that stays.
fn store_below_a_mount() -> (TempStore, TempStore) {
    let disk = TempStore::new();
    let store = TempStore::at(disk.path().join("store"));
    store.ok(["init-store", "--without-quota"]);
    (disk, store)
}

#[test]
fn a_delete_store_killed_at_any_system_call_is_finished_by_the_next_one() {
    let (_disk, store) = store_below_a_mount();
    let url = small_image(&store.beside("image"));
    let mut kills = 0;
    for call in ["?unlink", "?unlinkat", "?rename", "?umount2"] {
        for nth in 1.. {
            store.ok(["init-store", "--without-quota"]);
            store.create(&url, "x");
            let fault = format!("{call}:signal=KILL:when={nth}");
            let (_, is_struck) = with_fault(&store.command(["delete-store"]), &fault);
            if store.path().exists() && !crate::support::names(store.path()).is_empty() {
                assert_eq!(store.ok(["delete-store"]), "", "{fault}");
            }
            assert!(crate::support::names(store.path()).is_empty(), "{fault}");
            if !is_struck {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills > 20, "only {kills} kills");
}

#[test]
fn a_store_that_is_being_created_in_is_refused_and_left_as_it_is() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    store.create(&url, "x");
    let pipe = store.beside("pipe");
    crate::support::succeed("mkfifo", [&pipe]);
    let mut create = store.command(["create", pipe.to_str().unwrap(), "stalled"]).spawn().unwrap();
    crate::support::wait_for("the create to begin", || store.records().contains(&"stalled".to_owned()));

    let message = store.fails(["delete-store"]);
    assert!(message.contains("image `stalled` is being created"), "{message}");
    assert_eq!(fs::read_to_string(store.rootfs("x").join("hello")).unwrap(), "hello\n");
    store.create(&url, "y");

    create.kill().unwrap();
    create.wait().unwrap();
    store.ok(["delete-store"]);
}
