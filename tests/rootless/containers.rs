//! Root filesystems of ordinary users in use: mounted by root of a user namespace from what `create` prints.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::rootless::{IDS, USER, UsersStore};
use crate::support::pages::{Block, Step, blocks_below};
use crate::support::{
    Archive, Bundle, DRIVER, Driver, Image, Layer, Node, Runtime, TempStore, User, busybox_layer, differences,
    mounted_filesystem, run, run_users_bundle,
};

/// The image of the pages.
const IMAGE: &str = "docker:///library/busybox:latest";

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

const PAGE: &str = "docs/rootless.md";
/// The store of that page.
const STORE: &str = "/mnt/xfs/alice";

/// The commands of the section on mounts by hand: in each of its blocks.
fn by_hand() -> Vec<Block> {
    blocks_below(PAGE, "By hand")
}

#[test]
fn mounted_in_the_user_s_own_namespace() {
    let namespace = &by_hand()[0].steps()[1].command;
    mounted_by_the_user(&namespace.split(' ').map(str::to_owned).collect::<Vec<_>>());
}

#[test]
fn mounted_in_a_namespace_as_documented_for_older_systems() {
    mounted_by_the_user(&["sh", "-c", &by_hand()[1].text, "sh"].map(str::to_owned));
}

/// `namespace` is a command that runs another one as root of a user namespace.
fn mounted_by_the_user(namespace: &[String]) {
    let store = UsersStore::mapped();
    let url = image().write(&store.images().join("image"), "latest");
    let here = |text: &str| text.replace(STORE, store.store.path().to_str().unwrap()).replace(IMAGE, &url);
    let create = here(&by_hand()[0].steps()[0].command);
    let create = create.replacen("grootfs", &format!("grootfs --driver {}", DRIVER.name()), 1);
    let outcome = run(store.user.command("sh").args(["-c", &create])).success();
    assert!(by_hand()[0].steps()[0].shows(&outcome));
    let printed: Value = serde_json::from_str(&outcome).unwrap();
    let rootfs = store.store.rootfs("my-image");
    let mount = mount_command(&printed["mounts"][0]);
    let [shown_mount, enter] = by_hand()[2].steps().try_into().unwrap();
    let shown_mount = Step { output: Some(vec![here(&shown_mount.command)]), ..shown_mount };
    assert!(*DRIVER == Driver::Btrfs || shown_mount.shows(&mount), "{shown_mount:?}: {mount}");
    let in_namespace = |script: &str| {
        let script = format!("{mount} && cd {} && {script}", rootfs.display());
        let mut command = store.user.command(&namespace[0]);
        run(command.args(&namespace[1..]).args(["sh", "-ec", &script])).success()
    };
    // Replacing a directory of lower layers takes an opaque mark, which root of a namespace cannot set among root's.
    let script = "cat greeting && rm -r data && mkdir data && echo mine >data/file && ls data && stat -c %u home";
    assert_eq!(in_namespace(script), "hello\nfile\n1000\n");
    // Another mount shows the same.
    assert_eq!(in_namespace(&format!("{} -c 'cat /data/file'", here(&enter.command))), "mine\n");
    store.ok(&["delete", "my-image"]);
    store.ok(&["clean"]);
    store.is_empty();
}

/// What `getfattr` says of all files that have attributes, those of the overlay's own included.
fn attributes(root: &Path) -> String {
    run(Command::new("getfattr").args(["-R", "-h", "-d", "-m", "-", "."]).current_dir(root)).success()
}

/// The overlay of a user marks directories by `user.overlay.*`, and says so of what it copies up. Containers can set such
/// attributes themselves since Linux 6.7.
#[test]
fn changes_are_those_of_the_container_and_not_of_its_overlay() {
    let store = UsersStore::mapped();
    let lower = Archive::new()
        .owner(33, 33)
        .directory("way", 0o755)
        .file("way/file", 0o644, b"before")
        .directory("replaced", 0o755)
        .file("replaced/old", 0o644, b"")
        .directory("attribute", 0o755)
        .directory("mode", 0o755)
        .directory("owner", 0o755);
    let url = Image::new().layer(busybox_layer()).layer(Layer::new(lower.bytes()));
    let url = url.write(&store.images().join("image"), "latest");
    let printed = store.create(&url, "x");
    let rootfs = store.store.rootfs("x");
    let work = "echo after it >way/file; rm -r replaced; mkdir replaced; echo new >replaced/new; chmod 700 mode; \
                chown 44:55 owner; setfattr -n user.note -v kept attribute; \
                setfattr -n user.overlay.origin -v x attribute 2>/dev/null || :";
    let is_overlay = *DRIVER == Driver::OverlayXfs;
    let mount = if is_overlay { mount_command(&printed["mounts"][0]) } else { "true".to_owned() };
    let script = format!("{mount} && cd {} && {{ {work}; }}", rootfs.display());
    run(store.user.command("sh").args(["-c", &by_hand()[1].text, "sh", "sh", "-ec", &script])).success();
    let expected = "C /attribute\nC /mode\nC /owner\nC /replaced\nA /replaced/new\nD /replaced/old\nC /way/file\n";
    assert_eq!(store.ok(&["diff", "x"]), expected);
    assert_eq!(store.store.ok(["diff", "x"]), expected, "to root of the machine");
    if is_overlay {
        let own = attributes(&store.store.image("x").join("diff"));
        assert!(own.contains("user.overlay.opaque"), "{own}");
        let options = printed["mounts"][0]["options"][0].as_str().unwrap();
        run(Command::new("mount").args(["-t", "overlay", "overlay", "-o", options]).arg(&rootfs)).success();
        for shown in [store.ok(&["diff", "x"]), store.store.ok(["diff", "x"])] {
            assert_eq!(shown, expected, "where it is mounted");
        }
    }
    let mine = store.user.home().join("mine");
    let committed = format!("oci://{}:latest", mine.display());
    store.ok(&["commit", "x", &committed]);
    let layers =
        Command::new("sh").args(["-c", "for b in blobs/sha256/*; do zcat -f $b; done"]).current_dir(&mine).output();
    let layers = String::from_utf8_lossy(&layers.unwrap().stdout).into_owned();
    assert!(layers.contains("SCHILY.xattr.user.note=kept") && !layers.contains("user.overlay"));
    let tree = |rootfs: &Path| {
        let mut tree = Node::read_tree(rootfs);
        tree.values_mut().for_each(|node| node.xattrs.retain(|name, _| !name.starts_with("user.overlay.")));
        tree
    };
    let before = tree(&rootfs);
    let after = tree(&store.create_and_show(&committed, "y"));
    assert_eq!(differences(&before, &after, 5), [""; 0]);
    assert_eq!(store.ok(&["diff", "y"]), "");
}

/// The lines on root, and on the user, at the beginning of the pages on stores of users.
#[test]
fn stores_of_users_are_made_as_documented() {
    for (page, shown_store, shown_user) in
        [(PAGE, STORE, "alice:alice"), ("docs/reference.md", "/mnt/xfs/groot", "groot:groot")]
    {
        let outer = TempStore::uninitialised();
        let user = User::new(outer.path().parent().unwrap(), USER, &[IDS]);
        // On a filesystem that is mounted already: what is mounted for the user's machine is not for others.
        let store = TempStore::at(mounted_filesystem(&outer).join("store"));
        let url = image().write(&user.home().join("image"), "latest");
        for step in blocks_below(page, "Ordinary users").iter().flat_map(Block::steps) {
            let line = step.command.replace(shown_store, store.path().to_str().unwrap()).replace(IMAGE, &url);
            let line = line.replace(shown_user, &format!("{0}:{0}", User::NAME));
            let mut shell = if step.is_of_root { user.as_root("sh") } else { user.command("sh") };
            shell.env("PATH", format!("{}:{}", user.bin().display(), std::env::var("PATH").unwrap()));
            shell.env("GROOTFS_DRIVER", DRIVER.name()).env("GROOTFS_INIT_WITHOUT_QUOTA", "true");
            let outcome = run(shell.args(["-c", &line]));
            assert_eq!(outcome.code, Some(0), "{line}: {outcome:?}");
            assert!(step.shows(&outcome.stdout), "{line}: {outcome:?}");
        }
    }
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
