//! `delete`.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, openat};

use crate::support::{
    Archive, DRIVER, Driver, Image, Layer, TempStore, sha256_hex, small_image, succeed, write_archive,
};

fn with_image() -> TempStore {
    let store = TempStore::new();
    store.create(&small_image(&store.beside("image")), "x");
    store
}

#[test]
fn an_image_is_deleted_by_id() {
    let store = with_image();
    assert_eq!(store.ok(["delete", "x"]), "Image x deleted\n");
    assert!(!store.image("x").exists());
    assert!(store.mounted_images().is_empty());
    assert!(store.records().is_empty());
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
    assert_eq!(store.volumes().len(), 1, "layers stay until a clean");
}

#[test]
fn an_image_is_deleted_by_path() {
    let store = with_image();
    assert_eq!(store.ok(["delete", store.image("x").to_str().unwrap()]), "Image x deleted\n");
    assert!(!store.image("x").exists());
}

#[test]
fn an_image_that_is_not_mounted_is_deleted() {
    let store = TempStore::new();
    store.ok(["create", "--without-mount", &small_image(&store.beside("image")), "x"]);
    store.ok(["delete", "x"]);
    assert!(!store.image("x").exists());
}

#[test]
fn the_id_is_free_afterwards() {
    let store = with_image();
    store.ok(["delete", "x"]);
    store.create(&small_image(&store.beside("image")), "x");
}

#[test]
fn only_the_image_named_is_touched() {
    let store = with_image();
    let url = small_image(&store.beside("image"));
    store.create(&url, "x2");
    store.ok(["create", "--without-mount", &url, "longer-x"]);
    store.ok(["delete", "x"]);
    store.ok(["delete", "longer-x"]);
    assert_eq!(fs::read_to_string(store.rootfs("x2").join("hello")).unwrap(), "hello\n");
    assert_eq!(store.records(), ["x2"]);
}

#[test]
fn what_does_not_exist_is_skipped_and_said_so() {
    let store = with_image();
    assert_eq!(store.ok(["delete", "non-existing-id"]), "Image `non-existing-id` not found. Skipping delete.\n");
    let path = store.image("non_existing");
    assert_eq!(store.ok(["delete", path.to_str().unwrap()]), "Image `non_existing` not found. Skipping delete.\n");
    assert_eq!(store.ok(["delete", "/not/in/store"]), "path `/not/in/store` is outside store path\n");
    assert!(store.image("x").exists());
}

#[test]
fn paths_that_only_look_like_an_image_are_never_followed() {
    let store = with_image();
    let outside = store.beside("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "kept").unwrap();
    for id in ["../volumes", "..", ".", "x/../../volumes", "x/.."] {
        store.run(["delete", id]);
        store.run(["delete", &format!("{}/images/{id}", store.path().display())]);
    }
    store.run(["delete", "x/rootfs"]);
    store.run(["delete", &format!("{}/images/../../outside", store.path().display())]);
    store.run(["delete", ""]);
    assert_eq!(fs::read_to_string(outside.join("precious")).unwrap(), "kept");
    assert_eq!(fs::read_to_string(store.rootfs("x").join("hello")).unwrap(), "hello\n");
    assert_eq!(store.volumes().len(), 1);
}

#[test]
fn a_store_that_does_not_exist_has_nothing_to_delete() {
    let store = TempStore::uninitialised();
    let outcome = store.run(["--log-level", "debug", "delete", "/path/to/random-id"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stderr.contains(r#""id":"/path/to/random-id""#), "{outcome:?}");
}

#[test]
fn no_id_is_an_error() {
    let store = TempStore::new();
    assert_eq!(store.fails(["delete"]), "id was not specified");
    assert_eq!(store.fails(["delete", "a", "b"]), "id was not specified");
}

#[test]
fn directories_nobody_may_search_are_deleted() {
    let store = TempStore::new();
    let archive = Archive::new().owner(100_001, 100_001).directory("locked", 0o000).file("locked/inside", 0o000, b"x");
    let path = write_archive(store.path().parent().unwrap(), "base.tar", &archive.bytes());
    let rootfs = store.create(path.to_str().unwrap(), "x");
    fs::write(rootfs.join("locked/inside"), "changed, so that the image has its own").unwrap();
    store.ok(["delete", "x"]);
    assert!(!store.image("x").exists());
}

#[test]
fn paths_longer_than_the_kernel_takes_at_once_are_deleted() {
    let store = with_image();
    let name = "d".repeat(200);
    let script = format!(
        "cd {} && for i in $(seq 1 40); do mkdir {name} && cd {name}; done; touch end",
        store.rootfs("x").display()
    );
    crate::support::succeed("sh", ["-c", &script]);
    store.ok(["delete", "x"]);
    assert!(!store.image("x").exists());
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}

#[test]
fn immutable_looking_content_links_and_fifos_are_deleted() {
    let store = with_image();
    let rootfs = store.rootfs("x");
    std::os::unix::fs::symlink("/etc", rootfs.join("link")).unwrap();
    std::os::unix::fs::symlink(store.beside("image"), rootfs.join("to-image")).unwrap();
    crate::support::succeed("mkfifo", [rootfs.join("fifo")]);
    store.ok(["delete", "x"]);
    assert!(Path::new("/etc/passwd").exists());
    assert!(store.beside("image/index.json").exists());
}

#[test]
fn something_mounted_in_the_image_keeps_it_and_its_record() {
    let store = with_image();
    let inside = store.image("x").join("mounted");
    crate::support::mount(Path::new("tmpfs"), &inside, "tmpfs", "size=1m");
    fs::write(inside.join("precious"), "kept").unwrap();

    let message = store.fails(["delete", "x"]);
    assert!(message.contains("deleting image path"), "{message}");
    assert_eq!(fs::read_to_string(inside.join("precious")).unwrap(), "kept");
    assert_eq!(store.records(), ["x"]);

    crate::support::unmount_below(&inside);
    store.ok(["delete", "x"]);
    assert!(!store.image("x").exists());
}

#[test]
fn something_mounted_in_the_rootfs_keeps_what_the_image_wrote() {
    let store = with_image();
    fs::write(store.rootfs("x").join("mine"), "kept").unwrap();
    let inside = store.rootfs("x").join("mounted");
    crate::support::mount(Path::new("tmpfs"), &inside, "tmpfs", "size=1m");

    let message = store.fails(["delete", "x"]);
    assert!(message.contains("deleting image path"), "{message}");
    assert_eq!(fs::read_to_string(store.own_files("x").join("mine")).unwrap(), "kept");
    assert_eq!(store.records(), ["x"]);

    crate::support::unmount_below(&inside);
    store.ok(["delete", "x"]);
    assert!(!store.image("x").exists());
}

/// Whatever is mounted in an image, at whatever depth, is somebody's data, and so is what the image has written.
#[test]
fn something_mounted_deep_in_the_image_leaves_it_whole_and_listed() {
    let store = TempStore::new();
    let layer = Layer::new(Archive::new().file("hello", 0o644, b"hello\n").directory("mnt", 0o755).bytes());
    let url = Image::new().layer(layer).volume("/data").write(&store.beside("image"), "latest");
    let volume = format!("vol-{}", sha256_hex(b"/data"));
    let mounted = [store.own_files("x").join("sub/deep"), store.image("x").join(&volume).join("sub/deep")];
    let unmounted = [
        store.rootfs("y").join("mnt"),
        store.rootfs("y").join("sub/deep/er"),
        store.image("y").join(if *DRIVER == Driver::Btrfs { "snapshot/sub" } else { "diff/sub" }),
        store.image("y").join(&volume).join("sub"),
    ];
    store.ok(["create", &url, "x"]);
    store.ok(["create", "--without-mount", &url, "y"]);
    for (id, places) in [("x", &mounted[..]), ("y", &unmounted)] {
        for place in places {
            let writable = if id == "x" { store.rootfs("x") } else { store.image("y").join(&volume) };
            fs::write(writable.join("mine"), "kept").unwrap();
            fs::create_dir_all(place).unwrap();
            crate::support::mount(Path::new("tmpfs"), place, "tmpfs", "size=1m");
            fs::write(place.join("precious"), "kept").unwrap();
            let mounts = store.mounted_images();
            let message = store.fails(["delete", id]);
            assert!(message.contains("deleting image path") && message.contains(place.to_str().unwrap()), "{message}");
            assert!(store.ok(["list"]).contains(store.image(id).to_str().unwrap()), "{place:?}");
            store.ok(["stats", id]);
            for file in [writable.join("mine"), place.join("precious")] {
                assert_eq!(fs::read_to_string(&file).unwrap(), "kept", "{file:?}");
            }
            if id == "x" {
                assert_eq!(fs::read_to_string(store.rootfs(id).join("hello")).unwrap(), "hello\n");
            }
            assert_eq!(store.mounted_images(), mounts, "{place:?}");
            assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
            crate::support::unmount_below(place);
        }
        store.ok(["delete", id]);
        assert!(!store.image(id).exists() && store.leftovers().is_empty());
    }
}

/// As a runtime binds `/etc/hosts` of a container.
#[test]
fn a_file_mounted_in_the_image_leaves_it_whole_too() {
    let store = TempStore::new();
    let layer = Layer::new(Archive::new().directory("etc", 0o755).file("etc/hosts", 0o644, b"hosts").bytes());
    let url = Image::new().layer(layer).write(&store.beside("image"), "latest");
    store.ok(["create", "--without-mount", &url, "x"]);
    fs::create_dir_all(store.rootfs("x").join("etc")).unwrap();
    let hosts = store.rootfs("x").join("etc/hosts");
    fs::write(&hosts, "mine").unwrap();
    fs::write(store.beside("hosts"), "kept").unwrap();
    succeed("mount", ["--bind", store.beside("hosts").to_str().unwrap(), hosts.to_str().unwrap()]);
    assert!(store.fails(["delete", "x"]).contains("etc/hosts"));
    assert_eq!(fs::read_to_string(store.beside("hosts")).unwrap(), "kept");
    succeed("umount", [hosts.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(&hosts).unwrap(), "mine");
    store.ok(["delete", "x"]);
}

#[test]
fn a_busy_rootfs_is_detached() {
    let store = with_image();
    fs::write(store.rootfs("x").join("held"), "open").unwrap();
    let held = fs::File::open(store.rootfs("x").join("held")).unwrap();
    store.ok(["delete", "x"]);
    assert!(!store.image("x").exists());
    assert!(store.mounted_images().is_empty());
    drop(held);
}

/// Makes files in directories of an image until it is told to stop, or the directories are gone, while `work` is done.
fn while_written_into<T>(store: &TempStore, id: &str, pause: Duration, work: impl FnOnce() -> T) -> T {
    let make = |n: u32| {
        let directory = store.own_files(id).join(n.to_string());
        fs::create_dir(&directory).unwrap();
        fs::File::open(directory).unwrap()
    };
    let directories: Vec<fs::File> = (0..4).map(make).collect();
    let is_over = &AtomicBool::new(false);
    thread::scope(|scope| {
        for directory in &directories {
            scope.spawn(move || {
                let flags = OFlags::CREATE | OFlags::WRONLY;
                let mut names = (0u64..).take_while(|_| !is_over.load(Ordering::Relaxed));
                // In a directory that has been removed nothing can be made.
                while let Some(name) = names.next()
                    && openat(directory, name.to_string(), flags, Mode::RWXU).is_ok()
                {
                    thread::sleep(pause);
                }
            });
        }
        thread::sleep(Duration::from_millis(20));
        let done = work();
        is_over.store(true, Ordering::Relaxed);
        done
    })
}

/// As a container's process does that is on its way out.
#[test]
fn an_image_is_deleted_while_something_still_writes_into_it() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    for n in 0..25 {
        let id = format!("x-{n}");
        store.create(&url, &id);
        let deleted = while_written_into(&store, &id, Duration::from_micros(300), || store.ok(["delete", &id]));
        assert_eq!(deleted, format!("Image {id} deleted\n"));
    }
    assert_eq!(store.leftovers(), [""; 0]);
}

#[test]
fn a_writer_that_never_ends_is_named_and_the_next_delete_or_clean_finishes() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    for next in [["delete", "x"].as_slice(), &["clean"]] {
        store.create(&url, "x");
        let outcome = while_written_into(&store, "x", Duration::ZERO, || store.run(["delete", "x"]));
        // The writer may lose the race, and has when the image goes in one step.
        if outcome.code != Some(0) {
            let message = outcome.failure();
            assert!(message.contains("tmp/delete.x") && message.contains("a process goes on writing"), "{message}");
            assert!(!store.image("x").exists());
            store.ok(next);
        }
        assert_eq!(store.leftovers(), [""; 0]);
    }
}
