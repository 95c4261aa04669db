//! A user with ids of his own.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::rootless::{IDS, USER, UsersStore};
use crate::support::{
    Answer, Archive, Asked, DRIVER, Driver, Image, Layer, Node, PASSWORD, Registry, ScriptedRegistry, Setup, TempStore,
    Tree, USER as LOGIN_NAME, User, allow_search, differences, grootfs_binary, large_layer, layout, mounted_filesystem,
    names, run, shifted, small_image, test_images, umoci, wait_for,
};

/// What `docker login` leaves; the name and the password in base64.
const LOGIN: &str = r#"{"auths":{"HOST":{"auth":"Z3Jvb3Q6c2VjcmV0LXdvcmQ="}}}"#;

fn owner(path: &Path) -> (u32, u32) {
    let metadata = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    (metadata.uid(), metadata.gid())
}

fn copy_of_test_image(store: &UsersStore, name: &str) -> String {
    let image = store.images().join(name);
    run(Command::new("cp").arg("-r").arg(test_images().join(name)).arg(&image)).success();
    format!("oci://{}:latest", image.display())
}

#[track_caller]
fn equals_umoci_shifted(store: &UsersStore, name: &str) {
    let expected: Tree = shifted(&umoci(&test_images().join(name), &store.store.beside("umoci")), |id| {
        if id <= IDS.1 { store.user.host_id(id) } else { id }
    });
    let actual = Node::read_tree(&store.create_and_show(&copy_of_test_image(store, name), name));
    let differences = differences(&expected, &actual, 20);
    assert!(differences.is_empty(), "{name}:\n{}", differences.join("\n"));
}

#[test]
fn real_images_are_the_same_as_root_makes_them_file_by_file() {
    let store = UsersStore::mapped();
    for name in ["debian", "busybox"] {
        equals_umoci_shifted(&store, name);
    }
    run(Command::new("umount").arg(store.store.rootfs("debian"))).code.unwrap();
    store.ok(&["delete", "debian"]);
}

#[test]
fn from_making_to_cleaning() {
    let store = UsersStore::mapped();
    let archive = Archive::new()
        .owner(33, 33)
        .directory("var", 0o700)
        .file("var/private", 0o600, b"www's")
        .owner(0, 0)
        .directory("root", 0o550)
        .file("root/.profile", 0o400, b"");
    let image = Image::new().layer(Layer::new(archive.bytes())).volume("/data");
    let url = image.write(&store.images().join("image"), "latest");
    let printed = store.create(&url, "x");
    let shown = store.store.image("x").join(match *DRIVER {
        Driver::OverlayXfs => format!("../../volumes/{}", store.store.volumes()[0]),
        Driver::Btrfs => "rootfs".to_owned(),
    });
    assert_eq!(owner(&shown.join("var/private")), (100_032, 100_032));
    assert_eq!(owner(&shown.join("root/.profile")), (USER, USER));
    let volume = printed["mounts"].as_array().unwrap().last().unwrap()["source"].as_str().unwrap();
    assert_eq!(owner(Path::new(volume)), (USER, USER));

    assert_eq!(store.ok(&["list"]), format!("{}\n", store.store.image("x").display()));
    assert!(store.ok(&["stats", "x"]).contains("\"total_bytes_used\":"));
    store.ok(&["generate-volume-size-metadata"]);
    assert_eq!(store.ok(&["delete", "x"]), "Image x deleted\n");
    assert_eq!(store.ok(&["clean"]), "clean completed\n");
    store.is_empty();
    assert!(store.ok(&["delete", "x"]).contains("not found"));
}

#[test]
fn volumes_of_the_image_begin_with_what_it_has_there() {
    let store = UsersStore::mapped();
    let archive = Archive::new()
        .owner(33, 34)
        .directory("data", 0o700)
        .file("data/private", 0o600, b"www's")
        .owner(0, 0)
        .symlink("link", "/data");
    let image = Image::new().layer(Layer::new(archive.bytes())).volume("/link").volume("/data");
    let printed = store.create(&image.write(&store.images().join("image"), "latest"), "x");
    let mounts = printed["mounts"].as_array().unwrap();
    let volumes: Vec<_> = mounts.iter().filter(|mount| mount["type"] == "bind").collect();
    assert_eq!(volumes.len(), 2);
    for volume in volumes {
        let source = Path::new(volume["source"].as_str().unwrap());
        assert_eq!((owner(source), Node::read(source).mode), ((100_032, 100_033), 0o700));
        assert_eq!(owner(&source.join("private")), (100_032, 100_033));
        assert_eq!(fs::read_to_string(source.join("private")).unwrap(), "www's");
    }
    store.ok(&["delete", "x"]);
    store.ok(&["clean"]);
    store.is_empty();
}

#[test]
fn every_source_will_do() {
    let store = UsersStore::mapped();
    let archive = Archive::new().owner(7, 7).file("file", 0o600, b"x").bytes();
    let tar = store.images().join("image.tar");
    fs::write(&tar, &archive).unwrap();
    let registry = Registry::plain();
    let oci = Image::new().layer(Layer::new(archive)).write(&store.images().join("image"), "latest");
    registry.push(&oci, "image:latest", &[]);
    let docker = registry.url("image:latest");
    for (id, url) in [("tar", tar.to_str().unwrap()), ("oci", &oci), ("docker", &docker)] {
        let insecure = ["create", "--without-mount", "--insecure-registry", &registry.host()];
        store.ok(&[&insecure[..], &[url, id]].concat());
    }
    for volume in store.store.volumes() {
        assert_eq!(owner(&store.store.path().join("volumes").join(volume).join("file")), (100_006, 100_006));
    }
}

#[test]
fn a_user_pulls_by_a_login_of_his_own_and_the_store_remembers() {
    let store = UsersStore::mapped();
    let registry = Registry::start(Setup { basic_auth: true, ..Setup::default() });
    let oci = Image::new().layer(Layer::new(Archive::new().file("file", 0o600, b"x").bytes()));
    let url = registry.push(&oci.write(&store.images().join("image"), "latest"), "image:latest", &[]);
    let login = store.user.home().join(".docker");
    fs::create_dir(&login).unwrap();
    fs::write(login.join("config.json"), LOGIN.replace("HOST", &registry.host())).unwrap();
    let insecure = ["create", "--without-mount", "--insecure-registry", &registry.host(), &url];
    store.ok(&[&insecure[..], &["one"]].concat());
    store.ok(&["create", "--without-mount", "--offline", &url, "two"]);
    // What root has pulled, the user can remove, and the other way round.
    let documents = store.store.path().join("meta/documents");
    assert_eq!(names(&documents).len(), 3);
    for id in ["one", "two"] {
        store.ok(&["delete", id]);
    }
    store.ok(&["clean"]);
    assert_eq!(names(&documents), [""; 0]);
    let root = ["--username", LOGIN_NAME, "--password", PASSWORD, "three"];
    store.store.ok([&insecure[..], &root].concat());
    assert_eq!(names(&documents).len(), 3);
    store.ok(&["delete", "three"]);
    store.ok(&["clean"]);
    assert_eq!(names(&documents), [""; 0]);
}

#[test]
fn the_second_range_of_ids_follows_the_first() {
    let store = UsersStore::with_ids(&[(200_000, 1000), (300_000, 1000)]);
    let archive = Archive::new().owner(1001, 1000).file("file", 0o600, b"").bytes();
    let url = Image::new().layer(Layer::new(archive)).write(&store.images().join("image"), "latest");
    let rootfs = store.create_and_show(&url, "x");
    assert_eq!(owner(&rootfs.join("file")), (300_000, 200_999));
}

#[test]
fn an_id_that_is_not_mapped_is_named() {
    let store = UsersStore::with_ids(&[(200_000, 1000)]);
    let archive = Archive::new().owner(1001, 5).file("file", 0o600, b"").bytes();
    let url = Image::new().layer(Layer::new(archive)).write(&store.images().join("image"), "latest");
    let message = store.fails(&["create", "--without-mount", &url, "x"]);
    assert!(message.contains("chowning file 1001:5, which the id mappings leave out,"), "{message}");
    store.ok(&["clean"]);
    store.is_empty();
}

/// <linux/posix_acl_xattr.h>: permissions of the owner, of the one named, of the group, all that these have, and of others.
fn access_control_list(tag: u8, id: u32) -> Vec<u8> {
    let none = u32::MAX;
    let entries = [(0x01, 6, none), (tag, 7, id), (0x04, 4, none), (0x10, 7, none), (0x20, 4, none)];
    let mut entries = entries.to_vec();
    entries.sort_by_key(|(tag, ..)| *tag);
    let bytes = entries.into_iter().flat_map(|(tag, permissions, id)| {
        let [a, b, c, d] = id.to_le_bytes();
        [tag, 0, permissions, 0, a, b, c, d]
    });
    [2, 0, 0, 0].into_iter().chain(bytes).collect()
}

#[test]
fn an_id_in_an_attribute_that_is_not_mapped_is_named() {
    let store = UsersStore::with_ids(&[(200_000, 1000)]);
    let root = 1001_u32.to_le_bytes();
    let capability = [&[1, 0, 0, 3][..], &[0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &root].concat();
    let (access, default) = ("system.posix_acl_access", "system.posix_acl_default");
    let cases = [
        (access, access_control_list(0x02, 1001), "user 1001"),
        (access, access_control_list(0x08, 1234), "group 1234"),
        (default, access_control_list(0x02, 1001), "user 1001"),
        ("security.capability", capability, "user 1001"),
    ];
    for (number, (name, value, id)) in cases.into_iter().enumerate() {
        let archive = Archive::new().xattr(name, &value);
        let archive =
            if name == default { archive.directory("f", 0o755) } else { archive.file("f", 0o674, b"") }.bytes();
        let layout = store.images().join(number.to_string());
        let url = Image::new().layer(Layer::new(archive)).write(&layout, "latest");
        let message = store.fails(&["create", "--without-mount", &url, "x"]);
        let expected =
            format!("setting xattr `{name}` with {id}, which the id mappings leave out, for file `f`: invalid");
        assert!(message.contains(&expected), "{message}");
    }
    let mapped = Archive::new().xattr(access, &access_control_list(0x02, 1000)).file("f", 0o674, b"").bytes();
    let malformed = Archive::new().xattr(access, &access_control_list(0x03, 1000)).file("f", 0o674, b"").bytes();
    let url = |name: &str, archive| Image::new().layer(Layer::new(archive)).write(&store.images().join(name), "latest");
    store.create(&url("mapped", mapped), "mapped");
    // A list that means nothing is left out.
    store.create(&url("malformed", malformed), "malformed");
}

/// As Garden kills what takes too long.
#[test]
fn the_child_dies_with_its_parent_and_the_next_create_succeeds() {
    let store = UsersStore::mapped();
    let fifo = store.images().join("fifo.tar");
    run(Command::new("mkfifo").args(["-m", "666"]).arg(&fifo)).success();
    let create = ["create", "--without-mount", fifo.to_str().unwrap(), "x"];
    let mut parent = store.user.grootfs(&store.store, create).stdout(Stdio::null()).spawn().unwrap();
    // Opening for writing waits for the reader.
    let writer = fs::File::options().write(true).open(&fifo).unwrap();
    let child = children(parent.id());
    assert_eq!(child.len(), 1);
    parent.kill().unwrap();
    parent.wait().unwrap();
    let is_alive = || Path::new("/proc").join(&child[0]).join("exe").exists();
    let mut patience = 100;
    while is_alive() && patience > 0 {
        thread::sleep(Duration::from_millis(20));
        patience -= 1;
    }
    assert!(!is_alive(), "process {} lives on", child[0]);
    drop(writer);
    store.create(&small_image(&store.images().join("image")), "x");
    store.ok(&["delete", "x"]);
    store.ok(&["clean"]);
    store.is_empty();
}

fn children(parent: u32) -> Vec<String> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    fs::read_to_string(path).unwrap().split_whitespace().map(str::to_owned).collect()
}

/// From a supervisor the signal comes to the process that the user started, from a terminal to its child too.
#[test]
fn an_interrupted_create_ends_with_its_child_and_leaves_nothing() {
    let store = UsersStore::mapped();
    let stalls = |asked: &Asked| match asked.path.ends_with(&large_layer().digest) {
        true => Answer::StallAfter(1_000_000),
        false => Answer::Serve,
    };
    let server = ScriptedRegistry::start(&layout(&store.store), stalls);
    let (url, host) = (server.url(), server.host());
    for (round, (signal, of_group)) in [(1, false), (15, false), (2, true)].into_iter().enumerate() {
        let mut create = store.user.command("env");
        create.args(["--default-signal=HUP,INT,TERM", "grootfs", "--driver", DRIVER.name(), "--store"]);
        create.arg(store.store.path()).args(["create", "--without-mount", "--insecure-registry", &host, &url, "x"]);
        let mut begun = create.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
        let asked = || server.asked().iter().filter(|asked| asked.path.ends_with(&large_layer().digest)).count();
        wait_for("the layer that hangs", || asked() == round + 1);
        let [child] = <[String; 1]>::try_from(children(begun.id())).unwrap();
        let to = format!("{}{}", if of_group { "-" } else { "" }, begun.id());
        let start = Instant::now();
        run(Command::new("kill").args(["-s", &signal.to_string(), "--", &to])).success();
        wait_for("the end of the create", || begun.try_wait().unwrap().is_some());
        let output = begun.wait_with_output().unwrap();
        // On an idle machine in less than a second.
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert_eq!(output.status.signal(), Some(signal), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.starts_with("interrupted: no image was made") && said.lines().count() == 1, "{said}");
        assert!(!Path::new("/proc").join(child).join("exe").exists(), "the child lives on");
        if said.contains("removed by the next clean") {
            store.ok(&["clean"]);
        }
        assert_eq!(store.store.leftovers(), [""; 0]);
        assert_eq!(names(&store.store.path().join("images")), [""; 0]);
    }
    let local = format!("oci://{}:latest", store.store.beside("layout").display());
    allow_search(&store.store.beside("layout"));
    store.create(&local, "x");
}

#[test]
fn the_store_is_made_from_what_the_user_may_have() {
    let outer = TempStore::uninitialised();
    let user = User::new(outer.path().parent().unwrap(), USER, &[IDS, (300_000, 10)]);
    // On a filesystem that is mounted already: what is mounted for the user's machine is not for others.
    let store = TempStore::at(mounted_filesystem(&outer).join("store"));
    let rootless = format!("{0}:{0}", User::NAME);
    let mut init = user.as_root(grootfs_binary());
    init.args(["--driver", DRIVER.name(), "--store"]).arg(store.path());
    init.args(["init-store", "--without-quota", "--rootless", &rootless]);
    run(&mut init).success();
    let namespace = fs::read_to_string(store.path().join("meta/namespace.json")).unwrap();
    let mappings = r#"["0:4711:1","1:100000:65536","65537:300000:10"]"#;
    assert_eq!(namespace, format!("{{\"uid-mappings\":{mappings},\"gid-mappings\":{mappings}}}\n"));
    assert_eq!(owner(store.path()), (USER, USER));
    let image = user.home().join("image");
    user.run(&store, ["create", "--without-mount", &small_image(&image), "x"]).success();
}

#[test]
fn a_user_can_delete_his_store_but_for_what_is_mounted() {
    let store = UsersStore::mapped();
    let archive = Archive::new().owner(33, 33).directory("d", 0o700).file("d/f", 0o600, b"").bytes();
    let url = Image::new().layer(Layer::new(archive)).write(&store.images().join("image"), "latest");
    store.create(&url, "x");
    store.user.run(&store.store, ["delete-store"]);
    assert_eq!(store.store.volumes(), [""; 0]);
    assert!(!store.store.image("x").exists());
}
