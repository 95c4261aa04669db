//! Project quotas as the kernel keeps them: on a real XFS mounted with `pquota`, compared with what `xfs_quota` says.
//!
//! Needs root and a kernel with XFS quotas, so plain `cargo test` leaves it out (`test = false`); `hack/test` runs it.

#![allow(clippy::unwrap_used)]

use drax::xfs::{self, QuotaSupport, Usage};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

const MIB: u64 = 1 << 20;

#[test]
fn a_write_past_the_limit_fails_and_one_within_it_does_not() {
    let store = Store::new("limit", "pquota");
    let image = store.image("x");
    store.limit(&image, 2 * MIB);

    write(&image.join("fits"), MIB).unwrap();
    let error = write(&image.join("does-not"), 2 * MIB).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    write(&store.path.join("images/elsewhere"), 4 * MIB).unwrap();
}

#[test]
fn subdirectories_inherit_the_project() {
    let store = Store::new("inherit", "pquota");
    let image = store.image("x");
    let id = store.allocate(&image);
    fs::create_dir_all(image.join("diff/a/b")).unwrap();
    assert_eq!(xfs::project_id(File::open(image.join("diff/a/b")).unwrap().as_fd()), Ok(id));
}

#[test]
fn usage_and_limit_are_those_that_xfs_quota_reports() {
    let store = Store::new("usage", "pquota");
    let image = store.image("x");
    let id = store.limit(&image, 10 * MIB);
    write(&image.join("file"), 3 * MIB).unwrap();

    let usage = xfs::usage(store.open().as_fd(), id).unwrap();
    assert!((3 * MIB..=3 * MIB + 8192).contains(&usage.used_bytes), "{usage:?}");
    assert_eq!(usage.limit.bytes, 10 * MIB);
    let command = format!("quota -p -b -N {id}");
    let report = run("xfs_quota", &["-x", "-c", &command, store.path.to_str().unwrap()]);
    let kib: Vec<u64> = report.split_whitespace().filter_map(|word| word.parse().ok()).take(3).collect();
    assert_eq!(kib, [usage.used_bytes / 1024, usage.limit.bytes / 1024, usage.limit.bytes / 1024], "{report}");
}

#[test]
fn odd_limits_are_rounded_up_never_down() {
    let store = Store::new("odd", "pquota");
    let id = store.limit(&store.image("x"), MIB + 1);
    let limit = xfs::usage(store.open().as_fd(), id).unwrap().limit.bytes;
    assert!((MIB + 1..=MIB + 4096).contains(&limit), "{limit}");
}

#[test]
fn a_project_nobody_has_used_occupies_nothing() {
    let store = Store::new("unknown", "pquota");
    assert_eq!(xfs::usage(store.open().as_fd(), 4_000_000), Ok(Usage::default()));
}

#[test]
fn support_tells_whether_the_mount_enforces_limits() {
    assert_eq!(xfs::support(Store::new("on", "pquota").open().as_fd()), Ok(QuotaSupport::Enforced));
    assert_eq!(xfs::support(Store::new("off", "noquota").open().as_fd()), Ok(QuotaSupport::NotMounted));
    assert_eq!(xfs::support(Store::new("user", "uquota").open().as_fd()), Ok(QuotaSupport::NotMounted));
    assert_eq!(xfs::support(Store::new("lax", "pqnoenforce").open().as_fd()), Ok(QuotaSupport::NotMounted));
}

#[test]
fn concurrent_allocations_never_share_a_project() {
    const THREADS: usize = 8;
    const EACH: usize = 40;
    let store = Store::new("concurrent", "pquota");
    let ids: Vec<u32> = thread::scope(|scope| {
        let allocators: Vec<_> = (0..THREADS)
            .map(|thread| {
                let store = &store;
                scope.spawn(move || {
                    (0..EACH).map(|n| store.allocate(&store.image(&format!("{thread}-{n}")))).collect::<Vec<_>>()
                })
            })
            .collect();
        allocators.into_iter().flat_map(|allocator| allocator.join().unwrap()).collect()
    });

    let distinct: BTreeSet<u32> = ids.iter().copied().collect();
    assert_eq!(distinct.len(), THREADS * EACH);
    assert!(distinct.iter().all(|id| *id >= 2 && store.reservation(*id).is_dir()));
}

#[test]
fn a_number_that_is_taken_is_not_given_out_again() {
    let store = Store::new("taken", "pquota");
    // One draw in sixteen hits one of these, so fifty allocations meet a few of them.
    let taken = 2..=3000;
    for id in taken.clone() {
        fs::create_dir(store.reservation(id)).unwrap();
    }
    for n in 0..50 {
        let image = store.image(&n.to_string());
        let id = store.allocate(&image);
        assert!(!taken.contains(&id));
        assert_eq!(xfs::project_id(File::open(&image).unwrap().as_fd()), Ok(id));
    }
}

#[test]
fn a_number_that_another_store_of_the_filesystem_uses_is_not_given_out() {
    let store = Store::new("shared", "pquota");
    // As if another store had given out nearly all the numbers that are drawn first.
    let elsewhere = store.path.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let taken: BTreeSet<u32> = (2..=1000).collect();
    for id in &taken {
        let image = elsewhere.join(id.to_string());
        fs::create_dir(&image).unwrap();
        xfs::set_project_id(File::open(&image).unwrap().as_fd(), *id).unwrap();
        xfs::set_limit(store.open().as_fd(), *id, xfs::Limit::of_bytes(7 * MIB)).unwrap();
    }
    for n in 0..20 {
        let id = store.limit(&store.image(&n.to_string()), 3 * MIB);
        assert!(!taken.contains(&id), "{id}");
    }
    for id in taken {
        assert_eq!(xfs::usage(store.open().as_fd(), id).unwrap().limit.bytes, 7 * MIB);
    }
}

#[test]
fn stores_of_one_filesystem_that_allocate_at_once_never_share_a_project() {
    const STORES: usize = 6;
    let filesystem = Store::new("stores", "pquota");
    let ids: Vec<u32> = thread::scope(|scope| {
        let stores: Vec<_> = (0..STORES)
            .map(|n| {
                let store = filesystem.path.join(format!("store-{n}"));
                fs::create_dir_all(store.join("projectids")).unwrap();
                scope.spawn(move || {
                    let allocate = |n: usize| {
                        let image = store.join(n.to_string());
                        fs::create_dir(&image).unwrap();
                        let projectids = File::open(store.join("projectids")).unwrap();
                        xfs::allocate_project(
                            File::open(&image).unwrap().as_fd(),
                            projectids.as_fd(),
                            xfs::Limit::of_bytes(MIB),
                        )
                        .unwrap()
                    };
                    (0..60).map(allocate).collect::<Vec<_>>()
                })
            })
            .collect();
        stores.into_iter().flat_map(|store| store.join().unwrap()).collect()
    });
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), STORES * 60);
}

#[test]
fn a_limit_that_was_left_on_a_number_means_nothing() {
    let store = Store::new("left", "pquota");
    for id in 2..=1026 {
        xfs::set_limit(store.open().as_fd(), id, xfs::Limit::of_bytes(7 * MIB)).unwrap();
    }
    let image = store.image("x");
    let id = store.limit(&image, 3 * MIB);
    assert!(id <= 1026);
    assert_eq!(xfs::usage(store.open().as_fd(), id).unwrap().limit.bytes, 3 * MIB);
}

#[test]
fn release_gives_back_the_number_and_takes_off_the_limit() {
    let store = Store::new("release", "pquota");
    let id = store.limit(&store.image("x"), 5 * MIB);
    for _ in 0..2 {
        xfs::release_project(store.project_ids().as_fd(), id).unwrap();
    }
    assert!(!store.reservation(id).exists());
    assert_eq!(xfs::usage(store.open().as_fd(), id).unwrap().limit.bytes, 0);
}

#[test]
fn in_somebody_else_s_store_release_leaves_the_limit() {
    let store = Store::new("release-other", "pquota");
    let id = store.limit(&store.image("x"), 5 * MIB);
    chown(store.path.join("projectids"), Some(1000), None).unwrap();
    xfs::release_project(store.project_ids().as_fd(), id).unwrap();
    assert!(!store.reservation(id).exists());
    assert_eq!(xfs::usage(store.open().as_fd(), id).unwrap().limit.bytes, 5 * MIB);
}

#[test]
fn reclaiming_takes_off_the_limit_unless_the_number_is_borne_elsewhere() {
    let store = Store::new("reclaim", "pquota");
    let (unborne, elsewhere) = (7, store.limit(&store.image("x"), 5 * MIB));
    fs::create_dir(store.reservation(unborne)).unwrap();
    xfs::set_limit(store.open().as_fd(), unborne, xfs::Limit::of_bytes(5 * MIB)).unwrap();
    for (id, left) in [(unborne, 0), (elsewhere, 5 * MIB)] {
        for _ in 0..2 {
            xfs::reclaim_project(store.project_ids().as_fd(), id).unwrap();
        }
        assert!(!store.reservation(id).exists());
        assert_eq!(xfs::usage(store.open().as_fd(), id).unwrap().limit.bytes, left);
    }
}

#[test]
fn release_works_where_quotas_have_been_switched_off() {
    let store = Store::new("release-off", "noquota");
    for release in [xfs::release_project, xfs::reclaim_project] {
        fs::create_dir(store.reservation(7)).unwrap();
        release(store.project_ids().as_fd(), 7).unwrap();
        assert!(!store.reservation(7).exists());
    }
}

#[test]
fn a_limit_without_quotas_is_an_error_and_leaves_nothing() {
    let store = Store::new("limit-off", "noquota");
    let image = File::open(store.image("x")).unwrap();
    let error =
        xfs::allocate_project(image.as_fd(), store.project_ids().as_fd(), xfs::Limit::of_bytes(MIB)).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("setting quota limit for projid "), "{text}");
    assert!(text.ends_with(": function not implemented"), "{text}");
    assert_eq!(xfs::project_id(image.as_fd()), Ok(0));
    assert_eq!(fs::read_dir(store.path.join("projectids")).unwrap().count(), 0);
}

#[test]
fn root_may_change_a_limit_in_a_store_of_root_s() {
    let store = Store::new("helper-again", "pquota");
    let image = store.image("x");
    for bytes in ["1048576", "2097152"] {
        let limit = helper(&["limit", "--disk-limit-bytes", bytes, "--image-path", image.to_str().unwrap()]);
        assert!(limit.status.success(), "{limit:?}");
    }
    let id = xfs::project_id(File::open(&image).unwrap().as_fd()).unwrap();
    assert_eq!(xfs::usage(store.open().as_fd(), id).unwrap().limit.bytes, 2 * MIB);
    assert_eq!(fs::read_dir(store.path.join("projectids")).unwrap().count(), 1);
}

/// A filesystem with the directories of a store, gone when dropped.
struct Store {
    dir: PathBuf,
    path: PathBuf,
}

impl Store {
    fn new(name: &str, options: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("drax-quota-{name}-{}", std::process::id()));
        let store = Self { path: dir.join("store"), dir };
        fs::create_dir_all(&store.path).unwrap();
        let file = store.dir.join("backing-store");
        File::create(&file).unwrap().set_len(400 * MIB).unwrap();
        run("mkfs.xfs", &["-q", file.to_str().unwrap()]);
        let options = format!("loop,{options}");
        run("mount", &["-t", "xfs", "-o", &options, file.to_str().unwrap(), store.path.to_str().unwrap()]);
        for name in ["images", "projectids", "locks"] {
            fs::create_dir(store.path.join(name)).unwrap();
        }
        store
    }

    fn open(&self) -> File {
        File::open(&self.path).unwrap()
    }

    fn project_ids(&self) -> File {
        File::open(self.path.join("projectids")).unwrap()
    }

    fn reservation(&self, id: u32) -> PathBuf {
        self.path.join("projectids").join(id.to_string())
    }

    fn image(&self, id: &str) -> PathBuf {
        let path = self.path.join("images").join(id);
        fs::create_dir(&path).unwrap();
        path
    }

    fn allocate(&self, image: &Path) -> u32 {
        self.limit(image, 1024 * MIB)
    }

    fn limit(&self, image: &Path, bytes: u64) -> u32 {
        xfs::allocate_project(
            File::open(image).unwrap().as_fd(),
            self.project_ids().as_fd(),
            xfs::Limit::of_bytes(bytes),
        )
        .unwrap()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.path).status();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn helper(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_drax")).args(arguments).output().unwrap()
}

fn write(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let chunk = vec![7_u8; 64 << 10];
    for _ in 0..bytes / chunk.len() as u64 {
        file.write_all(&chunk)?;
    }
    file.sync_all()
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}
