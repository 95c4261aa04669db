//! A store that is made larger: by `init-store`, with a size that is larger than it has.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;

use crate::support::{DRIVER, Driver, MIB, TempStore, loops_below, mount, small_image, succeed};

const GIB: u64 = 1024 * MIB;

/// Without quotas, which the checker of btrfs may be too old for.
fn half_a_gibibyte() -> TempStore {
    let store = TempStore::uninitialised();
    store.ok(["init-store", "--store-size-bytes", &(GIB / 2).to_string(), "--without-quota"]);
    store
}

fn size_of_filesystem(store: &TempStore) -> u64 {
    let status = rustix::fs::statvfs(store.path()).unwrap();
    status.f_blocks * status.f_frsize
}

/// A store that is used while it grows: a mounted image with a file that stays open for writing.
#[test]
fn a_larger_size_makes_the_store_larger_with_images_in_use() {
    let store = half_a_gibibyte();
    store.create(&small_image(&store.beside("image")), "x");
    let mut open = File::create(store.rootfs("x").join("log")).unwrap();
    writeln!(open, "before").unwrap();
    let small = size_of_filesystem(&store);
    let device = fs::metadata(store.rootfs("x")).unwrap().dev();

    // Not a multiple of anything.
    let wanted = 3 * GIB + 12_345;
    store.ok(["init-store", "--store-size-bytes", &wanted.to_string(), "--without-quota"]);
    assert_eq!(fs::metadata(store.backing_file()).unwrap().len(), wanted);
    let large = size_of_filesystem(&store);
    assert!(large > small + 2 * GIB && large <= wanted, "{small} became {large}");
    writeln!(open, "after").unwrap();
    assert_eq!(fs::read_to_string(store.rootfs("x").join("log")).unwrap(), "before\nafter\n");
    assert_eq!(fs::metadata(store.rootfs("x")).unwrap().dev(), device, "still the same mount");
    assert!(fs::metadata(store.backing_file()).unwrap().blocks() * 512 < GIB, "still sparse");

    // What is there can be filled, and survives a remount and a check.
    File::create(store.path().join("tmp/large")).unwrap().write_all(&vec![1; GIB as usize]).unwrap();
    drop(open);
    store.ok(["init-store", "--store-size-bytes", &wanted.to_string(), "--without-quota"]);
    assert_eq!(size_of_filesystem(&store), large);
    crate::support::unmount_below(store.path());
    crate::support::detach_loops(store.path().parent().unwrap());
    let (program, flag) = match *DRIVER {
        Driver::OverlayXfs => ("xfs_repair", "-n"),
        Driver::Btrfs => ("btrfs", "check"),
    };
    succeed(program, [flag, store.backing_file().to_str().unwrap()]);
    store.ok(["init-store", "--without-quota"]);
    assert_eq!(size_of_filesystem(&store), large);
    let written = match *DRIVER {
        Driver::OverlayXfs => store.image("x").join("diff/log"),
        Driver::Btrfs => store.rootfs("x").join("log"),
    };
    assert_eq!(fs::read_to_string(written).unwrap(), "before\nafter\n");
}

#[test]
fn a_store_without_its_mount_grows_when_it_gets_it_back() {
    let store = half_a_gibibyte();
    store.create(&small_image(&store.beside("image")), "x");
    crate::support::unmount_below(store.path());
    crate::support::detach_loops(store.path().parent().unwrap());
    store.ok(["init-store", "--store-size-bytes", &GIB.to_string(), "--without-quota"]);
    assert!(size_of_filesystem(&store) > GIB * 9 / 10);
    store.stats("x");
}

#[test]
fn growing_that_was_cut_short_is_finished_by_the_next_init_store() {
    let store = half_a_gibibyte();
    let small = size_of_filesystem(&store);
    let (device, _) = loops_below(store.path().parent().unwrap()).pop().unwrap();
    let file = fs::OpenOptions::new().write(true).open(store.backing_file()).unwrap();

    // Killed after the file, then after the loop device. A smaller size is asked for meanwhile, as it may be.
    for (steps, bytes) in [(1, GIB), (2, 2 * GIB)] {
        file.set_len(bytes).unwrap();
        if steps == 2 {
            succeed("losetup", ["--set-capacity", &device]);
        }
        assert!(size_of_filesystem(&store) < bytes / 2 + small);
        let config = store.beside("config.yml");
        fs::write(&config, format!("init:\n  store_size_bytes: {}\n", 300 * MIB)).unwrap();
        store.ok(["--config", config.to_str().unwrap(), "init-store", "--without-quota"]);
        assert!(size_of_filesystem(&store) > bytes * 9 / 10, "after {steps} steps");
        assert_eq!(fs::metadata(store.backing_file()).unwrap().len(), bytes);
    }
}

#[test]
fn a_store_that_cannot_grow_is_used_as_it_is_unless_the_size_was_asked_for() {
    let store = half_a_gibibyte();
    // No file can be that large.
    let bytes = i64::MAX.to_string();
    let message = store.fails(["init-store", "--store-size-bytes", &bytes, "--without-quota"]);
    assert!(message.starts_with(&format!("truncate {}", store.backing_file().display())), "{message}");
    let config = store.beside("config.yml");
    fs::write(&config, format!("init:\n  store_size_bytes: {bytes}\n")).unwrap();
    let flags = ["--config", config.to_str().unwrap(), "--log-level", "error"];
    let outcome = store.run([&flags[..], &["init-store", "--without-quota"]].concat());
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stderr.contains("growing-store-failed"), "{outcome:?}");
    assert_eq!(fs::metadata(store.backing_file()).unwrap().len(), GIB / 2);
    store.create(&small_image(&store.beside("image")), "x");
}

#[test]
fn a_filesystem_that_is_not_from_the_backing_file_is_not_grown() {
    let store = TempStore::uninitialised();
    let (disk, point) = (store.beside("disk"), store.path());
    File::create(&disk).unwrap().set_len(GIB).unwrap();
    DRIVER.format(&disk);
    mount(&disk, point, DRIVER.filesystem(), "loop");
    let before = size_of_filesystem(&store);
    // Of no use to anybody, and not attached.
    File::create(store.backing_file()).unwrap().set_len(300 * MIB).unwrap();
    // The device has grown, which is its owner's business.
    fs::OpenOptions::new().write(true).open(&disk).unwrap().set_len(2 * GIB).unwrap();
    let (device, _) = loops_below(point.parent().unwrap()).pop().unwrap();
    succeed("losetup", ["--set-capacity", &device]);
    store.ok(["init-store", "--without-quota"]);
    assert_eq!(size_of_filesystem(&store), before);
}
