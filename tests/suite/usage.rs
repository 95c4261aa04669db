//! `usage` and `list --long`: who uses the store, and what can be freed.

use std::fs;

use serde_json::Value;

use crate::support::{Archive, DRIVER, Driver, Image, Layer, MIB, TempStore, layers, small_image};

fn usage(store: &TempStore) -> Value {
    serde_json::from_str(&store.ok(["usage", "--json"])).unwrap()
}

#[test]
fn one_call_tells_who_uses_what_and_what_can_be_freed() {
    let store = TempStore::new();
    let (shared, chain) = layers(&store, "shared", 2);
    let large = Layer::new(Archive::new().file("file", 0o644, &vec![7; 3 * MIB as usize]).bytes());
    let large = Image::new().layer(large).write(&store.beside("large"), "latest");
    store.create(&shared, "x");
    store.create(&shared, "y");
    store.create(&large, "gone");
    store.ok(["delete", "gone"]);
    store.ok(["create", "--without-mount", &small_image(&store.beside("small")), "callers"]);

    let report = usage(&store);
    assert_eq!(report["schema"], 1);
    assert_eq!(report["store"].as_str(), store.path().to_str());
    let ids: Vec<&str> = report["images"].as_array().unwrap().iter().filter_map(|image| image["id"].as_str()).collect();
    assert_eq!(ids, ["callers", "x", "y"]);
    assert_eq!(report["images"][1]["mounted"], true);
    assert_eq!(report["images"][0]["mounted"], Value::Null);
    assert_eq!(report["images"][1]["layers"], serde_json::json!(chain));
    let layer = |id: &str| {
        let all = report["layers"].as_array().unwrap();
        all.iter().find(|layer| layer["chain_id"] == id).unwrap_or_else(|| panic!("{report}")).clone()
    };
    assert_eq!(layer(&chain[0])["used_by"], serde_json::json!(["x", "y"]));
    assert_eq!(layer(&chain[0])["reclaimable"], false);
    assert_eq!(report["totals"]["reclaimable_bytes"], 3 * MIB);
    assert_eq!(report["totals"]["layers"], 4);
    let number = |value: &Value| value.as_u64().unwrap_or_else(|| panic!("{report}"));
    let filesystem = &report["filesystem"];
    assert!(
        number(&filesystem["used_bytes"]) + number(&filesystem["available_bytes"]) <= number(&filesystem["size_bytes"])
    );
    let file = &report["backing_file"];
    assert_eq!(number(&file["logical_bytes"]), fs::metadata(store.backing_file()).unwrap().len());
    assert!(number(&file["physical_bytes"]) < number(&file["logical_bytes"]), "the file is sparse");
    assert_eq!(filesystem["used_inodes"].is_u64(), DRIVER == Driver::OverlayXfs);

    let table = store.ok(["usage"]);
    for text in ["reclaimable (clean)", "3.0 MiB", "nobody: clean removes it", "2 images", "callers"] {
        assert!(table.contains(text), "no {text} in {table}");
    }
    let list = store.ok(["list", "--long"]);
    assert!(list.starts_with("IMAGE") && list.lines().count() == 4 && !list.contains("LAYER  "), "{list}");

    store.ok(["clean"]);
    assert_eq!(usage(&store)["totals"]["reclaimable_bytes"], 0);
}

#[test]
fn a_damaged_image_is_named_and_hides_nothing_else() {
    let store = TempStore::new();
    store.create(&layers(&store, "one", 1).0, "damaged");
    store.create(&layers(&store, "two", 1).0, "whole");
    fs::write(store.path().join("meta/dependencies/image:damaged.json"), "{").unwrap();
    fs::write(store.path().join("images/stray"), "").unwrap();
    let report = usage(&store);
    let images = report["images"].as_array().unwrap();
    assert_eq!(images.len(), 2, "{report}");
    assert!(images[0]["problem"].as_str().unwrap().contains("image:damaged.json"), "{report}");
    assert!(images[1].get("problem").is_none());
}
