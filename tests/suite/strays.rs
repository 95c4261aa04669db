//! What is not the store's own is named, left alone and stops nothing; what is damaged stops nothing but its own image.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::support::{Canary, DRIVER, Driver, TempStore, layers, mount_points_below, names, run, succeed};

/// Directories of a store in which somebody may leave something.
const PLACES: [&str; 12] = [
    "",
    "images",
    "volumes",
    "meta",
    "meta/dependencies",
    "meta/unflushed",
    "meta/lent",
    "meta/documents",
    "tmp",
    "locks",
    "projectids",
    "l",
];

/// What somebody may leave there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    File,
    Empty,
    Directory,
    Pipe,
    Device,
    Socket,
    DanglingLink,
    Link,
    FileNotUtf8,
    DirectoryNotUtf8,
    LinkNotUtf8,
    Subvolume,
}

const KINDS: [Kind; 12] = [
    Kind::File,
    Kind::Empty,
    Kind::Directory,
    Kind::Pipe,
    Kind::Device,
    Kind::Socket,
    Kind::DanglingLink,
    Kind::Link,
    Kind::FileNotUtf8,
    Kind::DirectoryNotUtf8,
    Kind::LinkNotUtf8,
    Kind::Subvolume,
];

impl Kind {
    fn name(self) -> OsString {
        let name = format!("stray-{self:?}").to_lowercase().into_bytes();
        let is_text = !matches!(self, Kind::FileNotUtf8 | Kind::DirectoryNotUtf8 | Kind::LinkNotUtf8);
        OsString::from_vec(if is_text { name } else { [&name[..], b"\xff"].concat() })
    }

    /// Makes it at `path`; `canary` is where links lead to.
    fn make(self, path: &Path, canary: &Path) {
        match self {
            Kind::File | Kind::FileNotUtf8 => fs::write(path, "not the store's").unwrap(),
            Kind::Empty => fs::write(path, "").unwrap(),
            Kind::Directory | Kind::DirectoryNotUtf8 => {
                fs::create_dir_all(path.join("below")).unwrap();
                fs::write(path.join("below/file"), "not the store's").unwrap();
            }
            Kind::Pipe => succeed_at("mkfifo", &[], path, &[]),
            Kind::Device => succeed_at("mknod", &[], path, &["c", "1", "3"]),
            Kind::Socket => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
            Kind::DanglingLink => symlink("nowhere", path).unwrap(),
            Kind::Link | Kind::LinkNotUtf8 => symlink(canary, path).unwrap(),
            Kind::Subvolume if *DRIVER == Driver::Btrfs => succeed_at("btrfs", &["subvolume", "create"], path, &[]),
            Kind::Subvolume => fs::create_dir(path).unwrap(),
        }
    }
}

fn succeed_at(program: &str, before: &[&str], path: &Path, after: &[&str]) {
    let (before, after) = (before.iter().map(OsStr::new), after.iter().map(OsStr::new));
    succeed(program, before.chain([path.as_os_str()]).chain(after));
}

fn has(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Leaves everything in a place, and returns where.
fn leave_all(place: &Path, canary: &Path) -> Vec<PathBuf> {
    fs::create_dir_all(place).unwrap();
    let paths: Vec<PathBuf> = KINDS.iter().map(|kind| place.join(kind.name())).collect();
    KINDS.iter().zip(&paths).for_each(|(kind, path)| kind.make(path, canary));
    paths
}

fn take_away(paths: &[PathBuf]) {
    for path in paths {
        match path.symlink_metadata().unwrap().is_dir() {
            true if *DRIVER == Driver::Btrfs && path.ends_with(Kind::Subvolume.name()) => {
                succeed_at("btrfs", &["subvolume", "delete"], path, &[]);
            }
            true => fs::remove_dir_all(path).unwrap(),
            false => fs::remove_file(path).unwrap(),
        }
    }
}

/// Flags of an init-store on the store that is there.
static INIT: LazyLock<&[&str]> = LazyLock::new(|| match *DRIVER {
    Driver::OverlayXfs => &["init-store", "--without-quota"],
    Driver::Btrfs => &["init-store"],
});

/// All commands work, and a clean cleans, whatever strangers are there.
#[track_caller]
fn assert_all_works(store: &TempStore, context: &str) {
    let ok = |arguments: &[&str]| {
        let outcome = store.run(arguments);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{context}: {arguments:?}: {outcome:?}");
        outcome.stdout
    };
    let (kept, chain) = layers(store, "kept", 2);
    let (unused, _) = layers(store, "unused", 2);
    ok(&INIT);
    ok(&["create", &unused, "unused"]);
    ok(&["create", "--without-mount", &kept, "callers"]);
    ok(&["stats", "callers"]);
    ok(&["delete", "unused"]);
    ok(&["delete", "callers"]);
    ok(&["create", "--with-clean", &kept, "x"]);
    ok(&["stats", "x"]);
    assert!(ok(&["list"]).lines().any(|line| line.ends_with("/x")), "{context}");
    ok(&["list", "--long"]);
    ok(&["usage"]);
    ok(&["usage", "--json"]);
    ok(&["generate-volume-size-metadata"]);
    assert_eq!(ok(&["clean"]), "clean completed\n", "{context}");
    let volumes = store.volumes();
    assert!(chain.iter().all(|layer| volumes.contains(layer)), "{context}: {volumes:?}");
    let own = volumes.iter().filter(|name| !name.starts_with("stray-"));
    assert_eq!(own.count(), chain.len(), "{context}: {volumes:?}");
    let checked = store.run(["check"]);
    assert!(matches!(checked.code, Some(0 | 4)), "{context}: {checked:?}");
    let checked = store.run(["check", "--repair"]);
    assert!(matches!(checked.code, Some(0 | 4)), "{context}: {checked:?}");
    assert_eq!(fs::read_to_string(store.rootfs("x").join("file-0")).unwrap(), "kept 0", "{context}");
    ok(&["delete", "x"]);
    ok(&["clean"]);
    assert!(store.volumes().iter().all(|name| name.starts_with("stray-")), "{context}: {:?}", store.volumes());
}

#[test]
fn what_is_not_the_stores_is_left_alone_and_stops_nothing() {
    let store = TempStore::new();
    let canary = Canary::beside(&store);
    for place in PLACES {
        let left = leave_all(&store.path().join(place), &canary.path);
        assert_all_works(&store, place);
        for path in &left {
            assert!(has(path), "{path:?} is gone");
        }
        for (kind, path) in KINDS.iter().zip(&left) {
            let kind_of = path.symlink_metadata().unwrap().file_type();
            assert!(*kind != Kind::Device || kind_of.is_char_device(), "{path:?}");
            assert!(*kind != Kind::Directory || path.join("below/file").exists(), "{path:?}");
        }
        take_away(&left);
    }
    canary.is_unharmed("after all commands");
}

#[test]
fn clean_names_each_stranger_once() {
    let store = TempStore::new();
    let canary = Canary::beside(&store);
    for place in PLACES {
        leave_all(&store.path().join(place), &canary.path);
    }
    let log = store.beside("log");
    store.ok(["--log-level", "info", "--log-file", log.to_str().unwrap(), "clean"]);
    let log = fs::read_to_string(&log).unwrap();
    for place in PLACES.iter().filter(|place| *DRIVER == Driver::OverlayXfs || !matches!(**place, "l" | "projectids")) {
        for kind in KINDS {
            // Any file may be a lock of an older version.
            if *place == "locks" && matches!(kind, Kind::File | Kind::Empty) {
                continue;
            }
            let path = store.path().join(place).join(kind.name());
            let text = serde_json::to_string(&path.to_string_lossy()).unwrap();
            let lines = log.lines().filter(|line| line.contains("foreign-entry") && line.contains(&text));
            assert_eq!(lines.count(), 1, "{path:?} in {log}");
        }
    }
    canary.is_unharmed("after a clean");
}

#[test]
fn a_store_with_strangers_is_deleted() {
    let store = TempStore::new();
    let canary = Canary::beside(&store);
    for place in PLACES {
        leave_all(&store.path().join(place), &canary.path);
    }
    store.create(&layers(&store, "image", 2).0, "x");
    store.ok(["delete-store"]);
    assert!(mount_points_below(store.path()).is_empty());
    canary.is_unharmed("after delete-store");
}

/// How a record can be damaged.
const DAMAGES: [&str; 8] = ["missing", "empty", "garbage", "huge", "directory", "pipe", "link", "dangling"];

fn damage(record: &Path, damage: &str, canary: &Path) {
    if damage == "empty" {
        // A copy of it goes with the file.
        fs::rename(record, record.with_extension("old")).unwrap();
        fs::remove_file(record.with_extension("old")).unwrap();
        return fs::write(record, "").unwrap();
    }
    fs::remove_file(record).unwrap();
    match damage {
        "missing" => {}
        "garbage" => fs::write(record, "[\"a\", ").unwrap(),
        "huge" => fs::write(record, vec![b' '; 2 << 20]).unwrap(),
        "directory" => fs::create_dir_all(record.join("below")).unwrap(),
        "pipe" => succeed_at("mkfifo", &[], record, &[]),
        "link" => symlink(canary.join("file"), record).unwrap(),
        "dangling" => symlink("nowhere", record).unwrap(),
        other => panic!("{other}"),
    }
}

/// How an image's root filesystem is mounted, if it is.
const MOUNTS: [&str; 3] = ["mounted", "unmounted", "by its caller"];

/// The image's own layers stay, wherever it is told which they are, and all others go.
#[test]
fn a_damaged_record_blocks_only_its_own_image() {
    let store = TempStore::new();
    let canary = Canary::beside(&store);
    let (damaged, damaged_chain) = layers(&store, "damaged", 3);
    let (healthy, healthy_chain) = layers(&store, "healthy", 2);
    let (unused, _) = layers(&store, "unused", 2);
    let record = store.path().join("meta/dependencies/image:damaged.json");
    let mut expected = [damaged_chain, healthy_chain].concat();
    expected.sort();
    for mount in MOUNTS {
        for kind in DAMAGES {
            let context = format!("{kind}, {mount}");
            let flag = if mount == "by its caller" { "--without-mount" } else { "--with-mount" };
            // Unpacked before the image is made, so that its age alone would spare it.
            store.create(&unused, "unused");
            store.ok(["create", flag, &damaged, "damaged"]);
            store.create(&healthy, "healthy");
            store.ok(["delete", "unused"]);
            if mount == "unmounted" {
                store.ok(["umount", "damaged"]);
            }
            damage(&record, kind, &canary.path);

            let log = store.beside("log");
            let _ = fs::remove_file(&log);
            let log_flags = ["--log-level", "error", "--log-file", log.to_str().unwrap()];
            assert_eq!(store.ok([&log_flags[..], &["clean"]].concat()), "clean completed\n", "{context}");
            assert_eq!(store.volumes(), expected, "{context}");
            let log = fs::read_to_string(&log).unwrap();
            assert!(log.contains("image-record-damaged") && log.contains("\"damaged\""), "{context}: {log}");
            store.ok(["create", "--with-clean", &unused, "other"]);
            store.ok(["delete", "other"]);
            store.stats("damaged");
            store.ok(["list", "--long"]);
            store.ok(["usage"]);
            let checked = run(&mut store.command(["check"]));
            assert!(checked.code == Some(4) && checked.stdout.contains("image damaged: "), "{context}: {checked:?}");

            for id in ["damaged", "healthy"] {
                assert_eq!(store.ok(["delete", id]), format!("Image {id} deleted\n"), "{context}");
            }
            if kind == "directory" {
                assert!(record.join("below").exists(), "{context}");
                fs::remove_dir_all(&record).unwrap();
            }
            assert!(!has(&record), "{context}");
            store.ok(["clean"]);
            assert!(store.volumes().is_empty(), "{context}: {:?}", store.volumes());
        }
    }
    canary.is_unharmed("after all commands");
}

/// Where nothing tells which layers an image has, it may be all that were there when it was made, and none that came later.
#[test]
fn where_nothing_tells_what_an_image_needs_layers_that_came_later_go() {
    if *DRIVER == Driver::Btrfs {
        return; // The subvolume itself tells.
    }
    let store = TempStore::new();
    let (url, chain) = layers(&store, "image", 2);
    store.create(&layers(&store, "older", 1).0, "older");
    store.create(&url, "x");
    store.ok(["delete", "older"]);
    store.ok(["umount", "x"]);
    for name in ["user.grootfs.mounted", "user.grootfs.layers"] {
        let _ = rustix::fs::removexattr(store.image("x"), name);
    }
    fs::remove_file(store.path().join("meta/dependencies/image:x.json")).unwrap();
    store.ok(["clean"]);
    let volumes = store.volumes();
    assert!(volumes.len() == 3 && chain.iter().all(|layer| volumes.contains(layer)), "{volumes:?}");
}

/// Images of the original have no attributes, but mounts; images of many layers have the beginnings of their names alone.
#[test]
fn mounts_tell_what_an_image_needs_and_so_do_beginnings_of_names() {
    if *DRIVER == Driver::Btrfs {
        return; // The subvolume itself tells.
    }
    for count in [2, 60] {
        for has_attribute in [false, true] {
            let store = TempStore::new();
            let (url, mut chain) = layers(&store, "image", count);
            chain.sort();
            store.create(&layers(&store, "older", 1).0, "older");
            store.create(&url, "x");
            store.ok(["delete", "older"]);
            if has_attribute {
                store.ok(["umount", "x"]);
            } else {
                rustix::fs::removexattr(store.image("x"), "user.grootfs.mounted").unwrap();
            }
            fs::remove_file(store.path().join("meta/dependencies/image:x.json")).unwrap();
            store.ok(["clean"]);
            assert_eq!(store.volumes(), chain, "{count} layers, with an attribute: {has_attribute}");
        }
    }
}

/// Damaged records of a layer's own cost nobody anything.
#[test]
fn what_stands_in_the_place_of_a_layers_records_stops_nothing() {
    let store = TempStore::new();
    let canary = Canary::beside(&store);
    let (url, chain) = layers(&store, "image", 2);
    for kind in DAMAGES {
        store.create(&url, "x");
        for layer in &chain {
            for record in [format!("l/{layer}"), format!("meta/volume-{layer}")] {
                let record = store.path().join(record);
                if has(&record) {
                    damage(&record, kind, &canary.path);
                }
            }
        }
        for record in ["meta/sizes.json", "meta/totals.json"] {
            let record = store.path().join(record);
            fs::write(&record, "").unwrap();
            damage(&record, kind, &canary.path);
        }
        assert_eq!(store.ok(["clean"]), "clean completed\n", "{kind}");
        store.ok(["usage"]);
        store.ok(["delete", "x"]);
        assert_eq!(store.ok(["clean"]), "clean completed\n", "{kind}");
        assert!(store.volumes().is_empty(), "{kind}: {:?}", store.volumes());
        for directory in ["l", "meta"] {
            for name in names(&store.path().join(directory)) {
                let path = store.path().join(directory).join(&name);
                if path.join("below").exists() {
                    fs::remove_dir_all(path).unwrap();
                }
            }
        }
    }
    canary.is_unharmed("after all commands");
}

/// Any directory may be an image; one of which nothing is on record and that has no root filesystem is none. By its name it can
/// be deleted, as images of a crashed original can.
#[test]
fn a_directory_that_is_no_image_is_in_no_report_but_checks() {
    let store = TempStore::new();
    store.create(&layers(&store, "image", 2).0, "x");
    store.create(&layers(&store, "unused", 1).0, "unused");
    store.ok(["delete", "unused"]);
    let foreign = ["lost+found", "by-hand"].map(|name| store.image(name));
    foreign.iter().for_each(|path| fs::create_dir(path).unwrap());
    fs::write(foreign[1].join("file"), "not the store's").unwrap();
    assert_eq!(store.ok(["list"]).lines().count(), 3, "by name alone, as the original lists");
    for report in [&["list", "--long"][..], &["list", "--json"], &["usage"], &["usage", "--json"], &["doctor"]] {
        let shown = store.ok(report);
        assert!(!shown.contains("lost+found") && !shown.contains("by-hand"), "{report:?}: {shown}");
    }
    assert!(store.ok(["usage", "--json"]).contains("\"totals\":{\"images\":1,"));
    assert!(store.ok(["doctor"]).contains("no image of 1 is unmounted"));
    assert!(store.fails(["stats", "by-hand"]).contains("images/by-hand/"));
    assert_eq!(store.fails(["inspect", "by-hand"]), "Image `by-hand` not found.");
    let checked = store.run(["check"]);
    assert_eq!(checked.stdout.lines().count(), 2, "{checked:?}");
    for path in &foreign {
        assert!(checked.stdout.contains(&format!("{}: it is not the store's", path.display())), "{checked:?}");
    }
    assert_eq!(store.ok(["clean"]), "clean completed\n");
    assert_eq!(store.volumes().len(), 2, "what nobody needs is gone");
    assert!(foreign.iter().all(|path| has(path)) && has(&foreign[1].join("file")));
    assert_eq!(store.ok(["delete", "by-hand"]), "Image by-hand deleted\n");
    assert!(!has(&foreign[1]) && has(&foreign[0]));
}
