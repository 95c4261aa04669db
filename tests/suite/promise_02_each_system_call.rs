//! Promise 2, one system call after the other: struck by a kill or by an error of the kernel, a command leaves nothing
//! half-made, and the next one works.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::LazyLock;

use crate::support::{
    Archive, DRIVER, Driver, Image, Layer, TempStore, detach_loops, mount_points_below, run, succeed, unmount_below,
    wait_for, with_fault,
};

/// System calls that change something, or take it in hand. Each architecture has some of them.
const CALLS: [&str; 31] = [
    "?openat",
    "?openat2",
    "?mkdir",
    "?mkdirat",
    "?write",
    "?pwrite64",
    "?ftruncate",
    "?rename",
    "?renameat",
    "?renameat2",
    "?unlink",
    "?unlinkat",
    "?rmdir",
    "?symlink",
    "?symlinkat",
    "?linkat",
    "?mknodat",
    "?fchown",
    "?fchmod",
    "?utimensat",
    "?fsetxattr",
    "?mount",
    "?move_mount",
    "?umount2",
    "?flock",
    "?fcntl",
    "?ioctl",
    "?chroot",
    "?clone3",
    "?syncfs",
    "?exit_group",
];

/// With a limit where every kernel has them.
static CREATE: LazyLock<&[&str]> = LazyLock::new(|| match *DRIVER {
    Driver::OverlayXfs => &["create", "URL", "x"],
    Driver::Btrfs => &["create", "--disk-limit-size-bytes", "4194304", "URL", "x"],
});

fn image(store: &TempStore) -> String {
    let bottom = Archive::new().directory("d", 0o755).file("d/one", 0o644, b"one").file("d/two", 0o644, b"two");
    let top = Archive::new().whiteout("d/one").hard_link("d/three", "d/two").file("e/f", 0o644, b"f");
    let layers = [bottom, top].map(|archive| Layer::new(archive.bytes()));
    layers.into_iter().fold(Image::new(), Image::layer).write(&store.beside("image"), "latest")
}

#[track_caller]
fn assert_whole(store: &TempStore, id: &str, context: &str) {
    let read = |path: &str| fs::read_to_string(store.rootfs(id).join(path)).ok();
    assert_eq!(read("d/three").as_deref(), Some("two"), "{context}: {id}");
    assert_eq!(read("e/f").as_deref(), Some("f"), "{context}: {id}");
    assert_eq!(read("d/one"), None, "{context}: {id}");
}

/// Every image there is is whole, another can be made, all can be deleted, and then nothing is left.
#[track_caller]
fn assert_sound(store: &TempStore, url: &str, context: &str) {
    assert_totals_are_right(store, url, context);
    for id in crate::support::names(&store.path().join("images")) {
        assert_whole(store, &id, context);
        store.stats(&id);
        assert_eq!(store.ok(["delete", &id]), format!("Image {id} deleted\n"), "{context}");
    }
    store.ok(["clean"]);
    assert!(store.leftovers().is_empty(), "{context}: {:?}", store.leftovers());
    for directory in ["volumes", "l", "meta/unflushed", "meta/dependencies", "projectids"] {
        let names = crate::support::names(&store.path().join(directory));
        assert!(names.is_empty(), "{context}: {directory} holds {names:?}");
    }
    assert_eq!(mount_points_below(store.path()).len(), 1, "{context}");
    if *DRIVER == Driver::Btrfs {
        assert_eq!(quota_groups(store), ["0/5"], "{context}");
    }
}

/// Makes an image. The totals that are kept of all images, which metrics ask for, are what the images say.
#[track_caller]
fn assert_totals_are_right(store: &TempStore, url: &str, context: &str) {
    let metrics = store.beside("metrics.prom");
    store.ok(["--metrics-file", metrics.to_str().unwrap(), "create", url, "next"]);
    let metrics = fs::read_to_string(metrics).unwrap();
    let measured = |name: &str| {
        let line = metrics.lines().find(|line| line.starts_with(&format!("{name}{{")));
        let value = line.and_then(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("no {name} in {metrics}"))
    };
    let limits = crate::support::names(&store.path().join("images")).into_iter().map(|id| {
        let limit = fs::read_to_string(store.image(&id).join("image_quota"));
        limit.map_or(0.0, |limit| limit.parse().unwrap())
    });
    assert_eq!(measured("grootfs_committed_quota_bytes"), limits.sum::<f64>(), "{context}");
    assert_eq!(measured("grootfs_unused_layers_bytes"), 0.0, "{context}");
}

fn quota_groups(store: &TempStore) -> Vec<String> {
    let table = succeed("btrfs", ["qgroup", "show", "--raw", store.path().to_str().unwrap()]);
    table.lines().skip(2).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// A create that could tell of its failure has taken back all that it had made.
#[track_caller]
fn assert_nothing_is_limited(store: &TempStore, context: &str) {
    if *DRIVER == Driver::Btrfs {
        let groups = quota_groups(store);
        assert!(groups.iter().all(|group| !group.starts_with("26482/")), "{context}: {groups:?}");
    }
}

/// Strikes `arguments` at each of the calls it makes; `prepare` comes before each attempt, without being struck.
#[track_caller]
fn strike(arguments: &[&str], fault: &str, prepare: impl Fn(&TempStore, &str)) {
    let store = TempStore::new();
    let url = image(&store);
    let arguments = with_url(arguments, &url);
    let mut strikes = 0;
    // The end of a process cannot fail: the C library would end one thread instead, and leave those that wait for events.
    let calls = CALLS.into_iter().filter(|call| *call != "?exit_group" || !fault.starts_with("error="));
    for call in calls {
        for nth in 1.. {
            prepare(&store, &url);
            let context = format!("{arguments:?} with {call}:{fault}:when={nth}");
            let (outcome, is_struck) = with_fault(&store.command(&arguments), &format!("{call}:{fault}:when={nth}"));
            // What the dynamic linker dies of is 127, and none of ours.
            let is_ended_well = matches!(outcome.code, None | Some(0 | 1 | 127));
            assert!(is_ended_well && outcome.stdout.lines().count() <= 1, "{context}: {outcome:?}");
            let exists = store.image("x").exists();
            assert!(outcome.code != Some(1) || arguments[0] != "create" || !exists, "{context}: {outcome:?}");
            if outcome.code == Some(1) && arguments[0] == "create" {
                assert_nothing_is_limited(&store, &context);
            }
            assert_sound(&store, &url, &context);
            if !is_struck {
                break;
            }
            strikes += 1;
        }
    }
    assert!(strikes > 20, "only {strikes} strikes");
}

fn with_url<'a>(arguments: &[&'a str], url: &'a str) -> Vec<&'a str> {
    arguments.iter().map(|argument| if *argument == "URL" { url } else { argument }).collect()
}

fn nothing(_: &TempStore, _: &str) {}

fn an_image(store: &TempStore, url: &str) {
    store.ok(with_url(&CREATE, url));
}

fn its_layers(store: &TempStore, url: &str) {
    store.create(url, "x");
    store.ok(["delete", "x"]);
}

#[test]
fn promise_02_a_create_killed_at_any_system_call() {
    strike(&CREATE, "signal=KILL", nothing);
}

#[test]
fn promise_02_a_warm_create_killed_at_any_system_call() {
    strike(&CREATE, "signal=KILL", its_layers);
}

#[test]
fn promise_02_a_delete_killed_at_any_system_call() {
    strike(&["delete", "x"], "signal=KILL", an_image);
}

#[test]
fn promise_02_a_clean_killed_at_any_system_call() {
    strike(&["clean"], "signal=KILL", its_layers);
}

/// Those of [`CALLS`] that change what is on disk or mounted, and the last. Killed at any other, a process leaves what it
/// leaves when it is killed at the next of these.
const CHANGES: [&str; 19] = [
    "?mkdir",
    "?mkdirat",
    "?write",
    "?pwrite64",
    "?ftruncate",
    "?rename",
    "?renameat",
    "?renameat2",
    "?unlink",
    "?unlinkat",
    "?rmdir",
    "?symlink",
    "?symlinkat",
    "?fsetxattr",
    "?mount",
    "?move_mount",
    "?umount2",
    "?syncfs",
    "?exit_group",
];

/// A store with an image that has written something, and with damage of every kind that a repair heals.
fn damage(store: &TempStore, url: &str) {
    its_layers(store, url);
    store.ok(with_url(&CREATE, url));
    store.ok(["flush-volumes"]);
    fs::write(store.own_files("x").join("own"), "own").unwrap();
    let root = store.path();
    let volume = store.volumes().pop().unwrap();
    for name in
        ["tmp/create.dead", "tmp/delete.dead", "tmp/dead.1", &format!("volumes/{}-incomplete-1-2", "a".repeat(64))]
    {
        fs::create_dir_all(root.join(name).join("d")).unwrap();
    }
    fs::write(root.join("meta/dependencies/image:gone.json"), "[]").unwrap();
    fs::write(root.join(format!("meta/volume-{}", "b".repeat(64))), "{\"Size\":1}").unwrap();
    fs::write(root.join(format!("meta/volume-{volume}")), "").unwrap();
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    symlink(boot_id.trim_end(), root.join(format!("meta/unflushed/{volume}~9"))).unwrap();
    if *DRIVER == Driver::OverlayXfs {
        symlink(root.join("volumes").join("c".repeat(64)), root.join("l/ABCD")).unwrap();
        fs::create_dir_all(root.join("projectids/77")).unwrap();
        succeed("umount", [store.rootfs("x")]);
    }
}

#[test]
fn promise_02_a_repair_killed_at_any_change() {
    let store = TempStore::new();
    let url = image(&store);
    let mut strikes = 0;
    // Of btrfs, subvolumes and quota groups are made and removed by ioctl.
    let calls = CHANGES.into_iter().chain((*DRIVER == Driver::Btrfs).then_some("?ioctl"));
    for call in calls {
        for nth in 1.. {
            damage(&store, &url);
            // That it is nobody's shows only after a second, each time.
            if call == "?ioctl" && nth % 8 == 1 {
                succeed("btrfs", ["qgroup", "create", "26482/9999", store.path().to_str().unwrap()]);
            }
            let context = format!("check --repair with {call}:signal=KILL:when={nth}");
            let fault = format!("{call}:signal=KILL:when={nth}");
            let (outcome, is_struck) = with_fault(&store.command(["check", "--repair"]), &fault);
            assert!(matches!(outcome.code, None | Some(0)), "{context}: {outcome:?}");
            let again = run(&mut store.command(["check", "--repair"]));
            assert_eq!(again.code, Some(0), "{context}: {again:?}");
            assert_eq!(fs::read_to_string(store.rootfs("x").join("own")).ok().as_deref(), Some("own"), "{context}");
            assert_sound(&store, &url, &context);
            if !is_struck {
                break;
            }
            strikes += 1;
        }
    }
    assert!(strikes > 20, "only {strikes} strikes");
}

/// Another error than that of a full disk; then other commands are struck, too. `hack/torture` has all of them.
const ERROR: &str = "GROOTFS_TORTURE_ERROR";

#[test]
fn promise_02_commands_whose_system_calls_fail() {
    let error = std::env::var(ERROR).ok();
    let fault = format!("error={}", error.as_deref().unwrap_or("ENOSPC"));
    strike(&CREATE, &fault, nothing);
    if error.is_some() {
        strike(&CREATE, &fault, its_layers);
        strike(&["delete", "x"], &fault, an_image);
        strike(&["clean"], &fault, its_layers);
    }
}

/// After a reboot, `init-store` mounts the store, and its images with it; on overlay-xfs, `mount` mounts one.
#[test]
fn promise_02_mounting_killed_at_any_change() {
    let init: &[&str] = match DRIVER.filesystem() {
        "xfs" => &["init-store", "--mount-images", "--without-quota"],
        _ => &["init-store", "--mount-images"],
    };
    let mount: &[&str] = &["mount", "x"];
    for arguments in [init, mount] {
        let store = TempStore::new();
        let url = image(&store);
        let mut strikes = 0;
        for call in CHANGES {
            for nth in 1.. {
                let context = format!("{arguments:?} with {call}:signal=KILL:when={nth}");
                store.ok(with_url(&CREATE, &url));
                unmount_below(
                    if arguments == mount { store.path().join("images") } else { store.path().to_owned() }.as_path(),
                );
                detach_loops(store.path().parent().unwrap());
                let fault = format!("{call}:signal=KILL:when={nth}");
                let (outcome, is_struck) = with_fault(&store.command(arguments), &fault);
                assert!(matches!(outcome.code, None | Some(0)), "{context}: {outcome:?}");
                store.ok(arguments);
                assert_sound(&store, &url, &context);
                if !is_struck {
                    break;
                }
                strikes += 1;
            }
        }
        let least = if arguments == mount && DRIVER.filesystem() == "btrfs" { 0 } else { 3 };
        assert!(strikes >= least, "{arguments:?}: only {strikes} strikes");
    }
}

#[test]
fn promise_02_a_create_that_gets_no_thread() {
    let store = TempStore::new();
    let url = image(&store);
    let (outcome, is_struck) = with_fault(&store.command(["create", &url, "x"]), "clone3:error=EAGAIN:when=1");
    assert!(is_struck && outcome.stderr.is_empty(), "{outcome:?}");
    assert!(matches!(outcome.code, Some(0 | 1)), "{outcome:?}");
}

/// What standard output, and where the shell says so standard error too, can be for a caller who is not told. The command
/// and its arguments are `"$@"`, and its exit code is left in the file `$rc`.
const UNTOLD: [&str; 6] = [
    "( sleep .3; \"$@\"; echo $? >\"$rc\" ) | true",
    "( sleep .3; \"$@\" 2>&1; echo $? >\"$rc\" ) | true",
    "\"$@\" >/dev/full; echo $? >\"$rc\"",
    "\"$@\" >&-; echo $? >\"$rc\"",
    "\"$@\" >&- 2>&-; echo $? >\"$rc\"",
    "trap '' PIPE; ( sleep .3; \"$@\" 2>&1; echo $? >\"$rc\" ) | true",
];

#[test]
fn promise_02_an_image_whose_caller_cannot_be_told_is_not_kept() {
    let store = TempStore::new();
    let url = image(&store);
    let code = store.beside("rc");
    let levels = ["debug", "info", "error", "fatal"].into_iter().cycle();
    let ways = UNTOLD.into_iter().flat_map(|script| [script; 4]);
    for (n, (script, level)) in ways.zip(levels).enumerate() {
        let mount = if n % 8 < 4 { "--with-mount" } else { "--without-mount" };
        let create = store.command(["--log-level", level, "create", mount, &url, "x"]);
        let mut shell = Command::new("bash");
        shell.args(["-c", script, "bash"]).arg(create.get_program()).args(create.get_args());
        run(shell.env("rc", &code));
        // A broken pipe does not wait for the shell on its other side.
        wait_for("the end of the create", || fs::read_to_string(&code).is_ok_and(|text| text.ends_with('\n')));
        assert_eq!(fs::read_to_string(&code).unwrap(), "1\n", "{script} {level} {mount}");
        assert_eq!(store.ok(["list"]), "Store empty\n", "{script} {level} {mount}");
        assert!(store.leftovers().is_empty() && store.mounted_images().is_empty(), "{script} {level} {mount}");
        fs::remove_file(&code).unwrap();
    }
    store.create(&url, "x");
}
