//! Layers and images as subvolumes.

use std::fs;
use std::path::Path;

use crate::support::{
    Archive, Image, Layer, MIB, TempStore, layers, mount, names, run, sha256_hex, small_image, succeed, system_calls,
};
use serde_json::Value;

/// Paths of all subvolumes of the store, relative to it.
pub(crate) fn subvolumes(store: &TempStore) -> Vec<String> {
    let listed = succeed("btrfs", ["subvolume", "list", "-o", &store.path().to_string_lossy()]);
    listed.lines().filter_map(|line| Some(line.split_once(" path ")?.1.to_owned())).collect()
}

#[test]
fn a_layer_is_a_snapshot_of_the_one_below_it_and_an_image_of_the_topmost() {
    let store = TempStore::new();
    let (image, chain) = layers(&store, "image", 3);
    store.create(&image, "x");
    let show = |path: &Path| {
        let shown = succeed("btrfs", ["subvolume", "show", &path.to_string_lossy()]);
        let field = |name: &str| {
            let line = shown.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap();
            line.trim().to_owned()
        };
        (field("UUID:"), field("Parent UUID:"))
    };
    let mut below = "-".to_owned();
    for volume in chain.iter().map(|volume| store.path().join("volumes").join(volume)) {
        let (uuid, parent) = show(&volume);
        assert_eq!(parent, below);
        below = uuid;
    }
    assert_eq!(show(&store.rootfs("x")).1, below);
    assert_eq!(names(&store.rootfs("x")), ["file-0", "file-1", "file-2"]);
}

#[test]
fn the_answer_without_mount_binds_the_snapshot() {
    let store = TempStore::new();
    let layer = Layer::new(Archive::new().file("hello", 0o644, b"hello\n").bytes());
    let url = Image::new().layer(layer).env(&["A=b"]).volume("/foo").write(&store.beside("image"), "latest");
    let printed = store.ok(["create", "--without-mount", &url, "x"]);
    let image = store.image("x").display().to_string();
    let expected = format!(
        concat!(
            r#"{{"ociVersion":"","process":{{"user":{{"uid":0,"gid":0}},"args":null,"env":["A=b"],"cwd":""}},"#,
            r#""root":{{"path":"{image}/rootfs"}},"mounts":[{{"destination":"{image}/rootfs","#,
            r#""source":"{image}/snapshot","options":["bind"]}},"#,
            r#"{{"destination":"/foo","type":"bind","source":"{image}/vol-{volume}","options":["bind"]}}]}}"#
        ),
        image = image,
        volume = sha256_hex(b"/foo"),
    );
    assert_eq!(printed, format!("{expected}\n"));
    assert!(names(&store.rootfs("x")).is_empty());
    assert_eq!(names(&store.image("x").join("snapshot")), ["hello"]);

    let spec: Value = serde_json::from_str(&printed).unwrap();
    let entry = &spec["mounts"][0];
    let path = |key: &str| Path::new(entry[key].as_str().unwrap()).to_owned();
    mount(&path("source"), &path("destination"), "none", "bind");
    assert_eq!(names(&store.rootfs("x")), ["hello"]);
    store.ok(["delete", "x"]);
    assert!(!store.image("x").exists(), "what its caller mounted is unmounted");
}

#[test]
fn subvolumes_that_a_container_made_go_with_its_image() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    for flags in [&[][..], &["--without-mount"]] {
        store.ok([&["create"], flags, &[url.as_str(), "x"]].concat());
        let inside = if flags.is_empty() { store.rootfs("x") } else { store.image("x").join("snapshot") };
        fs::create_dir_all(inside.join("a/b")).unwrap();
        for subvolume in ["a/b/one", "a/b/one/two", "top"] {
            succeed("btrfs", ["subvolume", "create", &inside.join(subvolume).to_string_lossy()]);
            fs::write(inside.join(subvolume).join("file"), "x").unwrap();
        }
        let snapshot = ["subvolume", "snapshot", "-r"].map(Into::into);
        let paths =
            [inside.join("a/b/one"), inside.join("a/read-only")].map(|path| path.to_string_lossy().into_owned());
        succeed("btrfs", snapshot.into_iter().chain(paths));
        store.ok(["delete", "x"]);
        assert!(!store.image("x").exists());
        assert_eq!(subvolumes(&store).len(), 1, "the layer's: {:?}", subvolumes(&store));
    }
}

#[test]
fn a_subvolume_in_a_layer_does_not_keep_it() {
    let store = TempStore::new();
    store.create(&small_image(&store.beside("image")), "x");
    let volume = store.path().join("volumes").join(&store.volumes()[0]);
    succeed("btrfs", ["subvolume", "create", &volume.join("nested").to_string_lossy()]);
    store.ok(["delete", "x"]);
    store.ok(["clean"]);
    assert!(subvolumes(&store).is_empty());
}

#[test]
fn a_thousand_layers_are_no_more_than_one() {
    let store = TempStore::with_size(2048 * MIB);
    let (image, _) = layers(&store, "tall", 600);
    for flags in [&[][..], &["--without-mount"]] {
        store.ok([&["create"], flags, &[image.as_str(), "x"]].concat());
        let inside = if flags.is_empty() { store.rootfs("x") } else { store.image("x").join("snapshot") };
        assert_eq!(names(&inside).len(), 600);
        assert_eq!(fs::read_to_string(inside.join("file-599")).unwrap(), "tall 599");
        store.ok(["delete", "x"]);
    }
    store.ok(["clean"]);
    assert!(subvolumes(&store).is_empty());
}

#[test]
fn no_program_of_btrfs_is_run_but_mkfs() {
    let store = TempStore::with_quota();
    let url = small_image(&store.beside("image"));
    let limited = ["create", "--disk-limit-size-bytes", "10485760", url.as_str(), "x"];
    for arguments in [&limited[..], &["stats", "x"], &["delete", "x"], &["clean"], &["init-store"]] {
        let calls = system_calls(&store.command(arguments));
        let programs = u64::from(arguments[0] == "create");
        let started = calls.get("execve").copied().unwrap_or_default();
        assert_eq!(started, programs, "{arguments:?}: none beside itself, but the flush of a create");
    }
}

#[test]
fn mkfs_is_looked_for_where_the_configuration_says() {
    for flag in ["--btrfs-progs-path", "--config"] {
        let store = TempStore::uninitialised();
        let (programs, config) = (store.beside("programs"), store.beside("config.yml"));
        fs::create_dir(&programs).unwrap();
        fs::write(&config, format!("btrfs_progs_path: {}\n", programs.display())).unwrap();
        let path = if flag == "--config" { &config } else { &programs };
        let init = [flag, path.to_str().unwrap(), "init-store", "--store-size-bytes", "1073741824"];
        let message = store.fails(init);
        let expected = format!("run {}: no such file or directory", programs.join("mkfs.btrfs").display());
        assert_eq!(message, format!("Formatting BTRFS filesystem: {expected}"));
        assert!(!store.backing_file().exists());

        let own = format!("#!/bin/sh\necho called > {}\nexec mkfs.btrfs \"$@\"\n", programs.join("log").display());
        fs::write(programs.join("mkfs.btrfs"), own).unwrap();
        succeed("chmod", ["+x", programs.join("mkfs.btrfs").to_str().unwrap()]);
        store.ok(init);
        assert_eq!(fs::read_to_string(programs.join("log")).unwrap(), "called\n");
    }

    let store = TempStore::uninitialised();
    let mut command = store.command(["init-store", "--store-size-bytes", "1073741824"]);
    let message = run(command.env("PATH", store.beside("empty"))).failure();
    let expected = "mkfs.btrfs was not found in the $PATH: install btrfs-progs";
    assert_eq!(message, format!("Formatting BTRFS filesystem: {expected}"));
}

#[test]
fn users_may_remove_their_subvolumes_from_a_store_of_its_own() {
    let store = TempStore::new();
    let table = fs::read_to_string("/proc/mounts").unwrap();
    let line = table.lines().find(|line| line.contains(&format!(" {} ", store.path().display()))).unwrap();
    assert!(line.contains("user_subvol_rm_allowed"), "{line}");
}

#[test]
fn a_size_measured_again_is_that_of_the_layer_alone() {
    let store = TempStore::new();
    let layer = |name: &str, size: usize| {
        Layer::new(Archive::new().file(name, 0o644, &vec![1; size]).hard_link(&format!("{name}-link"), name).bytes())
    };
    let replacing = Layer::new(Archive::new().whiteout("a").file("b", 0o644, &[2; 70]).bytes());
    let image = Image::new().layer(layer("a", 1000)).layer(layer("b", 200)).layer(replacing);
    let chain = image.chain_ids();
    store.create(&image.write(&store.beside("image"), "latest"), "x");
    let record = |volume: &String| store.path().join("meta").join(format!("volume-{volume}"));
    let records = || chain.iter().map(|volume| fs::read_to_string(record(volume)).unwrap()).collect::<Vec<_>>();
    let before = records();
    assert_eq!(before, [1000, 200, 70].map(|size| format!("{{\"Size\":{size}}}\n")));
    for volume in &chain {
        fs::remove_file(record(volume)).unwrap();
    }
    store.ok(["generate-volume-size-metadata"]);
    assert_eq!(records(), before);
}

/// The original keeps neither `image_info` nor project ids there, and leaves quotas to the administrator.
#[test]
fn a_store_of_the_original_opens_unchanged() {
    let store = TempStore::new();
    let layer = Layer::new(Archive::new().file("base", 0o644, b"from the archive").bytes());
    let chain = crate::support::chain_ids([layer.diff_id.as_str()]);
    let url = Image::new().layer(layer).write(&store.beside("image"), "latest");
    let volume = store.path().join("volumes").join(&chain[0]);
    succeed("btrfs", ["subvolume", "create", &volume.to_string_lossy()]);
    fs::write(volume.join("base"), "from the store").unwrap();
    fs::write(store.path().join("meta").join(format!("volume-{}", chain[0])), "{\"Size\":14}\n").unwrap();
    fs::create_dir(store.image("old")).unwrap();
    let rootfs = store.rootfs("old").to_string_lossy().into_owned();
    succeed("btrfs", ["subvolume", "snapshot", &volume.to_string_lossy(), &rootfs]);
    fs::write(store.path().join("meta/dependencies/image:old.json"), format!("[\"{}\"]", chain[0])).unwrap();

    store.create(&url, "new");
    let read = |image: &str| fs::read_to_string(store.rootfs(image).join("base")).unwrap();
    assert_eq!((read("old"), read("new")), ("from the store".into(), "from the store".into()));
    assert_eq!(store.stats("old")["exclusive_bytes_used"], 16384);
    store.ok(["clean"]);
    assert_eq!(store.volumes(), chain);
    store.ok(["delete", "old"]);
    store.ok(["delete", "new"]);
    store.ok(["clean"]);
    assert!(subvolumes(&store).is_empty());
}
