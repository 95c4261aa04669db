//! What a registry has said once is not asked again, unless it may have changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::support::{
    Answer, Archive, Image, Layer, Registry, ScriptedRegistry, TempStore, assert_whole, create, fails, forget, image,
    large_layer, layout, names, succeeds, system_calls,
};

/// Creates without any network.
#[track_caller]
fn offline(store: &TempStore, url: &str, id: &str) {
    store.ok(["create", "--offline", url, id]);
    assert_whole(&store.rootfs(id));
}

fn documents(store: &TempStore) -> PathBuf {
    store.path().join("meta/documents")
}

/// A registry with the image, and what is to stand between it and the program.
fn scene(
    script: impl Fn(&crate::support::Asked) -> Answer + Send + Sync + 'static,
) -> (TempStore, Registry, ScriptedRegistry) {
    let (store, registry) = (TempStore::new(), Registry::plain());
    registry.push(&image().write(&store.beside("layout"), "latest"), "some/image:latest", &["--format", "oci"]);
    let server = ScriptedRegistry::in_front_of(&registry.host(), script);
    (store, registry, server)
}

#[test]
fn a_pinned_image_needs_no_network_when_all_of_it_is_there() {
    let (store, registry) = (TempStore::new(), Registry::plain());
    registry.push(&image().write(&store.beside("layout"), "latest"), "name", &[]);
    let url = registry.url(&format!("name@{}", registry.digest("name")));
    succeeds(&store, &registry.host(), &url, "one");
    drop(registry);
    store.ok(["create", &url, "two"]);
    assert_whole(&store.rootfs("two"));
    let calls = system_calls(&store.command(["create", &url, "three"]));
    for call in ["socket", "connect", "clone", "clone3", "fork", "vfork"] {
        assert_eq!(calls.get(call), None, "{calls:?}");
    }
}

#[test]
fn an_unchanged_tag_costs_one_short_answer() {
    let (store, registry, server) = scene(|_| Answer::Serve);
    succeeds(&store, &server.host(), &server.url(), "one");
    let before = server.asked().len();
    succeeds(&store, &server.host(), &server.url(), "two");
    let asked = server.asked()[before..].to_vec();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(server.answered().last(), Some(&304));
    assert_eq!(asked[0].header("if-none-match"), format!("\"{}\"", registry.digest("some/image")));
    // Of one that does not know what has changed, the digest tells.
    let plain = ScriptedRegistry::start(&store.beside("layout"), |_| Answer::Serve);
    succeeds(&store, &plain.host(), &plain.url(), "three");
    let before = plain.asked().len();
    succeeds(&store, &plain.host(), &plain.url(), "four");
    assert_eq!(plain.asked().len() - before, 1);
    let written = || {
        let files =
            names(&documents(&store)).into_iter().map(|name| fs::metadata(documents(&store).join(name)).unwrap());
        files.map(|file| file.ino()).collect::<Vec<_>>()
    };
    let before = written();
    succeeds(&store, &plain.host(), &plain.url(), "five");
    assert_eq!(written(), before, "nothing is written again");
}

#[test]
fn an_entity_tag_goes_back_to_the_server_it_came_from() {
    let store = TempStore::new();
    let layout = layout(&store);
    let index: serde_json::Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap().trim_start_matches("sha256:");
    let manifest = fs::read_to_string(layout.join("blobs/sha256").join(digest)).unwrap();
    let server = ScriptedRegistry::start(&layout, move |asked| match asked.header("if-none-match") {
        _ if asked.is_blob() => Answer::Serve,
        "W/\"seven\"" => Answer::Status(304, vec![], String::new()),
        _ => Answer::Status(200, vec![("etag", "W/\"seven\"".into())], manifest.clone()),
    });
    for id in ["one", "two", "three"] {
        succeeds(&store, &server.host(), &server.url(), id);
    }
    let tags: Vec<_> = server.asked().into_iter().filter(|asked| !asked.is_blob()).collect();
    assert_eq!(tags[0].header("if-none-match"), "");
    let manifests: Vec<_> = server.asked().into_iter().filter(|asked| !asked.is_blob()).collect();
    assert_eq!(manifests.len(), 3);
    assert_eq!(server.blobs_asked(), 4);
}

#[test]
fn a_tag_that_has_moved_is_followed() {
    let (store, registry, server) = scene(|_| Answer::Serve);
    succeeds(&store, &server.host(), &server.url(), "old");
    let new = Image::new().layer(Layer::new(Archive::new().file("new", 0o644, b"new").bytes()));
    registry.push(&new.write(&store.beside("new"), "latest"), "some/image:latest", &["--format", "oci"]);
    create(&store, &server.host(), &server.url(), "new").success();
    assert_eq!(fs::read_to_string(store.rootfs("new").join("new")).unwrap(), "new");
    store.ok(["create", "--offline", &server.url(), "offline"]);
    assert!(store.rootfs("offline").join("new").exists());
}

#[test]
fn offline_uses_what_is_there_and_says_what_is_not() {
    let (store, registry, server) = scene(|_| Answer::Serve);
    let url = server.url();
    let digest = registry.digest("some/image");
    let missing = |url: &str, what: &str| {
        let message = store.fails(["create", "--offline", url, "failing"]);
        let expected = format!("fetching {url}: {what} is not in the store, and --offline is set");
        assert!(message.contains(&expected), "{message}");
        assert_eq!(store.leftovers(), [""; 0]);
    };
    missing(&url, &format!("{}/some/image:latest", server.host()));
    let pinned = server.image(&format!("some/image@{digest}"));
    missing(&pinned, &digest);
    assert!(server.asked().is_empty());

    succeeds(&store, &server.host(), &url, "one");
    let before = server.asked().len();
    offline(&store, &url, "two");
    offline(&store, &pinned, "three");
    let config = store.beside("config.yml");
    fs::write(&config, "create: {offline: true}\n").unwrap();
    store.ok(["--config", config.to_str().unwrap(), "create", &url, "four"]);
    let message =
        store.run(["--config", config.to_str().unwrap(), "create", "--offline=false", "docker://127.0.0.1:1/a", "x"]);
    assert!(message.failure().contains("Connection refused"));
    assert_eq!(server.asked().len(), before);

    // Documents without a layer.
    for id in ["one", "two", "three", "four"] {
        store.ok(["delete", id]);
    }
    let lowest = store.path().join("volumes").join(&image().chain_ids()[0]);
    fs::remove_dir_all(lowest).unwrap();
    missing(&url, &image().layer_digests()[0]);
}

#[test]
fn clean_removes_documents_with_their_layers() {
    let (store, registry, server) = scene(|_| Answer::Serve);
    let other = Image::new().layer(Layer::new(Archive::new().file("other", 0o644, b"x").bytes()));
    let other = registry.push(&other.write(&store.beside("other"), "latest"), "other", &[]);
    succeeds(&store, &server.host(), &server.url(), "one");
    create(&store, &registry.host(), &other, "two").success();
    assert_eq!(names(&documents(&store)).len(), 6, "manifest, configuration and tag of each");
    store.ok(["clean"]);
    assert_eq!(names(&documents(&store)).len(), 6);
    store.ok(["delete", "one"]);
    store.ok(["clean"]);
    assert_eq!(names(&documents(&store)).len(), 3);
    store.ok(["create", "--offline", &other, "three"]);
    store.ok(["delete", "two"]);
    store.ok(["delete", "three"]);
    store.ok(["clean"]);
    assert_eq!(names(&documents(&store)), [""; 0]);
}

/// Where a clean of either store knows whether they are needed.
#[test]
fn documents_are_kept_in_the_store_that_has_the_layers() {
    let (layer_store, registry, server) = scene(|_| Answer::Serve);
    let store = TempStore::uninitialised();
    let init = ["init-store", "--without-quota", "--store-size-bytes", "1073741824", "--shared-layers"];
    let mappings = ["--uid-mapping", "0:1000:1", "--gid-mapping", "0:1000:1"];
    store.ok([&init[..], &[layer_store.path().to_str().unwrap()], &mappings].concat());
    succeeds(&store, &server.host(), &server.url(), "one");
    assert_eq!((names(&documents(&layer_store)).len(), documents(&store).exists()), (3, false));
    store.ok(["clean"]);
    layer_store.ok(["clean"]);
    drop(registry);
    offline(&store, &server.url(), "two");
    offline(&layer_store, &server.url(), "three");
    store.ok(["delete", "one"]);
    store.ok(["delete", "two"]);
    layer_store.ok(["delete", "three"]);
    store.ok(["clean"]);
    assert_eq!(names(&documents(&layer_store)), [""; 0]);
}

#[test]
fn a_damaged_document_is_fetched_again() {
    let (store, _registry, server) = scene(|_| Answer::Serve);
    succeeds(&store, &server.host(), &server.url(), "whole");
    for (n, damage) in ["", "{", "{\"schemaVersion\":2}"].iter().enumerate() {
        for name in names(&documents(&store)) {
            fs::write(documents(&store).join(name), damage).unwrap();
        }
        let before = server.asked().len();
        succeeds(&store, &server.host(), &server.url(), &format!("damaged-{n}"));
        assert_eq!(server.asked().len() - before, 2, "manifest and configuration");
        offline(&store, &server.url(), &format!("mended-{n}"));
    }
    // Whatever is in their place is no reason to fail.
    for name in names(&documents(&store)) {
        fs::remove_file(documents(&store).join(&name)).unwrap();
        fs::create_dir(documents(&store).join(&name)).unwrap();
    }
    succeeds(&store, &server.host(), &server.url(), "odd");
    fs::remove_dir_all(documents(&store)).unwrap();
    fs::write(documents(&store), "").unwrap();
    succeeds(&store, &server.host(), &server.url(), "odder");
    assert_eq!(store.leftovers(), [""; 0]);
}

#[test]
fn nothing_is_kept_of_an_image_that_was_not_made_or_is_of_no_registry() {
    let (store, _registry, server) = scene(|asked| match asked.path.ends_with(&large_layer().digest) {
        true => Answer::Status(404, vec![], String::new()),
        false => Answer::Serve,
    });
    fails(&store, &server.host(), &server.url());
    store.create(&crate::support::small_image(&store.beside("small")), "x");
    assert_eq!(names(&documents(&store)), [""; 0]);
}

#[test]
fn a_store_with_documents_can_be_deleted_and_forgotten() {
    let (store, _registry, server) = scene(|_| Answer::Serve);
    succeeds(&store, &server.host(), &server.url(), "one");
    forget(&store, "one");
    succeeds(&store, &server.host(), &server.url(), "two");
    store.ok(["delete-store"]);
    assert!(!store.path().join("meta").exists());
}
