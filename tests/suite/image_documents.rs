//! Manifests, indexes and configurations as other programs write them: what loses nothing is read, the rest is named.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Archive, Image, Layer, TempStore, names, write_document};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn layer() -> Layer {
    Layer::new(Archive::new().file("hello", 0o644, b"").bytes())
}

/// What `create` prints.
fn created(store: &TempStore, image: Image, id: &str) -> Value {
    let url = image.write(&store.beside(id), "latest");
    let printed = store.ok(["create", &url, id]);
    serde_json::from_str(&printed).unwrap()
}

#[test]
fn members_are_found_whatever_their_case_and_unused_ones_are_not_looked_at() {
    let store = TempStore::new();
    let image = Image::new().layer(layer()).edit_config(|config| {
        let diff_ids = config["rootfs"]["diff_ids"].take();
        *config = json!({
            "Config": { "env": ["A=b"], "volumes": { "/v": null }, "User": 7, "Cmd": "sh", "Labels": { "a": null } },
            "architecture": null, "os": 7, "history": "none", "created": 0, "ROOTFS": { "Diff_Ids": diff_ids },
        });
    });
    let printed = created(&store, image, "x");
    assert_eq!(printed["process"]["env"], json!(["A=b"]));
    assert_eq!(printed["mounts"][0]["destination"], "/v");
    assert_eq!(names(&store.rootfs("x")), ["hello"]);
}

#[test]
fn an_image_without_layers_has_an_empty_root_filesystem() {
    let store = TempStore::new();
    type Edit = fn(&mut Value);
    let manifests: [Edit; 3] = [
        |_| {},
        |manifest| manifest["layers"] = Value::Null,
        |manifest| drop(manifest.as_object_mut().unwrap().remove("layers")),
    ];
    let configs: [Edit; 3] =
        [|_| {}, |config| config["rootfs"] = Value::Null, |config| config["rootfs"]["diff_ids"] = Value::Null];
    for (n, (manifest, config)) in manifests.into_iter().zip(configs).enumerate() {
        let id = n.to_string();
        let image = Image::new().env(&["A=b"]).edit_manifest(manifest).edit_config(config);
        let printed = created(&store, image, &id);
        assert_eq!(printed["process"]["env"], json!(["A=b"]));
        assert_eq!(names(&store.rootfs(&id)), [""; 0]);
        fs::write(store.rootfs(&id).join("file"), "written").unwrap();
    }
    assert_eq!(store.volumes().len(), 1);
    store.ok(["create", "--without-mount", &format!("oci://{}:latest", store.beside("0").display()), "unmounted"]);
    for id in ["0", "1", "2", "unmounted"] {
        store.ok(["delete", id]);
    }
    store.ok(["clean"]);
    assert_eq!(store.leftovers(), [""; 0]);
    assert_eq!(store.volumes(), [""; 0]);
}

#[test]
fn an_entry_without_platform_stands_beside_attestations() {
    let store = TempStore::new();
    let layout = store.beside("x");
    let inner = layout.clone();
    let image = Image::new().layer(layer()).edit_index(move |index| {
        let mut entry = index["manifests"][0].clone();
        entry.as_object_mut().unwrap().remove("annotations");
        let unknown = json!({ "architecture": "unknown", "os": "unknown" });
        let attestation = json!({ "mediaType": 7, "digest": "sha256:0", "size": -1, "platform": unknown });
        let nested = json!({ "schemaVersion": 2, "manifests": [attestation, entry] });
        index["manifests"] = json!([write_document(&inner, &nested, INDEX)]);
    });
    image.write(&layout, "latest");
    store.create(&format!("oci://{}", layout.display()), "x");
    assert_eq!(names(&store.rootfs("x")), ["hello"]);
}

#[test]
fn what_is_no_image_is_named() {
    let store = TempStore::new();
    type Make = fn(&Path) -> Image;
    let cases: [(Make, &str); 8] = [
        (
            |_| Image::new().layer(layer()).edit_index(|index| index["manifests"] = Value::Null),
            "it is an index without images",
        ),
        (
            |_| Image::new().layer(layer()).edit_index(|index| index["manifests"] = json!([])),
            "it is an index without images",
        ),
        (
            |_| {
                Image::new()
                    .layer(layer().media_type("application/vnd.cncf.helm.chart.content.v1.tar+gzip"))
                    .edit_manifest(|manifest| {
                        manifest["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json".into()
                    })
            },
            "it is a Helm chart, not a container image",
        ),
        (
            |_| Image::new().layer(layer().media_type("application/wasm")),
            "it is a WebAssembly module, not a container image",
        ),
        (
            |_| Image::new().layer(layer()).edit_manifest(|manifest| manifest["layers"][0]["size"] = (-1).into()),
            "is negative: -1",
        ),
        (
            |_| {
                Image::new().layer(layer()).edit_manifest(|manifest| {
                    manifest["layers"][0]["digest"] = format!("sha512:{}", "0".repeat(128)).into();
                })
            },
            "digests of the algorithm `sha512` are not supported",
        ),
        (
            |_| Image::new().layer(layer()).edit_config(|config| config["config"]["Env"] = "A=b".into()),
            "config.Env is not a list",
        ),
        (
            |_| Image::new().layer(layer()).edit_config(|config| config["rootfs"] = Value::Null),
            "it has 0 diff ids for 1 layers",
        ),
    ];
    for (n, (make, reason)) in cases.into_iter().enumerate() {
        let layout = store.beside(&n.to_string());
        let url = make(&layout).write(&layout, "latest");
        let message = store.fails(["create", &url, "x"]);
        assert!(message.contains(reason), "{reason}: {message}");
        assert_eq!(store.leftovers(), [""; 0]);
    }
}
