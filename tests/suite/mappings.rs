//! Stores with id mappings, used by root, as Garden does for unprivileged containers.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::support::{
    Archive, DRIVER, Driver, Image, Layer, Node, TempStore, differences, shifted, small_image, succeed, system_calls,
    test_images, umoci,
};

/// What Garden's unprivileged store has: its root is the largest id there is, all others are themselves.
const GARDEN: [&str; 2] = ["0:4294967294:1", "1:1:4294967293"];
const MAXIMUS: u32 = 4_294_967_294;
/// A user with a range of subordinate ids.
const USER: [&str; 2] = ["0:1000:1", "1:100000:65000"];

fn flags<'a>(uids: &[&'a str], gids: &[&'a str]) -> Vec<&'a str> {
    let uids = uids.iter().flat_map(|mapping| ["--uid-mapping", mapping]);
    uids.chain(gids.iter().flat_map(|mapping| ["--gid-mapping", mapping])).collect()
}

fn init(mappings: &[&str]) -> Vec<String> {
    let quota = if *DRIVER == Driver::Btrfs { "--log-level=fatal" } else { "--without-quota" };
    let flags = [&["init-store", "--store-size-bytes", "4294967296", quota][..], &flags(mappings, mappings)].concat();
    flags.into_iter().map(str::to_owned).collect()
}

fn mapped_store(mappings: &[&str]) -> TempStore {
    let store = TempStore::uninitialised();
    store.ok(init(mappings));
    store
}

fn owner(path: &Path) -> (u32, u32) {
    let metadata = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    (metadata.uid(), metadata.gid())
}

#[test]
fn the_store_belongs_to_the_mapped_root() {
    for (mappings, root) in [(&GARDEN, MAXIMUS), (&USER, 1000), (&["0:100000:1", "1:100001:65535"], 100_000)] {
        let store = mapped_store(mappings);
        let mut directories = vec!["", "images", "volumes", "meta", "meta/dependencies", "locks", "tmp"];
        if *DRIVER == Driver::OverlayXfs {
            directories.extend(["l", "projectids", "whiteout_dev"]);
        }
        for directory in directories {
            assert_eq!(owner(&store.path().join(directory)), (root, root), "{directory}");
        }
        assert_eq!(fs::metadata(store.path()).unwrap().mode() & 0o7777, 0o700);
        let list = |mappings: &[&str]| mappings.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(",");
        let expected = format!("{{\"uid-mappings\":[{0}],\"gid-mappings\":[{0}]}}\n", list(mappings));
        assert_eq!(fs::read_to_string(store.path().join("meta/namespace.json")).unwrap(), expected);
        store.ok(init(mappings));
    }
}

#[test]
fn other_mappings_than_the_stores_are_refused() {
    let store = mapped_store(&USER);
    let kinds = |uids: &[&str], gids: &[&str]| {
        store.fails([&["init-store", "--without-quota"][..], &flags(uids, gids)].concat())
    };
    let differ = |kind: &str| format!("provided {kind} mappings do not match those already configured in the store");
    assert_eq!(kinds(&GARDEN, &USER), differ("UID"));
    assert_eq!(kinds(&USER, &GARDEN), differ("GID"));
    assert_eq!(kinds(&[], &[]), differ("UID"));
    assert_eq!(owner(store.path()), (1000, 1000), "nothing was changed");
    // In any order they are the same.
    store.ok([&["init-store", "--without-quota"][..], &flags(&["1:100000:65000", "0:1000:1"], &USER)].concat());

    let plain = TempStore::new();
    let refused = plain.fails([&["init-store", "--without-quota"][..], &flags(&USER, &USER)].concat());
    assert_eq!(refused, differ("UID"));
    assert_eq!(owner(plain.path()), (0, 0));
}

#[test]
fn mappings_that_are_none_are_refused_in_one_line_and_make_nothing() {
    let store = TempStore::uninitialised();
    for (mappings, reason) in [
        (&["0:1000"][..], "parsing uid-mapping: `0:1000`"),
        (&["a:b:c"], "parsing uid-mapping: `a:b:c`"),
        (&["0:1000:0"], "maps no id"),
        (&["0:4294967295:1"], "beyond 4294967294"),
        (&["0:1:4294967295"], "beyond 4294967294"),
        (&["0:1000:1", "0:2000:1"], "id 0 of the namespace is mapped twice"),
        (&["1:100000:65000", "100:1000:200"], "id 100 of the namespace is mapped twice"),
        (&["1:100000:65000", "70000:100500:1"], "id 100500 of the host is mapped to twice"),
    ] {
        let message = store.fails(init(mappings));
        assert!(message.contains(reason), "{mappings:?}: {message}");
        assert!(!store.path().exists() && !store.backing_file().exists());
    }
    let init = ["init-store", "--store-size-bytes", "1073741824", "--gid-mapping", "0:1"];
    assert!(store.fails(init).starts_with("parsing gid-mapping: `0:1`"));
}

#[test]
fn rootless_takes_a_user_and_a_group() {
    let store = TempStore::uninitialised();
    let init = ["init-store", "--store-size-bytes", "1073741824", "--rootless"];
    for (names, message) in [
        ("lol", "invalid --rootless parameter, format must be <user>:<group>"),
        ("someoneelse:root", "error reading mappings for user 'someoneelse': unknown user someoneelse"),
        ("root:something", "error reading mappings for group 'something': unknown group something"),
    ] {
        assert_eq!(store.fails([&init[..], &[names]].concat()), message);
    }
    for flag in ["--uid-mapping", "--gid-mapping"] {
        let message = store.fails([&init[..], &["root:root", flag, "0:1:1"]].concat());
        assert_eq!(message, "cannot specify --rootless and --uid-mapping/--gid-mapping");
    }
    assert!(!store.path().exists() && !store.backing_file().exists());
}

#[test]
fn owners_are_those_of_the_mapping() {
    let store = mapped_store(&USER);
    let archive = Archive::new()
        .owner(1000, 1000)
        .directory("groot-dir", 0o700)
        .file("groot-file", 0o644, b"")
        .symlink("groot-link", "groot-file")
        .owner(4000, 33)
        .file("private", 0o700, b"kept")
        .owner(65001, 70000)
        .file("beyond", 0o644, b"")
        .owner(0, 0)
        .directory("root-dir", 0o755)
        .file("root-file", 0o4755, b"")
        .symlink("root-link", "root-file")
        .file("implicit/file", 0o644, b"");
    let upper = Archive::new().hard_link("link-to-lower", "private").file("groot-dir/root-file", 0o644, b"");
    let image = Image::new().layer(Layer::new(archive.bytes())).layer(Layer::new(upper.bytes())).volume("/data");
    let rootfs = store.create(&image.write(&store.beside("image"), "latest"), "x");
    for (name, expected) in [
        ("", (1000, 1000)),
        ("groot-dir", (100_999, 100_999)),
        ("groot-file", (100_999, 100_999)),
        ("groot-link", (100_999, 100_999)),
        ("private", (103_999, 100_032)),
        ("link-to-lower", (103_999, 100_032)),
        ("beyond", (65001, 70000)),
        ("root-dir", (1000, 1000)),
        ("root-file", (1000, 1000)),
        ("root-link", (1000, 1000)),
        ("implicit", (1000, 1000)),
        ("groot-dir/root-file", (1000, 1000)),
    ] {
        assert_eq!(owner(&rootfs.join(name)), expected, "{name}");
    }
    assert_eq!(fs::metadata(rootfs.join("root-file")).unwrap().mode() & 0o7777, 0o4755);
    assert_eq!(fs::read_to_string(rootfs.join("private")).unwrap(), "kept");
    for entry in fs::read_dir(store.image("x")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(owner(&path), (1000, 1000), "{}", path.display());
    }
    assert_eq!(owner(&store.image("x")), (1000, 1000));
    assert_eq!(fs::metadata(store.image("x")).unwrap().mode() & 0o7777, 0o700);
    store.stats("x");
    store.ok(["delete", "x"]);
    store.ok(["clean"]);
    assert!(store.volumes().is_empty() && store.leftovers().is_empty(), "{:?}", store.leftovers());
}

#[test]
fn gardens_mapping_reaches_to_the_largest_id() {
    let store = mapped_store(&GARDEN);
    let archive = Archive::new()
        .owner(4_294_967_293, 4_294_967_293)
        .file("last", 0o644, b"")
        .owner(0, 0)
        .file("root", 0o644, b"");
    let url = Image::new().layer(Layer::new(archive.bytes())).write(&store.beside("image"), "latest");
    let rootfs = store.create(&url, "x");
    assert_eq!(owner(&rootfs.join("last")), (4_294_967_293, 4_294_967_293));
    assert_eq!(owner(&rootfs.join("root")), (MAXIMUS, MAXIMUS));
}

#[track_caller]
fn equals_umoci_shifted(store: &TempStore, name: &str, map: impl Fn(u32) -> u32) {
    let layout = test_images().join(name);
    let expected = shifted(&umoci(&layout, &store.beside("umoci")), map);
    let actual = Node::read_tree(&store.create(&format!("oci://{}:latest", layout.display()), name));
    let differences = differences(&expected, &actual, 20);
    assert!(differences.is_empty(), "{name}:\n{}", differences.join("\n"));
    store.ok(["delete", name]);
    store.ok(["clean"]);
}

#[test]
fn real_images_are_owned_as_the_mapping_says_file_by_file() {
    let user = |id: u32| match id {
        0 => 1000,
        1..=65_000 => 99_999 + id,
        unmapped => unmapped,
    };
    let garden = |id: u32| if id == 0 { MAXIMUS } else { id };
    for name in ["debian", "stack"] {
        equals_umoci_shifted(&mapped_store(&USER), name, user);
        equals_umoci_shifted(&mapped_store(&GARDEN), name, garden);
    }
}

#[test]
fn no_child_process_is_started_to_translate_ids() {
    let store = mapped_store(&USER);
    let calls = system_calls(&store.command(["create", &small_image(&store.beside("image")), "x"]));
    assert_eq!(calls.get("execve"), Some(&1), "the flush of new layers: {calls:?}");
}

/// An ordinary container's root is nobody outside: it can write where its own root may, and nowhere else.
#[test]
fn the_mapped_root_can_use_the_root_filesystem() {
    let store = mapped_store(&USER);
    let archive = Archive::new().directory("etc", 0o755).file("etc/private", 0o600, b"root's");
    let url = Image::new().layer(Layer::new(archive.bytes())).write(&store.beside("image"), "latest");
    let rootfs = store.create(&url, "x");
    fs::set_permissions(store.path().parent().unwrap(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let script =
        format!("cd {} && cat etc/private && echo mine > etc/new && rm etc/private && ls etc", rootfs.display());
    let said = succeed("setpriv", ["--reuid=1000", "--regid=1000", "--clear-groups", "sh", "-c", &script]);
    assert_eq!(said, "root'snew\n");
    assert_eq!(owner(&rootfs.join("etc/new")), (1000, 1000));
}
