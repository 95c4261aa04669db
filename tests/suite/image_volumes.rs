//! Volumes that an image declares begin with what the image has there.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use serde_json::{Value, json};

use crate::support::{
    Archive, DRIVER, Driver, Image, Layer, MIB, Node, TempStore, differences, names, run, sha256_hex, succeed,
};

/// Where the volume of this destination is.
fn volume(store: &TempStore, id: &str, destination: &str) -> PathBuf {
    store.image(id).join(format!("vol-{}", sha256_hex(destination.as_bytes())))
}

fn created(store: &TempStore, arguments: &[&str]) -> Value {
    serde_json::from_str(&store.ok([&["create"], arguments].concat())).unwrap()
}

fn destinations(created: &Value) -> Vec<&str> {
    let mounts = created["mounts"].as_array().map_or(&[][..], Vec::as_slice);
    mounts.iter().map(|mount| mount["destination"].as_str().unwrap()).collect()
}

/// A database's image: its data belongs to a user, and each of three layers has its part in it.
fn database() -> Image {
    let bottom = Archive::new()
        .directory("var", 0o755)
        .owner(26, 27)
        .xattr("user.kind", b"data")
        .mtime(1_000_000_000)
        .directory("var/data", 0o2750)
        .owner(26, 26)
        .file("var/data/gone", 0o644, b"gone")
        .directory("var/data/hidden", 0o700)
        .file("var/data/hidden/below", 0o644, b"below")
        .file("var/data/large", 0o4640, &vec![b'x'; 300_000])
        .hard_link("var/data/linked", "var/data/large")
        .symlink("var/data/link", "/etc/passwd")
        .fifo("var/data/pipe", 0o600);
    let middle = Archive::new().whiteout("var/data/gone").owner(5, 5).file("var/data/added", 0o400, b"added");
    let top = Archive::new().owner(26, 26).opaque("var/data/hidden").file("var/data/hidden/new", 0o644, b"new");
    [bottom, middle, top].into_iter().fold(Image::new(), |image, layer| image.layer(Layer::new(layer.bytes())))
}

/// The volume is what the root filesystem, which is mounted at `rootfs`, has at `path`.
#[track_caller]
fn begins_with(volume: &Path, shown: &Path) {
    let differences = differences(&Node::read_tree(shown), &Node::read_tree(volume), 10);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_volume_begins_with_the_content_owner_mode_and_attributes_of_the_images_directory() {
    let store = TempStore::new();
    let url = database().volume("/var/data").write(&store.beside("image"), "latest");
    let rootfs = store.create(&url, "x");
    let volume = volume(&store, "x", "/var/data");
    begins_with(&volume, &rootfs.join("var/data"));
    assert_eq!(names(&volume), ["added", "hidden", "large", "link", "linked", "pipe"]);
    assert_eq!(names(&volume.join("hidden")), ["new"]);
    let top = fs::metadata(&volume).unwrap();
    assert_eq!((top.uid(), top.gid(), top.mode() & 0o7777, top.mtime()), (26, 27, 0o2750, 1_000_000_000));
    // What is written there is not written to the image, nor to other images.
    fs::write(volume.join("added"), "changed").unwrap();
    assert_eq!(fs::read_to_string(rootfs.join("var/data/added")).unwrap(), "added");
    let other = store.create(&url, "y");
    assert_eq!(fs::read_to_string(other.join("var/data/added")).unwrap(), "added");
    assert_eq!(fs::read_to_string(self::volume(&store, "y", "/var/data").join("added")).unwrap(), "added");
    for id in ["x", "y"] {
        store.ok(["delete", id]);
    }
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}

#[test]
fn without_mount_the_root_comes_first_and_volumes_have_content_all_the_same() {
    let store = TempStore::new();
    let url = database().volume("/var/data").volume("/a").write(&store.beside("image"), "latest");
    let shown = store.create(&url, "mounted").join("var/data");
    let answer = created(&store, &["--without-mount", &url, "x"]);
    assert_eq!(destinations(&answer), [store.rootfs("x").to_str().unwrap(), "/a", "/var/data"]);
    begins_with(&volume(&store, "x", "/var/data"), &shown);
    assert!(names(&volume(&store, "x", "/a")).is_empty());

    let config = store.beside("config.yml");
    fs::write(&config, "create: {mount_destination: root}\n").unwrap();
    let answer = store.ok(["--config", config.to_str().unwrap(), "create", "--without-mount", &url, "y"]);
    assert_eq!(destinations(&serde_json::from_str(&answer).unwrap()), ["/", "/a", "/var/data"]);
}

#[test]
fn image_volumes_can_be_ignored() {
    let store = TempStore::new();
    let url = database().volume("/var/data").volume("").write(&store.beside("image"), "latest");
    let config = store.beside("config.yml");
    fs::write(&config, "create: {image_volumes: ignore}\n").unwrap();
    let config = ["--config", config.to_str().unwrap()];
    let by_flag = store.command(["create", "--image-volumes=ignore", &url, "flag"]);
    let by_config = store.command([&config[..], &["create", &url, "config"]].concat());
    let mut by_environment = store.command(["create", &url, "environment"]);
    by_environment.env("GROOTFS_CREATE_IMAGE_VOLUMES", "ignore");
    for (mut create, id) in [(by_flag, "flag"), (by_config, "config"), (by_environment, "environment")] {
        let answer: Value = serde_json::from_str(&run(&mut create).success()).unwrap();
        assert_eq!(answer["mounts"], Value::Null, "{id}");
        assert!(!names(&store.image(id)).iter().any(|name| name.starts_with("vol-")), "{id}");
    }
    let message = store.fails(["create", "--image-volumes", "tmpfs", &url, "x"]);
    assert_eq!(message, "invalid argument: create.image_volumes must be bind or ignore, not `tmpfs`");
    // The flag stands over the environment, and that over the file.
    let url = database().volume("/var/data").write(&store.beside("other"), "latest");
    let mut create = store.command([&config[..], &["create", &url, "x"]].concat());
    assert!(run(create.env("GROOTFS_CREATE_IMAGE_VOLUMES", "bind")).success().contains("vol-"));
    let mut create = store.command(["create", "--image-volumes", "bind", &url, "y"]);
    assert!(run(create.env("GROOTFS_CREATE_IMAGE_VOLUMES", "ignore")).success().contains("vol-"));
}

#[test]
fn destinations_are_absolute_and_each_there_once() {
    let store = TempStore::new();
    let image = database().volume("../../x").volume("var//data/").volume("/var/data").volume("./y/../z");
    let url = image.write(&store.beside("image"), "latest");
    let answer = created(&store, &[&url, "x"]);
    assert_eq!(destinations(&answer), ["/var/data", "/x", "/z"]);
    assert!(volume(&store, "x", "/var/data").join("added").exists());
    for declared in ["", "/", "..", "a/..", "/a\0b"] {
        let url = database().volume(declared).write(&store.beside("unusable"), "latest");
        let message = store.fails(["create", &url, "y"]);
        assert!(message.contains("the image declares a volume at `") && message.contains("--image-volumes=ignore"));
        assert!(!message.contains('\0') && store.leftovers().is_empty(), "{message}");
    }
}

/// Where links of an image lead, they lead inside the image.
#[test]
fn links_at_the_path_of_a_volume_stay_inside() {
    let store = TempStore::new();
    let canary = store.beside("canary");
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("secret"), "secret").unwrap();
    let canary = canary.to_str().unwrap();
    let archive = Archive::new()
        .directory("srv", 0o755)
        .owner(7, 7)
        .directory("srv/real", 0o711)
        .file("srv/real/file", 0o600, b"inside")
        .owner(0, 0)
        .symlink("absolute", "/srv/real")
        .symlink("relative", "srv/../../../../srv/real")
        .symlink("out", canary)
        .symlink("climb", &format!("../../../../../../../../..{canary}"))
        .symlink("proc", "/proc/self/root")
        .symlink("loop", "loop")
        .file("file", 0o644, b"no directory");
    let outside = ["/out", "/climb", "/proc", "/loop", "/file", "/out/../canary", "/missing/below"];
    let image = Image::new().layer(Layer::new(archive.bytes()));
    let inside = ["/absolute", "/relative"];
    let url = inside.iter().chain(&outside).fold(image, |image, path| image.volume(path));
    let url = url.write(&store.beside("image"), "latest");
    for (id, mount) in [("x", "--with-mount"), ("y", "--without-mount")] {
        store.ok(["create", mount, &url, id]);
        for path in inside {
            let volume = volume(&store, id, path);
            assert_eq!(fs::read_to_string(volume.join("file")).unwrap(), "inside", "{path}");
            assert_eq!((fs::metadata(&volume).unwrap().uid(), Node::read(&volume).mode), (7, 0o711), "{path}");
        }
        for path in outside {
            // The last but one is clean, and is what it says: a directory that the image has not.
            let cleaned = if path.contains("..") { "/canary" } else { path };
            let volume = volume(&store, id, cleaned);
            assert!(names(&volume).is_empty(), "{path}: {:?}", names(&volume));
            assert_eq!((fs::metadata(&volume).unwrap().uid(), Node::read(&volume).mode), (0, 0o755), "{path}");
        }
    }
    assert_eq!(names(Path::new(canary)), ["secret"]);
    assert_eq!(fs::metadata(canary).unwrap().mode() & 0o777, 0o755);
}

/// Blocks are shared where the filesystem can, so that a volume takes no more room than its names.
#[test]
fn a_volume_shares_its_blocks_with_the_layer() {
    let store = TempStore::new();
    let content: Vec<u8> = (0..32 * MIB).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let layer = Layer::new(Archive::new().directory("data", 0o755).file("data/large", 0o644, &content).bytes());
    let url = Image::new().layer(layer).volume("/data").write(&store.beside("image"), "latest");
    store.create(&url, "first");
    let free = || {
        let opened = openat(CWD, store.path(), OFlags::RDONLY, Mode::empty()).unwrap();
        rustix::fs::syncfs(&opened).unwrap();
        let status = rustix::fs::fstatvfs(&opened).unwrap();
        status.f_bfree * status.f_frsize
    };
    let before = free();
    for n in 0..4 {
        store.create(&url, &format!("x-{n}"));
    }
    assert!(before - free() < 16 * MIB, "{before} {}", free());
}

#[test]
fn a_mapped_store_has_volumes_of_its_ids() {
    let store = TempStore::uninitialised();
    let mapping = ["0:100000:1", "1:200000:65000"];
    let flags = mapping.iter().flat_map(|mapping| ["--uid-mapping", mapping, "--gid-mapping", mapping]);
    let quota: &[&str] = if *DRIVER == Driver::Btrfs { &[] } else { &["--without-quota"] };
    store.ok(["init-store", "--store-size-bytes", "1073741824"].into_iter().chain(quota.iter().copied()).chain(flags));
    let url = database().volume("/var/data").volume("/new").write(&store.beside("image"), "latest");
    let rootfs = store.create(&url, "x");
    begins_with(&volume(&store, "x", "/var/data"), &rootfs.join("var/data"));
    assert_eq!(fs::metadata(volume(&store, "x", "/var/data")).unwrap().uid(), 200_025);
    assert_eq!(fs::metadata(volume(&store, "x", "/new")).unwrap().uid(), 100_000);
}

/// The caller's mounts, as a runtime makes them, show the image's files where a volume is.
#[test]
fn a_user_of_the_image_can_write_there() {
    let store = TempStore::new();
    let url = database().volume("/var/data").write(&store.beside("image"), "latest");
    let answer = created(&store, &[&url, "x"]);
    let mount = &answer["mounts"][0];
    assert_eq!(mount["options"], json!(["bind"]));
    let target = store.rootfs("x").join("var/data");
    succeed("mount", ["--bind", mount["source"].as_str().unwrap(), target.to_str().unwrap()]);
    let script = "echo written >\"$0\" && cat \"$1\"";
    let file = target.join("file");
    let large = target.join("large");
    let parent = store.path().parent().unwrap();
    for directory in [parent, store.path(), &store.path().join("images"), &store.image("x")] {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let arguments = ["--reuid", "26", "--regid", "27", "--clear-groups", "sh", "-c", script];
    let read = succeed("setpriv", arguments.into_iter().chain([file.to_str().unwrap(), large.to_str().unwrap()]));
    assert_eq!(read.len(), 300_000);
    assert_eq!(fs::metadata(file).unwrap().uid(), 26);
    succeed("umount", [target.to_str().unwrap()]);
}
