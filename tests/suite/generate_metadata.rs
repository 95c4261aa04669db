//! `generate-volume-size-metadata`.

use std::fs;

use crate::support::{Archive, Image, Layer, TempStore, run};

fn with_four_volumes() -> (TempStore, Vec<String>) {
    let store = TempStore::new();
    let image = (0..4).fold(Image::new(), |image, n| {
        image.layer(Layer::new(Archive::new().file(&format!("file-{n}"), 0o644, &vec![n; 100_000]).bytes()))
    });
    let chain = image.chain_ids();
    store.create(&image.write(&store.beside("image"), "latest"), "x");
    (store, chain)
}

fn size(store: &TempStore, volume: &str) -> i64 {
    let file = fs::read(store.path().join("meta").join(format!("volume-{volume}"))).unwrap();
    serde_json::from_slice::<serde_json::Value>(&file).unwrap()["Size"].as_i64().unwrap()
}

#[test]
fn a_missing_size_is_measured_again() {
    let (store, chain) = with_four_volumes();
    let before = size(&store, &chain[2]);
    fs::remove_file(store.path().join("meta").join(format!("volume-{}", chain[2]))).unwrap();
    assert_eq!(store.ok(["generate-volume-size-metadata"]), "");
    assert!((size(&store, &chain[2]) - before).abs() <= 13_000);
    store.ok(["create", &format!("oci://{}:latest", store.beside("image").display()), "y"]);
}

#[test]
fn nothing_missing_changes_nothing() {
    let (store, chain) = with_four_volumes();
    store.ok(["generate-volume-size-metadata"]);
    let metadata = crate::support::names(&store.path().join("meta"));
    assert_eq!(metadata.iter().filter(|name| name.starts_with("volume-")).count(), 4);
    assert!(chain.iter().all(|volume| size(&store, volume) == 100_000));
}

#[test]
fn arguments_are_refused_and_the_command_is_not_advertised() {
    let (store, _) = with_four_volumes();
    assert_eq!(store.fails(["generate-volume-size-metadata", "x"]), "invalid arguments - usage: ");
    let help = run(&mut store.command(["--help"]));
    assert!(!help.stdout.contains("generate-volume-size-metadata"), "{help:?}");
}

#[test]
fn a_missing_store_is_an_error() {
    let store = TempStore::uninitialised();
    let message = store.fails(["generate-volume-size-metadata"]);
    assert_eq!(message, "Store path is not initialized. Please run init-store.");
}
