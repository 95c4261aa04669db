//! `usage` and `list --long`: who uses the store, and what can be freed.

use std::fs;

use serde_json::Value;

use crate::support::{Archive, DRIVER, Driver, Image, Layer, MIB, TempStore, layers, small_image, succeed};

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
    assert_eq!(layer(&chain[0])["last_used"], Value::Null);
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
    assert_eq!(filesystem["used_inodes"].is_u64(), *DRIVER == Driver::OverlayXfs);

    let table = store.ok(["usage"]);
    for text in
        ["reclaimable (clean)", "3.0 MiB", "nobody: clean removes it", "LAST USED", "in use", "2 images", "callers"]
    {
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

#[test]
fn exact_usage_is_what_du_counts() {
    let store = TempStore::new();
    let content = vec![7; 100_000];
    let archive = Archive::new().directory("d", 0o755).file("d/f", 0o644, &content).hard_link("g", "d/f");
    let image = Image::new().layer(Layer::new(archive.bytes()));
    let chain_id = image.chain_ids().remove(0);
    store.create(&image.write(&store.beside("image"), "latest"), "x");
    fs::write(store.rootfs("x").join("written"), vec![8; 300_000]).unwrap();
    fs::hard_link(store.rootfs("x").join("written"), store.rootfs("x").join("again")).unwrap();
    succeed("sync", ["--file-system", store.path().to_str().unwrap()]);

    let du = |path: &std::path::Path, flag: &str| -> u64 {
        // An overlay is another filesystem, a subvolume of btrfs is not to be left out.
        let own = if *DRIVER == Driver::OverlayXfs { "--one-file-system" } else { "--summarize" };
        let line = succeed("du", ["--summarize", own, flag, path.to_str().unwrap()]);
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    let expected = |path: &std::path::Path| serde_json::json!({"bytes": du(path, "--block-size=1"), "inodes": du(path, "--inodes")});
    let report: Value = serde_json::from_str(&store.ok(["usage", "--exact", "--json"])).unwrap();
    assert_eq!(report["images"][0]["on_disk"], expected(&store.image("x")));
    assert_eq!(report["layers"][0]["on_disk"], expected(&store.path().join("volumes").join(chain_id)));
    assert_eq!(report["layers"][0]["on_disk"]["inodes"], 3);
    assert!(usage(&store)["images"][0].get("on_disk").is_none());
    assert!(store.ok(["usage", "--exact"]).contains("ON DISK"));
    assert!(!store.ok(["usage"]).contains("ON DISK"));
}

#[test]
fn a_layer_was_last_used_when_the_last_image_that_needed_it_was_deleted() {
    let store = TempStore::new();
    let (url, chain) = layers(&store, "image", 1);
    for id in ["x", "y"] {
        store.create(&url, id);
    }
    // As if it had been unpacked long ago: 2001-09-09.
    let record = store.path().join(format!("meta/volume-{}", chain[0]));
    succeed("touch", ["--date=@1000000000", record.to_str().unwrap()]);
    let last_used = || usage(&store)["layers"][0]["last_used"].clone();
    store.ok(["delete", "x"]);
    assert_eq!(last_used(), Value::Null);
    succeed("touch", ["--date=@1000000000", record.to_str().unwrap()]);
    store.ok(["delete", "y"]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(last_used().as_u64().is_some_and(|time| time > 1_000_000_000 && time <= now), "{}", last_used());
    succeed("touch", ["--date=@1000000000", record.to_str().unwrap()]);
    assert_eq!(last_used(), 1_000_000_000);
}
