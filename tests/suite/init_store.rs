//! `init-store`. That it never formats what holds data is in `promise_03_never_formats.rs`.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use crate::support::{
    DRIVER, Driver, MIB, TempStore, assert_no_loops_below, grootfs_binary, loops_below, mount, mount_points_below,
    mounted_filesystem, run, small_image, succeed, system_calls,
};

const GIB: u64 = 1024 * MIB;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn the_layout_has_the_modes_and_owners_of_the_original() {
    let store = TempStore::new();
    let at = |path: &str| store.path().join(path);
    assert_eq!(mode(store.path()), 0o700);
    for directory in ["images", "volumes", "meta", "meta/dependencies", "locks", "tmp"] {
        assert!(at(directory).is_dir(), "{directory}");
        assert_eq!(mode(&at(directory)), 0o755, "{directory}");
        let metadata = fs::metadata(at(directory)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (0, 0), "{directory}");
    }
    assert_eq!(fs::read_to_string(at("meta/namespace.json")).unwrap(), "{\"uid-mappings\":[],\"gid-mappings\":[]}\n");
    assert_eq!(mode(&at("meta/namespace.json")), 0o755);
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    let store = TempStore::uninitialised();
    let script = format!(
        "umask 0077; exec {} --driver {} --store {} init-store --store-size-bytes {GIB} --without-quota",
        grootfs_binary(),
        DRIVER.name(),
        store.path().display()
    );
    succeed("sh", ["-c", &script]);
    assert_eq!(mode(&store.path().join("volumes")), 0o755);
    if *DRIVER == Driver::OverlayXfs {
        assert_eq!(mode(&store.path().join("l")), 0o755);
    }
}

#[test]
fn the_backing_file_is_sparse_private_and_of_the_exact_size() {
    let store = TempStore::new();
    let metadata = fs::metadata(store.backing_file()).unwrap();
    assert_eq!(metadata.len(), GIB);
    assert_eq!(metadata.mode() & 0o7777, 0o600);
    assert!(metadata.blocks() * 512 < 100 * MIB, "not sparse");
    let (place, expected) = match *DRIVER {
        Driver::OverlayXfs => (0, &b"XFSB"[..]),
        Driver::Btrfs => (0x1_0040, &b"_BHRfS_M"[..]),
    };
    let mut magic = vec![0; expected.len()];
    File::open(store.backing_file()).unwrap().read_exact_at(&mut magic, place).unwrap();
    assert_eq!(magic, expected);
}

#[test]
fn the_store_is_mounted_as_it_should_be() {
    let store = TempStore::new();
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = table.lines().find(|line| line.contains(&format!(" {} ", store.path().display()))).unwrap();
    assert!(line.contains(&format!(" - {} /dev/loop", DRIVER.filesystem())), "{line}");
    assert!(line.contains("noatime"), "{line}");
}

#[test]
fn doing_it_again_changes_nothing_says_so_in_the_log_and_starts_no_program() {
    let store = TempStore::new();
    store.create(&small_image(&store.beside("image")), "x");
    fs::write(store.rootfs("x").join("mine"), "kept").unwrap();
    let again = ["--log-level", "debug", "init-store", "--store-size-bytes", "1073741824", "--without-quota"];
    let outcome = store.run(again);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), ""), "{outcome:?}");
    assert!(outcome.stderr.contains("store-already-initialized"), "{outcome:?}");
    assert_eq!(fs::read_to_string(store.rootfs("x").join("mine")).unwrap(), "kept");
    assert_eq!(mount_points_below(store.path()).len(), 1 + DRIVER.mounts(1), "the store and one image");

    let calls = system_calls(&store.command(["init-store", "--store-size-bytes", "1073741824", "--without-quota"]));
    assert_eq!(calls.get("execve"), None, "it starts no program: {calls:?}");
}

#[test]
fn a_store_is_made_below_an_existing_mount() {
    let disk = TempStore::uninitialised();
    let store = TempStore::at(mounted_filesystem(&disk).join("store"));
    store.ok(["init-store", "--without-quota"]);
    store.ok(["init-store", "--without-quota"]);
    assert_eq!(mode(store.path()), 0o700);
    assert!(!PathBuf::from(format!("{}.backing-store", store.path().display())).exists());
    assert!(store.create(&small_image(&disk.beside("image")), "x").join("hello").exists());
}

#[test]
fn a_mount_point_itself_may_become_a_store() {
    let disk = TempStore::uninitialised();
    let store = TempStore::at(mounted_filesystem(&disk));
    store.ok(["init-store", "--without-quota"]);
    assert_eq!(mode(store.path()), 0o700);
    assert!(store.path().join("images").is_dir());
}

#[test]
fn the_config_may_say_that_there_are_no_quotas_and_how_large_the_store_is() {
    let store = TempStore::uninitialised();
    let config = store.beside("config.yml");
    fs::write(&config, format!("init:\n  store_size_bytes: {GIB}\n  without_quota: true\n")).unwrap();
    store.ok(["--config", config.to_str().unwrap(), "init-store"]);
    assert_eq!(fs::metadata(store.backing_file()).unwrap().len(), GIB);
    store.create(&small_image(&store.beside("image")), "x");
}

#[test]
fn another_filesystem_is_refused_in_exact_words() {
    let store = TempStore::uninitialised();
    let tmpfs = store.beside("tmpfs");
    mount(Path::new("tmpfs"), &tmpfs, "tmpfs", "size=10m");
    let disk = store.beside("disk");
    File::create(&disk).unwrap().set_len(64 * MIB).unwrap();
    succeed("mkfs.ext4", ["-q", disk.to_str().unwrap()]);
    let ext4 = store.beside("ext4");
    mount(&disk, &ext4, "ext4", "loop");

    for point in [tmpfs, ext4] {
        let path = point.join("store");
        let message = TempStore::at(path.clone()).fails(["init-store", "--without-quota"]);
        assert_eq!(
            message,
            format!("Store path filesystem ({}) is incompatible with requested driver", point.display())
        );
        assert!(!path.exists());
        let message = TempStore::at(point.clone()).fails(["init-store", "--without-quota"]);
        assert_eq!(
            message,
            format!("Store path filesystem ({}) is incompatible with requested driver", point.display())
        );
        assert!(!point.join("images").exists());
    }
}

#[test]
fn less_than_two_hundred_mebibytes_are_refused() {
    let store = TempStore::uninitialised();
    let size = (199 * MIB).to_string();
    let message = store.fails(["init-store", "--store-size-bytes", &size, "--without-quota"]);
    assert_eq!(message, "store size must be at least 200Mb");
    assert!(!store.backing_file().exists());
    assert!(!store.path().exists());
}

#[test]
fn a_smaller_size_than_the_stores_is_refused_and_changes_nothing() {
    let store = TempStore::new();
    store.create(&small_image(&store.beside("image")), "x");
    let smaller = (GIB / 2).to_string();
    let message = store.fails(["init-store", "--store-size-bytes", &smaller, "--without-quota"]);
    assert!(message.contains("smaller"), "{message}");
    assert_eq!(fs::metadata(store.backing_file()).unwrap().len(), GIB);

    crate::support::unmount_below(store.path());
    store.fails(["init-store", "--store-size-bytes", &smaller, "--without-quota"]);
    assert_eq!(fs::metadata(store.backing_file()).unwrap().len(), GIB);
    store.ok(["init-store", "--store-size-bytes", &GIB.to_string(), "--without-quota"]);
    store.stats("x");
}

#[test]
fn a_store_that_lost_its_mount_gets_it_back_with_its_contents() {
    let store = TempStore::new();
    store.create(&small_image(&store.beside("image")), "x");
    fs::write(store.rootfs("x").join("mine"), "kept").unwrap();
    crate::support::unmount_below(store.path());
    crate::support::detach_loops(store.path().parent().unwrap());
    assert!(!store.path().join("images").exists());

    store.ok(["init-store", "--store-size-bytes", &GIB.to_string(), "--without-quota"]);
    assert_eq!(fs::read_to_string(store.own_files("x").join("mine")).unwrap(), "kept");
    assert_eq!(store.volumes().len(), 1);
    store.stats("x");
    store.ok(["delete", "x"]);
    store.create(&small_image(&store.beside("image")), "x");
}

#[test]
fn a_backing_file_deleted_under_a_mounted_store_is_not_missed() {
    let store = TempStore::new();
    fs::remove_file(store.backing_file()).unwrap();
    store.ok(["init-store", "--store-size-bytes", &GIB.to_string(), "--without-quota"]);
    assert!(!store.backing_file().exists());
    store.create(&small_image(&store.beside("image")), "x");
}

#[test]
fn a_backing_file_that_lost_its_end_is_told_of() {
    let store = TempStore::new();
    crate::support::unmount_below(store.path());
    crate::support::detach_loops(store.path().parent().unwrap());
    let (backing, whole) = (store.backing_file(), store.beside("whole"));
    succeed("cp", ["--sparse=always", backing.to_str().unwrap(), whole.to_str().unwrap()]);
    File::options().write(true).open(&backing).unwrap().set_len(GIB / 2).unwrap();
    let message = store.fails(["init-store", "--without-quota"]);
    assert!(message.contains(&format!("has {} bytes and the filesystem in it {GIB}", GIB / 2)), "{message}");
    assert!(message.ends_with("get the whole file back"), "{message}");
    assert_no_loops_below(store.path().parent().unwrap());
    fs::rename(whole, backing).unwrap();
    store.ok(["init-store", "--without-quota"]);
}

#[test]
fn a_pipe_in_place_of_the_backing_file_is_not_waited_for() {
    let store = TempStore::uninitialised();
    succeed("mkfifo", [store.backing_file().to_str().unwrap()]);
    let message = store.fails(["init-store", "--store-size-bytes", &GIB.to_string(), "--without-quota"]);
    assert!(message.ends_with("store.backing-store: it is no file: move it away"), "{message}");
}

#[test]
fn direct_io_is_off_unless_asked_for_and_follows_each_run() {
    let store = TempStore::new();
    let direct_io = || {
        let (device, _) = loops_below(store.path().parent().unwrap()).pop().unwrap();
        let name = device.trim_start_matches("/dev/").to_owned();
        fs::read_to_string(format!("/sys/block/{name}/loop/dio")).unwrap().trim() == "1"
    };
    let size = GIB.to_string();
    let off = ["init-store", "--store-size-bytes", &size, "--without-quota"];
    let on = [&off[..], &["--with-direct-io"]].concat();
    assert!(!direct_io(), "off by default");
    store.ok(&on);
    assert!(direct_io(), "switched on");
    store.ok(&on);
    assert!(direct_io(), "stays on");
    store.ok(off);
    assert!(!direct_io(), "switched off");

    let config = store.beside("config.yml");
    fs::write(&config, "init:\n  with_direct_io: true\n").unwrap();
    store.ok([&["--config", config.to_str().unwrap()], &off[..]].concat());
    assert!(direct_io(), "switched on by the config");
}

#[test]
fn direct_io_may_be_on_from_the_start() {
    let store = TempStore::uninitialised();
    store.ok(["init-store", "--store-size-bytes", &GIB.to_string(), "--without-quota", "--with-direct-io"]);
    let (device, _) = loops_below(store.path().parent().unwrap()).pop().unwrap();
    let name = device.trim_start_matches("/dev/");
    assert_eq!(fs::read_to_string(format!("/sys/block/{name}/loop/dio")).unwrap().trim(), "1");
}

#[test]
fn two_at_once_make_one_store() {
    let store = TempStore::uninitialised();
    let size = GIB.to_string();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| store.ok(["init-store", "--store-size-bytes", &size, "--without-quota"]));
        }
    });
    assert_eq!(mount_points_below(store.path()).len(), 1, "mounted once");
    assert_eq!(loops_below(store.path().parent().unwrap()).len(), 1, "one loop device");
    store.create(&small_image(&store.beside("image")), "x");
}

#[test]
fn only_root_may() {
    let store = TempStore::uninitialised();
    let directory = store.path().parent().unwrap();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).unwrap();
    let binary = store.beside("grootfs");
    fs::copy(grootfs_binary(), &binary).unwrap();
    let mut command = std::process::Command::new(binary);
    command.arg("--store").arg(store.path()).arg("init-store").env("GROOTFS_CONFIG", "").uid(65534).gid(65534);
    assert_eq!(
        run(&mut command).failure(),
        format!("store {} can only be initialized by Root user", store.path().display())
    );
    assert!(!store.path().exists());
}

#[test]
fn arguments_are_refused() {
    let store = TempStore::uninitialised();
    assert_eq!(store.fails(["init-store", "x"]), "invalid arguments - usage: init-store --store <path>");
}

#[test]
fn a_path_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let disk = TempStore::new();
    let store = TempStore::at(disk.path().join(std::ffi::OsStr::from_bytes(b"\xff\xfe")));
    let message = store.fails(["init-store", "--without-quota"]);
    assert!(message.contains("is not UTF-8"), "{message}");
    assert!(!store.path().exists());
}

/// As in a container that was given nodes of loop devices, and nothing to make more with.
#[test]
fn device_nodes_do_where_there_is_no_loop_control() {
    let store = TempStore::uninitialised();
    let devices = store.beside("dev");
    fs::create_dir(&devices).unwrap();
    let init = store.command(["init-store", "--without-quota", "--store-size-bytes", "1073741824"]);
    let script = "set -e; dev=$1; shift
        mount -t tmpfs none \"$dev\"; cp -a /dev/null /dev/urandom \"$dev\"
        for n in $(seq 0 63); do mknod \"$dev/loop$n\" b 7 $n; done
        mount --move \"$dev\" /dev; \"$@\"; grep -c \" $STORE \" /proc/self/mounts";
    let mut shell = std::process::Command::new("unshare");
    shell.args(["--mount", "sh", "-c", script, "sh"]).arg(&devices).arg(init.get_program()).args(init.get_args());
    let outcome = run(shell.env("STORE", store.path()));
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), "1\n"), "{outcome:?}");
    let none = store.command(["init-store", "--without-quota", "--store-size-bytes", "1073741824"]);
    let script = script.replace("seq 0 63", "true");
    let mut shell = std::process::Command::new("unshare");
    shell.args(["--mount", "sh", "-c", &script, "sh"]).arg(&devices).arg(none.get_program()).args(none.get_args());
    let outcome = run(shell.env("STORE", store.path()));
    assert_eq!(outcome.stdout, "open /dev/loop-control: no such file or directory\n", "{outcome:?}");
}
