//! Mounting overlays, and telling callers how to.

use std::fs;
use std::path::Path;

use crate::support::{Archive, Image, Layer, TempStore, layers, mount_points_below, sha256_hex, small_image, succeed};
use serde_json::Value;

#[test]
fn the_answer_without_mount_lists_the_root_and_the_volumes() {
    let store = TempStore::new();
    let url = Image::new()
        .layer(Layer::new(Archive::new().file("a", 0o644, b"a").bytes()))
        .layer(Layer::new(Archive::new().file("b", 0o644, b"b").bytes()))
        .env(&["PATH=/usr/bin", "TEST=<&>"])
        .volume("/foo")
        .write(&store.beside("image"), "latest");
    let printed = store.ok(["create", "--without-mount", &url, "x"]);

    let links = store.path().join("l");
    let short = |volume: &str| fs::read_to_string(links.join(volume)).unwrap();
    let record: Vec<String> =
        serde_json::from_slice(&fs::read(store.path().join("meta/dependencies/image:x.json")).unwrap()).unwrap();
    let lower: Vec<String> =
        record.iter().rev().map(|volume| format!("{}", links.join(short(volume)).display())).collect();
    let (rootfs, image) = (store.rootfs("x").display().to_string(), store.image("x").display().to_string());
    let expected = format!(
        concat!(
            r#"{{"ociVersion":"","process":{{"user":{{"uid":0,"gid":0}},"args":null,"#,
            r#""env":["PATH=/usr/bin","TEST=\u003c\u0026\u003e"],"cwd":""}},"root":{{"path":"{rootfs}"}},"#,
            r#""mounts":[{{"destination":"{rootfs}","type":"overlay","source":"overlay","#,
            r#""options":["lowerdir={lower},upperdir={image}/diff,workdir={image}/workdir"]}},"#,
            r#"{{"destination":"/foo","type":"bind","source":"{image}/vol-{volume}","options":["bind"]}}]}}"#
        ),
        rootfs = rootfs,
        image = image,
        lower = lower.join(":"),
        volume = sha256_hex(b"/foo"),
    );
    assert_eq!(printed, format!("{expected}\n"));
}

#[test]
fn an_image_without_mount_has_an_empty_root_and_mounts_as_it_says() {
    let store = TempStore::new();
    let printed = store.ok(["create", "--without-mount", &small_image(&store.beside("image")), "x"]);
    assert!(fs::read_dir(store.rootfs("x")).unwrap().next().is_none());
    assert!(mount_points_below(&store.path().join("images")).is_empty());

    let spec: Value = serde_json::from_str(&printed).unwrap();
    let entry = &spec["mounts"][0];
    assert_eq!(entry["destination"].as_str(), store.rootfs("x").to_str());
    let target = store.beside("elsewhere");
    crate::support::mount(Path::new("overlay"), &target, "overlay", entry["options"][0].as_str().unwrap());
    assert_eq!(fs::read_to_string(target.join("hello")).unwrap(), "hello\n");
}

#[test]
fn five_hundred_layers_work_mounted_or_not() {
    let store = TempStore::new();
    let (image, chain) = layers(&store, "tall", 500);
    let rootfs = store.create(&image, "mounted");
    assert_eq!(fs::read_dir(&rootfs).unwrap().count(), 500);
    assert_eq!(fs::read_to_string(rootfs.join("file-499")).unwrap(), "tall 499");
    fs::write(rootfs.join("new"), "written").unwrap();

    let printed = store.ok(["create", "--without-mount", &image, "unmounted"]);
    let spec: Value = serde_json::from_str(&printed).unwrap();
    let options = spec["mounts"][0]["options"][0].as_str().unwrap().to_owned();
    let rootfs = store.rootfs("unmounted");
    succeed("mount", ["-i", "-t", "overlay", "overlay", "-o", &options, rootfs.to_str().unwrap()]);
    assert_eq!(fs::read_dir(&rootfs).unwrap().count(), 500);
    assert_eq!(fs::read_to_string(rootfs.join("file-0")).unwrap(), "tall 0");
    assert_eq!(fs::read_to_string(rootfs.join("file-499")).unwrap(), "tall 499");
    assert_eq!(store.volumes().len(), chain.len() + 1, "the lowest layers in one");

    let again = store.ok(["create", "--without-mount", &image, "again"]);
    assert_eq!(again.replace("again", "unmounted"), printed, "made once");
    for id in ["mounted", "unmounted", "again"] {
        store.ok(["delete", id]);
    }
    store.ok(["clean"]);
    assert!(store.volumes().is_empty());
}

#[test]
fn more_layers_than_the_kernel_mounts_are_refused_in_one_line() {
    let store = TempStore::new();
    let (image, _) = layers(&store, "too-tall", 501);
    let message = store.fails(["create", &image, "x"]);
    assert!(message.contains("500"), "{message}");
    assert!(!store.image("x").exists());
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}

#[test]
fn an_id_that_mount_options_cannot_say_is_refused_without_mount() {
    let store = TempStore::new();
    let image = small_image(&store.beside("image"));
    for id in ["a,b", r"a\b"] {
        let message = store.fails(["create", "--without-mount", &image, id]);
        assert!(message.contains(&format!("id `{id}` contains invalid characters")), "{message}");
        store.create(&image, id);
    }
}
