//! Promise 7: the setuid helper trusts nobody. As an ordinary user runs it, with its setuid bit, on btrfs. Needs root, to
//! make the users' stores.

#![allow(clippy::unwrap_used)]

mod support;

use drax::btrfs::{self, QuotaMode};
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use support::attacks::open_up;
use support::{ALICE, BOB, MIB, ROOT, World, as_user, make_dir, succeed, write};

const SIMPLE: Option<QuotaMode> = Some(QuotaMode::Simple);
const CLASSIC: Option<QuotaMode> = Some(QuotaMode::Classic);
const BOTH: [Option<QuotaMode>; 2] = [SIMPLE, CLASSIC];

mod simple {
    use super::support;
    support::attacks::on!(super::SIMPLE);
}

mod classic {
    use super::support;
    support::attacks::on!(super::CLASSIC);
}

#[test]
fn what_is_no_subvolume_of_the_image_s_own_is_refused() {
    let world = World::new(SIMPLE);
    let image = world.image(ALICE, "x");
    let (rootfs, aside) = (image.join("rootfs"), image.join("aside"));
    fs::rename(&rootfs, &aside).unwrap();

    make_dir(&rootfs, ALICE, 0o755);
    world.refuses("is not a btrfs volume", || world.limit(ALICE, &image, MIB));
    succeed("mount", ["--bind", world.image(BOB, "y").join("rootfs").to_str().unwrap(), rootfs.to_str().unwrap()]);
    world.refuses("something else is mounted there", || world.limit(ALICE, &image, MIB));
    succeed("umount", [rootfs.to_str().unwrap()]);
    fs::remove_dir(&rootfs).unwrap();

    symlink(world.image(BOB, "y").join("rootfs"), &rootfs).unwrap();
    world.refuses("a symbolic link (which are not followed)", || world.limit(ALICE, &image, MIB));
    fs::remove_file(&rootfs).unwrap();

    fs::write(&rootfs, "").unwrap();
    world.refuses("not a directory", || world.limit(ALICE, &image, MIB));
    for name in ["aside", "diff"] {
        let path = image.join(name);
        let arguments = ["limit", "--disk-limit-bytes", "5000000", "--volume-path", path.to_str().unwrap()];
        world.refuses("is not of the form", || world.run(ALICE, arguments));
    }
}

#[test]
fn the_snapshot_of_an_image_that_is_not_mounted_is_limited_too() {
    let world = World::new(SIMPLE);
    let image = world.image(ALICE, "x");
    fs::rename(image.join("rootfs"), image.join("snapshot")).unwrap();
    let path = image.join("snapshot");
    let arguments = ["limit", "--disk-limit-bytes", "5000000", "--volume-path", path.to_str().unwrap()];
    world.run(ALICE, arguments).is_done();
    assert_eq!(usage(&path).limit.referenced, Some(5_000_000 - 1000));
}

#[test]
fn an_inclusive_limit_includes_the_layers() {
    for quotas in BOTH {
        let world = World::new(quotas);
        let path = world.image(ALICE, "x").join("rootfs");
        // What it shares with a layer, classic quotas count, by what it takes on the disk.
        write(&path.join("shared"), MIB).unwrap();
        let layer = world.mount.join("layer");
        succeed("btrfs", ["subvolume", "snapshot", path.to_str().unwrap(), layer.to_str().unwrap()]);
        succeed("btrfs", ["filesystem", "sync", path.to_str().unwrap()]);
        let shared = usage(&path).shared();
        assert_eq!(shared >= MIB, quotas == CLASSIC);
        let limit = |bytes: &str| {
            let arguments = ["--btrfs-bin", "/bin/btrfs", "limit", "--volume-path", path.to_str().unwrap()];
            world.run(ALICE, arguments.into_iter().chain(["--disk-limit-bytes", bytes]))
        };
        limit("4000000").is_done();
        assert_eq!(usage(&path).limit, btrfs::Limit { referenced: Some(shared + 3_999_000), exclusive: None });
        world.refuses("disk limit is smaller than volume size: the limit is 999 bytes", || limit("999"));
        limit("1000").is_done();
        // Nothing more fits, which can be changed all the same.
        limit("8000000").is_done();
        write(&path.join("file"), MIB).unwrap();
    }
}

#[test]
fn an_image_of_the_original_has_no_record_of_its_layers_and_needs_none_where_they_are_counted() {
    for quotas in BOTH {
        let world = World::new(quotas);
        let image = world.image(ALICE, "x");
        fs::remove_file(image.join("image_info")).unwrap();
        if quotas == CLASSIC {
            world.limit(ALICE, &image, MIB).is_done();
            world.stats(ALICE, &image).is_done();
        } else {
            world.refuses("image_info: no such file or directory", || world.limit(ALICE, &image, MIB));
            world.refuses("image_info: no such file or directory", || world.stats(ALICE, &image));
        }
    }
}

#[test]
fn stats_have_the_shape_and_the_numbers_that_btrfs_prints() {
    for quotas in BOTH {
        let world = World::new(quotas);
        let base = world.store(ALICE).join("volumes/base");
        world.make_subvolume(ALICE, &base);
        write(&base.join("file"), 4 * MIB).unwrap();
        let image = world.image(ALICE, "snapshot-of-base");
        make_dir(&image, ALICE, 0o700);
        let path = image.join("rootfs");
        succeed("btrfs", ["subvolume", "snapshot", base.to_str().unwrap(), path.to_str().unwrap()]);
        support::own_file(&image.join("image_info"), ALICE, &(4 * MIB).to_string());
        write(&path.join("own"), 2 * MIB).unwrap();

        let stats =
            world.run(ALICE, ["--btrfs-bin", "B", "stats", "--volume-path", path.to_str().unwrap(), "--force-sync"]);
        let shown = succeed("btrfs", ["qgroup", "show", "--raw", "-F", path.to_str().unwrap()]);
        let lines: Vec<&str> = stats.stdout.lines().collect();
        assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), ["qgroupid", "rfer", "excl"]);
        assert_eq!(lines.len(), 3, "{stats:?}");
        let (ours, theirs) = (numbers(lines[2]), numbers(shown.lines().last().unwrap()));
        assert_eq!(ours[1], theirs[1]);
        let layers = if quotas == CLASSIC { 0 } else { 4 * MIB };
        assert_eq!(ours[0], theirs[0] + layers, "{quotas:?}");

        let json = world.stats(ALICE, &image).stdout;
        let expected = format!(
            r#"{{"disk_usage":{{"total_bytes_used":{},"exclusive_bytes_used":{},"quota_size_bytes":0,"committed_space_bytes":{}}}}}"#,
            ours[0],
            ours[1],
            4 * MIB
        );
        assert_eq!(json, expected);
    }
}

/// The numbers of a line that stand alone.
fn numbers(line: &str) -> Vec<u64> {
    line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn destroy_is_for_what_is_about_to_be_removed() {
    for quotas in BOTH {
        let world = World::new(quotas);
        let store = world.store(ALICE);
        let destroy =
            |path: &Path| world.run(ALICE, ["--btrfs-bin", "B", "destroy", "--volume-path", path.to_str().unwrap()]);
        let deleting = world.make_image_at(ALICE, &store.join("tmp/delete.x")).join("rootfs");
        let (dead, layer) = (store.join("tmp/dead.17"), store.join("volumes/layer"));
        world.make_subvolume(ALICE, &dead);
        world.make_subvolume(ALICE, &layer);
        for path in [&deleting, &dead, &layer, &world.image(ALICE, "x").join("rootfs")] {
            // The kernel keeps the group of a subvolume that exists, and removes it with the subvolume.
            let ended = destroy(path);
            ended.is_done();
            assert_eq!(ended.stdout, "");
        }
        open_up(&world);
        for (path, text) in [
            (world.image(BOB, "y").join("rootfs"), "does not belong to the user who called"),
            (world.image(ALICE, "x"), "is not of the form"),
            (store.join("tmp"), "is not of the form"),
            (store.join("volumes/none"), "no such file or directory"),
        ] {
            world.refuses(text, || destroy(&path));
        }
        let plain = store.join("volumes/plain");
        make_dir(&plain, ALICE, 0o755);
        world.refuses("is not a btrfs volume", || destroy(&plain));
    }
}

#[test]
fn collect_removes_the_groups_of_subvolumes_that_are_gone_and_no_others() {
    let world = World::new(SIMPLE);
    let store = world.store(ALICE);
    let (lower, upper) = (store.join("volumes/lower"), store.join("volumes/upper"));
    world.make_subvolume(ALICE, &lower);
    write(&lower.join("file"), MIB).unwrap();
    succeed("btrfs", ["subvolume", "snapshot", lower.to_str().unwrap(), upper.to_str().unwrap()]);
    let fs = File::open(&store).unwrap();
    let stale = || btrfs::stale_qgroups(fs.as_fd(), 10).unwrap();
    for path in [&lower, &upper] {
        succeed("btrfs", ["subvolume", "delete", path.to_str().unwrap()]);
        wait_until(|| {
            btrfs::sync(fs.as_fd()).unwrap();
            succeed("btrfs", ["subvolume", "list", "-d", store.to_str().unwrap()]).is_empty()
        });
        btrfs::sync(fs.as_fd()).unwrap();
    }
    assert_eq!(stale().len(), 1);

    world.refuses("permission denied", || {
        world.run(ALICE, ["collect", "--store-path", world.store(BOB).to_str().unwrap()])
    });
    world.refuses("is not a store", || {
        world.run(ALICE, ["collect", "--store-path", world.home(ALICE).to_str().unwrap()])
    });
    assert_eq!(stale().len(), 1);
    let limits = world.limits();
    world.run(ALICE, ["collect", "--store-path", store.to_str().unwrap()]).is_done();
    assert_eq!(stale(), []);
    assert_eq!(world.limits(), limits);
    for image in [world.image(ALICE, "x"), world.image(BOB, "y")] {
        assert!(btrfs::usage(File::open(image.join("rootfs")).unwrap().as_fd()).unwrap().is_some());
    }
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "still not so after a minute");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn subvolumes_are_listed_children_first() {
    let world = World::new(SIMPLE);
    let image = world.image(ALICE, "x");
    fs::create_dir_all(image.join("rootfs/a/b")).unwrap();
    for name in ["rootfs/a/b/one", "rootfs/a/b/one/two", "rootfs/top"] {
        world.make_subvolume(ALICE, &image.join(name));
    }
    let list = |path: &Path| world.run(ALICE, ["--btrfs-bin", "B", "list", path.to_str().unwrap()]);
    let shown = |names: &[&str]| {
        names.iter().map(|name| image.join(name).to_str().unwrap().to_owned()).collect::<Vec<_>>().join("\n")
    };
    let nested = ["rootfs/top", "rootfs/a/b/one/two", "rootfs/a/b/one", "rootfs"];
    assert_eq!(list(&image).stdout, shown(&nested));
    assert_eq!(list(&image.join("rootfs")).stdout, shown(&nested));
    // A neighbour whose name begins alike is no part of it.
    world.make_image(ALICE, "x2");
    assert_eq!(list(&image).stdout, shown(&nested));

    open_up(&world);
    world.refuses("does not belong to the user who called", || list(&world.image(BOB, "y")));
    world.refuses("missing path argument", || world.run(ALICE, ["list"]));
    world.refuses("is not of the form", || list(&world.store(ALICE)));
    assert_eq!(list(&world.make_image(ALICE, "z").join("rootfs")).stdout, shown(&["../z/rootfs"]).replace("x/../", ""));
}

#[test]
fn without_quotas_it_says_so() {
    let world = World::new(SIMPLE);
    succeed("btrfs", ["quota", "disable", world.mount.to_str().unwrap()]);
    let image = world.image(ALICE, "x");
    for ended in [world.limit(ALICE, &image, MIB), world.limit(ROOT, &image, MIB), world.stats(ALICE, &image)] {
        assert!(ended.code == Some(1) && ended.stdout.contains("quotas are off on the btrfs filesystem"), "{ended:?}");
    }
    let path = image.join("rootfs");
    world.run(ALICE, ["destroy", "--volume-path", path.to_str().unwrap()]).is_done();
    world.run(ALICE, ["list", image.to_str().unwrap()]).is_done();
}

#[test]
fn a_subvolume_that_its_owner_has_moved_away_is_out_of_reach() {
    let world = World::new(SIMPLE);
    let image = world.image(ALICE, "x");
    let moved = world.home(ALICE).join("moved");
    as_user(ALICE, "mv", &[&image.join("rootfs"), &moved]);
    let arguments = ["limit", "--disk-limit-bytes", "5000000", "--volume-path", moved.to_str().unwrap()];
    world.refuses("is not of the form", || world.run(ALICE, arguments));
}

fn usage(subvolume: &Path) -> btrfs::Usage {
    btrfs::usage(File::open(subvolume).unwrap().as_fd()).unwrap().unwrap()
}

/// The kernel claims to have written more of the help than there was.
#[test]
fn after_a_panic_nothing_is_done_but_say_so() {
    let strace = ["-qq", "-o", "/dev/null", "-e", "inject=write:retval=1000000000:when=1", env!("CARGO_BIN_EXE_drax")];
    let output = Command::new("strace").args(strace).arg("help").output().expect("the tests need strace");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), stdout.lines().count(), &*stderr), (Some(1), 1, ""), "{stdout}");
    assert!(stdout.starts_with("internal error at ") && stdout.contains(".rs:"), "{stdout}");
}
