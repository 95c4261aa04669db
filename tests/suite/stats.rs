//! `stats`, as far as it goes without limits; the numbers of limited images are in `quotas.rs`.

use crate::support::{Archive, DRIVER, Driver, Image, Layer, MIB, TempStore, small_image};

#[test]
fn an_image_without_a_limit_shows_its_base_only() {
    let store = TempStore::new();
    let layer = Layer::new(Archive::new().file("file-5", 0o644, &vec![7; 5 * MIB as usize]).bytes());
    store.create(&Image::new().layer(layer).write(&store.beside("image"), "latest"), "x");

    // Btrfs counts what every image takes, that is a block of its tree.
    let own = if *DRIVER == Driver::Btrfs { 16 * 1024 } else { 0 };
    let expected = format!(
        "{{\"disk_usage\":{{\"total_bytes_used\":{},\"exclusive_bytes_used\":{own},\"quota_size_bytes\":0,\"committed_space_bytes\":{}}}}}\n",
        5 * MIB + own,
        5 * MIB
    );
    assert_eq!(store.ok(["stats", "x"]), expected);
    assert_eq!(store.ok(["stats", store.image("x").to_str().unwrap()]), expected);
}

#[test]
fn the_base_is_the_sum_of_all_layers() {
    let store = TempStore::new();
    let layer = |name: &str, size: usize| {
        Layer::new(Archive::new().file(name, 0o644, &vec![1; size]).hard_link("link", name).bytes())
    };
    let url = Image::new().layer(layer("a", 1000)).layer(layer("b", 11)).write(&store.beside("image"), "latest");
    store.create(&url, "x");
    assert_eq!(store.stats("x")["committed_space_bytes"], 1011);
}

#[test]
fn what_does_not_exist_is_an_error_in_the_words_callers_know() {
    let store = TempStore::new();
    let missing = |id: &str| format!("Image `{id}` not found. Skipping delete.");
    assert_eq!(store.fails(["stats", "invalid-id"]), missing("invalid-id"));
    assert_eq!(store.fails(["stats", store.image("not-here").to_str().unwrap()]), missing("not-here"));
    assert_eq!(store.fails(["stats", "/outside/store"]), "path `/outside/store` is outside store path");
}

#[test]
fn a_wrong_number_of_arguments_shows_the_usage() {
    let store = TempStore::new();
    let usage = "invalid arguments - usage: stats [options] <id|image path>";
    assert_eq!(store.fails(["stats"]), usage);
    assert_eq!(store.fails(["stats", "a", "b"]), usage);
}

#[test]
fn a_store_that_does_not_exist_has_no_stats() {
    let store = TempStore::uninitialised();
    store.fails(["stats", "/path/to/random-id"]);
    let outcome = store.run(["--log-level", "debug", "stats", "/path/to/random-id"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains(r#""id":"/path/to/random-id""#), "{outcome:?}");
}

#[test]
fn a_deleted_image_has_no_stats() {
    let store = TempStore::new();
    store.create(&small_image(&store.beside("image")), "x");
    store.ok(["delete", "x"]);
    store.fails(["stats", "x"]);
}
