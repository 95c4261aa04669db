//! `create --bundle`: runtimes start the bundle as it is.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{
    Archive, DRIVER, Driver, Image, Layer, Outcome, Runtime, TempStore, busybox_layer, names, run_bundle,
    run_bundle_on_a_terminal, succeed,
};

/// Shows ids, working directory, environment, a file of the image's volume, and that the root can be written to.
const SCRIPT: &str =
    "id -u; id -g; id -G; /bin/busybox pwd; echo $GREETED; cat /data/file; echo ok > /written; cat /written";
const EXPECTED: &str = "1000\n1001\n1001 50\n/srv\nby the image\nof the image\nok\n";

fn image() -> Image {
    let files = Archive::new()
        .owner(0, 0)
        .directory("usr", 0o755)
        .directory("usr/etc", 0o755)
        .file("usr/etc/passwd", 0o644, b"root:x:0:0::/:/bin/sh\napp:x:1000:1001::/srv:/bin/sh\n")
        .symlink("etc/passwd", "../../../usr/etc/passwd")
        .file("etc/group", 0o644, b"staff:x:50:app\n")
        .directory("srv", 0o755)
        .directory("data", 0o755)
        .file("data/file", 0o644, b"of the image\n")
        .file("written", 0o666, b"");
    Image::new()
        .layer(busybox_layer())
        .layer(Layer::new(files.bytes()))
        .env(&["GREETED=by the image", "broken"])
        .volume("/data")
        .edit_config(|config| {
            config["config"]["Entrypoint"] = json!(["/bin/sh", "-c"]);
            config["config"]["Cmd"] = json!([SCRIPT]);
            config["config"]["User"] = "app".into();
            config["config"]["WorkingDir"] = "/srv".into();
        })
}

#[track_caller]
fn assert_runs(outcome: &Outcome) {
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), EXPECTED), "{outcome:?}");
}

fn configuration(bundle: &Path) -> Value {
    serde_json::from_slice(&fs::read(bundle.join("config.json")).unwrap()).unwrap()
}

#[test]
fn a_bundle_runs_as_it_is_under_runc_and_crun() {
    for runtime in [Runtime::Runc, Runtime::Crun] {
        let store = TempStore::new();
        let url = image().write(&store.beside("image"), "latest");
        let bundle = store.beside("bundle");
        let printed = store.ok(["create", "--bundle", bundle.to_str().unwrap(), &url, "x"]);
        let plain = store.ok(["create", &url, "y"]);
        assert_eq!(printed.replace("images/x/", "images/y/"), plain, "the line is the one without a bundle");
        assert_runs(&run_bundle(runtime, &bundle));
        assert_eq!(fs::read_to_string(store.own_files("x").join("written")).unwrap(), "ok\n");
        store.ok(["delete", "x"]);
        assert_eq!(names(&bundle), ["config.json"], "the bundle is its user's");
    }
}

#[test]
fn a_bundle_without_mount_runs_under_runc_and_on_btrfs_under_crun() {
    let runtimes: &[Runtime] =
        if *DRIVER == Driver::Btrfs { &[Runtime::Runc, Runtime::Crun] } else { &[Runtime::Runc] };
    for runtime in runtimes {
        let store = TempStore::new();
        let url = image().write(&store.beside("image"), "latest");
        let bundle = store.beside("bundle");
        fs::create_dir(&bundle).unwrap();
        let printed = store.ok(["create", "--without-mount", "--bundle", bundle.to_str().unwrap(), &url, "x"]);
        let printed: Value = serde_json::from_str(&printed).unwrap();
        if *DRIVER == Driver::OverlayXfs {
            assert_eq!(configuration(&bundle)["mounts"][0], printed["mounts"][0]);
        }
        assert_runs(&run_bundle(*runtime, &bundle));
        store.ok(["delete", "x"]);
    }
}

#[test]
fn a_store_with_mappings_has_its_containers_in_a_user_namespace() {
    for runtime in [Runtime::Runc, Runtime::Crun] {
        let store = TempStore::uninitialised();
        let mappings = ["--uid-mapping", "0:100000:65536", "--gid-mapping", "0:100000:65536"];
        let quota: &[&str] = if *DRIVER == Driver::Btrfs { &[] } else { &["--without-quota"] };
        store.ok([&["init-store", "--store-size-bytes", "1073741824"], quota, &mappings].concat());
        // The runtime enters the root filesystem as root of the namespace.
        for directory in [store.path().parent().unwrap(), store.path(), &store.path().join("images")] {
            succeed("chmod", ["755", directory.to_str().unwrap()]);
        }
        let url = image().write(&store.beside("image"), "latest");
        let bundle = store.beside("bundle");
        store.ok(["create", "--bundle", bundle.to_str().unwrap(), &url, "x"]);
        succeed("chmod", ["755", store.image("x").to_str().unwrap()]);
        let written = configuration(&bundle);
        assert_eq!(written["linux"]["uidMappings"], json!([{ "containerID": 0, "hostID": 100_000, "size": 65_536 }]));
        assert_runs(&run_bundle(runtime, &bundle));
        store.ok(["delete", "x"]);
    }
}

#[test]
fn what_the_image_does_not_say_is_as_runc_has_it() {
    let store = TempStore::new();
    let (bundle, theirs) = (store.beside("bundle"), store.beside("theirs"));
    let url = Image::new().layer(busybox_layer()).write(&store.beside("image"), "latest");
    store.ok(["create", "--bundle", bundle.to_str().unwrap(), &url, "not_a_host_name"]);
    fs::create_dir(&theirs).unwrap();
    succeed("runc", ["spec", "--bundle", theirs.to_str().unwrap()]);
    let (own, mut theirs) = (configuration(&bundle), configuration(&theirs));
    theirs["ociVersion"] = "1.0.2".into();
    theirs["process"]["terminal"] = false.into();
    theirs["process"]["env"] = json!(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
    theirs["root"] = json!({ "path": store.rootfs("not_a_host_name"), "readonly": false });
    theirs["hostname"] = "container".into();
    // Newer ones add this one.
    if let Some(namespaces) = theirs["linux"]["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "cgroup");
    }
    assert_eq!(own, theirs);
    let outcome = run_bundle(Runtime::Runc, &bundle);
    assert_eq!(outcome.code, Some(0), "a shell that reads nothing: {outcome:?}");
}

#[test]
fn a_bundle_with_a_terminal_has_one_of_its_own() {
    let store = TempStore::new();
    let edit = |config: &mut Value| config["config"]["Cmd"] = json!(["/bin/busybox", "tty"]);
    let url = Image::new().layer(busybox_layer()).edit_config(edit).write(&store.beside("image"), "latest");
    for (id, flags, expected) in [("x", &[][..], "not a tty"), ("y", &["--terminal"], "/dev/pts/0")] {
        let bundle = store.beside(id);
        store.ok([&["create", "--bundle", bundle.to_str().unwrap()], flags, &[&url, id]].concat());
        let outcome = run_bundle_on_a_terminal(&bundle);
        assert!(outcome.stdout.contains(expected), "{outcome:?}");
    }
    assert!(store.fails(["create", "--terminal", &url, "z"]).contains("--bundle"));
}

#[test]
fn nothing_is_left_of_a_bundle_that_failed() {
    let store = TempStore::new();
    let url = |user: &'static str| {
        let edit = move |config: &mut Value| config["config"]["User"] = user.into();
        image().edit_config(edit).write(&store.beside(user), "latest")
    };
    let (new, empty, taken) = (store.beside("new"), store.beside("empty"), store.beside("taken"));
    fs::create_dir(&empty).unwrap();
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("file"), "mine").unwrap();
    let stranger = url("stranger");
    for bundle in [&new, &empty] {
        let message = store.fails(["create", "--bundle", bundle.to_str().unwrap(), &stranger, "x"]);
        assert!(message.starts_with("the image's user `stranger` is not in its /etc/passwd"), "{message}");
    }
    assert!(!new.exists() && names(&empty).is_empty());
    let good = url("root");
    let message = store.fails(["create", "--bundle", taken.to_str().unwrap(), &good, "x"]);
    assert!(message.contains("is not empty"), "{message}");
    assert_eq!(names(&taken), ["file"]);
    let message = store.fails(["create", "--bundle", store.beside("no/such").to_str().unwrap(), &good, "x"]);
    assert!(message.starts_with("making bundle: mkdir"), "{message}");
    // An answer that nobody gets takes image and bundle with it.
    let mut command = store.command(["create", "--bundle", new.to_str().unwrap(), &good, "x"]);
    command.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
    assert_eq!(command.status().unwrap().code(), Some(1));
    assert!(!new.exists() && names(&store.path().join("images")).is_empty());
    assert_eq!(store.leftovers(), [""; 0]);
}

#[test]
fn an_image_whose_users_lead_out_of_it_finds_nothing_there() {
    let store = TempStore::new();
    let files = Archive::new().symlink("etc/passwd", "/../../../../../../etc/passwd").file("etc/group/x", 0o644, b"");
    let edit = |config: &mut Value| config["config"]["User"] = "daemon".into();
    let image = Image::new().layer(Layer::new(files.bytes())).edit_config(edit);
    let url = image.write(&store.beside("image"), "latest");
    let message = store.fails(["create", "--bundle", store.beside("bundle").to_str().unwrap(), &url, "x"]);
    assert!(message.contains("`daemon` is not in its /etc/passwd"), "{message}");
}
