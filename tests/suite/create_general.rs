//! `create`, whatever the image comes from: its arguments, its answer, its ids, its clean-up.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::support::{
    Archive, DRIVER, Driver, Image, Layer, TempStore, grootfs, layers, mount, run, small_image, write_archive,
};
use serde_json::Value;

#[test]
fn a_store_that_was_never_initialised_is_named_as_such() {
    let store = TempStore::uninitialised();
    let message = store.fails(["create", &small_image(&store.beside("image")), "x"]);
    assert_eq!(message, "Store path is not initialized. Please run init-store.");
}

#[test]
fn wrong_numbers_of_arguments_show_the_usage() {
    let store = TempStore::new();
    let usage = "invalid arguments - usage: create [options] <image> <id>";
    assert_eq!(store.fails(["create"]), usage);
    assert_eq!(store.fails(["create", "/some.tar"]), usage);
    assert_eq!(store.fails(["create", "/some.tar", "a", "b"]), usage);
}

#[test]
fn negative_numbers_are_refused_as_values_not_taken_for_flags() {
    let store = TempStore::new();
    let image = small_image(&store.beside("image"));
    let message = store.fails(["create", "--disk-limit-size-bytes", "-200", &image, "x"]);
    assert_eq!(message, "invalid argument: disk limit cannot be negative");
    let message = store.fails(["create", "--threshold-bytes", "-200", &image, "x"]);
    assert_eq!(message, "invalid argument: clean threshold cannot be negative");
}

#[test]
fn both_clean_flags_contradict_each_other() {
    let store = TempStore::new();
    let image = small_image(&store.beside("image"));
    let message = store.fails(["create", "--with-clean", "--without-clean", &image, "x"]);
    assert_eq!(message, "with-clean and without-clean cannot be used together");
}

#[test]
fn flags_may_follow_the_arguments() {
    let store = TempStore::new();
    store.ok(["create", &small_image(&store.beside("image")), "x", "--without-mount"]);
    assert!(fs::read_dir(store.rootfs("x")).unwrap().next().is_none());
}

#[test]
fn an_id_in_use_is_refused_and_its_image_unharmed() {
    let store = TempStore::new();
    let image = small_image(&store.beside("image"));
    let rootfs = store.create(&image, "x");
    fs::write(rootfs.join("mine"), "kept").unwrap();

    assert_eq!(store.fails(["create", &image, "x"]), "image for id `x` already exists");
    assert_eq!(fs::read_to_string(rootfs.join("mine")).unwrap(), "kept");
    assert_eq!(store.records(), ["x"]);
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}

#[test]
fn an_id_is_one_path_element() {
    let store = TempStore::new();
    let image = small_image(&store.beside("image"));
    let message = store.fails(["create", &image, "this/is/not/okay"]);
    assert_eq!(message, "id `this/is/not/okay` contains invalid characters: `/`");
    for id in ["", ".", ".."] {
        store.fails(["create", &image, id]);
    }
    assert_eq!(crate::support::names(&store.path().join("images")), [""; 0]);
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}

#[test]
fn odd_ids_work_from_create_to_delete() {
    let store = TempStore::new();
    let image = small_image(&store.beside("image"));
    for id in ["with space", "naïve-☃", "a:b", "-leading", "..a", "x".repeat(120).as_str()] {
        let rootfs = store.rootfs(id);
        store.ok(["create", "--", &image, id]);
        assert_eq!(fs::read_to_string(rootfs.join("hello")).unwrap(), "hello\n", "{id}");
        store.ok(["stats", "--", id]);
        assert_eq!(store.ok(["delete", "--", id]), format!("Image {id} deleted\n"));
    }
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
}

#[test]
fn an_unknown_driver_is_refused() {
    let store = TempStore::new();
    let image = small_image(&store.beside("image"));
    let message = store.fails(["--driver", "dinosaurfs", "create", &image, "x"]);
    assert_eq!(message, "filesystem driver not supported: dinosaurfs");

    let config = write_archive(store.path().parent().unwrap(), "config.yml", b"driver: this-should-fail\n");
    let mut command = grootfs();
    command.arg("--config").arg(&config).arg("--store").arg(store.path()).args(["create", &image, "x"]);
    assert_eq!(run(&mut command).failure(), "filesystem driver not supported: this-should-fail");
}

#[test]
fn the_driver_of_another_filesystem_is_refused() {
    let store = TempStore::new();
    let image = small_image(&store.beside("image"));
    let other = if *DRIVER == Driver::Btrfs { "overlay-xfs" } else { "btrfs" };
    let expected = format!("Store path filesystem ({}) is incompatible with requested driver", store.path().display());
    assert_eq!(store.fails(["--driver", other, "create", &image, "x"]), expected);
    assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
    store.create(&image, "x");
}

#[test]
fn the_store_of_the_config_is_used_where_no_flag_says_otherwise() {
    let store = TempStore::new();
    let image = small_image(&store.beside("image"));
    let config = store.beside("config.yml");
    fs::write(&config, format!("store: {}\ndriver: {}\n", store.path().display(), DRIVER.name())).unwrap();

    let printed = run(grootfs().arg("--config").arg(&config).args(["create", &image, "x"])).success();
    let spec: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(spec["root"]["path"].as_str(), store.rootfs("x").to_str());
    run(grootfs().arg("--config").arg(&config).args(["delete", "x"])).success();
    assert!(!store.image("x").exists());
}

#[test]
fn the_answer_of_a_mounted_create_is_one_exact_line() {
    let store = TempStore::new();
    let printed = store.ok(["create", &small_image(&store.beside("image")), "x"]);
    let expected = format!(
        r#"{{"ociVersion":"","process":{{"user":{{"uid":0,"gid":0}},"args":null,"cwd":""}},"root":{{"path":"{}"}}}}"#,
        store.rootfs("x").display()
    );
    assert_eq!(printed, format!("{expected}\n"));
}

#[test]
fn flags_of_mounting_win_over_the_config_and_exclude_each_other() {
    let store = TempStore::new();
    let image = small_image(&store.beside("image"));
    let is_mounted = |id: &str| store.rootfs(id).join("hello").exists();
    let refused = store.fails(["create", "--with-mount", "--without-mount", &image, "both"]);
    assert_eq!(refused, "with-mount and without-mount cannot be used together");
    assert!(!store.image("both").exists());

    let config = store.beside("config.yml");
    fs::write(&config, "create:\n  without_mount: true\n").unwrap();
    let config = config.to_str().unwrap();
    store.ok(["--config", config, "create", &image, "configured"]);
    assert!(!is_mounted("configured"));
    store.ok(["--config", config, "create", "--with-mount", &image, "overridden"]);
    assert!(is_mounted("overridden"));
}

#[test]
fn the_mount_destination_of_later_versions_can_be_asked_for() {
    let store = TempStore::new();
    let config = store.beside("config.yml");
    fs::write(&config, "create:\n  mount_destination: root\n").unwrap();
    let image = small_image(&store.beside("image"));
    let printed = store.ok(["--config", config.to_str().unwrap(), "create", "--without-mount", &image, "x"]);
    let spec: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(spec["mounts"][0]["destination"], "/");
}

#[test]
fn the_mounted_root_is_0755_and_roots_whatever_the_image_says() {
    let store = TempStore::new();
    let archive = Archive::new().owner(33, 33).directory(".", 0o700).file("hello", 0o644, b"").bytes();
    let url = Image::new().layer(Layer::new(archive)).write(&store.beside("image"), "latest");
    let metadata = fs::metadata(store.create(&url, "x")).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o755, 0, 0));
}

#[test]
fn a_clean_before_the_pull_removes_what_no_image_uses() {
    let store = TempStore::new();
    let (old, _) = layers(&store, "old", 3);
    let (new, chain) = layers(&store, "new", 2);
    store.create(&old, "old");
    store.ok(["delete", "old"]);
    store.ok(["create", "--with-clean", &new, "new"]);
    let mut expected = chain;
    expected.sort();
    assert_eq!(store.volumes(), expected);
}

#[test]
fn a_clean_before_the_pull_keeps_the_layers_of_the_image_asked_for() {
    let store = TempStore::new();
    let (image, chain) = layers(&store, "kept", 2);
    store.create(&image, "first");
    store.ok(["delete", "first"]);
    let inode = |volume: &str| fs::metadata(store.path().join("volumes").join(volume)).unwrap().ino();
    let before: Vec<u64> = chain.iter().map(|volume| inode(volume)).collect();
    store.ok(["create", "--with-clean", &image, "second"]);
    assert_eq!(chain.iter().map(|volume| inode(volume)).collect::<Vec<_>>(), before, "unpacked again");
}

#[test]
fn a_clean_before_the_pull_obeys_its_threshold() {
    let store = TempStore::new();
    let (old, old_chain) = layers(&store, "old", 2);
    let (new, new_chain) = layers(&store, "new", 1);
    store.create(&old, "old");
    store.ok(["delete", "old"]);
    store.ok(["create", "--with-clean", "--threshold-bytes", "1099511627776", &new, "below"]);
    assert_eq!(store.volumes().len(), old_chain.len() + new_chain.len());
    store.ok(["create", "--with-clean", "--threshold-bytes", "1", &new, "above"]);
    assert_eq!(store.volumes(), new_chain);
}

#[test]
fn without_clean_nothing_is_removed_whatever_the_config_says() {
    let store = TempStore::new();
    let (old, old_chain) = layers(&store, "old", 2);
    let (new, new_chain) = layers(&store, "new", 1);
    store.create(&old, "old");
    store.ok(["delete", "old"]);
    let config = store.beside("config.yml");
    fs::write(&config, "create:\n  with_clean: true\n").unwrap();
    let config = config.to_str().unwrap();
    store.ok(["--config", config, "create", "--without-clean", &new, "kept"]);
    assert_eq!(store.volumes().len(), old_chain.len() + new_chain.len());
    store.ok(["--config", config, "create", &new, "cleaned"]);
    assert_eq!(store.volumes(), new_chain);
}

#[test]
fn the_clean_before_a_create_logs_where_it_is_told_to() {
    let store = TempStore::new();
    let image = small_image(&store.beside("image"));
    let log = store.beside("clean.log");
    let create = |id: &str, flags: &[&str]| {
        let outcome =
            store.run([&["--log-level", "debug", "create", "--with-clean"], flags, &[image.as_str(), id]].concat());
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        outcome.stderr
    };
    assert!(create("a", &[]).contains("groot-cleaning"));
    assert!(!create("b", &["--clean-log-file", log.to_str().unwrap()]).contains("groot-cleaning"));
    assert!(fs::read_to_string(log).unwrap().contains("groot-cleaning"));
}

#[test]
fn a_store_without_limits_says_so_when_a_limit_is_asked_for() {
    let store = TempStore::without_quota();
    let image = small_image(&store.beside("image"));
    for flags in [
        &["--disk-limit-size-bytes", "10485760"][..],
        &["--disk-limit-size-bytes", "10485760", "--exclude-image-from-quota"],
    ] {
        let message = store.fails([&["create"], flags, &[image.as_str(), "x"]].concat());
        assert!(message.contains("quota"), "{message}");
        assert!(!store.image("x").exists(), "an image without its limit");
        assert!(store.leftovers().is_empty(), "{:?}", store.leftovers());
    }
    store.create(&image, "x");
}

#[test]
fn a_clean_that_fails_makes_no_create_fail() {
    let store = TempStore::new();
    let (image, _) = layers(&store, "image", 1);
    store.create(&image, "x");
    // What is mounted in the remainder of an image keeps it.
    mount(Path::new("none"), &store.path().join("tmp/delete.dead/diff"), "tmpfs", "size=1m");
    store.fails(["clean"]);
    let outcome = store.run(["--log-level", "error", "create", "--with-clean", &image, "y"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stderr.contains("failed-to-cleanup-store"), "{outcome:?}");
    // A log file that cannot be opened is no reason not to clean.
    let flags = ["--log-level", "error", "create", "--with-clean", "--clean-log-file", "/no/such/log"];
    let outcome = store.run([&flags[..], &[&image, "z"]].concat());
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stderr.contains("opening-clean-log-file-failed"), "{outcome:?}");
}

/// The command that names no driver.
fn without_driver(store: &TempStore, arguments: &[&str]) -> crate::support::Outcome {
    run(grootfs().arg("--store").arg(store.path()).args(arguments))
}

#[test]
fn the_driver_is_that_of_the_stores_filesystem() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    let created = without_driver(&store, &["create", &url, "x"]).success();
    assert!(created.contains(store.rootfs("x").to_str().unwrap()));
    for arguments in
        [&["list"][..], &["stats", "x"], &["usage"], &["generate-volume-size-metadata"], &["delete", "x"], &["clean"]]
    {
        without_driver(&store, arguments).success();
    }
    without_driver(&store, &["delete-store"]).success();
}

#[test]
fn another_driver_than_the_stores_is_an_error_of_every_command() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    store.create(&url, "x");
    let other = if *DRIVER == Driver::Btrfs { "overlay-xfs" } else { "btrfs" };
    for arguments in [
        &["create", &url, "y"][..],
        &["stats", "x"],
        &["list"],
        &["usage"],
        &["delete", "x"],
        &["delete", "unknown"],
        &["clean"],
        &["generate-volume-size-metadata"],
        &["delete-store"],
    ] {
        let message = store.fails([&["--driver", other], arguments].concat());
        let expected =
            format!("Store path filesystem ({}) is incompatible with requested driver", store.path().display());
        assert_eq!(message, expected, "{arguments:?}");
    }
    assert_eq!(store.ok(["list"]), format!("{}\n", store.image("x").display()));
}

/// Whoever writes the image, or the command, decides how long a name is.
#[test]
fn a_message_is_short_whatever_the_names_in_it() {
    let store = TempStore::new();
    let url = small_image(&store.beside("image"));
    let long = "x".repeat(100_000);
    let archive = Archive::new().directory("d", 0o755).hard_link("d/link", &format!("{}/x", "y".repeat(3000)));
    let broken = Image::new().layer(Layer::new(archive.bytes())).write(&store.beside("broken"), "latest");
    for arguments in [
        &["create", &url, &long][..],
        &["create", &format!("/{long}.tar"), "x"],
        &["create", &format!("oci:///{long}:latest"), "x"],
        &["create", &format!("docker:///{long}"), "x"],
        &["create", &broken, "x"],
        &["stats", &long],
        &[&format!("--{long}"), "list"],
        &["create", "--driver", &long, &url, "x"],
        &["create", "--threshold-bytes", &long, &url, "x"],
    ] {
        let outcome = store.run(arguments);
        assert_eq!(outcome.code, Some(1), "{}", outcome.stdout.len());
        assert!(outcome.stdout.len() <= 901 && outcome.stdout.contains('…'), "{}", outcome.stdout);
    }
    let outcome = store.run(["--log-level", "debug", "create", &broken, "x"]);
    let failed = outcome.stderr.lines().filter(|line| line.contains("\"error\""));
    assert!(failed.into_iter().all(|line| line.len() < 2000), "{}", outcome.stderr);
    assert_eq!(store.run([long.as_str()]).code, Some(3));
}

#[test]
fn sizes_may_have_units() {
    let store = TempStore::uninitialised();
    store.ok(["init-store", "--without-quota", "--store-size-bytes", "0.5GiB"]);
    assert_eq!(fs::metadata(store.backing_file()).unwrap().len(), 512 << 20);
    let config = store.beside("config.yml");
    fs::write(&config, "init: {store_size_bytes: 1.5G}\nclean: {threshold_bytes: 100M}\n").unwrap();
    let config = ["--config", config.to_str().unwrap()];
    assert_eq!(store.ok([&config[..], &["capacity"]].concat()), "{\"capacity\":1610612736}\n");
    assert_eq!(store.ok([&config[..], &["clean"]].concat()), "threshold not reached: skipping clean\n");
    assert_eq!(store.ok(["clean", "--threshold-bytes", "1K"]), "threshold not reached: skipping clean\n");
    let message = store.fails(["clean", "--threshold-bytes", "100X"]);
    assert!(message.contains("must be a number of bytes, as 100M or 1.5GiB"), "{message}");
}
