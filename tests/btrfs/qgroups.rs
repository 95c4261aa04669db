//! Limits by quota groups, compared with what the program `btrfs` shows.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use super::subvolumes::subvolumes;
use crate::support::{
    Archive, Image, Layer, MIB, TempStore, five_mebibytes, is_full, mounted_filesystem, names, number, small_image,
    succeed, wait_for, write,
};

/// Referenced bytes, exclusive bytes and the limits of both, by the name of the group.
pub(super) type Qgroups = BTreeMap<String, [Option<u64>; 4]>;

pub(super) fn shown(store: &Path) -> Qgroups {
    succeed("btrfs", ["filesystem", "sync", &store.to_string_lossy()]);
    let table = succeed("btrfs", ["qgroup", "show", "--raw", "-re", &store.to_string_lossy()]);
    let rows = table.lines().skip(2).map(|line| {
        let mut fields = line.split_whitespace();
        let name = fields.next().unwrap().to_owned();
        (name, [(); 4].map(|()| fields.next().unwrap().parse().ok()))
    });
    rows.collect()
}

/// Groups but for the filesystem's own.
fn groups(store: &TempStore) -> Vec<String> {
    shown(store.path()).into_keys().filter(|name| name != "0/5").collect()
}

pub(super) fn id(subvolume: &Path) -> String {
    succeed("btrfs", ["inspect-internal", "rootid", &subvolume.to_string_lossy()]).trim().to_owned()
}

/// What sysfs has in a file on the quotas of the filesystem mounted at `point`.
pub(super) fn qgroup_file(point: &Path, name: &str) -> String {
    let uuid = succeed("findmnt", ["-n", "-o", "UUID", &point.to_string_lossy()]);
    fs::read_to_string(format!("/sys/fs/btrfs/{}/qgroups/{name}", uuid.trim())).unwrap().trim().to_owned()
}

#[test]
fn init_store_switches_quotas_on_and_respects_a_choice_that_was_made() {
    let store = TempStore::with_quota();
    assert_eq!(qgroup_file(store.path(), "mode"), "squota");
    store.ok(["init-store"]);
    assert_eq!(qgroup_file(store.path(), "mode"), "squota");

    let disk = TempStore::uninitialised();
    let store = TempStore::at(mounted_filesystem(&disk).join("store"));
    store.ok(["init-store", "--without-quota"]);
    succeed("btrfs", ["quota", "enable", &store.path().to_string_lossy()]);
    store.ok(["init-store"]);
    assert_eq!(qgroup_file(&disk.beside("mnt"), "mode"), "qgroup");
}

#[test]
fn without_quota_means_without() {
    let store = TempStore::without_quota();
    let uuid = succeed("findmnt", ["-n", "-o", "UUID", &store.path().to_string_lossy()]);
    assert!(!Path::new(&format!("/sys/fs/btrfs/{}/qgroups", uuid.trim())).exists());
    let url = five_mebibytes(&store);
    store.create(&url, "x");
    assert_eq!(number(&store.stats("x"), "total_bytes_used"), 5 * MIB, "the layers are all that is known");
    let message = store.fails(["create", "--disk-limit-size-bytes", "10485760", &url, "y"]);
    assert!(message.contains("quotas are off") && message.contains("init-store"), "{message}");
}

#[test]
fn promise_05_stats_are_what_btrfs_shows_after_a_sync() {
    for (store, group) in [(TempStore::with_quota(), "26482"), (TempStore::with_classic_quota(), "0")] {
        let url = five_mebibytes(&store);
        store.ok(["create", "--disk-limit-size-bytes", "52428800", &url, "x"]);
        write(&store.rootfs("x").join("four"), 4 * MIB).unwrap();
        for argument in ["x", store.image("x").to_str().unwrap()] {
            let stats = store.stats(argument);
            let [referenced, exclusive, max_referenced, max_exclusive] =
                shown(store.path())[&format!("{group}/{}", id(&store.rootfs("x")))];
            let layers = if group == "0" { 0 } else { 5 * MIB };
            assert_eq!(number(&stats, "exclusive_bytes_used"), exclusive.unwrap());
            assert_eq!(number(&stats, "total_bytes_used"), layers + referenced.unwrap());
            assert!((4 * MIB..4 * MIB + 64 * 1024).contains(&exclusive.unwrap()), "{stats}");
            assert_eq!(number(&stats, "quota_size_bytes"), 45 * MIB);
            assert_eq!(number(&stats, "committed_space_bytes"), 50 * MIB);
            assert_eq!((max_referenced, max_exclusive), (Some(50 * MIB - layers), None));
        }
    }
}

#[test]
fn an_exclusive_limit_is_one_of_exclusive_bytes() {
    for (store, group) in [(TempStore::with_quota(), "26482"), (TempStore::with_classic_quota(), "0")] {
        let url = five_mebibytes(&store);
        store.ok(["create", "--disk-limit-size-bytes", "10485760", "--exclude-image-from-quota", &url, "x"]);
        let [.., max_referenced, max_exclusive] = shown(store.path())[&format!("{group}/{}", id(&store.rootfs("x")))];
        assert_eq!((max_referenced, max_exclusive), (None, Some(10 * MIB)));
        assert_eq!(number(&store.stats("x"), "quota_size_bytes"), 10 * MIB);
    }
}

#[test]
fn limits_hold_without_mount_and_stats_work_there_too() {
    let store = TempStore::with_quota();
    let url = five_mebibytes(&store);
    let flags = ["--disk-limit-size-bytes", "1048576", "--exclude-image-from-quota", "--without-mount"];
    store.ok([&["create"], &flags[..], &[url.as_str(), "x"]].concat());
    is_full(write(&store.image("x").join("snapshot/file"), 2 * MIB));
    let stats = store.stats("x");
    assert_eq!(number(&stats, "quota_size_bytes"), MIB);
    assert!(number(&stats, "exclusive_bytes_used") > MIB / 2, "{stats}");
    store.ok(["delete", "x"]);
}

#[test]
fn a_subvolume_made_in_the_container_is_under_its_limit() {
    let store = TempStore::with_quota();
    let url = small_image(&store.beside("image"));
    store.ok(["create", "--disk-limit-size-bytes", "4194304", "--exclude-image-from-quota", &url, "x"]);
    let nested = store.rootfs("x").join("nested");
    succeed("btrfs", ["subvolume", "create", &nested.to_string_lossy()]);
    write(&nested.join("fits"), MIB).unwrap();
    is_full(write(&nested.join("does-not"), 8 * MIB));
    assert!(number(&store.stats("x"), "exclusive_bytes_used") > MIB);
}

#[test]
fn groups_of_deleted_images_go() {
    for store in [TempStore::with_quota(), TempStore::with_classic_quota()] {
        let url = five_mebibytes(&store);
        store.create(&url, "stays");
        let before = groups(&store);
        for n in 0..10 {
            store.ok(["create", "--disk-limit-size-bytes", "52428800", &url, "x"]);
            write(&store.rootfs("x").join("own"), MIB).unwrap();
            if n % 2 == 0 {
                succeed("btrfs", ["subvolume", "create", &store.rootfs("x").join("nested").to_string_lossy()]);
            }
            store.ok(["delete", "x"]);
        }
        wait_for("the kernel to drop the subvolumes", || groups(&store) == before);
        store.ok(["delete", "stays"]);
        store.ok(["clean"]);
        assert_eq!(groups(&store), [""; 0]);
    }
}

/// The kernel keeps the group of a layer while a copy of it refers to what was written there.
#[test]
fn clean_removes_groups_that_the_kernel_leaves() {
    let store = TempStore::with_quota();
    // Not so small that it is kept with its name.
    let bottom = Layer::new(Archive::new().file("bottom", 0o644, &vec![7; MIB as usize]).bytes());
    let top = Layer::new(Archive::new().file("top", 0o644, b"top").bytes());
    let image = Image::new().layer(bottom).layer(top);
    let bottom = store.path().join("volumes").join(&image.chain_ids()[0]);
    store.create(&image.write(&store.beside("image"), "latest"), "x");
    let group = format!("0/{}", id(&bottom));
    succeed("btrfs", ["subvolume", "delete", "-c", &bottom.to_string_lossy()]);
    succeed("btrfs", ["subvolume", "sync", &store.path().to_string_lossy()]);
    assert!(groups(&store).contains(&group));
    store.ok(["delete", "x"]);
    store.ok(["clean"]);
    assert_eq!(groups(&store), [""; 0]);
}

#[test]
fn two_hundred_limits_do_not_disturb_one_another() {
    let store = TempStore::with_quota();
    let url = small_image(&store.beside("image"));
    let limit = |n: u64| 512 * 1024 + n * 4096;
    for n in 0..200 {
        let bytes = limit(n).to_string();
        store.ok(["create", "--disk-limit-size-bytes", &bytes, "--exclude-image-from-quota", &url, &format!("x-{n}")]);
    }
    for n in (0..200).step_by(20) {
        is_full(write(&store.rootfs(&format!("x-{n}")).join("fill"), 2 * MIB));
    }
    let shown = shown(store.path());
    for n in 0..200 {
        let rootfs = store.rootfs(&format!("x-{n}"));
        let [_, exclusive, _, max_exclusive] = shown[&format!("26482/{}", id(&rootfs))];
        assert_eq!(max_exclusive, Some(limit(n)));
        let exclusive = exclusive.unwrap();
        match n % 20 {
            0 => assert!(exclusive <= limit(n) && exclusive + 256 * 1024 >= limit(n), "x-{n} uses {exclusive}"),
            _ => assert!(exclusive <= 64 * 1024, "x-{n} is charged {exclusive} bytes for its neighbours"),
        }
    }
}

#[test]
fn killed_creates_and_deletes_leave_no_group_after_a_clean() {
    for store in [TempStore::with_quota(), TempStore::with_classic_quota()] {
        kill_creates_and_deletes(&store);
    }
}

fn kill_creates_and_deletes(store: &TempStore) {
    let url = small_image(&store.beside("image"));
    let mut finished = 0;
    for n in 0..40 {
        for (arguments, delay) in [
            (vec!["create", "--disk-limit-size-bytes", "2621440", url.as_str(), "x"], n),
            (vec!["delete", "x"], 40 - n),
        ] {
            let mut child = store.command(arguments).stdout(Stdio::null()).spawn().unwrap();
            thread::sleep(Duration::from_micros(delay * 700));
            child.kill().unwrap();
            finished += usize::from(child.wait().unwrap().success());
        }
        store.ok(["delete", "x"]);
    }
    assert!(finished < 80, "no kill struck");
    store.ok(["clean"]);
    assert_eq!(names(&store.path().join("images")), [""; 0]);
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
    assert_eq!(subvolumes(store), [""; 0]);
    assert_eq!(groups(store), [""; 0]);
}
