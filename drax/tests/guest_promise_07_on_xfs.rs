//! Promise 7: the setuid helper trusts nobody. As an ordinary user runs it, with its setuid bit, on XFS.
//!
//! Needs root, to make the users' stores, and a kernel with XFS quotas, so plain `cargo test` leaves it out
//! (`test = false`); `hack/test` runs it.

#![allow(clippy::unwrap_used)]

mod support;

use drax::btrfs::QuotaMode;
use drax::xfs::{self, QuotaSupport};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use support::{ALICE, BOB, Ended, MIB, ROOT, World, end, make_dir, own_file, set_mode, succeed, wait};

/// No quotas of btrfs.
const XFS: Option<QuotaMode> = None;

support::attacks::on!(XFS);

#[test]
fn an_image_is_limited_once() {
    let world = World::new(XFS);
    let image = world.image(ALICE, "x");
    world.limit(ALICE, &image, 5 * MIB).is_done();
    world.refuses("has a project id already", || world.limit(ALICE, &image, 500 * MIB));
    // Not even root may follow where the owner could lead.
    world.refuses("has a project id already", || world.limit(ROOT, &image, 500 * MIB));
    assert_eq!(reservations(&world), [project(&image)]);
}

/// The kernel lets Alice put her directory into the project of Bob's image.
#[test]
fn the_project_of_another_user_s_image_is_not_limited_through_one_s_own() {
    let world = World::new(XFS);
    let (image, bobs) = (world.image(ALICE, "x"), project(&world.image(BOB, "y")));
    let put = |id: u32| as_alice(&world, "xfs_io", ["-c", &format!("chproj {id}"), image.to_str().unwrap()]);
    assert_eq!(put(bobs).code, Some(0));
    assert_eq!(project(&image), bobs);
    world.refuses("has a project id already", || world.limit(ALICE, &image, 500 * MIB));
    // As if it had been given out in her store.
    make_dir(&world.store(ALICE).join(format!("projectids/{bobs}")), ALICE, 0o755);
    world.refuses("has a project id already", || world.limit(ALICE, &image, 500 * MIB));
    assert_eq!(put(0).code, Some(0));

    // And wherever else in her store she puts it: her image is given a number that nobody bears.
    for name in ["images", "projectids", "tmp"] {
        let path = world.store(ALICE).join(name);
        as_alice(&world, "xfs_io", ["-c", &format!("chproj {bobs}"), path.to_str().unwrap()]);
    }
    world.limit(ALICE, &image, 3 * MIB).is_done();
    assert_ne!(project(&image), bobs);
    assert_eq!(world.limit_of(&world.image(BOB, "y")), 7 * MIB);
}

#[test]
fn numbers_that_are_borne_are_not_given_out_whoever_bears_them() {
    let world = World::new(XFS);
    // Alice squats on all numbers that a small store draws from first.
    let squat = world.home(ALICE).join("squat");
    make_dir(&squat, ALICE, 0o755);
    for id in 2..=1100 {
        let path = squat.join(id.to_string());
        fs::create_dir(&path).unwrap();
        xfs::set_project_id(File::open(&path).unwrap().as_fd(), id).unwrap();
    }
    for n in 0..5 {
        let image = world.make_image(BOB, &n.to_string());
        world.limit(BOB, &image, 3 * MIB).is_done();
        assert!(project(&image) > 1100);
    }
}

#[test]
fn many_at_once_have_numbers_and_limits_of_their_own() {
    let world = World::new(XFS);
    let images: Vec<_> =
        (0..8).map(|n| world.make_image(if n % 2 == 0 { ALICE } else { BOB }, &n.to_string())).collect();
    let children = images.iter().enumerate().map(|(n, image)| {
        let user = if n % 2 == 0 { ALICE } else { BOB };
        let mut command = world.command(user, world.limit_arguments(image, &((n as u64 + 1) * MIB).to_string()));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    for child in children.collect::<Vec<_>>() {
        wait(child).is_done();
    }
    assert_eq!(images.iter().map(|image| project(image)).collect::<BTreeSet<_>>().len(), 8);
    for (n, image) in images.iter().enumerate() {
        assert_eq!(world.limit_of(image), (n as u64 + 1) * MIB);
    }
}

#[test]
fn limits_below_the_minimum_are_raised_to_it() {
    let world = World::new(XFS);
    for bytes in [0, 1, 262_143] {
        let image = world.make_image(ALICE, &bytes.to_string());
        world.limit(ALICE, &image, bytes).is_done();
        assert_eq!(world.limit_of(&image), 262_144, "{bytes}");
    }
}

#[test]
fn what_is_made_is_the_user_s() {
    let world = World::new(XFS);
    // Whatever the caller has forbidden to everything that it makes.
    let arguments = world.limit_arguments(&world.image(ALICE, "x"), "3145728");
    world.run_through(&["sh", "-c", "umask 0777; exec \"$0\" \"$@\""], arguments).is_done();
    let id = project(&world.image(ALICE, "x"));
    for (path, mode) in [(format!("projectids/{id}"), 0o755), ("locks/global-groot-lock.lock".to_owned(), 0o600)] {
        let metadata = fs::metadata(world.store(ALICE).join(path)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (ALICE.uid, ALICE.uid, mode));
    }
    // Also where it is root who makes it.
    world.limit(ROOT, &world.make_image(BOB, "z"), MIB).is_done();
    assert_eq!(fs::metadata(world.store(BOB).join("locks/global-groot-lock.lock")).unwrap().uid(), BOB.uid);
}

/// Root is not to give away what the owner of the store has put where the lock file belongs.
#[test]
fn root_gives_no_file_away_that_was_there() {
    let world = World::new(XFS);
    let (lock, secret) = (world.store(ALICE).join("locks/global-groot-lock.lock"), world.mount.join("secret"));
    fs::write(&secret, "").unwrap();
    fs::hard_link(&secret, &lock).unwrap();
    world.limit(ROOT, &world.image(ALICE, "x"), MIB).is_done();
    assert_eq!(fs::metadata(&secret).unwrap().uid(), 0);
}

/// A store may lie in a directory that is limited itself.
#[test]
fn a_project_that_an_image_has_from_its_store_is_not_its_own() {
    let world = World::new(XFS);
    let store = File::open(world.store(ALICE)).unwrap();
    xfs::set_limit(store.as_fd(), 77, xfs::Limit::of_bytes(100 * MIB)).unwrap();
    for name in ["", "images", "tmp", "projectids"] {
        xfs::set_project_id(File::open(world.store(ALICE).join(name)).unwrap().as_fd(), 77).unwrap();
    }
    for (user, id) in [(ALICE, "a"), (ROOT, "b")] {
        let image = world.make_image(ALICE, id);
        assert_eq!(project(&image), 77);
        world.limit(user, &image, 5 * MIB).is_done();
        assert_ne!(project(&image), 77);
        assert_eq!(world.limit_of(&image), 5 * MIB);
    }
    assert_eq!(xfs::usage(store.as_fd(), 77).unwrap().limit.bytes, 100 * MIB);
}

/// Whoever holds the lock of the store delays nobody for longer than a collector could.
#[test]
fn a_lock_that_is_held_for_ever_is_not_waited_for() {
    let world = World::new(XFS);
    let lock = world.store(ALICE).join("locks/global-groot-lock.lock");
    own_file(&lock, ALICE, "");
    let held = File::options().read(true).write(true).open(&lock).unwrap();
    lock_byte(&held, libc::F_RDLCK);
    world.limit(ALICE, &world.make_image(ALICE, "shared"), MIB).is_done();
    lock_byte(&held, libc::F_WRLCK);
    let start = Instant::now();
    world.refuses("another process has held the project ids", || world.limit(ALICE, &world.image(ALICE, "x"), MIB));
    assert!((3..10).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());

    // And what it waits for may come.
    let image = world.image(ALICE, "x");
    let child = world
        .command(ALICE, world.limit_arguments(&image, "3145728"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(500));
    assert_eq!(project(&image), 0);
    drop(held);
    wait(child).is_done();
    assert_eq!(world.limit_of(&image), 3 * MIB);
}

fn lock_byte(file: &File, kind: i32) {
    let range = libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: xfs::PROJECT_IDS_LOCK,
        l_len: 1,
        l_pid: 0,
    };
    use std::os::fd::AsRawFd;
    // SAFETY: the pointer is to a live `struct flock`, which this command only reads.
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const range) }, 0);
}

#[test]
fn a_lock_file_that_is_something_else_is_not_touched() {
    let world = World::new(XFS);
    let (lock, image) = (world.store(ALICE).join("locks/global-groot-lock.lock"), world.image(ALICE, "x"));
    let victim = world.home(BOB).join("file");
    own_file(&victim, BOB, "content");
    symlink(&victim, &lock).unwrap();
    world.refuses("locking ", || world.limit(ALICE, &image, MIB));
    fs::remove_file(&lock).unwrap();
    symlink(world.home(BOB).join("new"), &lock).unwrap();
    world.refuses("locking ", || world.limit(ALICE, &image, MIB));
    fs::remove_file(&lock).unwrap();
    set_mode(&victim, 0o666);
    fs::hard_link(&victim, &lock).unwrap();
    world.refuses("it belongs to somebody else", || world.limit(ALICE, &image, MIB));
    fs::remove_file(&lock).unwrap();
    make_dir(&lock, ALICE, 0o755);
    world.refuses("locking ", || world.limit(ALICE, &image, MIB));
    assert!(!world.home(BOB).join("new").exists());
}

#[test]
fn a_directory_of_project_ids_that_is_not_the_user_s_is_not_used() {
    let world = World::new(XFS);
    let (projectids, image) = (world.store(ALICE).join("projectids"), world.image(ALICE, "x"));
    chown(&projectids, Some(BOB.uid), None).unwrap();
    world.refuses("does not belong to the user who called", || world.limit(ALICE, &image, MIB));
    chown(&projectids, Some(ALICE.uid), None).unwrap();
    set_mode(&projectids, 0o777);
    world.refuses("others may write in", || world.limit(ALICE, &image, MIB));
    fs::remove_dir(&projectids).unwrap();
    world.refuses("no such file or directory", || world.limit(ALICE, &image, MIB));
    symlink(world.store(BOB).join("projectids"), &projectids).unwrap();
    world.refuses("a symbolic link (which are not followed)", || world.limit(ALICE, &image, MIB));
}

/// Killed at each system call of the part that matters: the image has its whole limit, or no project at all.
#[test]
fn killed_anywhere_it_leaves_no_half_limit() {
    let world = World::new(XFS);
    let (mut limited, mut killed) = (0, 0);
    for (call, most) in [("ioctl", 8), ("quotactl_fd", 4), ("mkdirat", 2), ("openat2", 12), ("fcntl", 6)] {
        for when in 1..=most {
            let image = world.make_image(ALICE, &format!("{call}-{when}"));
            let fault = format!("inject={call}:signal=KILL:when={when}");
            let mut command = Command::new("strace");
            command.args(["-qq", "-o", "/dev/null", "-u", &user_name(), "-e", &fault]);
            let ended = end(command.arg(world.program("drax")).args(world.limit_arguments(&image, "3145728")));
            killed += usize::from(ended.code.is_none());
            match (project(&image), world.limit_of(&image)) {
                (0, 0) => assert!(ended.code.is_none(), "{call} {when} {ended:?}"),
                (_, 3_145_728) => limited += 1,
                other => panic!("{call} {when}: {other:?} {ended:?}"),
            }
        }
    }
    assert!(limited > 2 && killed > 15, "{limited} limited, {killed} killed");
    assert_eq!(world.limit_of(&world.image(BOB, "y")), 7 * MIB);
}

/// strace looks users up by name; in the guest this changes nothing outside of it.
fn user_name() -> String {
    let name = format!("drax-test-{}", ALICE.uid);
    if !Command::new("id").arg(&name).output().unwrap().status.success() {
        let uid = ALICE.uid.to_string();
        succeed("groupadd", ["--gid", &uid, &name]);
        succeed("useradd", ["--no-create-home", "--uid", &uid, "--gid", &uid, &name]);
    }
    name
}

#[test]
fn stats_are_those_of_the_kernel() {
    let world = World::new(XFS);
    let image = world.image(ALICE, "x");
    let stats = |user| world.run(user, ["stats", "--volume-path", image.to_str().unwrap()]).stdout;
    let expected = |own: u64, limit: u64, inodes: &str| {
        format!(
            r#"{{"disk_usage":{{"total_bytes_used":{},"exclusive_bytes_used":{own},"quota_size_bytes":{limit},"committed_space_bytes":{}{inodes}}}}}"#,
            1000 + own,
            1000 + limit
        )
    };
    assert_eq!(stats(ALICE), expected(0, 0, ""));
    world.limit(ALICE, &image, 5 * MIB).is_done();
    support::write(&image.join("file"), MIB).unwrap();
    let own = xfs::usage(File::open(&image).unwrap().as_fd(), project(&image)).unwrap().used_bytes;
    // The image's directory, and the file.
    let inodes = r#","exclusive_inodes_used":2,"quota_inodes":10000"#;
    for user in [ALICE, ROOT] {
        assert_eq!(stats(user), expected(own, 5 * MIB, inodes));
    }
}

#[test]
fn without_quotas_it_says_so_and_leaves_nothing() {
    let world = World::new(XFS);
    let mount = world.mount.to_str().unwrap();
    let file = world.program("backing-store");
    succeed("umount", [mount]);
    succeed("mount", ["-o", "loop,noquota", file.to_str().unwrap(), mount]);
    assert_eq!(xfs::support(File::open(&world.mount).unwrap().as_fd()), Ok(QuotaSupport::NotMounted));
    let image = world.image(ALICE, "x");
    let ended = world.limit(ALICE, &image, MIB);
    let start = format!("setting quota to {}: setting quota limit for projid ", image.display());
    assert!(ended.code == Some(1) && ended.stdout.starts_with(&start), "{ended:?}");
    assert_eq!((project(&image), reservations(&world)), (0, vec![]));
}

/// What BOSH runs at each start, as root, on a directory that it has just made.
#[test]
fn the_call_of_bosh() {
    let world = World::new(XFS);
    let path = world.image(ALICE, "xfs_test");
    fs::create_dir(&path).unwrap();
    let ended = tardis(
        &world,
        ROOT,
        [
            "--log-timestamp-format",
            "unix-epoch",
            "limit",
            "--disk-limit-bytes",
            "102400",
            "--image-path",
            path.to_str().unwrap(),
        ],
    );
    ended.is_done();
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    assert_eq!(world.limit_of(&path), 262_144);
}

/// The original's tests look at the timestamps of these two calls, both of which fail.
#[test]
fn tardis_logs_with_timestamps_that_people_can_read() {
    let world = World::new(XFS);
    let is_log = |line: &str| {
        let time = line.strip_prefix("{\"timestamp\":\"").and_then(|rest| rest.split_once("\",\"level\":\""));
        time.is_some_and(|(time, rest)| {
            time.len() == "2024-01-02T03:04:05.123456789Z".len() && time.starts_with("20") && rest.ends_with('}')
        })
    };
    let ended = tardis(&world, ROOT, ["limit", "--disk-limit-bytes", "102400", "--image-path", "/tmp"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stdout.lines().filter(|line| is_log(line)).count(), 1, "{ended:?}");
    assert_eq!(ended.stderr.lines().filter(|line| is_log(line)).count(), 1, "{ended:?}");
    let ended = tardis(&world, ROOT, ["stats", "--volume-path", "/tmp"]);
    assert_eq!(ended.stderr.lines().filter(|line| is_log(line)).count(), 1, "{ended:?}");
    assert_eq!(ended.stdout, "path `/tmp` is not of the form <store>/images/<id>, absolute and without `.` and `..`\n");
}

fn tardis(world: &World, user: support::User, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ended {
    end(Command::new(world.program("tardis")).args(arguments).uid(user.uid).gid(user.uid).current_dir("/"))
}

fn as_alice(world: &World, program: &str, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Ended {
    end(Command::new(program).args(arguments).uid(ALICE.uid).gid(ALICE.uid).current_dir(world.home(ALICE)))
}

fn project(image: &Path) -> u32 {
    xfs::project_id(File::open(image).unwrap().as_fd()).unwrap()
}

/// The numbers reserved in Alice's store.
fn reservations(world: &World) -> Vec<u32> {
    let entries = fs::read_dir(world.store(ALICE).join("projectids")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}
