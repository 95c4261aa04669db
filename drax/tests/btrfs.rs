//! Quota groups and subvolumes as the kernel keeps them: on real btrfs filesystems, compared with what the program
//! `btrfs` says. Needs root.

#![allow(clippy::unwrap_used)]

use drax::btrfs::{self, Limit, NestedSubvolume, QuotaMode, QuotaState, Usage};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
const MODES: [QuotaMode; 2] = [QuotaMode::Simple, QuotaMode::Classic];

#[test]
fn quotas_stay_in_the_mode_they_were_first_in() {
    for (first, second) in [(MODES[0], MODES[1]), (MODES[1], MODES[0])] {
        let filesystem = Filesystem::new("mode");
        assert_eq!(btrfs::quota_state(filesystem.open().as_fd()), Ok(None));
        assert_eq!(btrfs::enable_quota(filesystem.open().as_fd(), first), Ok(first));
        assert_eq!(btrfs::enable_quota(filesystem.open().as_fd(), second), Ok(first));
        let state = QuotaState { mode: first, is_consistent: true };
        assert_eq!(btrfs::quota_state(filesystem.open().as_fd()), Ok(Some(state)));
    }
}

#[test]
fn data_that_was_there_first_is_counted_when_classic_quotas_are_on() {
    let filesystem = Filesystem::new("rescan");
    let base = filesystem.subvolume("base");
    write(&base.join("file"), 5 * MIB).unwrap();
    for n in 0..2000 {
        fs::write(base.join(n.to_string()), "x").unwrap();
    }
    btrfs::enable_quota(filesystem.open().as_fd(), QuotaMode::Classic).unwrap();

    btrfs::sync(filesystem.open().as_fd()).unwrap();
    let usage = usage(&base);
    assert!(usage.referenced > 5 * MIB && usage.exclusive == usage.referenced, "{usage:?}");
    assert_eq!((usage.referenced, usage.exclusive), filesystem.shown(&base));
}

#[test]
fn usage_and_limit_are_those_that_btrfs_shows() {
    for mode in MODES {
        let filesystem = Filesystem::with_quota("usage", mode);
        let base = filesystem.subvolume("base");
        write(&base.join("file"), 5 * MIB).unwrap();
        let image = filesystem.snapshot(&base, "image");
        let limit = Limit { referenced: Some(40 * MIB), exclusive: Some(30 * MIB) };
        limit_to(&image, limit);
        write(&image.join("own"), 3 * MIB).unwrap();

        btrfs::sync(open(&image).as_fd()).unwrap();
        let usage = usage(&image);
        assert_eq!((usage.referenced, usage.exclusive), filesystem.shown(&image));
        let own = 3 * MIB..3 * MIB + 128 * 1024;
        assert!(own.contains(&usage.exclusive), "{mode:?} {usage:?}");
        let layers = if mode == QuotaMode::Classic { 5 * MIB } else { 0 };
        assert!(own.contains(&(usage.referenced - layers)), "{mode:?} {usage:?}");
        assert_eq!(usage.limit, limit);
        let shown = succeed("btrfs", &["qgroup", "show", "--raw", "-re", "-F", image.to_str().unwrap()]);
        assert!(shown.contains(&format!(" {} ", 40 * MIB)) && shown.contains(&format!(" {} ", 30 * MIB)), "{shown}");
    }
}

#[test]
fn a_write_past_either_limit_fails_and_one_without_a_limit_does_not() {
    for mode in MODES {
        let filesystem = Filesystem::with_quota("limit", mode);
        let base = filesystem.subvolume("base");
        write(&base.join("file"), 5 * MIB).unwrap();
        let layers = if mode == QuotaMode::Classic { 5 * MIB } else { 0 };
        let by_referenced = Limit { referenced: Some(layers + 4 * MIB), exclusive: None };
        let by_exclusive = Limit { referenced: None, exclusive: Some(4 * MIB) };
        for (name, limit) in [("referenced", by_referenced), ("exclusive", by_exclusive)] {
            let image = filesystem.snapshot(&base, name);
            limit_to(&image, limit);
            write(&image.join("fits"), MIB).unwrap();
            let error = write(&image.join("does-not"), 8 * MIB).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EDQUOT), "{mode:?} {name}");
        }
        let free = filesystem.snapshot(&base, "free");
        write(&free.join("own"), 12 * MIB).unwrap();
    }
}

#[test]
fn a_limit_is_taken_off_and_replaced() {
    for mode in MODES {
        let filesystem = Filesystem::with_quota("replace", mode);
        let image = filesystem.subvolume("image");
        for limit in [
            Limit { referenced: Some(MIB), exclusive: Some(2 * MIB) },
            Limit { referenced: None, exclusive: Some(0) },
            Limit { referenced: Some(u64::MAX - 1), exclusive: None },
            Limit::default(),
        ] {
            limit_to(&image, limit);
            assert_eq!(usage(&image).limit, limit, "{mode:?}");
        }
        write(&image.join("file"), 4 * MIB).unwrap();
    }
}

/// Any process that may write to a directory can make subvolumes there.
#[test]
fn subvolumes_made_inside_a_limited_one_share_its_limit_with_simple_quotas() {
    let filesystem = Filesystem::with_quota("escape", QuotaMode::Simple);
    let image = filesystem.subvolume("image");
    limit_to(&image, Limit { referenced: None, exclusive: Some(8 * MIB) });
    write(&image.join("own"), 2 * MIB).unwrap();
    let nested = filesystem.subvolume("image/nested");
    write(&nested.join("fits"), 2 * MIB).unwrap();
    let deep = filesystem.snapshot(&nested, "image/nested/deep");
    let error = write(&deep.join("does-not"), 8 * MIB).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EDQUOT));

    btrfs::sync(filesystem.open().as_fd()).unwrap();
    let all = usage(&image);
    assert!((7 * MIB..=8 * MIB).contains(&all.exclusive), "{all:?}");
    assert_eq!(all.limit.exclusive, Some(8 * MIB));
    as_ordinary_user(|| assert_eq!(usage(&image), all));

    let neighbour = filesystem.subvolume("neighbour");
    write(&neighbour.join("file"), 16 * MIB).unwrap();
}

#[test]
fn the_group_of_a_limited_subvolume_goes_at_once_and_the_rest_with_the_subvolumes() {
    let filesystem = Filesystem::with_quota("dissolve", QuotaMode::Simple);
    let base = filesystem.subvolume("base");
    let before = filesystem.count_groups();
    let image = filesystem.snapshot(&base, "image");
    limit_to(&image, Limit { referenced: Some(8 * MIB), exclusive: None });
    limit_to(&image, Limit { referenced: Some(9 * MIB), exclusive: None });
    let nested = filesystem.subvolume("image/nested");
    write(&nested.join("file"), MIB).unwrap();
    assert_eq!(filesystem.count_groups(), before + 3);

    assert_eq!(btrfs::remove_qgroup(filesystem.open().as_fd(), id(&image)), Ok(false));
    assert_eq!(filesystem.count_groups(), before + 2, "the two subvolumes' own");
    filesystem.delete_and_wait(&nested);
    filesystem.delete_and_wait(&image);
    wait_for(|| {
        btrfs::sync(filesystem.open().as_fd()).unwrap();
        filesystem.count_groups() == before
    });
}

/// A process killed between deleting an image and its group leaves the group.
#[test]
fn groups_whose_subvolume_is_gone_are_found_and_can_be_removed() {
    let filesystem = Filesystem::with_quota("stale-group", QuotaMode::Simple);
    let image = filesystem.subvolume("image");
    let before = filesystem.count_groups() - 1;
    limit_to(&image, Limit { referenced: Some(8 * MIB), exclusive: None });
    let id = id(&image);
    filesystem.delete_and_wait(&image);
    assert_eq!(btrfs::stale_qgroups(filesystem.open().as_fd(), 10), Ok(vec![id]));
    assert_eq!(btrfs::remove_qgroup(filesystem.open().as_fd(), id), Ok(true));
    assert_eq!(filesystem.count_groups(), before);
}

/// Where ids are used again, a subvolume may have come since its group was found to be without one.
#[test]
fn a_group_is_not_stale_once_there_is_a_subvolume_of_its_number() {
    for mode in MODES {
        let filesystem = Filesystem::with_quota("no-longer-stale", mode);
        let image = filesystem.subvolume("image");
        limit_to(&image, Limit { referenced: Some(8 * MIB), exclusive: None });
        let limit = || btrfs::usage(open(&image).as_fd()).unwrap().unwrap().limit;
        let (before, groups) = (limit(), filesystem.count_groups());
        assert_eq!(btrfs::remove_stale_qgroup(filesystem.open().as_fd(), id(&image)), Ok(false));
        assert_eq!((limit(), filesystem.count_groups()), (before, groups));
    }
}

#[test]
fn a_full_subvolume_can_be_given_more_through_another_one() {
    for mode in MODES {
        let filesystem = Filesystem::with_quota("full", mode);
        let image = filesystem.subvolume("image");
        limit_to(&image, Limit { referenced: Some(2 * MIB), exclusive: None });
        write(&image.join("file"), 4 * MIB).unwrap_err();
        let limit = Limit { referenced: Some(8 * MIB), exclusive: None };
        btrfs::set_limit(filesystem.open().as_fd(), id(&image), limit).unwrap();
        write(&image.join("file"), 4 * MIB).unwrap();
    }
}

#[test]
fn limits_without_quotas_are_errors_and_usage_is_none() {
    let filesystem = Filesystem::new("off");
    let image = filesystem.subvolume("image");
    let error = btrfs::set_limit(filesystem.open().as_fd(), id(&image), Limit::default()).unwrap_err();
    assert_eq!(error.errno(), libc::ENOTCONN);
    assert_eq!(btrfs::usage(open(&image).as_fd()), Ok(None));
    assert_eq!(btrfs::stale_qgroups(open(&image).as_fd(), 10), Ok(vec![]));
    assert_eq!(btrfs::remove_qgroup(open(&image).as_fd(), 300), Ok(true));
}

#[test]
fn quotas_that_were_switched_off_are_off() {
    for mode in MODES {
        let filesystem = Filesystem::with_quota("disabled", mode);
        let image = filesystem.subvolume("image");
        succeed("btrfs", &["quota", "disable", filesystem.path.to_str().unwrap()]);
        assert_eq!(btrfs::quota_state(open(&image).as_fd()), Ok(None));
        assert_eq!(btrfs::usage(open(&image).as_fd()), Ok(None));
        as_ordinary_user(|| assert_eq!(btrfs::quota_state(open(&image).as_fd()), Ok(None)));
    }
}

#[test]
fn an_ordinary_user_sees_what_root_sees() {
    for mode in MODES {
        let filesystem = Filesystem::with_quota("user", mode);
        let base = filesystem.subvolume("base");
        write(&base.join("file"), MIB).unwrap();
        let image = filesystem.snapshot(&base, "image");
        let limit = Limit { referenced: Some(40 * MIB), exclusive: None };
        limit_to(&image, limit);
        write(&image.join("own"), MIB).unwrap();
        btrfs::sync(open(&image).as_fd()).unwrap();
        let (state, usage) = (btrfs::quota_state(open(&image).as_fd()), btrfs::usage(open(&image).as_fd()));
        let id = btrfs::subvolume_id(open(&image).as_fd());
        assert_eq!(usage.unwrap().unwrap().limit, limit);

        as_ordinary_user(|| {
            let image = open(&image);
            btrfs::sync(image.as_fd()).unwrap();
            assert_eq!(btrfs::quota_state(image.as_fd()), state);
            assert_eq!(btrfs::usage(image.as_fd()), usage);
            assert_eq!(btrfs::subvolume_id(image.as_fd()), id);
            assert_eq!(btrfs::is_subvolume(image.as_fd()), Ok(true));
            for refused in [
                btrfs::set_limit(image.as_fd(), 300, Limit::default()),
                btrfs::remove_qgroup(image.as_fd(), 300).map(drop),
                btrfs::stale_qgroups(image.as_fd(), 1).map(drop),
                btrfs::nested_subvolume_ids(image.as_fd(), 5).map(drop),
            ] {
                assert_eq!(refused.unwrap_err().errno(), libc::EPERM);
            }
        });
    }
}

#[test]
fn a_subvolume_is_told_from_a_directory_in_one() {
    let filesystem = Filesystem::new("subvolume");
    let image = filesystem.subvolume("image");
    fs::create_dir(image.join("dir")).unwrap();
    fs::write(image.join("file"), "").unwrap();
    let shown = succeed("btrfs", &["inspect-internal", "rootid", image.to_str().unwrap()]);
    for (path, expected) in [(image.clone(), true), (image.join("dir"), false), (image.join("file"), false)] {
        assert_eq!(btrfs::is_subvolume(open(&path).as_fd()), Ok(expected), "{}", path.display());
        assert_eq!(id(&path).to_string(), shown.trim());
    }
    assert_eq!(btrfs::is_subvolume(File::open("/proc").unwrap().as_fd()), Ok(false));
    let error = btrfs::subvolume_id(File::open("/proc").unwrap().as_fd()).unwrap_err();
    assert_eq!(error.to_string(), "looking up the subvolume id: inappropriate ioctl for device");
}

#[test]
fn a_qgroup_stays_while_its_subvolume_exists_and_is_gone_some_time_after() {
    for mode in MODES {
        let filesystem = Filesystem::with_quota("remove", mode);
        let image = filesystem.subvolume("image");
        write(&image.join("file"), MIB).unwrap();
        let id = id(&image);
        let remove = || btrfs::remove_qgroup(filesystem.open().as_fd(), id);
        assert_eq!(remove(), Ok(false));
        assert_eq!(btrfs::stale_qgroups(filesystem.open().as_fd(), 10), Ok(vec![]));
        filesystem.delete(&image);
        wait_for(|| {
            btrfs::sync(filesystem.open().as_fd()).unwrap();
            remove().unwrap()
        });
        assert_eq!(remove(), Ok(true));
        assert_eq!(filesystem.qgroups(), [5]);
    }
}

#[test]
fn qgroups_that_the_kernel_leaves_are_found_and_can_be_removed() {
    let filesystem = Filesystem::with_quota("stale", QuotaMode::Simple);
    let fs = filesystem.open();
    let base = filesystem.subvolume("base");
    write(&base.join("file"), MIB).unwrap();
    btrfs::sync(fs.as_fd()).unwrap();
    let image = filesystem.snapshot(&base, "image");
    let id = id(&base);
    assert_eq!(btrfs::stale_qgroups(fs.as_fd(), 10), Ok(vec![]));

    // The image still refers to what was written in `base`.
    filesystem.delete_and_wait(&base);
    assert_eq!(btrfs::stale_qgroups(fs.as_fd(), 10), Ok(vec![id]));
    assert_eq!(btrfs::remove_qgroup(fs.as_fd(), id), Ok(false));
    filesystem.delete_and_wait(&image);
    assert_eq!(btrfs::stale_qgroups(fs.as_fd(), 10), Ok(vec![id]));
    assert_eq!(btrfs::remove_qgroup(fs.as_fd(), id), Ok(true));
    assert_eq!(btrfs::stale_qgroups(fs.as_fd(), 10), Ok(vec![]));
}

#[test]
fn no_more_stale_qgroups_are_returned_than_asked_for() {
    let filesystem = Filesystem::with_quota("stale-many", QuotaMode::Simple);
    for n in 0..300 {
        filesystem.subvolume(&n.to_string());
    }
    // Each layer's data is kept by the one above it.
    let mut layers = vec![filesystem.subvolume("layer-0")];
    for n in 1..5 {
        fs::write(layers[n - 1].join(n.to_string()), vec![7; 64 << 10]).unwrap();
        layers.push(filesystem.snapshot(&layers[n - 1], &format!("layer-{n}")));
    }
    let ids: Vec<u64> = layers.iter().map(|layer| id(layer)).collect();
    for layer in &layers[..4] {
        filesystem.delete_and_wait(layer);
    }
    let stale = |most| btrfs::stale_qgroups(filesystem.open().as_fd(), most).unwrap();
    assert_eq!(stale(3), ids[..3]);
    assert_eq!(stale(1000), ids[..4]);
}

#[test]
fn nested_subvolumes_come_before_their_parents() {
    let filesystem = Filesystem::new("nested");
    let image = filesystem.subvolume("image");
    fs::create_dir_all(image.join("a/b")).unwrap();
    let names = ["a/b/one", "a/b/one/two", "top", "a/b/one/two/three"];
    let ids: Vec<u64> = names
        .iter()
        .map(|name| btrfs::subvolume_id(open(&filesystem.subvolume(&format!("image/{name}"))).as_fd()).unwrap())
        .collect();
    filesystem.snapshot(&image.join("a"), "elsewhere-is-none-of-it");

    let nested = |at: usize| NestedSubvolume { id: ids[at], path: names[at].into() };
    let found = btrfs::nested_subvolumes(open(&image).as_fd()).unwrap();
    assert_eq!(found, [nested(3), nested(1), nested(0), nested(2)]);

    let id = id(&image);
    let found = btrfs::nested_subvolume_ids(filesystem.open().as_fd(), id).unwrap();
    let place = |id: u64| found.iter().position(|found| *found == id).unwrap();
    assert_eq!(found.len(), 4);
    assert!(place(ids[3]) < place(ids[1]) && place(ids[1]) < place(ids[0]));
}

#[test]
fn hundreds_of_nested_subvolumes_are_all_found() {
    let filesystem = Filesystem::new("many");
    let image = filesystem.subvolume("image");
    for n in 0..600 {
        filesystem.subvolume(&format!("image/{n}"));
    }
    let id = id(&image);
    assert_eq!(btrfs::nested_subvolumes(open(&image).as_fd()).unwrap().len(), 600);
    assert_eq!(btrfs::nested_subvolume_ids(filesystem.open().as_fd(), id).unwrap().len(), 600);
}

#[test]
fn subvolumes_out_of_a_user_s_reach_are_an_error_to_that_user() {
    let filesystem = Filesystem::new("reach");
    let image = filesystem.subvolume("image");
    fs::create_dir(image.join("private")).unwrap();
    filesystem.subvolume("image/private/nested");
    fs::set_permissions(image.join("private"), fs::Permissions::from_mode(0o700)).unwrap();
    as_ordinary_user(|| {
        let error = btrfs::nested_subvolumes(open(&image).as_fd()).unwrap_err();
        assert_eq!(error.errno(), libc::EACCES);
    });
}

/// A filesystem of a test's own, gone when dropped.
struct Filesystem {
    dir: PathBuf,
    path: PathBuf,
}

impl Filesystem {
    fn new(name: &str) -> Self {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("drax-btrfs-{name}-{}-{count}", std::process::id()));
        let filesystem = Self { path: dir.join("mount"), dir };
        fs::create_dir_all(&filesystem.path).unwrap();
        let file = filesystem.dir.join("backing-store");
        File::create(&file).unwrap().set_len(512 * MIB).unwrap();
        succeed("mkfs.btrfs", &["-q", file.to_str().unwrap()]);
        succeed("mount", &["-o", "loop", file.to_str().unwrap(), filesystem.path.to_str().unwrap()]);
        filesystem
    }

    fn with_quota(name: &str, mode: QuotaMode) -> Self {
        let filesystem = Self::new(name);
        assert_eq!(btrfs::enable_quota(filesystem.open().as_fd(), mode), Ok(mode));
        filesystem
    }

    fn open(&self) -> File {
        open(&self.path)
    }

    fn subvolume(&self, name: &str) -> PathBuf {
        let path = self.path.join(name);
        succeed("btrfs", &["subvolume", "create", path.to_str().unwrap()]);
        path
    }

    fn snapshot(&self, of: &Path, name: &str) -> PathBuf {
        let path = self.path.join(name);
        if btrfs::is_subvolume(open(of).as_fd()).unwrap() {
            succeed("btrfs", &["subvolume", "snapshot", of.to_str().unwrap(), path.to_str().unwrap()]);
        } else {
            self.subvolume(name);
        }
        path
    }

    fn delete(&self, subvolume: &Path) {
        succeed("btrfs", &["subvolume", "delete", subvolume.to_str().unwrap()]);
    }

    /// Returns when the kernel is done with it. Its thread gets to work after each commit.
    fn delete_and_wait(&self, subvolume: &Path) {
        self.delete(subvolume);
        wait_for(|| {
            btrfs::sync(self.open().as_fd()).unwrap();
            succeed("btrfs", &["subvolume", "list", "-d", self.path.to_str().unwrap()]).is_empty()
        });
        btrfs::sync(self.open().as_fd()).unwrap();
    }

    /// Numbers of the subvolumes' quota groups.
    fn qgroups(&self) -> Vec<u64> {
        let shown = succeed("btrfs", &["qgroup", "show", "--raw", self.path.to_str().unwrap()]);
        shown.lines().filter_map(|line| line.split_whitespace().next()?.strip_prefix("0/")?.parse().ok()).collect()
    }

    /// How many quota groups there are, of all levels.
    fn count_groups(&self) -> usize {
        let shown = succeed("btrfs", &["qgroup", "show", "--raw", self.path.to_str().unwrap()]);
        shown.lines().filter(|line| line.split_whitespace().next().is_some_and(|name| name.contains('/'))).count()
    }

    /// Referenced and exclusive bytes of a subvolume.
    fn shown(&self, subvolume: &Path) -> (u64, u64) {
        let shown = succeed("btrfs", &["qgroup", "show", "--raw", "-F", subvolume.to_str().unwrap()]);
        let columns: Vec<&str> = shown.lines().last().unwrap().split_whitespace().collect();
        (columns[1].parse().unwrap(), columns[2].parse().unwrap())
    }
}

impl Drop for Filesystem {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.path).status();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Runs `check` in a thread with the rights of `nobody`.
fn as_ordinary_user(check: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // By the number of the system call, because the C library's function changes all threads.
            // SAFETY: setresuid takes numbers only.
            let result = unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) };
            assert_eq!(result, 0);
            check();
        });
        thread.join().unwrap();
    });
}

fn wait_for(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "still not so after a minute");
        thread::sleep(Duration::from_millis(100));
    }
}

fn open(path: &Path) -> File {
    File::open(path).unwrap()
}

fn id(subvolume: &Path) -> u64 {
    btrfs::subvolume_id(open(subvolume).as_fd()).unwrap()
}

/// Through the parent directory: a subvolume that may take nothing more cannot be told so itself.
fn limit_to(subvolume: &Path, limit: Limit) {
    btrfs::set_limit(open(subvolume.parent().unwrap()).as_fd(), id(subvolume), limit).unwrap();
}

fn usage(subvolume: &Path) -> Usage {
    btrfs::usage(open(subvolume).as_fd()).unwrap().unwrap()
}

fn write(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let chunk = vec![7_u8; 64 << 10];
    for _ in 0..bytes / chunk.len() as u64 {
        file.write_all(&chunk)?;
    }
    file.sync_all()
}

#[track_caller]
fn succeed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}
