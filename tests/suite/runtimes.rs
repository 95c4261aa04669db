//! What `create` prints starts containers: under `runc` mounted and without mount, under `crun` mounted.
//!
//! crun 1.8 cannot place a root overlay from `mounts`, wherever the entry's destination points; a root mounted by hand
//! from the printed entry runs there too.

use std::path::Path;

use crate::support::{Archive, Bundle, Image, Layer, Runtime, TempStore, busybox_layer, mount};
use serde_json::Value;

/// Shows that the container has the image's files, its environment and a root it can write to.
const SCRIPT: &str = "cat /greeting && echo $GREETED > /written && cat /written";
const EXPECTED: &str = "hello from the top layer\nby the image's environment\n";

fn image() -> Image {
    let top = Archive::new().file("greeting", 0o644, b"hello from the top layer\n");
    Image::new().layer(busybox_layer()).layer(Layer::new(top.bytes())).env(&["GREETED=by the image's environment"])
}

#[track_caller]
fn greets(store: &TempStore, runtime: Runtime, printed: &str) {
    let outcome = Bundle::new(&store.beside("bundle"), printed, &["/bin/sh", "-c", SCRIPT]).run(runtime);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), EXPECTED), "{outcome:?}");
}

#[test]
fn a_mounted_root_runs_under_runc_and_crun() {
    for runtime in [Runtime::Runc, Runtime::Crun] {
        let store = TempStore::new();
        let url = image().write(&store.beside("image"), "latest");
        let printed = store.ok(["create", &url, "x"]);
        greets(&store, runtime, &printed);
        assert_eq!(
            std::fs::read_to_string(store.own_files("x").join("written")).unwrap(),
            "by the image's environment\n"
        );
        store.ok(["delete", "x"]);
    }
}

#[test]
fn a_root_without_mount_runs_under_runc() {
    for config in ["", "create:\n  mount_destination: root\n"] {
        let store = TempStore::new();
        let file = store.beside("config.yml");
        std::fs::write(&file, config).unwrap();
        let url = image().write(&store.beside("image"), "latest");
        let printed = store.ok(["--config", file.to_str().unwrap(), "create", "--without-mount", &url, "x"]);
        greets(&store, Runtime::Runc, &printed);
        store.ok(["delete", "x"]);
    }
}

#[test]
fn a_root_mounted_by_hand_from_the_entry_runs_under_crun() {
    let store = TempStore::new();
    let url = image().write(&store.beside("image"), "latest");
    let printed = store.ok(["create", "--without-mount", &url, "x"]);
    let mut spec: Value = serde_json::from_str(&printed).unwrap();
    let entry = spec["mounts"].as_array_mut().unwrap().remove(0);
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    mount(
        Path::new(&text(&entry["source"])),
        Path::new(&text(&entry["destination"])),
        &text(&entry["type"]),
        &text(&entry["options"][0]),
    );
    greets(&store, Runtime::Crun, &spec.to_string());
    crate::support::unmount_below(&store.rootfs("x"));
    store.ok(["delete", "x"]);
}

#[test]
fn an_images_volume_is_writable_in_the_container() {
    let store = TempStore::new();
    let url = image().volume("/data").write(&store.beside("image"), "latest");
    let printed = store.ok(["create", &url, "x"]);
    let outcome =
        Bundle::new(&store.beside("bundle"), &printed, &["/bin/sh", "-c", "echo kept > /data/file"]).run(Runtime::Runc);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let source = store.image("x").join(format!("vol-{}", crate::support::sha256_hex(b"/data")));
    assert_eq!(std::fs::read_to_string(source.join("file")).unwrap(), "kept\n");
    store.ok(["delete", "x"]);
}
