//! The files of a store, which the original must be able to read, and the other way round.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use crate::support::{
    Archive, Image, Layer, MIB, TempStore, layers, make_empty_files, mount, mounted_filesystem, names, small_image,
    succeed,
};

#[test]
fn files_of_the_store_have_the_formats_of_the_original() {
    let store = TempStore::new();
    let (image, chain) = layers(&store, "image", 2);
    store.create(&image, "x");
    let read = |path: &str| fs::read_to_string(store.path().join(path)).unwrap();
    let mode = |path: &str| fs::symlink_metadata(store.path().join(path)).unwrap().mode() & 0o7777;

    assert_eq!(read("meta/dependencies/image:x.json"), format!(r#"["{}","{}"]"#, chain[0], chain[1]));
    for volume in &chain {
        assert_eq!(read(&format!("meta/volume-{volume}")), "{\"Size\":7}\n", "bytes of the layer's regular files");
        assert_eq!(mode(&format!("volumes/{volume}")), 0o755);
        let short = read(&format!("l/{volume}"));
        assert!(
            short.len() < 32 && short.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')),
            "{short}"
        );
        let target = fs::read_link(store.path().join("l").join(&short)).unwrap();
        assert_eq!(target, store.path().join("volumes").join(volume));
        assert_eq!(mode(&format!("l/{volume}")), 0o644);
    }
    assert_eq!(read("images/x/image_info"), "14", "the volumes' sizes, no newline");
    assert_eq!(mode("images/x/image_info"), 0o600);
    assert_eq!(mode("images/x"), 0o700);
    for directory in ["diff", "workdir", "rootfs"] {
        assert_eq!(mode(&format!("images/x/{directory}")), 0o755, "{directory}");
    }
    assert!(!store.image("x").join("image_quota").exists(), "only with a limit");
}

#[test]
fn the_drivers_own_files_have_the_modes_and_owners_of_the_original() {
    let store = TempStore::new();
    for directory in ["l", "projectids"] {
        let metadata = fs::metadata(store.path().join(directory)).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o755, 0, 0), "{directory}");
    }
    let whiteout = fs::symlink_metadata(store.path().join("whiteout_dev")).unwrap();
    assert!(whiteout.file_type().is_char_device());
    assert_eq!((whiteout.rdev(), whiteout.mode() & 0o7777), (0, 0));
}

#[test]
fn a_whiteout_device_that_is_none_is_refused() {
    let store = TempStore::new();
    let device = store.path().join("whiteout_dev");
    fs::remove_file(&device).unwrap();
    fs::write(&device, "").unwrap();
    let message = store.fails(["init-store", "--without-quota"]);
    assert!(message.contains("the whiteout device file is not a valid device"), "{message}");
}

#[test]
fn a_mount_without_quotas_is_refused_with_the_remedy() {
    let disk = TempStore::uninitialised();
    let store = TempStore::at(mounted_filesystem(&disk).join("store"));
    let message = store.fails(["init-store"]);
    assert!(message.contains("--without-quota"), "{message}");
    assert!(!store.path().exists(), "nothing is left behind");
    store.ok(["init-store", "--without-quota"]);
}

#[test]
fn a_store_of_the_original_opens_unchanged() {
    let disk = TempStore::uninitialised();
    let store = TempStore::at(mounted_filesystem(&disk));
    lay_out_as_the_original_does(store.path());
    let layer = Layer::new(Archive::new().file("base", 0o644, b"from the archive").bytes());
    let chain = crate::support::chain_ids([layer.diff_id.as_str()]);
    let base = Image::new().layer(layer).write(&disk.beside("image"), "latest");
    add_volume(store.path(), &chain[0], "g6qhyVz9k1234", "base");
    add_volume(store.path(), &"0".repeat(64), "g6qhyVz9k1235", "unused");
    add_mounted_image(store.path(), "old", &chain[0], "g6qhyVz9k1234");

    assert_eq!(store.ok(["list"]), format!("{}\n", store.image("old").display()));
    assert_eq!(store.stats("old")["total_bytes_used"], 14);
    store.create(&base, "new");
    let read = |image: &str| fs::read_to_string(store.rootfs(image).join("base")).unwrap();
    assert_eq!(read("new"), "from the store", "the cached volume is used");
    store.ok(["clean"]);
    assert_eq!(store.volumes(), chain);
    assert_eq!(names(&store.path().join("l")).len(), 2);
    assert_eq!(read("old"), "from the store");
    store.ok(["delete", "old"]);
    assert_eq!(names(&store.path().join("images")), ["new"]);
    assert_eq!(read("new"), "from the store");
    store.ok(["init-store", "--without-quota"]);
    store.ok(["delete", "new"]);
    store.ok(["clean"]);
    assert!(store.volumes().is_empty());
}

/// The directories and files that the original's `init-store` makes.
fn lay_out_as_the_original_does(store: &Path) {
    for directory in ["images", "volumes", "meta", "meta/dependencies", "locks", "tmp", "l", "projectids"] {
        fs::create_dir(store.join(directory)).unwrap();
    }
    fs::set_permissions(store, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(store.join("meta/namespace.json"), "{\"uid-mappings\":[],\"gid-mappings\":[]}\n").unwrap();
    fs::write(store.join("locks/global-groot-lock.lock"), "").unwrap();
    succeed("mknod", ["-m", "0", store.join("whiteout_dev").to_str().unwrap(), "c", "0", "0"]);
}

/// A volume with one file of fourteen bytes, and what the original notes about it.
fn add_volume(store: &Path, chain_id: &str, short: &str, file: &str) {
    let volume = store.join("volumes").join(chain_id);
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join(file), "from the store").unwrap();
    symlink(&volume, store.join("l").join(short)).unwrap();
    fs::write(store.join("l").join(chain_id), short).unwrap();
    fs::write(store.join("meta").join(format!("volume-{chain_id}")), "{\"Size\":14}\n").unwrap();
    fs::write(store.join("locks").join(format!("{chain_id}.lock")), "").unwrap();
}

/// An image over one volume, mounted as the original mounts it: short names, from within the store.
fn add_mounted_image(store: &Path, id: &str, chain_id: &str, short: &str) {
    let image = store.join("images").join(id);
    for directory in ["", "diff", "workdir", "rootfs"] {
        fs::create_dir(image.join(directory)).unwrap();
    }
    fs::set_permissions(&image, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(image.join("image_info"), "14").unwrap();
    fs::write(store.join(format!("meta/dependencies/image:{id}.json")), format!("[\"{chain_id}\"]")).unwrap();
    let data = format!("lowerdir=l/{short},upperdir={0}/diff,workdir={0}/workdir", image.display());
    let script = format!("cd {} && mount -i -t overlay -o {data} overlay {}/rootfs", store.display(), image.display());
    succeed("sh", ["-c", &script]);
}

#[test]
fn a_store_that_ran_out_of_inodes_says_so() {
    let place = TempStore::uninitialised();
    let disk = place.beside("disk");
    fs::File::create(&disk).unwrap().set_len(400 * MIB).unwrap();
    // One per cent of the space may hold inodes.
    succeed("mkfs.xfs", ["-q", "-i", "maxpct=1", disk.to_str().unwrap()]);
    let point = place.beside("mnt");
    mount(&disk, &point, "xfs", "loop");
    let store = TempStore::at(point.join("store"));
    store.ok(["init-store", "--without-quota"]);
    let url = small_image(&store.beside("image"));
    store.create(&url, "x");
    assert!(make_empty_files(&store.rootfs("x"), 100_000) < 100_000);
    let (other, _) = layers(&store, "other", 2);
    let message = store.fails(["create", &other, "y"]);
    assert!(message.contains("has no inodes left, although 9") && message.contains("many files"), "{message}");
    assert!(message.contains(store.path().to_str().unwrap()), "{message}");
    store.ok(["delete", "x"]);
    store.create(&other, "y");
}
