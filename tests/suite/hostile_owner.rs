//! Root's commands on a store that belongs to somebody who turns it against root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::{
    Archive, DRIVER, Driver, Image, Layer, TempStore, allow_search, names, run, small_image, wrapped,
};

const OWNER: u32 = 4711;

/// A store of an ordinary user's, in which root has made the image `x`.
fn store() -> (TempStore, String) {
    let store = TempStore::uninitialised();
    let quota = if *DRIVER == Driver::Btrfs { "--log-level=fatal" } else { "--without-quota" };
    store.ok([&["init-store", "--store-size-bytes", "1073741824", quota][..], &MAPPINGS].concat());
    let url = small_image(&store.beside("image"));
    store.create(&url, "x");
    (store, url)
}

const MAPPINGS: [&str; 8] = [
    "--uid-mapping",
    "0:4711:1",
    "--uid-mapping",
    "1:100000:65536",
    "--gid-mapping",
    "0:4711:1",
    "--gid-mapping",
    "1:100000:65536",
];

/// A directory of root's with a secret in it.
struct Victim {
    directory: PathBuf,
    before: (u32, u32, Vec<String>),
}

impl Victim {
    fn new(store: &TempStore) -> Self {
        let directory = store.beside("victim");
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(directory.join("secret.json"), "root's").unwrap();
        fs::set_permissions(directory.join("secret.json"), fs::Permissions::from_mode(0o600)).unwrap();
        symlink("secret.json", directory.join("link")).unwrap();
        let before = state(&directory);
        Victim { directory, before }
    }

    fn secret(&self) -> PathBuf {
        self.directory.join("secret.json")
    }

    #[track_caller]
    fn is_unharmed(&self, by: &str) {
        assert_eq!(state(&self.directory), self.before, "{by}");
        assert_eq!(fs::read_to_string(self.secret()).unwrap(), "root's", "{by}");
        let secret = fs::metadata(self.secret()).unwrap();
        assert_eq!((secret.uid(), secret.mode() & 0o7777), (0, 0o600), "{by}");
    }
}

fn state(directory: &Path) -> (u32, u32, Vec<String>) {
    let metadata = fs::metadata(directory).unwrap();
    (metadata.uid(), metadata.mode() & 0o7777, names(directory))
}

/// All that root may run, on a store that was tampered with.
#[track_caller]
fn run_everything(store: &TempStore, url: &str, victim: &Victim, by: &str) {
    let quota = if *DRIVER == Driver::Btrfs { "--log-level=fatal" } else { "--without-quota" };
    let init = [&["init-store", quota][..], &MAPPINGS].concat();
    for arguments in [
        &init[..],
        &["create", "--with-clean", url, "y"],
        &["create", "--without-mount", url, "z"],
        &["generate-volume-size-metadata"],
        &["stats", "x"],
        &["clean", "--threshold-bytes", "1"],
        &["clean"],
        &["delete", "x"],
        &["delete", "y"],
        &["delete", "z"],
        &["list"],
        &["delete-store"],
    ] {
        // Some do their work, others refuse it; none may do what the owner could not.
        store.run(arguments);
        victim.is_unharmed(&format!("{by}: {arguments:?}"));
    }
}

#[test]
fn links_in_place_of_directories_are_not_followed() {
    const COMMON: [&str; 8] =
        ["images", "volumes", "meta", "meta/dependencies", "meta/unflushed", "meta/documents", "locks", "tmp"];
    const OF_OVERLAY_XFS: [&str; 2] = ["l", "projectids"];
    let of_driver = OF_OVERLAY_XFS.iter().filter(|_| *DRIVER == Driver::OverlayXfs);
    for name in COMMON.iter().chain(of_driver) {
        let (store, url) = store();
        let victim = Victim::new(&store);
        let path = store.path().join(name);
        let _ = fs::rename(&path, store.path().join("aside"));
        symlink(&victim.directory, &path).unwrap();
        run_everything(&store, &url, &victim, name);
    }
}

#[test]
fn links_in_place_of_files_are_not_followed() {
    let layer = |store: &TempStore| format!("meta/volume-{}", store.volumes()[0]);
    for name in ["tmp/namespace.json", "meta/sizes.json", "volume", "tmp/record.y", "meta/shared-layers.json", "info"] {
        let (store, url) = store();
        let victim = Victim::new(&store);
        let path = store.path().join(match name {
            "volume" => layer(&store),
            "info" => "images/x/image_info".to_owned(),
            name => name.to_owned(),
        });
        let _ = fs::remove_file(&path);
        symlink(victim.secret(), &path).unwrap();
        if name.ends_with("namespace.json") {
            fs::remove_file(store.path().join("meta/namespace.json")).unwrap();
        }
        run_everything(&store, &url, &victim, name);
    }
}

/// Kernels before 5.6 have no openat2(2), and some filters of system calls do not know it.
#[test]
fn links_are_not_followed_without_openat2_either() {
    for (error, name) in [("ENOSYS", "meta"), ("EPERM", "tmp"), ("ENOSYS", "nothing")] {
        let (store, url) = store();
        let victim = Victim::new(&store);
        let path = store.path().join(name);
        let _ = fs::rename(&path, store.path().join("aside"));
        symlink(&victim.directory, &path).unwrap();
        for arguments in [&["create", &url, "y"][..], &["delete", "x"], &["clean"], &["delete-store"]] {
            let command = store.command(arguments);
            let mut traced = Command::new("strace");
            traced.args(["-f", "-o", "/dev/null", "-e", &format!("inject=openat2:error={error}")]);
            let outcome = run(traced.arg(command.get_program()).args(command.get_args()));
            victim.is_unharmed(&format!("{name}: {arguments:?}"));
            if name == "nothing" {
                outcome.success();
            }
        }
    }
}

/// What an owner puts in the place of a small file is neither waited for nor read without end.
#[test]
fn special_files_in_place_of_records_hold_nobody_up() {
    const KINDS: [&str; 4] = ["mkfifo F", "mknod F c 1 5", "truncate -s 1T F", "mkdir F"];
    for file in [
        "meta/dependencies/image:x.json",
        "meta/namespace.json",
        "meta/sizes.json",
        "meta/totals.json",
        "size",
        "l",
        "images/x/image_quota",
    ] {
        for kind in KINDS {
            let (store, url) = store();
            let layer = &store.volumes()[0];
            let path = store.path().join(match file {
                "size" => format!("meta/volume-{layer}"),
                "l" => format!("l/{layer}"),
                file => file.to_owned(),
            });
            let _ = fs::remove_file(&path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            run(Command::new("sh").args(["-c", &kind.replace('F', &format!("'{}'", path.display()))])).success();
            let all: [&[&str]; 8] = [
                &["create", "--with-clean", "--threshold-bytes", "1", &url, "y"],
                &["generate-volume-size-metadata"],
                &["stats", "x"],
                &["clean", "--threshold-bytes", "1"],
                &["clean"],
                &["delete", "x"],
                &["delete", "y"],
                &["delete-store"],
            ];
            for arguments in all {
                let command = store.command(arguments);
                let mut limited = Command::new("timeout");
                limited.args(["20", "prlimit", "--as=2000000000"]).arg(command.get_program()).args(command.get_args());
                let outcome = run(&mut limited);
                assert_ne!(outcome.code, Some(124), "{file}: {kind}: {arguments:?} hangs");
                assert!(matches!(outcome.code, Some(0 | 1)), "{file}: {kind}: {arguments:?}: {outcome:?}");
            }
        }
    }
}

#[test]
fn a_lock_file_is_not_made_elsewhere() {
    let (store, url) = store();
    let victim = Victim::new(&store);
    let lock = store.path().join("locks/global-groot-lock.lock");
    // By a rename: the flush of the new layers may make the file again.
    symlink(victim.directory.join("nologin"), store.beside("link")).unwrap();
    run(Command::new("mv").args(["-fT"]).arg(store.beside("link")).arg(&lock)).success();
    run_everything(&store, &url, &victim, "lock");
}

#[test]
fn what_a_record_says_of_another_store_counts_only_if_root_wrote_it() {
    let (store, url) = store();
    let victim = Victim::new(&store);
    let record = store.path().join("meta/shared-layers.json");
    fs::write(&record, format!("{{\"store\":\"{0}\",\"name\":1}}", victim.directory.display())).unwrap();
    std::os::unix::fs::chown(&record, Some(OWNER), Some(OWNER)).unwrap();
    let message = store.fails(["clean"]);
    assert!(message.contains("shared-layers.json: it is not root's: run init-store"), "{message}");
    run_everything(&store, &url, &victim, "record");
}

/// An image whose files would give their ids' rights to whoever starts them.
fn privileged_image(store: &TempStore) -> String {
    let capability = [&[1, 0, 0, 2][..], &[0, 0x20], &[0; 14]].concat();
    let archive = Archive::new()
        .file("mapped", 0o6755, b"x")
        .owner(70_000, 0)
        .file("user", 0o6755, b"x")
        .owner(0, 70_000)
        .file("group", 0o6755, b"x")
        .directory("directory", 0o2755)
        .xattr("security.capability", &capability)
        .owner(0, 0)
        .file("capable", 0o755, b"x")
        .xattr("security.capability", &capability)
        .owner(70_000, 70_000)
        .file("capable-user", 0o755, b"x");
    Image::new().layer(Layer::new(archive.bytes())).write(&store.beside("privileged"), "latest")
}

fn has_capabilities(file: &Path) -> bool {
    rustix::fs::lgetxattr(file, "security.capability", &mut [0; 64][..]).is_ok()
}

/// Every regular file or directory below the store that has set-id bits for an id that is not the store's.
#[track_caller]
fn gives_no_rights_away(store: &TempStore, by: &str) {
    let is_mapped = |id: u32| id == OWNER || (100_000..165_536).contains(&id);
    let mut pending = vec![store.path().to_owned()];
    while let Some(directory) = pending.pop() {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            let found = fs::symlink_metadata(&path).unwrap();
            let gives_user = found.mode() & 0o4000 != 0 && !is_mapped(found.uid());
            let gives_group = found.mode() & 0o2000 != 0 && !is_mapped(found.gid());
            assert!(!gives_user && !gives_group, "{by}: {} {:o}", path.display(), found.mode());
            if found.is_dir() {
                pending.push(path);
            }
        }
    }
}

/// Root's own file of the same content may have come from anywhere: what a registry says of an image is one.
#[test]
fn mappings_count_only_if_root_has_recorded_them() {
    const HOST: &str = r#"{"uid-mappings":["0:0:4294967294"],"gid-mappings":["0:0:4294967294"]}"#;
    let by_owner = |namespace: &Path| {
        fs::write(namespace, HOST).unwrap();
        chown(namespace, Some(OWNER), Some(OWNER)).unwrap();
    };
    let by_root = |namespace: &Path| {
        fs::remove_file(namespace).unwrap();
        fs::write(namespace, HOST).unwrap();
    };
    let in_another_directory = |namespace: &Path| {
        let meta = namespace.parent().unwrap();
        fs::rename(meta, meta.with_extension("aside")).unwrap();
        run(Command::new("cp").arg("-a").arg(meta.with_extension("aside")).arg(meta)).success();
        fs::write(namespace, HOST).unwrap();
    };
    for by in ["owner", "root", "directory"] {
        let exchange = |namespace: &Path| match by {
            "owner" => by_owner(namespace),
            "root" => by_root(namespace),
            _ => in_another_directory(namespace),
        };
        let (store, _) = store();
        let url = privileged_image(&store);
        let namespace = store.path().join("meta/namespace.json");
        let before = fs::read_to_string(&namespace).unwrap();
        exchange(&namespace);
        let message = store.fails(["create", &url, "y"]);
        assert!(message.ends_with("run init-store with the store's mappings"), "{by}: {message}");
        gives_no_rights_away(&store, by);
        store.ok(["delete", "x"]);

        let quota = if *DRIVER == Driver::Btrfs { "--log-level=fatal" } else { "--without-quota" };
        store.ok([&["init-store", quota][..], &MAPPINGS].concat());
        assert_eq!(fs::read_to_string(&namespace).unwrap(), before, "{by}");
        store.create(&url, "y");
        gives_no_rights_away(&store, by);
    }
}

/// A store of a version that had no seals: init-store, which is told the mappings, adds them.
#[test]
fn a_store_without_seals_is_sealed_by_init_store() {
    let (store, url) = store();
    rustix::fs::removexattr(store.path(), "trusted.grootfs.namespace").unwrap();
    let message = store.fails(["create", &url, "y"]);
    assert!(message.ends_with("run init-store with the store's mappings"), "{message}");
    store.ok(["delete", "x"]);
    store.ok(["clean"]);
    let quota = if *DRIVER == Driver::Btrfs { "--log-level=fatal" } else { "--without-quota" };
    store.ok([&["init-store", quota][..], &MAPPINGS].concat());
    store.create(&url, "y");
}

#[test]
fn only_files_of_mapped_ids_keep_set_id_bits_and_capabilities() {
    let (store, _) = store();
    let rootfs = store.create(&privileged_image(&store), "y");
    gives_no_rights_away(&store, "create");
    let mode = |name: &str| fs::symlink_metadata(rootfs.join(name)).unwrap().mode() & 0o7777;
    assert_eq!(mode("mapped"), 0o6755);
    assert_eq!((mode("user"), mode("group"), mode("directory")), (0o755, 0o755, 0o755));
    assert!(has_capabilities(&rootfs.join("capable")));
    assert!(!has_capabilities(&rootfs.join("capable-user")));
}

/// Root gives the rights of ids of the host to nobody, whoever the store was given to.
#[test]
fn a_store_that_was_given_away_has_no_set_id_files_of_root_s() {
    let store = TempStore::new();
    let url = privileged_image(&store);
    run(Command::new("chown").args(["-R", &OWNER.to_string()]).arg(store.path())).success();
    let rootfs = store.create(&url, "x");
    let mode = |name: &str| fs::symlink_metadata(rootfs.join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("mapped"), mode("user"), mode("group")), (0o755, 0o755, 0o755));
    assert!(!has_capabilities(&rootfs.join("capable")));
}

/// The kernel's reading of a filesystem is not made for one that a user can write to while it is mounted.
#[test]
fn a_backing_file_that_others_can_write_to_is_not_mounted() {
    let store = TempStore::new();
    run(Command::new("umount").arg(store.path())).success();
    let backing = store.backing_file();
    let init = if *DRIVER == Driver::Btrfs { &["init-store"][..] } else { &["init-store", "--without-quota"] };
    let with_mode = |mode| fs::set_permissions(&backing, fs::Permissions::from_mode(mode)).unwrap();
    with_mode(0o622);
    assert!(store.fails(init).contains("others than root can write to it"));
    with_mode(0o600);
    chown(&backing, Some(OWNER), None).unwrap();
    assert!(store.fails(init).contains("others than root can write to it"));
    chown(&backing, Some(0), None).unwrap();
    store.ok(init);
}

#[test]
fn a_link_to_another_store_s_image_is_deleted_alone() {
    let other = TempStore::new();
    let url = small_image(&other.beside("image"));
    let rootfs = other.create(&url, "victim");
    let (store, _) = store();
    symlink(other.image("victim"), store.path().join("images/evil")).unwrap();
    assert!(store.fails(["stats", "evil"]).starts_with("Image `evil` not found."));
    store.ok(["delete", "evil"]);
    assert!(!store.path().join("images/evil").is_symlink());
    assert!(rootfs.join("hello").exists());
    assert_eq!(other.mounted_images().len(), DRIVER.mounts(1));
    other.ok(["delete", "victim"]);
}

#[test]
fn stats_wait_for_nobody_and_tell_no_secrets() {
    let (store, _) = store();
    let info = store.path().join("images/x/image_info");
    let message = {
        fs::write(&info, "the secret").unwrap();
        store.fails(["stats", "x"])
    };
    assert!(message.ends_with("image_info: it holds no size"), "{message}");
    fs::remove_file(&info).unwrap();
    run(Command::new("mkfifo").arg(&info)).success();
    let message = store.fails(["stats", "x"]);
    assert!(message.ends_with("image_info: it is no small file"), "{message}");
}

/// While root makes an image, its owner may not look in, and gains nothing by exchanging the whole of it.
#[test]
fn an_image_in_the_making_is_root_s() {
    let (store, url) = store();
    let victim = Victim::new(&store);
    allow_search(store.path().parent().unwrap());
    // Before it is given away.
    let strace = ["strace", "-f", "-e", "inject=fchownat:delay_enter=2000000", "-o", "/dev/null"];
    let create = store.command(["create", &url, "y"]);
    let mut create = wrapped(&strace, &create).stdout(Stdio::null()).spawn().unwrap();
    let making = store.path().join("tmp/create.y");
    while !making.join("rootfs").exists() {
        assert!(create.try_wait().unwrap().is_none(), "the create has ended");
        thread::sleep(Duration::from_millis(5));
    }
    let script = format!(
        "ls {making} && echo looked in; mv {making} {making}.aside && mkdir {making} && ln -s {victim} {making}/rootfs",
        making = making.display(),
        victim = victim.directory.display(),
    );
    let owner = ["--reuid=4711", "--regid=4711", "--clear-groups", "sh", "-c", &script];
    let owner = run(Command::new("setpriv").args(owner));
    assert!(!owner.stdout.contains("looked in"), "{owner:?}");
    create.wait().unwrap();
    victim.is_unharmed("create");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(victim.directory.to_str().unwrap()), "{mounts}");
    store.ok(["delete", "y"]);
    victim.is_unharmed("delete");
}
