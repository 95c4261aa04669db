//! Faults that others had, tried on this program as a whole; `docs/security-tests.md` says which is which.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::fs::{RenameFlags, renameat_with};
use serde_json::json;

use crate::support::{
    Archive, CANARY_CONTENT, Canary, DRIVER, Driver, Image, Layer, Node, TempStore, names, run, wrapped, write_archive,
};

fn image(store: &TempStore, name: &str, archives: impl IntoIterator<Item = Archive>) -> String {
    let image = archives.into_iter().fold(Image::new(), |image, archive| image.layer(Layer::new(archive.bytes())));
    image.write(&store.beside(name), "latest")
}

#[test]
fn the_canary_notices_what_is_done_to_it() {
    let deeds: [fn(&Path); 5] = [
        |canary| fs::write(canary.join("file"), CANARY_CONTENT).unwrap(),
        |canary| fs::set_permissions(canary.join("directory"), Permissions::from_mode(0o755)).unwrap(),
        |canary| fs::hard_link(canary.join("directory/file"), canary.join("../stolen")).unwrap(),
        |canary| fs::remove_file(canary.join(".wh.file")).unwrap(),
        |canary| symlink("file", canary.join("new")).unwrap(),
    ];
    for deed in deeds {
        let store = TempStore::uninitialised();
        let canary = Canary::beside(&store);
        canary.is_unharmed("nothing was done");
        deed(&canary.path);
        assert!(catch_unwind(AssertUnwindSafe(|| canary.is_unharmed("something was done"))).is_err());
    }
}

/// What climbs out by itself, whatever is there: each name is tried as a file, a directory, a link and a whiteout.
fn climbing(canary: &str) -> Vec<String> {
    let up = "../".repeat(12);
    let ways = [canary.to_owned(), format!("{up}{canary}"), format!("d/{up}{canary}"), format!("./{up}.{canary}")];
    ways.map(|way| format!("{way}/file")).to_vec()
}

type Deed = fn(Archive) -> Archive;

/// What an archive does at a link `out` that leads to the canary.
const AT_A_LINK: [(&str, Deed); 8] = [
    ("writes", |archive| archive.file("out/file", 0o4777, b"owned")),
    ("makes", |archive| archive.file("out/new", 0o644, b"owned").directory("out/directory/new", 0o777)),
    ("describes", |archive| archive.owner(4711, 4711).mtime(7).xattr("user.x", b"y").directory("out", 0o777)),
    ("removes", |archive| archive.whiteout("out/file").whiteout("out/directory")),
    ("hides", |archive| archive.opaque("out").opaque("out/directory")),
    ("links to", |archive| archive.hard_link("stolen", "out/file").file("stolen", 0o666, b"owned")),
    ("links into", |archive| archive.file("mine", 0o644, b"mine").hard_link("out/mine", "mine")),
    ("makes devices in", |archive| archive.fifo("out/fifo", 0o666).character_device("out/device")),
];

/// Archives of one layer and of two, each an attempt to read, write or remove what is in `canary`.
fn attempts(canary: &str) -> Vec<(String, Vec<Archive>)> {
    let mut attempts = Vec::new();
    let begin = || Archive::new().directory("d", 0o755);
    for name in climbing(canary) {
        attempts.push((format!("file {name}"), vec![begin().file(&name, 0o4777, b"owned")]));
        attempts.push((format!("directory {name}"), vec![begin().directory(&name, 0o777)]));
        attempts.push((format!("whiteout {name}"), vec![begin().whiteout(&name)]));
        attempts.push((format!("opaque {name}"), vec![begin().opaque(name.trim_end_matches("/file"))]));
        let link = begin().hard_link("stolen", &name).file("stolen", 0o666, b"owned");
        attempts.push((format!("link {name}"), vec![link]));
    }
    let relative = format!("{}{canary}", "../".repeat(12));
    for target in [canary, &relative, "/proc/self/root/../../../canary", "/proc/self/cwd/../canary"] {
        let link = || Archive::new().symlink("out", target);
        for (how, use_link) in AT_A_LINK {
            let context = format!("{how} a link to {target}");
            // In one layer, and by a layer on top of the link's.
            attempts.push((context.clone(), vec![use_link(link())]));
            attempts.push((context, vec![link(), use_link(Archive::new())]));
        }
    }
    attempts
}

#[test]
fn no_archive_reaches_outside_of_its_layer() {
    let store = TempStore::new();
    let canary = Canary::beside(&store);
    for (context, archives) in attempts(canary.path.to_str().unwrap()) {
        let _ = fs::remove_dir_all(store.beside("image"));
        let outcome = store.run(["create", &image(&store, "image", archives), "x"]);
        canary.is_unharmed(&context);
        if outcome.code == Some(0) {
            let stolen = fs::read_to_string(store.rootfs("x").join("stolen")).unwrap_or_default();
            assert!(!stolen.contains(CANARY_CONTENT), "{context}");
            store.ok(["delete", "x"]);
        }
        assert_eq!(store.leftovers(), [""; 0], "{context}");
        store.ok(["clean"]);
        assert_eq!(store.volumes(), [""; 0], "{context}");
        canary.is_unharmed(&context);
    }
}

/// An archive within a file of the archive: its headers count only for a reader that takes the wrong size.
#[test]
fn entries_in_the_content_of_an_entry_are_not_read() {
    let store = TempStore::new();
    let inner = Archive::new().file("smuggled", 0o4755, b"x").bytes();
    let size = inner.len().to_string();
    let zero: &[(usize, &[u8])] = &[(124, b"00000000000\0")];
    let carrier = Archive::new().pax("size", size.as_bytes()).header("carrier", b'0', zero, &inner);
    let rootfs = store.create(&image(&store, "image", [carrier.file("last", 0o644, b"")]), "x");
    assert_eq!(names(&rootfs), ["carrier", "last"]);
    assert_eq!(fs::metadata(rootfs.join("carrier")).unwrap().len(), inner.len() as u64);
}

#[test]
fn an_owner_beyond_32_bits_is_not_root() {
    let store = TempStore::new();
    for owner in [1 << 32, u64::from(u32::MAX), 1 << 31 << 8] {
        let path = write_archive(
            &store.beside("."),
            "owner.tar",
            &Archive::new().owner(owner, 0).file("f", 0o4755, b"x").bytes(),
        );
        let message = store.fails(["create", path.to_str().unwrap(), "x"]);
        assert!(message.contains("out of range"), "{message}");
        assert_eq!(store.volumes(), [""; 0]);
    }
}

/// Whose call a line of `strace -f` is.
fn thread_of(line: &str) -> Option<&str> {
    line.split_whitespace().next()
}

/// Once the root directory is that of the image, nothing of its libraries is loaded.
#[test]
fn no_library_of_the_image_is_loaded() {
    let store = TempStore::new();
    let junk = b"\x7fELF no library";
    let archive = ["nsswitch.conf", "passwd", "ld.so.cache", "ld.so.preload"]
        .iter()
        .fold(Archive::new(), |archive, name| archive.file(&format!("etc/{name}"), 0o644, b"passwd: files evil\n"));
    let archive = ["lib", "usr/lib", "lib/x86_64-linux-gnu", "lib64"].iter().fold(archive, |archive, directory| {
        archive.file(&format!("{directory}/libnss_files.so.2"), 0o755, junk).file(
            &format!("{directory}/libc.so.6"),
            0o755,
            junk,
        )
    });
    let create = store.command(["create", &image(&store, "image", [archive]), "x"]);
    let trace = store.beside("trace");
    let strace = ["strace", "-f", "-e", "trace=chroot,open,openat", "-o", trace.to_str().unwrap()];
    run(&mut wrapped(&strace, &create)).success();
    let trace = fs::read_to_string(trace).unwrap();
    let threads: Vec<&str> = trace.lines().filter(|line| line.contains("chroot(")).filter_map(thread_of).collect();
    assert!(!threads.is_empty(), "the extractor has its own root directory");
    let is_read = |line: &&str| line.contains(".so") && !line.contains("O_CREAT") && !line.contains("O_PATH");
    let of_extractors = trace.lines().filter(|line| thread_of(line).is_some_and(|thread| threads.contains(&thread)));
    let loaded: Vec<&str> = of_extractors.filter(is_read).collect();
    assert!(loaded.is_empty(), "{loaded:?}");
}

/// A program that is run has standard input, output and error, and nothing that this one has open.
#[test]
fn programs_inherit_no_descriptor() {
    let store = TempStore::uninitialised();
    let bin = store.beside("bin");
    fs::create_dir(&bin).unwrap();
    let found = store.beside("found");
    let mkfs = format!("mkfs.{}", DRIVER.filesystem());
    let path = std::env::var("PATH").unwrap();
    let script = format!("#!/bin/sh\nls /proc/$$/fd >>'{}'\nPATH='{path}' exec {mkfs} \"$@\"\n", found.display());
    fs::write(bin.join(&mkfs), script).unwrap();
    fs::set_permissions(bin.join(&mkfs), Permissions::from_mode(0o755)).unwrap();
    let flags: &[&str] = if *DRIVER == Driver::OverlayXfs { &["--without-quota"] } else { &[] };
    let mut init = store.command([&["init-store", "--store-size-bytes", "1073741824"], flags].concat());
    run(init.env("PATH", format!("{}:{path}", bin.display()))).success();
    let found = fs::read_to_string(found).unwrap();
    // The shell has its script open.
    let beyond: Vec<u32> = found.lines().map(|line| line.parse().unwrap()).filter(|fd| (3..10).contains(fd)).collect();
    assert!(found.lines().count() >= 3 && beyond.is_empty(), "{found}");
}

/// What a container did to its files while they are removed: a directory gives way to a link, again and again.
#[test]
fn a_tree_that_changes_while_it_is_removed_leads_nowhere() {
    let store = TempStore::new();
    let canary = Canary::beside(&store);
    let files =
        (0..200).fold(Archive::new().directory("d", 0o755), |archive, n| archive.file(&format!("d/{n}"), 0o644, b""));
    let url = image(&store, "image", [files]);
    for _ in 0..8 {
        let rootfs = store.create(&url, "x");
        // On overlay, what is removed is the upper directory.
        let root = if *DRIVER == Driver::OverlayXfs { store.image("x").join("diff") } else { rootfs.clone() };
        fs::write(rootfs.join("d/mine"), "").unwrap();
        symlink(&canary.path, root.join("swap")).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            // By descriptor, so that it goes on when the image has another name.
            let directory = fs::File::open(&root).unwrap();
            let done = &done;
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let _ = renameat_with(&directory, "d", &directory, "swap", RenameFlags::EXCHANGE);
                }
            });
            let outcome = store.run(["delete", "x"]);
            done.store(true, Ordering::Relaxed);
            // It may have lost the race, and says so; then the next one finishes.
            assert!(matches!(outcome.code, Some(0 | 1)), "{outcome:?}");
        });
        canary.is_unharmed("delete");
        store.ok(["delete", "x"]);
        store.ok(["clean"]);
        canary.is_unharmed("clean");
        assert_eq!(store.leftovers(), [""; 0]);
    }
}

#[test]
fn a_document_that_could_be_index_and_manifest_is_neither() {
    let store = TempStore::new();
    let layer = Layer::new(Archive::new().file("f", 0o644, b"").bytes());
    let both = Image::new().layer(layer).edit_manifest(|manifest| manifest["manifests"] = json!([]));
    let message = store.fails(["create", &both.write(&store.beside("image"), "latest"), "x"]);
    assert!(message.contains("both an index and a manifest"), "{message}");
}

/// A volume at a link that leads out is a directory of the image's own, and holds nothing of the host's.
#[test]
fn a_declared_volume_shows_nothing_of_the_host() {
    let store = TempStore::new();
    let canary = Canary::beside(&store);
    let target = canary.path.to_str().unwrap();
    for (n, volume) in ["/out", "/out/directory", "/d/../out", "/up"].into_iter().enumerate() {
        let up = format!("{}{target}", "../".repeat(12));
        let archive = Archive::new().directory("d", 0o755).symlink("out", target).symlink("up", &up);
        let image = Image::new().layer(Layer::new(archive.bytes())).volume(volume);
        let url = image.write(&store.beside(&format!("image-{n}")), "latest");
        let id = format!("x-{n}");
        store.run(["create", &url, &id]);
        canary.is_unharmed(volume);
        for name in names(&store.image(&id)).iter().filter(|name| name.starts_with("vol-")) {
            let tree = Node::read_tree(&store.image(&id).join(name));
            assert!(tree.keys().all(|path| path != Path::new("file")), "{volume}: {tree:?}");
        }
    }
}
