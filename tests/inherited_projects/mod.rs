//! XFS stores in which directories hand a project down, as those below a directory with a limit do (volumes of Kubernetes
//! and podman). Images have projects of their own and move all the same.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{
    Archive, Image, Layer, MIB, TempStore, is_full, mounted_filesystem, names, number, run, small_image, succeed, write,
};
use crate::{project, report};

const LIMIT: &str = "10485760";
const PROJECT: u32 = 7;

/// XFS with quotas, and in it a directory that hands down project 7, in which there is a store.
fn below_a_project(disk: &TempStore) -> TempStore {
    let point = mounted_filesystem(disk);
    succeed("umount", [&point]);
    succeed("mount", ["-o", "loop,pquota", disk.beside("disk").to_str().unwrap(), point.to_str().unwrap()]);
    let data = point.join("data");
    fs::create_dir(&data).unwrap();
    let quota = |command: &str| succeed("xfs_quota", ["-x", "-c", command, point.to_str().unwrap()]);
    quota(&format!("project -s -p {} {PROJECT}", data.display()));
    quota(&format!("limit -p bhard=500m {PROJECT}"));
    let store = TempStore::at(data.join("store"));
    store.ok(["init-store"]);
    store
}

fn hand_down(directory: &Path, project: u32) {
    succeed("chattr", ["-p", &project.to_string(), "+P", directory.to_str().unwrap()]);
}

fn limited(store: &TempStore, url: &str, id: &str) -> PathBuf {
    store.ok(["create", "--disk-limit-size-bytes", LIMIT, "--exclude-image-from-quota", url, id]);
    store.rootfs(id)
}

#[test]
fn every_command_works_below_a_directory_with_a_project() {
    let disk = TempStore::uninitialised();
    let store = below_a_project(&disk);
    let url = small_image(&store.beside("image"));
    let rootfs = limited(&store, &url, "a");
    assert_ne!(project(&store.image("a")), PROJECT);
    write(&rootfs.join("one"), MIB).unwrap();
    is_full(write(&rootfs.join("twelve"), 12 * MIB));
    fs::remove_file(rootfs.join("twelve")).unwrap();
    assert!((MIB..2 * MIB).contains(&number(&store.stats("a"), "exclusive_bytes_used")), "{}", store.stats("a"));
    assert_eq!(number(&store.stats("a"), "quota_size_bytes"), 10 * MIB);
    // One without a limit of its own counts for the directory's project, whose numbers are not the image's.
    write(&store.create(&url, "b").join("three"), 3 * MIB).unwrap();
    let counted = report(&disk.beside("mnt"))[&PROJECT].0;
    assert!(counted > 3 * MIB, "{counted}");
    assert_eq!(number(&store.stats("b"), "exclusive_bytes_used"), 0);
    assert_eq!(number(&store.stats("b"), "quota_size_bytes"), 0);

    let other = Layer::new(Archive::new().file("other", 0o644, b"other").bytes());
    store.create(&Image::new().layer(other).write(&store.beside("other"), "latest"), "c");
    for id in ["a", "b", "c"] {
        assert_eq!(store.ok(["delete", id]), format!("Image {id} deleted\n"));
    }
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
    assert_eq!(names(&store.path().join("projectids")), [""; 0]);
    store.ok(["clean"]);
    assert!(store.volumes().is_empty());
    assert_eq!(report(&disk.beside("mnt"))[&PROJECT].1, 500 * MIB, "the directory's own limit stays");
    limited(&store, &url, "d");
    store.ok(["delete-store"]);
    assert!(!store.path().exists());
    let left = report(&disk.beside("mnt"));
    assert!(left.iter().all(|(project, (_, limit))| *project == PROJECT || *limit == 0), "{left:?}");
}

/// As with `chattr -p 9 +P` on two directories of a store that has an image.
#[test]
fn directories_that_hand_a_project_down_later_keep_nothing_from_moving() {
    for directories in [&["images", "tmp"][..], &["tmp"], &["images"], &["meta", "meta/dependencies"], &["volumes"]] {
        let store = TempStore::with_quota();
        let url = small_image(&store.beside("image"));
        limited(&store, &url, "a");
        store.create(&url, "b");
        for directory in directories {
            hand_down(&store.path().join(directory), 9);
        }
        let rootfs = limited(&store, &url, "c");
        is_full(write(&rootfs.join("twelve"), 12 * MIB));
        store.create(&url, "d");
        for id in ["a", "b", "c"] {
            store.ok(["delete", id]);
        }
        assert!(store.leftovers().is_empty(), "{directories:?}: {:?}", store.leftovers());
        assert_eq!(names(&store.path().join("projectids")), [""; 0], "{directories:?}");
        store.ok(["delete", "d"]);
        store.ok(["clean"]);
        assert!(store.volumes().is_empty(), "{directories:?}");
        limited(&store, &url, "e");
        store.ok(["delete-store"]);
        assert!(!store.path().exists(), "{directories:?}");
    }
}

/// A delete that puts the image back leaves its limit and its numbers.
#[test]
fn an_image_that_cannot_be_deleted_keeps_its_limit() {
    let disk = TempStore::uninitialised();
    let store = below_a_project(&disk);
    let rootfs = limited(&store, &small_image(&store.beside("image")), "a");
    let inside = rootfs.join("mounted");
    crate::support::mount(Path::new("tmpfs"), &inside, "tmpfs", "size=1m");
    store.fails(["delete", "a"]);
    assert_eq!(number(&store.stats("a"), "quota_size_bytes"), 10 * MIB);
    store.ok(["clean"]);
    is_full(write(&rootfs.join("twelve"), 12 * MIB));
    run(std::process::Command::new("umount").arg(&inside)).success();
    store.ok(["delete", "a"]);
    assert_eq!(names(&store.path().join("projectids")), [""; 0]);
}
