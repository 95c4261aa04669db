//! The life of a BOSH cell, from its first start to the end of its stores.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::{Archive, Cell, Guardian, MIB, Rootfs, Stores, assert_no_loops_below, mount_points_below, names};

/// What the cells of these tests have for stores.
pub(crate) const STORES: Stores = Stores::UnprivilegedAndPrivileged;

/// Workers that guardian has at the same time.
const WORKERS: usize = 5;

/// The archive that containers start from; returns its path.
pub(crate) fn rootfs_archive(cell: &Cell) -> String {
    let archive = Archive::new()
        .directory("etc", 0o755)
        .file("etc/greeting", 0o644, b"hello")
        .directory("home", 0o755)
        .directory("home/vcap", 0o755)
        .owner(2000, 2000)
        .file("home/vcap/profile", 0o600, &[7; 100_000]);
    let path = cell.path("rootfs.tar");
    if !path.exists() {
        fs::write(&path, archive.bytes()).unwrap();
    }
    path.display().to_string()
}

fn handle(number: usize) -> String {
    format!("executor-healthcheck-{number:08}-4f50-6172-8394-a5b6c7d8e9f0")
}

/// Does `work` for each number, by several workers at once.
fn side_by_side(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(number) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < count) {
                    work(number);
                }
            });
        }
    });
}

/// Starts a container: its root has the image's files, and takes what it writes.
fn start_container(guardian: &Guardian, cell: &Cell, image: &str, number: usize, limit: u64) {
    let rootfs = Rootfs { image, privileged: number % 2 == 1, limit, exclusive: number % 4 < 2, ..Rootfs::default() };
    let created = guardian.create(rootfs, &handle(number)).unwrap();
    assert_eq!(created.root, cell.stores()[number % 2].join("images").join(handle(number)).join("rootfs"));
    assert!(created.mounts.is_empty() && created.env.is_empty(), "{created:?}");
    assert_eq!(fs::read_to_string(created.root.join("etc/greeting")).unwrap(), "hello");
    // A container's root is nobody on the machine, unless it is a privileged one.
    let is_mapped = STORES == Stores::UnprivilegedAndPrivileged && !rootfs.privileged;
    let owner = |path: &str| fs::metadata(created.root.join(path)).unwrap().uid();
    assert_eq!((owner("etc/greeting"), owner("home/vcap/profile")), (if is_mapped { 4_294_967_294 } else { 0 }, 2000));
    fs::write(created.root.join("mine"), handle(number)).unwrap();
}

/// Whether a container is as it was left.
#[track_caller]
fn assert_runs(guardian: &Guardian, cell: &Cell, number: usize) {
    let root = cell.stores()[number % 2].join("images").join(handle(number)).join("rootfs");
    assert_eq!(fs::read_to_string(root.join("mine")).unwrap(), handle(number));
    let usage = guardian.metrics(&handle(number)).unwrap();
    assert!(usage.total >= 100_005 && usage.total >= usage.exclusive, "{usage:?}");
}

fn size_of_filesystem(store: &Path) -> u64 {
    let status = rustix::fs::statvfs(store).unwrap();
    status.f_blocks * status.f_frsize
}

/// Starts, containers, a start with them running, a deployment with a larger disk, one that finds less room, a reboot,
/// draining, and the end of both stores.
pub(crate) fn life_cycle(cell: &Cell, containers: usize) {
    let guardian = cell.guardian();
    let limit = if cell.has_quotas() { 10 * MIB } else { 0 };
    let directory = cell.path("store");

    cell.rewrite(400 * MIB, 1);
    cell.start();
    assert_eq!(guardian.capacity(), Ok(400 * MIB));
    let image = rootfs_archive(cell);
    side_by_side(containers, |number| start_container(&guardian, cell, &image, number, limit));
    side_by_side(containers, |number| assert_runs(&guardian, cell, number));
    assert_eq!(mount_points_below(&directory).len(), containers + 2);

    // Garden is restarted; its containers go on.
    let mounts: BTreeSet<_> = mount_points_below(&directory).into_iter().collect();
    cell.start();
    assert_eq!(mount_points_below(&directory).into_iter().collect::<BTreeSet<_>>(), mounts);
    (0..containers).for_each(|number| assert_runs(&guardian, cell, number));

    // Deployed anew: onto a larger disk, and where others have taken some of it.
    cell.rewrite(900 * MIB, 1);
    cell.start();
    assert_eq!(guardian.capacity(), Ok(900 * MIB));
    let sizes = cell.stores().map(|store| size_of_filesystem(&store));
    assert!(sizes.iter().all(|size| *size > 800 * MIB), "{sizes:?}");
    cell.rewrite(300 * MIB, 1);
    cell.start();
    assert_eq!(cell.stores().map(|store| size_of_filesystem(&store)), sizes, "nothing is made smaller");
    side_by_side(containers, |number| assert_runs(&guardian, cell, number));

    // The machine is booted anew. Garden starts with what the stores still have, and replaces what it finds.
    let volumes = cell.stores().map(|store| names(&store.join("volumes")));
    cell.power_off();
    assert!(mount_points_below(&directory).is_empty());
    assert_no_loops_below(&directory);
    cell.start();
    assert_eq!(cell.stores().map(|store| names(&store.join("volumes"))), volumes);
    side_by_side(containers / 2, |number| {
        guardian.destroy(&handle(number)).unwrap();
        start_container(&guardian, cell, &image, number, limit);
    });

    // Drained, with every delete said twice.
    side_by_side(containers, |number| {
        guardian.destroy(&handle(number)).unwrap();
        guardian.destroy(&handle(number)).unwrap();
        guardian.metrics(&handle(number)).unwrap_err();
    });
    for store in cell.stores() {
        assert!(names(&store.join("images")).is_empty() && names(&store.join("tmp")).is_empty());
        cell.grootfs_says(&store, "clean", "clean completed\n");
        assert!(names(&store.join("volumes")).is_empty());
        assert!(names(&store.join("projectids")).is_empty(), "a project id has leaked");
        cell.grootfs(&store, ["delete-store"]);
        assert!(!store.exists());
        assert!(fs::metadata(store.with_extension("backing-store")).unwrap().len() == 900 * MIB);
    }
    assert!(mount_points_below(&directory).is_empty());
    assert_no_loops_below(&directory);
    let log = guardian.log();
    assert!(log.iter().all(|entry| entry.level == "info" || entry.level == "error"), "no more than was asked for");
    assert!(log.iter().any(|entry| entry.message == "grootfs.create.groot-creating.image-pulling.starting"));
    assert!(fs::read_to_string(cell.path("log/groot.clean.log")).unwrap().contains("groot-cleaning"));
}
