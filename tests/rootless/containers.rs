//! Root filesystems of ordinary users in use: mounted by root of a user namespace from what `create` prints.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::rootless::{USER, UsersStore};
use crate::support::{Archive, Bundle, DRIVER, Driver, Image, Layer, Runtime, busybox_layer, run, run_users_bundle};

pub(crate) const SCRIPT: &str = "cat /greeting && /bin/busybox rm -r /data && /bin/busybox mkdir /data && echo mine >/data/file && \
                      ls /data && id -u";

pub(crate) fn image() -> Image {
    let top = Archive::new()
        .file("greeting", 0o644, b"hello\n")
        .directory("data", 0o755)
        .file("data/of-the-image", 0o644, b"")
        .owner(1000, 1000)
        .directory("home", 0o700);
    Image::new().layer(busybox_layer()).layer(Layer::new(top.bytes()))
}

/// A shell command that mounts a root filesystem as an entry of `mounts` says.
fn mount_command(entry: &Value) -> String {
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let (kind, options) = (text("type"), entry["options"][0].as_str().unwrap());
    let kind = if kind.is_empty() { kind } else { format!("-t {kind}") };
    format!("mount {kind} {} -o {options} {}", text("source"), text("destination"))
}

#[test]
fn mounted_in_the_user_s_own_namespace() {
    let new_namespace = ["unshare", "--user", "--map-auto", "--map-root-user", "--mount"];
    mounted_by_the_user(&new_namespace.map(str::to_owned));
}

#[test]
fn mounted_in_a_namespace_as_documented_for_older_systems() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rootless.md")).unwrap();
    let script = page.split_once("```sh\n").and_then(|(_, rest)| rest.split_once("```")).unwrap().0;
    mounted_by_the_user(&["sh", "-c", script, "sh"].map(str::to_owned));
}

/// `namespace` is a command that runs another one as root of a user namespace.
fn mounted_by_the_user(namespace: &[String]) {
    let store = UsersStore::mapped();
    let url = image().write(&store.images().join("image"), "latest");
    let printed: Value = serde_json::from_str(&store.ok(&["create", "--without-mount", &url, "x"])).unwrap();
    let rootfs = store.store.rootfs("x");
    let in_namespace = |script: &str| {
        let script = format!("{} && cd {} && {script}", mount_command(&printed["mounts"][0]), rootfs.display());
        let mut command = store.user.command(&namespace[0]);
        run(command.args(&namespace[1..]).args(["sh", "-ec", &script])).success()
    };
    // Replacing a directory of lower layers takes an opaque mark, which root of a namespace cannot set among root's.
    let script = "cat greeting && rm -r data && mkdir data && echo mine >data/file && ls data && stat -c %u home";
    assert_eq!(in_namespace(script), "hello\nfile\n1000\n");
    // Another mount shows the same.
    assert_eq!(in_namespace("ls data"), "file\n");
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
    let own = match *DRIVER {
        Driver::OverlayXfs => store.store.image("x").join("diff"),
        Driver::Btrfs => store.store.rootfs("x"),
    };
    assert_eq!(fs::read_to_string(own.join("data/file")).unwrap(), "mine\n");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&fs::metadata(own.join("data/file")).unwrap()), USER);
    store.ok(&["delete", "x"]);
    store.ok(&["clean"]);
    store.is_empty();
}

/// crun 1.8 mounts no root filesystem; on btrfs there is none to be mounted.
#[test]
fn a_bundle_runs_as_it_is() {
    let runtimes: &[Runtime] =
        if *DRIVER == Driver::Btrfs { &[Runtime::Runc, Runtime::Crun] } else { &[Runtime::Runc] };
    for (number, runtime) in runtimes.iter().enumerate() {
        let store = UsersStore::mapped();
        let edit = |config: &mut Value| config["config"]["Cmd"] = serde_json::json!(["/bin/sh", "-ec", SCRIPT]);
        let url = image().edit_config(edit).write(&store.images().join("image"), "latest");
        let bundle = store.user.home().join(format!("bundle-{number}"));
        let flag = if *DRIVER == Driver::OverlayXfs { "--without-mount" } else { "--with-mount" };
        store.ok(&["create", flag, "--bundle", bundle.to_str().unwrap(), &url, "x"]);
        let outcome = run_users_bundle(&store.user, *runtime, &bundle);
        assert_eq!(outcome.success(), "hello\nfile\n0\n");
        store.ok(&["delete", "x"]);
    }
}

#[test]
fn other_users_cannot_look_in() {
    let store = UsersStore::mapped();
    store.create(&image().write(&store.images().join("image"), "latest"), "x");
    let mut look = Command::new("setpriv");
    look.args(["--reuid=4712", "--regid=4712", "--clear-groups", "ls"]).arg(store.store.image("x"));
    assert_ne!(run(&mut look).code, Some(0));
}
