//! Promise 3: nothing is ever formatted that holds data. `init-store` with a size either mounts the backing file it
//! finds or refuses it; a file with anything in it stays as it is, byte for byte.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::LazyLock;

use crate::support::{
    DRIVER, Driver, MIB, TempStore, assert_no_loops_below, mount, mount_points_below, names, succeed, with_fault,
};
use rustix::fs::SeekFrom;
use sha2::{Digest, Sha256};

const SIZE: u64 = 320 * MIB;

/// Digest of a file's content with its length. Holes are skipped and zeros count as holes.
fn fingerprint(path: &Path) -> (Vec<u8>, u64) {
    let (file, mut digest, mut offset) = (File::open(path).unwrap(), Sha256::new(), 0);
    let length = file.metadata().unwrap().len();
    let mut block = vec![0; 64 * 1024];
    while let Ok(data) = rustix::fs::seek(&file, SeekFrom::Data(offset)) {
        let count = file.read_at(&mut block, data).unwrap();
        if block[..count].iter().any(|&byte| byte != 0) {
            digest.update(data.to_le_bytes());
            digest.update(&block[..count]);
        }
        offset = data + count as u64;
    }
    (digest.finalize().to_vec(), length)
}

/// Lets `prepare` fill a backing file, then tries to make a store of it, in several sizes.
#[track_caller]
fn is_left_alone(prepare: impl FnOnce(&Path)) {
    let store = TempStore::uninitialised();
    let file = store.backing_file();
    File::create(&file).unwrap().set_len(SIZE).unwrap();
    prepare(&file);
    let before = fingerprint(&file);
    for size in [SIZE, 2 * SIZE, 256 * MIB] {
        store.fails(["init-store", "--store-size-bytes", &size.to_string(), "--without-quota"]);
        assert!(fingerprint(&file) == before, "the file was changed");
        assert!(mount_points_below(store.path()).is_empty());
        assert_no_loops_below(store.path().parent().unwrap());
    }
}

fn write_at(path: &Path, offset: u64, bytes: &[u8]) {
    File::options().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
}

#[test]
fn promise_03_ext4() {
    is_left_alone(|file| drop(succeed("mkfs.ext4", ["-q", "-F", file.to_str().unwrap()])));
}

/// Where the driver's filesystem has its first superblock.
static SUPERBLOCK: LazyLock<u64> = LazyLock::new(|| match *DRIVER {
    Driver::OverlayXfs => 0,
    Driver::Btrfs => 64 * 1024,
});

#[test]
fn promise_03_the_filesystem_of_another_driver() {
    let other = if *DRIVER == Driver::Btrfs { Driver::OverlayXfs } else { Driver::Btrfs };
    is_left_alone(|file| other.format(file));
}

#[test]
fn promise_03_a_filesystem_without_its_first_superblock() {
    is_left_alone(|file| {
        DRIVER.format(file);
        write_at(file, *SUPERBLOCK, &[0; 4096]);
    });
}

#[test]
fn promise_03_a_filesystem_with_a_damaged_superblock() {
    is_left_alone(|file| {
        DRIVER.format(file);
        write_at(file, *SUPERBLOCK + 100, &[0xff; 64]);
    });
}

#[test]
fn promise_03_a_truncated_filesystem() {
    is_left_alone(|file| {
        File::options().write(true).open(file).unwrap().set_len(2 * SIZE).unwrap();
        DRIVER.format(file);
        File::options().write(true).open(file).unwrap().set_len(SIZE).unwrap();
    });
}

#[test]
fn promise_03_swap_and_partition_tables_and_volumes() {
    is_left_alone(|file| drop(succeed("mkswap", ["-q", file.to_str().unwrap()])));
    is_left_alone(|file| write_at(file, 510, &[0x55, 0xaa]));
    is_left_alone(|file| write_at(file, 512, b"EFI PART"));
    is_left_alone(|file| write_at(file, 512, b"LABELONE\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0LVM2 001"));
    is_left_alone(|file| write_at(file, 0, b"LUKS\xba\xbe\0\x02"));
}

#[test]
fn promise_03_any_data_anywhere() {
    is_left_alone(|file| write_at(file, 0, b"x"));
    is_left_alone(|file| write_at(file, 123_456_789, b"precious"));
    is_left_alone(|file| write_at(file, SIZE - 1, b"x"));
    is_left_alone(|file| {
        let mut file = File::create(file).unwrap();
        file.write_all(b"a note, shorter than any filesystem\n").unwrap();
    });
}

#[test]
fn promise_03_a_filesystem_of_somebody_elses_keeps_its_files() {
    let store = TempStore::uninitialised();
    let file = store.backing_file();
    File::create(&file).unwrap().set_len(SIZE).unwrap();
    DRIVER.format(&file);
    let point = store.beside("mnt");
    mount(&file, &point, DRIVER.filesystem(), "loop");
    fs::write(point.join("precious"), "kept").unwrap();
    crate::support::unmount_below(&point);
    crate::support::detach_loops(store.path().parent().unwrap());

    // Mounted or refused, as it likes; the data is there afterwards.
    store.run(["init-store", "--store-size-bytes", &SIZE.to_string(), "--without-quota"]);
    crate::support::unmount_below(store.path());
    crate::support::detach_loops(store.path().parent().unwrap());
    mount(&file, &point, DRIVER.filesystem(), "loop");
    assert_eq!(fs::read_to_string(point.join("precious")).unwrap(), "kept");
}

#[test]
fn promise_03_an_empty_file_of_any_length_is_used() {
    for length in [0, 100 * MIB, SIZE] {
        let store = TempStore::uninitialised();
        File::create(store.backing_file()).unwrap().set_len(length).unwrap();
        store.ok(["init-store", "--store-size-bytes", &SIZE.to_string(), "--without-quota"]);
        assert_eq!(fs::metadata(store.backing_file()).unwrap().len(), SIZE);
        assert!(store.path().join("images").is_dir());
    }
}

#[test]
fn promise_03_a_file_that_is_no_file_is_refused() {
    let store = TempStore::uninitialised();
    fs::create_dir(store.backing_file()).unwrap();
    store.fails(["init-store", "--store-size-bytes", &SIZE.to_string(), "--without-quota"]);
    fs::remove_dir(store.backing_file()).unwrap();

    let precious = store.beside("precious");
    File::create(&precious).unwrap().write_all_at(b"kept", SIZE).unwrap();
    std::os::unix::fs::symlink(&precious, store.backing_file()).unwrap();
    let before = fingerprint(&precious);
    store.fails(["init-store", "--store-size-bytes", &SIZE.to_string(), "--without-quota"]);
    assert!(fingerprint(&precious) == before, "the file behind a link was changed");
}

#[test]
fn promise_03_a_backing_file_that_cannot_get_its_name_leaves_nothing() {
    let store = TempStore::uninitialised();
    let init = store.command(["init-store", "--store-size-bytes", &SIZE.to_string(), "--without-quota"]);
    let (outcome, is_struck) = with_fault(&init, "rename:error=EIO:when=1");
    assert!(is_struck);
    let message = outcome.failure();
    assert!(message.starts_with("rename ") && message.contains("store.backing-store"), "{message}");
    assert_eq!(names(store.path().parent().unwrap()), [""; 0]);
}
