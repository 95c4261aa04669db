//! `init-store`. That it never formats what holds data is in `promise_03_never_formats.rs`.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use support::{
    Archive, Image, Layer, MIB, TempStore, grootfs, loops_below, mount, mount_points_below, names, run, small_image,
    succeed, system_calls,
};

const GIB: u64 = 1024 * MIB;

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// An XFS filesystem of the test's own, mounted as an administrator would without thinking of quotas.
fn mounted_xfs(store: &TempStore) -> PathBuf {
    let disk = store.beside("disk");
    File::create(&disk).unwrap().set_len(GIB).unwrap();
    succeed("mkfs.xfs", ["-q", disk.to_str().unwrap()]);
    let point = store.beside("mnt");
    mount(&disk, &point, "xfs", "loop");
    point
}

#[test]
fn the_layout_has_the_modes_and_owners_of_the_original() {
    let store = TempStore::new();
    let at = |path: &str| store.path().join(path);
    assert_eq!(mode(store.path()), 0o700);
    for directory in ["images", "volumes", "meta", "meta/dependencies", "locks", "tmp", "l", "projectids"] {
        assert!(at(directory).is_dir(), "{directory}");
        assert_eq!(mode(&at(directory)), 0o755, "{directory}");
        let metadata = fs::metadata(at(directory)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (0, 0), "{directory}");
    }
    assert_eq!(fs::read_to_string(at("meta/namespace.json")).unwrap(), "{\"uid-mappings\":[],\"gid-mappings\":[]}\n");
    assert_eq!(mode(&at("meta/namespace.json")), 0o755);
    let whiteout = fs::symlink_metadata(at("whiteout_dev")).unwrap();
    assert!(whiteout.file_type().is_char_device());
    assert_eq!((whiteout.rdev(), whiteout.mode() & 0o7777), (0, 0));
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    let store = TempStore::uninitialised();
    let script = format!(
        "umask 0077; exec {} --store {} init-store --store-size-bytes {GIB} --without-quota",
        env!("CARGO_BIN_EXE_grootfs"),
        store.path().display()
    );
    succeed("sh", ["-c", &script]);
    assert_eq!(mode(&store.path().join("volumes")), 0o755);
    assert_eq!(mode(&store.path().join("l")), 0o755);
}

#[test]
fn the_backing_file_is_sparse_private_and_of_the_exact_size() {
    let store = TempStore::new();
    let metadata = fs::metadata(store.backing_file()).unwrap();
    assert_eq!(metadata.len(), GIB);
    assert_eq!(metadata.mode() & 0o7777, 0o600);
    assert!(metadata.blocks() * 512 < 100 * MIB, "not sparse");
    let mut magic = [0_u8; 4];
    std::io::Read::read_exact(&mut File::open(store.backing_file()).unwrap(), &mut magic).unwrap();
    assert_eq!(&magic, b"XFSB");
}

#[test]
fn the_store_is_mounted_as_it_should_be() {
    let store = TempStore::new();
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = table.lines().find(|line| line.contains(&format!(" {} ", store.path().display()))).unwrap();
    assert!(line.contains(" - xfs /dev/loop"), "{line}");
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
    assert_eq!(mount_points_below(store.path()).len(), 2, "the store and one image");

    let calls = system_calls(&store.command(["init-store", "--store-size-bytes", "1073741824", "--without-quota"]));
    assert_eq!(calls.get("execve"), Some(&1), "{calls:?}");
}

#[test]
fn a_store_is_made_below_an_existing_mount() {
    let store = TempStore::uninitialised();
    let path = mounted_xfs(&store).join("store");
    let on = |arguments: &[&str]| run(grootfs().arg("--store").arg(&path).args(arguments)).success();
    on(&["init-store", "--without-quota"]);
    on(&["init-store", "--without-quota"]);
    assert_eq!(mode(&path), 0o700);
    assert!(!PathBuf::from(format!("{}.backing-store", path.display())).exists());
    on(&["create", &small_image(&store.beside("image")), "x"]);
    assert!(path.join("images/x/rootfs/hello").exists());
}

#[test]
fn a_mount_point_itself_may_become_a_store() {
    let store = TempStore::uninitialised();
    let path = mounted_xfs(&store);
    run(grootfs().arg("--store").arg(&path).args(["init-store", "--without-quota"])).success();
    assert_eq!(mode(&path), 0o700);
    assert!(path.join("images").is_dir());
}

#[test]
fn a_mount_without_quotas_is_refused_with_the_remedy() {
    let store = TempStore::uninitialised();
    let path = mounted_xfs(&store).join("store");
    let message = run(grootfs().arg("--store").arg(&path).arg("init-store")).failure();
    assert!(message.contains("--without-quota"), "{message}");
    assert!(!path.exists(), "nothing is left behind");
    run(grootfs().arg("--store").arg(&path).args(["init-store", "--without-quota"])).success();
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
        let message = run(grootfs().arg("--store").arg(&path).args(["init-store", "--without-quota"])).failure();
        assert_eq!(
            message,
            format!("Store path filesystem ({}) is incompatible with requested driver", point.display())
        );
        assert!(!path.exists());
        let message = run(grootfs().arg("--store").arg(&point).args(["init-store", "--without-quota"])).failure();
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

    support::unmount_below(store.path());
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
    support::unmount_below(store.path());
    support::detach_loops(store.path().parent().unwrap());
    assert!(!store.path().join("images").exists());

    store.ok(["init-store", "--store-size-bytes", &GIB.to_string(), "--without-quota"]);
    assert_eq!(fs::read_to_string(store.image("x").join("diff/mine")).unwrap(), "kept");
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
    fs::copy(env!("CARGO_BIN_EXE_grootfs"), &binary).unwrap();
    let mut command = std::process::Command::new(binary);
    command.arg("--store").arg(store.path()).arg("init-store").uid(65534).gid(65534);
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
fn a_whiteout_device_that_is_none_is_refused() {
    let store = TempStore::new();
    let device = store.path().join("whiteout_dev");
    fs::remove_file(&device).unwrap();
    fs::write(&device, "").unwrap();
    let message = store.fails(["init-store", "--without-quota"]);
    assert!(message.contains("the whiteout device file is not a valid device"), "{message}");
}

#[test]
fn a_store_of_the_original_opens_unchanged() {
    let store = TempStore::uninitialised();
    let path = mounted_xfs(&store);
    lay_out_as_the_original_does(&path);
    let layer = Layer::new(Archive::new().file("base", 0o644, b"from the archive").bytes());
    let chain = support::chain_ids([layer.diff_id.as_str()]);
    let base = Image::new().layer(layer).write(&store.beside("image"), "latest");
    add_volume(&path, &chain[0], "g6qhyVz9k1234", "base");
    add_volume(&path, &"0".repeat(64), "g6qhyVz9k1235", "unused");
    add_mounted_image(&path, "old", &chain[0], "g6qhyVz9k1234");

    let on = |arguments: &[&str]| run(grootfs().arg("--store").arg(&path).args(arguments)).success();
    assert_eq!(on(&["list"]), format!("{}\n", path.join("images/old").display()));
    assert!(on(&["stats", "old"]).contains("\"total_bytes_used\":14"));
    on(&["create", &base, "new"]);
    let read = |image: &str| fs::read_to_string(path.join("images").join(image).join("rootfs/base")).unwrap();
    assert_eq!(read("new"), "from the store", "the cached volume is used");
    on(&["clean"]);
    assert_eq!(names(&path.join("volumes")), chain);
    assert_eq!(names(&path.join("l")).len(), 2);
    assert_eq!(read("old"), "from the store");
    on(&["delete", "old"]);
    assert_eq!(names(&path.join("images")), ["new"]);
    assert_eq!(read("new"), "from the store");
    on(&["init-store", "--without-quota"]);
    on(&["delete", "new"]);
    on(&["clean"]);
    assert!(names(&path.join("volumes")).is_empty());
}

/// The directories and files that the original's `init-store` makes.
fn lay_out_as_the_original_does(store: &Path) {
    for directory in ["images", "volumes", "meta", "meta/dependencies", "locks", "tmp", "l", "projectids"] {
        fs::create_dir(store.join(directory)).unwrap();
    }
    fs::set_permissions(store, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(store.join("meta/namespace.json"), "{\"uid-mappings\":[],\"gid-mappings\":[]}\n").unwrap();
    fs::write(store.join("locks/global-groot-lock.lock"), "").unwrap();
    succeed("mknod", ["-m", "0", store.join("whiteout_dev").to_str().unwrap(), "c", "0", "0"]);
}

/// A volume with one file of fourteen bytes, and what the original notes about it.
fn add_volume(store: &Path, chain_id: &str, short: &str, file: &str) {
    let volume = store.join("volumes").join(chain_id);
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join(file), "from the store").unwrap();
    symlink(&volume, store.join("l").join(short)).unwrap();
    fs::write(store.join("l").join(chain_id), short).unwrap();
    fs::write(store.join("meta").join(format!("volume-{chain_id}")), "{\"Size\":14}\n").unwrap();
    fs::write(store.join("locks").join(format!("{chain_id}.lock")), "").unwrap();
}

/// An image over one volume, mounted as the original mounts it: short names, from within the store.
fn add_mounted_image(store: &Path, id: &str, chain_id: &str, short: &str) {
    let image = store.join("images").join(id);
    for directory in ["", "diff", "workdir", "rootfs"] {
        fs::create_dir(image.join(directory)).unwrap();
    }
    fs::set_permissions(&image, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(image.join("image_info"), "14").unwrap();
    fs::write(store.join(format!("meta/dependencies/image:{id}.json")), format!("[\"{chain_id}\"]")).unwrap();
    let data = format!("lowerdir=l/{short},upperdir={0}/diff,workdir={0}/workdir", image.display());
    let script = format!("cd {} && mount -i -t overlay -o {data} overlay {}/rootfs", store.display(), image.display());
    succeed("sh", ["-c", &script]);
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

fn size_of_filesystem(store: &TempStore) -> u64 {
    let status = rustix::fs::statvfs(store.path()).unwrap();
    status.f_blocks * status.f_frsize
}

/// A store that is used while it grows: a mounted image with a file that stays open for writing.
#[test]
fn a_larger_size_makes_the_store_larger_with_images_in_use() {
    let store = TempStore::with_size(GIB / 2);
    store.create(&small_image(&store.beside("image")), "x");
    let mut open = File::create(store.rootfs("x").join("log")).unwrap();
    writeln!(open, "before").unwrap();
    let small = size_of_filesystem(&store);
    let overlay = fs::metadata(store.rootfs("x")).unwrap().dev();

    // Not a multiple of anything.
    let wanted = 3 * GIB + 12_345;
    store.ok(["init-store", "--store-size-bytes", &wanted.to_string(), "--without-quota"]);
    assert_eq!(fs::metadata(store.backing_file()).unwrap().len(), wanted);
    let large = size_of_filesystem(&store);
    assert!(large > small + 2 * GIB && large <= wanted, "{small} became {large}");
    writeln!(open, "after").unwrap();
    assert_eq!(fs::read_to_string(store.rootfs("x").join("log")).unwrap(), "before\nafter\n");
    assert_eq!(fs::metadata(store.rootfs("x")).unwrap().dev(), overlay, "still the same mount");
    assert!(fs::metadata(store.backing_file()).unwrap().blocks() * 512 < GIB, "still sparse");

    // What is there can be filled, and survives a remount and a check.
    File::create(store.path().join("tmp/large")).unwrap().write_all(&vec![1; GIB as usize]).unwrap();
    drop(open);
    store.ok(["init-store", "--store-size-bytes", &wanted.to_string(), "--without-quota"]);
    assert_eq!(size_of_filesystem(&store), large);
    support::unmount_below(store.path());
    support::detach_loops(store.path().parent().unwrap());
    succeed("xfs_repair", ["-n", store.backing_file().to_str().unwrap()]);
    store.ok(["init-store", "--without-quota"]);
    assert_eq!(size_of_filesystem(&store), large);
    assert_eq!(fs::read_to_string(store.image("x").join("diff/log")).unwrap(), "before\nafter\n");
}

#[test]
fn a_store_without_its_mount_grows_when_it_gets_it_back() {
    let store = TempStore::with_size(GIB / 2);
    store.create(&small_image(&store.beside("image")), "x");
    support::unmount_below(store.path());
    support::detach_loops(store.path().parent().unwrap());
    store.ok(["init-store", "--store-size-bytes", &GIB.to_string(), "--without-quota"]);
    assert!(size_of_filesystem(&store) > GIB * 9 / 10);
    store.stats("x");
}

#[test]
fn growing_that_was_cut_short_is_finished_by_the_next_init_store() {
    let store = TempStore::with_size(GIB / 2);
    let small = size_of_filesystem(&store);
    let (device, _) = loops_below(store.path().parent().unwrap()).pop().unwrap();
    let file = fs::OpenOptions::new().write(true).open(store.backing_file()).unwrap();

    // Killed after the file, then after the loop device. A smaller size is asked for meanwhile, as it may be.
    for (steps, bytes) in [(1, GIB), (2, 2 * GIB)] {
        file.set_len(bytes).unwrap();
        if steps == 2 {
            succeed("losetup", ["--set-capacity", &device]);
        }
        assert!(size_of_filesystem(&store) < bytes / 2 + small);
        let config = store.beside("config.yml");
        fs::write(&config, format!("init:\n  store_size_bytes: {}\n", 300 * MIB)).unwrap();
        store.ok(["--config", config.to_str().unwrap(), "init-store", "--without-quota"]);
        assert!(size_of_filesystem(&store) > bytes * 9 / 10, "after {steps} steps");
        assert_eq!(fs::metadata(store.backing_file()).unwrap().len(), bytes);
    }
}

#[test]
fn a_store_that_cannot_grow_is_used_as_it_is_unless_the_size_was_asked_for() {
    let store = TempStore::with_size(GIB / 2);
    // No file can be that large.
    let bytes = i64::MAX.to_string();
    let message = store.fails(["init-store", "--store-size-bytes", &bytes, "--without-quota"]);
    assert!(message.starts_with(&format!("truncate {}", store.backing_file().display())), "{message}");
    let config = store.beside("config.yml");
    fs::write(&config, format!("init:\n  store_size_bytes: {bytes}\n")).unwrap();
    let flags = ["--config", config.to_str().unwrap(), "--log-level", "error"];
    let outcome = store.run([&flags[..], &["init-store", "--without-quota"]].concat());
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stderr.contains("growing-store-failed"), "{outcome:?}");
    assert_eq!(fs::metadata(store.backing_file()).unwrap().len(), GIB / 2);
    store.create(&small_image(&store.beside("image")), "x");
}

#[test]
fn a_filesystem_that_is_not_from_the_backing_file_is_not_grown() {
    let store = TempStore::uninitialised();
    let path = mounted_xfs(&store);
    let size = || rustix::fs::statvfs(&path).unwrap().f_blocks;
    let before = size();
    let backing = PathBuf::from(format!("{}.backing-store", path.display()));
    File::create(&backing).unwrap().set_len(300 * MIB).unwrap();
    // The device has grown, which is its owner's business.
    fs::OpenOptions::new().write(true).open(store.beside("disk")).unwrap().set_len(2 * GIB).unwrap();
    let (device, _) = loops_below(path.parent().unwrap()).pop().unwrap();
    succeed("losetup", ["--set-capacity", &device]);
    run(grootfs().arg("--store").arg(&path).args(["init-store", "--without-quota"])).success();
    assert_eq!(size(), before);
}

#[test]
fn a_btrfs_store_grows_too() {
    let store = TempStore::uninitialised().flag("--driver").flag("btrfs");
    let init = |bytes: u64| store.ok(["init-store", "--store-size-bytes", &bytes.to_string(), "--without-quota"]);
    init(GIB / 2);
    store.create(&small_image(&store.beside("image")), "x");
    init(GIB);
    assert_eq!(size_of_filesystem(&store), GIB);
    init(GIB);
    assert_eq!(fs::read_to_string(store.rootfs("x").join("hello")).unwrap(), "hello\n");
    support::unmount_below(store.path());
    support::detach_loops(store.path().parent().unwrap());
    init(2 * GIB);
    assert_eq!(size_of_filesystem(&store), 2 * GIB);
    store.stats("x");
}
