//! Root filesystems of ordinary users in use: mounted by root of a user namespace from what `create` prints.

use std::fs;
use std::process::Command;

use crate::rootless::{USER, UsersStore};
use crate::support::{Archive, Bundle, DRIVER, Driver, Image, Layer, Runtime, busybox_layer, run};

const SCRIPT: &str = "cat /greeting && /bin/busybox rm -r /data && /bin/busybox mkdir /data && echo mine >/data/file && \
                      ls /data && id -u";

fn image() -> Image {
    let top = Archive::new()
        .file("greeting", 0o644, b"hello\n")
        .directory("data", 0o755)
        .file("data/of-the-image", 0o644, b"")
        .owner(1000, 1000)
        .directory("home", 0o700);
    Image::new().layer(busybox_layer()).layer(Layer::new(top.bytes()))
}

#[test]
fn mounted_in_the_user_s_own_namespace() {
    if DRIVER != Driver::OverlayXfs {
        return;
    }
    let store = UsersStore::mapped();
    let printed = store.create(&image().write(&store.images().join("image"), "latest"), "x");
    let options = printed["mounts"][0]["options"][0].as_str().unwrap();
    let rootfs = store.store.rootfs("x");
    // Replacing a directory of lower layers takes an opaque mark, which root of a namespace cannot set among root's.
    let script = format!(
        "mount -t overlay overlay -o {options} {rootfs} && cd {rootfs} && cat greeting && rm -r data && mkdir data && \
         echo mine >data/file && ls data && stat -c %u home",
        rootfs = rootfs.display()
    );
    let mut unshare = store.user.command("unshare");
    unshare.args(["--user", "--map-auto", "--map-root-user", "--mount", "sh", "-ec", &script]);
    assert_eq!(run(&mut unshare).success(), "hello\nfile\n1000\n");
    // Another mount shows the same.
    let again = format!("mount -t overlay overlay -o {options} {0} && ls {0}/data", rootfs.display());
    let mut unshare = store.user.command("unshare");
    unshare.args(["--user", "--map-auto", "--map-root-user", "--mount", "sh", "-ec", &again]);
    assert_eq!(run(&mut unshare).success(), "file\n");
    store.ok(&["delete", "x"]);
    store.ok(&["clean"]);
    store.is_empty();
}

#[test]
fn run_by_the_user_under_runc() {
    let store = UsersStore::mapped();
    let url = image().write(&store.images().join("image"), "latest");
    let printed = store.create(&url, "x").to_string();
    let bundle = Bundle::of_user(&store.user, &printed, &["/bin/sh", "-ec", SCRIPT]);
    assert_eq!(bundle.run_by(&store.user, Runtime::Runc).success(), "hello\nfile\n0\n");
    let own = match DRIVER {
        Driver::OverlayXfs => store.store.image("x").join("diff"),
        Driver::Btrfs => store.store.rootfs("x"),
    };
    assert_eq!(fs::read_to_string(own.join("data/file")).unwrap(), "mine\n");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&fs::metadata(own.join("data/file")).unwrap()), USER);
    store.ok(&["delete", "x"]);
    store.ok(&["clean"]);
    store.is_empty();
}

/// crun cannot place a root overlay from `mounts`, so this one is for roots that need none.
#[test]
fn run_by_the_user_under_crun() {
    if DRIVER != Driver::Btrfs {
        return;
    }
    let store = UsersStore::mapped();
    let url = image().write(&store.images().join("image"), "latest");
    let printed = store.create(&url, "x").to_string();
    let bundle = Bundle::of_user(&store.user, &printed, &["/bin/sh", "-ec", SCRIPT]);
    assert_eq!(bundle.run_by(&store.user, Runtime::Crun).success(), "hello\nfile\n0\n");
    store.ok(&["delete", "x"]);
}

/// A user's process that was told to write beyond what it may.
#[test]
fn other_users_cannot_look_in() {
    let store = UsersStore::mapped();
    store.create(&image().write(&store.images().join("image"), "latest"), "x");
    let mut look = Command::new("setpriv");
    look.args(["--reuid=4712", "--regid=4712", "--clear-groups", "ls"]).arg(store.store.image("x"));
    assert_ne!(run(&mut look).code, Some(0));
}
