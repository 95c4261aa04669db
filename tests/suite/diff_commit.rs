//! `diff` and `commit`: what a container changed, told and written as an image.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{
    Answer, Archive, DRIVER, Driver, Image, Layer, Node, ScriptedRegistry, TempStore, Tree, buildah, differences,
    names, succeed, umoci, write_archive,
};

/// The upper one is packed by `pack`.
fn layers(pack: fn(Vec<u8>) -> Layer) -> [Layer; 2] {
    let lower = Archive::new()
        .directory("etc", 0o755)
        .file("etc/kept", 0o644, b"kept")
        .file("etc/changed", 0o644, b"before")
        .file("etc/gone", 0o644, b"gone")
        .directory("replaced", 0o755)
        .file("replaced/old", 0o644, b"old")
        .file("replaced/both", 0o644, b"old")
        .directory("untouched", 0o755)
        .file("untouched/file", 0o644, b"untouched");
    let upper = Archive::new().directory("removed", 0o755).file("removed/file", 0o644, b"").file("becomes", 0o644, b"");
    [Layer::new(lower.bytes()), pack(upper.bytes())]
}

fn image() -> Image {
    layers(Layer::zstd).into_iter().fold(Image::new(), Image::layer).env(&["A=b"])
}

/// Everything that a container does to files.
fn work(rootfs: &Path, owner: u32) {
    fs::write(rootfs.join("etc/changed"), "after it").unwrap();
    fs::remove_file(rootfs.join("etc/gone")).unwrap();
    fs::remove_dir_all(rootfs.join("removed")).unwrap();
    fs::remove_dir_all(rootfs.join("replaced")).unwrap();
    fs::create_dir(rootfs.join("replaced")).unwrap();
    fs::write(rootfs.join("replaced/both"), "new").unwrap();
    fs::remove_file(rootfs.join("becomes")).unwrap();
    fs::create_dir(rootfs.join("becomes")).unwrap();
    let new = rootfs.join("new");
    fs::create_dir(&new).unwrap();
    fs::write(new.join("large"), vec![7; 100_000]).unwrap();
    fs::hard_link(new.join("large"), new.join("linked")).unwrap();
    symlink("large", new.join("symlink")).unwrap();
    fs::write(new.join("x".repeat(200)), "long").unwrap();
    fs::write(new.join(OsStr::from_bytes(b"no text \xff\n")), "").unwrap();
    fs::write(new.join("setuid"), "").unwrap();
    succeed("mkfifo", [new.join("fifo").to_str().unwrap()]);
    succeed("mknod", [new.join("device").to_str().unwrap(), "c", "1", "3"]);
    succeed("setfattr", ["-n", "user.note", "-v", "kept", new.join("large").to_str().unwrap()]);
    let id = owner.to_string();
    succeed("chown", ["-Rh", &format!("{id}:{id}"), new.to_str().unwrap()]);
    fs::set_permissions(new.join("setuid"), fs::Permissions::from_mode(0o4755)).unwrap();
}

const CHANGES: [&str; 17] = [
    "C /becomes",
    "C /etc",
    "C /etc/changed",
    "D /etc/gone",
    "A /new",
    "A /new/device",
    "A /new/fifo",
    "A /new/large",
    "A /new/linked",
    "A /new/no text \\xff\\u{a}",
    "A /new/setuid",
    "A /new/symlink",
    "A /new/x",
    "D /removed",
    "C /replaced",
    "C /replaced/both",
    "D /replaced/old",
];

/// All but devices, which no layer gives a root filesystem.
fn tree(rootfs: &Path) -> Tree {
    let mut tree = Node::read_tree(rootfs);
    tree.retain(|_, node| node.kind != "device");
    tree
}

fn digest(line: &str) -> String {
    let start = line.find("sha256:").unwrap_or_else(|| panic!("{line}"));
    line[start..start + 71].to_owned()
}

#[test]
fn everything_is_told_and_comes_back_as_it_was() {
    let store = TempStore::new();
    let rootfs = store.create(&image().write(&store.beside("image"), "latest"), "x");
    assert_eq!(store.ok(["diff", "x"]), "");
    work(&rootfs, 1234);
    let long = format!("A /new/{}", "x".repeat(200));
    let expected: Vec<String> =
        CHANGES.iter().map(|line| if *line == "A /new/x" { long.clone() } else { (*line).to_owned() }).collect();
    let told = store.ok(["diff", "x"]);
    assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    let json: Value = serde_json::from_str(&store.ok(["diff", "--json", "x"])).unwrap();
    assert_eq!(json["changes"].as_array().unwrap().len(), expected.len());

    let target = store.beside("mine");
    let destination = format!("oci://{}:1.0", target.display());
    let first = store.ok(["commit", "x", &destination]);
    assert_eq!(first, store.ok(["commit", "x", &destination]), "the same changes, the same image");
    let archive = format!("oci-archive:{}:1.0", store.beside("mine.tar").display());
    assert_eq!(digest(&store.ok(["commit", "x", &archive])), digest(&first));
    let bytes = fs::read(store.beside("mine.tar")).unwrap();
    store.ok(["commit", "x", &archive]);
    assert!(fs::read(store.beside("mine.tar")).unwrap() == bytes, "the same changes, the same archive");
    assert_eq!(names(&target.join("blobs/sha256")).len(), 5, "three layers, configuration and manifest");

    let before = tree(&rootfs);
    for (id, source) in [("y", &destination), ("z", &archive)] {
        let after = tree(&store.create(source, id));
        assert_eq!(differences(&before, &after, 5), [""; 0]);
        assert!(store.ok(["inspect", "--json", id]).contains("\"env\":[\"A=b\"]"));
        assert_eq!(store.ok(["diff", id]), "");
    }
    assert_eq!(store.volumes().len(), 3, "the base's layers are the base's");
    assert_eq!(store.leftovers(), [""; 0]);
}

const NAMES: [&str; 8] = ["acl", "again", "attribute", "group", "mode", "owner", "time", "way"];

fn directories() -> Image {
    let one =
        |archive: Archive, name: &&str| archive.directory(name, 0o755).file(&format!("{name}/file"), 0o644, b"before");
    let attribute = Archive::new().xattr("user.before", b"1").directory("less", 0o755);
    Image::new().layer(Layer::new(NAMES.iter().fold(attribute, one).bytes()))
}

/// Changes what a layer says of directories, and nothing of the names in them. What the container leaves as it was, be it
/// said again, is no change.
fn change_directories(rootfs: &Path) {
    let at = |name: &str| rootfs.join(name).to_str().unwrap().to_owned();
    succeed("setfacl", ["-m", "u:33:rx", &at("acl")]);
    succeed("chmod", ["755", &at("again")]);
    succeed("setfattr", ["-n", "user.note", "-v", "kept", &at("attribute")]);
    succeed("chgrp", ["1234", &at("group")]);
    succeed("setfattr", ["-x", "user.before", &at("less")]);
    succeed("chmod", ["1770", &at("mode")]);
    succeed("chown", ["1234", &at("owner")]);
    succeed("touch", ["-d", "@1000.5", &at("time")]);
    fs::write(rootfs.join("way/file"), "after it").unwrap();
}

#[test]
fn a_directory_of_which_nothing_but_its_metadata_changed_is_a_change() {
    let store = TempStore::new();
    let rootfs = store.create(&directories().write(&store.beside("image"), "latest"), "x");
    change_directories(&rootfs);
    let expected = ["C /acl", "C /attribute", "C /group", "C /less", "C /mode", "C /owner", "C /time", "C /way/file"];
    assert_eq!(store.ok(["diff", "x"]).lines().collect::<Vec<_>>(), expected);
    let destination = format!("oci://{}:latest", store.beside("mine").display());
    store.ok(["commit", "x", &destination]);
    let after = tree(&store.create(&destination, "y"));
    assert_eq!(differences(&tree(&rootfs), &after, 5), [""; 0]);
    assert_eq!(store.ok(["diff", "y"]), "");
}

#[test]
fn umoci_skopeo_and_buildah_read_it() {
    let store = TempStore::new();
    // umoci knows no zstd.
    let image = layers(Layer::new).into_iter().fold(Image::new(), Image::layer);
    let rootfs = store.create(&image.write(&store.beside("image"), "latest"), "x");
    work(&rootfs, 1234);
    let target = store.beside("mine");
    store.ok(["commit", "x", &format!("oci://{}", target.display())]);
    let mut expected = tree(&rootfs);
    // Times below a second are beyond it.
    let mut actual = umoci(&target, &store.beside("bundle"));
    for node in expected.values_mut().chain(actual.values_mut()) {
        node.mtime = (0, 0);
    }
    assert_eq!(differences(&expected, &actual, 5), [""; 0]);
    // It makes a name of a layout's path, in which it wants no capitals.
    let archive = format!("oci-archive:{}", store.beside("mine.tar").display());
    store.ok(["commit", "x", &format!("{archive}:latest")]);
    let mut actual = buildah(&archive, &store.beside("buildah"));
    actual.values_mut().for_each(|node| node.mtime = (0, 0));
    assert_eq!(differences(&expected, &actual, 5), [""; 0]);
    let copied = store.beside("copied");
    let (from, to) = (format!("oci:{}:latest", target.display()), format!("oci:{}:latest", copied.display()));
    succeed("skopeo", ["--insecure-policy", "copy", "--quiet", &from, &to]);
    let after = tree(&store.create(&format!("oci://{}:latest", copied.display()), "y"));
    assert_eq!(differences(&tree(&rootfs), &after, 5), [""; 0]);
}

#[test]
fn ids_are_those_of_the_image_again() {
    let mapped = TempStore::uninitialised();
    let quota: &[&str] = if *DRIVER == Driver::Btrfs { &[] } else { &["--without-quota"] };
    let mappings = ["--uid-mapping", "0:100000:65536", "--gid-mapping", "0:100000:65536"];
    mapped.ok([&["init-store", "--store-size-bytes", "1073741824"], quota, &mappings].concat());
    let rootfs = mapped.create(&image().write(&mapped.beside("image"), "latest"), "x");
    work(&rootfs, 101_234);
    let destination = format!("oci://{}", mapped.beside("mine").display());
    mapped.ok(["commit", "x", &destination]);
    let plain = TempStore::new();
    let rootfs = plain.create(&format!("{destination}:latest"), "x");
    assert_eq!(Node::read(&rootfs.join("new/large")).owner, (1234, 1234));
    assert_eq!(Node::read(&rootfs.join("etc/kept")).owner, (0, 0));
}

#[test]
fn every_source_is_a_base() {
    let store = TempStore::new();
    let layout = store.beside("layout");
    image().write(&layout, "latest");
    let server = ScriptedRegistry::start(&layout, |_| Answer::Serve);
    let registry = server.url();
    let tar = Archive::new().file("a", 0o644, b"a").bytes();
    let tar = write_archive(&store.beside(""), "rootfs.tar", &tar);
    let empty = Image::new().write(&store.beside("empty"), "latest");
    for (number, source) in [registry.as_str(), tar.to_str().unwrap(), &empty].into_iter().enumerate() {
        let id = format!("x{number}");
        store.ok(["create", "--insecure-registry", &server.host(), source, &id]);
        fs::write(store.rootfs(&id).join("added"), "added").unwrap();
        let destination = format!("oci://{}:latest", store.beside(&format!("mine{number}")).display());
        store.ok(["commit", "--insecure-registry", &server.host(), &id, &destination]);
        let after = tree(&store.create(&destination, &format!("y{number}")));
        assert_eq!(differences(&tree(&store.rootfs(&id)), &after, 5), [""; 0], "{source}");
    }
}

#[test]
fn a_base_that_cannot_be_had_is_named() {
    let store = TempStore::new();
    let url = image().write(&store.beside("image"), "latest");
    let rootfs = store.create(&url, "x");
    let target = store.beside("mine");
    let destination = format!("oci://{}:1.0", target.display());
    let fails = |reason: &str| {
        let message = store.fails(["commit", "x", &destination]);
        assert!(message.starts_with("the base of image `x` is read from oci://"), "{message}");
        assert!(message.ends_with(reason), "{message}");
        assert!(!target.exists(), "nothing is made");
    };
    image().layer(Layer::new(Archive::new().file("more", 0o644, b"").bytes())).write(&store.beside("image"), "latest");
    fails("its layers differ from those of the image");
    fs::remove_dir_all(store.beside("image")).unwrap();
    fails("Image source doesn't exist");
    let refused = store.fails(["commit", "x", "library/busybox"]);
    assert!(refused.starts_with("`library/busybox` cannot be written to"), "{refused}");
    assert!(store.fails(["commit", "x"]).starts_with("invalid arguments - usage: commit"));
    assert_eq!(store.fails(["diff", "none"]), "Image `none` not found.");
    let record = store.path().join("meta/dependencies/image:x.json");
    let content = fs::read(&record).unwrap();
    fs::remove_file(&record).unwrap();
    fs::write(&record, content).unwrap();
    assert!(store.fails(["commit", "x", &destination]).starts_with("the source of image `x` is not on record"));
    fs::write(rootfs.join("added"), "").unwrap();
    assert_eq!(store.ok(["diff", "x"]), "A /added\n", "needs no source");
}

/// Of a blob that is too long no more is copied than shows it.
#[test]
fn a_layer_of_the_base_of_another_size_is_not_copied() {
    let store = TempStore::new();
    let [lower, _] = layers(Layer::new);
    let layout = store.beside("image");
    store.create(&image().write(&layout, "latest"), "x");
    let blob = layout.join("blobs").join(lower.digest.replace(':', "/"));
    let content = fs::read(&blob).unwrap();
    let size = content.len() as u64;
    let target = store.beside("mine");
    for (length, told) in [(size + (1 << 20), size + 1), (size - 1, size - 1)] {
        fs::write(&blob, &content).unwrap();
        fs::OpenOptions::new().write(true).open(&blob).unwrap().set_len(length).unwrap();
        let message = store.fails(["commit", "x", &format!("oci://{}:1.0", target.display())]);
        let expected = format!("expected: {size} bytes, actual: {told} or more");
        assert_eq!(message, format!("a layer of the base is damaged at its source: {expected}"));
        assert_eq!(names(&target.join("blobs/sha256")), [""; 0], "nothing is left");
    }
}

#[test]
fn a_container_without_mount_is_compared_too() {
    let store = TempStore::new();
    let url = image().write(&store.beside("image"), "latest");
    store.ok(["create", "--without-mount", &url, "x"]);
    assert_eq!(store.ok(["diff", "x"]), "");
    let own: PathBuf = store.image("x").join(if *DRIVER == Driver::Btrfs { "snapshot" } else { "diff" });
    fs::write(own.join("added"), "").unwrap();
    assert_eq!(store.ok(["diff", "x"]), "A /added\n");
}
