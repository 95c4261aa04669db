//! `list`.

use std::fs;

use crate::support::{TempStore, grootfs, run, small_image};

#[test]
fn images_are_listed_by_path() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    store.create(&url, "a");
    store.ok(["create", "--without-mount", &url, "b"]);
    let listed = store.ok(["list"]);
    let mut lines: Vec<&str> = listed.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, [store.image("a").to_str().unwrap(), store.image("b").to_str().unwrap()]);
    store.ok(["delete", "a"]);
    assert_eq!(store.ok(["list"]), format!("{}\n", store.image("b").display()));
}

#[test]
fn the_store_of_the_config_is_used() {
    let store = TempStore::new();
    store.create(&small_image(&store.beside("image")), "x");
    let config = store.beside("config.yml");
    fs::write(&config, format!("store: {}\n", store.path().display())).unwrap();
    let listed = run(grootfs().arg("--config").arg(&config).arg("list")).success();
    assert_eq!(listed, format!("{}\n", store.image("x").display()));
}

#[test]
fn a_store_without_images_says_so() {
    let store = TempStore::new();
    assert_eq!(store.ok(["list"]), "Store empty\n");
}

#[test]
fn a_missing_store_is_an_error() {
    let message = run(grootfs().args(["--store", "/invalid-store", "list"])).failure();
    assert_eq!(message, "no store found at /invalid-store");
    let outcome = run(grootfs().args(["--store", "/invalid-store", "--log-level", "error", "list"]));
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains(r#""error":"no store found at /invalid-store""#), "{outcome:?}");
}
