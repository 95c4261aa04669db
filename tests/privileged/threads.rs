//! Threads and processes with a root directory, mounts or ids of their own.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use grootfs::sys::{confine, mount_namespace, userns};
use rustix::mount::{MountFlags, mount};

#[test]
fn a_confined_thread_has_its_own_root_and_the_others_keep_theirs() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("inside"), "x").unwrap();
    let root = File::open(directory.path()).unwrap();
    std::thread::scope(|scope| {
        let confined = scope.spawn(|| {
            let confinement = confine::enter(root.as_fd()).unwrap();
            assert!(confinement.own_filesystem_context && confinement.own_root, "run the tests as root");
            Path::new("/inside").exists() && Path::new("/../inside").exists() && !Path::new("/etc").exists()
        });
        assert!(confined.join().unwrap());
    });
    assert!(Path::new("/etc").exists() && !Path::new("/inside").exists());
}

#[test]
fn what_a_thread_mounts_of_its_own_is_seen_there_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    let is_there = mount_namespace::in_own_mounts(|| {
        mount("tmpfs", directory.path(), "tmpfs", MountFlags::empty(), None).unwrap();
        fs::write(&file, "").unwrap();
        file.exists()
    });
    assert!(is_there.unwrap() && !file.exists());
}

#[test]
fn a_user_namespace_has_the_ids_it_is_given_or_does_not_exist() {
    let map = "0 4294967294 1\n1 1 4294967293\n";
    let namespace = userns::with_ids(map, map).unwrap();
    let own = fs::metadata("/proc/self/ns/user").unwrap();
    assert_ne!(own.ino(), File::from(namespace).metadata().unwrap().ino());
    assert!(userns::with_ids("0 0 1\n0 1 1\n", map).is_err(), "an id twice");
}
