//! A filesystem that is full to the last node. Nothing can be renamed there; removals have room that is kept for them.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::time::{Duration, Instant};

use crate::support::{MIB, TempStore, five_mebibytes, names, small_image, succeed};

/// Fills the filesystem from within an image, until the image cannot be renamed.
fn fill(store: &TempStore, id: &str) {
    let (image, aside) = (store.image(id), store.path().join("tmp/aside"));
    let directory = store.rootfs(id).join("full");
    fs::create_dir(&directory).unwrap();
    let is_full = |result: io::Result<()>| result.is_err_and(|e| e.kind() == ErrorKind::StorageFull);
    let mut file = File::create(directory.join("data")).unwrap();
    for chunk in [MIB, 4096] {
        assert!(is_full((0..MIB).try_for_each(|_| file.write_all(&vec![1; chunk as usize]))));
    }
    for n in 0.. {
        let made = (0..1_000_000).try_for_each(|m| fs::create_dir(directory.join(format!("{n:0>100}{m:0>100}"))));
        assert!(is_full(made));
        succeed("sync", ["-f", store.path().to_str().unwrap()]);
        match fs::rename(&image, &aside) {
            Err(e) => return assert_eq!(e.kind(), ErrorKind::StorageFull),
            Ok(()) => fs::rename(&aside, &image).unwrap(),
        }
    }
}

/// A store of 256 MiB.
fn store() -> TempStore {
    TempStore::with_size(256 * MIB)
}

#[test]
fn images_are_deleted() {
    let store = store();
    let url = small_image(&store.beside("image"));
    store.create(&url, "x");
    store.create(&url, "y");
    fill(&store, "x");
    for id in ["y", "x"] {
        assert_eq!(store.ok(["delete", id]), format!("Image {id} deleted\n"));
        assert!(!store.image(id).exists());
    }
    assert_eq!(store.leftovers(), [""; 0]);
    store.ok(["clean"]);
    store.create(&url, "z");
}

#[test]
fn layers_are_cleaned() {
    let store = store();
    let large = five_mebibytes(&store);
    store.create(&large, "large");
    store.ok(["delete", "large"]);
    store.create(&small_image(&store.beside("image")), "x");
    assert_eq!(store.volumes().len(), 2);
    fill(&store, "x");
    store.ok(["clean"]);
    assert_eq!(store.volumes().len(), 1);
    assert_eq!(store.leftovers(), [""; 0]);
}

#[test]
fn a_store_is_deleted() {
    let store = store();
    store.create(&small_image(&store.beside("image")), "x");
    fill(&store, "x");
    store.ok(["delete-store"]);
    assert!(!store.path().exists() || names(store.path()).is_empty());
}

/// What is open in a deleted image keeps the kernel from freeing it.
#[test]
fn a_create_with_clean_does_not_wait_for_what_others_deleted() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    store.create(&url, "x");
    store.create(&url, "other");
    fs::write(store.rootfs("other").join("kept"), "content").unwrap();
    let kept = File::open(store.rootfs("other").join("kept")).unwrap();
    store.ok(["delete", "other"]);
    let start = Instant::now();
    store.ok(["create", "--with-clean", &url, "y"]);
    let took = start.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    drop(kept);
    store.ok(["clean"]);
}
