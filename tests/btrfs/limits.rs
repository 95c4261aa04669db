//! Limits hold, or somebody is told: whatever was done to the quotas behind them.

use std::fs;
use std::path::{Path, PathBuf};

use super::qgroups::{id, qgroup_file, shown};
use crate::support::{
    Archive, Image, Layer, MIB, TempStore, five_mebibytes, is_full, make_empty_files, mount, mounted_filesystem,
    number, sha256_hex, small_image, succeed, write,
};

const LIMIT: [&str; 3] = ["--disk-limit-size-bytes", "4194304", "--exclude-image-from-quota"];

fn create(store: &TempStore, flags: &[&str], url: &str, id: &str) {
    store.ok([&["create"], flags, &[url, id]].concat());
}

fn btrfs<const N: usize>(arguments: [&str; N], path: &Path) {
    succeed("btrfs", arguments.into_iter().chain([path.to_str().unwrap()]));
}

/// An image that declares a volume, and the name of that volume's directory.
fn with_volume(store: &TempStore) -> (String, String) {
    let layer = Layer::new(Archive::new().file("hello", 0o644, b"hello").bytes());
    let url = Image::new().layer(layer).volume("/data").write(&store.beside("with-volume"), "latest");
    (url, format!("vol-{}", sha256_hex(b"/data")))
}

/// Has the kernel lose count, as anybody may who makes snapshots.
fn make_inconsistent(store: &TempStore) {
    let (source, copy) = (store.path().join("volumes").join(&store.volumes()[0]), store.beside("store/copy"));
    btrfs(["qgroup", "create", "1/5"], store.path());
    succeed("btrfs", ["subvolume", "snapshot", "-i", "1/5", source.to_str().unwrap(), copy.to_str().unwrap()]);
    assert_eq!(qgroup_file(store.path(), "inconsistent"), "1");
}

#[test]
fn what_classic_quotas_lost_count_of_is_counted_anew() {
    let store = TempStore::with_classic_quota();
    let url = five_mebibytes(&store);
    store.create(&url, "first");
    make_inconsistent(&store);
    create(&store, &LIMIT, &url, "x");
    assert_eq!(qgroup_file(store.path(), "inconsistent"), "0");
    is_full(write(&store.rootfs("x").join("six"), 6 * MIB));

    let store = TempStore::with_classic_quota();
    store.create(&url, "first");
    make_inconsistent(&store);
    store.ok(["init-store"]);
    assert_eq!(qgroup_file(store.path(), "inconsistent"), "0");
}

#[test]
fn limits_that_went_with_the_quotas_are_set_again() {
    // Simple quotas are what init-store switches on where there are none.
    let enable = |store: &TempStore, is_simple: bool| {
        if !is_simple {
            btrfs(["quota", "enable"], store.path());
        }
        store.ok(["init-store"]);
    };
    for [was_simple, is_simple] in [[true, true], [false, false], [true, false]] {
        let store = TempStore::without_quota();
        enable(&store, was_simple);
        let (url, volume) = with_volume(&store);
        create(&store, &LIMIT, &url, "x");
        store.create(&url, "unlimited");
        let nested = store.rootfs("x").join("nested");
        btrfs(["subvolume", "create"], &nested);
        btrfs(["quota", "disable"], store.path());
        enable(&store, is_simple);
        is_full(write(&store.image("x").join(&volume).join("six"), 6 * MIB));
        let _ = fs::remove_file(store.image("x").join(&volume).join("six"));
        is_full(write(&store.rootfs("x").join("six"), 6 * MIB));
        let _ = fs::remove_file(store.rootfs("x").join("six"));
        if is_simple {
            is_full(write(&nested.join("six"), 6 * MIB));
        }
        assert_eq!(number(&store.stats("x"), "quota_size_bytes"), 4 * MIB);
        write(&store.rootfs("unlimited").join("six"), 6 * MIB).unwrap();
        store.ok(["delete", "x"]);
    }
}

/// Sixty bytes each: on the disk they take many times that.
#[test]
fn many_small_files_of_an_image_are_not_its_own() {
    for store in [TempStore::with_quota(), TempStore::with_classic_quota()] {
        let archive = (0..8000).fold(Archive::new(), |archive, n| archive.file(&format!("{n}"), 0o644, &[b'x'; 60]));
        let url = Image::new().layer(Layer::new(archive.bytes())).write(&store.beside("small-files"), "latest");
        // The archive is larger than the limit and may not be read under it.
        store.create(&url, "first");
        create(&store, &["--disk-limit-size-bytes", "2097152"], &url, "x");
        write(&store.rootfs("x").join("one"), MIB).unwrap();
        is_full(write(&store.rootfs("x").join("another"), MIB));
        let stats = store.stats("x");
        // Classic quotas: nodes of the layers' trees that the image has a copy of by now are its own.
        let own = 2 * MIB - 480_000;
        assert!((own..own + 256 * 1024).contains(&number(&stats, "quota_size_bytes")), "{stats}");
        assert!((MIB..2 * MIB).contains(&number(&stats, "exclusive_bytes_used")), "{stats}");
    }
}

/// Whoever makes a subvolume may have it made outside of the group of the one around it.
#[test]
fn clean_tells_of_subvolumes_that_evade_a_limit() {
    tells_of_a_stray(&TempStore::with_quota());
    // One that is no filesystem's first subvolume.
    let around = TempStore::with_quota();
    let inside = TempStore::at(around.path().join("inside"));
    btrfs(["subvolume", "create"], inside.path());
    inside.ok(["init-store"]);
    tells_of_a_stray(&inside);
    inside.ok(["delete-store"]);
}

fn tells_of_a_stray(store: &TempStore) {
    let url = small_image(&store.beside("image"));
    for id in ["x", "y"] {
        create(store, &LIMIT, &url, id);
        btrfs(["subvolume", "create"], &store.rootfs(id).join("nested"));
    }
    store.ok(["--log-level", "error", "clean"]);
    btrfs(["qgroup", "create", "1/7"], store.path());
    btrfs(["subvolume", "create", "-i", "1/7"], &store.rootfs("y").join("stray"));
    write(&store.rootfs("y").join("stray/six"), 6 * MIB).unwrap();
    let cleaned = store.run(["--log-level", "error", "clean"]);
    assert_eq!(cleaned.stdout, "clean completed\n");
    let lines: Vec<&str> = cleaned.stderr.lines().collect();
    assert!(lines.len() == 1 && lines[0].contains("limit-is-evaded"), "{cleaned:?}");
    assert!(lines[0].contains(r#""image":"y""#) && lines[0].contains(r#""subvolumes":1"#), "{cleaned:?}");
    store.ok(["delete", "y"]);
}

#[test]
fn the_smallest_limit_is_enough_where_nodes_are_large() {
    let store = TempStore::uninitialised();
    let (disk, point) = (store.beside("disk"), store.beside("mnt"));
    fs::File::create(&disk).unwrap().set_len(1024 * MIB).unwrap();
    succeed("mkfs.btrfs", ["-q", "-n", "64k", disk.to_str().unwrap()]);
    mount(&disk, &point, "btrfs", "loop");
    let inside = TempStore::at(point.join("store"));
    inside.ok(["init-store"]);
    let layer = Layer::new(Archive::new().file("hello", 0o644, b"hello").bytes());
    let image = Image::new().layer(layer).volume("/a").volume("/b").volume("/c");
    let url = image.write(&store.beside("volumes"), "latest");
    create(&inside, &["--disk-limit-size-bytes", "1", "--exclude-image-from-quota"], &url, "x");
    let volumes = ["/a", "/b", "/c"].map(|path| inside.image("x").join(format!("vol-{}", sha256_hex(path.as_bytes()))));
    let directories: Vec<PathBuf> = volumes.into_iter().chain([inside.rootfs("x")]).collect();
    for directory in directories {
        fs::create_dir(directory.join("made")).unwrap();
        write(&directory.join("made/file"), 64 * 1024).unwrap();
    }
    assert_eq!(number(&inside.stats("x"), "quota_size_bytes"), (16 + 3) * 64 * 1024);
}

#[test]
fn a_deleted_store_leaves_no_groups_on_a_filesystem_that_stays() {
    for is_simple in [true, false] {
        let disk = TempStore::uninitialised();
        let point = mounted_filesystem(&disk);
        if !is_simple {
            btrfs(["quota", "enable"], &point);
        }
        let store = TempStore::at(point.join("store"));
        store.ok(["init-store"]);
        let url = five_mebibytes(&store);
        for name in ["x", "y"] {
            create(&store, &LIMIT, &url, name);
            write(&store.rootfs(name).join("one"), MIB).unwrap();
            btrfs(["subvolume", "create"], &store.rootfs(name).join("nested"));
        }
        assert!(shown(&point).len() > 4);
        assert!(shown(&point).contains_key(&format!("0/{}", id(&store.rootfs("x")))));
        store.ok(["delete-store"]);
        assert_eq!(shown(&point).into_keys().collect::<Vec<_>>(), ["0/5"]);
    }
}

/// Btrfs keeps inodes in nodes, and nodes count.
#[test]
fn files_without_content_stay_inside_the_limit() {
    let store = TempStore::with_quota();
    let url = small_image(&store.beside("image"));
    create(&store, &LIMIT, &url, "x");
    let used = || {
        rustix::fs::syncfs(fs::File::open(store.path()).unwrap()).unwrap();
        let space = rustix::fs::statvfs(store.path()).unwrap();
        (space.f_blocks - space.f_bfree) * space.f_frsize
    };
    let before = used();
    let made = make_empty_files(&store.rootfs("x"), 250_000);
    assert!((1_000..100_000).contains(&made), "{made} files within 4 MiB");
    let stats = store.stats("x");
    assert!(number(&stats, "exclusive_bytes_used") <= 4 * MIB, "{stats}");
    assert!(stats.get("quota_inodes").is_none(), "{stats}");
    // Nodes are written twice on one device (mkfs.btrfs(8), PROFILES), and quotas count them once.
    let taken = used() - before;
    assert!(taken <= 2 * 4 * MIB + MIB, "{taken} bytes of the store for {made} files");
    create(&store, &LIMIT, &url, "neighbour");
    assert_eq!(make_empty_files(&store.rootfs("neighbour"), 10), 10);

    let flags = ["--disk-limit-size-bytes", "4194304", "--disk-limit-inodes", "500"];
    let message = store.fails([&["create"], &flags[..], &[url.as_str(), "y"]].concat());
    assert!(message.contains("btrfs counts inodes as bytes"), "{message}");
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}
