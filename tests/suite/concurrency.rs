//! Commands side by side in one store.

use std::fs;
use std::thread;

use crate::support::{Archive, DRIVER, Image, Layer, TempStore};

fn image(store: &TempStore) -> String {
    let layer = |name: &str| Layer::new(Archive::new().file(name, 0o644, name.as_bytes()).bytes());
    Image::new().layer(layer("a")).layer(layer("b")).write(&store.beside("image"), "latest")
}

#[test]
fn two_creates_racing_on_one_id_leave_exactly_one_image() {
    let store = TempStore::new();
    let url = image(&store);
    for round in 0..25 {
        let id = format!("x-{round}");
        let outcomes = thread::scope(|scope| {
            let create = || store.run(["create", url.as_str(), &id]);
            let racers: Vec<_> = (0..3).map(|_| scope.spawn(create)).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect::<Vec<_>>()
        });
        let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(|outcome| outcome.code == Some(0));
        assert_eq!(won.len(), 1, "{won:?} {lost:?}");
        for outcome in lost {
            assert_eq!(outcome.failure(), format!("image for id `{id}` already exists"));
        }
        assert_eq!(fs::read_to_string(store.rootfs(&id).join("b")).unwrap(), "b");
        assert!(store.records().contains(&id));
        store.stats(&id);
        if round % 5 == 0 {
            store.ok(["clean"]);
        }
    }
    assert_eq!(store.mounted_images().len(), DRIVER.mounts(25));
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}

#[test]
fn a_create_racing_a_delete_of_its_id_leaves_a_whole_image_or_none() {
    let store = TempStore::new();
    let url = image(&store);
    for _ in 0..25 {
        thread::scope(|scope| {
            scope.spawn(|| store.run(["create", url.as_str(), "x"]));
            scope.spawn(|| store.ok(["delete", "x"]));
        });
        if store.image("x").exists() {
            assert_eq!(fs::read_to_string(store.rootfs("x").join("a")).unwrap(), "a");
            assert_eq!(store.records(), ["x"]);
        }
        store.ok(["delete", "x"]);
        assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
        assert!(store.mounted_images().is_empty());
    }
}

#[test]
fn deletes_of_one_image_all_succeed() {
    let store = TempStore::new();
    let url = image(&store);
    for _ in 0..10 {
        store.create(&url, "x");
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| store.ok(["delete", "x"]));
            }
        });
        assert!(!store.image("x").exists() && store.leftovers().is_empty(), "{:?}", store.leftovers());
    }
}

#[test]
fn twenty_creates_of_one_image_with_cleans_between_them_succeed() {
    let store = TempStore::new();
    let url = image(&store);
    thread::scope(|scope| {
        for n in 0..20 {
            let (store, url) = (&store, &url);
            scope.spawn(move || store.ok(["create", "--with-clean", url, &format!("x-{n}")]));
        }
    });
    assert_eq!(store.ok(["list"]).lines().count(), 20);
    assert_eq!(store.volumes().len(), 2);
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}

#[test]
fn cleans_side_by_side_all_succeed() {
    let store = TempStore::new();
    let url = image(&store);
    store.create(&url, "x");
    store.ok(["delete", "x"]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(store.ok(["clean"]), "clean completed\n"));
        }
    });
    assert!(store.volumes().is_empty() && store.leftovers().is_empty());
}
