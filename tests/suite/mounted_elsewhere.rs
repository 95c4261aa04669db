//! A store that is unmounted here, and still mounted in another mount namespace.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{TempStore, loops_below, run, small_image, unmount_below, wrapped};

/// A mount namespace with a copy of all mounts, as containers have them: what is unmounted here stays mounted there.
struct OtherNamespace(Child);

impl OtherNamespace {
    fn new() -> Self {
        let mut unshare = Command::new("unshare");
        let script = "echo ready; exec sleep infinity";
        let mut child =
            unshare.args(["--mount", "sh", "-c", script]).stdout(Stdio::piped()).spawn().expect("unshare runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        OtherNamespace(child)
    }

    /// What is at a path there.
    fn at(&self, path: &Path) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.0.id())).join(path.strip_prefix("/").unwrap())
    }
}

impl Drop for OtherNamespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// From a second device, btrfs would take it for another filesystem, and both would write to one file; XFS would refuse.
#[test]
fn a_store_that_is_still_mounted_elsewhere_is_mounted_from_the_same_device() {
    let store = TempStore::new();
    let elsewhere = OtherNamespace::new();
    unmount_below(store.path());
    store.ok(["init-store", "--without-quota"]);
    let devices = loops_below(store.path().parent().unwrap());
    assert_eq!(devices.len(), 1, "{devices:?}");
    let file = store.path().join("tmp/file");
    fs::write(&file, "from here").unwrap();
    assert_eq!(fs::read_to_string(elsewhere.at(&file)).unwrap(), "from here");
    fs::remove_file(&file).unwrap();
    store.create(&small_image(&store.beside("image")), "x");
}

/// The path that the kernel shows for a loop device's file is the one in another mount namespace, of another file.
#[test]
fn a_store_at_the_same_path_elsewhere_is_another_store() {
    let store = TempStore::new();
    store.create(&small_image(&store.beside("image")), "x");
    let script = "mount -t tmpfs none \"$1\" && shift &&
        \"$@\" init-store --without-quota --store-size-bytes 536870912 && \"$@\" list";
    let directory = store.path().parent().unwrap().to_str().unwrap();
    let elsewhere = ["unshare", "--mount", "sh", "-c", script, "sh", directory];
    let listed = run(&mut wrapped(&elsewhere, &store.command(&[] as &[&str]))).success();
    assert_eq!(listed, "Store empty\n");
}

/// By whatever name the file is called.
#[test]
fn a_file_is_known_by_another_name_of_it() {
    let store = TempStore::new();
    let _elsewhere = OtherNamespace::new();
    unmount_below(store.path());
    let renamed = store.beside("renamed");
    fs::hard_link(store.backing_file(), &renamed).unwrap();
    fs::remove_file(store.backing_file()).unwrap();
    fs::hard_link(&renamed, store.backing_file()).unwrap();
    store.ok(["init-store", "--without-quota"]);
    let attached = fs::read_dir("/sys/block").unwrap().filter(|device| {
        let file = device.as_ref().unwrap().path().join("loop/backing_file");
        let directory = store.path().parent().unwrap().to_str().unwrap();
        fs::read_to_string(file).is_ok_and(|file| file.starts_with(directory))
    });
    assert_eq!(attached.count(), 1);
}
