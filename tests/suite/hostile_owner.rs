//! Root's commands on a store that belongs to somebody who turns it against root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::support::{DRIVER, Driver, TempStore, allow_search, names, run, small_image, wrapped};

const OWNER: u32 = 4711;

/// A store of an ordinary user's, in which root has made the image `x`.
fn store() -> (TempStore, String) {
    let store = TempStore::uninitialised();
    let quota = if DRIVER == Driver::Btrfs { "--log-level=fatal" } else { "--without-quota" };
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
    let quota = if DRIVER == Driver::Btrfs { "--log-level=fatal" } else { "--without-quota" };
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
    let of_driver = OF_OVERLAY_XFS.iter().filter(|_| DRIVER == Driver::OverlayXfs);
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

#[test]
fn a_lock_file_is_not_made_elsewhere() {
    let (store, url) = store();
    let victim = Victim::new(&store);
    let lock = store.path().join("locks/global-groot-lock.lock");
    fs::remove_file(&lock).unwrap();
    symlink(victim.directory.join("nologin"), &lock).unwrap();
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
    assert!(message.ends_with("shared-layers.json: it is not root's"), "{message}");
    run_everything(&store, &url, &victim, "record");
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
