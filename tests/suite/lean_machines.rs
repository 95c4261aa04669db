//! Machines and containers that lack something: `/proc`, a writable or a complete `/etc`, system calls that are new.

use std::fs;
use std::process::Command;

use crate::support::{Archive, DRIVER, Driver, Outcome, TempStore, names, run, small_image, wrapped};

/// No kernel of a test machine has quotas on XFS.
const QUOTA: &[&str] = if matches!(DRIVER, Driver::OverlayXfs) { &["--without-quota"] } else { &[] };

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
    for command in [
        &["create", &url, "y"][..],
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
    ] {
        let message = run_after("umount -l /proc", &store.command(command)).failure();
        assert!(message.contains("/proc is not mounted"), "{command:?}: {message}");
        assert!(message.ends_with("mount -t proc proc /proc"), "{command:?}: {message}");
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
        store.ok([&["init-store", "--store-size-bytes", "1073741824"], QUOTA].concat());
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
