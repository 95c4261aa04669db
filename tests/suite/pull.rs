//! `pull`: layers without an image.

use serde_json::Value;

use crate::support::{
    Answer, Archive, Image, Layer, ScriptedRegistry, TempStore, layers, names, succeed, write_archive,
};

fn pull(store: &TempStore, images: &[&str]) -> Value {
    serde_json::from_str(&store.ok([&["pull", "--json"], images].concat())).unwrap()
}

#[test]
fn a_create_finds_what_was_pulled_and_no_image_is_made() {
    let store = TempStore::new();
    let (first, chain) = layers(&store, "first", 3);
    let (second, _) = layers(&store, "second", 1);
    let pulled = pull(&store, &[&first, &second]);
    let found = pulled["images"][0]["layers"].as_array().unwrap();
    let ids: Vec<&str> = found.iter().map(|layer| layer["chain_id"].as_str().unwrap()).collect();
    assert_eq!(ids, chain);
    assert!(found.iter().all(|layer| layer["cached"] == false && layer["bytes"] == 7), "{pulled}");
    assert_eq!(pulled["images"][0]["source"].as_str(), Some(first.as_str()));
    assert!(pulled["images"][1]["digest"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!((store.volumes().len(), store.records(), store.leftovers()), (4, vec![], vec![]));
    assert_eq!(names(&store.path().join("images")), [""; 0]);
    assert!(store.ok(["pull", &first]).ends_with("pulled: 3 layers, 0 new (0 B)\n"));
    store.create(&first, "x");
    assert_eq!(store.volumes().len(), 4);
    store.ok(["clean"]);
    assert_eq!(store.volumes().len(), 3, "what no image needs goes");
}

#[test]
fn an_image_of_a_registry_is_created_offline_after_a_pull() {
    let store = TempStore::new();
    let layout = store.beside("layout");
    Image::new().layer(Layer::new(Archive::new().file("a", 0o644, b"a").bytes())).write(&layout, "latest");
    let server = ScriptedRegistry::start(&layout, |_| Answer::Serve);
    let url = server.url();
    store.ok(["pull", "--insecure-registry", &server.host(), &url]);
    drop(server);
    store.ok(["create", "--offline", &url, "x"]);
    assert_eq!(names(&store.rootfs("x")), ["a"]);
}

#[test]
fn a_pull_that_fails_leaves_nothing_but_whole_layers() {
    let store = TempStore::new();
    let (good, _) = layers(&store, "good", 2);
    let bad = Image::new()
        .layer(Layer::new(Archive::new().file("a", 0o644, b"a").bytes()))
        .layer(Layer::new(Archive::new().file("b", 0o644, b"b").bytes()).replace_blob(b"wrong".to_vec()));
    let bad = bad.write(&store.beside("bad"), "latest");
    let outcome = store.run(["pull", &good, &bad]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stdout.contains("good:latest pulled: 2 layers, 2 new"), "{outcome:?}");
    assert_eq!((store.volumes().len(), store.records(), store.leftovers()), (3, vec![], vec![]));
    assert!(store.fails(["pull"]).starts_with("invalid arguments - usage: pull"));
    assert!(store.fails(["pull", "oci:///no/such"]).contains("Image source doesn't exist"));
}

#[test]
fn what_can_be_read_once_is_refused() {
    let store = TempStore::new();
    let pipe = store.beside("pipe");
    succeed("mkfifo", [pipe.to_str().unwrap()]);
    let message = store.fails(["pull", pipe.to_str().unwrap()]);
    assert!(
        message.ends_with("can be read only once, so that no create would find its layer: create an image from it")
    );
    let tar = write_archive(&store.beside(""), "rootfs.tar", &Archive::new().file("a", 0o644, b"").bytes());
    pull(&store, &[tar.to_str().unwrap()]);
    store.create(tar.to_str().unwrap(), "x");
    assert_eq!((store.volumes().len(), store.leftovers()), (1, vec![]));
}
