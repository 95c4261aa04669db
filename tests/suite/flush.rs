//! Layers that were unpacked are written to disk in the background; a flush that was killed is begun again.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::{DRIVER, Driver, TempStore, layers, names, wait_for};

fn marks(store: &TempStore) -> Vec<String> {
    names(&store.path().join("meta/unflushed"))
}

/// A store with a layer as a create of this boot leaves it whose flush was killed.
fn with_killed_flush() -> (TempStore, String) {
    let store = TempStore::new();
    let (url, chain) = layers(&store, "image", 1);
    store.create(&url, "x");
    wait_for("the flush", || marks(&store).is_empty());
    let boot = fs::read_to_string(Path::new("/proc/sys/kernel/random/boot_id")).unwrap();
    symlink(boot.trim_end(), store.path().join("meta/unflushed").join(format!("{}~7", chain[0]))).unwrap();
    (store, url)
}

#[test]
fn a_killed_flush_is_begun_again_by_a_warm_create() {
    let (store, url) = with_killed_flush();
    store.create(&url, "warm");
    wait_for("the flush", || marks(&store).is_empty());
}

#[test]
fn a_killed_flush_is_begun_again_by_a_create_that_cleans() {
    let (store, url) = with_killed_flush();
    store.ok(["create", "--with-clean", &url, "warm"]);
    wait_for("the flush", || marks(&store).is_empty());
}

#[test]
fn a_killed_flush_is_begun_again_by_a_clean_also_below_its_threshold() {
    let (store, _) = with_killed_flush();
    let answer = store.ok(["clean", "--threshold-bytes", "1000000000"]);
    assert_eq!(answer, "threshold not reached: skipping clean\n");
    assert_eq!(marks(&store), [""; 0]);
}

#[test]
fn a_killed_flush_is_begun_again_by_init_store() {
    let (store, _) = with_killed_flush();
    let quota: &[&str] = if *DRIVER == Driver::OverlayXfs { &["--without-quota"] } else { &[] };
    store.ok([&["init-store"], quota].concat());
    wait_for("the flush", || marks(&store).is_empty());
}
