//! `commit` of files that no header of an archive holds, and of those that no layer can have.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Archive, Image, Layer, Node, TempStore, differences, succeed};

/// An image with one layer.
fn image(store: &TempStore) -> String {
    let layer = Archive::new().directory("bin", 0o755).file("bin/sh", 0o755, b"sh");
    Image::new().layer(Layer::new(layer.bytes())).write(&store.beside("image"), "latest")
}

/// A document of a layout.
fn document(layout: &Path, digest: &str) -> Value {
    serde_json::from_slice(&fs::read(blob(layout, digest)).unwrap()).unwrap()
}

fn blob(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

/// The image that a layout names first: its manifest and its configuration.
fn committed(layout: &Path) -> (Value, Value) {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let manifest = document(layout, index["manifests"][0]["digest"].as_str().unwrap());
    let config = document(layout, manifest["config"]["digest"].as_str().unwrap());
    (manifest, config)
}

#[test]
fn names_that_delete_in_a_layer_are_refused() {
    let store = TempStore::new();
    let rootfs = store.create(&image(&store), "x");
    let layout = store.beside("mine");
    let destination = format!("oci://{}", layout.display());
    for name in [".wh.bin", ".wh..wh..opq", ".wh.", "bin/.wh.sh", "bin/.wh..wh.plnk"] {
        let path = rootfs.join(name);
        let makes: [fn(&Path); 2] = [|path| fs::write(path, "").unwrap(), |path| fs::create_dir(path).unwrap()];
        for make in makes {
            make(&path);
            assert!(
                store.ok(["diff", "x"]).lines().any(|line| line == format!("A /{name}")),
                "it is a file of the container"
            );
            let reason = "in a layer a name that begins with `.wh.` deletes a file of the layers below: rename it in the \
                          container first";
            assert_eq!(store.fails(["commit", "x", &destination]), format!("pack {name}: {reason}"));
            assert!(!layout.join("index.json").exists(), "there is no image");
            if path.is_dir() { fs::remove_dir(&path).unwrap() } else { fs::remove_file(&path).unwrap() }
        }
    }
    fs::write(rootfs.join("wh.bin"), "").unwrap();
    fs::write(rootfs.join(".whiteout"), "").unwrap();
    store.ok(["commit", "x", &destination]);
    let after = store.create(&format!("{destination}:latest"), "y");
    assert_eq!(differences(&Node::read_tree(&rootfs), &Node::read_tree(&after), 5), [""; 0]);
}

#[test]
fn attributes_that_no_record_can_name_are_refused() {
    let store = TempStore::new();
    let rootfs = store.create(&image(&store), "x");
    let layout = store.beside("mine");
    let destination = format!("oci://{}", layout.display());
    let set = |name: &str, path: &Path| succeed("setfattr", ["-n", name, "-v", "0x000a3d00", path.to_str().unwrap()]);
    // Of a directory of the image, overlay-xfs does not tell that its attributes alone were changed.
    let path = rootfs.join("new");
    fs::create_dir(&path).unwrap();
    set("user.a=b", &path);
    let reason = "a layer cannot have its extended attribute `user.a=b`, whose name has a `=`: remove it in the container \
                  first";
    assert_eq!(store.fails(["commit", "x", &destination]), format!("pack new: {reason}"));
    assert!(!layout.join("index.json").exists(), "there is no image");
    succeed("setfattr", ["-x", "user.a=b", path.to_str().unwrap()]);
    let file = rootfs.join("file");
    fs::write(&file, "").unwrap();
    for (name, path) in [("user.a b%3D\n", &path), ("user.binary", &file)] {
        set(name, path);
    }
    store.ok(["commit", "x", &destination]);
    let after = store.create(&format!("{destination}:latest"), "y");
    assert_eq!(differences(&Node::read_tree(&rootfs), &Node::read_tree(&after), 5), [""; 0]);
}

/// Times before 1970 and beyond eleven octal digits, ids beyond seven, names beyond a hundred bytes.
#[test]
fn what_no_field_holds_is_there_for_every_reader() {
    let store = TempStore::new();
    let rootfs = store.create(&image(&store), "x");
    let times =
        ["-315619200", "-1.25", "-0.5", "0", "0.5", "1700000000.123456789", "9000000000", "9000000000.000000001"];
    for time in times {
        let path = rootfs.join(format!("time {time}"));
        fs::write(&path, time).unwrap();
        succeed("touch", ["-d", &format!("@{time}"), path.to_str().unwrap()]);
    }
    for (owner, group) in [(2_097_151, 2_097_152), (2_097_152, 4_294_967_294_u32)] {
        let path = rootfs.join(format!("owner {owner}"));
        fs::write(&path, "").unwrap();
        std::os::unix::fs::chown(&path, Some(owner), Some(group)).unwrap();
    }
    for length in [99, 100, 101, 255] {
        fs::create_dir(rootfs.join("d".repeat(length))).unwrap();
        // What is cut at a slash is no directory.
        let path = rootfs.join("d".repeat(99)).join("f".repeat(length));
        fs::write(path, "").unwrap();
        std::os::unix::fs::symlink("t".repeat(length), rootfs.join(format!("link {length}"))).unwrap();
    }
    let layout = store.beside("mine");
    let destination = format!("oci://{}", layout.display());
    store.ok(["commit", "x", &destination]);

    let expected = Node::read_tree(&rootfs);
    let after = store.create(&format!("{destination}:latest"), "y");
    assert_eq!(differences(&expected, &Node::read_tree(&after), 5), [""; 0]);
    let (manifest, _) = committed(&layout);
    let [lower, upper] = [0, 1].map(|layer| blob(&layout, manifest["layers"][layer]["digest"].as_str().unwrap()));
    let by_tar = store.beside("by tar");
    let by_python = store.beside("by python");
    for directory in [&by_tar, &by_python] {
        fs::create_dir(directory).unwrap();
        for layer in [&lower, &upper] {
            let [layer, directory] = [layer, directory].map(|path| path.to_str().unwrap());
            if directory.ends_with("tar") {
                succeed("tar", ["--xattrs", "--numeric-owner", "-xpf", layer, "-C", directory]);
            } else {
                let program =
                    "import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], numeric_owner=True)";
                succeed("python3", ["-W", "ignore", "-c", program, layer, directory]);
            }
        }
    }
    assert_eq!(differences(&expected, &Node::read_tree(&by_tar), 5), [""; 0]);
    // Its times are floating-point numbers, and those of links it leaves.
    let mut by_python = Node::read_tree(&by_python);
    let mut expected = expected;
    for node in expected.values_mut().chain(by_python.values_mut()) {
        node.mtime = (if node.kind == "symlink" { 0 } else { node.mtime.0 }, 0);
    }
    assert_eq!(differences(&expected, &by_python, 5), [""; 0]);
}
