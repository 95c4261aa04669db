//! `inspect`: what is on record of an image, and what a source says of one.

use std::fs;

use serde_json::{Value, json};

use crate::support::{
    Answer, Archive, DRIVER, Driver, Image, Layer, ScriptedRegistry, TempStore, layers, noise, write_archive,
};

fn inspect(store: &TempStore, image: &str) -> Value {
    serde_json::from_str(&store.ok(["inspect", "--json", image])).unwrap()
}

fn layer() -> Layer {
    Layer::new(Archive::new().directory("data", 0o755).file("data/file", 0o644, b"12345").bytes())
}

/// An image with something of everything.
fn image(label: &'static str) -> Image {
    Image::new().layer(layer()).env(&["A=b"]).volume("/data").edit_config(move |config| {
        config["created"] = "2024-01-02T03:04:05Z".into();
        config["config"]["Entrypoint"] = json!(["/tini", "--"]);
        config["config"]["Cmd"] = json!(["sh"]);
        config["config"]["User"] = "app".into();
        config["config"]["WorkingDir"] = "/srv".into();
        config["config"]["Labels"] = json!({ "which": label });
    })
}

fn manifest_digest(store: &TempStore, layout: &str) -> String {
    let index: Value = serde_json::from_slice(&fs::read(store.beside(layout).join("index.json")).unwrap()).unwrap();
    index["manifests"][0]["digest"].as_str().unwrap().to_owned()
}

#[test]
fn an_image_tells_where_it_came_from_when_its_source_is_gone() {
    let store = TempStore::new();
    let limit: &[&str] = if *DRIVER == Driver::Btrfs { &["--disk-limit-size-bytes", "8388608"] } else { &[] };
    let first = image("first").write(&store.beside("first"), "latest");
    // The same layers, so that nothing of the source is read but its documents.
    let second = image("second").write(&store.beside("second"), "latest");
    for (url, id) in [(&first, "x"), (&second, "y")] {
        store.ok([&["create"], limit, &[url, id]].concat());
    }
    let digests = [manifest_digest(&store, "first"), manifest_digest(&store, "second")];
    fs::remove_dir_all(store.beside("first")).unwrap();
    fs::remove_dir_all(store.beside("second")).unwrap();
    for (id, url, digest, label) in [("x", &first, &digests[0], "first"), ("y", &second, &digests[1], "second")] {
        let found = inspect(&store, id);
        assert_eq!(found["schema"], 1);
        assert_eq!(found["source"].as_str(), Some(url.as_str()));
        assert_eq!(found["digest"].as_str(), Some(digest.as_str()));
        assert!(found["config_digest"].as_str().unwrap().starts_with("sha256:"), "{found}");
        assert_eq!(
            found["config"],
            json!({
                "platform": "linux/amd64", "built": "2024-01-02T03:04:05Z", "entrypoint": ["/tini", "--"], "cmd": ["sh"],
                "user": "app", "working_dir": "/srv", "env": ["A=b"], "labels": { "which": label }, "volumes": ["/data"],
                "exposed_ports": [], "stop_signal": "",
            })
        );
        assert_eq!(found["layers"], json!([{ "chain_id": image("").chain_ids()[0], "bytes": 5 }]));
        let own = &found["image"];
        assert_eq!((&own["id"], &own["mounted"]), (&json!(id), &json!(true)));
        assert_eq!(own["rootfs"].as_str(), store.rootfs(id).to_str());
        assert_eq!(own["mounts"][0]["destination"], "/data");
        assert!(fs::read_dir(own["mounts"][0]["source"].as_str().unwrap()).unwrap().count() == 1, "{found}");
        assert!(own["created"].as_u64().unwrap() > 1_600_000_000, "{found}");
        if *DRIVER == Driver::Btrfs {
            assert_eq!(own["limit_bytes"], 8_388_608 - 5);
        }
        let by_path = inspect(&store, store.image(id).to_str().unwrap());
        assert_eq!(by_path["image"]["id"], id);
    }
    let text = store.ok(["inspect", "x"]);
    for line in
        ["id:          x", "cmd:         [\"sh\"]", "  which=first", "platform:    linux/amd64", "mounted:     yes"]
    {
        assert!(text.lines().any(|found| found == line), "no `{line}` in {text}");
    }
}

#[test]
fn an_image_of_a_version_that_kept_no_record_is_unknown() {
    let store = TempStore::new();
    store.create(&layers(&store, "some", 2).0, "x");
    let record = store.path().join("meta/dependencies/image:x.json");
    let content = fs::read(&record).unwrap();
    fs::remove_file(&record).unwrap();
    fs::write(&record, &content).unwrap();
    let found = inspect(&store, "x");
    assert_eq!((&found["source"], &found["digest"], &found["config"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(found["layers"].as_array().unwrap().len(), 2);
    assert!(store.ok(["inspect", "x"]).contains("source:      unknown\ndigest:      unknown\nconfig:      unknown\n"));
}

#[test]
fn the_record_of_the_layers_is_as_it_was_and_survives_a_power_cut() {
    let store = TempStore::new();
    let (url, chain) = layers(&store, "some", 3);
    store.create(&url, "x");
    let record = store.path().join("meta/dependencies/image:x.json");
    assert_eq!(fs::read_to_string(&record).unwrap(), serde_json::to_string(&chain).unwrap());
    // A journal may bring a name to the disk before the content.
    fs::File::options().write(true).truncate(true).open(&record).unwrap();
    let found = inspect(&store, "x");
    assert_eq!(found["layers"].as_array().unwrap().len(), 3);
    assert_eq!(found["image"]["problem"], Value::Null);
    assert_eq!(found["source"].as_str(), Some(url.as_str()));
}

#[test]
fn what_has_no_room_in_the_record_is_in_the_manifest_cache_or_unknown() {
    let store = TempStore::new();
    let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let long = |label: String| {
        Image::new().layer(layer()).edit_config(move |config| config["config"]["Labels"] = json!({ "a": label }))
    };
    let (repeating, noisy) = ("ab ".repeat(4000), hex(noise(4000, 1)));
    let cases = [("repeating", &repeating, true), ("noisy", &noisy, false)];
    for (name, label, is_kept) in cases {
        let layout = store.beside(name);
        store.create(&long(label.clone()).write(&layout, "latest"), name);
        let found = inspect(&store, name);
        assert_eq!(found["config"]["labels"]["a"].as_str().is_some(), is_kept, "{found}");
        assert!(found["digest"].is_string() && found["config_digest"].is_string(), "{found}");
        let server = ScriptedRegistry::start(&layout, |_| Answer::Serve);
        let id = format!("{name}-of-registry");
        store.ok(["create", "--insecure-registry", &server.host(), &server.url(), &id]);
        drop(server);
        let found = inspect(&store, &id);
        assert_eq!(found["config"]["labels"]["a"].as_str(), Some(label.as_str()), "{found}");
    }
}

#[test]
fn a_source_is_described_without_a_layer_being_read_and_without_a_store() {
    let store = TempStore::uninitialised();
    let layout = store.beside("layout");
    let url = image("of the source").write(&layout, "latest");
    let server = ScriptedRegistry::start(&layout, |_| Answer::Serve);
    let insecure = server.host();
    let registry = server.url();
    let tar = write_archive(&store.beside(""), "rootfs.tar", &Archive::new().file("a", 0o644, b"").bytes());
    for (reference, has_config) in [(url.as_str(), true), (&registry, true), (tar.to_str().unwrap(), false)] {
        let found = store.ok(["inspect", "--json", "--insecure-registry", &insecure, reference]);
        let found: Value = serde_json::from_str(&found).unwrap();
        assert_eq!(found["source"].as_str(), Some(reference));
        assert_eq!(found["image"], Value::Null);
        assert_eq!(found["config"]["labels"]["which"] == "of the source", has_config, "{found}");
        assert_eq!(found["digest"].as_str() == Some(&manifest_digest(&store, "layout")), has_config);
        assert_eq!(found["layers"][0]["cached"], false);
    }
    let blobs: Vec<String> =
        server.asked().iter().filter(|asked| asked.is_blob()).map(|asked| asked.path.clone()).collect();
    assert_eq!(blobs.len(), 1, "the configuration alone: {blobs:?}");
    assert!(!store.path().exists());
}

#[test]
fn layers_that_the_store_has_are_said_to_be_cached() {
    let store = TempStore::new();
    let url = image("").write(&store.beside("layout"), "latest");
    assert_eq!(inspect(&store, &url)["layers"][0]["cached"], false);
    store.create(&url, "x");
    assert_eq!(inspect(&store, &url)["layers"][0]["cached"], true);
    assert_eq!(inspect(&store, &url)["layers"][0]["chain_id"], inspect(&store, "x")["layers"][0]["chain_id"]);
}

#[test]
fn what_is_neither_is_said_in_one_line() {
    let store = TempStore::new();
    assert_eq!(store.fails(["inspect", "mistyped"]), "Image `mistyped` not found.");
    let outside = "/no/such/path";
    assert_eq!(store.fails(["inspect", outside]), format!("path `{outside}` is outside store path"));
    for arguments in [&["inspect"][..], &["inspect", "a", "b"]] {
        assert!(store.fails(arguments).starts_with("invalid arguments - usage: inspect"), "{arguments:?}");
    }
    assert!(store.fails(["inspect", "oci:///no/such/layout"]).contains("Image source doesn't exist"));
}

#[test]
fn no_terminal_is_written_to() {
    let store = TempStore::new();
    let escape = |config: &mut Value| config["config"]["Cmd"] = json!(["\u{1b}[31mred\nline"]);
    let url = Image::new().layer(layer()).edit_config(escape).write(&store.beside("layout"), "latest");
    store.create(&url, "x");
    for image in ["x", &url] {
        let text = store.ok(["inspect", image]);
        assert!(text.contains("31mred") && !text.contains('\u{1b}'), "{text}");
    }
}
