//! Machines and containers that lack something: `/proc`, a writable or a complete `/etc`, system calls that are new.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::LazyLock;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::support::{
    Archive, DRIVER, Driver, Node, Outcome, TempStore, Tree, differences, names, run, small_image, test_images,
    wait_for, wrapped,
};

/// No kernel of a test machine has quotas on XFS.
static QUOTA: LazyLock<&[&str]> =
    LazyLock::new(|| if *DRIVER == Driver::OverlayXfs { &["--without-quota"] } else { &[] });

/// Runs a command of the store in a mount namespace in which `script` has been run.
fn run_after(script: &str, command: &Command) -> Outcome {
    let script = format!("set -e; {script}; exec \"$@\"");
    run(&mut wrapped(&["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "sh"], command))
}

#[test]
fn without_proc_every_command_says_so_and_does_nothing() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    store.create(&url, "x");
    let before = fs::read_dir(store.path()).unwrap().count();
    let commands: [&[&str]; 18] = [
        &["create", &url, "y"],
        &["pull", &url],
        &["inspect", "x"],
        &["limit", "x", "1G"],
        &["diff", "x"],
        &["delete", "x"],
        &["stats", "x"],
        &["list"],
        &["check"],
        &["usage"],
        &["doctor"],
        &["clean"],
        &["capacity"],
        &["mount", "x"],
        &["umount", "x"],
        &["generate-volume-size-metadata"],
        &["init-store"],
        &["delete-store"],
    ];
    for script in ["umount -l /proc", "mount -t tmpfs tmpfs /proc"] {
        for command in commands {
            let message = run_after(script, &store.command(command)).failure();
            assert!(message.contains("/proc is not mounted"), "{command:?}: {message}");
            assert!(message.ends_with("mount -t proc proc /proc"), "{command:?}: {message}");
        }
    }
    let other = TempStore::uninitialised();
    let init = other.command(["init-store", "--store-size-bytes", "1073741824"]);
    run_after("umount -l /proc", &init).failure();
    assert_eq!(names(other.path().parent().unwrap()), [""; 0]);
    assert_eq!(fs::read_dir(store.path()).unwrap().count(), before);
    assert_eq!(names(&store.path().join("images")), ["x"]);
    run_after("umount -l /proc", &store.command(["--version"])).success();
    store.ok(["delete", "x"]);
}

#[test]
fn nothing_in_etc_is_needed_or_written() {
    for script in ["mount --bind /etc /etc && mount -o remount,bind,ro /etc", "mount -t tmpfs -o ro tmpfs /etc"] {
        let store = TempStore::uninitialised();
        let url = small_image(&store.beside("image"));
        let archive = store.beside("image.tar");
        fs::write(&archive, Archive::new().file("hello", 0o644, b"hello\n").bytes()).unwrap();
        let run = |command: &[&str]| {
            let all =
                [&[command[0]], &QUOTA[..if command[0] == "init-store" { QUOTA.len() } else { 0 }], &command[1..]];
            run_after(script, &store.command(all.concat())).success()
        };
        // Mounts of a namespace of its own are gone with it.
        store.ok([&["init-store", "--store-size-bytes", "1073741824"], *QUOTA].concat());
        run(&["create", "--without-mount", &url, "x"]);
        run(&["create", "--without-mount", archive.to_str().unwrap(), "y"]);
        run(&["init-store"]);
        run(&["stats", "x"]);
        run(&["list"]);
        run(&["delete", "x"]);
        run(&["clean"]);
        run(&["delete", "y"]);
        run(&["delete-store"]);
        run(&["init-store", "--store-size-bytes", "1073741824"]);
    }
}

/// System calls that came after the kernels of 2018, or that filters of containers took long to know, and others that a
/// machine may do without.
const NEW_CALLS: [(&str, i64); 21] = [
    ("clone3", libc::SYS_clone3),
    ("close_range", libc::SYS_close_range),
    ("copy_file_range", libc::SYS_copy_file_range),
    ("faccessat2", libc::SYS_faccessat2),
    ("fchmodat2", 452),
    ("fsopen", libc::SYS_fsopen),
    ("getrandom", libc::SYS_getrandom),
    ("landlock_add_rule", libc::SYS_landlock_add_rule),
    ("landlock_create_ruleset", libc::SYS_landlock_create_ruleset),
    ("landlock_restrict_self", libc::SYS_landlock_restrict_self),
    ("listmount", 458),
    ("membarrier", libc::SYS_membarrier),
    ("memfd_create", libc::SYS_memfd_create),
    ("mount_setattr", libc::SYS_mount_setattr),
    ("move_mount", libc::SYS_move_mount),
    ("open_tree", libc::SYS_open_tree),
    ("openat2", libc::SYS_openat2),
    ("pidfd_open", libc::SYS_pidfd_open),
    ("renameat2", libc::SYS_renameat2),
    ("rseq", libc::SYS_rseq),
    ("statx", libc::SYS_statx),
];

/// Runs a command under a filter that answers `errno` for some calls, as the kernel applies it.
fn run_without(calls: &[i64], errno: i32, mut command: Command) -> Outcome {
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(errno.unsigned_abs());
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, architecture).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    // With an id to be set the standard library starts it by fork(2), which needs none of these calls.
    command.uid(0);
    std::thread::scope(|scope| {
        let filtered = scope.spawn(|| {
            seccompiler::apply_filter(&program).unwrap();
            run(&mut command)
        });
        filtered.join().unwrap()
    })
}

#[test]
fn everything_works_without_new_system_calls() {
    let plain = TempStore::new();
    let small = small_image(&plain.beside("image"));
    let stack = format!("oci://{}:latest", test_images().join("stack").display());
    let all: Vec<i64> = NEW_CALLS.iter().map(|(_, number)| *number).collect();
    let expected = Node::read_tree(&plain.create(&small, "small"));
    for (name, number) in NEW_CALLS {
        live_without(name, &[number], libc::EPERM, &small, &expected);
    }
    let expected = Node::read_tree(&plain.create(&stack, "stack"));
    for errno in [libc::EPERM, libc::ENOSYS] {
        live_without("all of them", &all, errno, &stack, &expected);
    }
}

/// Each command, under a filter.
fn live_without(name: &str, calls: &[i64], errno: i32, url: &str, expected: &Tree) {
    let store = TempStore::uninitialised();
    let archive = store.beside("image.tar");
    fs::write(&archive, Archive::new().file("hello", 0o644, b"hello\n").bytes()).unwrap();
    let run = |command: &[&str]| {
        let outcome = run_without(calls, errno, store.command(command));
        assert_eq!(outcome.code, Some(0), "{name}, {errno}, {command:?}: {outcome:?}");
        outcome.stdout
    };
    run(&[&["init-store", "--store-size-bytes", "1073741824"], *QUOTA].concat());
    run(&["create", url, "x"]);
    run(&["create", archive.to_str().unwrap(), "y"]);
    run(&["create", "--without-mount", url, "z"]);
    assert_eq!(differences(expected, &Node::read_tree(&store.rootfs("x")), 10), [""; 0], "{name}, {errno}");
    wait_for("the flush of the layers", || store.run(["check"]).stdout == "no findings\n");
    assert_eq!(run(&["check"]), "no findings\n", "{name}, {errno}");
    run(&[&["init-store"], *QUOTA].concat());
    run(&["stats", "x"]);
    run(&["list"]);
    run(&["usage"]);
    run(&["umount", "y"]);
    run(&["mount", "y"]);
    for id in ["x", "y", "z"] {
        run(&["delete", id]);
    }
    run(&["clean"]);
    assert_eq!(store.volumes(), [""; 0], "{name}, {errno}");
    run(&["delete-store"]);
    assert!(!store.path().exists(), "{name}, {errno}");
}

#[test]
fn the_doctor_tells_which_walls_are_missing() {
    let store = TempStore::new();
    let landlock = NEW_CALLS.iter().filter(|(name, _)| name.starts_with("landlock")).map(|(_, number)| *number);
    for (subject, calls) in [("landlock", landlock.collect()), ("seccomp", vec![libc::SYS_seccomp])] {
        let with = run(&mut store.command(["doctor"])).stdout;
        let without = run_without(&calls, libc::EPERM, store.command(["doctor"])).stdout;
        let line = |text: &str| text.lines().find(|line| line.contains(subject)).unwrap_or_default().to_owned();
        assert!(line(&with).contains("layers are unpacked under it"), "{with}");
        assert!(line(&without).contains("layers are unpacked without it"), "{without}");
    }
}
