//! What containers make of their images on btrfs goes with the image: subvolumes above all, whatever is in them and
//! whatever state they are in. With either kind of quotas, for root and for ordinary users.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::helpers::{USER, UsersStore};
use crate::support::{
    Archive, IS_CLASSIC, Image, Layer, MIB, TempStore, is_full, names, sha256_hex, small_image, succeed,
};

const LIMIT: [&str; 3] = ["--disk-limit-size-bytes", "4194304", "--exclude-image-from-quota"];

fn create_limited(store: &TempStore, url: &str, id: &str) {
    store.ok([&["create"], &LIMIT[..], &[url, id]].concat());
}

/// An image that declares a volume, and the directory of that volume.
fn with_volume(store: &TempStore) -> (String, String) {
    let layer = Layer::new(Archive::new().file("hello", 0o644, b"hello").bytes());
    let url = Image::new().layer(layer).volume("/data").write(&store.beside("with-volume"), "latest");
    (url, format!("vol-{}", sha256_hex(b"/data")))
}

fn btrfs<const N: usize>(arguments: [&str; N], path: &Path) {
    succeed("btrfs", arguments.into_iter().chain([path.to_str().unwrap()]));
}

fn subvolume(path: PathBuf) -> PathBuf {
    btrfs(["subvolume", "create"], &path);
    path
}

fn set_read_only(path: &Path) {
    succeed("btrfs", ["property", "set", "-t", "subvol", path.to_str().unwrap(), "ro", "true"]);
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Writes until not even a kibibyte more is let in.
fn fill(directory: &Path) {
    let mut file = File::create(directory.join("filler")).unwrap();
    for chunk in [64 * 1024, 1024] {
        is_full((0..64 * MIB / chunk).try_for_each(|_| file.write_all(&vec![1; chunk as usize])));
    }
}

/// The quota groups of all subvolumes but the filesystem's own, each with whether it has a limit.
fn groups(store: &Path) -> Vec<(String, bool)> {
    btrfs(["filesystem", "sync"], store);
    let table = succeed("btrfs", ["qgroup", "show", "--raw", "-re", store.to_str().unwrap()]);
    let rows = table.lines().skip(2).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let rows = rows.filter(|row| row[0] != "0/5");
    rows.map(|row| (row[0].to_owned(), row[3..5].iter().any(|limit| *limit != "none"))).collect()
}

#[track_caller]
fn is_deleted(store: &TempStore, id: &str) {
    assert_eq!(store.ok(["delete", id]), format!("Image {id} deleted\n"));
    assert!(!store.image(id).exists());
    assert_eq!(store.leftovers(), [""; 0]);
    assert!(groups(store.path()).iter().all(|(_, is_limited)| !is_limited), "{:?}", groups(store.path()));
}

#[test]
fn a_full_image_with_subvolumes_is_deleted() {
    let store = TempStore::with_quota();
    let (url, volume) = with_volume(&store);
    create_limited(&store, &url, "x");
    for directory in [store.rootfs("x"), store.image("x").join(volume)] {
        let nested = subvolume(directory.join("nested"));
        subvolume(nested.join("deep"));
        // Subvolumes have limits of their own there.
        if *IS_CLASSIC {
            fill(&directory);
        }
    }
    if !*IS_CLASSIC {
        fill(&store.rootfs("x").join("nested/deep"));
    }
    is_deleted(&store, "x");
}

#[test]
fn a_full_image_of_a_user_with_subvolumes_is_deleted() {
    for store in UsersStore::both() {
        store.create(&[], "x").success();
        let rootfs = store.own_files("x");
        let nested = subvolume(rootfs.join("nested"));
        chown(&nested, Some(USER), Some(USER)).unwrap();
        fill(if *IS_CLASSIC { &rootfs } else { &nested });
        assert_eq!(store.run(&["delete", "x"]).success(), "Image x deleted\n");
        store.has_nothing_of("x");
        assert!(groups(store.store.path()).iter().all(|(_, is_limited)| !is_limited));
    }
}

/// A subvolume can be made with limits, and in groups, of its maker's choice.
#[test]
fn limits_that_a_container_made_do_not_keep_its_image() {
    let store = TempStore::with_quota();
    let url = small_image(&store.beside("image"));
    create_limited(&store, &url, "x");
    let own = subvolume(store.rootfs("x").join("own"));
    subvolume(own.join("deep"));
    btrfs(["qgroup", "limit", "1M"], &own);
    fill(&own);
    if !*IS_CLASSIC {
        create_limited(&store, &url, "neighbour");
        let number = succeed("btrfs", ["inspect-internal", "rootid", store.rootfs("neighbour").to_str().unwrap()]);
        let theirs = store.rootfs("x").join("theirs");
        btrfs(["subvolume", "create", "-i", &format!("26482/{}", number.trim())], &theirs);
        subvolume(theirs.join("deep"));
        fill(&store.rootfs("neighbour"));
    }
    assert_eq!(store.ok(["delete", "x"]), "Image x deleted\n");
    assert!(!store.image("x").exists());
}

#[test]
fn read_only_subvolumes_go_with_their_image() {
    let store = TempStore::with_quota();
    let (url, volume) = with_volume(&store);
    for limit in [&LIMIT[..], &[]] {
        store.ok([&["create"], limit, &[&url, "x"]].concat());
        // Without a limit, a volume is a plain directory.
        for directory in [store.rootfs("x"), store.image("x").join(&volume)] {
            let nested = subvolume(directory.join("nested"));
            File::create(nested.join("file")).unwrap();
            let snapshot = directory.join("snapshot");
            let arguments = ["subvolume", "snapshot", "-r", nested.to_str().unwrap(), snapshot.to_str().unwrap()];
            succeed("btrfs", arguments);
            subvolume(nested.join("deep"));
            set_read_only(&nested);
        }
        set_read_only(&store.rootfs("x"));
        is_deleted(&store, "x");
    }
}

#[test]
fn what_chattr_protects_goes_with_its_image() {
    let store = TempStore::with_quota();
    let (url, volume) = with_volume(&store);
    for limit in [&LIMIT[..], &[]] {
        store.ok([&["create"], limit, &[&url, "x"]].concat());
        let volume = store.image("x").join(&volume);
        for directory in [store.rootfs("x"), volume] {
            let fixed = directory.join("fixed");
            fs::create_dir(&fixed).unwrap();
            let nested = subvolume(fixed.join("nested"));
            File::create(nested.join("file")).unwrap();
            File::create(nested.join("log")).unwrap();
            let paths = ["file", "."].map(|name| nested.join(name)).into_iter().chain([fixed]);
            paths.for_each(|path| drop(succeed("chattr", ["+i", path.to_str().unwrap()])));
            succeed("chattr", ["+a", nested.join("log").to_str().unwrap()]);
        }
        succeed("chattr", ["+i", store.rootfs("x").to_str().unwrap()]);
        is_deleted(&store, "x");
    }
}

/// Nobody but the owner of an image can be kept from it by modes, and he deletes it.
#[test]
fn modes_do_not_keep_a_user_from_his_images() {
    for store in UsersStore::both() {
        for id in ["rootfs", "nested", "directory", "snapshot"] {
            store.create(&[], id).success();
            let rootfs = store.own_files(id);
            fs::create_dir(rootfs.join("directory")).unwrap();
            let nested = subvolume(rootfs.join("directory/nested"));
            fs::create_dir_all(nested.join("a/b")).unwrap();
            File::create(nested.join("a/b/file")).unwrap();
            succeed("chown", ["-R", &USER.to_string(), rootfs.to_str().unwrap()]);
            match id {
                "rootfs" => set_mode(&rootfs, 0),
                "nested" => set_mode(&nested, 0),
                "directory" => set_mode(&rootfs.join("directory"), 0),
                _ => {
                    let snapshot = rootfs.join("snapshot");
                    set_mode(&nested.join("a/b"), 0);
                    let paths = [nested, snapshot].map(|path| path.to_str().unwrap().to_owned());
                    succeed("btrfs", ["subvolume", "snapshot", "-r"].map(str::to_owned).into_iter().chain(paths));
                }
            }
            assert_eq!(store.run(&["delete", id]).success(), format!("Image {id} deleted\n"), "{id}");
            store.has_nothing_of(id);
        }
    }
}

/// Without the mount option the kernel lets a user remove no subvolume but an empty one.
#[test]
fn a_user_whose_filesystem_lacks_the_mount_option_deletes_and_cleans() {
    let disk = TempStore::uninitialised();
    let point = crate::support::mounted_filesystem(&disk);
    if *IS_CLASSIC {
        btrfs(["quota", "enable"], &point);
    }
    set_mode(&point, 0o755);
    let store = TempStore::at(point.join("store"));
    store.ok(["init-store"]);
    let store = UsersStore::given(store);
    store.create(&[], "x").success();
    let rootfs = store.own_files("x");
    let nested = subvolume(rootfs.join("nested"));
    fs::write(nested.join("file"), "x").unwrap();
    succeed("chown", ["-R", &USER.to_string(), rootfs.to_str().unwrap()]);
    assert_eq!(store.run(&["delete", "x"]).success(), "Image x deleted\n");
    store.has_nothing_of("x");
    assert_eq!(store.run(&["clean"]).success(), "clean completed\n");
    assert_eq!(names(&store.store.path().join("volumes")), [""; 0]);

    let told = store.store.run(["--log-level", "info", "init-store"]);
    assert!(told.code == Some(0) && told.stderr.contains("user_subvol_rm_allowed"), "{told:?}");
}
