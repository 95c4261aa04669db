//! Images in archives and directories of other tools, and files that are no archives at all.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::{
    Archive, Image, Layer, TempStore, gzip, names, noise, run, sha256_hex, succeed, wrapped, write_archive, zstd,
};

fn layers() -> [Archive; 2] {
    [
        Archive::new().file("a", 0o644, b"1").file("gone", 0o644, b""),
        Archive::new().file("b", 0o644, b"2").whiteout("gone"),
    ]
}

fn config(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|layer| format!("sha256:{}", sha256_hex(layer))).collect();
    let config = json!({ "architecture": "amd64", "os": "linux", "config": { "Env": ["A=b"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids } });
    config.to_string().into_bytes()
}

/// As docker before version 25 and podman write it: layers in directories, or links to them; the list comes last.
fn docker_archive(linked: bool, packed: bool) -> Vec<u8> {
    let layers = layers().map(Archive::bytes);
    let config = config(&layers);
    let config_name = format!("{}.json", sha256_hex(&config));
    let mut archive = Archive::new();
    let mut files = Vec::new();
    for layer in &layers {
        let id = sha256_hex(layer);
        let content = if packed { gzip(layer) } else { layer.clone() };
        let name = format!("{id}/layer.tar");
        archive = archive.directory(&id, 0o755).file(&format!("{id}/VERSION"), 0o644, b"1.0");
        archive = if linked {
            archive.file(&format!("{id}.tar"), 0o644, &content).symlink(&name, &format!("../{id}.tar"))
        } else {
            archive.file(&name, 0o644, &content)
        };
        files.push(name);
    }
    let manifest = json!([
        { "Config": "other.json", "RepoTags": ["other:1"], "Layers": [] },
        { "Config": config_name, "RepoTags": ["busybox:latest", "host.example:5000/a:b"], "Layers": files },
    ]);
    archive
        .file(&config_name, 0o644, &config)
        .file("manifest.json", 0o644, manifest.to_string().as_bytes())
        .file("repositories", 0o644, b"{}")
        .bytes()
}

fn assert_is_the_image(store: &TempStore, image: &str, id: &str) {
    let answer = store.ok(["create", image, id]);
    assert!(answer.contains("A=b"), "{image}: {answer}");
    assert_eq!(names(&store.rootfs(id)), ["a", "b"], "{image}");
}

#[test]
fn an_archive_of_docker_save_is_read_as_the_image_that_it_is() {
    let store = TempStore::new();
    let mut count = 0;
    for (linked, packed) in [(false, false), (true, false), (false, true)] {
        let archive = docker_archive(linked, packed);
        for bytes in [archive.clone(), gzip(&archive), zstd(&archive)] {
            let path = write_archive(store.path().parent().unwrap(), "saved.tar", &bytes);
            for name in ["busybox", "docker.io/library/busybox:latest", "host.example:5000/a:b", "@1"] {
                count += 1;
                assert_is_the_image(&store, &format!("docker-archive:{}:{name}", path.display()), &format!("x{count}"));
            }
        }
    }
    assert_eq!(store.volumes().len(), 2, "known by their digests");

    let path = write_archive(store.path().parent().unwrap(), "saved.tar", &docker_archive(false, false));
    let path = path.to_str().unwrap();
    let message = store.fails(["create", path, "x"]);
    assert!(message.contains("2 images, name one: other:1, busybox:latest, host.example:5000/a:b"), "{message}");
    let message = store.fails(["create", &format!("docker-archive:{path}:nope"), "x"]);
    assert!(message.contains("\"nope\", there are: other:1, busybox:latest"), "{message}");
    let message = store.fails(["create", &format!("docker-archive:{path}:@7"), "x"]);
    assert!(message.contains("no descriptor found for reference \"@7\""), "{message}");
}

/// Bytes that a create of this archive, as `id`, reads of it.
fn bytes_read(store: &TempStore, archive: &Path, id: &str) -> u64 {
    let trace = store.beside(&format!("trace-{id}"));
    let strace = ["strace", "-f", "-e", "trace=read,pread64", "-P"].map(OsStr::new);
    let strace = [&strace[..], &[archive.as_os_str(), OsStr::new("-o"), trace.as_os_str()]].concat();
    let image = format!("docker-archive:{}", archive.display());
    let outcome = run(&mut wrapped(&strace, &store.command(["create", &image, id])));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let calls = fs::read_to_string(trace).unwrap();
    calls.lines().filter_map(|call| call.rsplit_once(" = ")?.1.parse::<u64>().ok()).sum()
}

/// Twice: to find what it holds, and for all layers together.
#[test]
fn a_compressed_archive_is_not_read_anew_for_each_layer() {
    let store = TempStore::new();
    let layers: Vec<Vec<u8>> =
        (0..12).map(|n| Archive::new().file(&format!("f{n}"), 0o644, &noise(100_000, n)).bytes()).collect();
    let names_of_layers: Vec<String> = layers.iter().map(|layer| format!("{}.tar", sha256_hex(layer))).collect();
    let saved = layers.iter().zip(&names_of_layers);
    let saved = saved.fold(Archive::new(), |archive, (layer, name)| archive.file(name, 0o644, layer));
    let manifest = json!([{ "Config": "config.json", "RepoTags": ["a:1"], "Layers": names_of_layers }]);
    let saved = saved.file("config.json", 0o644, &config(&layers));
    let saved = saved.file("manifest.json", 0o644, manifest.to_string().as_bytes()).bytes();
    for (name, bytes) in [("gzip", gzip(&saved)), ("zstd", zstd(&saved))] {
        let path = write_archive(store.path().parent().unwrap(), name, &bytes);
        let (size, read) = (bytes.len() as u64, bytes_read(&store, &path, name));
        assert!(read >= size && read < 5 * size / 2, "{name}: {read} of {size}");
        assert_eq!(names(&store.rootfs(name)).len(), layers.len());
        assert_eq!(store.leftovers(), [""; 0]);
        store.ok(["delete", name]);
        store.ok(["clean"]);
    }
}

/// What one command of the tool has written.
fn made_by(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn what_skopeo_writes_is_read_with_and_without_its_transport() {
    let store = TempStore::new();
    let image =
        layers().into_iter().fold(Image::new().env(&["A=b"]), |image, layer| image.layer(Layer::new(layer.bytes())));
    let layout = store.beside("layout");
    let url = image.write(&layout, "tag");
    let source = format!("oci:{}:tag", layout.display());
    assert_is_the_image(&store, &url, "url");
    assert_is_the_image(&store, &source, "oci");
    assert_is_the_image(&store, layout.to_str().unwrap(), "plain-layout");

    let copies = [("dir", ""), ("docker-archive", ":busybox:1"), ("oci-archive", ":tag")];
    for (transport, name) in copies {
        let path = store.beside(transport);
        let target = format!("{transport}:{}", path.display());
        let arguments = ["copy", "--insecure-policy", &source, &format!("{target}{name}")];
        assert!(made_by("skopeo", &arguments), "skopeo is needed: apt-get install skopeo");
        assert_is_the_image(&store, &target, &format!("{transport}-without"));
        if transport != "dir" {
            assert_is_the_image(&store, &format!("{target}{name}"), &format!("{transport}-with"));
        }
        assert_is_the_image(&store, path.to_str().unwrap(), &format!("{transport}-plain"));
    }
    assert_eq!(store.volumes().len(), 2, "known by their digests, wherever they come from");
}

#[test]
fn an_image_that_comes_through_a_pipe_is_not_unpacked_as_a_root_filesystem() {
    let store = TempStore::new();
    let layout = store.beside("layout");
    Image::new().layer(Layer::new(Archive::new().file("a", 0o644, b"1").bytes())).write(&layout, "tag");
    let as_tar = store.beside("layout.tar");
    succeed("tar", ["-C", layout.to_str().unwrap(), "-cf", as_tar.to_str().unwrap(), "."]);
    for bytes in [docker_archive(false, false), fs::read(as_tar).unwrap()] {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let outcome = std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&bytes));
            // It holds the other end of the pipe as long as it lives.
            let mut command = store.command(["create", "-", "x"]);
            run(command.stdin(reader))
        });
        assert_eq!(outcome.code, Some(1));
        assert!(outcome.stdout.contains("holds an image"), "{}", outcome.stdout);
    }
    let fifo = store.beside("fifo");
    succeed("mkfifo", [&fifo]);
    let message = store.fails(["create", &format!("docker-archive:{}", fifo.display()), "x"]);
    assert!(message.contains("has to be a file"), "{message}");
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}

/// Docker decodes the list as Go does; a broken one is no root filesystem all the same.
#[test]
fn an_archive_with_an_odd_list_of_images_is_not_unpacked_as_a_root_filesystem() {
    let store = TempStore::new();
    let layer = Archive::new().file("a", 0o644, b"1").bytes();
    let config = config(std::slice::from_ref(&layer));
    let (id, name) = (sha256_hex(&layer), format!("{}.json", sha256_hex(&config)));
    let path = store.beside("saved.tar");
    let save = |list: &str| {
        let list = list.replace("CONFIG", &name).replace("LAYER", &format!("{id}/layer.tar"));
        let archive = Archive::new().directory(&id, 0o755).file(&format!("{id}/layer.tar"), 0o644, &layer);
        let archive = archive.file(&name, 0o644, &config).file("manifest.json", 0o644, list.as_bytes());
        fs::write(&path, archive.bytes()).unwrap();
        [path.display().to_string(), format!("docker-archive:{}", path.display())]
    };
    for list in [
        r#"[{"config":"CONFIG","layers":["LAYER"]}]"#,
        r#"[{"Config":"x","Config":"CONFIG","Layers":["LAYER"]}]"#,
        r#"[{"Config":"CONFIG","RepoTags":[null],"Layers":["LAYER"]}]"#,
    ] {
        for source in save(list) {
            store.ok(["create", &source, "x"]);
            assert_eq!(names(&store.rootfs("x")), ["a"], "{list}");
            store.ok(["delete", "x"]);
        }
    }
    for (list, reason) in [
        ("[null]", "an image has no Config"),
        (r#"[{"Config":"CONFIG","Layers":[null]}]"#, "layer `` is not in the archive"),
        (r#"[{"Config":"CONFIG","Layers":"LAYER"}]"#, "Layers is not a list"),
    ] {
        for source in save(list) {
            let message = store.fails(["create", &source, "x"]);
            assert!(message.contains(reason) && message.lines().count() == 1, "{list}: {message}");
        }
    }
    let old = Archive::new().directory(&id, 0o755).file(&format!("{id}/VERSION"), 0o644, b"1.0");
    let old = old.file(&format!("{id}/json"), 0o644, b"{}").file(&format!("{id}/layer.tar"), 0o644, &layer);
    fs::write(&path, old.file("repositories", 0o644, br#"{"busybox":{"latest":"1"}}"#).bytes()).unwrap();
    let message = store.fails(["create", path.to_str().unwrap(), "x"]);
    assert!(message.contains("saved by Docker before 1.10"), "{message}");
}

#[test]
fn a_root_filesystem_may_hold_files_that_archives_of_images_have() {
    let store = TempStore::new();
    let archive = Archive::new()
        .file("manifest.json", 0o644, br#"{"name":"a web application"}"#)
        .file("index.json", 0o644, b"[]")
        .directory("blobs", 0o755)
        .directory("bin", 0o755);
    let path = write_archive(store.path().parent().unwrap(), "app.tar", &archive.bytes());
    let rootfs = store.create(path.to_str().unwrap(), "x");
    assert_eq!(names(&rootfs), ["bin", "blobs", "index.json", "manifest.json"]);
}

#[test]
fn files_that_are_no_archives_are_named() {
    let store = TempStore::new();
    let directory = store.path().parent().unwrap();
    let filesystem = |program: &str, arguments: &[&str]| {
        let path = directory.join(program);
        fs::File::create(&path).unwrap().set_len(64 << 20).unwrap();
        succeed(program, [arguments, &[path.to_str().unwrap()]].concat());
        fs::read(path).unwrap()
    };
    let only_global = Archive::new().header("g", b'g', &[(257, b"ustar\x0000")], b"15 comment=abc\n");
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "no entry"),
        ("zeros", vec![0; 1 << 20], "no entry"),
        ("one-block", vec![0; 512], "no entry"),
        ("ten", vec![0; 10], ""),
        ("end-marker", Archive::new().bytes(), "no entry"),
        ("only-global", only_global.bytes(), "no entry"),
        ("empty.gz", gzip(b""), "no entry"),
        ("zeros.zst", zstd(&[0; 4096]), "no entry"),
        ("ext4", filesystem("mkfs.ext4", &["-q"]), "ext4 image"),
        ("xfs", b"XFSB\0\0\x10\0".repeat(512), "XFS image"),
        ("a.zip", b"PK\x03\x04\x14\0\0\0\x08\0".repeat(200), "zip archive"),
        ("squashfs", b"hsqs\x07\0\0\0".repeat(200), "unsquashfs"),
        ("short.zip", b"PK\x05\x06".to_vec(), "zip archive"),
        ("short.deb", b"!<arch>\ndebian-binary   ".to_vec(), "Debian package"),
        ("short.json", b"{}".to_vec(), "JSON document"),
        ("page", b"<!DOCTYPE html><html>".repeat(50), "HTML"),
        ("lz4", b"\x04\x22\x4d\x18\x60\x40".repeat(200), "lz4"),
        ("text", b"this is no archive\n".repeat(100), "invalid tar header"),
    ];
    for (name, bytes, expected) in cases {
        let path = write_archive(directory, name, &bytes);
        let message = store.fails(["create", path.to_str().unwrap(), "x"]);
        assert!(message.contains(expected) && message.contains(name) && !message.contains('\n'), "{name}: {message}");
        let (reader, mut writer) = std::io::pipe().unwrap();
        let outcome = std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&bytes));
            // It holds the other end of the pipe as long as it lives.
            let mut command = store.command(["create", "-", "x"]);
            run(command.stdin(reader))
        });
        assert_eq!(outcome.code, Some(1), "{name} through a pipe");
        assert!(outcome.stdout.contains(expected), "{name} through a pipe: {}", outcome.stdout);
    }
    assert!(store.volumes().is_empty() && store.leftovers().is_empty(), "{:?}", store.leftovers());
}

#[test]
fn archives_of_xz_and_bzip2_are_read() {
    let store = TempStore::new();
    let plain = write_archive(
        store.path().parent().unwrap(),
        "base.tar",
        &Archive::new().file("foo", 0o644, &b"hello".repeat(100_000)).bytes(),
    );
    for (program, end) in [("xz", "xz"), ("bzip2", "bz2")] {
        assert!(made_by(program, &["--keep", "--force", plain.to_str().unwrap()]), "{program} is needed");
        let packed = PathBuf::from(format!("{}.{end}", plain.display()));
        let twice = store.beside(&format!("twice.{end}"));
        fs::write(&twice, [fs::read(&packed).unwrap(), fs::read(&packed).unwrap()].concat()).unwrap();
        for (number, path) in [&packed, &twice].into_iter().enumerate() {
            let rootfs = store.create(path.to_str().unwrap(), &format!("{program}-{number}"));
            assert_eq!(fs::read(rootfs.join("foo")).unwrap().len(), 500_000);
        }
        let bytes = fs::read(&packed).unwrap();
        let cut = write_archive(store.path().parent().unwrap(), &format!("cut.tar.{end}"), &bytes[..bytes.len() / 2]);
        let message = store.fails(["create", cut.to_str().unwrap(), "x"]);
        assert!(message.contains("decompressing"), "{message}");
    }
}

#[test]
fn a_name_that_a_layout_does_not_have_is_answered_with_those_that_it_has() {
    let store = TempStore::new();
    let layout = store.beside("layout");
    let url = Image::new()
        .layer(Layer::new(Archive::new().file("a", 0o644, b"1").bytes()))
        .edit_index(|index| {
            let entry = index["manifests"][0].clone();
            for number in 0..12 {
                let mut entry = entry.clone();
                entry["annotations"]["org.opencontainers.image.ref.name"] = format!("n{number}").into();
                index["manifests"].as_array_mut().unwrap().push(entry);
            }
        })
        .write(&layout, "tag");
    let message = store.fails(["create", &url.replace(":tag", ":nope"), "x"]);
    assert!(message.contains("no descriptor found for reference \"nope\", there are: tag, n0, n1,"), "{message}");
    assert!(message.contains("n8 and 3 more"), "{message}");

    // `oci://` has only absolute paths.
    let mut command = store.command(["create", "oci://layout:tag", "x"]);
    let outcome = run(command.current_dir(store.path().parent().unwrap()));
    assert!(
        outcome.stdout.starts_with("Image source doesn't exist: /layout is absolute; write oci:layout"),
        "{}",
        outcome.stdout
    );
    let mut command = store.command(["create", "oci:layout:tag", "x"]);
    run(command.current_dir(store.path().parent().unwrap())).success();
}

#[test]
fn a_plain_name_is_a_file_or_else_an_image_in_a_registry() {
    let store = TempStore::new();
    let directory = store.path().parent().unwrap();
    write_archive(directory, "busybox", &Archive::new().file("file", 0o644, b"").bytes());
    let mut command = store.command(["create", "busybox", "x"]);
    run(command.current_dir(directory)).success();
    assert_eq!(names(&store.rootfs("x")), ["file"]);
    for name in ["ubuntu:22.04", "not-here", "some/where"] {
        let mut command = store.command(["create", "--offline", name, "y"]);
        let outcome = run(command.current_dir(directory));
        assert_eq!(outcome.code, Some(1));
        let both = outcome.stdout.contains("offline") && outcome.stdout.contains(&format!("stat {name}: no such file"));
        assert!(both, "{}", outcome.stdout);
    }
}
