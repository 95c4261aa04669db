//! `commit` of files that no header of an archive holds, and of those that no layer can have.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::Value;

use crate::support::{Archive, Image, Layer, Node, TempStore, differences, names, run, succeed, wrapped};

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

#[test]
fn names_that_other_tools_do_not_read_are_refused() {
    let store = TempStore::new();
    store.create(&image(&store), "x");
    for scheme in ["oci:", "oci-archive:"] {
        for name in ["a\nb", "a b", "-a", "a/"] {
            let path = store.beside("mine");
            let refused = store.fails(["commit", "x", &format!("{scheme}{}:{name}", path.display())]);
            assert!(refused.contains("cannot be the name of an image in a layout"), "{refused}");
            assert!(!refused.contains('\n') && !path.exists(), "{refused}");
        }
    }
}

#[test]
fn what_is_no_file_is_written_to_and_stays() {
    let store = TempStore::new();
    let rootfs = store.create(&image(&store), "x");
    fs::write(rootfs.join("added"), "added").unwrap();
    let directory = store.beside("places");
    fs::create_dir(&directory).unwrap();
    let at = |name: &str| directory.join(name);
    let archive = |name: &str| format!("oci-archive:{}:1.0", at(name).display());
    succeed("mknod", [at("null").to_str().unwrap(), "c", "1", "3"]);
    succeed("mknod", [at("disk").to_str().unwrap(), "b", "7", "255"]);
    succeed("mkfifo", [at("fifo").to_str().unwrap()]);
    fs::create_dir(at("directory")).unwrap();
    for (link, target) in
        [("to null", "null"), ("to fifo", "fifo"), ("to file", "file"), ("to nothing", "directory/new")]
    {
        symlink(target, at(link)).unwrap();
    }
    fs::write(at("file"), "before").unwrap();
    let kinds = || Node::read_tree(&directory).into_iter().map(|(path, node)| (path, node.kind)).collect::<Vec<_>>();
    let before = kinds();
    store.ok(["commit", "x", &archive("plain.tar")]);
    let expected = fs::read(at("plain.tar")).unwrap();
    fs::remove_file(at("plain.tar")).unwrap();

    for name in ["null", "to null"] {
        store.ok(["commit", "x", &archive(name)]);
        assert_eq!(kinds(), before, "{name}");
    }
    for name in ["fifo", "to fifo"] {
        let reader = thread::spawn({
            let fifo = at("fifo");
            move || fs::read(fifo).unwrap()
        });
        store.ok(["commit", "x", &archive(name)]);
        assert_eq!(kinds(), before, "nobody waits for nothing");
        assert!(reader.join().unwrap() == expected, "{name}");
    }
    store.ok(["commit", "x", &archive("to file")]);
    assert!(fs::read(at("file")).unwrap() == expected, "the target of a link is replaced");
    for (name, reason) in
        [("disk", "a block device, which no archive is written to"), ("directory", "a directory: name a file in it")]
    {
        let refused = store.fails(["commit", "x", &archive(name)]);
        assert_eq!(refused, format!("write {}: it is {reason}", at(name).display()));
    }
    assert_eq!(kinds(), before, "nothing is replaced by something else, and nothing is left");
    store.ok(["commit", "x", &archive("to nothing")]);
    assert!(fs::read(at("directory/new")).unwrap() == expected, "the target of a link is made");
    let output = store.command(["commit", "x", "oci-archive:/dev/stdout:1.0"]).output().unwrap();
    assert!(output.stdout == expected, "a pipe");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("Image x committed to oci-archive:/dev/stdout:1.0: sha256:"), "{said}");
    let output = store.command(["commit", "none", "oci-archive:/dev/stdout:1.0"]).output().unwrap();
    assert_eq!((output.status.code(), &output.stdout[..]), (Some(1), &b""[..]), "failures are no archive either");
    assert_eq!(output.stderr, b"Image `none` not found.\n");
    let file = fs::File::create(at("redirected")).unwrap();
    let output = store.command(["commit", "x", "oci-archive:/dev/stdout:1.0"]).stdout(file).output().unwrap();
    assert!(fs::read(at("redirected")).unwrap() == expected, "a file");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), said);
    let output = store.command(["commit", "x", "oci-archive:/dev/stderr:1.0"]).output().unwrap();
    assert!(output.stderr == expected && output.stdout.starts_with(b"Image x committed"), "standard error");
}

#[test]
fn an_index_that_is_none_is_refused_before_anything_is_written() {
    let store = TempStore::new();
    store.create(&image(&store), "x");
    let layout = store.beside("mine");
    fs::create_dir(&layout).unwrap();
    let index = layout.join("index.json");
    for content in ["[]", "\"x\"", "7", "null", "{}", r#"{"manifests":{}}"#] {
        fs::write(&index, content).unwrap();
        let refused = store.fails(["commit", "x", &format!("oci:{}", layout.display())]);
        assert_eq!(refused, format!("read {}: it is not the index of a layout", index.display()));
        assert_eq!(names(&layout), ["index.json"]);
        assert_eq!(fs::read_to_string(&index).unwrap(), content);
    }
}

/// The second of two that name an image waits for the first.
#[test]
fn two_names_at_once_are_both_there() {
    let store = TempStore::new();
    store.create(&image(&store), "x");
    let layout = store.beside("mine");
    let commit = |name: &str| store.command(["commit", "x", &format!("oci:{}:{name}", layout.display())]);
    run(&mut commit("first")).success();
    let index = layout.join("index.json");
    let mut alone: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    let marker = File::open(layout.join("oci-layout")).unwrap();
    rustix::fs::flock(&marker, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut second = commit("second").stdout(Stdio::null()).spawn().unwrap();
    // As the holder of the lock may do it, while the second has its blobs already or is about to.
    let mut third = alone["manifests"][0].clone();
    third["annotations"]["org.opencontainers.image.ref.name"] = "third".into();
    alone["manifests"].as_array_mut().unwrap().push(third);
    thread::sleep(std::time::Duration::from_millis(1500));
    assert!(second.try_wait().unwrap().is_none(), "it waits");
    fs::write(&index, alone.to_string()).unwrap();
    drop(marker);
    assert!(second.wait().unwrap().success());
    let index: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    let names = index["manifests"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|entry| entry["annotations"]["org.opencontainers.image.ref.name"].clone()).collect();
    assert_eq!(names, ["first", "third", "second"]);
}

#[test]
fn files_beside_the_store_are_no_more_open_than_the_umask_says() {
    let store = TempStore::new();
    store.create(&image(&store), "x");
    let (layout, archive, bundle) = (store.beside("mine"), store.beside("mine.tar"), store.beside("bundle"));
    let masked = |arguments: &[&str]| {
        let command = store.command(arguments);
        run(&mut wrapped(&["sh", "-c", "umask 0077; exec \"$0\" \"$@\""], &command)).success()
    };
    masked(&["commit", "x", &format!("oci:{}", layout.display())]);
    masked(&["commit", "x", &format!("oci-archive:{}", archive.display())]);
    masked(&["create", "--bundle", bundle.to_str().unwrap(), &image(&store), "y"]);
    let modes = Node::read_tree(&layout).into_iter().map(|(path, node)| (path, node.kind, node.mode));
    for (path, kind, mode) in modes {
        assert_eq!(mode, if kind == "directory" { 0o700 } else { 0o600 }, "{}", path.display());
    }
    for (path, mode) in [(&layout, 0o700), (&archive, 0o600), (&bundle, 0o700), (&bundle.join("config.json"), 0o600)] {
        assert_eq!(Node::read(path).mode, mode, "{}", path.display());
    }
    assert_eq!(Node::read(&store.rootfs("y").join("bin")).mode, 0o755, "what is in a store does not depend on it");
}

/// Locks an image as who only reads it, by the byte of the lock file that is its name's, until its input ends.
const READER: &str = "
import fcntl, hashlib, struct, sys
number = int.from_bytes(hashlib.sha256(sys.argv[2].encode()).digest()[:8], 'big') >> 2
file = open(sys.argv[1], 'r+')
fcntl.fcntl(file, 37, struct.pack('hhqqi4x', fcntl.F_RDLCK, 0, number, 1, 0))
print('locked', flush=True)
sys.stdin.read()";

#[test]
fn commits_of_one_image_do_not_wait_for_each_other() {
    let store = TempStore::new();
    let rootfs = store.create(&image(&store), "x");
    fs::write(rootfs.join("added"), "").unwrap();
    let lock = store.path().join("locks/global-groot-lock.lock");
    let mut python = Command::new("python3");
    let python = python.args(["-c", READER, lock.to_str().unwrap(), "image:x"]);
    let mut reader = python.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(reader.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "locked\n");
    store.ok(["commit", "x", &format!("oci:{}", store.beside("mine").display())]);
    let busy =
        "image `x` is being created, deleted, changed or read by another grootfs process: try again when it has ended";
    assert_eq!(store.fails(["mount", "x"]), busy);
    drop(reader.stdin.take());
    reader.wait().unwrap();
    store.ok(["delete", "x"]);
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
