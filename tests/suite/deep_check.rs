//! `check --deep`: layers are what was unpacked, or are found.

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use serde_json::Value;

use crate::support::{Archive, DRIVER, Driver, Image, Layer, TempStore, names, run, test_images, wait_for};

/// The exit code and the document of a deep check.
fn deep(store: &TempStore, flags: &[&str]) -> (Option<i32>, Value) {
    let outcome = run(&mut store.command([&["check", "--deep", "--json"], flags].concat()));
    (outcome.code, serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome:?}")))
}

/// Creates an image, and waits until its layers are on disk.
fn create(store: &TempStore, url: &str, id: &str) {
    store.create(url, id);
    store.ok(["flush-volumes"]);
    wait_for("all marks gone", || names(&store.path().join("meta/unflushed")).is_empty());
}

fn image(store: &TempStore) -> String {
    let bottom = Archive::new().directory("d", 0o755).file("d/hidden", 0o644, b"h").file("d/kept", 0o644, b"k");
    let top = Archive::new()
        .directory("d", 0o750)
        .file("d/content", 0o644, &[7; 100_000])
        .xattr("user.a", b"b")
        .file("d/file", 0o4755, b"file")
        .hard_link("d/again", "d/file")
        .symlink("d/link", "file")
        .fifo("d/fifo", 0o600)
        .whiteout("d/hidden")
        .file("implicit/file", 0o600, b"");
    let layers = [bottom, top].map(|archive| Layer::new(archive.bytes()));
    layers.into_iter().fold(Image::new(), Image::layer).write(&store.beside("image"), "latest")
}

/// The volume of the upper layer of [`image`].
fn upper(store: &TempStore) -> std::path::PathBuf {
    let volumes = store.volumes().into_iter().map(|volume| store.path().join("volumes").join(volume));
    volumes.into_iter().find(|volume| volume.join("implicit").exists()).unwrap()
}

/// Has a change leave no trace in the times, as a disk that forgets does.
fn without_trace(file: &Path, change: impl FnOnce(&Path)) {
    let before = fs::metadata(file).unwrap();
    change(file);
    let times = FileTimes::new().set_modified(before.modified().unwrap());
    File::open(file).unwrap().set_times(times).unwrap();
}

#[test]
fn layers_are_as_they_were_unpacked() {
    let store = TempStore::new();
    create(&store, &image(&store), "x");
    for name in ["stack", "busybox", "debian"] {
        create(&store, &format!("oci://{}:latest", test_images().join(name).display()), name);
    }
    let (code, report) = deep(&store, &[]);
    assert_eq!(
        (code, &report["findings"], &report["not_compared"]),
        (Some(0), &serde_json::json!([]), &serde_json::json!([]))
    );
    assert_eq!(store.ok(["check", "--deep"]), "no findings\n");
}

#[test]
fn each_thing_that_a_disk_can_forget_is_found_and_unpacked_again() {
    let store = TempStore::new();
    let url = image(&store);
    type Damage = fn(&Path);
    let of_files: [(&str, Damage); 6] = [
        ("d/content", |file| without_trace(file, |file| fs::write(file, vec![0; 100_000]).unwrap())),
        ("d/content", |file| without_trace(file, |file| fs::write(file, "").unwrap())),
        ("d/content", |file| fs::remove_file(file).unwrap()),
        ("d/file", |file| fs::set_permissions(file, Permissions::from_mode(0o000)).unwrap()),
        ("d/content", |file| chown(file, Some(1), None).unwrap()),
        ("d/file", |file| fs::write(file, "file").unwrap()),
    ];
    let of_others: [(&str, Damage); 3] = [
        ("d", |directory| fs::set_permissions(directory, Permissions::from_mode(0o700)).unwrap()),
        ("d/link", |link| {
            fs::remove_file(link).unwrap();
            symlink("elsewhere", link).unwrap();
        }),
        ("d/fifo", |fifo| fs::remove_file(fifo).unwrap()),
    ];
    // Btrfs keeps checksums of what is no content itself.
    let of_others = if *DRIVER == Driver::OverlayXfs { &of_others[..] } else { &[] };
    for (n, (name, damage)) in of_files.iter().chain(of_others).enumerate() {
        create(&store, &url, "x");
        damage(&upper(&store).join(name));
        assert_eq!(store.ok(["check"]), "no findings\n", "{n}: it takes a look into the files");
        let (code, report) = deep(&store, &[]);
        let findings = report["findings"].as_array().unwrap();
        assert_eq!((code, findings.len()), (Some(4), 1), "{n}: {report}");
        assert_eq!(
            (&findings[0]["kind"], &findings[0]["repairable"]),
            (&Value::from("layer-differs"), &Value::from(false))
        );
        assert!(findings[0]["problem"].as_str().unwrap().contains(&format!("/{name}")), "{n}: {report}");

        assert_eq!(deep(&store, &["--repair"]).0, Some(4), "{n}: the image that shows it is not whole");
        create(&store, &url, "y");
        assert_eq!(fs::read(store.rootfs("y").join("d/content")).unwrap(), [7; 100_000], "{n}");
        assert_eq!(fs::read(store.rootfs("y").join("d/again")).unwrap(), b"file", "{n}");
        let (_, report) = deep(&store, &[]);
        // The kernel may still be removing the old one.
        assert!(!report.to_string().contains("layer-"), "{n}: {report}");
        store.ok(["delete", "x"]);
        store.ok(["delete", "y"]);
        store.ok(["clean"]);
        assert!(names(&store.path().join("meta")).iter().all(|name| !name.starts_with("digests-")), "{n}");
    }
}

#[test]
fn a_layer_that_is_proved_whole_need_not_be_unpacked_again() {
    let store = TempStore::new();
    create(&store, &image(&store), "x");
    let upper = upper(&store);
    for volume in store.volumes() {
        let mark = store.path().join(format!("meta/unflushed/{volume}~9"));
        symlink("00000000-0000-0000-0000-000000000000", mark).unwrap();
    }
    without_trace(&upper.join("d/content"), |file| fs::write(file, vec![0; 100_000]).unwrap());
    assert_eq!(deep(&store, &["--repair"]).0, Some(4));
    let marks = names(&store.path().join("meta/unflushed"));
    let torn = upper.file_name().unwrap().to_str().unwrap();
    assert!(marks.len() == 1 && marks[0].starts_with(torn), "{marks:?}");
}

#[test]
fn a_layer_without_a_whole_list_is_said_to_have_none() {
    let store = TempStore::new();
    create(&store, &image(&store), "x");
    let volumes = store.volumes();
    let list = |n: usize| store.path().join(format!("meta/digests-{}", volumes[n]));
    fs::remove_file(list(0)).unwrap();
    let half = fs::read(list(1)).unwrap();
    fs::write(list(1), &half[..half.len() / 2]).unwrap();
    let (code, report) = deep(&store, &[]);
    assert_eq!((code, &report["not_compared"]), (Some(0), &serde_json::json!(volumes)));
    assert!(
        store.ok(["check", "--deep"]).contains(&format!("layer {} has no list of digests: not compared", volumes[0]))
    );
    assert_eq!(store.ok(["check"]), "no findings\n");
}

#[test]
fn digests_are_recorded_unless_a_setting_says_otherwise() {
    let store = TempStore::new();
    let url = image(&store);
    store.ok(["create", "--without-layer-digests", &url, "x"]);
    let lists = || names(&store.path().join("meta")).into_iter().filter(|name| name.starts_with("digests-")).count();
    assert_eq!(lists(), 0);
    wait_for("all marks gone", || names(&store.path().join("meta/unflushed")).is_empty());
    let (code, document) = deep(&store, &[]);
    assert_eq!(code, Some(0), "{document}");
    store.ok(["delete", "x"]);
    store.ok(["clean"]);
    create(&store, &url, "x");
    assert_eq!(lists(), 2);
}
